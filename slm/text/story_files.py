"""The stories of a file: a reader takes a file and yields its texts, None for a missing one.

Every reader but that of .json streams: memory depends on the longest story, not on the file. A file that cannot be read
is a UserError that names the file and the line, row or item.
"""

import codecs
import csv
import functools
import json
import re

from slm.errors import UserError, first_line
from slm.text.story_bytes import BYTE_ORDER_MARK, kind_of, not_utf8, numbered_lines, reading

BATCH_ROWS = 2048
BLOCK_BYTES = 2**17  # small enough for a processor's cache
LARGEST_JSON = 2**30  # bytes of a .json file; Python needs several times as much memory for its objects
LONGEST_FIELD = 2**24  # characters of a field of a .csv file: a quote that nothing closes must not read all of it
MANY_FILES, SMALL_FILE = 20, 2**15  # so many .txt files, of at most so many bytes each, look like a file a story
MARKERS = re.compile(r"<\|endoftext\|>|<\|startoftext\|>")
LONGEST_MARKER = len("<|startoftext|>")
BLANK_LINES = re.compile(r"\n\s*\n")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half of a character, which JSON can spell and UTF-8 cannot


def story_reader(files, column, file_is_story=False):
    """(read, note) for `files`, all of one kind: `read(file)` yields the texts of one of them.

    column: where a row of a table has its text. file_is_story: whether each .txt file is one story. note: a line on
    what parts the stories, or None. What parts the stories of .txt files is decided for all of them together.
    """
    kind = kind_of(files[0])
    if file_is_story and kind != ".txt":
        raise UserError(f"--file_is_story is for .txt files, and {files[0]} has a story a row: leave it out")
    if table_reader := TABLE_READERS.get(kind):
        return functools.partial(table_reader, column=column), None
    if file_is_story:
        read, note = read_whole_txt, "each file is a story"
    else:
        marked = any(has_marker(file) for file in files)
        read = functools.partial(read_txt, separator=MARKERS if marked else BLANK_LINES)
        note = "<|endoftext|> and <|startoftext|>" if marked else "no <|endoftext|> in it: blank lines"
        note += " part the stories"
        if not marked and len(files) >= MANY_FILES and all(file.stat().st_size <= SMALL_FILE for file in files):
            note += f" of {len(files):,} small files; if each file is one story, give --file_is_story"
    return read, note + ("; --text_column means nothing for a .txt" if column != "text" else "")


def check_column(column, columns, where):
    """Raise UserError where `column` is not exactly one of `columns`."""
    found = list(columns).count(column)
    if not found:
        mend = f"give --text_column one of {', '.join(columns)}" if columns else "it has none"
        raise UserError(f"{where} has no column {column!r}: {mend}")
    if found > 1:
        raise UserError(f"{where} has {found} columns named {column!r}: rename all but one")


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
    if kind_of(files[0]) != ".parquet":
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
    for number, line in numbered_lines(file):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", first_line(error))  # without a place, which would count lines once more
            raise UserError(f"{file}, line {number} is not JSON ({reason})") from error
        if not isinstance(row, dict):
            raise UserError(f"{file}, line {number} is not a JSON object with a text in it")
        yield text_of_object(row, column, f"{file}, line {number}")


def text_of_object(row, column, where):
    check_column(column, row, where)
    return checked_text(row[column], f"{where}: {column!r}")


def checked_text(text, what):
    if text is not None and (not isinstance(text, str) or LONE_SURROGATE.search(text)):
        raise UserError(f"{what} is not text, or has half of a surrogate pair in it")
    return text


def read_json(file, column):
    """The file is a list of objects or of texts. It is read whole, so LARGEST_JSON bytes are the most it may have."""
    with reading(file) as source:
        contents = source.read(LARGEST_JSON + 1)
    if len(contents) > LARGEST_JSON:
        raise UserError(f"{file} has more than {LARGEST_JSON:,} bytes, too many to read whole: save it as .jsonl")
    try:
        rows = json.loads(contents.decode().lstrip(BYTE_ORDER_MARK))
    except UnicodeDecodeError as error:
        raise not_utf8(file, 1 + contents.count(b"\n", 0, error.start), error) from error
    except (ValueError, RecursionError) as error:
        mend = ": with an object on each line it is a .jsonl, so name it that" * ("Extra data" in str(error))
        raise UserError(f"{file} is not JSON ({first_line(error)}){mend}") from error
    del contents
    if not isinstance(rows, list):
        lists = [name for name, value in rows.items() if isinstance(value, list)] if isinstance(rows, dict) else []
        inside = f" (it is an object with a list in {', '.join(map(repr, lists))})" if lists else ""
        raise UserError(f"{file} is no list of objects or texts{inside}: save the list alone")
    for number, row in enumerate(rows, 1):
        where = f"{file}, item {number}"
        if isinstance(row, dict):
            yield text_of_object(row, column, where)
        elif column != "text":
            raise UserError(f"{where} is no object, so it has no column {column!r}: leave --text_column out")
        else:
            yield checked_text(row, where)


def read_csv(file, column, delimiter=","):
    """The first line names the columns. A field in double quotes may hold delimiters, line ends and doubled quotes."""
    csv.field_size_limit(LONGEST_FIELD)
    rows = csv.reader((line for _, line in numbered_lines(file)), delimiter=delimiter, strict=True)
    try:
        header = next((row for row in rows if row), None)
        if header is None:
            raise UserError(f"{file} is empty: its first line must name the columns")
        check_column(column, header, file)
        place = header.index(column)
        for row in rows:
            if row and len(row) != len(header):
                fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
                raise UserError(
                    f"{file}, line {rows.line_num}: {fields}, and the first line has {len(header)}; put a text that"
                    f" holds {'tabs' if delimiter != ',' else 'commas'} or line ends in double quotes"
                )
            if row:
                yield row[place].replace("\r\n", "\n")
    except csv.Error as error:
        kind = "tab" if delimiter == "\t" else "comma"
        mend = "a text that begins with a quote ends with one, and a quote inside it is written twice"
        if "new-line" in str(error):
            mend = "save it with line ends of \\n or \\r\\n"
        raise UserError(
            f"{file}, line {rows.line_num} is no {kind}-separated row ({first_line(error, 80)}): {mend}"
        ) from error


TABLE_READERS = {
    ".parquet": read_parquet,
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": functools.partial(read_csv, delimiter="\t"),
}


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
        if text := trimmed(text):
            yield text


def read_whole_txt(file):
    """The text of the file, which is one story, "" where it has none."""
    yield trimmed("".join(text_blocks(file)))


def trimmed(text):
    text = text.strip()
    return re.sub(r"\r+\n", "\n", text) if "\r" in text else text


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
