"""Prepared tokens as batches: which sequences make a step, and how they reach the device.

The corpus is read as a ring, the end-of-text after its last story standing before its first. An epoch cuts the ring
into windows of block_size tokens at a fresh random offset and goes through them in a fresh random order, so every
token is trained on once, but for the fewer than block_size left over at the cut. Which sequences make a step depends
on the seed and the step alone.
"""

import functools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

import tokenizer
from configuration import UserError


class Corpus:
    """A prepared folder, checked: `.meta`, the tokenizer's `.tokenizer_text`, and the paths of its token files.

    Raises UserError where the folder is missing or damaged.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        try:
            self.meta = json.loads((self.folder / "meta.json").read_text())
            text = (self.folder / self.meta["tokenizer"]).read_text()
            self.vocab_size = self.meta["vocab_size"]
            splits, sha256 = self.meta["splits"], self.meta["tokenizer_sha256"]
            self.tokens = {name: splits[name]["tokens"] for name in ("train", "validation")}
            self.text_bytes = splits["validation"]["text_bytes"]
        except FileNotFoundError as error:
            prepared = sorted(meta.parent.name for meta in self.folder.parent.glob("*/meta.json"))
            others = f" (prepared: {', '.join(prepared)})" if prepared else ""
            raise UserError(f"no prepared data in {self.folder}{others}: run `python prepare.py` first") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.folder}/meta.json is damaged ({error}): run `python prepare.py --force`") from error
        if tokenizer.sha256(text) != sha256:
            raise UserError(f"{self.folder}: the tokenizer is not the one the tokens were made with: prepare it again")
        self.tokenizer_text = text
        for name, tokens in self.tokens.items():
            size = self.path(name).stat().st_size if self.path(name).exists() else 0
            if size != 2 * tokens:
                raise UserError(
                    f"{self.path(name)} has {size:,} bytes where meta.json says {2 * tokens:,}: prepare it again"
                )

    def path(self, split):
        return self.folder / f"{split}.bin"

    def stories(self, split):
        """Yield the token ids of each story of a split, its end-of-text left out: uint16 arrays."""
        tokens = np.memmap(self.path(split), np.uint16, "r")
        start = 0
        for end in np.flatnonzero(tokens == self.meta["end_of_text"]):
            yield tokens[start:end]
            start = end + 1

    def check_windows(self, block_size):
        """Raise UserError where a split is shorter than one window of `block_size` tokens."""
        for name, tokens in self.tokens.items():
            if tokens < block_size:
                raise UserError(
                    f"the {name} split of {self.folder} has {tokens} tokens, fewer than one window of block_size"
                    f" {block_size}: give more text, a smaller --block_size, or prepare it with a larger"
                    " --validation_fraction"
                )


def read_windows(path, starts, length):
    """The `length` tokens from each of `starts` on, the file being a ring: (len(starts), length) int64.

    The file is mapped anew each time: pages once touched count as resident memory until they are unmapped.
    """
    tokens = np.memmap(path, np.uint16, "r")
    positions = np.asarray(starts)[:, None] + np.arange(length)
    return tokens.take(positions, mode="wrap").astype(np.int64)


class TrainBatches:
    """The sequences of each step: `batches[step]` is a (sequences, block_size + 1) int64 tensor on the device.

    sequences: how many make one step over all processes. rank of world: this process gets its share of them, in order.
    While a step is computed, a thread reads the next from the disk into pinned memory.
    """

    def __init__(self, path, block_size, sequences, seed, device, rank=0, world=1):
        self.path, self.block_size, self.sequences, self.seed, self.device = path, block_size, sequences, seed, device
        self.tokens = path.stat().st_size // 2
        self.windows = self.tokens // block_size  # in an epoch
        self.share = slice(rank * sequences // world, (rank + 1) * sequences // world)
        self.thread = ThreadPoolExecutor(1, "batches")
        self.ahead = (None, None)  # the step that is being read, and its future

    @functools.lru_cache(maxsize=2)  # noqa: B019 - a step may span two epochs; one object lives as long as the run
    def epoch_starts(self, epoch):
        """Where each window of an epoch starts, in the order of training."""
        random = np.random.default_rng((self.seed, epoch))
        offset = random.integers(self.block_size)
        return offset + self.block_size * random.permutation(self.windows)

    def starts(self, step):
        """Where each sequence of a step starts, for all processes together."""
        numbers = np.arange(step * self.sequences, (step + 1) * self.sequences)
        epochs, places = numbers // self.windows, numbers % self.windows
        return np.concatenate([self.epoch_starts(epoch)[places[epochs == epoch]] for epoch in np.unique(epochs)])

    def read(self, step):
        batch = torch.from_numpy(read_windows(self.path, self.starts(step)[self.share], self.block_size + 1))
        return batch.pin_memory() if self.device.type == "cuda" else batch

    def __getitem__(self, step):
        read_step, future = self.ahead
        batch = future.result() if read_step == step else self.read(step)
        self.ahead = (step + 1, self.thread.submit(self.read, step + 1))
        return batch.to(self.device, non_blocking=True)


def validation_batches(path, block_size, batch_size, max_windows, device, rank=0, world=1):
    """Yield (idx, targets, count): windows over the split, in order, that predict each of its tokens once.

    idx, targets: (batch_size, block_size); the targets past the end of the split are -1, count is how many are not.
    max_windows: 0 for the whole split, else so many windows spread evenly over it. Processes take turns.
    """
    tokens = path.stat().st_size // 2
    windows = np.arange(-(-tokens // block_size))
    if 0 < max_windows < len(windows):
        windows = np.linspace(0, len(windows) - 1, max_windows).round().astype(np.int64)
    for first in range(rank * batch_size, len(windows), world * batch_size):
        starts = windows[first : first + batch_size] * block_size
        batch = read_windows(path, starts - 1, block_size + 1)  # a story's first token is predicted from end-of-text
        batch[:, 1:][starts[:, None] + np.arange(block_size) >= tokens] = -1
        count = int((batch[:, 1:] >= 0).sum())
        filled = np.full((batch_size, block_size + 1), -1)  # the same shape always, which compiled code needs
        filled[: len(batch)] = batch
        idx, targets = filled[:, :-1].clip(0), filled[:, 1:]
        yield torch.from_numpy(idx).to(device), torch.from_numpy(targets).to(device), count
