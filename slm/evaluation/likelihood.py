"""How likely a model finds texts: their total log-likelihoods, of a GPT, and of a unigram and a bigram model.

A text is its token ids after an end-of-text, as in training. Each scorer takes a list of id arrays and returns the sum
of log p(token | what precedes it) of each, in nats.
"""

import contextlib

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

BATCH_TOKENS, LOGITS = 2**13, 2**22  # of a batch; of a chunk, in float32: they stay near a CPU's caches
GPU_BATCH_TOKENS, GPU_LOGITS = 2**17, 2**27
COUNTED_TOKENS = 2**24  # of the train split, from its start: enough for a bigram, and seconds


@contextlib.contextmanager
def whole_float32():
    """Products in float32 itself. A run allows a GPU TF32 for them, with 10 bits of a number in place of 23."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class ModelScorer:
    """The log-likelihoods that a GPT gives: a forward pass a batch, in float32, the head in chunks of tokens.

    Texts of similar lengths share a batch, padded on the right, where the causal mask hides the padding. Half
    precision would do as well for most pairs; float32 gives the same share on every device.
    """

    def __init__(self, model, end_of_text, progress=False):
        self.model, self.end_of_text, self.progress = model, end_of_text, progress

    @torch.no_grad()
    @whole_float32()
    def __call__(self, texts):
        model, was_training = self.model, self.model.training
        device = model.lm_head.weight.device
        budget = BATCH_TOKENS if device.type == "cpu" else GPU_BATCH_TOKENS
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        totals = np.zeros(len(texts))
        model.eval()
        try:
            with tqdm(
                total=sum(map(len, texts)),
                desc="sense",
                unit=" tokens",
                unit_scale=True,
                leave=False,
                disable=None if self.progress else True,
            ) as bar:
                while order:
                    longest = max(1, len(texts[order[-1]]))
                    count = max(1, budget // longest)
                    batch, order = order[-count:], order[:-count]
                    totals[batch] = self.score_batch([texts[i] for i in batch], longest, device)
                    bar.update(sum(len(texts[i]) for i in batch))
        finally:
            model.train(was_training)
        return totals

    def score_batch(self, texts, longest, device):
        """texts: of at most `longest` <= block_size tokens. Returns (len(texts),) sums."""
        targets = np.full((len(texts), longest), -1, np.int64)
        for row, ids in zip(targets, texts, strict=True):
            row[: len(ids)] = ids
        idx = np.concatenate([np.full((len(texts), 1), self.end_of_text), targets[:, :-1].clip(0)], axis=1)
        idx, targets = torch.from_numpy(idx).to(device), torch.from_numpy(targets).to(device)
        x = self.model.hidden_states(idx)
        row_of, place = (targets >= 0).nonzero(as_tuple=True)
        x, targets = x[row_of, place], targets[row_of, place]
        chunk = max(1, (LOGITS if device.type == "cpu" else GPU_LOGITS) // self.model.config.vocab_size)
        nats = [
            F.cross_entropy(self.model.logits(x[i : i + chunk]).float(), targets[i : i + chunk], reduction="none")
            for i in range(0, len(x), chunk)
        ]
        nats = torch.cat(nats).cpu().numpy().astype(np.float64)
        return -np.bincount(row_of.cpu().numpy(), nats, minlength=len(texts))


class NgramScorer:
    """What counts of tokens and of pairs of tokens give. tokens: of the training text; order: 1 or 2.

    A unigram is smoothed by one count a token. A bigram is interpolated with it by Witten and Bell's weights (1991):
    after a token with many different followers a new one is likelier.
    """

    def __init__(self, tokens, vocab_size, end_of_text, order):
        tokens = np.asarray(tokens[:COUNTED_TOKENS]).astype(np.int64)
        self.vocab_size, self.end_of_text, self.order = vocab_size, end_of_text, order
        counts = np.bincount(tokens, minlength=vocab_size)
        self.unigram = (counts + 1) / (counts.sum() + vocab_size)
        if order == 2:
            self.keys, self.pairs = np.unique(tokens[:-1] * vocab_size + tokens[1:], return_counts=True)
            first = self.keys // vocab_size
            self.followers = np.bincount(first, minlength=vocab_size)
            self.begun = np.bincount(first, self.pairs, minlength=vocab_size)

    def __call__(self, texts):
        lengths = np.array([len(text) for text in texts])
        rows = np.repeat(np.arange(len(texts)), lengths)
        tokens = np.concatenate([np.asarray(text, np.int64) for text in texts])
        probability = self.unigram[tokens]
        if self.order == 2:
            before = np.concatenate([[self.end_of_text], tokens[:-1]])
            before[(np.cumsum(lengths) - lengths)[lengths > 0]] = self.end_of_text
            key = before * self.vocab_size + tokens
            place = np.searchsorted(self.keys, key).clip(max=len(self.keys) - 1)
            count = np.where(self.keys[place] == key, self.pairs[place], 0)
            kinds = self.followers[before]
            with np.errstate(invalid="ignore"):
                mixed = (count + kinds * probability) / (self.begun[before] + kinds)
            probability = np.where(kinds > 0, mixed, probability)
        return np.bincount(rows, np.log(probability), minlength=len(texts))
