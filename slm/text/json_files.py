"""The stories of .json and .jsonl files: one row per line, a list, or one of the layouts that pandas writes."""

import itertools
import json
import re

from slm.errors import UserError, first_line
from slm.text.rows import MESSAGES, BadRow, check_column, listed, not_a_text
from slm.text.story_bytes import BYTE_ORDER_MARK, LONGEST_LINE, numbered_lines, reading

LARGEST_JSON = 2**30  # bytes of a .json file; Python needs several times as much memory for its objects
LOOK_ROWS = 100  # rows in which the column must be at least once


def understand_json(content, column):
    """(description, read) of a .json or .jsonl file: `read()` yields the text in `column` of each row, or a `BadRow`.

    A file whose first line is a whole value, and not its last, has a row on each line, whatever its name.
    """
    if has_rows_in_lines(content):
        rows = (row for _, row in itertools.islice(json_lines(content), LOOK_ROWS) if isinstance(row, dict))
        check_rows(rows, column, content.file)
        return f"{content}, a row on each line", lambda: read_jsonl(content, column)
    document = load_document(content)
    layout, rows = rows_of_document(document, column, content.file)
    check_rows(itertools.islice((row for row in rows if isinstance(row, dict)), LOOK_ROWS), column, content.file)
    return f"{content}, {layout}", lambda: read_document(content, column)


def check_rows(rows, column, where):
    """Raise UserError where none of some first rows has `column`, or where it holds lists."""
    first = None
    for row in rows:
        first = first or row
        value, found = find(row, column)
        if found and isinstance(value, list):
            raise UserError(f"column {column!r} of {where} {MESSAGES}")
        if found:
            return
    if first is not None:
        nested = [f"{name}.{inner}" for name, value in first.items() if isinstance(value, dict) for inner in value]
        check_column(column, [*first, *nested], where)


def find(row, column):
    """(value, whether it is there) of a column of an object; `a.b` is the column b of the object a."""
    if column in row:
        return row[column], True
    for dot in re.finditer(r"\.", column):  # a name may have dots in it
        inner = row.get(column[: dot.start()])
        value, found = find(inner, column[dot.end() :]) if isinstance(inner, dict) else (None, False)
        if found:
            return value, True
    return None, False


def has_rows_in_lines(content):
    """Whether each line is a row: the first is a whole value and another follows; a damaged one goes by the name."""
    with reading(content) as opened:
        if len(opened.readline(LONGEST_LINE)) == LONGEST_LINE:
            return content.kind == ".jsonl"  # else a document in one long line
    lines = filter(None, (line.strip().strip(BYTE_ORDER_MARK) for _, line in numbered_lines(content)))
    first = next(lines, "")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return content.kind == ".jsonl" and first not in ("[", "{") and not first.startswith("[{")
    return next(lines, None) is not None


def parsed(text):
    """The value of a JSON text, or a ValueError with a reason that needs no second look at the text."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(error.msg) from error  # without a place, which would count lines once more


def json_lines(content):
    """Yield (where, value) of each line that is not blank: a value, or a ValueError where it is not JSON."""
    for number, line in numbered_lines(content):
        line = line.lstrip(BYTE_ORDER_MARK)  # the mark begins each file that `cat` has joined
        if not line.strip():
            continue
        try:
            yield number, parsed(line)
        except ValueError as error:
            yield number, error


def read_jsonl(content, column):
    for number, row in json_lines(content):
        if isinstance(row, dict):
            text = row.get(column)
            if text.__class__ is str and text.isascii():
                yield text  # the common case
                continue
        yield text_or_bad(row, column, f"{content.file}, line {number}", "JSON object with a text in it")


def text_or_bad(row, column, where, wanted):
    """The text in a row, None where it is missing, or a `BadRow`."""
    if isinstance(row, ValueError):
        return BadRow(where, f"it is not JSON ({first_line(row)})")
    if not isinstance(row, dict):
        return BadRow(where, f"it is no {wanted}")
    text, found = find(row, column)
    if not found:
        return BadRow(where, f"it has no column {column!r}" + (f", but {listed(list(row))}" if row else ""))
    reason = not_a_text(text)
    return BadRow(where, f"{column!r} is {reason}") if reason else text


def load_document(content):
    """The value of a file that is read whole, LARGEST_JSON bytes at most. Raises UserError."""
    with reading(content) as source:
        contents = source.read(LARGEST_JSON + 1)
    if len(contents) > LARGEST_JSON:
        raise UserError(
            f"{content.file} has more than {LARGEST_JSON:,} bytes, too many to read whole: save it as .jsonl"
        )
    try:
        return json.loads(contents.decode().lstrip(BYTE_ORDER_MARK))
    except UnicodeDecodeError as error:
        line = 1 + contents.count(b"\n", 0, error.start)
        raise UserError(f"{content.file}, line {line} is not UTF-8 ({error.reason}): save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        fix = "save its rows as one list, or as .jsonl with a row on each line"
        raise UserError(f"{content.file} is not JSON ({first_line(error)}): {fix}") from error


def rows_of_document(document, column, where):
    """(layout, rows) of a document: a list, or an object in a layout of pandas, or with a list of rows in it, or a row.

    A row is an object, or a text by itself. Raises UserError where there are no rows.
    """
    if isinstance(document, list):
        return "a list", document
    if isinstance(document, dict):
        values = document.get(column)
        if isinstance(find(document, column)[0], str):  # whatever lists, such as its tags, it has besides
            return "one row", [document]
        if isinstance(values, dict | list):  # pandas' default, and the datasets library's to_dict
            values = list(values.values() if isinstance(values, dict) else values)
            return "a list for each column", [{column: value} for value in values]
        if {"columns", "data"} <= document.keys() and isinstance(document["data"], list):
            names = document["columns"] if isinstance(document["columns"], list) else []
            check_column(column, names, where)
            whole = all(isinstance(row, list) and len(row) == len(names) for row in document["data"])
            if whole:
                return "columns and data", [dict(zip(names, row, strict=True)) for row in document["data"]]
        lists = [name for name, value in document.items() if isinstance(value, list) and value]
        of_rows = [name for name in lists if isinstance(document[name][0], dict) and find(document[name][0], column)[1]]
        if len(of_rows) > 1:
            raise UserError(f"{where} has rows in the lists {listed(of_rows)}: save each list as a file")
        if not any(isinstance(value, list | dict) for value in document.values()):
            return "one row", [document]
        lists = of_rows or lists
        if len(lists) == 1:
            return f"the list {lists[0]!r} in it", document[lists[0]]
        if document and all(isinstance(row, dict) for row in document.values()):
            return "an object for each row", list(document.values())
        if lists:
            raise UserError(f"{where} is an object with lists in {listed(lists)}: give --text_column one of them")
    raise UserError(f"{where} is no list of objects or texts: save the list alone")


def read_document(content, column):
    _, rows = rows_of_document(load_document(content), column, content.file)
    for number, row in enumerate(rows, 1):
        where = f"{content.file}, item {number}"
        if isinstance(row, dict):
            yield text_or_bad(row, column, where, "")
        elif column != "text":
            yield BadRow(where, f"it is no object, so it has no column {column!r}: leave --text_column out")
        else:
            reason = not_a_text(row)
            yield BadRow(where, f"it is {reason}") if reason else row
