"""What a file is: one look at its first bytes, before a reader is chosen. Its name is a hint that must agree."""

import codecs
import re
from typing import NamedTuple

from slm.errors import UserError
from slm.text.story_bytes import KIND_NAMES, TABLES, decompressed, split_name

LOOK_BYTES = 2**16
MARKS = {  # byte order marks; UTF-32's begins with UTF-16's
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
OTHER_TEXT = {  # what else may be text with the name of stories: its first bytes, and what to do
    rb"version https://git-lfs": "a pointer of git-lfs: fetch the real files with `git lfs pull`",
    rb"(?is)(\xef\xbb\xbf)?\s*((<!--.{0,999}?-->|<\?xml.{0,200}?\?>)\s*)*(<!doctype html|<html)": (
        "an HTML page, maybe of an error: download it again"
    ),
    rb"(?s)<\?xml.{0,200}<Error": "the error message of a server: download it again",
    rb"%PDF-": "a PDF: save its text as .txt",
    rb"\{\\rtf\d": "rich text: save it as plain text",
}
NO_TEXT = {  # the same where the bytes are no text
    rb"PK\x03\x04": "a zip archive: unpack it",
    rb"BZh\d1AY&SY": "compressed by bzip2: unpack it",
    rb"\xfd7zXZ\0": "compressed by xz: unpack it",
    rb"7z\xbc\xaf|Rar!\x1a|\x04\x22\x4d\x18": "an archive: unpack it",
    rb"(?s).{257}ustar": "a tar archive: unpack it",
    rb"\xd0\xcf\x11\xe0": "a document of an office program: save its text as UTF-8",
    rb"SQLite format 3": "a database: save its table as .csv",
    rb"PARE": "an encrypted parquet file: write it without encryption",
    rb"Obj\x01|ORC": "an Avro or ORC file: write it as .parquet",
    rb"\x89PNG|\xff\xd8\xff|GIF8": "a picture",
}


CONTROLS = re.compile(r"[\0-\x08\x0e-\x1f]")


class Content(NamedTuple):
    """A file, and what its first bytes say it is."""

    file: object  # a path, or another object with `name` and `open`
    kind: str  # one of KINDS
    codec: str  # a key of CODECS, or ""
    encoding: str  # of its text, once decompressed; "" for a table
    old_ends: bool = False  # whether "\r" ends the lines of its text, as on Macs before 2001

    def __str__(self):
        kind = self.kind.removeprefix(".") + f"{self.codec}"
        encoding = {"": "", "utf-8": "", "utf-16": "UTF-16", "utf-32": "UTF-32"}.get(self.encoding)
        if encoding is None:
            encoding = f"{self.encoding.upper()} without a mark"
        return ", ".join(filter(None, [kind, encoding, "line ends of \\r" if self.old_ends else ""]))


def look(file):
    """The `Content` of a file. Raises UserError, which says what it is, where that is nothing with stories in it."""
    _, kind, named_codec = split_name(file.name)
    with decompressed(file, "") as opened:
        head = opened.read(LOOK_BYTES)
    codec = compression(head)
    if codec:
        with decompressed(file, codec) as opened:
            head = opened.read(LOOK_BYTES)
        if compression(head) or head.startswith(b"PAR1"):
            raise UserError(f"{file} holds a compressed file that is compressed within: unpack it")
    elif named_codec and head:
        what = "plain text" if is_text(head) else "something else"
        raise UserError(
            f"{file} is incomplete or no {named_codec} file, but {what}: give it the name of what it is, or download it"
            " again"
        )
    is_parquet = head.startswith(b"PAR1") and (kind == ".parquet" or not is_text(head))
    table = ".parquet" if is_parquet else ".arrow" if is_arrow(head) else None
    if table or (kind in TABLES and head):
        if not table:
            raise UserError(f"{file} is no readable {kind} file, but {what_else(head) or 'text'}: download it again")
        return Content(file, table, "", "")
    if kind is None:
        raise UserError(f"{file} is no {KIND_NAMES} file, plain or (but for tables) .gz or .zst: save it as one")
    if other := what_else(head):
        raise UserError(f"{file} is {other}")
    encoding = encoding_of(head)
    text = codecs.getincrementaldecoder(encoding)("ignore").decode(head)
    return Content(file, kind, codec, encoding, "\r" in text and "\n" not in text)


def compression(head):
    if head.startswith(b"\x1f\x8b\x08"):
        return ".gz"
    return ".zst" if re.match(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", head) else ""


def is_arrow(head):
    """Whether a file begins as Arrow's file format, or as its stream format: a length, then a schema."""
    return head.startswith((b"ARROW1\0\0", b"\xff\xff\xff\xff")) and len(head) > 8


def what_else(head):
    """What a file is by its first bytes, in words, where it is no text with stories; "" where it may be."""
    for signature, words in (OTHER_TEXT if is_text(head) else OTHER_TEXT | NO_TEXT).items():
        if re.match(signature, head):
            return words
    if is_text(head):
        return ""
    controls = sum(head.count(byte) for byte in (*range(7), *range(14, 27), *range(28, 32)))
    return "binary, not text: save its text as UTF-8" if controls > len(head) / 50 else ""


def is_text(head):
    """Whether bytes are text: UTF-8 without a zero, or in an encoding that a mark or the zeros show."""
    if encoding_of(head) != "utf-8":
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # whose last character may be cut
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


def encoding_of(head):
    """The encoding of a text by its byte order mark, or by where its zeros are, as ASCII letters have them."""
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    zeros = [head[i::4].count(0) / max(1, len(head) // 4) for i in range(4)]  # the share of zeros at each place of four
    for encoding, places in (("utf-32-le", (1, 2, 3)), ("utf-32-be", (0, 1, 2))):
        if all((share > 0.7) == (place in places) for place, share in enumerate(zeros)) and has_letters(head, encoding):
            return encoding
    for encoding, first in (("utf-16-le", 1), ("utf-16-be", 0)):
        high, low = (zeros[first] + zeros[first + 2]) / 2, (zeros[1 - first] + zeros[3 - first]) / 2
        if high > 0.2 and low < 0.05 and has_letters(head, encoding):
            return encoding
    return "utf-8"


def has_letters(head, encoding):
    """Whether bytes are text in an encoding, without controls: those of a picture are none."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    return not CONTROLS.search(text)
