"""GPT-2's architecture (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners") in one file.

    model = GPT(GPTConfig(vocab_size=50257, block_size=128, n_layer=6, n_head=6, n_embd=384))
    logits, loss = model(idx, targets)                      # idx, targets: (B, T) token ids
    stories = model.generate([prompt], 200, stop_token=eot) # lists of token ids

Parameters have GPT-2's names (`transformer.h.0.attn.c_attn.weight`, ...), so its weights map by name. The shape of the
code follows nanoGPT. B is the batch, T the time, C = n_embd, V the vocabulary, S = block_size.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

# logits at once in linear_cross_entropy: compiled, they take 16 bits and many keep a GPU busy; otherwise 32 or more
LOGITS_CHUNK, LOGITS_CHUNK_COMPILED = 2**25, 2**30


@dataclass
class GPTConfig:
    """The shape of a model.

    dropout is a probability; bias is for all linear layers and LayerNorms; init_std is the standard deviation of new
    weights, 0.02 in GPT-2.
    """

    vocab_size: int = 50257
    block_size: int = 128
    n_layer: int = 6
    n_head: int = 6
    n_embd: int = 384
    dropout: float = 0.1
    bias: bool = True
    init_std: float = 0.02

    @property
    def padded_vocab_size(self):
        """Rows of the embedding: the vocabulary rounded up to a multiple of 64, which tensor cores need to be fast."""
        return -(-self.vocab_size // 64) * 64


class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(self, x, index=None, mask=None, kv_cache=None):
        B, T, C = x.shape
        qkv = self.c_attn(x).view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4)
        q, k, v = qkv  # each (B, n_head, T, head size)
        if kv_cache is None:
            dropout = self.dropout if self.training else 0.0
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        else:
            kv_cache.scatter_(3, index, qkv[1:].to(kv_cache.dtype))  # the new keys and values, at their positions
            y = F.scaled_dot_product_attention(q, *kv_cache, attn_mask=mask)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape(B, T, C)))


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x):
        return self.dropout(self.c_proj(F.gelu(self.c_fc(x), approximate="tanh")))  # GPT-2's GELU is the tanh one


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=1e-5, bias=config.bias)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=1e-5, bias=config.bias)
        self.mlp = MLP(config)

    def forward(self, x, *cached):
        x = x + self.attn(self.ln_1(x), *cached)
        return x + self.mlp(self.ln_2(x))


def linear_cross_entropy(x, weight, targets, vocab_size):
    """F.cross_entropy(x @ weight[:vocab_size].T, targets, ignore_index=-1), a chunk of tokens at a time.

    x: (N, C), weight: (V, C), targets: (N,). The logits of all tokens together are the largest tensor of a small model.
    They never exist here: a chunk of logits gives its part of the loss and, at once, of the gradients (the idea of
    Liger Kernel's fused linear cross-entropy, arXiv 2410.10989, section 3.2). Products are in autocast's type, sums in
    float32.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    rows = max(1, (LOGITS_CHUNK_COMPILED if torch.compiler.is_compiling() else LOGITS_CHUNK) // weight.size(0))
    needs_grad = torch.is_grad_enabled()
    loss, grads_x = torch.zeros((), device=x.device), []
    with torch.no_grad(), torch.autocast(device, enabled=False):
        head, token_ids = weight.to(dtype), torch.arange(weight.size(0), device=x.device)
        grad_head = torch.zeros_like(weight) if needs_grad else None
        for start in range(0, x.size(0), rows):
            chunk, target = x[start : start + rows].to(dtype), targets[start : start + rows]
            logits = chunk @ head.t()
            logits[:, vocab_size:] = -math.inf
            if not needs_grad:
                log_probs = F.log_softmax(logits, -1, dtype=torch.float32)
                loss = loss + F.nll_loss(log_probs, target, ignore_index=-1, reduction="sum")
                continue
            logits, target = logits.float(), target[:, None]
            # an infinite sum makes every gradient of a token without a target 0
            log_sum = logits.logsumexp(-1, keepdim=True).masked_fill(target < 0, math.inf)
            loss = loss + torch.where(target < 0, 0, log_sum - logits.gather(-1, target.clamp_min(0))).sum()
            # d loss / d logits = softmax - one-hot; the division by the count comes last, because the quotient alone,
            # without the factor of float16's scaler, is too small for float16
            grad = logits.sub_(log_sum).exp_().sub_((token_ids == target).float()).to(dtype)
            grads_x.append(grad @ head)
            grad_head += grad.t() @ chunk
        count = (targets >= 0).sum()
    if needs_grad:
        with torch.autocast(device, enabled=False):
            # a sum with the value 0 and these gradients. An autograd.Function would hide them from the compiler's cache
            linear = (x * torch.cat(grads_x)).sum() + (weight * grad_head).sum()
            loss = loss + (linear - linear.detach())
    return loss / count


class GPT(nn.Module):
    """A decoder-only transformer with learned positions, pre-norm blocks and a head tied to the embedding."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(config.padded_vocab_size, config.n_embd),
                "wpe": nn.Embedding(config.block_size, config.n_embd),
                "drop": nn.Dropout(config.dropout),
                "h": nn.ModuleList(Block(config) for _ in range(config.n_layer)),
                "ln_f": nn.LayerNorm(config.n_embd, eps=1e-5, bias=config.bias),
            }
        )
        self.lm_head = nn.Linear(config.n_embd, config.padded_vocab_size, bias=False)
        self.lm_head.weight = self.transformer.wte.weight  # tied: Press and Wolf 2017, arXiv 1608.05859
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                # each block adds to the residual stream twice; GPT-2 (section 2.3) scales these weights down so that
                # the sum keeps its variance
                scale = math.sqrt(2 * config.n_layer) if name.endswith("c_proj.weight") else 1
                nn.init.normal_(parameter, std=config.init_std / scale)
        with torch.no_grad():  # the padding is never looked up, predicted or trained
            self.lm_head.weight[config.vocab_size :].zero_()

    def forward(self, idx, targets=None, with_logits=True):
        """Logits and loss.

        idx: (B, T) token ids, T <= block_size. targets: (B, T) token ids, -1 where there is nothing to predict.
        Returns (logits, loss): with targets, logits (B, T, V) and the mean cross-entropy in nats over the targets that
        are not -1; without, the logits of the last position alone (B, 1, V) and None. V is vocab_size, unpadded.
        with_logits=False returns None for the logits: the loss is then faster and takes much less memory.
        """
        x, head = self.hidden(idx), self.lm_head.weight
        if targets is None:
            return self.logits(x[:, -1:]), None
        large = torch.compiler.is_compiling() or targets.numel() * head.size(0) > LOGITS_CHUNK
        if large and not with_logits:
            return None, linear_cross_entropy(x.flatten(0, 1), head, targets.flatten(), self.config.vocab_size)
        logits = self.logits(x)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
        return logits if with_logits else None, loss

    def hidden(self, idx, positions=None, kv_caches=None):
        """The last hidden states (B, T, C) of idx (B, T).

        With `kv_caches`, one (2, B, n_head, S, head size) tensor a block, idx has the `positions` (B, T) in sequences
        whose earlier keys and values the caches hold; those of idx are added to the caches.
        """
        if kv_caches is None:
            positions, cached = torch.arange(idx.size(1), device=idx.device)[None], [()] * self.config.n_layer
        else:
            seen = torch.arange(kv_caches[0].size(3), device=idx.device) <= positions[:, None, :, None]  # (B, 1, T, S)
            # a float mask, added to the scores: each block would turn a boolean one into this again
            mask = torch.zeros_like(seen, dtype=kv_caches[0].dtype).masked_fill(~seen, -math.inf)
            index = positions[:, None, :, None].expand(2, -1, kv_caches[0].size(2), -1, kv_caches[0].size(4))
            cached = [(index, mask, kv_cache) for kv_cache in kv_caches]
        x = self.transformer.drop(self.transformer.wte(idx) + self.transformer.wpe(positions))
        for block, cache in zip(self.transformer.h, cached, strict=True):
            x = block(x, *cache)
        return self.transformer.ln_f(x)

    def logits(self, x):
        """(..., C) -> (..., vocab_size). The padding is cut off, so no padding token is ever predicted."""
        return self.lm_head(x)[..., : self.config.vocab_size]

    def num_params(self, embeddings=True):
        """The number of parameters without padding; embeddings=False leaves out token and position embeddings."""
        config = self.config
        total = sum(parameter.numel() for parameter in self.parameters())
        total -= (config.padded_vocab_size - config.vocab_size) * config.n_embd
        return total if embeddings else total - (config.vocab_size + config.block_size) * config.n_embd

    def flops_per_token(self):
        """Floating-point operations to train on one token, 6 N + 12 L C T (PaLM, arXiv 2204.02311, appendix B).

        N includes the head and excludes the position table. The causal mask's saving is not counted.
        """
        config = self.config
        matmul_params = self.num_params() - config.block_size * config.n_embd
        return 6 * matmul_params + 12 * config.n_layer * config.n_embd * config.block_size

    def new_kv_caches(self, batch_size):
        """Empty caches for `batch_size` sequences: see `hidden`."""
        config, weight = self.config, self.lm_head.weight
        shape = (2, batch_size, config.n_head, config.block_size, config.n_embd // config.n_head)
        return [weight.new_zeros(shape) for _ in range(config.n_layer)]

    @torch.inference_mode()
    def stream(self, prompts, max_new_tokens, temperature=1.0, top_k=0, top_p=1.0, stop_token=None, generator=None):
        """Continue several prompts at once; yield a list a step: each row's new token, None once the row has ended.

        prompts: non-empty lists of token ids, of any lengths; the model sees the last block_size of them.
        temperature, top_k, top_p: see `sample_token`. A row ends after `stop_token` (which is yielded) or
        `max_new_tokens`. generator: a torch.Generator on the model's device, for a repeatable result.

        Keys and values are cached: a token costs one position, not the whole context. Positions are learned, so a full
        context cannot slide by one: a row that fills block_size forgets its older half and reads the rest again from
        position 0. On CUDA a token is one replay of a captured graph (the idea of gpt-fast).
        """
        size, device = self.config.block_size, self.lm_head.weight.device
        contexts = [list(prompt)[-size:] for prompt in prompts]
        active = [True] * len(contexts)
        rows = torch.arange(len(contexts), device=device)
        kv_caches = self.new_kv_caches(len(contexts))
        token, position = torch.zeros_like(rows), torch.zeros_like(rows)  # the newest token; its predecessor's position

        def sample_from(x):
            token.copy_(sample_token(self.logits(x), temperature, top_k, top_p, generator))

        def prefill():
            """Read the contexts. The causal mask hides the padding on the right until tokens overwrite it."""
            longest = max(map(len, contexts))
            idx = torch.tensor([context + [0] * (longest - len(context)) for context in contexts], device=device)
            position.copy_(torch.tensor([len(context) - 1 for context in contexts]))
            x = self.hidden(idx, torch.arange(longest, device=device).expand(len(contexts), -1), kv_caches)
            sample_from(x[rows, position])

        def decode():
            position.add_(1).clamp_(max=size - 1)  # the clamp is for rows that have ended
            sample_from(self.hidden(token[:, None], position[:, None], kv_caches)[:, 0])

        was_training, replay = self.training, None
        self.eval()
        try:
            for number in range(max_new_tokens):
                if number == 0 or max(map(len, contexts)) > size:
                    contexts = [row if len(row) <= size else row[-(size // 2 or 1) :] for row in contexts]
                    prefill()
                elif device.type == "cuda":
                    replay = replay or capture_cuda_graph(decode, generator)  # the prefill has warmed up the device
                    replay()
                else:
                    decode()
                new_tokens = [new if row else None for row, new in zip(active, token.tolist(), strict=True)]
                yield new_tokens
                for row, new in enumerate(new_tokens):
                    if new is not None and new != stop_token:
                        contexts[row].append(new)
                    elif active[row]:  # the row ends: its one token never fills the context
                        active[row], contexts[row] = False, contexts[row][:1]
                if not any(active):
                    return
        finally:
            self.train(was_training)

    def generate(self, prompts, max_new_tokens, **options):
        """The new tokens of each prompt as a list, without the stop token. Arguments: see `stream`."""
        stories = [[] for _ in prompts]
        for new_tokens in self.stream(prompts, max_new_tokens, **options):
            for story, token in zip(stories, new_tokens, strict=True):
                if token is not None and token != options.get("stop_token"):
                    story.append(token)
        return stories


def capture_cuda_graph(function, generator=None):
    """Record the kernels that `function` launches: a function that replays them on the same memory.

    generator: the torch.Generator that the kernels use, if it is not the default one.
    """
    graph = torch.cuda.CUDAGraph()
    if generator is not None:
        graph.register_generator_state(generator)
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # another thread may pin memory meanwhile
        function()
    return graph.replay


def sample_token(logits, temperature=1.0, top_k=0, top_p=1.0, generator=None):
    """Sample one token a row from logits (B, V): (B,) ids.

    temperature 0 takes the likeliest. top_k > 0 keeps the k likeliest tokens; top_p < 1 keeps the likeliest tokens
    that together reach p (nucleus sampling, Holtzman et al. 2020, arXiv 1904.09751).
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    size, ids = logits.size(-1), None
    if 0 < top_k < size or top_p < 1:
        logits, ids = logits.topk(min(top_k or size, size), sorted=top_p < 1)
    probs = (logits.float() / max(temperature, 1e-6)).softmax(dim=-1)  # a smaller temperature overflows
    if top_p < 1:
        probs[probs.cumsum(dim=-1) - probs >= top_p] = 0  # the likelier tokens reach p already
    # the largest of p / Exponential(1) is token i with probability p_i: a sample without a wait for the device
    choice = (probs / torch.empty_like(probs).exponential_(generator=generator)).argmax(dim=-1)
    return choice if ids is None else ids.gather(-1, choice[:, None])[:, 0]
