"""slm/files.py and slm/errors.py: whole files, locked folders, and how a script ends."""

import errno
import io
import os
import signal
import subprocess
import sys

import pytest
from conftest import PATIENCE, Output, start_command

from slm import files
from slm.errors import UserError, did_you_mean, first_line, print_note, printable, run_script, say
from slm.files import ROOT, atomic_folder, atomic_write, lock_folder, make_folder, read_json

# -- files ------------------------------------------------------------------------------------------------------------


def test_a_file_has_its_name_once_it_is_whole(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_a_write_that_fails_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    wanted = UserError if isinstance(error, OSError) else type(error)
    with pytest.raises(wanted) as raised, atomic_write(path) as file:
        file.write(b"half of the n")
        raise error
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    if wanted is UserError:
        assert str(raised.value) == f"cannot write {path}: No space left"


@pytest.mark.skipif(sys.platform == "win32", reason="FIFOs are Unix's")
def test_a_fifo_where_a_file_is_written(tmp_path):
    """Nobody reads it, and a write would never end."""
    os.mkfifo(tmp_path / "f.partial")
    with pytest.raises(UserError, match=r"cannot write .*f: "), atomic_write(tmp_path / "f"):
        pass
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(UserError, match="cannot write into"):
        lock_folder(tmp_path, "busy")


@pytest.mark.skipif(sys.platform == "win32", reason="flock is Unix's")
def test_two_that_write_the_same_file(tmp_path):
    """The second one is a sentence, and neither stops the first nor gets into its file."""
    path = tmp_path / "f"
    with atomic_write(path) as file:
        file.write(b"the first")
        with pytest.raises(UserError, match="another process is writing"), atomic_write(path) as other:
            other.write(b"2")
    assert path.read_bytes() == b"the first" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows renames no open file")
def test_a_file_that_got_its_name_before_it_was_locked(tmp_path, monkeypatch):
    path, partial, try_lock = tmp_path / "f", tmp_path / "f.partial", files.try_lock
    partial.write_bytes(b"the first")

    def lock_late(file):
        os.replace(partial, path)
        return try_lock(file)

    monkeypatch.setattr(files, "try_lock", lock_late)
    with pytest.raises(UserError, match="another process is writing"), atomic_write(path) as file:
        file.write(b"2")
    assert path.read_bytes() == b"the first"


def test_a_write_that_was_killed_leaves_nothing_in_the_next(tmp_path):
    (tmp_path / "f.partial").write_bytes(b"longer than the next")
    with atomic_write(tmp_path / "f") as file:
        file.write(b"short")
    assert (tmp_path / "f").read_bytes() == b"short"


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(UserError, match=r"cannot write .*no/f"), atomic_write(tmp_path / "no" / "f"):
        pass


def test_a_folder_has_its_name_once_it_is_whole(tmp_path):
    target = tmp_path / "in/new"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("1")
        assert folder.parent == target.parent and not target.exists()
    assert {path.name for path in target.iterdir()} == {"a"} and list(target.parent.iterdir()) == [target]
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "other") as folder:
        (folder / "a").write_text(str(1 / 0))
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]


def test_two_that_make_the_same_folder(tmp_path):
    """Each writes beside the other, the first one has the name, and the other is a sentence."""
    target = tmp_path / "new"
    target.mkdir()
    with pytest.raises(UserError, match=r"cannot write .*new: "), atomic_folder(target) as second:
        (second / "a").write_text("second")
        with atomic_folder(target) as first:
            (first / "a").write_text("first")
            assert (second / "a").read_text() == "second"
    assert (target / "a").read_text() == "first" and list(tmp_path.iterdir()) == [target]


