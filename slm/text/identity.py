"""What a local source is, so that a change is noticed: each file's name, size, time and samples of its content."""

import hashlib
import json
from pathlib import Path

from slm.errors import UserError
from slm.text.story_folder import list_files

SAMPLES, SAMPLE_BYTES = 16, 4096


def source_identity(path):
    """A hash of the relative path, the size, the time and content samples of each file under `path`, or of one file.

    A file of at most 64 KiB is hashed whole, since a copy may keep the old time. Raises UserError.
    """
    path = Path(path)
    files = list_files(path)[0] if path.is_dir() else [path] if path.is_file() else []  # a FIFO never ends
    digest = hashlib.sha256()
    for file in files:
        try:
            with open(file, "rb") as opened:
                stat = file.stat()
                step = max(SAMPLE_BYTES, (stat.st_size - SAMPLE_BYTES) // (SAMPLES - 1))
                for place in range(0, stat.st_size, step):
                    opened.seek(place)
                    digest.update(opened.read(SAMPLE_BYTES))
        except OSError as error:
            raise UserError(f"cannot read {file}: {error.strerror}") from error
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        digest.update(json.dumps([name, stat.st_size, stat.st_mtime_ns]).encode())
    return digest.hexdigest()
