"""slm/training/resume.py: a run that continues is one that never stopped, and what else a run can start from."""

import contextlib
import json
import math
import os
import re
import shutil
import signal

import pytest
import torch
from conftest import (
    ROOT,
    SMALL_RUN,
    assert_mistake,
    call,
    log_of,
    same_tensors,
    signal_in_step,
    small_config,
    without_clock,
)

import train
from slm.config_parser import command_line_layers
from slm.errors import UserError
from slm.models import checkpoint
from slm.text.corpus import Corpus
from slm.training import evaluation, resume, snapshot
from slm.training.train_state import TrainState

LAMPS = "\n\n".join(f"Lamp {number} was lit again. It saw a small boat go out to sea." for number in range(300))


def options(steps, out, *more):
    return [*SMALL_RUN, "--lr_decay_iters=12", f"--max_iters={steps}", f"--out_dir=out/{out}", *more]


def last(name):
    return checkpoint.load_checkpoint(f"out/{name}/last.pt")


def assert_same_run(one, other):
    """Parameters, optimizer, state and log are the same to the bit, the clock aside."""
    assert same_tensors(last(one)["model"], last(other)["model"])
    for state, other_state in zip(last(one)["optimizer"].values(), last(other)["optimizer"].values(), strict=True):
        assert same_tensors(state, other_state)
    assert last(one)["progress"] | {"seconds": 0} == last(other)["progress"] | {"seconds": 0}
    assert without_clock(log_of(f"out/{one}")) == without_clock(log_of(f"out/{other}"))


@pytest.fixture
def whole(here):
    """out/whole: an undisturbed run of 12 steps."""
    assert call("train.py", *options(12, "whole")).status == 0


# -- exactly ----------------------------------------------------------------------------------------------------------


def test_a_run_that_is_continued(whole, here):
    """7 steps, and then on to 12: the log has one line more, and every number is the same."""
    assert call("train.py", *options(7, "halves")).status == 0
    result = call("train.py", *options(12, "halves"), "--init_from=resume")
    assert result.status == 0, result.err
    assert "resume   out/halves after step 7\n" in result.out and "changed  max_iters: 7 -> 12\n" in result.out
    assert same_tensors(last("whole")["model"], last("halves")["model"])
    for one, other in zip(last("whole")["optimizer"].values(), last("halves")["optimizer"].values(), strict=True):
        assert same_tensors(one, other)
    rows = without_clock(log_of("out/halves"))
    assert [row["step"] for row in rows] == ["2", "4", "6", "7", "8", "10", "12"]
    assert rows[-2:] == without_clock(log_of("out/whole"))[-2:]
    (entry,) = json.loads((here / "out/halves/config.json").read_text())["resumes"]
    assert entry["step"] == 7 and entry["started"]


@pytest.mark.parametrize("step", [3, 6, 11])
def test_a_run_that_was_stopped(whole, step):
    """In the middle of a line of the log, whose mean is then over the steps of both halves; before a validation."""
    with signal_in_step(step):
        result = call("train.py", *options(12, "cut"))
    assert result.status == 128 + signal.SIGTERM, result.err
    assert "the same command with --init_from=resume continues" in result.out
    assert last("cut")["step"] == step
    result = call("train.py", *options(12, "cut"), "--init_from=resume")
    assert result.status == 0, result.err
    assert_same_run("cut", "whole")


def test_a_signal_during_validation(whole, monkeypatch):
    """An interrupted validation is not logged, and the resumed run repeats it."""

    def signal_first(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        yield from validation_batches(*arguments)

    validation_batches = evaluation.validation_batches
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "validation_batches", signal_first)
        result = call("train.py", *options(12, "cut"))
    assert result.status == 128 + signal.SIGTERM, result.err
    assert last("cut")["step"] == 6 and [row["step"] for row in log_of("out/cut")] == ["2", "4"]
    assert not os.path.exists("out/cut/best.pt")
    assert call("train.py", *options(12, "cut"), "--init_from=resume").status == 0
    assert_same_run("cut", "whole")


