"""What the tests share: a folder to work in, the scripts as a user runs them, and a small corpus and run to look at."""

import contextlib
import csv
import io
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
REAL_STORIES = ROOT.parent / "shared" / "tinystories"
SMALL_MODEL = ["--n_layer=2", "--n_head=2", "--n_embd=32", "--block_size=32", "--dropout=0.1"]
SMALL_RUN = [
    "--dataset=small",
    *SMALL_MODEL,
    "--batch_size=8",
    "--gradient_accumulation_steps=1",
    "--max_iters=12",
    "--warmup_iters=3",
    "--eval_interval=6",
    "--log_interval=2",
    "--sample_prompt=",
    "--device=cpu",
]
PATIENCE = 120  # seconds that a test waits for another process: two cores may be busy
SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
]


# -- scripts ----------------------------------------------------------------------------------------------------------


def call(script, *arguments, stdin=""):
    """Run a script in this process, as `python SCRIPT ARGUMENTS` would: (status, out, err).

    In this process, because another one takes seconds to import PyTorch.
    """
    out, err, status = io.StringIO(), io.StringIO(), 0
    before = sys.argv, sys.stdin, {number: signal.getsignal(number) for number in SIGNALS}
    sys.argv, sys.stdin = [str(ROOT / script), *map(str, arguments)], io.TextIOWrapper(io.BytesIO(stdin.encode()))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_path(str(ROOT / script), run_name="__main__")
    except SystemExit as leaving:
        status = leaving.code or 0
    finally:
        sys.argv, sys.stdin = before[:2]
        for number, handler in before[2].items():
            signal.signal(number, handler)
    return SimpleNamespace(status=status, out=out.getvalue(), err=err.getvalue())


def start(script, *arguments, cwd, **options):
    """Start a script as another process, its output in pipes. It ends with the test at the latest."""
    return start_command([sys.executable, str(ROOT / script), *map(str, arguments)], cwd=cwd, **options)


def start_command(command, cwd, **options):
    """Start a command as `start` does."""
    if os.name == "posix":
        # a background job of a shell script ignores SIGINT, and so would what it starts
        options.setdefault("preexec_fn", lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment()} | options
    STARTED.append(subprocess.Popen(command, cwd=cwd, **options))
    return STARTED[-1]


STARTED = []


@pytest.fixture(autouse=True)
def no_process_outlives_its_test():
    yield
    while STARTED:
        process = STARTED.pop()
        process.terminate()  # torchrun ends what it started
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate(timeout=10)


def torchrun_command(*arguments, processes=2):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return [*launcher, *map(str, arguments)]


def environment(**more):
    """The environment of another process: as many threads as in this one, so that it rounds the same."""
    import torch

    return os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": str(torch.get_num_threads())} | more


def wait_until(condition, process=None, seconds=PATIENCE):
    """Wait until `condition()` is true; fail where `process` ends before, or after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"waited {seconds} seconds for nothing"
        time.sleep(0.01)


class Output:
    """What another process writes to a pipe or a terminal, read as it comes."""

    def __init__(self, descriptor):
        self.descriptor, self.text = descriptor, ""

    def wait_for(self, text, seconds=PATIENCE):
        """Read until `text`, which is then gone with all before it."""
        end = time.monotonic() + seconds
        while text not in self.text:
            ready = select.select([self.descriptor], [], [], max(0, end - time.monotonic()))[0]
            assert ready, f"{text!r} never came: {self.text[-500:]!r}"
            more = os.read(self.descriptor, 1000)
            assert more, f"the output ended without {text!r}: {self.text[-500:]!r}"
            self.text += more.decode(errors="replace")
        self.text = self.text.split(text, 1)[1]


def assert_mistake(result, *words):
    """A mistake of the user's: one sentence on standard error with these words in it, exit status 2."""
    assert result.status == 2, result
    lines = [line for line in result.err.strip().splitlines() if line]
    assert len(lines) == 1, result.err
    for word in words:
        assert word in lines[0], lines[0]


# -- a corpus and a run -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """A folder with data/small (600 sample stories, vocabulary 512) and the run out/small; do not change them."""
    folder = tmp_path_factory.mktemp("workshop")
    from data.sample_stories import stories

    (folder / "small.txt").write_text("\n<|endoftext|>\n".join(stories(600)))
    with contextlib.chdir(folder):
        prepared = call("prepare.py", "--dataset", "small.txt", "--vocab_size", "512")
        assert prepared.status == 0, prepared.err
        trained = call("train.py", *SMALL_RUN)
        assert trained.status == 0, trained.err
    return SimpleNamespace(path=folder, prepared=prepared, trained=trained)


@pytest.fixture
def here(workshop, tmp_path, monkeypatch):
    """An empty folder to work in, with the workshop's data/small in it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "small").symlink_to(workshop.path / "data" / "small")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def small_config(*arguments):
    """(TrainConfig, what set its options) of SMALL_RUN and more of train.py's arguments."""
    from slm.config import merge_config
    from slm.config_parser import parse_command_line

    return merge_config(("a test", parse_command_line([*SMALL_RUN, *arguments])[1]))


@contextlib.contextmanager
def signal_in_step(step, number=signal.SIGTERM):
    """The run gets a signal while it computes optimizer step `step`, counted from 1."""
    from slm.training.batches import TrainBatches

    get_batch = TrainBatches.__getitem__

    def get_batch_and_signal(self, index):
        if index == (step - 1) * self.sequences:
            os.kill(os.getpid(), number)
        return get_batch(self, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainBatches, "__getitem__", get_batch_and_signal)
        yield


def read_meta(folder):
    return json.loads((Path(folder) / "meta.json").read_text())


def log_of(folder):
    """The lines of a run's log.csv, as dicts of text."""
    with open(Path(folder) / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def read_log_steps(folder):
    """The steps of a log.csv that a run may be writing."""
    path = Path(folder) / "log.csv"
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    return [int(line.split(",")[0]) for line in lines]


def without_clock(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def same_tensors(one, other):
    import torch

    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
