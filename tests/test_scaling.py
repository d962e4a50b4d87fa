"""experiments/scaling.py: the speed on several processes is measured, and becomes a table and a picture."""

import csv
import functools
import io
import json
import sys
from contextlib import redirect_stdout

import pytest
import torch
from conftest import SMALL_RUN, assert_mistake, call, log_of

from experiments import scaling, scaling_process, stages
from slm.config_parser import parse_command_line

BROKEN = "broken.py"


@pytest.fixture
def folder(here, monkeypatch):
    """`here` with a recipe tiny.py, and the table and the picture in it."""
    options = parse_command_line(SMALL_RUN)[1] | {"dropout": 0.0, "dtype": "float32"}
    (here / "tiny.py").write_text("".join(f"{name} = {value!r}\n" for name, value in options.items()))
    monkeypatch.setattr(scaling, "TABLE", here / "scaling.csv")
    monkeypatch.setattr(scaling, "PLOT", here / "scaling.png")
    return here


@pytest.fixture
def scale(folder, monkeypatch, capsys):
    """`python -m experiments.scaling ARGUMENTS` on the CPU: (rows of the table, what it prints)."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["scaling.py", "--device", "cpu", *arguments])
        scaling.main()
        return list(csv.DictReader(scaling.TABLE.open())), capsys.readouterr()

    return run


def launch_here(monkeypatch, processes, *arguments):
    """In place of `scaling.launch`: one process of the measurement in this one, whatever their number."""
    output = io.StringIO()
    if BROKEN not in arguments:
        with monkeypatch.context() as patch, redirect_stdout(output):
            patch.setenv("TORCHELASTIC_RUN_ID", "a test")  # as under torchrun: no baselines
            patch.setattr(sys, "argv", ["scaling_process.py", *arguments])
            scaling_process.main()
    return map(json.loads, output.getvalue().splitlines())


def test_rows_and_picture(folder, scale, monkeypatch):
    """A recipe that fails leaves its lines out, and the others go on. A line is printed before each measurement."""
    monkeypatch.setattr(stages, "SECONDS", 0.01)
    monkeypatch.setattr(stages, "REPEATS", 1)
    monkeypatch.setattr(scaling, "launch", functools.partial(launch_here, monkeypatch))
    (folder / BROKEN).write_text((folder / "tiny.py").read_text())
    rows, printed = scale(BROKEN, "tiny.py", "--processes", "1", "--steps", "3")
    places = [(row["recipe"], row["processes"], row["step"], row["tokens_per_step"]) for row in rows]
    assert places == [("tiny.py", "1", "cut up", "256")]
    assert all(int(row["tokens_per_second"]) > 0 and row["torch"] == torch.__version__ for row in rows)
    assert rows[0]["loss_steps"] == "3"
    assert call("train.py", "tiny.py", "--max_iters=3", "--log_interval=1", "--out_dir=out/three").status == 0
    assert round(float(rows[0]["train_loss"]), 6) == float(log_of("out/three")[-1]["train_loss"])
    before, after = (printed.out.index(words) for words in ("tiny.py on 1, cut up: measuring\n", ": tokens/s, micro-"))
    assert before < after
    assert scaling.PLOT.read_bytes().startswith(b"\x89PNG")


def test_a_step_that_fails(folder, monkeypatch, capsys):
    """The other step of the same start is measured."""
    figures = [
        {"what": "tokens/s, micro-batch 4, 3 GPUs", "value": 999.6},
        {"what": "sum of gradients, ms", "value": 2},
    ]
    measured = {"step": "growing", "tokens_per_step": 768, "loss": None, "device": "a GPU", "figures": figures}
    printed = [{"step": "cut up", "says": "failed: 8 among 3"}, {"step": "growing", "says": "measuring"}, measured]
    monkeypatch.setattr(scaling, "launch", lambda *arguments: printed)
    code = {"git_commit": "abc", "git_dirty": False}
    (row,) = scaling.measure("tiny.py", code, 3, 50, [])
    assert (row["processes"], row["step"], row["tokens_per_second"], row["sum_ms"]) == (3, "growing", 1000, "2")
    assert "train_loss" not in row and row["device"] == "a GPU"
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "tiny.py on 3: starting",
        "tiny.py on 3, cut up: failed: 8 among 3",
        "tiny.py on 3, growing: measuring",
    ]


def row(processes, step, speed, **more):
    empty = dict.fromkeys(scaling.FIELDS, "") | {"recipe": "a.py", "device": "a GPU", "tokens_per_step": "1000"}
    return empty | {"processes": str(processes), "step": step, "tokens_per_second": str(speed), **more}


def test_the_table():
    """The newest row of each step on the last device, beside that of one process."""
    rows = [
        row(1, "cut up", 9, device="another"),
        row(1, "cut up", 9),
        row(8, "cut up", 5000, sum_ms="20", train_loss="4.5", loss_steps="50"),
        row(1, "cut up", 1000, train_loss="4.5", loss_steps="50"),
        row(8, "growing", 7200, tokens_per_step="8000"),
    ]
    (recipe, measured), *others = scaling.newest(rows).items()
    _, _, one, cut, growing = scaling.lines(recipe, measured)
    assert recipe == "a.py" and not others
    assert one.split() == "1 cut up 1,000 1,000 1.00 100% 4.500000 at step 50".split()
    assert cut.split() == "8 cut up 1,000 5,000 5.00 62% 20 10.0% 4.500000 at step 50".split()
    assert growing.split() == "8 growing 8,000 7,200 7.20 90%".split()


def test_without_one_process_nothing_is_compared(folder):
    measured = scaling.newest([row(2, "growing", 1000)])
    assert list(scaling.lines("a.py", measured["a.py"]))[-1].split() == "2 growing 1,000 1,000".split()
    scaling.draw(measured)
    assert scaling.PLOT.read_bytes().startswith(b"\x89PNG")


def test_how_many_processes(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 6)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert scaling.check_processes(None, cuda) == [1, 2, 4] and scaling.check_processes(None, cpu) == [1, 2]
    assert scaling.check_processes([6, 2], cuda) == [2, 6] and scaling.check_processes([8], cpu) == [8]
    with pytest.raises(scaling.UserError, match="--processes 8 needs as many GPUs, and this machine has 6"):
        scaling.check_processes([1, 8], cuda)


def test_mistakes(folder):
    def scaling_call(*arguments):
        return call("experiments/scaling.py", "tiny.py", *arguments)

    for processes, wrong in (("0", "0"), ("1,-2", "-2"), ("two", "'two'"), ("1,,2", "'1,,2'"), ("1.5", "'1.5'")):
        assert_mistake(scaling_call("--device=cpu", "--processes", processes), "--processes must be ", f", not {wrong}")
    assert_mistake(scaling_call("--device=cpu", "--steps=0"), "--steps", "0")
    assert_mistake(scaling_call("--device=toaster"), "toaster")
    assert_mistake(call("experiments/scaling.py", "tinny.py", "--device=cpu"), "tinny.py", "config/tinystories_8k.py")
    (folder / "other.py").write_text("dataset = 'none'\n")
    assert_mistake(call("experiments/scaling.py", "other.py", "--device=cpu"), "data/none", "prepare.py")
    assert_mistake(scaling_call("--device=cuda", "--processes=2"), "this machine has 0 CUDA devices")


def test_no_rows_no_picture(folder, monkeypatch):
    monkeypatch.setattr("sys.argv", ["scaling.py", "--draw"])
    with pytest.raises(scaling.UserError, match="has no measurement, so no picture is drawn"):
        scaling.main()
    assert not scaling.PLOT.exists()


@pytest.mark.slow
def test_processes_of_a_cpu(scale):
    """torchrun and its processes as they are; eight sequences do not divide among three processes."""
    rows, printed = scale("tiny.py", "--processes", "1,2,3", "--steps", "8", "--backend", "gloo")
    places = [(row["processes"], row["step"]) for row in rows]
    assert places == [("1", "cut up"), ("2", "cut up"), ("2", "growing"), ("3", "growing")]
    assert all(int(row["tokens_per_second"]) > 0 for row in rows)
    assert [bool(row["sum_ms"]) for row in rows] == [False, True, True, True]
    one, two = (float(row["train_loss"]) for row in rows[:2])
    assert one == pytest.approx(two, abs=1e-5)
    assert printed.out.count("tiny.py on 3, cut up: failed: 8 sequences per step do not divide among 3 processes") == 1
    assert scaling.PLOT.read_bytes().startswith(b"\x89PNG")