def test_a_run_keeps_its_micro_batch(here):
    """With dropout, another micro-batch draws other numbers: a resumed run takes the one that the run found."""
    three = ["--micro_batch_size=3"]
    assert call("train.py", *options(12, "whole", *three)).status == 0
    with signal_in_step(7):
        assert call("train.py", *options(12, "cut", *three)).status
    assert last("cut")["progress"]["micro_batch"] == 3
    edit_last("cut", lambda saved: saved["config"].update(micro_batch_size=0))  # as if it were found
    result = call("train.py", "--init_from=resume", "--out_dir=out/cut", "--device=cpu")
    assert result.status == 0, result.err
    assert "in micro-batches of 3;" in result.out
    assert same_tensors(last("cut")["model"], last("whole")["model"])


def edit_last(name, edit):
    saved = last(name)
    edit(saved)
    checkpoint.save_checkpoint(f"out/{name}/last.pt", saved)


# -- another command, another format ---------------------------------------------------------------------------------


def test_resume_needs_no_options(here):
    """A run's own options are the defaults of the command that continues it."""
    assert call("train.py", *options(6, "r")).status == 0
    result = call("train.py", "--init_from=resume", "--out_dir=out/r", "--max_iters=8", "--device=cpu")
    assert result.status == 0, result.err
    assert last("r")["step"] == 8 and last("r")["config"]["batch_size"] == 8
    assert last("r")["config"]["init_from"] == "scratch"


def test_a_finished_run(here):
    """It says that it is at its last step, and changes nothing."""
    assert call("train.py", *options(6, "r")).status == 0
    before, rows = last("r")["model"], log_of("out/r")
    result = call("train.py", *options(6, "r"), "--init_from=resume")
    assert result.status == 0, result.err
    assert (
        "resume   out/r after step 6\n         which is its last step: a larger --max_iters trains further"
        in result.out
    )
    assert "done: best validation" in result.out
    assert same_tensors(last("r")["model"], before) and log_of("out/r") == rows


def test_a_run_of_format_1(whole, here):
    """Its last.pt counts steps in place of sequences, and has other names."""
    with signal_in_step(9):
        assert call("train.py", *options(12, "cut")).status

    def age(saved):
        progress = saved["progress"]
        progress["losses"], progress["loss_sum"] = progress.pop("counted"), progress.pop("sums")["train_loss"]
        progress["skipped"], progress["skipped_in_a_row"] = progress.pop("failed"), progress.pop("failed_in_a_row")
        del progress["sequences"], progress["tokens"], progress["dtype"], progress["lr"], saved["tokens"]

    edit_last("cut", age)
    result = call("train.py", *options(12, "cut"), "--init_from=resume")
    assert result.status == 0, result.err
    assert_same_run("cut", "whole")


def test_an_option_of_another_version(here):
    """It cannot be obeyed, so a line names it."""
    assert call("train.py", *options(6, "r")).status == 0
    edit_last("r", lambda saved: saved["config"].update({"z_loss": 0.1, "a\nb": 1}))
    result = call("train.py", *options(8, "r"), "--init_from=resume")
    assert result.status == 0, result.err
    assert "ignored  z_loss, a: options of another version" in result.out


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_state_whose_numbers_lie_otherwise(here, optimizer):
    """Another program may have saved transposed views and slices: a fused step reads memory in order."""

    def move(tensor):
        if tensor.dim() != 2:
            return tensor
        wider = torch.zeros(tensor.size(1), 2 * tensor.size(0))
        wider[:, ::2] = tensor.t()
        return wider[:, ::2].t()

    def edit(saved):
        for state in saved["optimizer"].values():
            for name, tensor in state.items():
                state[name] = move(tensor)

    for name in ("plain", "moved"):
        assert call("train.py", *options(6, name, f"--optimizer={optimizer}")).status == 0
        edit_last(name, edit if name == "moved" else lambda saved: None)
        command = [*options(12, name), f"--optimizer={optimizer}", "--init_from=resume"]
        assert call("train.py", *command).status == 0
    assert_same_run("plain", "moved")


