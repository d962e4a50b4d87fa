"""slm/training/run_folder.py: what a run leaves on disk, one run at a time, and what a failing disk does to it."""

import errno
import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from conftest import PATIENCE, SMALL_RUN, assert_mistake, call, log_of, pictures, start_forked, wait_until
from test_log import line

from slm.config import TrainConfig, merge_config
from slm.errors import UserError
from slm.training import run_folder
from slm.training.log import read_log
from slm.training.run_folder import RunFolder, describe_run
from slm.training.train_state import TrainState


@pytest.fixture
def lines():
    """What a RunFolder prints."""
    return []


def new_folder(path, lines, resumed=None):
    folder = RunFolder(path, lines.append)
    folder.begin(describe_run(*merge_config(("a test", {})), wandb_id=None), resumed)
    return folder


def fill(path, text="old"):
    """A folder as a run leaves it."""
    path.mkdir(parents=True, exist_ok=True)
    for name in ("best.pt", "last.pt", "log.csv", "loss.png", "config.json"):
        (path / name).write_text(text)
    (path / "tensorboard" / "a day").mkdir(parents=True)


# -- one run at a time ------------------------------------------------------------------------------------------------


def test_two_runs_into_one_folder(tmp_path, lines):
    folder = new_folder(tmp_path / "run", lines)
    with pytest.raises(UserError, match=r"another run writes into .*run: give another --out_dir, or stop it"):
        RunFolder(tmp_path / "run")
    RunFolder(tmp_path / "another").close()
    folder.close()
    RunFolder(tmp_path / "run").close()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is Unix's")
def test_the_folder_of_a_run_that_trains_and_of_one_that_was_killed(here):
    """The second run touches nothing of the first one's; kill -9 leaves no lock behind, and the run resumes."""
    out = here / "out/small"
    process = start_forked("train.py", *SMALL_RUN, "--max_iters=100000", "--lr_decay_iters=12", cwd=here)
    wait_until(lambda: (out / "last.pt").exists(), process)
    for arguments in ([], ["--init_from=resume"]):
        assert_mistake(call("train.py", *SMALL_RUN, *arguments), "another run writes into out/small", "--out_dir")
    assert not (here / "out/small.1").exists()
    lines_before = len(read_log(out / "log.csv"))
    wait_until(lambda: len(read_log(out / "log.csv")) > lines_before, process)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=PATIENCE)
    steps = torch.load(out / "last.pt", weights_only=True)["step"] + 2
    result = call("train.py", *SMALL_RUN, "--init_from=resume", f"--max_iters={steps}", "--lr_decay_iters=12")
    assert result.status == 0, result.err
    assert [int(row["step"]) for row in log_of(out)] == list(range(2, steps + 1, 2))


# -- an earlier run ---------------------------------------------------------------------------------------------------


def test_an_earlier_run_moves_aside(tmp_path, lines):
    path = tmp_path / "run"
    for number in (1, 2, 3):
        fill(path, f"run {number}")
        (path / "notes.txt").write_text("the user's")
        new_folder(path, lines).close()
        assert (tmp_path / f"run.{number}/best.pt").read_text() == f"run {number}"
        assert (tmp_path / f"run.{number}/tensorboard/a day").is_dir()
        assert {name.name for name in path.iterdir()} == {".lock", "config.json", "log.csv", "notes.txt"}
    assert lines == [f"moved    the earlier run in {path} to {path}.{number}" for number in (1, 2, 3)]


def test_a_run_that_never_came_to_a_checkpoint(tmp_path, lines):
    """It leaves nothing to move, and the next one takes its folder."""
    folder = new_folder(tmp_path / "run", lines)
    folder.add_line(line(2))
    folder.close()
    new_folder(tmp_path / "run", lines).close()
    assert not (tmp_path / "run.1").exists() and lines == []


