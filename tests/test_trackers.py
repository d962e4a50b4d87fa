"""slm/training/trackers.py: the log goes to Weights & Biases and TensorBoard too, and neither ever ends a run."""

import json
import sqlite3
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import SMALL_RUN, assert_mistake, call, log_of

from slm.config import TrainConfig
from slm.errors import UserError
from slm.models import checkpoint
from slm.training import trackers


class FakeWandB:
    """The part of the package wandb that a run uses."""

    def __init__(self):
        self.started, self.sent, self.error = [], [], None

    def init(self, **options):
        if self.error:
            raise self.error
        self.started.append(options)
        return SimpleNamespace(id=options["id"] or "id-1", log=self.log)

    def log(self, line, step):
        self.sent.append((step, line))


@pytest.fixture
def wandb(monkeypatch):
    fake = FakeWandB()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


@pytest.fixture
def tensorboard(monkeypatch):
    """(folders, scalars) that a fake SummaryWriter gets."""
    folders, scalars = [], []

    def writer(folder):
        folders.append(folder)
        return SimpleNamespace(add_scalar=lambda *scalar: scalars.append(scalar), flush=lambda: None)

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=writer))
    return folders, scalars


def test_weights_and_biases_gets_each_line(here, wandb):
    assert call("train.py", *SMALL_RUN, "--wandb_log", "--wandb_project=p").status == 0
    (started,) = wandb.started
    assert started["project"] == "p" and started["name"] == "out/small" and started["config"]["max_iters"] == 12
    assert (started["id"], started["resume"]) == (None, None)
    rows = log_of("out/small")
    assert [step for step, _ in wandb.sent] == [int(row["step"]) for row in rows]
    for name in ("train_loss", "val_loss", "lr"):
        sent = [line[name] for _, line in wandb.sent if name in line]
        assert sent == pytest.approx([float(row[name]) for row in rows if row[name]])


def test_a_resumed_run_continues_in_its_wandb_run(here, wandb):
    options = [*SMALL_RUN, "--wandb_log", "--wandb_run_name=mine"]
    assert call("train.py", *options, "--max_iters=6", "--lr_decay_iters=12").status == 0
    assert json.loads((here / "out/small/config.json").read_text())["wandb_id"] == "id-1"
    assert call("train.py", *options[:-2], "--init_from=resume", "--wandb_log=False", "--max_iters=8").status == 0
    assert json.loads((here / "out/small/config.json").read_text())["wandb_id"] == "id-1", "a start without W&B"
    assert call("train.py", *options, "--init_from=resume").status == 0
    assert [(started["id"], started["resume"]) for started in wandb.started] == [(None, None), ("id-1", "allow")]
    assert wandb.started[0]["name"] == "mine" and [step for step, _ in wandb.sent] == [2, 4, 6, 10, 12]
    assert call("train.py", *options).status == 0
    assert wandb.started[2]["id"] is None, "a new run is another W&B run"


def test_weights_and_biases_without_a_key(here, wandb):
    """One sentence before the first step, and the earlier run in the folder stays where it is."""
    assert call("train.py", *SMALL_RUN).status == 0
    wandb.error = RuntimeError("api_key not configured (no-tty). call wandb.login(key=[your_api_key])\nmore")
    result = call("train.py", *SMALL_RUN, "--wandb_log")
    assert_mistake(result, "W&B does not start (api_key not configured", "`wandb login`", "WANDB_MODE=offline")
    assert "step 6" not in result.out and not (here / "out/small.1").exists()
    assert checkpoint.load_checkpoint("out/small/best.pt")["step"] == 12


