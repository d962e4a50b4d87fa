"""Fast generation: keys and values are cached, so that a new token costs one position and not the whole context.

    for new_tokens in stream(model, [prompt], 200, stop_token=eot): ...    a token per row and step, as it comes
    stories = generate(model, prompts, 200, stop_token=eot)                lists of token ids

`prefill` reads whole contexts, `decode_one_token` one token per row, both into a cache of a fixed size: the shape of
gpt-fast, and its idea to replay a decoded token as one captured CUDA graph. Greedy, the tokens are those of
`GPT.generate` as long as the text fits the context. Past it the two differ: positions are learned, so a cached context
cannot slide by one token, and `newer_half` says what is read again.
"""

import math
from typing import NamedTuple

import torch

from slm.devices import capture_cuda_graph
from slm.errors import UserError
from slm.text import tokenizer

NUMBERS = 256  # random numbers per row that are made at once
NOT_FINITE = "the model's logits are not finite numbers: give --dtype=float32, or a model from before its run failed"


def prompt_tokens(encoding, prompt):
    """The token ids that a model continues: end-of-text, which every story follows in training, then the prompt.

    A byte that was no UTF-8, which Python keeps as half a surrogate pair, is U+FFFD.
    """
    prompt = prompt.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return [encoding.eot_token, *tokenizer.encode_ordinary(encoding, prompt).tolist()]


