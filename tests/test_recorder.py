"""slm/training/recorder.py: which validation is the best, what is saved, and what the user reads."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import log_of, small_config

from slm.evaluation.sense import SENSE_NAMES
from slm.models import checkpoint
from slm.training.evaluation import Score
from slm.training.recorder import Recorder, is_story_due
from slm.training.train_state import TrainState
from train import make_stepper, set_up

GUESSING = math.log(512)


@pytest.fixture
def run(here, monkeypatch):
    """A run that a test records; `printed` are its lines."""
    config, set_by = small_config("--sample_prompt=Tom", "--dtype=float32")
    setup, state, printed = set_up(config, set_by), TrainState(), []
    monkeypatch.setattr("slm.training.progress.tqdm.write", printed.append)
    recorder = Recorder(config, set_by, setup, state, None)
    recorder.begin(make_stepper(config, setup, state, print))
    recorder.progress.start(0)
    yield SimpleNamespace(recorder=recorder, state=state, setup=setup, printed=printed)
    recorder.folder.close()


def validate(run, step, loss):
    run.state.step = step
    score = Score(loss, loss / 2)
    run.recorder.line({"step": step, "tokens": step, "seconds": 1.0, "train_loss": loss, "lr": 0.1}, score)
    run.printed.clear()
    run.recorder.validation(score)
    run.recorder.folder.wait()
    return run.printed


def saved(name):
    return checkpoint.load_checkpoint(f"out/small/{name}")


def test_the_best_model_is_kept(run):
    assert any(line.endswith(", the best so far") for line in validate(run, 6, 5.0))
    assert (saved("best.pt")["step"], saved("best.pt")["val_loss"], saved("best.pt")["val_bpb"]) == (6, 5.0, 2.5)
    assert not any("best" in line for line in validate(run, 12, 5.5))
    assert saved("best.pt")["step"] == 6 and saved("last.pt")["step"] == 12
    validate(run, 18, 4.5)
    assert saved("best.pt")["step"] == 18
    assert (saved("last.pt")["progress"]["best"], saved("last.pt")["progress"]["best_step"]) == (4.5, 18)
    assert run.printed[1].startswith("  Tom"), "a story of the model so far"


@pytest.mark.parametrize(
    ("max_iters", "eval_interval", "steps"),
    [
        (200, 20, [40, 80, 120, 160, 200]),
        (700, 175, [175, 350, 525, 700]),
        (205, 20, [40, 80, 120, 160, 200, 205]),
        (10, 100, [10]),
    ],
)
def test_a_run_shows_a_few_stories(max_iters, eval_interval, steps):
    """However often it validates, and the last model in any case."""
    config = SimpleNamespace(max_iters=max_iters, eval_interval=eval_interval)
    validations = [*range(eval_interval, max_iters, eval_interval), max_iters]
    assert [step for step in validations if is_story_due(step, config)] == steps
    config.eval_interval = 1
    assert 2 <= sum(is_story_due(step, config) for step in range(1, max_iters + 1)) <= 7


def test_a_busy_cpu_is_one_line(run, monkeypatch):
    monkeypatch.setattr("slm.training.recorder.busy_cpu", lambda device: "busy")
    for step in (2, 4):
        run.recorder.line({"step": step, "tokens": step, "seconds": 1.0, "train_loss": 4.0, "lr": 0.1}, None)
    assert run.printed.count("busy") == 1


@pytest.mark.parametrize("loss", [2 * GUESSING + 0.01, 1256.0, math.inf, math.nan])
def test_a_loss_far_above_guessing_is_not_the_best(run, loss):
    printed = validate(run, 6, loss)
    assert "where guessing gives 6.24: try a lower --learning_rate" in printed[0] and "best" not in printed[0]
    assert saved("last.pt")["progress"]["best"] == math.inf
    assert not Path("out/small/best.pt").exists()


def test_a_bad_start_is_still_the_best(run):
    """A new model may be a little worse than guessing; that is no divergence."""
    assert "the best so far" in validate(run, 6, GUESSING + 0.3)[0]


def test_a_checkpoint_is_a_copy(run):
    """Training goes on while the thread writes."""
    contents = run.recorder.contents()
    with torch.no_grad():
        for parameter in run.setup.model.parameters():
            parameter.zero_()
    assert contents["model"]["transformer.wte.weight"].abs().sum() > 0
    assert contents["model"]["transformer.wte.weight"] is contents["model"]["lm_head.weight"], "saved once"


def test_sense_is_a_part_of_the_log(run):
    """The shares of right pairs, at a validation alone."""
    run.recorder.config.sense = True
    validate(run, 6, 5.0)
    row = log_of("out/small")[-1]
    shares = {name: float(value) for name, value in row.items() if name.startswith("sense_") and value}
    assert "sense_cause" in shares and all(0 <= share <= 1 for share in shares.values())
    run.recorder.line({"step": 8, "tokens": 8, "seconds": 1.0, "train_loss": 4.0, "lr": 0.1}, None)
    assert not log_of("out/small")[-1]["sense_cause"]


def test_sense_says_what_it_cannot_ask(run, monkeypatch):
    """Once: no column of log.csv is missing in silence."""
    run.recorder.config.sense = True
    texts = ["El gato rojo come pan. La luna sale. El perro duerme mucho hoy."] * 30
    monkeypatch.setattr("slm.training.evaluation.story_texts", lambda corpus, encoding: texts)
    score = Score(5.0, 2.5)
    for step in (6, 12):
        run.recorder.line({"step": step, "tokens": step, "seconds": 1.0, "train_loss": 5.0, "lr": 0.1}, score)
    lines = [line for line in run.printed if line.startswith("--sense")]
    assert len([line for line in lines if "cause" in line and "not in English" in line]) == 1
    asked = {name.removeprefix("sense_") for name in log_of("out/small")[-1] if name.startswith("sense_")}
    left_out = {name for line in lines for name in line.split(": ")[1].split(", ")}
    assert asked | left_out == set(SENSE_NAMES) and not asked & left_out


def test_the_end_of_a_run(run):
    validate(run, 6, 5.0)
    validate(run, 12, 5.5)
    run.printed.clear()
    run.recorder.finish(stopped=False)
    text = "\n".join(run.printed)
    assert "best validation 5.0000 nats per token at step 6; it has risen since, to 5.5000" in text
    assert "next: python sample.py --model=out/small" in text


def test_the_end_of_a_stopped_run(run):
    run.state.step = 7
    run.recorder.save_last()
    run.printed.clear()
    run.recorder.finish(stopped=True)
    assert run.printed == [
        "stopped after step 7, saved in out/small/last.pt: the same command with --init_from=resume continues"
    ]
    assert saved("last.pt")["step"] == 7


def test_a_folder_with_a_space_can_be_pasted(here, monkeypatch):
    config, set_by = small_config("--out_dir=out/my run")
    setup, printed = set_up(config, set_by), []
    monkeypatch.setattr("slm.training.progress.tqdm.write", printed.append)
    recorder = Recorder(config, set_by, setup, TrainState(), None)
    recorder.begin(make_stepper(config, setup, TrainState(), print))
    recorder.finish(stopped=False)
    assert printed[-1] == "next: python sample.py --model='out/my run'"


def test_other_processes_write_and_print_nothing(here, monkeypatch):
    config, set_by = small_config()
    setup, printed = set_up(config, set_by), []
    monkeypatch.setattr("slm.training.progress.tqdm.write", printed.append)
    setup.group.is_main = False
    state = TrainState(step=6)
    recorder = Recorder(config, set_by, setup, state, None)
    recorder.begin(make_stepper(config, setup, state, print))
    recorder.line({"step": 6}, Score(5.0, 2.5))
    recorder.validation(Score(5.0, 2.5))
    recorder.save_last()
    recorder.finish(stopped=False)
    assert printed == [] and not list(here.glob("out/*"))
    assert (state.best, state.best_step, state.logged) == (5.0, 6, 6), "each process knows what the main one knows"