@pytest.mark.parametrize(
    ("option", "module"),
    [("--wandb_log", "wandb"), ("--trackio_log", "trackio"), ("--tensorboard_log", "torch.utils.tensorboard")],
)
def test_without_the_package(here, monkeypatch, option, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert_mistake(call("train.py", *SMALL_RUN, option), f"pip install {module.split('.')[-1]}")
    assert not list(here.glob("out/*/*.*t")), "a checkpoint was written"


@pytest.mark.parametrize("package", ["wandb", "trackio"])
@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "import absent_dependency",
            "{0} is here, but its import fails: No module named 'absent_dependency'",
        ),
        ("raise TypeError('Descriptors cannot be created')", "its import fails: Descriptors cannot be created"),
        (None, "needs the package {0}: pip install {0}"),  # a folder of W&B's runs
    ],
)
def test_a_package_whose_import_fails(tmp_path, monkeypatch, package, source, words):
    """What is missing or broken is named: installing the package again would change nothing."""
    (tmp_path / package).mkdir()
    if source:
        (tmp_path / package / "__init__.py").write_text(source)
    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(UserError) as raised:
        trackers.load(f"{package}_log", package, package, "init")
    sys.modules.pop(package, None)
    assert words.format(package) in str(raised.value)


def test_trackio_continues_by_name(here, monkeypatch):
    started, sent = [], []

    def init(**options):
        started.append(options)
        return SimpleNamespace(log=lambda line, step: sent.append(step))

    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace(init=init))
    options = [*SMALL_RUN, "--trackio_log"]
    assert call("train.py", *options, "--max_iters=6", "--lr_decay_iters=12").status == 0
    assert call("train.py", *options, "--init_from=resume").status == 0
    assert [(run["name"], run["resume"]) for run in started] == [("out/small", "never"), ("out/small", "allow")]
    assert sent == [2, 4, 6, 8, 10, 12]


def test_the_real_trackio(tmp_path, monkeypatch):
    """Its database has the lines of both starts under one run."""
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    trackio = pytest.importorskip("trackio")
    config = TrainConfig(trackio_log=True, out_dir="out/r", wandb_project="p")
    for resuming, step in ((False, 2), (True, 4)):
        (tracker,) = trackers.start_trackers(config, resuming)
        tracker.log({"step": step, "train_loss": 1.5}, step)
        tracker.run.finish()
    ((database,),) = [list(tmp_path.glob("*.db"))]
    rows = sqlite3.connect(database).execute("select run_id, step from metrics order by step").fetchall()
    assert [step for _, step in rows] == [2, 4] and rows[0][0] == rows[1][0] and trackio


def test_tensorboard_gets_each_number(here, tensorboard):
    folders, scalars = tensorboard
    assert call("train.py", *SMALL_RUN, "--tensorboard_log").status == 0
    assert len(folders) == 1 and folders[0].startswith("out/small/tensorboard/")
    losses = [(int(row["step"]), pytest.approx(float(row["train_loss"]))) for row in log_of("out/small")]
    assert [(step, value) for name, value, step in scalars if name == "train_loss"] == losses
    assert {name for name, *_ in scalars} > {"val_loss", "val_bpb", "lr", "grad_norm"}


def test_trackers_that_fail_in_the_middle_of_a_run(here, wandb, tensorboard, monkeypatch):
    """One warning each; the run ends well, its own log whole, and later lines arrive."""
    sent = []

    def log(line, step):
        if step in (4, 6):
            raise ConnectionError("the network is gone")
        sent.append(step)

    def no_disk(folder):
        raise OSError("No space left on device")

    monkeypatch.setattr(wandb, "log", log)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=no_disk))
    result = call("train.py", *SMALL_RUN, "--wandb_log", "--tensorboard_log")
    assert result.status == 0, result.err
    warnings = [line for line in result.out.splitlines() if line.startswith("warning")]
    assert len(warnings) == 2
    assert any("the network is gone; the run goes on" in line for line in warnings)
    assert any("No space left on device; the run goes on" in line for line in warnings)
    assert sent == [2, 8, 10, 12] and [row["step"] for row in log_of("out/small")] == ["2", "4", "6", "8", "10", "12"]
    assert torch.load("out/small/last.pt", weights_only=True)["step"] == 12
