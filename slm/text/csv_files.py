"""The stories of .csv and .tsv files: the delimiter, the header and the quoting that the file shows."""

import csv
import itertools
import math
import re

from slm.errors import UserError, counted, first_line
from slm.text.rows import LONGEST_NAME, BadRow, check_column, not_a_text
from slm.text.story_bytes import BYTE_ORDER_MARK, numbered_lines

DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
FIRST_ROWS = 20  # show the delimiter
LONGEST_FIELD = 2**24  # characters: a quote that nothing closes must not read all of a file
QUOTED = re.compile(r'"(?:[^"]|"")*"')


def understand_csv(content, column):
    """(description, read) of a .csv or .tsv file: `read()` yields the text in `column` of each row, or a `BadRow`.

    The first line names the columns. Where it is a row itself, `column` may be a number, counted from 1.
    """
    delimiter, header = read_header(content, column)
    if not header:
        return str(content), lambda: iter(())
    quoting = delimiter != "\t" or tab_file_has_quotes(content, len(header))
    if not quoting:
        delimiter, header = read_header(content, column, csv.QUOTE_NONE)
    options = {"delimiter": delimiter, "strict": True} | ({} if quoting else {"quoting": csv.QUOTE_NONE})
    name = {"\t": "tab", "|": "bar"}.get(delimiter, repr(delimiter))
    words = f"{content}, delimiter {name}" + ("" if quoting else ", quotes are letters")
    if is_a_row(header) and (column not in header or column.isdigit()):  # a first row may have the number in it
        if not (column.isdigit() and 1 <= int(column) <= len(header)):
            raise UserError(
                f"{content.file} has no line with the names of columns, its first line is a row: give --text_column"
                f" with the number of the column, 1 to {len(header)}"
            )
        return f"{words}, no header", lambda: read_csv(content, options, len(header), int(column) - 1, first_row=True)
    check_column(column, header, content.file)
    return words, lambda: read_csv(content, options, len(header), header.index(column))


def read_header(content, column, quoting=csv.QUOTE_MINIMAL):
    """(delimiter, fields) of the first row: the delimiter that has `column` among them, else the one that divides the
    first rows into the same number of fields. The one that the file's name says comes first. Raises UserError.
    """
    usual = "\t" if content.kind == ".tsv" else ","
    headers, mistake = {}, None
    delimiters = DELIMITERS if quoting != csv.QUOTE_NONE else ["\t"]  # only tabs go without quotes
    for delimiter in sorted(delimiters, key=lambda delimiter: delimiter != usual):
        rows = csv.reader(lines_of(content), delimiter=delimiter, strict=True, quoting=quoting)
        try:
            headers[delimiter] = next((row for row in rows if row), [])
        except csv.Error as error:
            mistake = mistake or csv_mistake(f"{content.file}, line 1", delimiter, error)
            continue
        if column in headers[delimiter]:
            return delimiter, headers[delimiter]
    if not headers and usual == "\t" and quoting != csv.QUOTE_NONE:
        return read_header(content, column, csv.QUOTE_NONE)
    if not headers:
        raise mistake
    counts = {delimiter: fields_in_first_rows(content, delimiter, quoting) for delimiter in headers}
    best = max(counts, key=counts.get)
    delimiter = best if counts[best] > 1 or usual not in headers else usual
    return delimiter, headers[delimiter]


def fields_in_first_rows(content, delimiter, quoting):
    """How many fields each of the first rows has, or 0 where they differ."""
    rows = csv.reader(lines_of(content), delimiter=delimiter, strict=True, quoting=quoting)
    try:
        lengths = {len(row) for row in itertools.islice(rows, FIRST_ROWS) if row}
    except csv.Error:
        return 0
    return lengths.pop() if len(lengths) == 1 else 0


def lines_of(content):
    csv.field_size_limit(LONGEST_FIELD)
    marked = True  # a mark begins a file, and each line of some files
    for _, line in numbered_lines(content):
        marked = marked and line.startswith(BYTE_ORDER_MARK)
        yield line.removeprefix(BYTE_ORDER_MARK) if marked else line


def is_a_row(header):
    """Whether a first line has texts where names would be."""
    return any(
        len(name) > LONGEST_NAME or (name.count(" ") > 2 and name.rstrip("\"'\u201d").endswith((".", "!", "?")))
        for name in header
    )


def tab_file_has_quotes(content, fields):
    """Whether the quotes of a tab-separated file enclose fields. The format has none; spreadsheets write them.

    If quotes enclose each name of the header, they enclose fields in the whole file, unless one has no end. If lines
    have more or fewer tabs than the header, they enclose fields if that leaves fewer such rows; so they do in a single
    column if a text goes on in the next line. Else doubled quotes inside of others show it, and quotes around nothing.
    """
    doubled = broken = enclosed = False
    others = 0
    lines = filter(None, (line.rstrip("\r\n") for line in lines_of(content)))
    for number, line in enumerate(lines):
        parts = line.split("\t")
        quoted = [part for part in parts if part.startswith('"')]
        enclosed = enclosed or (not number and len(quoted) == fields)
        others += len(parts) != fields
        broken = broken or any(not QUOTED.fullmatch(part) for part in quoted)
        doubled = doubled or any(part == '""' or '""' in part[1:-1] for part in quoted)
    if enclosed or others or (broken and fields == 1):
        return others_with_quotes(content, fields) < (math.inf if enclosed else max(others, 1))
    return doubled and not broken


def others_with_quotes(content, fields):
    """How many rows have another length than the header, where quotes enclose fields; infinity where they do not."""
    try:
        return sum(len(row) not in (0, fields) for row in csv.reader(lines_of(content), delimiter="\t", strict=True))
    except csv.Error:
        return math.inf


def read_csv(content, options, fields, place, first_row=False):
    """Yield the field at `place` of each row, with line ends of `\\n`; blank lines are no rows."""
    delimiter = options["delimiter"]
    rows = csv.reader(lines_of(content), **options)
    try:
        start = 1
        for row in rows:
            line, start = start, rows.line_num + 1
            if not row:
                continue
            if not first_row:
                first_row = True
                continue
            where = f"{content.file}, line {line}"
            if len(row) != fields:
                yield BadRow(
                    where,
                    f"{counted(len(row), 'field')}, and the first line has {fields}; put a text that holds"
                    f" {DELIMITERS[delimiter]} or line ends in double quotes",
                )
                continue
            text = row[place]
            reason = not_a_text(text)
            yield BadRow(where, "it is not UTF-8: save the file as UTF-8") if reason else text.replace("\r\n", "\n")
    except csv.Error as error:
        raise csv_mistake(f"{content.file}, line {start}", delimiter, error) from error


def csv_mistake(where, delimiter, error):
    fix = "a text that begins with a quote ends with one, and a quote inside it is written twice"
    if "new-line" in str(error):
        fix = "save it with line ends of \\n or \\r\\n"
    between = DELIMITERS[delimiter]
    return UserError(f"{where}: no row of fields between {between} ({first_line(error, 80)}): {fix}")
