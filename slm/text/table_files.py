"""The stories of .parquet and .arrow files: batches of a column, whatever type its text has."""

import contextlib
import os
import re
from pathlib import Path

from slm.errors import UserError, first_line
from slm.text.rows import MESSAGES, BadRow, check_column

BATCH_ROWS = 2048
TEXT_TYPE = re.compile(r"(large_)?(string|binary)(_view)?|fixed_size_binary\[\d+\]|null")


def understand_table(content, column):
    """(description, read, rows) of a table: `read()` yields the text in `column` of each row, or a `BadRow`."""
    opened = open_parquet if content.kind == ".parquet" else open_arrow
    with opened(content.file) as (schema, rows, _):
        path, kind = find_column(schema, column, content.file)
        check_type(kind, column, content.file)
    words = str(content)
    if content.kind == ".arrow" and is_stream_without_end(content.file):
        words += ", without the mark at its end: is it whole?"
    return words, lambda: read_table(content, path, opened), rows


@contextlib.contextmanager
def opening(file, fix="download or write it again"):
    """What pyarrow opens for `file`; its errors until the block ends become a UserError."""
    import pyarrow

    try:
        with contextlib.ExitStack() as stack:
            yield file if isinstance(file, Path) else stack.enter_context(file.open("rb"))
    except (OSError, pyarrow.ArrowException, ValueError) as error:  # a name may not be UTF-8
        raise UserError(f"cannot read {file} ({first_line(error)}): {fix}") from error


@contextlib.contextmanager
def open_parquet(file):
    """(schema, rows, batches of a column) of a parquet file."""
    import pyarrow.parquet

    with opening(file) as source, pyarrow.parquet.ParquetFile(source) as parquet:
        yield (
            parquet.schema_arrow,
            parquet.metadata.num_rows,
            lambda path: parquet.iter_batches(BATCH_ROWS, columns=[".".join(path)]),
        )


@contextlib.contextmanager
def open_arrow(file):
    """The same of an Arrow file, or of a stream, which save_to_disk of the datasets library writes."""
    import pyarrow

    with opening(file) as source, pyarrow.OSFile(str(source)) if isinstance(source, Path) else source as opened:
        is_file = opened.read(6) == b"ARROW1"
        opened.seek(0)
        reader = (pyarrow.ipc.open_file if is_file else pyarrow.ipc.open_stream)(opened)

        def batches(path):
            name = path[0]
            read = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
            for batch in read:
                check_offsets(batch.select([name]))
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    yield batch.select([name]).slice(start, BATCH_ROWS)

        yield reader.schema, None, batches


def is_stream_without_end(file):
    """Whether a file is an Arrow stream that does not end as most writers end it: it may be cut between two batches."""
    with opening(file), file.open("rb") as opened:
        if opened.read(4) != b"\xff\xff\xff\xff":
            return False
        opened.seek(-8, os.SEEK_END)
        return opened.read() != b"\xff\xff\xff\xff\0\0\0\0"


def check_offsets(batch):
    """Raise ArrowInvalid where a damaged file would make pyarrow read past its memory; UTF-8 is a matter of a row."""
    import pyarrow

    try:
        batch.validate(full=True)
    except pyarrow.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise


def find_column(schema, column, where):
    """(path, type) of a column: [name], or for `a.b`, the column b of the struct a, [name, inner name, ...].

    Raises UserError where there is not exactly one.
    """
    import pyarrow

    def columns(fields):  # names may have dots in them
        for field in fields:
            yield [field.name], field.type
            if pyarrow.types.is_struct(field.type):
                yield from (([field.name, *path], kind) for path, kind in columns(field.type))

    found = sorted(columns(schema), key=lambda column: len(column[0]))
    names = [".".join(path) for path, _ in found]
    check_column(column, names, where)
    return found[names.index(column)]


def check_type(kind, column, where):
    """Raise UserError where a column of the Arrow type `kind` holds no text: strings or UTF-8 bytes, in any layout."""
    import pyarrow

    if re.match("(large_|fixed_size_)?list", str(kind)):
        raise UserError(f"column {column!r} of {where} {MESSAGES}")
    kind = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    if not TEXT_TYPE.fullmatch(str(kind)):
        names = [field.name for field in kind] if pyarrow.types.is_struct(kind) else []
        fix = f": give --text_column one of {', '.join(f'{column}.{name}' for name in names)}" if names else ""
        raise UserError(f"column {column!r} of {where} holds {first_line(kind)}, not text{fix}")


def read_table(content, path, opened):
    import pyarrow.compute

    with opened(content.file) as (_, _, batches):
        row = 1
        for batch in batches(path):
            values = pyarrow.compute.struct_field(batch.column(0), path[1:]) if path[1:] else batch.column(0)
            yield from texts(values, content.file, row)
            row += batch.num_rows


def texts(values, where, first_row=1):
    """Yield the str of each value of an arrow array, None for a missing one, a `BadRow` for one that is not UTF-8."""
    try:
        rows = values.to_pylist()
        rows = list(map(decoded, rows)) if "binary" in str(values.type) else rows
    except UnicodeDecodeError:
        rows = []
        for row, value in enumerate(values, first_row):
            try:
                rows.append(decoded(value.as_py()))
            except UnicodeDecodeError as error:
                rows.append(BadRow(f"{where}, row {row}", f"the text is not UTF-8 ({error.reason})"))
    yield from rows


def decoded(value):
    return value.decode() if isinstance(value, bytes) else value