@pytest.mark.parametrize("name", ["config.json", "log.csv", "loss.png", "tensorboard"])
def test_files_of_another_program_stay(tmp_path, lines, name):
    """A Hugging Face folder has a config.json too, without which nothing reads it."""
    for contents in ('{"model_type": "gpt2"}', "[1]", "mine"):
        (tmp_path / name).write_text(contents)
        with pytest.raises(UserError, match=f"holds a {name} that no run wrote: give another --out_dir"):
            new_folder(tmp_path, lines)
        assert (tmp_path / name).read_text() == contents
    folder = new_folder(tmp_path / "run", lines)
    folder.close()
    (tmp_path / "run/config.json").write_text('{"model_type": "gpt2"}')
    new_folder(tmp_path / "run", lines, TrainState(step=2)).close()  # a resume
    assert (tmp_path / "run/config.json.1").read_text() == '{"model_type": "gpt2"}' and "no run wrote it" in lines[0]


def use_a_link(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    fill(tmp_path / "elsewhere")
    return tmp_path / "run", tmp_path / "run.1"


def use_a_link_to_another_disk(tmp_path, monkeypatch):
    path, _ = use_a_link(tmp_path, monkeypatch)
    return use_another_disk(path, monkeypatch)


def use_a_mount_point(tmp_path, monkeypatch):
    fill(tmp_path / "run")
    return use_another_disk(tmp_path / "run", monkeypatch)


def use_another_disk(path, monkeypatch):
    """`path` is on another device than its parent."""
    stat = os.stat

    def other_device(name, *arguments, **options):
        result = stat(name, *arguments, **options)
        is_there = Path(name) == path and not options
        return os.stat_result((*result[:2], result.st_dev + 1, *result[3:10])) if is_there else result

    monkeypatch.setattr(run_folder.os, "stat", other_device)
    return path, path / "run.1"


def use_a_mount_point_of_the_same_disk(tmp_path, monkeypatch):
    """A bind mount: the same device, and a rename out of it fails all the same."""
    fill(tmp_path / "run")
    rename = Path.rename

    def across(self, target):
        if Path(target).parent.parent != self.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", across)
    return tmp_path / "run", tmp_path / "run/run.1"


def use_a_parent_that_cannot_be_written(tmp_path, monkeypatch):
    fill(tmp_path / "run")
    monkeypatch.setattr(run_folder.os, "access", lambda path, mode: Path(path) != tmp_path)
    return tmp_path / "run", tmp_path / "run/run.1"


def use_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path)
    return Path("."), tmp_path / "run.1"


def use_the_folder_above(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    fill(tmp_path)
    return Path(".."), tmp_path / "run.1"


@pytest.mark.parametrize(
    "place",
    [
        use_a_link,
        use_a_link_to_another_disk,
        use_a_mount_point,
        use_a_mount_point_of_the_same_disk,
        use_a_parent_that_cannot_be_written,
        use_the_working_folder,
        use_the_folder_above,
    ],
)
def test_where_an_earlier_run_goes(tmp_path, monkeypatch, lines, place):
    """Beside the folder where a rename reaches, else inside it; and the new run has the folder that was asked for."""
    path, target = place(tmp_path, monkeypatch)
    new_folder(path, lines).close()
    assert (target / "best.pt").read_text() == "old" and (target / "tensorboard/a day").is_dir()
    assert json.loads((path / "config.json").read_text())["resumes"] == []
    assert not (path / "best.pt").exists() and len(lines) == 1
    assert {other.resolve() for other in tmp_path.rglob("*.1")} == {target.resolve()}, "an empty folder is left"


def test_a_run_that_cannot_move_is_a_sentence(tmp_path, monkeypatch, lines):
    """Nothing of it is touched then."""
    fill(tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))

    def refuse(self, target):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UserError, match=r"cannot move the run in .*run to .*run\.1: Permission denied"):
        new_folder(tmp_path / "run", lines)
    assert set(before) <= set(tmp_path.rglob("*")) and (tmp_path / "run/config.json").read_text() == "old"


def test_the_command_moves_an_earlier_run(here):
    assert call("train.py", *SMALL_RUN).status == 0
    before = (here / "out/small/best.pt").read_bytes()
    result = call("train.py", *SMALL_RUN, "--seed=2")
    assert result.status == 0 and "out/small.1" in result.out
    assert (here / "out/small.1/best.pt").read_bytes() == before != (here / "out/small/best.pt").read_bytes()