def test_another_batch(here):
    """Tokens are those that were trained on, and the next step takes the sequences behind them."""
    assert call("train.py", *options(6, "r")).status == 0
    result = call("train.py", *options(12, "r"), "--init_from=resume", "--batch_size=4")
    assert result.status == 0, result.err
    assert [int(row["tokens"]) for row in log_of("out/r")] == [32 * (8 * s) for s in (2, 4, 6)] + [
        32 * (48 + 4 * s) for s in (2, 4, 6)
    ]
    assert last("r")["progress"]["sequences"] == 48 + 24 and last("r")["tokens"] == 32 * 72
    assert "12 steps of 128 tokens = 2,304 tokens" in result.out


def test_a_corpus_shorter_than_the_context(here, workshop):
    """Tokens and epochs count what was predicted: the whole corpus once per sequence. A longer context adds none.

    Of a last.pt that does not count tokens, each sequence was full.
    """
    (here / "mine.txt").write_text("Lily had a red ball.\n\nTom had a big dog.\n")
    assert call("prepare.py", "--dataset", "mine.txt", "--vocab_of", f"{workshop.path}/out/small").status == 0
    tokens = Corpus("data/mine").tokens["train"]
    assert tokens < 32
    mine = [option for option in options(4, "r") if "dataset" not in option] + ["--dataset=mine"]
    result = call("train.py", *mine)
    assert result.status == 0, result.err
    assert f"4 steps of {8 * tokens:,} tokens = {32 * tokens:,} tokens = 32.00 epochs" in result.out
    assert [int(row["tokens"]) for row in log_of("out/r")] == [8 * tokens * step for step in (2, 4)]
    assert last("r")["tokens"] == last("r")["progress"]["tokens"] == 32 * tokens
    edit_last("r", lambda saved: saved["progress"].pop("tokens"))
    result = call("train.py", *mine, "--init_from=resume", "--max_iters=6")
    assert result.status == 0, result.err
    assert last("r")["tokens"] == 32 * 32 + 16 * tokens


def test_another_corpus(here, workshop):
    """Prepared again from other stories with the same vocabulary: a line says so, and the best starts over."""
    shutil.copytree(workshop.path / "data/small", here / "data/mine")
    mine = [option for option in options(6, "r") if "dataset" not in option] + ["--dataset=mine"]
    assert call("train.py", *mine).status == 0
    edit_last("r", lambda saved: saved["progress"].update(best=0.5))  # which the other split never reaches
    (here / "mine.txt").write_text(LAMPS)
    vocabulary = f"{workshop.path}/out/small"
    assert call("prepare.py", "--dataset", "mine.txt", "--vocab_of", vocabulary, "--force").status == 0
    result = call("train.py", *mine, "--init_from=resume", "--max_iters=12")
    assert result.status == 0, result.err
    assert "changed  the tokens in data/mine" in result.out and "the best so far" in result.out
    assert checkpoint.load_checkpoint("out/r/best.pt")["step"] == 12
    assert last("r")["progress"]["corpus"] == Corpus("data/mine").fingerprint()
    assert "the tokens" not in call("train.py", *mine, "--init_from=resume", "--max_iters=12").out


def test_a_restart_by_torchrun_resumes(here, monkeypatch):
    """After torchrun restarted the processes, the same command continues; without a last.pt of its run it begins."""
    command = options(8, "r")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "this one")
    assert resume.read_options(command_line_layers(command))[0].init_from == "scratch"
    for earlier in ({}, {"TORCHELASTIC_RUN_ID": "an earlier one"}):
        with monkeypatch.context() as patch:
            patch.delenv("TORCHELASTIC_RUN_ID")
            for name, value in earlier.items():
                patch.setenv(name, value)
            assert call("train.py", *options(4, "r")).status == 0
        assert resume.read_options(command_line_layers(command))[0].init_from == "scratch"
    assert call("train.py", *options(6, "r")).status == 0
    config, set_by, loaded, path = resume.read_options(command_line_layers(command))
    assert (config.init_from, set_by["init_from"], loaded["step"]) == ("resume", "torchrun's restart", 6)
    assert str(path) == "out/r/last.pt" and config.max_iters == 8
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert resume.read_options(command_line_layers(command))[0].init_from == "scratch"


