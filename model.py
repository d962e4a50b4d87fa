"""GPT-2's architecture (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners") in one file.

    model = GPT(GPTConfig(vocab_size=50257, block_size=128, n_layer=6, n_head=6, n_embd=384))
    logits, loss = model(idx, targets)                 # idx, targets: (B, T) token ids
    idx = model.eval().generate(idx, 200, top_k=200)   # 200 tokens more per row

Parameters have GPT-2's names (`transformer.h.0.attn.c_attn.weight`, ...), so its weights map by name. The shape of the
code follows nanoGPT. B is the batch, T the time, C = n_embd, V the vocabulary, S = block_size.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

# numbers in a chunk of logits of linear_cross_entropy. Compiled, a number takes 16 bits, and a large chunk keeps a GPU
# busy; otherwise it takes 32 or more. On a CPU a chunk has at most so many tokens: its caches are small
LOGITS_CHUNK, LOGITS_CHUNK_COMPILED, CPU_TOKENS = 2**25, 2**30, 512


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

    def forward(self, x, kv_cache=None):
        """x: (B, T, C). kv_cache: keeps the keys and values of earlier calls, see slm/models/generation.py."""
        B, T, C = x.shape
        qkv = self.c_attn(x).view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4)
        q, k, v = qkv  # each (B, n_head, T, head size)
        mask = None
        if kv_cache is not None:
            k, v, mask = kv_cache.update(qkv[1:])
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=mask is None)
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

    def forward(self, x, kv_cache=None):
        x = x + self.attn(self.ln_1(x), kv_cache)
        return x + self.mlp(self.ln_2(x))


def linear_cross_entropy(x, weight, targets, vocab_size):
    """F.cross_entropy(x @ weight[:vocab_size].T, targets, ignore_index=-1), a chunk of tokens at a time.

    x: (N, C), targets: (N,), weight: (padded V, C), of which the padding is never predicted. The logits of all tokens
    together are the largest tensor of a small model. They never exist here: each chunk of logits adds to the loss and,
    at once, to the gradients (the idea of Liger Kernel's fused linear cross-entropy, arXiv 2410.10989, section 3.2).
    Products are in autocast's type, sums in float32.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    needs_grad, compiling = torch.is_grad_enabled(), torch.compiler.is_compiling()
    rows = max(1, (LOGITS_CHUNK_COMPILED if compiling else LOGITS_CHUNK) // weight.size(0))
    if device == "cpu" and not compiling:
        rows = min(rows, CPU_TOKENS)
    loss, grads_x = torch.zeros((), device=x.device), []
    with torch.no_grad():
        head, token_ids = weight.to(dtype), torch.arange(weight.size(0), device=x.device)
        grad_head = torch.zeros_like(weight) if needs_grad else None
        for start in range(0, x.size(0), rows):
            chunk, target = x[start : start + rows].to(dtype), targets[start : start + rows]
            logits = chunk @ head.t()
            logits[:, vocab_size:] = -math.inf
            # d loss / d logits = softmax - one-hot; the division by the count comes last, because the quotient alone,
            # without the factor of float16's scaler, is too small for float16
            if needs_grad and compiling:  # fewest kernels
                logits, target = logits.float(), target[:, None]
                # an infinite sum makes every gradient of a token without a target 0
                log_sum = logits.logsumexp(-1, keepdim=True).masked_fill(target < 0, math.inf)
                loss = loss + torch.where(target < 0, 0, log_sum - logits.gather(-1, target.clamp_min(0))).sum()
                grad = logits.sub_(log_sum).exp_().sub_((token_ids == target).float()).to(dtype)
            else:  # fewest passes over memory
                log_probs = F.log_softmax(logits, -1, dtype=torch.float32)
                loss = loss + F.nll_loss(log_probs, target, ignore_index=-1, reduction="sum")
                if not needs_grad:
                    continue
                target, missing = target.clamp_min(0)[:, None], (target < 0)[:, None]
                grad = log_probs.masked_fill_(missing, -math.inf).exp_()
                grad = grad.scatter_add_(-1, target, missing.float() - 1).to(dtype)
            grads_x.append(grad @ head)
            grad_head += grad.t() @ chunk
        count = (targets >= 0).sum()
    if needs_grad:
        # Adds 0 to the loss and hands the gradients computed above to autograd: the gradient of `linear` by x is
        # grads_x, by weight grad_head. An autograd.Function would do so too, but the compiler does not cache it
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
        x, head = self.hidden_states(idx), self.lm_head.weight
        if targets is None:
            return self.logits(x[:, -1:]), None
        if not with_logits:
            return None, linear_cross_entropy(x.flatten(0, 1), head, targets.flatten(), self.config.vocab_size)
        logits = self.logits(x)
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)

    def hidden_states(self, idx, positions=None, kv_caches=None):
        """What the head reads, (B, T, C), for token ids idx (B, T).

        positions: (B, T), 0, 1, ... where they are not given. kv_caches: one per block, for CausalSelfAttention.
        """
        if positions is None:
            positions = torch.arange(idx.size(1), device=idx.device)[None]
        x = self.transformer.drop(self.transformer.wte(idx) + self.transformer.wpe(positions))
        for block, kv_cache in zip(self.transformer.h, kv_caches or [None] * self.config.n_layer, strict=True):
            x = block(x, kv_cache)
        return self.transformer.ln_f(x)

    def logits(self, x):
        """(..., C) -> (..., vocab_size). The padding is cut off, so no padding token is ever predicted."""
        return self.lm_head(x)[..., : self.config.vocab_size]

    @torch.no_grad()
    def generate(self, idx, max_new_tokens, temperature=1.0, top_k=0):
        """Continue idx (B, T) by max_new_tokens token ids: (B, T + max_new_tokens). Call `eval()` first.

        temperature 0 takes the likeliest token; top_k > 0 samples from the k likeliest. The model sees the last
        block_size tokens and reads all of them again for each new one. slm/models/generation.py does not, and is fast.
        """
        for _ in range(max_new_tokens):
            logits, _ = self(idx[:, -self.config.block_size :])
            if temperature == 0:
                new = logits[:, -1].argmax(-1, keepdim=True)
            else:
                logits = logits[:, -1].float() / temperature
                if top_k:
                    smallest = logits.topk(min(top_k, logits.size(-1))).values[:, -1:]
                    logits[logits < smallest] = -math.inf
                new = torch.multinomial(logits.softmax(-1), 1)
            idx = torch.cat([idx, new], dim=1)
        return idx

    def num_params(self, embeddings=True):
        """The number of parameters without padding; embeddings=False leaves out those of every nn.Embedding."""
        return self._count_params(without=set() if embeddings else self._weights_of(nn.Embedding))

    def flops_per_token(self):
        """Floating-point operations to train on one token, 6 N + 12 L C T (PaLM, arXiv 2204.02311, appendix B).

        N counts what is multiplied: the head, but no table that is only looked up, such as that of the positions. The
        causal mask's saving is not counted.
        """
        config = self.config
        multiplied = self._count_params(without=self._weights_of(nn.Embedding) - self._weights_of(nn.Linear))
        return 6 * multiplied + 12 * config.n_layer * config.n_embd * config.block_size

    def _weights_of(self, kind):
        return {module.weight for module in self.modules() if isinstance(module, kind)}

    def _count_params(self, without):
        padded, vocab_size = {self.transformer.wte.weight, self.lm_head.weight}, self.config.vocab_size
        parameters = [parameter for parameter in self.parameters() if parameter not in without]
        return sum((p[:vocab_size] if p in padded else p).numel() for p in parameters)
