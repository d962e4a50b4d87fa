"""What the tests share: one machine, the scripts as a user runs them, and a small corpus and run to look at."""

import contextlib
import csv
import functools
import io
import json
import locale
import os
import random
import runpy
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from forked import ForkedProcess

# -- one machine ------------------------------------------------------------------------------------------------------
# Wherever they run, the tests see one processor thread, no bfloat16, no GPU, no network settings, UTC, UTF-8 and 80
# columns, and so do the processes that they start. A test that wants something else asks for it.

LEFT_OUT = ("GIT_", "HF_", "HUGGINGFACE_", "LC_", "MKL_", "OMP_", "PYTORCH_", "TIKTOKEN_", "TORCH", "WANDB_")
LEFT_OUT += ("GROUP_RANK", "LOCAL_RANK", "LOCAL_WORLD", "MASTER_", "RANK", "ROLE_", "WORLD_SIZE")  # torchrun's
for name in [name for name in os.environ if name.startswith(LEFT_OUT)]:
    del os.environ[name]
os.environ |= {
    "OMP_NUM_THREADS": "1",  # sums round the same on any number of cores
    "GOMP_SPINCOUNT": "0",  # idle threads would spin, and take the cores from other programs
    "TOKENIZERS_PARALLELISM": "true",  # without a warning about processes that fork
    "HF_HOME": tempfile.mkdtemp(prefix="tests-hf-"),  # no token and no cache of the user
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MPLBACKEND": "Agg",
    "NO_PROXY": "localhost,127.0.0.1",
    "no_proxy": "localhost,127.0.0.1",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "COLUMNS": "80",
    "LINES": "24",
}
os.umask(0o022)
if hasattr(time, "tzset"):
    time.tzset()
with contextlib.suppress(locale.Error):  # Windows and macOS have no C.UTF-8
    locale.setlocale(locale.LC_ALL, "C.UTF-8")  # `open` asks for it each time

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
    "--dtype=float32",
]
PATIENCE = 900  # seconds that a test waits for another process: only one that hangs takes as long
SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
]


for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    if hasattr(signal, name):  # `nohup`, or `&` in a script, has these ignored, which processes inherit
        signal.signal(getattr(signal, name), handler)

REAL_CUDA = {}


@pytest.fixture(scope="session", autouse=True)
def one_machine():
    """A CPU without bfloat16, whatever is here."""
    import torch

    from slm import devices

    REAL_CUDA.update({name: getattr(torch.cuda, name) for name in ("is_available", "device_count")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        patch.setattr(torch.cuda, "device_count", lambda: 0)
        patch.setattr(torch.backends.mps, "is_available", lambda: False)
        patch.setattr(devices, "cpu_has_bfloat16", lambda: False)
        yield
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def no_pictures():
    """A run in this process draws no loss.png, which takes as long as a small run does, outside `pictures`."""
    from slm.training import run_folder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "draw_losses", lambda rows, path, title: path.write_bytes(b"no picture"))
        yield


@contextlib.contextmanager
def pictures():
    """Runs draw loss.png, as they do for a user."""
    from slm.training import log, run_folder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "draw_losses", log.draw_losses)
        yield


@pytest.fixture(autouse=True)
def handlers_return():
    """A test's signal handlers do not outlive it."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def any_order(request):
    """A test's random numbers do not depend on the tests before it. One marked `gpu` sees the GPU, or is skipped."""
    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    if request.node.get_closest_marker("gpu"):
        with pytest.MonkeyPatch.context() as patch:
            for name, function in REAL_CUDA.items():
                patch.setattr(torch.cuda, name, function)
            if not torch.cuda.is_available():
                pytest.skip("needs a CUDA device")
            yield
    else:
        yield


# -- scripts ----------------------------------------------------------------------------------------------------------


def call(script, *arguments, stdin=""):
    """Run a script in this process, as `python SCRIPT ARGUMENTS` would: (status, out, err).

    In this process, because another one takes seconds to import PyTorch.
    """
    out, err, status = io.StringIO(), io.StringIO(), 0
    before = sys.argv, sys.stdin, {number: signal.getsignal(number) for number in SIGNALS}
    sys.argv = [str(ROOT / script), *map(str, arguments)]
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()), newline="\n")  # as Python opens it
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


@functools.cache
def parser_of(script):
    """The OptionParser that the `main` of a script makes."""
    from slm.errors import UserError
    from slm.options import OptionParser

    found = []

    def keep(parser):
        found.append(parser)
        raise UserError("kept")

    with mock.patch.object(OptionParser, "parse", keep):
        assert call(script).status == 2
    return found[0]


