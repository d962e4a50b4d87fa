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

# logits that HeadLoss takes at once: compiled, they are 16 bits wide and many keep a GPU busy; otherwise, 32 and more
HEAD_CHUNK, HEAD_CHUNK_COMPILED = 2**25, 2**30


@dataclass
class GPTConfig:
    """The shape of a model, GPT-2's habits the defaults.

    dropout is a probability; bias is for all linear layers and LayerNorms; init_std is the spread of new weights.
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
        """Rows of the embedding: the vocabulary rounded up to 64, which is what tensor cores like."""
        return -(-self.vocab_size // 64) * 64


class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(self, x, positions=None, bias=None, cache=None):
        B, T, C = x.shape
        qkv = self.c_attn(x).view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4)
        q, k, v = qkv  # each (B, n_head, T, head size)
        if cache is None:
            dropout = self.dropout if self.training else 0.0
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        else:
            new = qkv[1:].to(cache.dtype)  # keys and values, written at `positions` of (2, B, n_head, S, head size)
            cache.scatter_(3, positions[:, None, :, None].expand_as(new), new)
            y = F.scaled_dot_product_attention(q, *cache, attn_mask=bias)
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


class HeadLoss(torch.autograd.Function):
    """The mean cross-entropy of a linear head, with its gradient, a chunk of tokens at a time.

    HeadLoss.apply(x (N, C), weight (V, C), targets (N,), vocab_size) is F.cross_entropy(x @ weight[:vocab_size].T,
    targets, ignore_index=-1). The logits of all tokens together are the largest thing in a small model; here they
    never exist, because the gradient of a chunk is taken while its logits are at hand (the idea of Liger Kernel's
    fused linear cross-entropy, arXiv 2410.10989, section 3.2). Products are in autocast's type, sums in float32.
    """

    @staticmethod
    def forward(ctx, x, weight, targets, vocab_size):
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        head = weight.to(dtype)
        valid = targets >= 0
        tokens = torch.arange(head.size(0), device=x.device)
        loss = torch.zeros((), device=x.device)
        training = any(ctx.needs_input_grad)
        grads_x, grad_head = [], torch.zeros_like(weight) if training else None
        rows = max(1, (HEAD_CHUNK_COMPILED if torch.compiler.is_compiling() else HEAD_CHUNK) // head.size(0))
        with torch.autocast(device, enabled=False):
            for part in range(0, x.size(0), rows):
                chunk, target = x[part : part + rows].to(dtype), targets[part : part + rows, None]
                logits = (chunk @ head.t()).float()
                logits[:, vocab_size:] = -math.inf
                # with an infinite sum, all gradients of a token that is not predicted are 0
                log_sum = logits.logsumexp(-1, keepdim=True).masked_fill(target < 0, math.inf)
                loss += torch.where(target < 0, 0, log_sum - logits.gather(-1, target.clamp_min(0))).sum()
                if training:
                    # d loss / d logits = softmax - one-hot. The division by the count waits for `backward`, where the
                    # scaler's factor comes in: float16 has no room for such small numbers
                    grad = logits.sub_(log_sum).exp_().sub_((tokens == target).float()).to(dtype)
                    grads_x.append(grad @ head)
                    grad_head += grad.t() @ chunk
        count = valid.sum()
        if training:
            ctx.save_for_backward(torch.cat(grads_x), grad_head, count)
            ctx.dtype = x.dtype
        return loss / count

    @staticmethod
    def backward(ctx, grad_loss):
        grad_x, grad_head, count = ctx.saved_tensors
        scale = grad_loss / count
        return (grad_x.float() * scale).to(ctx.dtype), grad_head * scale, None, None


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
                # each block adds to the residual stream twice; GPT-2 (section 2.3) scales its init so that the sum
                # keeps its variance
                scale = math.sqrt(2 * config.n_layer) if name.endswith("c_proj.weight") else 1
                nn.init.normal_(parameter, std=config.init_std / scale)
        with torch.no_grad():  # the padding is never looked up, predicted or trained
            self.lm_head.weight[config.vocab_size :].zero_()

    def forward(self, idx, targets=None, with_logits=True):
        """Logits and loss.

        idx: (B, T) token ids, T <= block_size. targets: (B, T) token ids, -1 where there is nothing to predict.
        Returns (logits, loss): with targets, logits (B, T, V) and the mean cross-entropy in nats over the targets that
        are not -1; without, the logits of the last position alone (B, 1, V) and None. V is vocab_size, unpadded.
        with_logits=False leaves the logits out (None), which makes the loss faster and much smaller in memory.
        """
        x, head = self.hidden(idx), self.lm_head.weight
        if targets is None:
            return self.logits(x[:, -1:]), None
        many = torch.compiler.is_compiling() or targets.numel() * head.size(0) > HEAD_CHUNK
        if many and not with_logits:
            head = head if torch.is_grad_enabled() else head.detach()  # which spares HeadLoss the gradient
            return None, HeadLoss.apply(x.flatten(0, 1), head, targets.flatten(), self.config.vocab_size)
        logits = self.logits(x)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
        return logits if with_logits else None, loss

    def hidden(self, idx, positions=None, caches=None):
        """The last hidden states (B, T, C) of idx (B, T).

        With `caches`, one tensor of keys and values (2, B, n_head, S, head size) a block, idx stands at `positions`
        (B, T) of sequences whose earlier keys and values are in the caches, and its own are written there.
        """
        if caches is None:
            positions, cached = torch.arange(idx.size(1), device=idx.device)[None], [()] * self.config.n_layer
        else:
            seen = torch.arange(caches[0].size(3), device=idx.device) <= positions[:, None, :, None]  # (B, 1, T, S)
            # as what is added to the scores; of a mask that is true or false, each block would make that anew
            bias = torch.zeros_like(seen, dtype=caches[0].dtype).masked_fill(~seen, -math.inf)
            cached = [(positions, bias, cache) for cache in caches]
        x = self.transformer.drop(self.transformer.wte(idx) + self.transformer.wpe(positions))
        for block, cache in zip(self.transformer.h, cached, strict=True):
            x = block(x, *cache)
        return self.transformer.ln_f(x)

    def logits(self, x):
        """(..., C) -> (..., vocab_size): the padding is cut off, so it is never predicted."""
        return self.lm_head(x)[..., : self.config.vocab_size]

    def num_params(self, embeddings=True):
        """Parameters, the padding apart; the tied embedding counts once, as the head. Without embeddings: neither."""
        config = self.config
        total = sum(parameter.numel() for parameter in self.parameters())
        total -= (config.padded_vocab_size - config.vocab_size) * config.n_embd
        return total if embeddings else total - (config.vocab_size + config.block_size) * config.n_embd

    def flops_per_token(self):
        """Floating-point operations to train on one token, 6 N + 12 L C T (PaLM, arXiv 2204.02311, appendix B).

        N counts the head and not the positions, which are looked up; the causal mask's saving is not counted.
        """
        config = self.config
        matmul_params = self.num_params() - config.block_size * config.n_embd
        return 6 * matmul_params + 12 * config.n_layer * config.n_embd * config.block_size

    def training_bytes(self, micro_batch, compiled):
        """Roughly the memory of training: weights and their like, HeadLoss's chunk, and what the blocks keep.

        The factors are rounded up from the peaks that runs in 16-bit mixed precision showed on a GPU.
        """
        config = self.config
        tokens = micro_batch * config.block_size
        weights = 16 * self.num_params()  # parameters, gradients, and AdamW's two moments, in float32
        chunk = min(HEAD_CHUNK_COMPILED if compiled else HEAD_CHUNK, tokens * config.padded_vocab_size)
        blocks = tokens * config.n_layer * config.n_embd
        return weights + (4 if compiled else 12) * chunk + (45 if compiled else 100) * blocks

    def new_caches(self, batch_size):
        """Empty caches for `batch_size` sequences: see `hidden`."""
        config, weight = self.config, self.lm_head.weight
        shape = (2, batch_size, config.n_head, config.block_size, config.n_embd // config.n_head)
        return [weight.new_zeros(shape) for _ in range(config.n_layer)]

    @torch.inference_mode()
    def stream(self, prompts, max_new_tokens, temperature=1.0, top_k=0, top_p=1.0, stop_token=None, generator=None):
        """Continue several prompts at once, and yield a list a step: each row's new token, None once the row ended.

        prompts: non-empty lists of token ids, of any lengths; what does not fit block_size is cut from the left.
        temperature, top_k, top_p: see `draw`. A row ends after `stop_token` (which is yielded) or `max_new_tokens`.
        generator: a torch.Generator on the model's device, for draws that repeat.

        Keys and values are cached: a token costs one position, not the whole context. Positions are learned, so a full
        context cannot slide by one; a row that reaches block_size forgets its older half, and what is left is read
        again from position 0. Greedy tokens are those of the model without a cache that forgets in the same way.
        On CUDA a token is one replay of a captured graph, the draw included (the idea of gpt-fast).
        """
        size, device, draw_options = self.config.block_size, self.lm_head.weight.device, (temperature, top_k, top_p)
        contexts = [list(prompt)[-size:] for prompt in prompts]
        alive = [True] * len(contexts)
        rows = torch.arange(len(contexts), device=device)
        caches = self.new_caches(len(contexts))
        token, last = torch.zeros_like(rows), torch.zeros_like(rows)  # each row's newest token; the one before's place

        def read(contexts, longest):
            """Read whole contexts. Short ones are padded on the right; the causal mask hides it until overwritten."""
            idx = torch.tensor([context + [0] * (longest - len(context)) for context in contexts], device=device)
            positions = torch.arange(longest, device=device).expand(len(contexts), -1)
            last.copy_(torch.tensor([len(context) - 1 for context in contexts]))
            x = self.hidden(idx, positions, caches)[rows, last]
            token.copy_(draw(self.logits(x), *draw_options, generator))

        def advance():
            last.add_(1)
            x = self.hidden(token[:, None], last[:, None], caches)[:, 0]
            token.copy_(draw(self.logits(x), *draw_options, generator))

        longest, replay = 0, None
        was_training = self.training
        self.eval()
        try:
            for number in range(max_new_tokens):
                if number == 0 or longest > size:
                    contexts = [row if len(row) <= size else row[-(size // 2 or 1) :] for row in contexts]
                    longest = max(map(len, contexts))
                    read(contexts, longest)
                elif replay:
                    replay()
                else:
                    advance()  # as it is once, which warms up what a capture must find warm
                    replay = capture(advance, generator) if device.type == "cuda" else None
                step = [new if row else None for row, new in zip(alive, token.tolist(), strict=True)]
                yield step
                for row, new in enumerate(step):
                    contexts[row].append(new if alive[row] else 0)
                    alive[row] = alive[row] and new != stop_token
                longest += 1
                if not any(alive):
                    return
        finally:
            self.train(was_training)

    def generate(self, prompts, max_new_tokens, **options):
        """The new tokens of each prompt as a list, the stop token left out. Arguments: see `stream`."""
        stories = [[] for _ in prompts]
        for step in self.stream(prompts, max_new_tokens, **options):
            for story, token in zip(stories, step, strict=True):
                if token is not None and token != options.get("stop_token"):
                    story.append(token)
        return stories


def capture(step, generator=None):
    """`step` as one CUDA graph: a function that runs its kernels anew on the same memory. It draws from `generator`."""
    graph = torch.cuda.CUDAGraph()
    if generator is not None:
        graph.register_generator_state(generator)
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # a thread may be pinning the next batch
        step()
    return graph.replay


def draw(logits, temperature=1.0, top_k=0, top_p=1.0, generator=None):
    """Draw one token a row from logits (B, V): (B,) ids.

    temperature 0 takes the likeliest. top_k > 0 keeps the k likeliest tokens; top_p < 1 keeps the likeliest tokens
    that together reach p (nucleus sampling, Holtzman et al. 2020, arXiv 1904.09751).
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    size, ids = logits.size(-1), None
    if 0 < top_k < size or top_p < 1:
        logits, ids = logits.topk(min(top_k or size, size), sorted=top_p < 1)
    probs = (logits.float() / max(temperature, 1e-6)).softmax(dim=-1)  # below, they overflow
    if top_p < 1:
        probs[probs.cumsum(dim=-1) - probs >= top_p] = 0  # what stands before a token has reached p already
    # the largest of p / Exponential(1) falls on each token with probability p: a draw with no wait for the device
    choice = (probs / torch.empty_like(probs).exponential_(generator=generator)).argmax(dim=-1)
    return choice if ids is None else ids.gather(-1, choice[:, None])[:, 0]
