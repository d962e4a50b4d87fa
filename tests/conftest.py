"""What the tests share: a folder to work in, the scripts as a user runs them, and a small corpus and run to look at."""

import contextlib
import io
import json
import os
import runpy
import signal
import subprocess
import sys
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


def call(script, *arguments, stdin=""):
    """Run a script in this process, as `python SCRIPT ARGUMENTS` would: (status, out, err).

    In this process, because starting Python and PyTorch anew takes seconds.
    """
    out, err, status = io.StringIO(), io.StringIO(), 0
    before = sys.argv, sys.stdin, {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
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
    """Start a script as a process of its own, its output in pipes."""
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), **options
    )


def environment(**more):
    """The environment of a process of its own: as many threads as in this one, so that it rounds the same."""
    import torch

    return os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": str(torch.get_num_threads())} | more


def assert_mistake(result, *words):
    """A mistake of the user's: one sentence on standard error with these words in it, exit status 2."""
    assert result.status == 2, result
    lines = [line for line in result.err.strip().splitlines() if line]
    assert len(lines) == 1, result.err
    for word in words:
        assert word in lines[0], lines[0]


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


def read_meta(folder):
    return json.loads((Path(folder) / "meta.json").read_text())