def parse_options(script, arguments):
    """What a script with an OptionParser reads from these arguments. Raises UserError."""
    parser = parser_of(script)
    parser.texts = []
    with mock.patch.object(sys, "argv", [script, *arguments]):
        return parser.parse()


def call_on_terminal(script, *arguments, cwd, columns=80):
    """Run a script as another process on a terminal so wide; returns all that the terminal got."""
    master, slave = os.openpty()
    resize_terminal(slave, columns)
    env = {name: value for name, value in environment(TERM="xterm").items() if name != "COLUMNS"}
    process = start(script, *arguments, cwd=cwd, stdin=slave, stdout=slave, stderr=slave, env=env)
    os.close(slave)
    text = b""
    with contextlib.suppress(OSError):  # Linux's end of a terminal
        while more := os.read(master, 4096):
            text += more
    os.close(master)
    process.wait(PATIENCE)
    return text.decode()


def resize_terminal(descriptor, columns):
    import fcntl
    import struct
    import termios

    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def start_forked(script, *arguments, cwd, env=None):
    """Start a script as `start` does, where Linux can without its seconds of imports. Its standard input is empty."""
    if sys.platform != "linux":
        return start(script, *arguments, cwd=cwd, env=env or environment())
    STARTED.append(ForkedProcess([str(ROOT / script), *map(str, arguments)], cwd, env or environment()))
    return STARTED[-1]


STARTED = []


@pytest.fixture(autouse=True)
def no_process_outlives_its_test():
    yield
    while STARTED:
        process = STARTED.pop()
        process.terminate()  # torchrun ends what it started
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate(timeout=PATIENCE)


def torchrun_command(*arguments, processes=2):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return [*launcher, *map(str, arguments)]


def environment(**more):
    """The environment of another process: this one's, without a GPU."""
    return os.environ | {"PYTHONUNBUFFERED": "1", "CUDA_VISIBLE_DEVICES": ""} | more


def wait_until(condition, process=None, seconds=PATIENCE, pause=0.01):
    """Wait until `condition()` is true; fail where `process` ends before, or after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"waited {seconds} seconds for nothing"
        time.sleep(pause)


class Output:
    """What another process writes to a pipe or a terminal, read as it comes."""

    def __init__(self, descriptor):
        self.descriptor, self.text = descriptor, ""

    def has(self, text, seconds):
        """Whether `text` comes within so many seconds; it is then gone with all before it."""
        end = time.monotonic() + seconds
        while text not in self.text:
            if not select.select([self.descriptor], [], [], max(0, end - time.monotonic()))[0]:
                return False
            more = os.read(self.descriptor, 1000)
            assert more, f"the output ended without {text!r}: {self.text[-500:]!r}"
            self.text += more.decode(errors="replace")
        self.text = self.text.split(text, 1)[1]
        return True

    def wait_for(self, text, seconds=PATIENCE):
        assert self.has(text, seconds), f"{text!r} never came: {self.text[-500:]!r}"


def assert_mistake(result, *words):
    """A mistake of the user's: one sentence on standard error with these words in it, exit status 2."""
    assert result.status == 2, result
    lines = [line for line in result.err.strip().splitlines() if line]
    assert len(lines) == 1, result.err
    for word in words:
        assert word in lines[0], lines[0]


# -- a corpus and a run -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def sample_stories():
    """The 20,000 stories of `prepare.py --dataset sample`."""
    from data.sample_stories import stories

    return list(stories(20_000))


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """A folder with data/small (600 sample stories, vocabulary 512) and the run out/small; do not change them."""
    folder = tmp_path_factory.mktemp("workshop")
    from data.sample_stories import stories

    (folder / "small.txt").write_text("\n<|endoftext|>\n".join(stories(600)))
    with contextlib.chdir(folder):
        prepared = call("prepare.py", "--dataset", "small.txt", "--vocab_size", "512")
        assert prepared.status == 0, prepared.err
        with pictures():
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


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    """A copy of the repository's files, committed or not, without what the scripts and tools made."""
    folder = tmp_path_factory.mktemp("repository") / "code"
    made = shutil.ignore_patterns("out", "venv", ".*", "__pycache__", "*.egg-info", "uv.lock")

    def left_out(parent, names):
        corpora = [name for name in names if Path(parent) == ROOT / "data" and (ROOT / "data" / name).is_dir()]
        return {*made(parent, names), *corpora} - {".github", ".gitignore"}

    shutil.copytree(ROOT, folder, ignore=left_out)
    return folder


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
