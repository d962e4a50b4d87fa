"""slm/training/compile_cache.py: what a run compiled is kept, and given to the next; nothing else is."""

import os

import pytest
import torch
from conftest import SMALL_RUN, call

from slm.training import compilation, compile_cache

SHAPE = [{"n_layer": 2}, "float32"]


class Compiler:
    """Stands for torch.compiler: what `compile` compiled or found is what `save_cache_artifacts` returns."""

    def __init__(self, monkeypatch):
        self.ready, self.used = set(), []
        monkeypatch.setattr(torch.compiler, "load_cache_artifacts", self.load, raising=False)
        monkeypatch.setattr(torch.compiler, "save_cache_artifacts", self.save, raising=False)

    def load(self, code):
        self.ready |= set(code.decode().split())

    def save(self):
        return (" ".join(self.used).encode(), "a description") if self.used else None

    def compile(self, *names):
        """How many of the kernels had to be compiled."""
        self.used += names
        return len(set(names) - self.ready)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run that compiles kernels: (how many were new, the lines it printed)."""

    def run(*names, folder=tmp_path / "cache", shape=SHAPE):
        lines, compiler = [], Compiler(monkeypatch)
        with compile_cache.kept_in(str(folder) if folder else "", shape, lines.append):
            new = compiler.compile(*names)
        return new, lines

    return run


def files(folder):
    return sorted(folder.glob("*"))


def test_the_next_run_begins_with_it(run, tmp_path):
    assert run("a", "b") == (2, [])
    assert run("a", "b") == (0, [])
    assert run("a", "b", "c") == (1, [])
    assert run("c") == (0, [])
    (path,) = files(tmp_path / "cache")
    assert path.suffix == ".compiled"
    if hasattr(os, "getuid"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_another_shape_and_another_pytorch_have_their_own_files(run, tmp_path, monkeypatch):
    assert run("a")[0] == run("a", shape=[{"n_layer": 3}, "float32"])[0] == 1
    monkeypatch.setattr(torch, "__version__", "3.0")
    assert run("a")[0] == 1
    assert len(files(tmp_path / "cache")) == 3


def test_without_a_folder_nothing_is_read_or_written(run, tmp_path):
    assert run("a", folder=None) == (1, []) == run("a", folder=None)
    assert not files(tmp_path)


def test_the_oldest_go(run, tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "MOST_FILES", 2)
    for number in range(4):
        run("a", shape=number)
        for path in files(tmp_path / "cache"):
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
    assert len(files(tmp_path / "cache")) == 2
    assert [run("a", shape=number)[0] for number in (2, 3)] == [0, 0]


@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_damaged_file_is_compiled_again_and_replaced(run, tmp_path, place):
    run(*"abcdefghij")
    (path,) = files(tmp_path / "cache")
    contents = bytearray(path.read_bytes())
    contents[place] ^= 1
    path.write_bytes(contents)
    new, (line,) = run(*"abcdefghij")
    assert new == 10 and "it is damaged" in line and str(path) in line
    assert run(*"abcdefghij") == (0, [])


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="this system has no owners of files")
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_program_that_another_user_can_write_is_not_executed(run, tmp_path, mode):
    run("a")
    (path,) = files(tmp_path / "cache")
    path.chmod(mode)
    new, (line,) = run("a")
    assert new == 1 and "another user can write it" in line
    assert run("a") == (0, []), "it has been replaced by one's own"


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="this system has no owners of files")
def test_a_program_of_another_user_is_not_executed(run, monkeypatch):
    run("a")
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    new, (line,) = run("a")
    assert new == 1 and "another user" in line


def test_a_folder_that_cannot_be_made_costs_a_line(run, tmp_path):
    (tmp_path / "file").write_text("")
    new, lines = run("a", folder=tmp_path / "file" / "cache")
    assert new == 1 and any("is not kept" in line for line in lines)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_fifo_is_not_waited_for(run, tmp_path):
    run("a")
    (path,) = files(tmp_path / "cache")
    path.unlink()
    os.mkfifo(path, 0o600)
    new, (line,) = run("a")
    assert new == 1 and "it is no regular file" in line
    assert run("a") == (0, [])


@pytest.mark.parametrize(("name", "words"), [("load", "compiling without"), ("save", "is not kept: no such artifact")])
def test_an_error_of_pytorch_costs_a_line(run, monkeypatch, name, words):
    def fail(*arguments):
        raise AssertionError("no such artifact")

    run("a")
    monkeypatch.setattr(Compiler, name, fail)
    new, (line,) = run("a")
    assert new == (name == "load") and words in line


def test_files_of_others_stay(run, tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "MOST_FILES", 1)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/mine.compiled").write_text("")
    run("a", shape=1)
    run("a", shape=2)
    assert len(files(tmp_path / "cache")) == 2 and (tmp_path / "cache/mine.compiled").exists()


def test_an_option_that_does_nothing_is_a_line(run, here, tmp_path, monkeypatch):
    """The model is not compiled, or PyTorch is too old."""
    result = call("train.py", *SMALL_RUN, "--compile_cache=programs")
    assert result.status == 0 and "--compile_cache does nothing here: the model is not compiled" in result.out
    real = Compiler.__init__

    def old(self, monkeypatch):
        real(self, monkeypatch)
        monkeypatch.delattr(torch.compiler, "save_cache_artifacts")

    monkeypatch.setattr(Compiler, "__init__", old)
    assert run("a") == (1, ["--compile_cache does nothing here: it needs PyTorch 2.7"])
    assert not files(tmp_path / "cache") and not files(here / "programs")


def test_a_checkpoint_names_no_folder_of_programs(here, workshop, monkeypatch):
    """The option of a run that is resumed or scored does not come with it."""
    folders = []
    monkeypatch.setattr(compilation, "compile_model", lambda model: model)
    real = compile_cache.kept_in

    def kept_in(folder, *arguments):
        folders.append(folder)
        return real(folder, *arguments)

    monkeypatch.setattr(compile_cache, "kept_in", kept_in)
    assert call("train.py", *SMALL_RUN, "--compile", "--compile_cache=programs").status == 0
    again = ["--out_dir=out/small", "--init_from=resume", "--max_iters=14", "--device=cpu", "--compile"]
    assert call("train.py", *again).status == 0
    assert folders == ["programs", ""]