def test_a_name_that_commands_a_terminal(here):
    """It is spelled out wherever the scripts print it."""
    name = "out/red\x1b[31m"
    for script, *arguments in (
        ("train.py", *SMALL_RUN, f"--out_dir={name}"),
        ("train.py", *SMALL_RUN, f"--out_dir={name}", "--init_from=resume", "--max_iters=14"),
        ("train.py", *SMALL_RUN, f"--out_dir={name}", "--eval_only"),
        ("sample.py", f"--model={name}", "--max_new_tokens=1"),
        ("evaluate.py", f"--model={name}", "--num_samples=2", "--pairs=2", "--max_new_tokens=2"),
    ):
        result = call(script, *arguments)
        printed = result.out + result.err
        assert result.status == 0 and "\x1b" not in printed and "red\\x1b[31m" in printed, (script, printed)


def test_out_itself_can_be_the_folder(here):
    """nanoGPT's default out_dir: a second run there leaves the runs inside it alone, and sample.py finds it."""
    assert call("train.py", *SMALL_RUN, "--out_dir=out").status == 0
    assert call("train.py", *SMALL_RUN, "--out_dir=out/other").status == 0
    assert call("train.py", *SMALL_RUN, "--out_dir=out").status == 0
    assert (here / "out.1/best.pt").exists() and (here / "out/other/best.pt").exists()
    assert "out/best.pt" in call("sample.py", "--max_new_tokens", "1").err


# -- a log.csv and a loss.png that cannot be written -------------------------------------------------------------------


def fail_while(path_is_bad, monkeypatch):
    """Opening a log for appending or replacing it fails while `path_is_bad` holds something."""
    real = open

    def hiccup(name, *arguments, **options):
        if path_is_bad and "log.csv" in str(name):
            raise PermissionError(errno.EACCES, "Permission denied", str(name))
        return real(name, *arguments, **options)

    monkeypatch.setattr("builtins.open", hiccup)


def test_a_log_that_cannot_be_written_for_a_moment(tmp_path, monkeypatch, lines):
    """One warning; the lines wait, and are in the file once it can be written."""
    folder, bad = new_folder(tmp_path, lines), []
    fail_while(bad, monkeypatch)
    folder.add_line(line(2))
    bad.append(True)
    for step in (4, 6, 8):
        folder.add_line(line(step))
    assert lines == [
        "warning: [Errno 13] Permission denied: '" + f"{tmp_path}/log.csv'; the run goes on and tries again"
    ]
    bad.clear()
    assert [row["step"] for row in read_log(tmp_path / "log.csv")] == ["2"]
    folder.add_line(line(10))
    assert [row["step"] for row in read_log(tmp_path / "log.csv")] == ["2", "4", "6", "8", "10"]
    bad.append(True)
    folder.add_line(line(12))
    bad.clear()
    folder.close()  # the last chance
    assert [row["step"] for row in read_log(tmp_path / "log.csv")][-1] == "12" and len(lines) == 1


def test_a_line_that_was_written_in_part(tmp_path, monkeypatch, lines):
    folder = new_folder(tmp_path, lines)
    folder.add_line(line(2))
    with open(tmp_path / "log.csv", "a") as file:
        file.write("4,10")  # what a full disk left of it
    bad = [True]
    with monkeypatch.context() as patch:
        fail_while(bad, patch)
        folder.add_line(line(4))
    folder.add_line(line(6))
    assert [row["step"] for row in read_log(tmp_path / "log.csv")] == ["2", "4", "6"]
    folder.close()


def test_a_log_that_can_never_be_written_again(tmp_path, monkeypatch, lines):
    folder = new_folder(tmp_path, lines)
    fail_while([True], monkeypatch)
    folder.add_line(line(2))
    folder.add_line(line(4))
    folder.close()
    assert len(lines) == 2 and "log.csv lacks its last 2 lines" in lines[1]


def test_a_picture_that_cannot_be_drawn(tmp_path, monkeypatch, lines):
    """A run with a folder of another name, without matplotlib: one warning, and the run goes on."""
    folder = new_folder(tmp_path, lines)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pictures():
        for step in (2, 4):
            folder.add_line(line(step))
            folder.draw()
        folder.close()
    (warning,) = lines
    assert "matplotlib" in warning and "the run goes on" in warning


# -- checkpoints in the background ------------------------------------------------------------------------------------


