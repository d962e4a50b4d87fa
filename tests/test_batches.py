"""slm/training/batches.py: which tokens make a step."""

import os
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from slm.errors import UserError
from slm.text.corpus import TokenFile
from slm.training.batches import TrainBatches, validation_batches

CPU = torch.device("cpu")


@pytest.fixture
def token_path(tmp_path):
    """A file of 1,003 tokens, each of which is its place."""
    np.arange(1003, dtype=np.uint16).tofile(tmp_path / "t.bin")
    return tmp_path / "t.bin"


def train_batches(path, sequences, seed=1, rank=0, world_size=1):
    config = SimpleNamespace(block_size=10, sequences_per_step=sequences, seed=seed)
    return TrainBatches(TokenFile(path), config, CPU, rank, world_size)


# -- batches ----------------------------------------------------------------------------------------------------------


def test_windows_of_a_ring(token_path):
    windows = TokenFile(token_path).read_windows([5, 1000, -1], 5)
    assert windows.dtype == np.int64
    assert windows.tolist() == [[5, 6, 7, 8, 9], [1000, 1001, 1002, 0, 1], [1002, 0, 1, 2, 3]]


def test_each_token_is_trained_on_once_an_epoch(token_path):
    """100 windows of 10: each of the 1,003 tokens but the 3 at the cut is a target once, in a new order and cut."""
    batches = train_batches(token_path, sequences=20)
    epochs = []
    for epoch in range(2):
        steps = torch.cat([batches[20 * step] for step in range(5 * epoch, 5 * epoch + 5)])
        assert steps.shape == (100, 11)
        assert torch.equal(steps[:, 1:], (steps[:, :-1] + 1) % 1003), "a window is not a piece of the text"
        targets = steps[:, 1:].flatten().tolist()
        assert len(set(targets)) == len(targets) == 1000
        epochs.append(steps[:, 0].tolist())
    assert epochs[0] != epochs[1] and {start % 10 for start in epochs[0]} != {start % 10 for start in epochs[1]}


def test_a_batch_depends_on_the_seed_and_its_place_alone(token_path):
    """Also across the end of an epoch (100 windows, 24 a step), in any order, and however many processes share it."""
    first = train_batches(token_path, 24)
    expected = [first[24 * step] for step in range(10)]
    again = train_batches(token_path, 24)
    for step in (9, 4, 5, 0):
        assert torch.equal(again[24 * step], expected[step])
    assert not torch.equal(train_batches(token_path, 24, seed=2)[0], expected[0])
    for world_size in (2, 3, 8):
        shares = [train_batches(token_path, 24, 1, rank, world_size)[96] for rank in range(world_size)]
        assert torch.equal(torch.cat(shares), expected[4])


def test_another_batch_goes_on_where_the_last_one_ended(token_path):
    """Two steps of 24 and then steps of 10: an epoch of 100 windows is still each window once."""
    before, after = train_batches(token_path, 24), train_batches(token_path, 10)
    windows = [before[0], before[24], *(after[first] for first in range(48, 98, 10))]
    expected = train_batches(token_path, 98)[0]
    assert torch.equal(torch.cat(windows), expected) and len(expected[:, 0].unique()) == 98


def test_a_step_of_several_epochs(token_path):
    """A corpus of 100 windows and 250 sequences a step: each window occurs two or three times."""
    starts = train_batches(token_path, 250).starts(0)
    assert len(starts) == 250
    assert sorted(np.unique(starts[:100] - starts[:100].min())) == sorted(10 * np.arange(100))


@pytest.mark.parametrize("tokens", [1, 2, 9, 10, 11, 19])
def test_a_corpus_shorter_than_a_window(tmp_path, tokens):
    """Each sequence has each token as a target once, from another place of the ring on; so does the validation."""
    np.arange(tokens, dtype=np.uint16).tofile(tmp_path / "t.bin")
    batch = train_batches(tmp_path / "t.bin", 200)[0]
    predicted = min(tokens, 10)
    assert batch.shape == (200, 11) and (batch[:, predicted + 1 :] == -1).all()
    for sequence in batch.tolist():
        assert len(set(sequence[1 : predicted + 1])) == predicted
        assert all(after == (before + 1) % tokens for before, after in pairwise(sequence[: predicted + 1]))
    assert len(batch[:, 0].unique()) == tokens, "no place of the ring is left out"
    targets = torch.cat([targets for _, targets, _ in validation_batches(TokenFile(tmp_path / "t.bin"), 10, 4, 0, CPU)])
    assert sorted(targets[targets >= 0].tolist()) == list(range(tokens))


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 8, 500])
def test_validation_predicts_each_token_once(token_path, world_size, batch_size):
    seen = []
    for rank in range(world_size):
        for idx, targets, count in validation_batches(TokenFile(token_path), 10, batch_size, 0, CPU, rank, world_size):
            assert idx.shape == targets.shape == (batch_size, 10)
            predicted = targets >= 0
            assert count == predicted.sum()
            assert torch.equal((idx[predicted] + 1) % 1003, targets[predicted])
            seen += targets[predicted].tolist()
    assert sorted(seen) == list(range(1003))


def test_some_windows_of_the_validation_split(token_path):
    """Ten windows, spread evenly from the first to the last."""
    targets = torch.cat([targets for _, targets, _ in validation_batches(TokenFile(token_path), 10, 4, 10, CPU)])
    starts = [row[0].item() for row in targets if row[0] >= 0]
    assert len(starts) == 10 and starts[0] == 0 and starts[-1] == 1000
    gaps = np.diff(starts)
    assert gaps.max() - gaps.min() <= 10


# -- a file that changes while a run reads it -------------------------------------------------------------------------


def test_a_corpus_that_is_replaced(token_path):
    """`prepare.py --force` gives the name to another file: the run reads the one it began with."""
    batches = train_batches(token_path, 20)
    expected = [batches[20 * step] for step in range(5)]
    batches = train_batches(token_path, 20)
    assert torch.equal(batches[0], expected[0])
    np.zeros(2000, np.uint16).tofile(token_path.with_name("new"))
    os.replace(token_path.with_name("new"), token_path)
    for step in range(1, 5):
        assert torch.equal(batches[20 * step], expected[step])


def test_a_corpus_that_becomes_shorter(token_path):
    """Never zeros, and never the beginning in place of the end."""
    batches = train_batches(token_path, 20)
    batches[0]
    os.truncate(token_path, 1000)
    with pytest.raises(UserError, match=r"t\.bin has become shorter while it was read: prepare it again"):
        for step in range(1, 4):  # the next step is in memory already
            batches[20 * step]
    with pytest.raises(UserError, match="shorter"):
        batches.file.read_windows([0], 10)