def test_a_restart_by_torchrun_is_no_warm_restart(here, monkeypatch):
    """A schedule that began again at step 4 goes on after torchrun restarted the run, which repeats its command."""
    run = [option for option in SMALL_RUN if "warmup" not in option] + ["--warmup_iters=2", "--log_interval=1"]
    again = [*run, "--init_from=resume", "--max_iters=12", "--warm_restart"]
    assert call("train.py", *run, "--max_iters=4").status == 0
    edit_last("small", lambda saved: saved["progress"].pop("schedule_of"))  # as an earlier version saved it
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "this one")
    for restarts, step in ((0, 6), (1, 9), (2, None)):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(restarts))
        with signal_in_step(step) if step else contextlib.nullcontext():
            result = call("train.py", *again)
        assert ("the schedule begins again" in result.out) == (restarts == 0), result.err
    rates = [float(row["lr"]) for row in log_of("out/small")][4:]
    config, _ = small_config("--warmup_iters=2", "--max_iters=8")
    assert rates == pytest.approx([train.get_lr(step, config) for step in range(8)], rel=1e-5)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "another one")  # dies before it saves anything, and is restarted
    assert "the schedule begins again" in call("train.py", *again, "--max_iters=16").out


def test_no_optimizer_to_resume_with(here, workshop):
    (here / "out/small").mkdir(parents=True)
    shutil.copy(workshop.path / "out/small/best.pt", here / "out/small/last.pt")
    assert_mistake(call("train.py", *SMALL_RUN, "--init_from=resume"), "has no optimizer", "--init_from=out/small/last")


def test_a_best_model_alone(here, workshop):
    (here / "out/small").mkdir(parents=True)
    shutil.copy(workshop.path / "out/small/best.pt", here / "out/small/best.pt")
    result = call("train.py", *SMALL_RUN, "--init_from=resume")
    assert_mistake(result, "without a last.pt", "--init_from=out/small/best.pt fine-tunes it")


def test_float16_and_back(here):
    """Each type keeps its own scale, also a scale of float16 that has fallen to 1."""
    config, set_by = small_config()
    setup = train.set_up(config, set_by)

    def scale_after(saved_scale, saved_dtype, dtype):
        scaler = train.configure_scaler(torch.device("cpu"), getattr(torch, dtype))
        stepper = train.make_stepper(config, setup, TrainState(), print)._replace(scaler=scaler)
        saved = scaler.state_dict() | {"scale": saved_scale}
        contents = {"optimizer": {}, "scaler": saved, "config": {}, "weights": {}, "dtype": saved_dtype}
        resume.restore(contents, config, TrainState(dtype=dtype), stepper, setup.corpus, train.get_lr)
        return scaler.get_scale()

    assert scale_after(1024.0, "float16", "float16") == 1024
    assert scale_after(1.0, "float16", "float16") == 1
    assert scale_after(1.0, "bfloat16", "float16") == 65536
    assert scale_after(1024.0, "float16", "bfloat16") == 1


def best_rows(name):
    return [row["step"] for row in log_of(f"out/{name}") if row["val_loss"]]


