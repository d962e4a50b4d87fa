"""Compiled code in a folder, for machines that are new each time: `--compile_cache=FOLDER`.

PyTorch keeps what it compiles on the machine's own disk, which is empty on a new machine of Colab or of a cluster. With
this option one file in FOLDER holds what a run compiled, and a run of the same shape begins with it.

Such a file is a program, which the next run executes. So only an option names the folder, never a checkpoint, and a
file that another user can write is left aside. A cache saves time and nothing else: where it fails, a line says why,
and the run compiles.
"""

import contextlib
import hashlib
import json
import os
import stat
from pathlib import Path

import torch

from slm.errors import first_line
from slm.files import atomic_write, make_folder

MOST_FILES = 32  # the oldest go; one takes some megabytes, and each process of a host has its own


@contextlib.contextmanager
def kept_in(folder, shape, print_line):
    """Begin with what earlier runs compiled, and keep what the block compiles. An empty `folder` keeps nothing.

    shape: a value for JSON, of all that decides what is compiled. A file for another shape would be useless, and never
    wrong: PyTorch compares its own keys.
    """
    if folder and not hasattr(torch.compiler, "save_cache_artifacts"):
        print_line("--compile_cache does nothing here: it needs PyTorch 2.7")
        folder = ""
    if not folder:
        yield
        return
    name = hashlib.sha256(json.dumps([torch.__version__, shape]).encode()).hexdigest()[:16]
    path = Path(folder) / f"{name}.compiled"
    load(path, print_line)
    yield
    save(path, print_line)


def load(path, print_line):
    """Hand the code in a file to PyTorch, which uses what has the keys that it looks for."""
    try:
        torch.compiler.load_cache_artifacts(read_own(path))
    except FileNotFoundError:
        pass
    except Exception as error:  # PyTorch's own too
        print_line(f"compiling without {path} ({getattr(error, 'strerror', None) or first_line(error)})")


def read_own(path):
    """The code in a file that `save` wrote. Raises OSError or ValueError."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("it is no regular file")  # a FIFO never ends
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
            raise ValueError("another user can write it, and it is a program")
        checksum, code = file.read(32), file.read()
    if hashlib.sha256(code).digest() != checksum:
        raise ValueError("it is damaged")
    return code


def save(path, print_line):
    """Write the code that this process compiled, or found compiled, to a file."""
    try:
        result = torch.compiler.save_cache_artifacts()
        if result is None:
            return
        make_folder(path.parent, "give another --compile_cache")
        with atomic_write(path) as file:
            with contextlib.suppress(OSError):  # a file system without permissions
                os.chmod(file.name, 0o600)
            file.write(hashlib.sha256(result[0]).digest() + result[0])
    except Exception as error:
        print_line(f"the compiled code is not kept: {first_line(error)}")
    with contextlib.suppress(OSError):  # another process may remove them too
        files = sorted(path.parent.glob(f"{'[0-9a-f]' * 16}.compiled"), key=lambda path: path.stat().st_mtime)
        for old in files[:-MOST_FILES]:
            old.unlink(missing_ok=True)
