"""How prepare.py writes data/NAME: one process at a time, whole files only, and never across file systems."""

import contextlib
import json
import os
import re
import shutil

from slm.errors import UserError
from slm.files import atomic_write, lock_folder, make_folder
from slm.text import tokenizer

PREPARED_FILES = ("tokenizer.tiktoken", "train.bin", "validation.bin", "meta.json")  # in the order of their renaming


def check_name(name):
    """Raise UserError where `name`, of a folder under data/, is no plain name."""
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise UserError(f"--name {name!r} must be a plain folder name: letters, digits, '.', '_' and '-'")


@contextlib.contextmanager
def partial_folder(folder):
    """A folder within `folder`, so on the same file system, that this process alone has until the block ends.

    Raises UserError where another process has it or `folder` cannot be written. A failure leaves no new folder behind.
    """
    is_new = not folder.exists()
    make_folder(folder, "give another --name, or start prepare.py where it can write")
    lock = lock_folder(folder, f"another prepare.py is writing {folder}: wait for it, or give another --name")
    partial = folder / ".partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)  # what a killed process left
        make_folder(partial, "give another --name")
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        with contextlib.suppress(OSError):  # Windows keeps a file that is open
            if is_new and [path.name for path in folder.iterdir()] == [".lock"]:
                (folder / ".lock").unlink()
                folder.rmdir()
        if lock:
            lock.close()


def finish_folder(partial, folder, encoding, meta):
    """Write the tokenizer and meta.json beside the token files in `partial`, and give all their names in `folder`.

    meta: what meta.json says besides the tokenizer. Returns the contents of meta.json.
    """
    text = tokenizer.to_text(encoding)
    with atomic_write(partial / "tokenizer.tiktoken") as file:
        file.write(text.encode())
    meta = meta | {
        "dtype": "uint16",
        "end_of_text": encoding.eot_token,
        "tokenizer": "tokenizer.tiktoken",
        "tokenizer_sha256": tokenizer.sha256(text),
    }
    with atomic_write(partial / "meta.json") as file:
        file.write(json.dumps(meta, indent=2).encode())
    replace_files(partial, folder)
    return meta


def replace_files(partial, folder):
    """Give the whole new files their final names, meta.json last: without it the folder does not count as prepared."""
    try:
        (folder / "meta.json").unlink(missing_ok=True)
        for name in PREPARED_FILES:
            os.replace(partial / name, folder / name)
    except OSError as error:
        name = error.filename2 or error.filename
        raise UserError(f"cannot replace {name} ({error.strerror}): stop what uses it, or move it away") from error