@pytest.mark.parametrize("case", ["part of the split", "no best.pt"])
def test_the_best_starts_over(here, case):
    """A loss on another validation set does not compare; a best.pt that is gone is written again."""
    assert call("train.py", *options(6, "r")).status == 0
    edit_last("r", lambda saved: saved["progress"].update(best=0.5))  # which no model of this test reaches
    more = ["--eval_iters=1"] if case == "part of the split" else []
    if case == "no best.pt":
        os.remove("out/r/best.pt")
    result = call("train.py", *options(12, "r"), "--init_from=resume", *more)
    assert result.status == 0, result.err
    assert result.out.count("the best starts over") == 1 and "the best so far" in result.out
    assert checkpoint.load_checkpoint("out/r/best.pt")["step"] == 12


def test_the_rate_after_the_end_of_a_schedule(here):
    """A longer run has another cosine: a line says that the rate rises, and how to avoid it."""
    short = [option for option in SMALL_RUN if "max_iters" not in option] + ["--out_dir=out/r", "--min_lr=1e-5"]
    assert call("train.py", *short, "--max_iters=6").status == 0
    result = call("train.py", *short, "--max_iters=30", "--init_from=resume")
    assert result.status == 0, result.err
    rate = next(float(row["lr"]) for row in log_of("out/r") if row["step"] == "8")
    assert rate > 8e-4
    assert re.search(r"warning  the learning rate rises from 0\.000\d+ to 0\.0009\d+, since", result.out)
    assert "--lr_decay_iters=6" in result.out and "--warm_restart" in result.out


def test_a_warm_restart(here):
    """Warm-up and decay begin again at this step, also after another stop."""
    short = [option for option in SMALL_RUN if "max_iters" not in option] + ["--out_dir=out/r", "--log_interval=1"]
    assert call("train.py", *short, "--max_iters=6").status == 0
    again = [*short, "--init_from=resume", "--max_iters=14"]
    with signal_in_step(10):
        result = call("train.py", *again, "--warm_restart")
    assert "restart  the schedule begins again: warm-up, then the decay to step 14" in result.out
    goes_on = call("train.py", *again)
    assert goes_on.status == 0
    for earlier in (result, goes_on):  # the command asks for it: no option of the run has changed
        assert "changed  warm_restart" not in earlier.out
    assert "changed  max_iters: 6 -> 14\n" in result.out and "changed" not in goes_on.out
    rates = [float(row["lr"]) for row in log_of("out/r")][6:]
    config, _ = small_config("--max_iters=8")
    assert rates == pytest.approx([train.get_lr(step, config) for step in range(8)])
    more = call("train.py", *again, "--warm_restart", "--max_iters=16")
    assert_mistake(more, "warmup_iters 3 is longer than the 2 steps after the warm restart")
    more = call("train.py", *again, "--warm_restart", "--max_iters=16", "--lr_decay_iters=60")
    assert_mistake(more, "warmup_iters 3 is longer than the 2 steps after the warm restart")
    more = call("train.py", *again, "--warm_restart", "--max_iters=30", "--lr_decay_iters=14")
    assert_mistake(more, "lr_decay_iters 14 is not after step 14", "give --lr_decay_iters=0, which is max_iters")
    more = call("train.py", *again, "--warm_restart", "--max_iters=18", "--lr_decay_iters=14", "--decay_lr=False")
    assert "begins again: warm-up, then a constant rate" in more.out and more.status == 0


@pytest.mark.parametrize("change", ["--learning_rate=5e-3", "--warm_restart"])
@pytest.mark.parametrize("is_old", [False, True])
def test_the_rate_in_the_log_is_what_the_step_had(whole, change, is_old):
    """A resume with another rate logs a step of the first half with the rate that it had then."""
    fives = options(12, "cut", "--log_interval=5", "--eval_interval=5")
    with signal_in_step(5):
        assert call("train.py", *fives).status
    assert "5" not in [row["step"] for row in log_of("out/cut")]
    if is_old:  # the file of a version that did not keep the rate
        edit_last("cut", lambda saved: saved["progress"].pop("lr"))
    assert call("train.py", *fives, "--init_from=resume", change).status == 0
    (rate,) = [float(row["lr"]) for row in log_of("out/cut") if row["step"] == "5"]
    assert rate == pytest.approx(train.get_lr(4, small_config("--lr_decay_iters=12")[0]), rel=1e-6)