def test_a_checkpoint_that_cannot_be_written_ends_a_run(tmp_path, monkeypatch, lines):
    folder = new_folder(tmp_path, lines)
    folder.save("last.pt", {"step": 1})
    folder.wait()
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 1

    def full(contents, file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    folder.save("last.pt", {"step": 2})
    with pytest.raises(UserError, match=r"cannot write .*last\.pt: No space left on device"):
        folder.wait()
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 1


# -- config.json ------------------------------------------------------------------------------------------------------


def test_a_description_names_what_produced_a_run():
    config, set_by = merge_config(("a file", {"n_layer": 3}))
    description = describe_run(config, set_by, device="a device")
    assert description["options"]["n_layer"] == {"value": 3, "from": "a file"}
    assert description["options"].keys() == TrainConfig.__dataclass_fields__.keys()
    assert description["device"] == "a device" and description["started"][4] == "-"


def describe(values, source, command):
    return describe_run(*merge_config((source, values))) | {"command": command, "device": f"of {command}"}


def test_a_resume_forgets_nothing(tmp_path, lines):
    """config.json says how the run began, and for each resume how it went on; an option keeps what set it."""
    folder = RunFolder(tmp_path, lines.append)
    folder.begin(describe({"n_layer": 3, "max_iters": 5, "init_from": "gpt2"}, "a recipe", "first"))
    folder.close()
    for step in (5, 7):
        values = {"n_layer": 3, "max_iters": step + 2, "init_from": "resume"}
        folder = RunFolder(tmp_path, lines.append)
        folder.begin(describe(values, f"last.pt of {step}", f"resume at {step}"), TrainState(step=step))
        folder.close()
    kept = json.loads((tmp_path / "config.json").read_text())
    assert (kept["command"], kept["device"]) == ("first", "of first")
    assert kept["options"]["n_layer"] == {"value": 3, "from": "a recipe"}
    assert kept["options"]["init_from"] == {"value": "gpt2", "from": "a recipe"}
    assert kept["options"]["max_iters"] == {"value": 9, "from": "last.pt of 7"}
    resumes = [(resume["step"], resume["command"], resume["device"]) for resume in kept["resumes"]]
    assert resumes == [(step, f"resume at {step}", f"of resume at {step}") for step in (5, 7)] and not lines


@pytest.mark.parametrize("options", [[], {"n_layer": 3}, {"n_layer": {}}, {"n_layer": {"value": [3]}}, {"x": {}}])
def test_a_resume_with_options_that_are_damaged(tmp_path, lines, options):
    (tmp_path / "config.json").write_text(json.dumps({"options": options, "resumes": [{"step": 1}]}))
    new_folder(tmp_path, lines, TrainState(step=2)).close()
    kept = json.loads((tmp_path / "config.json").read_text())
    assert kept["options"]["n_layer"] == {"value": 6, "from": "default"}
    assert len(kept["resumes"]) + (tmp_path / "config.json.1").exists() == 2


def test_the_best_model_of_another_validation_set(tmp_path, lines):
    """No loss says that a later one is better, so it stays."""
    (tmp_path / "best.pt").write_text("of the first set")
    new_folder(tmp_path, lines, TrainState(step=2, best=1.5)).close()
    assert (tmp_path / "best.pt").exists() and not lines
    new_folder(tmp_path, lines, TrainState(step=2)).close()
    assert (tmp_path / "best.pt.1").read_text() == "of the first set" and not (tmp_path / "best.pt").exists()
    assert lines == [f"kept     {tmp_path}/best.pt as {tmp_path}/best.pt.1"]


def test_many_resumes(tmp_path, lines):
    """A list of short entries: the file grows by as much at the thousandth as at the first."""
    new_folder(tmp_path, lines).close()
    sizes = []
    for number in range(40):
        new_folder(tmp_path, lines, TrainState(step=number + 1, logged=0)).close()
        sizes.append((tmp_path / "config.json").stat().st_size)
    resumes = json.loads((tmp_path / "config.json").read_text())["resumes"]
    assert [resume["step"] for resume in resumes] == list(range(1, 41))
    assert resumes[0]["started"] and resumes[0]["command"]
    assert sizes[-1] - sizes[-2] <= sizes[2] - sizes[1] + 10
