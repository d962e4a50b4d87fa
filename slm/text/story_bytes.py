"""Files of stories as bytes: what a name says, and how a file is opened as UTF-8, whatever compresses or encodes it."""

import codecs
import contextlib
import gzip
import io
import zlib

from slm.errors import UserError, first_line

KINDS = (".parquet", ".arrow", ".jsonl", ".json", ".csv", ".tsv", ".txt")
TABLES = (".parquet", ".arrow")  # with compression within
CODECS = {".gz": "gzip", ".zst": "zstd"}  # of any kind but the tables
KIND_NAMES = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
BYTE_ORDER_MARK = "\ufeff"
BUFFER_BYTES = 2**17  # small enough for a processor's cache
LONGEST_LINE = 2**26  # bytes of a row of .jsonl, .csv or .tsv: a file without line ends must not fill the memory


def split_name(name):
    """(stem, kind, codec) of a file's name: ("a.b", ".csv", ".gz") of "a.b.CSV.gz"; kind is None for another name."""
    lower = name.lower()
    codec = next((codec for codec in CODECS if lower.endswith(codec)), "")
    inner = lower.removesuffix(codec)
    kind = next((kind for kind in KINDS if inner.endswith(kind) and not (codec and kind in TABLES)), None)
    return name[: len(inner) - len(kind or "")], kind, codec


def kind_of(file):
    return split_name(file.name)[1]


@contextlib.contextmanager
def decompressed(file, codec):
    """The open file, in decompressed bytes. An error of reading until the block ends becomes a UserError.

    file: a path, or another object with `name` and `open`. codec: a key of CODECS, or "".
    """
    try:
        with file.open("rb") as opened:
            if not codec:
                yield opened
            elif codec == ".gz":
                with gzip.GzipFile(fileobj=opened) as stream:  # which knows padding and files that `cat` has joined
                    yield io.BufferedReader(stream, BUFFER_BYTES)
            else:
                import pyarrow

                with pyarrow.CompressedInputStream(opened, CODECS[codec]) as stream:
                    yield io.BufferedReader(stream, BUFFER_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        if codec == ".zst" and "memory" in str(error):
            raise UserError(f"{file} needs a window above 128 MiB: unpack it with `zstd -d --long=31`") from error
        if codec and not getattr(error, "strerror", None):
            raise UserError(
                f"cannot read {file} ({first_line(error)}): the file is incomplete or no {codec} file; download or"
                " write it again"
            ) from error
        raise UserError(f"cannot read {file}: {getattr(error, 'strerror', None) or first_line(error)}") from error


@contextlib.contextmanager
def reading(content):
    """The text of a file that `content.look` knows, as an open file of UTF-8 bytes."""
    with decompressed(content.file, content.codec) as opened:
        if content.encoding == "utf-8" and not content.old_ends:
            yield opened
        else:
            yield io.BufferedReader(Recoded(opened, content), BUFFER_BYTES)


class Recoded(io.RawIOBase):
    """An open file in another encoding, or with line ends of `\\r`, as UTF-8 with those of today."""

    def __init__(self, opened, content):
        self.opened, self.content, self.ready = opened, content, b""
        is_utf8 = content.encoding == "utf-8"  # its bytes are kept: damage is a matter of a line
        self.decoder = codecs.getincrementaldecoder("latin-1" if is_utf8 else content.encoding)()
        self.to_bytes = codecs.getencoder("latin-1" if is_utf8 else "utf-8")
        if content.old_ends:
            self.decoder = io.IncrementalNewlineDecoder(self.decoder, translate=True)

    def readable(self):
        return True

    def readinto(self, buffer):
        while not self.ready:
            block = self.opened.read(BUFFER_BYTES)
            try:
                self.ready, _ = self.to_bytes(self.decoder.decode(block, final=not block))
            except UnicodeError as error:
                name = self.content.encoding.upper()
                raise UserError(f"{self.content.file} is not whole {name} ({error}): save it as UTF-8") from error
            if not block:
                break
        size = min(len(buffer), len(self.ready))
        buffer[:size], self.ready = self.ready[:size], self.ready[size:]
        return size


def numbered_lines(content):
    """Yield (number, text) of each line, counted from 1, with its end. Bytes that are not UTF-8 are lone surrogates.

    Raises UserError where a line is longer than LONGEST_LINE.
    """
    with reading(content) as lines:
        number = 0
        while line := lines.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE:
                raise UserError(f"{content.file}, line {number} has more than {LONGEST_LINE:,} bytes: divide it")
            yield number, line.decode(errors="surrogateescape")