def test_a_rate_that_the_user_raises(here):
    """A line says that the option changed. None says that the schedule is longer, which it is not."""
    with signal_in_step(7):
        assert call("train.py", *options(12, "r")).status
    result = call("train.py", *options(12, "r"), "--init_from=resume", "--learning_rate=5e-3")
    assert result.status == 0 and "changed  learning_rate: 0.001 -> 0.005" in result.out
    assert "warning" not in result.out


def test_the_header_of_a_run_that_is_over(here):
    """It counts the steps that were done, also where fewer are asked for now, in another batch."""
    assert call("train.py", *options(12, "r")).status == 0
    result = call("train.py", *options(5, "r"), "--batch_size=800", "--init_from=resume")
    assert result.status == 0 and "a larger --max_iters trains further" in result.out
    assert f"run      12 steps of {800 * 32:,} tokens = {12 * 8 * 32:,} tokens =" in result.out


def test_patience(here, monkeypatch):
    """The run ends after three validations without a better one, also where it was stopped between them."""
    losses = iter([5.0, 4.0, 4.5, 4.2, 4.1, 3.0])
    monkeypatch.setattr(evaluation.Evaluator, "__call__", lambda *_: evaluation.Score(next(losses), 1.0))
    patient = [*options(12, "r"), "--eval_interval=2", "--patience=3", "--lr_decay_iters=12"]
    with signal_in_step(7):
        assert call("train.py", *patient).status
    result = call("train.py", *patient, "--init_from=resume")
    assert result.status == 0, result.err
    assert "stopped early: 3 validations were not better than the best (--patience)" in result.out
    assert "done: best validation 4.0000 nats per token at step 4" in result.out
    assert last("r")["step"] == 10 and checkpoint.load_checkpoint("out/r/best.pt")["step"] == 4
    again = [*patient, "--init_from=resume"]
    assert "patience is over: a larger --patience trains further" in call("train.py", *again).out
    assert last("r")["step"] == 10
    losses = iter([4.1, 4.2, 4.3, 4.4])
    result = call("train.py", *again, "--warm_restart", "--max_iters=20", "--lr_decay_iters=0")
    assert result.status == 0 and "patience is over" not in result.out
    assert last("r")["step"] == 16 and "stopped early: 3 validations" in result.out


def test_the_least_patience(here, monkeypatch):
    losses = iter([5.0, 6.0, 4.0])
    monkeypatch.setattr(evaluation.Evaluator, "__call__", lambda *_: evaluation.Score(next(losses), 1.0))
    result = call("train.py", *options(12, "r"), "--eval_interval=2", "--patience=1")
    assert "stopped early: 1 validation was not better than the best (--patience)" in result.out


# -- fine-tuning ------------------------------------------------------------------------------------------------------


def test_fine_tuning_from_a_checkpoint(here, workshop):
    path = workshop.path / "out/small/best.pt"
    options = ["--dataset=small", f"--init_from={path}", "--max_iters=2", "--warmup_iters=0", "--sample_prompt="]
    options += ["--batch_size=4", "--gradient_accumulation_steps=1", "--out_dir=out/f", "--device=cpu"]
    result = call("train.py", *options)
    assert result.status == 0, result.err
    assert checkpoint.load_checkpoint("out/f/best.pt")["model_config"]["n_embd"] == 32, "the checkpoint has the shape"
    assert float(log_of("out/f")[0]["train_loss"]) < 6.1  # a new model's is ln 512 = 6.24
    assert last("f")["config"]["init_from"] == str(path) and last("f")["progress"]["step"] == 2


