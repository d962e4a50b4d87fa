"""slm/training/average.py: the average of the weights, in a run, in its files and after a resume."""

import random
from types import SimpleNamespace

import pytest
import torch
from conftest import SMALL_RUN, assert_mistake, call, log_of, same_tensors, signal_in_step, small_config

import train
from slm.models import checkpoint
from slm.training import micro_batch, stepper
from slm.training.average import WeightAverage
from slm.training.progress import step_header
from slm.training.train_state import TrainState

EMA = "--ema=0.4"


def options(steps, out, *more):
    return [
        *SMALL_RUN,
        "--min_lr=1e-3",
        "--warmup_iters=0",
        "--lr_decay_iters=12",
        f"--max_iters={steps}",
        f"--out_dir=out/{out}",
        *more,
    ]


def last(name):
    return checkpoint.load_checkpoint(f"out/{name}/last.pt")


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.999])
def test_the_average_of_a_series(share):
    """In float64, beside the formula: step t moves the average by 1 / (share x t), the first ones by all."""
    values = [random.Random(1).uniform(-1, 1) * step for step in range(1, 60)]
    model = torch.nn.Linear(1, 1, bias=False).double()
    average, expected = WeightAverage(model, share), 0.0
    for step, value in enumerate(values, start=1):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update(step)
        expected += (value - expected) / max(1, share * step)
        with average.in_model():
            assert model.weight.item() == pytest.approx(expected, rel=1e-12)
        assert model.weight.item() == value
    assert share < 0.99 or expected == pytest.approx(sum(values) / len(values), rel=1e-2)
    assert share > 0.02 or expected == value


def test_an_error_leaves_the_weights_that_training_goes_on_with():
    model = torch.nn.Linear(3, 3)
    before = model.weight.clone()
    average = WeightAverage(model, 0.9)
    with torch.no_grad():
        model.weight.add_(1)
    with pytest.raises(KeyboardInterrupt), average.in_model():
        assert torch.equal(model.weight, before)
        raise KeyboardInterrupt
    assert torch.equal(model.weight, before + 1)


def test_a_run_trains_its_weights_and_keeps_their_average(here):
    """Of runs of 1, 2, ... 6 steps: the weights are those of a run without an average."""
    weights = []
    for steps in range(1, 7):
        assert call("train.py", *options(steps, f"plain{steps}", "--eval_interval=100")).status == 0
        weights.append(last(f"plain{steps}")["model"])
    assert call("train.py", *options(6, "average", "--eval_interval=2", EMA)).status == 0
    assert same_tensors(last("average")["weights"], {name: weights[-1][name] for name in last("average")["weights"]})
    expected = weights[0]
    for step, model in enumerate(weights[1:], start=2):
        share = 1 / max(1, 0.4 * step)
        expected = {name: (1 - share) * expected[name] + share * model[name] for name in model}
    for name, tensor in last("average")["model"].items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6)
    plain, averaged = log_of("out/plain6"), log_of("out/average")
    assert [row["train_loss"] for row in plain] == [row["train_loss"] for row in averaged]
    assert plain[-1]["val_loss"] != averaged[-1]["val_loss"]


def test_the_kept_model_has_the_score_of_the_log(here):
    assert call("train.py", *options(6, "run", EMA)).status == 0
    result = call("train.py", "--eval_only", "--out_dir=out/run", "--device=cpu")
    assert f"validation {float(log_of('out/run')[-1]['val_loss']):.4f} nats" in result.out
    best = checkpoint.load_checkpoint("out/run/best.pt")
    assert "weights" not in best and same_tensors(best["model"], last("run")["model"])
    assert best["format"] == 2 and last("run")["format"] == 3, "an older version would go on from the average"


@pytest.mark.parametrize("step", [3, 6, 11])
def test_a_resume_to_the_bit(here, step):
    assert call("train.py", *options(12, "whole", EMA)).status == 0
    with signal_in_step(step):
        assert call("train.py", *options(12, "cut", EMA)).status
    assert last("cut")["step"] == step
    assert call("train.py", "--out_dir=out/cut", "--init_from=resume", "--device=cpu").status == 0
    for part in ("model", "weights"):
        assert same_tensors(last("cut")[part], last("whole")[part])
    assert [row["val_loss"] for row in log_of("out/cut")] == [row["val_loss"] for row in log_of("out/whole")]


def test_an_average_that_begins_or_ends_at_a_resume(here):
    assert call("train.py", *options(12, "plain")).status == 0
    for was, then in (("0", "0.4"), ("0.4", "0")):
        assert call("train.py", *options(6, f"r{was}", f"--ema={was}")).status == 0
        result = call("train.py", *options(12, f"r{was}", f"--ema={then}"), "--init_from=resume")
        assert result.status == 0 and f"changed  ema: {float(was)} -> {float(then)}\n" in result.out
        trained = last(f"r{was}")["weights"] or last(f"r{was}")["model"]
        assert same_tensors(trained, {name: last("plain")["model"][name] for name in trained})


def test_a_file_from_before_there_was_an_average(here):
    """The run goes on from its model, and a line says what is new."""
    assert call("train.py", *options(12, "plain")).status == 0
    assert call("train.py", *options(6, "old")).status == 0
    saved = last("old")
    del saved["weights"], saved["config"]["ema"]
    checkpoint.save_checkpoint("out/old/last.pt", saved)
    result = call("train.py", *options(12, "old", EMA), "--init_from=resume")
    assert result.status == 0 and "changed  ema: 0.0 -> 0.4\n" in result.out
    weights = last("old")["weights"]
    assert same_tensors(weights, {name: last("plain")["model"][name] for name in weights})


def test_its_memory_counts(here, monkeypatch):
    """It is there before the search for a micro-batch looks at the free memory, and the header adds it."""
    config, set_by = small_config(EMA)
    calls, search = [], micro_batch.candidates
    monkeypatch.setattr(stepper, "WeightAverage", lambda *given: calls.append("average") or WeightAverage(*given))
    monkeypatch.setattr(micro_batch, "candidates", lambda *given: calls.append("search") or search(*given))
    setup = train.set_up(config, set_by)
    made = train.make_stepper(config, setup, TrainState(), print)
    assert calls == ["average", "search"]
    assert made.average.nbytes == 4 * setup.model.num_params()
    assert WeightAverage(setup.model, 0.0).nbytes == 0
    assert "about 0.0 GiB" in step_header(config, setup, made)
    made = made._replace(average=SimpleNamespace(nbytes=5 * 2**30))
    assert "about 5.0 GiB" in step_header(config, setup, made)


@pytest.mark.parametrize(
    "edit, words",
    [
        (lambda weights: weights.clear(), "lacks the weights"),
        (lambda weights: weights.popitem(), "are not those of this model"),
        (lambda weights: weights.update({"transformer.wte.weight": torch.zeros(2, 2)}), "are not those of this model"),
        (lambda weights: next(iter(weights.values())).fill_(float("nan")), "not finite"),
    ],
)
def test_a_file_whose_weights_are_damaged(here, edit, words):
    assert call("train.py", *options(2, "run", EMA)).status == 0
    saved = last("run")
    edit(saved["weights"])
    checkpoint.save_checkpoint("out/run/last.pt", saved)
    assert_mistake(call("train.py", *options(4, "run", EMA), "--init_from=resume"), words, "last.pt")
