"""Levers of the batches: how large they are, and in which order the stories come. See changes.py."""

import functools
from dataclasses import replace

import numpy as np
import torch

import train
from experiments.changes_weights import between_steps, nothing
from slm import devices
from slm.training.batches import TrainBatches


def grow(patch, config, value):
    """The first `value` of the tokens in steps of half the batch; the schedule follows the tokens."""
    whole = replace(config)
    small = round(2 * value * config.max_iters)  # steps of half a batch
    config.batch_size //= 2
    config.max_iters = small + round((1 - value) * config.max_iters)

    def by_tokens(get_lr):
        return lambda step, _, start=0: get_lr(min(step, small) / 2 + max(0, step - small), whole, start)

    def double(parameters, run):
        if run.state.step == small < run.config.max_iters:
            run.config.batch_size = whole.batch_size
            batches = run.setup.batches
            batches.sequences, batches.next_first = run.config.sequences_per_step, None
            batches.share = slice(0, batches.sequences)
            devices.synchronize(run.setup.device)
            run.stepper.run.replay = None  # a captured step has one shape: the next one is captured again

    patch(train, "get_lr", by_tokens)
    between_steps(patch, double, nothing)


def reshuffle(patch, config, value):
    """The stories of the ring in another order each epoch."""

    @functools.lru_cache(maxsize=2)  # a step may span two epochs
    def ring(file, seed, epoch):
        tokens = np.array(file.map())
        stories = np.split(tokens, np.flatnonzero(tokens == tokens[-1])[:-1] + 1)  # the last token ends a story
        order = np.random.default_rng((seed, epoch, 1)).permutation(len(stories))
        return np.concatenate([stories[number] for number in order])

    def read(self, first):
        rows = []
        for number in np.arange(first, first + self.sequences)[self.share]:
            epoch, place = divmod(int(number), self.windows)
            positions = self.epoch_starts(epoch)[place] + np.arange(self.block_size + 1)
            rows.append(ring(self.file, self.seed, epoch).take(positions, mode="wrap"))
        batch = torch.from_numpy(np.stack(rows).astype(np.int64))
        return batch.pin_memory() if self.device.type == "cuda" else batch

    patch(TrainBatches, "read", lambda _: read)
