"""Files of stories as bytes: which kind a name says, and how a plain or compressed file is opened and read by lines."""

import contextlib
import io

from slm.errors import UserError, first_line

KINDS = (".parquet", ".jsonl", ".json", ".csv", ".tsv", ".txt")
CODECS = {".gz": "gzip", ".zst": "zstd"}  # of any kind but .parquet, which has compression within
KIND_NAMES = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
BYTE_ORDER_MARK = "\ufeff"


def split_name(name):
    """(stem, kind, codec) of a file's name: ("a.b", ".csv", ".gz") of "a.b.CSV.gz"; kind is None for another name."""
    lower = name.lower()
    codec = next((codec for codec in CODECS if lower.endswith(codec)), "")
    inner = lower.removesuffix(codec)
    kind = next((kind for kind in KINDS if inner.endswith(kind) and not (codec and kind == ".parquet")), None)
    return name[: len(inner) - len(kind or "")], kind, codec


def kind_of(path):
    return split_name(path.name)[1]


def not_utf8(file, line, error):
    return UserError(f"{file}, line {line} is not UTF-8 ({error.reason}): save it as UTF-8")


@contextlib.contextmanager
def reading(file):
    """The open file, in bytes and decompressed. An OSError until the block ends becomes a UserError that names it."""
    codec = split_name(file.name)[2]
    try:
        with open(file, "rb") as opened:
            if not codec:
                yield opened
                return
            import pyarrow

            with pyarrow.CompressedInputStream(opened, CODECS[codec]) as stream:
                yield io.BufferedReader(stream, 2**17)
    except OSError as error:
        if codec and not error.strerror:
            raise UserError(
                f"cannot read {file} ({first_line(error)}): the file is incomplete or no {codec} file; download or"
                " write it again"
            ) from error
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error


def numbered_lines(file):
    """Yield (number, text) of each line of a UTF-8 file, counted from 1, with its end and without byte order marks."""
    with reading(file) as lines:
        for number, line in enumerate(lines, 1):
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise not_utf8(file, number, error) from error
            yield number, text.lstrip(BYTE_ORDER_MARK)  # the mark begins each file that `cat` has joined
