"""slm/text/prepared_folder.py: one process at a time, and whole files or none."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE, ROOT

from slm import files
from slm.errors import UserError
from slm.files import NEW, current
from slm.text.prepared_folder import PREPARED_FILES, partial_folder


def write_all(partial, text):
    for name in PREPARED_FILES:
        (partial / name).write_text(f"{text} {name}")


def contents(folder):
    return {path.name: path.read_text() for path in Path(folder).iterdir() if path.name != ".lock"}


def test_whole_files_get_their_names(tmp_path):
    folder = tmp_path / "data/x"
    for text in ("old", "new"):
        with partial_folder(folder) as partial:
            write_all(partial, text)
            assert partial.parent == folder
        assert contents(folder) == {name: f"{text} {name}" for name in PREPARED_FILES}


@pytest.mark.parametrize("error", [UserError, KeyboardInterrupt, ZeroDivisionError])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    folder = tmp_path / "data/x"
    with pytest.raises(error), partial_folder(folder) as partial:
        write_all(partial, "new")
        raise error
    assert not folder.exists()
    folder.mkdir(parents=True)
    (folder / "stories.txt").write_text("One.")
    with pytest.raises(error), partial_folder(folder) as partial:
        write_all(partial, "new")
        raise error
    assert contents(folder) == {"stories.txt": "One."}


def test_a_link_to_another_file_system_stays_a_link(tmp_path):
    """`/dev/shm` is another one on Linux; elsewhere the link alone is tested."""
    elsewhere = Path("/dev/shm") if os.path.isdir("/dev/shm") else tmp_path
    target = elsewhere / f"prepared-{os.getpid()}"
    target.mkdir()
    try:
        folder = tmp_path / "data/x"
        folder.parent.mkdir()
        folder.symlink_to(target)
        for text in ("old", "new"):
            with partial_folder(folder) as partial:
                write_all(partial, text)
        assert folder.is_symlink() and contents(target) == {name: f"new {name}" for name in PREPARED_FILES}
    finally:
        for path in target.iterdir():
            path.unlink()
        target.rmdir()


def test_a_folder_in_the_place_of_a_file_is_one_sentence(tmp_path):
    (tmp_path / "x/train.bin").mkdir(parents=True)
    (tmp_path / "x/meta.json").write_text("old")
    with pytest.raises(UserError, match=r"cannot replace .*train\.bin"), partial_folder(tmp_path / "x") as partial:
        write_all(partial, "new")
    assert (tmp_path / "x/meta.json").read_text() == "old" and not (tmp_path / "x/.partial").exists()


def read_current(folder):
    return {name: current(folder, name).read_text() for name in PREPARED_FILES}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, PermissionError])
@pytest.mark.parametrize("rename", range(len(PREPARED_FILES) + 2))
def test_an_end_at_any_rename_leaves_all_old_or_all_new(tmp_path, monkeypatch, rename, kind):
    """A kill, or a program that holds a file, before rename number `rename`; the next transaction goes on."""
    folder, replace, calls = tmp_path / "x", os.replace, []
    with partial_folder(folder) as partial:
        write_all(partial, "old")

    def failing(source, target):
        calls.append(target)
        if len(calls) > rename:
            raise kind(13, "in use", str(target))
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", failing)
    raises = pytest.raises((UserError, kind)) if rename <= len(PREPARED_FILES) else contextlib.nullcontext()
    with raises, partial_folder(folder) as partial:
        write_all(partial, "new")
    monkeypatch.undo()
    state = "new" if rename else "old"
    assert read_current(folder) == {name: f"{state} {name}" for name in PREPARED_FILES}
    with pytest.raises(ZeroDivisionError), partial_folder(folder):
        raise ZeroDivisionError
    assert contents(folder) == {name: f"{state} {name}" for name in PREPARED_FILES} and not (folder / NEW).exists()
    with partial_folder(folder) as partial:
        write_all(partial, "newest")
    assert contents(folder) == {name: f"newest {name}" for name in PREPARED_FILES}


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(UserError, match=r"data/x \(a file has this name\)"), partial_folder(tmp_path / "data/x"):
        pass

    def read_only(*_arguments, **_more):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(UserError, match="Read-only file system"), partial_folder(tmp_path / "y"):
        pass


def test_one_process_at_a_time(tmp_path):
    """The lock ends with its process, also a killed one, whose half-written files are then removed."""
    code = (
        "import sys, time; from pathlib import Path; from slm.text.prepared_folder import partial_folder\n"
        "with partial_folder(Path('x')) as partial:\n"
        "    (partial / 'train.bin').write_text('half'); print('here', flush=True); time.sleep(3600)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "here\n"
        with pytest.raises(UserError, match=r"another prepare\.py is writing"), partial_folder(tmp_path / "x"):
            pass
        assert (tmp_path / "x/.partial/train.bin").read_text() == "half"
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE)
        with partial_folder(tmp_path / "x") as partial:
            assert not list(partial.iterdir())
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)
