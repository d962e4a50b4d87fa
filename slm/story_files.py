"""The stories of a .parquet, .jsonl or .txt file: a reader takes a file and yields its texts, None for a missing one.

Every reader streams: memory depends on the longest story, not on the file. A file that cannot be read is a UserError
that names the file and the line or row.
"""

import codecs
import contextlib
import functools
import json
import re

from slm.errors import UserError, first_line

BATCH_ROWS = 2048
BLOCK_BYTES = 2**17  # small enough for a processor's cache
BYTE_ORDER_MARK = "\ufeff"
MARKERS = re.compile(r"<\|endoftext\|>|<\|startoftext\|>")
LONGEST_MARKER = len("<|startoftext|>")
BLANK_LINES = re.compile(r"\n\s*\n")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half of a character, which JSON can spell and UTF-8 cannot


def story_reader(files, column):
    """(read, note) for `files`, all of one suffix: `read(file)` yields the texts of one of them.

    column: where a row of a .parquet or .jsonl file has its text. note: a line on what parts the stories, or None.
    What parts the stories of .txt files is decided for all of them together.
    """
    if table_reader := TABLE_READERS.get(files[0].suffix.lower()):
        return functools.partial(table_reader, column=column), None
    marked = any(has_marker(file) for file in files)
    note = "<|endoftext|> and <|startoftext|>" if marked else "no <|endoftext|> in it: blank lines"
    note += " part the stories" + ("; --text_column means nothing for a .txt" if column != "text" else "")
    return functools.partial(read_txt, separator=MARKERS if marked else BLANK_LINES), note


def check_column(column, columns, where):
    """Raise UserError where `column` is not one of `columns`."""
    if column not in columns:
        raise UserError(f"{where} has no column {column!r}: give --text_column one of {', '.join(columns)}")


def not_utf8(file, line, error):
    return UserError(f"{file}, line {line} is not UTF-8 ({error.reason}): save it as UTF-8")


@contextlib.contextmanager
def reading(file):
    """The open file, in bytes. An OSError until the block ends becomes a UserError that names the file."""
    try:
        with open(file, "rb") as opened:
            yield opened
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error


# -- tables -----------------------------------------------------------------------------------------------------------


def texts(values, column, where, first_row=1):
    """Yield the str of each value of an arrow array, None for a missing one.

    Text may be stored as a string or as UTF-8 bytes, each of them plain, large, view or dictionary-encoded. Raises
    UserError for another type, and with the row's number for bytes that are not UTF-8.
    """
    import pyarrow

    kind = values.type.value_type if pyarrow.types.is_dictionary(values.type) else values.type
    if not re.fullmatch(r"(large_)?(string|binary)(_view)?|fixed_size_binary\[\d+\]|null", str(kind)):
        raise UserError(f"column {column!r} of {where} holds {values.type}, not text")
    try:
        rows = values.to_pylist()
        yield from map(decoded, rows) if "binary" in str(kind) else rows
    except UnicodeDecodeError as error:
        row = first_row + next(row for row, value in enumerate(values) if not is_utf8(value))
        raise UserError(f"{where}, row {row}: the text is not UTF-8 ({error.reason}): write it as UTF-8") from error


def decoded(value):
    return value if value is None else value.decode()


def is_utf8(scalar):
    try:
        value = scalar.as_py()
        if isinstance(value, bytes):
            value.decode()
    except UnicodeDecodeError:
        return False
    return True


def read_parquet(file, column):
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(file) as parquet:
            check_column(column, parquet.schema_arrow.names, file)
            row = 1
            for batch in parquet.iter_batches(BATCH_ROWS, columns=[column]):
                yield from texts(batch.column(0), column, file, row)
                row += batch.num_rows
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"cannot read {file} ({first_line(error)}): download or write it again") from error


def count_rows(files):
    """The rows of parquet files, or None for other files, whose rows only reading can count."""
    if files[0].suffix.lower() != ".parquet":
        return None
    import pyarrow.parquet

    rows = 0
    for file in files:
        try:
            rows += pyarrow.parquet.read_metadata(file).num_rows
        except (OSError, pyarrow.ArrowException) as error:
            raise UserError(f"{file} is not a readable parquet file ({first_line(error)})") from error
    return rows


def read_jsonl(file, column):
    """A row is a line with a JSON object; blank lines are not rows."""
    with reading(file) as lines:
        for number, line in enumerate(lines, 1):
            try:
                line = line.decode().lstrip(BYTE_ORDER_MARK)  # the mark begins each file that `cat` has joined
            except UnicodeDecodeError as error:
                raise not_utf8(file, number, error) from error
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{file}, line {number} is not JSON ({first_line(error)})") from error
            if not isinstance(row, dict):
                raise UserError(f"{file}, line {number} is not a JSON object with a text in it")
            check_column(column, row, f"{file}, line {number}")
            text = row[column]
            if text is not None and (not isinstance(text, str) or LONE_SURROGATE.search(text)):
                raise UserError(f"{file}, line {number}: {column!r} is not text, or has half of a surrogate pair in it")
            yield text


TABLE_READERS = {".parquet": read_parquet, ".jsonl": read_jsonl}


# -- text files -------------------------------------------------------------------------------------------------------


def has_marker(file):
    """Whether a text file has <|endoftext|> or <|startoftext|> anywhere."""
    end = ""
    for block in text_blocks(file):
        if MARKERS.search(end + block):
            return True
        end = (end + block)[-LONGEST_MARKER:]
    return False


def text_blocks(file):
    """Yield the text of a UTF-8 file in blocks, without byte order marks, which `cat` leaves inside the files it joins.

    Raises UserError, with the line's number, where the file is not UTF-8.
    """
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    with reading(file) as source:
        while True:
            block = source.read(BLOCK_BYTES)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                raise not_utf8(file, line + error.object[: error.start].count(b"\n"), error) from error
            line += block.count(b"\n")
            yield text.replace(BYTE_ORDER_MARK, "")
            if not block:
                return


def read_txt(file, separator):
    """The texts between the matches of `separator`, without the whitespace around them; line ends become `\\n`."""
    for text in split_blocks(text_blocks(file), separator):
        text = text.strip()
        if "\r" in text:
            text = re.sub(r"\r+\n", "\n", text)
        if text:
            yield text


def split_blocks(blocks, separator):
    """Yield what `separator.split` gives of the joined `blocks`, without joining them.

    The end of a block may be the beginning of a separator: trailing whitespace, and all from the last `<` that is close
    enough to the end. It is held back until the next block is here.
    """
    text, held_back = [], ""  # the text since the last separator
    for block in blocks:
        block = held_back + block
        end = len(block.rstrip())
        marker = block.rfind("<", max(0, len(block) - LONGEST_MARKER))
        if marker >= 0:
            end = min(end, marker)
        *complete, rest = separator.split(block[:end])
        for part in complete:
            yield "".join([*text, part])
            text = []
        text.append(rest)
        held_back = block[end:]
    yield from separator.split("".join(text) + held_back)
