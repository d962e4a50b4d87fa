"""Prepared tokens as batches: which sequences make a step, and how they reach the device.

The corpus is a ring: its last end-of-text is followed by its first story. An epoch cuts the ring into windows of
block_size tokens at a random offset and visits them in a random order, so every token is trained on once, except the
fewer than block_size tokens left over at the cut. A corpus shorter than a window is one window: the whole ring from a
random place on, and no targets behind it. Which sequences make a step depends on the seed and on how many came before.
"""

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch


class TrainBatches:
    """The sequences of each step, of a run that counts its sequences from 0 over all epochs.

    `batches[first]` is a (B, block_size + 1) int64 tensor on the device: this process's share, in order, of the step
    that begins with sequence `first`; -1 behind the end of a corpus shorter than a window. file: a TokenFile. config:
    its block_size, sequences_per_step and seed. While the device computes a step, a thread reads the next one into
    pinned memory.
    """

    def __init__(self, file, config, device, rank=0, world_size=1):
        self.file, self.block_size, self.sequences = file, config.block_size, config.sequences_per_step
        self.seed, self.device = config.seed, device
        self.windows = max(1, file.tokens // self.block_size)  # in an epoch
        self.share = slice(rank * self.sequences // world_size, (rank + 1) * self.sequences // world_size)
        self.thread = ThreadPoolExecutor(1, "batches")
        self.next_first, self.next_batch = None, None  # the step that the thread reads, and its future

    @property
    def tokens_per_step(self):
        """How many tokens a step predicts, of all processes together."""
        return self.sequences * min(self.block_size, self.file.tokens)

    @functools.lru_cache(maxsize=2)  # noqa: B019 - a step may span two epochs; one object lives as long as the run
    def epoch_starts(self, epoch):
        """Where each window of an epoch starts, in training order: (windows,) int64."""
        random = np.random.default_rng((self.seed, epoch))
        offset = random.integers(self.block_size if self.windows > 1 else self.file.tokens)
        return offset + self.block_size * random.permutation(self.windows)

    def starts(self, first):
        """Where each sequence of a step starts, of all processes together: (sequences_per_step,) int64."""
        numbers = np.arange(first, first + self.sequences)
        epochs, places = numbers // self.windows, numbers % self.windows
        return np.concatenate([self.epoch_starts(epoch)[places[epochs == epoch]] for epoch in np.unique(epochs)])

    def read(self, first):
        batch = torch.from_numpy(self.file.read_windows(self.starts(first)[self.share], self.block_size + 1))
        batch[:, self.file.tokens + 1 :] = -1  # the ring is over: what follows could be copied from the window itself
        return batch.pin_memory() if self.device.type == "cuda" else batch

    def __getitem__(self, first):
        batch = self.next_batch.result() if self.next_first == first else self.read(first)
        self.next_first = first + self.sequences
        self.next_batch = self.thread.submit(self.read, self.next_first)
        return batch.to(self.device, non_blocking=True)


def validation_windows(file, block_size, most):
    """The numbers of the windows of a TokenFile to validate on: all, or `most` of them, spread evenly (0: all)."""
    windows = np.arange(-(-file.tokens // block_size))
    if 0 < most < len(windows):
        windows = np.linspace(0, len(windows) - 1, most).round().astype(np.int64)
    return windows


def validation_batches(file, block_size, batch_size, max_windows, device, rank=0, world_size=1):
    """Yield (idx, targets, count): windows over a TokenFile, in order, that predict each of its tokens once.

    idx, targets: (batch_size, block_size); targets past the end of the file are -1, count is how many are not.
    max_windows: 0 for all windows, else how many, spread evenly over the file. Processes take turns.
    """
    windows = validation_windows(file, block_size, max_windows)
    for first in range(rank * batch_size, len(windows), world_size * batch_size):
        starts = windows[first : first + batch_size] * block_size
        batch = file.read_windows(starts - 1, block_size + 1)  # end-of-text predicts the first token of a story
        batch[:, 1:][starts[:, None] + np.arange(block_size) >= file.tokens] = -1
        count = int((batch[:, 1:] >= 0).sum())
        filled = np.full((batch_size, block_size + 1), -1)  # always one shape: compiled code needs it
        filled[: len(batch)] = batch
        idx, targets = filled[:, :-1].clip(0), filled[:, 1:]
        yield torch.from_numpy(idx).to(device), torch.from_numpy(targets).to(device), count
