"""slm/text/csv_files.py: the rows of .csv and .tsv files, whatever their delimiter and quotes."""

import csv
import io

import pytest
from story_helpers import MARK, assert_refused, read, texts_of, write

from slm.errors import UserError

FIELDS = [
    "One.",
    "",
    'She said: "Hi, you."',
    "Two\nlines.\n\nEnd.",
    "tab\tand, comma",
    "Zwei süße 🦊.",
    "x" * 200_000,
    "NA",
]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("suffix", ["csv", "TSV", "csv.gz", "tsv.zst"])
def test_rows_of_a_csv_file(tmp_path, suffix, ends):
    """Quotes may hold delimiters, line ends and quotes; a blank line is no row; "NA" is a text."""
    delimiter = "\t" if "tsv" in suffix.lower() else ","
    contents = io.StringIO()
    writer = csv.writer(contents, delimiter=delimiter, lineterminator="\n")
    writer.writerows([["id", "text", "more"], *([i, text, "x"] for i, text in enumerate(FIELDS))])
    write(tmp_path / f"a.{suffix}", MARK + contents.getvalue().replace("\n", ends) + ends)
    assert texts_of(tmp_path / f"a.{suffix}") == FIELDS
    assert read(tmp_path / f"a.{suffix}", column="id")[0] == [str(i) for i in range(len(FIELDS))]


def test_rows_of_other_lengths(tmp_path):
    write(tmp_path / "a.csv", 'id,text\n1,One.\n2,Two, and more.\n3,"Three\nlines."\n4\n5,caf\udce9\n')
    one, two, three, four, five = texts_of(tmp_path / "a.csv")
    assert (one, three) == ("One.", "Three\nlines.")
    assert (
        two.where.endswith("line 3") and "3 fields, and the first line has 2" in two.reason and "commas" in two.reason
    )
    assert four.where.endswith("line 6") and "1 field" in four.reason
    assert five.where.endswith("line 7") and "not UTF-8" in five.reason


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_the_delimiter_is_seen(tmp_path, name, delimiter):
    rows = [["id", "text", "more"], *([str(i), f"Story, {i}; it | ends.", ""] for i in range(3))]
    contents = io.StringIO()
    csv.writer(contents, delimiter=delimiter).writerows(rows)
    write(tmp_path / name, contents.getvalue())
    texts, note = read(tmp_path / name)
    assert texts == [row[1] for row in rows[1:]]
    assert {"\t": "delimiter tab", "|": "delimiter bar"}.get(delimiter, f"delimiter {delimiter!r}") in note
    with pytest.raises(UserError, match="no column 'body': give --text_column one of id, text, more"):
        read(tmp_path / name, column="body")


def test_a_header_that_is_missing(tmp_path):
    stories = [f"Once upon a time there was number {i}, and it was glad." for i in range(4)]
    write(tmp_path / "a.csv", "".join(f'{i},"{text}"\n' for i, text in enumerate(stories)))
    with pytest.raises(UserError, match=r"no line with the names of columns.*the number of the column, 1 to 2"):
        read(tmp_path / "a.csv")
    assert texts_of(tmp_path / "a.csv", column="2") == stories
    rows = [f'"{text}",{1 + i % 2}\n' for i, text in enumerate(stories)]  # a 1 is in the first, too
    write(tmp_path / "c.csv", "".join(rows))
    assert texts_of(tmp_path / "c.csv", column="1") == stories
    write(tmp_path / "b.csv", "id,text\n" + "".join(f'{i},"{text}"\n' for i, text in enumerate(stories)))
    with pytest.raises(UserError, match="no column '2': give --text_column one of id, text"):
        read(tmp_path / "b.csv", column="2")


QUOTES = {  # of tab-separated files: lines, and what their texts are
    "none": (
        ["text\tid", '"Hi," said Tom.\t1', 'Tom: "Hi."\t2', '"Wait\t3'],
        ['"Hi," said Tom.', 'Tom: "Hi."', '"Wait'],
    ),
    "across lines by chance": (["id\ttext", '1\t"Wait', '2\tTom: Hi."'], ['"Wait', 'Tom: Hi."']),
    "doubled": (["id\ttext", '1\t"Tom: ""Hi."""', "2\tTwo."], ['Tom: "Hi."', "Two."]),
    "of every field": (['"id"\t"text"', '"1"\t"Hi."', '"2"\t"Two."'], ["Hi.", "Two."]),
    "around a line end": (["id\ttext", '1\t"Two', 'lines."', "2\tTwo."], ["Two\nlines.", "Two."]),
    "around a tab": (["id\ttext", '1\t"One\ttab."'], ["One\ttab."]),
    "of a line end in one column": (
        ["text", '"Two', 'lines."', "Two.", '"Tom: ""Hi."""'],
        ["Two\nlines.", "Two.", 'Tom: "Hi."'],
    ),
    "around nothing": (["text\tid", '""\t1', '"Hi."\t2'], ["", "Hi."]),
    "behind a blank line": (["", '"text"', '"Hi."'], ["Hi."]),
}


@pytest.mark.parametrize("case", QUOTES)
def test_quotes_of_a_tab_separated_file(tmp_path, case):
    lines, texts = QUOTES[case]
    for ends in ("\n", "\r\n"):
        write(tmp_path / "a.tsv", ends.join(lines))
        found, note = read(tmp_path / "a.tsv")
        assert found == texts and ("quotes are letters" in note) == (case in ("none", "across lines by chance"))


CSV_MISTAKES = {
    'id,text\n1,"One" and more\n': ["line 2", "written twice"],
    'id,text\n1,One.\n2,"Two.\n3,Three.\n': ["line 3", "unexpected end", "written twice"],
    "id,text,text\n1,One.,Two.\n": ["2 columns named 'text'", "rename"],
    "id,text\n1,One.\r2,Two.\n": ["line 2", r"line ends of \n or \r\n"],
    'id,text,"a"b\n1,One.,3\n': ["no column 'text'"],
    'text\n"Hi," said Tom.\n': ["line 2", "begins with a quote ends with one"],
    "text\n" + "x" * 2**24 + "y\n": ["line 2", "field larger"],
}


def test_a_csv_file_with_a_mark_on_each_line(tmp_path):
    """Some programs write one before each line; a text that begins with the character keeps it."""
    write(tmp_path / "f.csv", "".join(f"{MARK}{line}\n" for line in ("text,n", '"One, two",1', "Three,2")))
    assert texts_of(tmp_path / "f.csv") == ["One, two", "Three"]
    write(tmp_path / "f.csv", f'{MARK}n,text\n1,"One\n{MARK}two"\n')
    assert texts_of(tmp_path / "f.csv") == [f"One\n{MARK}two"]


@pytest.mark.parametrize("contents", CSV_MISTAKES, ids=lambda contents: contents[:30])
def test_mistakes_in_a_csv_file(tmp_path, contents):
    assert_refused(tmp_path / "a.csv", contents, *CSV_MISTAKES[contents])
