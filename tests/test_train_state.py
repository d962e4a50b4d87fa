"""slm/training/train_state.py: the numbers that a run resumes with, and the sums over its steps."""

import math
from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch

from slm.errors import UserError
from slm.training.train_state import MOST_FAILED_STEPS, StepMetrics, TrainState

ALONE = SimpleNamespace(world_size=1, all_reduce=lambda values: values)


def metrics_of(state=None, group=ALONE):
    return StepMetrics(torch.device("cpu"), state or TrainState(), group)


def update(metrics, loss, grad_norm=1.0, failed=False, **more):
    means = {name: torch.tensor(value) for name, value in {"train_loss": loss, **more}.items()}
    metrics.update(means, torch.tensor(grad_norm), torch.tensor(failed))


def read(metrics):
    state = TrainState()
    metrics.read(state)
    return state


# -- the state --------------------------------------------------------------------------------------------------------


def test_there_and_back():
    state = TrainState(step=7, logged=6, seconds=1.5, best=3.25, micro_batch=4, corpus="abc", sums={"train_loss": 2.0})
    assert TrainState(**state.to_dict()) == state
    assert set(state.to_dict()) == {field.name for field in fields(TrainState)}


# -- the sums ---------------------------------------------------------------------------------------------------------


def test_sums_of_a_line():
    metrics = metrics_of()
    for loss in (3.0, 2.0, 1.0):
        update(metrics, loss, grad_norm=loss / 2, another=10 * loss)
    state = read(metrics)
    assert (state.counted, state.sums, state.grad_norm) == (3, {"train_loss": 6.0, "another": 60.0}, 0.5)
    metrics.start_line(state)
    assert (state.counted, state.sums) == (0, {"train_loss": 0, "another": 0})
    update(metrics, 5.0, another=1.0)
    assert (read(metrics).counted, read(metrics).sums) == (1, {"train_loss": 5.0, "another": 1.0})


def test_a_resumed_run_continues_in_the_middle_of_a_line():
    metrics = metrics_of()
    update(metrics, 3.0)
    update(metrics, math.nan, math.nan, failed=True)
    again = metrics_of(read(metrics))
    for one in (metrics, again):
        update(one, 2.0)
    assert read(again) == read(metrics)


def test_a_metric_is_the_mean_over_processes():
    """Each process measures its own sequences; the sum so far in the checkpoint is that mean, and counts once."""
    saved = TrainState(counted=3, sums={"train_loss": 9.0})
    shares = []
    for loss in (1.0, 2.0):
        group = SimpleNamespace(world_size=2, all_reduce=lambda values: shares.append(values[0]) or values)
        metrics = metrics_of(saved, group)
        update(metrics, loss)
        assert read(metrics).counted == 4
    assert sum(shares) / 2 == 9.0 + 1.5


@pytest.mark.parametrize("seed", range(5))
def test_a_stop_changes_no_digit_of_the_log(seed):
    """The mean of many steps of several processes, of which a stop in the middle keeps the mean over them."""
    random = torch.Generator().manual_seed(seed)
    processes = 2 + seed % 3
    losses = 11 * torch.rand(40, processes, generator=random)

    def after(states, losses):
        """The state that processes leave which begin with `states`, and the next one's states."""
        groups = [metrics_of(state, SimpleNamespace(world_size=processes, all_reduce=list)) for state in states]
        for step in losses.tolist():
            for metrics, loss in zip(groups, step, strict=True):
                update(metrics, loss)
        sums = [sum(values) for values in zip(*(metrics.sums.tolist() for metrics in groups), strict=True)]
        groups[0].group.all_reduce = lambda _: sums
        return [read(groups[0])] * processes

    whole = after([None] * processes, losses)
    halves = after(after([None] * processes, losses[:17]), losses[17:])
    assert f"{whole[0].sums['train_loss'] / 40:.12g}" == f"{halves[0].sums['train_loss'] / 40:.12g}"


def test_steps_that_are_not_finite():
    """They count in no mean; they are counted apart, unless float16's scale is still to blame."""
    metrics = metrics_of()
    update(metrics, 3.0)
    update(metrics, math.nan, math.inf, failed=True)
    update(metrics, 3.0, math.nan, failed=True)
    state = read(metrics)
    assert (state.counted, state.sums, state.failed, state.failed_in_a_row) == (1, {"train_loss": 3.0}, 2, 2)
    update(metrics, 3.0, math.inf, failed=False)
    assert (read(metrics).failed, read(metrics).failed_in_a_row) == (2, 0)
    update(metrics, math.nan, math.nan, failed=True)
    update(metrics, 3.0)
    assert (read(metrics).failed, read(metrics).failed_in_a_row) == (3, 0)


def test_many_of_them_in_a_row_end_a_run(tmp_path):
    metrics = metrics_of()
    for _ in range(MOST_FAILED_STEPS - 1):
        update(metrics, math.nan, math.nan, failed=True)
    metrics.check_finite(tmp_path / "last.pt")
    update(metrics, math.nan, math.nan, failed=True)
    with pytest.raises(UserError) as raised:
        metrics.check_finite(tmp_path / "last.pt")
    assert "10 steps in a row had a gradient that is not finite: try a lower --learning_rate" in str(raised.value)
    assert "last.pt" not in str(raised.value), "there is none"
    (tmp_path / "last.pt").touch()
    with pytest.raises(UserError, match=r"last\.pt has the model from before them"):
        metrics.check_finite(tmp_path / "last.pt")
    update(metrics, 3.0)
    metrics.check_finite(tmp_path / "last.pt")
