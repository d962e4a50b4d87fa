"""Files that are always whole under their final name, and folders that one program writes at a time, as a whole."""

import contextlib
import errno
import glob
import itertools
import json
import os
import secrets
import shutil
import stat
import sys
from pathlib import Path

from slm.errors import UserError

ROOT = Path(__file__).resolve().parent.parent  # the repository
LONGEST_NAME = 255  # bytes, on the file systems in use
PARTIAL, NEW = ".partial", ".new"  # in a folder that changes: files that are being written, and all of them, whole


def user_path(text):
    """The text of a path that the user gave, with `~` for a home folder. Raises UserError where no file can have it."""
    path = os.path.expanduser(text)
    if path.startswith("~"):
        raise UserError(f"{text}: no user has the home folder {path.split('/')[0]}: write ./{text} for that name")
    if "\0" in path or any(len(os.fsencode(name)) > LONGEST_NAME for name in Path(path).parts):
        raise UserError(f"{text[:40]!r} ... is no name for a file: give at most {LONGEST_NAME} bytes, without NUL")
    return path


@contextlib.contextmanager
def atomic_write(path):
    """Open `path` for binary writing; after a crash at any moment its name holds all of the old file or all of the new.

    The bytes go to `path` + `.partial`, which is locked, reach the disk, and then take the name. An exception removes
    them and keeps the old file. Raises UserError where the file cannot be written, or another process writes it.
    """
    path = Path(path)
    partial, is_ours = path.with_name(path.name + ".partial"), False
    try:
        with open(partial, "wb", opener=open_uncut) as file:
            # Windows would keep other writers of this process out, too; the other process may have renamed it by now
            is_ours = os.name == "nt" or (try_lock(file) is not False and is_named(file, partial))
            if not is_ours:
                raise UserError(f"another process is writing {path}: wait for it, or give another name")
            file.truncate()
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name == "nt":
                file.close()  # Windows gives an open file no other name
            os.replace(partial, path)
    except BaseException as error:
        if is_ours:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error
        raise


def open_uncut(path, flags):
    """An opener for `open` that leaves what is in the file. A FIFO that nobody reads is an error, and no wait."""
    return os.open(path, flags & ~os.O_TRUNC | getattr(os, "O_NONBLOCK", 0), 0o666)


def is_named(file, path):
    """Whether an open file is the one that has the name `path` now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def free_name(path):
    """The first of NAME.1, NAME.2, ... beside `path` that nothing has."""
    path = Path(path)
    names = (path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))


@contextlib.contextmanager
def atomic_folder(path):
    """A folder to write files into, which takes the name `path` in the end; an exception removes it.

    It has a name that no other process uses, beside `path`, and is locked: what a killed process left is not, and goes.
    Raises UserError where the folder cannot be written, or `path` is there by then and not an empty folder.
    """
    path = Path(path)
    make_folder(path.parent, f"{path} goes into it")
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        with contextlib.suppress(UserError):
            lock = lock_folder(left, "another process writes it")
            shutil.rmtree(left, ignore_errors=True)
            if lock:
                lock.close()
    new, lock = path.with_name(f".{path.name}.{secrets.token_hex(4)}"), None
    partial = new.with_name(new.name + ".partial")
    try:
        new.mkdir()
        lock = lock_folder(new, f"another process writes {new}")
        os.rename(new, partial)  # locked from the first moment that another process may take it for left over
        yield partial
        for file in partial.iterdir():
            with open(file, "rb+") as written:
                os.fsync(written.fileno())
        if os.name == "nt" and path.exists():
            path.rmdir()
        os.rename(partial, path)
        (path / ".lock").unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if lock:
            lock.close()
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(partial, ignore_errors=True)


def make_folder(path, hint):
    """Make the folder `path` and those above it. Raises UserError, which ends with `hint`, where that is impossible."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file has this name" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        raise UserError(f"cannot make the folder {path} ({reason}): {hint}") from error


def lock_folder(folder, busy):
    """Lock `folder` for this process: an open file that holds the lock until it is closed or the process ends.

    The lock belongs to the process and not to the file `.lock`, which stays: a killed process leaves no lock behind.
    Returns None on a file system without locks. Raises UserError with the text `busy` where another process has it.
    """
    try:
        # it stays open as long as the lock is held
        file = open(Path(folder) / ".lock", "ab", opener=open_uncut)  # noqa: SIM115
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror or error}") from error
    locked = try_lock(file)
    if not locked:
        file.close()
    if locked is False:
        raise UserError(busy)
    if locked is None:
        print(f"{folder} is on a file system without locks: start nothing else that writes there", file=sys.stderr)
        return None
    return file


def try_lock(file):
    """Lock an open file until it is closed: True, False where another process has it, None where there are no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK) else None
    return True


def read_regular(path, largest):
    """The bytes of a regular file of at most `largest` bytes. Raises OSError or ValueError, whose text is short.

    A FIFO or a device never ends.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    with open(path, "rb") as file:
        contents = file.read(largest + 1)
    if len(contents) > largest:
        raise ValueError(f"it has more than {largest:,} bytes")
    return contents


def read_json(path, largest=2**24):
    """The JSON value of a regular file of at most `largest` bytes. Raises OSError or ValueError, whose text is short.

    Nesting may be deeper than Python's stack.
    """
    try:
        return json.loads(read_regular(path, largest))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8") from error


@contextlib.contextmanager
def folder_transaction(folder, busy, hint):
    """A folder within `folder` to write files into; when the block ends well, all of them take their names in `folder`.

    After a crash at any moment `folder` has all of the old files or all of the new: the change happens in one rename,
    of `.partial` to `.new`. From then on a file in `.new` is the one that counts (`current`), and each moves to its
    name; where a crash or a program that holds a file stops that, the next transaction goes on. Other files in
    `folder` stay. Raises UserError: with the text `busy` where another process is at it, and ending with `hint` where
    `folder` cannot be written. A failure leaves no new folder behind.
    """
    folder = Path(folder)
    is_new = not folder.exists()
    make_folder(folder, hint)
    lock = lock_folder(folder, busy)
    partial = folder / PARTIAL
    try:
        settle(folder)
        shutil.rmtree(partial, ignore_errors=True)  # what a killed process left
        make_folder(partial, hint)
        yield partial
        publish(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        with contextlib.suppress(OSError):  # Windows keeps a file that is open
            if is_new and [path.name for path in folder.iterdir()] == [".lock"]:
                (folder / ".lock").unlink()
                folder.rmdir()
        if lock:
            lock.close()


def publish(partial, folder):
    """Give the files in the folder `partial`, on the same file system, their names in `folder`, in one rename."""
    for path in partial.iterdir():
        if (folder / path.name).is_dir():
            raise UserError(f"cannot replace {folder / path.name} (it is a folder): move it away")
    os.replace(partial, folder / NEW)
    settle(folder)


def settle(folder):
    """Give the files in `.new` their names, where a transaction has left any there. Raises UserError; see `current`."""
    new = folder / NEW
    try:
        for path in new.iterdir() if new.is_dir() else ():
            os.replace(path, folder / path.name)
        with contextlib.suppress(FileNotFoundError):
            new.rmdir()
    except OSError as error:
        name = error.filename2 or error.filename
        reason = error.strerror or error
        raise UserError(f"cannot replace {name} ({reason}): stop what uses it, then run the same command") from error


def current(folder, name):
    """The path of the file `name` in a folder that transactions change."""
    new = Path(folder) / NEW / name
    return new if new.exists() else Path(folder) / name