def newer_half(context, block_size):
    """What a row keeps of its context, a list or array of token ids, and reads again from position 0.

    All of it up to block_size tokens. With one more, the context is full: its newest block_size // 2 tokens are kept.
    """
    return context if len(context) <= block_size else context[-max(1, block_size // 2) :]


# -- the cache --------------------------------------------------------------------------------------------------------


def new_kv_cache(model, rows):
    """An empty cache for so many sequences: (n_layer, 2, rows, n_head, block_size, head size), in the model's type."""
    config = model.config
    shape = (config.n_layer, 2, rows, config.n_head, config.block_size, config.n_embd // config.n_head)
    return model.lm_head.weight.new_zeros(shape)


class PrefillCache(NamedTuple):
    """A block's cache while `rows` (R,) of it are read from position 0: attention is causal within the new tokens."""

    kv: torch.Tensor  # (2, B, n_head, S, head size)
    rows: torch.Tensor

    def update(self, new):
        """new: keys and values (2, R, n_head, T, head size)."""
        self.kv[:, self.rows, :, : new.size(3)] = new.to(self.kv.dtype)
        return *new, None


class DecodeCache(NamedTuple):
    """A block's cache while each row gets one token, at a position that differs from row to row."""

    kv: torch.Tensor  # (2, B, n_head, S, head size)
    index: torch.Tensor  # (2, B, n_head, 1, head size): the position
    mask: torch.Tensor  # (B, 1, 1, S): 0 for the positions up to it, -inf for those after it

    def update(self, new):
        """new: keys and values (2, B, n_head, 1, head size)."""
        self.kv.scatter_(3, self.index, new.to(self.kv.dtype))
        return *self.kv, self.mask


def prefill(model, contexts, kv_cache, rows=None):
    """Read contexts, lists of token ids, into `rows` of the cache; returns the logits after each of them (R, V).

    Shorter contexts are padded on the right. The causal mask hides the padding, and decoded tokens overwrite it.
    """
    device, lengths = kv_cache.device, [len(context) for context in contexts]
    rows = torch.tensor(range(len(contexts)) if rows is None else rows, device=device)
    idx = torch.tensor([[*context] + [0] * (max(lengths) - len(context)) for context in contexts], device=device)
    x = model.hidden_states(idx, kv_caches=[PrefillCache(kv, rows) for kv in kv_cache])
    last = torch.tensor(lengths, device=device) - 1
    return model.logits(x[torch.arange(len(contexts), device=device), last])


def decode_one_token(model, token, position, kv_cache):
    """Read one token per row, token (B,) at position (B,), into the cache; returns the logits after it (B, V)."""
    seen = torch.arange(kv_cache.size(4), device=token.device) <= position[:, None, None, None]
    # a float mask, added to the scores: each block would turn a boolean one into this again
    mask = torch.zeros_like(seen, dtype=kv_cache.dtype).masked_fill(~seen, -math.inf)
    index = position[:, None, None, None].expand(2, -1, kv_cache.size(3), -1, kv_cache.size(5))
    caches = [DecodeCache(kv, index, mask) for kv in kv_cache]
    return model.logits(model.hidden_states(token[:, None], position[:, None], caches)[:, 0])


# -- sampling ---------------------------------------------------------------------------------------------------------


def uniforms(seeds, first, count):
    """Random numbers in [0, 1): for each seed (B,) int64, numbers first, first + 1, ... of its sequence, (B, count).

    The sequences are SplitMix64's (Steele et al. 2014): a number is a hash of its seed and its place. So the numbers of
    a row depend neither on the device nor on the other rows.
    """

    def xor_shift(x, bits):
        return x ^ ((x >> bits) & ((1 << (64 - bits)) - 1))  # int64 shifts copies of the sign in

    places = torch.arange(first + 1, first + 1 + count, device=seeds.device)
    x = seeds[:, None] + places * -0x61C8864680B583EB
    x = xor_shift(x, 30) * -0x40A7B892E31B1A47
    x = xor_shift(x, 27) * -0x6B2FB644ECCEEE15
    return (xor_shift(x, 31) >> 40 & (2**24 - 1)).float() / 2**24


def sample_token(logits, uniform, temperature=1.0, top_k=0, top_p=1.0):
    """Sample one token per row of logits (B, V): (B,) ids, -1 where the logits are not finite numbers.

    uniform: (B,) random numbers in [0, 1). temperature 0 takes the likeliest. top_k > 0 keeps the k likeliest tokens;
    top_p < 1 keeps the likeliest tokens that together reach p (nucleus sampling, Holtzman et al. 2020, arXiv
    1904.09751).
    """
    if temperature == 0:
        largest, choice = logits.max(dim=-1)
        return choice.where(largest < math.inf, -1)  # NaN counts as the largest, and is below nothing
    size, ids = logits.size(-1), None
    if 0 < top_k < size or top_p < 1:
        logits, ids = logits.topk(min(top_k or size, size), sorted=top_p < 1)
    probs = (logits.float() / max(temperature, 1e-6)).softmax(dim=-1)  # a smaller temperature overflows
    reached = probs.cumsum(dim=-1)
    total = reached[:, -1:]
    if top_p < 1:  # the likelier tokens reach p already; float32 has no p below 1e-45
        total = reached.masked_fill(reached - probs >= max(top_p, 1e-30), 0).amax(dim=-1, keepdim=True)
    # the first token that reaches more: token i with probability p_i, without a wait for the device
    choice = torch.searchsorted(reached, uniform[:, None] * total, right=True).clamp(max=reached.size(-1) - 1)
    choice = choice if ids is None else ids.gather(-1, choice)
    return choice.where(total > 0, -1)[:, 0]


class Batch:
    """Rows that a model continues side by side: the cache, the newest `token` (B,) of each row and its `position` (B,).

    generator: a torch.Generator of the CPU, which gives each row a seed; the default is torch's. sampling: the other
    arguments of `sample_token`. Neither method waits for the device.
    """

    def __init__(self, model, rows, generator=None, **sampling):
        self.model, self.sampling, self.size = model, sampling, model.config.block_size
        self.kv_cache = new_kv_cache(model, rows)
        self.token = torch.zeros(rows, dtype=torch.long, device=self.kv_cache.device)
        self.position = torch.zeros_like(self.token)
        # the CPU draws one after another, so a row's seed depends on no later row
        self.seeds = torch.randint(2**62, (rows,), generator=generator).to(self.token.device)
        self.random = torch.zeros(rows, NUMBERS, device=self.token.device)  # each row's next numbers
        self.place = torch.zeros(1, dtype=torch.long, device=self.token.device)  # of the next one among them
        self.sampled = 0  # tokens per row
        self.replay = None

    @torch.inference_mode()
    def prefill(self, contexts):
        """Read a context into each row and sample the token after it."""
        self.refill()
        self.sample(prefill(self.model, contexts, self.kv_cache))
        self.position.copy_(torch.tensor([len(context) for context in contexts]).clamp(max=self.size - 1))

    @torch.inference_mode()
    def decode(self):
        """Read each row's token and sample the next one. Call `prefill` first."""
        self.refill()
        if self.replay:
            self.replay()
            return
        self.launch()  # the first one, not captured: cuDNN allocates memory in it
        if self.token.is_cuda:
            self.replay = capture_cuda_graph(self.launch)

    @torch.inference_mode()
    def keep(self, rows):
        """Continue these rows alone; rows: a list of their numbers. Not after a capture, whose shape is fixed."""
        self.kv_cache = self.kv_cache[:, :, rows]
        kept = (tensor[rows] for tensor in (self.token, self.position, self.seeds, self.random))
        self.token, self.position, self.seeds, self.random = kept

    def refill(self):
        if self.sampled % NUMBERS == 0:
            self.random.copy_(uniforms(self.seeds, self.sampled, NUMBERS))
            self.place.zero_()
        self.sampled += 1

    def sample(self, logits):
        self.token.copy_(sample_token(logits, self.random.index_select(1, self.place)[:, 0], **self.sampling))
        self.place.add_(1)

    def launch(self):
        known = self.token.clamp(min=0)  # of a row whose logits are not finite, the embedding has no token
        self.sample(decode_one_token(self.model, known, self.position, self.kv_cache))
        # the clamp is for rows that have ended or filled the context: what they get is not used
        self.position.add_(1).clamp_(max=self.size - 1)


def stream(model, prompts, max_new_tokens, temperature=1.0, top_k=0, top_p=1.0, stop_token=None, generator=None):
    """Continue several prompts at once; yield one list per step: each row's new token, None once the row has ended.

    prompts: non-empty lists of token ids, of any lengths; the model sees the last block_size of them. temperature,
    top_k, top_p: see `sample_token`. A row ends after `stop_token` (which is yielded) or `max_new_tokens`. generator: a
    torch.Generator of the CPU, for a repeatable result: what a row samples depends on no later row. Raises UserError
    where the logits are not finite.
    """
    size, was_training = model.config.block_size, model.training
    contexts = [list(prompt)[-size:] for prompt in prompts]
    active, rows = [True] * len(contexts), list(range(len(contexts)))  # rows: which prompts the batch continues
    batch = Batch(model, len(contexts), temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
    model.eval()
    try:
        for number in range(max_new_tokens):
            if number == 0 or max(map(len, contexts)) > size:
                contexts = [newer_half(context, size) for context in contexts]
                batch.prefill([contexts[row] for row in rows])
            else:
                batch.decode()
            found = dict(zip(rows, batch.token.tolist(), strict=True))
            new_tokens = [found[row] if active[row] else None for row in range(len(active))]
            if -1 in new_tokens:
                raise UserError(NOT_FINITE)
            yield new_tokens
            for row, new in enumerate(new_tokens):
                if new is not None and new != stop_token:
                    contexts[row].append(new)
                elif active[row]:  # the row ends: its one token never fills the context
                    active[row], contexts[row] = False, contexts[row][:1]
            if not any(active):
                return
            if not batch.replay and 2 * sum(active) <= len(rows):  # a captured graph has one shape
                kept = [place for place, row in enumerate(rows) if active[row]]
                batch.keep(kept)
                rows = [rows[place] for place in kept]
    finally:
        model.train(was_training)


def generate(model, prompts, max_new_tokens, **options):
    """The new tokens of each prompt as a list, without the stop token. Arguments: see `stream`."""
    stories = [[] for _ in prompts]
    for new_tokens in stream(model, prompts, max_new_tokens, **options):
        for story, token in zip(stories, new_tokens, strict=True):
            if token is not None and token != options.get("stop_token"):
                story.append(token)
    return stories