def test_fine_tuning_on_another_text(here, workshop):
    """config/finetune.py as its head says, in the vocabulary of the run: the loss on the new text falls."""
    (here / "my_text.txt").write_text(LAMPS)
    run = f"{workshop.path}/out/small"
    assert call("prepare.py", "--dataset", "my_text.txt", "--vocab_of", run).status == 0
    options = [f"--init_from={run}", "--dataset=my_text", "--max_iters=40", "--eval_interval=20", "--device=cpu"]
    result = call("train.py", ROOT / "config/finetune.py", *options, "--learning_rate=1e-2", "--sample_prompt=")
    assert result.status == 0, result.err
    losses = [float(row["val_loss"]) for row in log_of("out/my_text") if row["val_loss"]]
    assert len(losses) == 2 and losses[1] < losses[0]
    assert checkpoint.load_checkpoint("out/my_text/best.pt")["model_config"]["n_embd"] == 32


def test_another_shape(here, workshop):
    options = [*SMALL_RUN, f"--init_from={workshop.path}/out/small", "--n_layer=3", "--bias=False"]
    assert_mistake(call("train.py", *options), "n_layer 2, not 3", "bias True, not False")


def test_a_shorter_context(here, workshop):
    """A smaller block_size cuts positions off; a larger one, or another one of a run that resumes, is a mistake."""
    options = [*SMALL_RUN, f"--init_from={workshop.path}/out/small", "--max_iters=4", "--out_dir=out/short"]
    assert call("train.py", *options, "--block_size=16").status == 0
    positions = last("short")["model"]["transformer.wpe.weight"]
    assert positions.shape == (16, 32) and last("short")["model_config"]["block_size"] == 16
    assert_mistake(call("train.py", *options, "--block_size=64"), "block_size 32, not 64", "can only be shorter")
    resumed = [*options[:-3], "--init_from=resume", "--out_dir=out/short"]
    assert_mistake(call("train.py", *resumed, "--block_size=8"), "block_size 16, not 8")


def test_another_vocabulary(here, workshop):
    (here / "other.txt").write_text((workshop.path / "small.txt").read_text()[:20_000])
    assert call("prepare.py", "--dataset", "other.txt", "--vocab_size", "300").status == 0
    options = ["--dataset=other", f"--init_from={workshop.path}/out/small", "--device=cpu"]
    assert_mistake(call("train.py", *options), "vocabulary", "data/other", "--vocab_of")


# -- units ------------------------------------------------------------------------------------------------------------


def test_which_options_a_checkpoint_gives(workshop, monkeypatch):
    """All of them to a run that resumes, but for those of one command; the shape alone to a fine-tuned model."""
    monkeypatch.chdir(workshop.path)
    config, set_by, *_ = resume.read_options(
        command_line_layers(["--init_from=resume", "--out_dir=out/small", "--batch_size=2"])
    )
    assert (config.dropout, config.max_iters, config.batch_size, config.n_layer) == (0.1, 12, 2, 2)
    assert set_by["max_iters"] == "out/small/last.pt" and set_by["batch_size"] == "command line"
    assert (config.device, set_by["device"]) == ("auto", "default")
    config, set_by, *_ = resume.read_options(command_line_layers(["--init_from=out/small", "--dataset=small"]))
    assert (config.n_layer, config.n_embd, config.max_iters) == (2, 32, 600)
    assert set_by["n_layer"] == "out/small/best.pt" and set_by["max_iters"] == "default"


def test_a_copy_of_tensors_in_dicts():
    weight = torch.ones(3)
    value = {"a": weight, "b": {"tied": weight.view(3), "another": torch.ones(3)}, "n": 3, "nan": math.nan}
    copy = snapshot.copy_tensors(value)
    assert copy["a"] is copy["b"]["tied"] and copy["a"] is not copy["b"]["another"] and copy["n"] == 3
    weight.zero_()
    assert copy["a"].sum() == 3


def test_a_missing_checkpoint_is_a_sentence(here):
    config, _ = small_config("--init_from=resume")
    with pytest.raises(UserError, match=r"no checkpoint out/small/last\.pt"):
        resume.load_initial_checkpoint(config)
