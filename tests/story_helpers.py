"""What the tests of the readers of stories share: files are written, and understood and read by story_files.py."""

import gzip

import pyarrow as pa
import pytest

from slm.errors import UserError
from slm.text import story_files

MARK = "\ufeff"
END, START = "<|endoftext|>", "<|startoftext|>"


def read(*files, column="text"):
    """The texts of all files, and the line that says what was understood."""
    understood, (note,) = story_files.understand(list(files), column)
    return [text for file in understood for text in file.read()], note


def texts_of(*files, column="text"):
    return read(*files, column=column)[0]


def write(file, contents):
    """Write text, compressed as the name of the file says; "\\udce9" is the byte E9, which is not UTF-8."""
    data, codec = contents.encode(errors="surrogateescape"), file.suffix.lower()
    if codec in (".gz", ".zst"):
        data = gzip.compress(data) if codec == ".gz" else pa.Codec("zstd").compress(data, asbytes=True)
    file.write_bytes(data)


def assert_refused(file, contents, *words):
    write(file, contents)
    with pytest.raises(UserError) as error:
        read(file)
    for word in [file.name, *words]:
        assert word in str(error.value), str(error.value)
    assert "\n" not in str(error.value)