def test_what_a_killed_process_left_goes(tmp_path):
    for name in (".new.0123abcd.partial", ".newer.0123abcd.partial", "new.0123abcd.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    with atomic_folder(tmp_path / "new"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"new", ".newer.0123abcd.partial", "new.0123abcd.partial"}


def test_folders(tmp_path, monkeypatch):
    make_folder(tmp_path / "a/b", "hint")
    make_folder(tmp_path / "a/b", "hint")
    assert (tmp_path / "a/b").is_dir()
    (tmp_path / "file").touch()
    for path in ("file", "file/below"):
        with pytest.raises(UserError, match=r"the folder .* \(a file has this name\): give another name"):
            make_folder(tmp_path / path, "give another name")

    def read_only(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files.Path, "mkdir", read_only)
    with pytest.raises(UserError, match="Read-only file system"):
        make_folder(tmp_path / "c", "hint")


# -- locks ------------------------------------------------------------------------------------------------------------


def test_one_at_a_time(tmp_path):
    lock = lock_folder(tmp_path, "busy here")
    with pytest.raises(UserError, match=r"^busy here$"):
        lock_folder(tmp_path, "busy here")
    lock_folder(tmp_path.parent, "busy there").close()
    lock.close()
    lock_folder(tmp_path, "busy here").close()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is Unix's")
def test_a_killed_process_leaves_no_lock(tmp_path):
    code = f"from slm.files import lock_folder; lock = lock_folder({str(tmp_path)!r}, ''); print('locked'); input()"
    process = start_command([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE)
    Output(process.stdout.fileno()).wait_for("locked")
    with pytest.raises(UserError, match="busy"):
        lock_folder(tmp_path, "busy")
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=PATIENCE)
    lock_folder(tmp_path, "busy").close()


@pytest.mark.skipif(sys.platform == "win32", reason="flock is Unix's")
def test_a_file_system_without_locks(tmp_path, monkeypatch, capsys):
    import fcntl

    def no_locks(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert lock_folder(tmp_path, "busy") is None
    assert "without locks" in capsys.readouterr().err


# -- how a script ends ------------------------------------------------------------------------------------------------


def end_of(monkeypatch, capsys, error):
    """(exit status, standard error) of a script that raises `error`."""

    def main():
        raise error

    monkeypatch.setattr(sys, "argv", ["/some/where/tool.py"])
    with pytest.raises(SystemExit) as leaving:
        run_script(main)
    return leaving.value.code, capsys.readouterr().err


def test_a_mistake_is_one_sentence_and_an_interrupt_is_no_error(monkeypatch, capsys):
    assert end_of(monkeypatch, capsys, UserError("no such thing: give one")) == (
        2,
        "tool.py: no such thing: give one\n",
    )
    assert end_of(monkeypatch, capsys, KeyboardInterrupt()) == (130, "stopped\n")


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_script(lambda: 1 / 0)


def test_a_console_that_lacks_a_character(monkeypatch):
    """A story may hold any character; a console of another encoding must not end the run."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii", write_through=True))
    run_script(lambda: print("caf\u00e9 \u4e2d"))
    assert written.getvalue() == b"caf? ?\n"


def test_hints():
    names = ["learning_rate", "min_lr", "max_iters"]
    assert did_you_mean("learning_rat", names) == "; did you mean learning_rate?"
    assert did_you_mean("xyzzy", names) == ""
    assert first_line(ValueError("one\ntwo")) == "one" and first_line(ValueError()) == "ValueError"
    assert first_line(ValueError("one two three"), 9) == "one two ..." and first_line(ValueError("a\x1bb")) == "a b"


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"{", "Expecting"),
        (b"[" * 100_000, "nested too deeply"),
        (b'"' + b"x" * 100 + b'"', "more than 100 bytes"),
        (b'"caf\xe9"', "UTF-8"),
        (b"1" * 99, None),
    ],
)
def test_json_that_is_read_back(tmp_path, contents, words):
    (tmp_path / "f.json").write_bytes(contents)
    if words is None:
        assert read_json(tmp_path / "f.json", 100) == int(contents)
        return
    with pytest.raises(ValueError, match=words):
        read_json(tmp_path / "f.json", 2**20 if contents.startswith(b"[") else 100)


@pytest.mark.skipif(os.name != "posix", reason="devices and pipes are POSIX")
def test_json_that_never_ends(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(OSError, match="no regular file"):
            read_json(path)


def test_what_a_terminal_would_obey_is_spelled_out(capsys):
    assert printable("Zwei süße 🦊, 日本語.") == "Zwei süße 🦊, 日本語."
    assert printable("a\x1b[2Jb\nc\u202ed\ud800") == r"a\x1b[2Jb\nc\u202ed\ud800"
    say("a\x1bb")
    print_note("c\nd")
    assert capsys.readouterr() == ("a\\x1bb\n", "c\\nd\n")
