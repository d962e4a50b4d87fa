"""slm/training/train_state.py: the numbers that a run resumes with, and the sums over its steps."""

import math
from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch

from slm.errors import UserError
from slm.training.train_state import BAD_STEPS_IN_A_ROW, StepMetrics, TrainState

ALONE = SimpleNamespace(is_main=True, all_reduce=lambda values: values)


def metrics_of(state=None, group=ALONE):
    return StepMetrics(torch.device("cpu"), state or TrainState(), group)


def update(metrics, loss, grad_norm=1.0, is_error=True):
    metrics.update(torch.tensor(loss), torch.tensor(grad_norm), torch.tensor(is_error))


def read(metrics):
    state = TrainState()
    metrics.read(state)
    return state


# -- the state --------------------------------------------------------------------------------------------------------


def test_there_and_back():
    state = TrainState(step=7, logged=6, seconds=1.5, best=3.25, micro_batch=4, corpus="abc")
    assert TrainState.from_dict(state.to_dict()) == state
    assert set(state.to_dict()) == {field.name for field in fields(TrainState)}


def test_a_field_more_or_less():
    """A checkpoint from before a field was added, and one from after, both load."""
    assert TrainState.from_dict({"step": 3}) == TrainState(step=3)
    assert TrainState.from_dict({"step": 3, "a field of tomorrow": 1}) == TrainState(step=3)


# -- the sums ---------------------------------------------------------------------------------------------------------


def test_sums_of_a_line():
    metrics = metrics_of()
    for loss in (3.0, 2.0, 1.0):
        update(metrics, loss, grad_norm=loss / 2)
    state = read(metrics)
    assert (state.losses, state.loss_sum, state.grad_norm) == (3, 6.0, 0.5)
    metrics.start_line(state)
    assert (state.losses, state.loss_sum) == (0, 0)
    update(metrics, 5.0)
    assert (read(metrics).losses, read(metrics).loss_sum) == (1, 5.0)


def test_a_resumed_run_continues_in_the_middle_of_a_line():
    metrics = metrics_of()
    update(metrics, 3.0)
    update(metrics, math.nan, math.nan)
    again = metrics_of(read(metrics))
    for one in (metrics, again):
        update(one, 2.0)
    assert read(again) == read(metrics)


def test_processes_count_the_sum_so_far_once():
    """Each process adds its share of the loss; rank 0's sum in the checkpoint is that of all of them."""
    saved = TrainState(losses=3, loss_sum=9.0)
    shares = []
    for rank in range(2):
        group = SimpleNamespace(is_main=rank == 0, all_reduce=lambda values: shares.append(values[0]) or values)
        metrics = metrics_of(saved, group)
        update(metrics, 1.5)
        state = read(metrics)
        assert state.losses == 4
    assert sum(shares) == 9.0 + 2 * 1.5


def test_steps_that_are_not_finite():
    """They are no part of the mean loss; they are counted, unless float16's scale is still to blame."""
    metrics = metrics_of()
    update(metrics, 3.0)
    update(metrics, math.nan, math.inf)
    update(metrics, 3.0, math.nan)
    state = read(metrics)
    assert (state.losses, state.loss_sum, state.skipped, state.skipped_in_a_row) == (1, 3.0, 2, 2)
    update(metrics, 3.0, math.inf, is_error=False)
    assert (read(metrics).skipped, read(metrics).skipped_in_a_row) == (2, 0)
    update(metrics, math.nan, math.nan)
    update(metrics, 3.0)
    assert (read(metrics).skipped, read(metrics).skipped_in_a_row) == (3, 0)


def test_many_of_them_in_a_row_end_a_run(tmp_path):
    metrics = metrics_of()
    for _ in range(BAD_STEPS_IN_A_ROW - 1):
        update(metrics, math.nan, math.nan)
    metrics.check_finite(tmp_path / "last.pt")
    update(metrics, math.nan, math.nan)
    with pytest.raises(UserError) as raised:
        metrics.check_finite(tmp_path / "last.pt")
    assert "10 steps in a row had a gradient that is not finite: try a lower --learning_rate" in str(raised.value)
    assert "last.pt" not in str(raised.value), "there is none"
    (tmp_path / "last.pt").touch()
    with pytest.raises(UserError, match=r"last\.pt has the model from before them"):
        metrics.check_finite(tmp_path / "last.pt")
    update(metrics, 3.0)
    metrics.check_finite(tmp_path / "last.pt")
