"""slm/text/story_files.py: what the readers make of a file, whatever its blocks, marks and types."""

import csv
import gzip
import io
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slm.errors import UserError
from slm.text import csv_files, json_files, story_bytes, story_files, table_files, text_files
from slm.text.rows import BadRow

MARK = "\ufeff"
END, START = "<|endoftext|>", "<|startoftext|>"
FAST = settings(derandomize=True, max_examples=40, deadline=None, database=None)


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


# -- .txt -------------------------------------------------------------------------------------------------------------

TEXT_FILES = {
    "marker lines": (f"One.\n\nStill one.\n{END}\nTwo.\n{END}\n", ["One.\n\nStill one.", "Two."]),
    "spaces around a marker": (f"One.\n  {END} \r\nTwo.", ["One.", "Two."]),
    "markers inside a line": (f"One.{END}Two. {END} Three.", ["One.", "Two.", "Three."]),
    "start and end": (f"{START}One.\n\nStill one.{END}\n{START}Two.{END}", ["One.\n\nStill one.", "Two."]),
    "start alone": (f"{START}One.\n{START}Two.\n", ["One.", "Two."]),
    "markers beside each other": (f"{END}{START}{END}\n{END}One.{START}{END}", ["One."]),
    "first lines, then inline": (f"One.\n{END}\nTwo.\n{END}\nThree.{END}Four.", ["One.", "Two.", "Three.", "Four."]),
    "all in one line": (END.join(f"Story {i} of many." for i in range(50)), [f"Story {i} of many." for i in range(50)]),
    "two joined files": (f"{MARK}One.\n{END}\nTwo.{MARK}{END}\n{MARK}Three.", ["One.", "Two.", "Three."]),
    "a mark in a marker": (f"One.<|end{MARK}oftext|>Two.", ["One.", "Two."]),
    "almost markers": (
        f"a < b <| c <|endoftext> d <|endoftex|>\n{END}<",
        ["a < b <| c <|endoftext> d <|endoftex|>", "<"],
    ),
    "an unfinished marker": (f"One.{END}Two.<|endofte", ["One.", "Two.<|endofte"]),
    "blank lines": ("One.\nStill one.\n\n\n\nTwo.\n \t\nThree.", ["One.\nStill one.", "Two.", "Three."]),
    "lines of \\r\\n": ("One.\r\nStill one.\r\n\r\nTwo.\r\r\n", ["One.\nStill one.", "Two."]),
    "marks and blank lines": (f"{MARK}One.\n{MARK}\nTwo.\n\n{MARK}Three.", ["One.", "Two.", "Three."]),
    "indented lines": ("   One.\n    Still one.\n\n    Two.", ["One.\n    Still one.", "Two."]),
    "no separator": ("One.\nStill one.", ["One.\nStill one."]),
    "nothing": ("", []),
    "blanks": (f" \n\n{MARK}\n\t", []),
    "markers only": (f"{END}\n{END}\n", []),
    "lines of \\r": (f"One.\rStill one.\r \r\rTwo.\r{MARK}\rThree.\r", ["One.\nStill one.", "Two.", "Three."]),
    "lines of \\r and of \\r\\n": (
        "y" * 20_000 + "\rEnd.\r\r" + "x" * 70_000 + "\r\nEnd.",
        ["y" * 20_000 + "\nEnd.", "x" * 70_000 + "\nEnd."],
    ),
    "a \\r in lines of \\n": ("One\r\rstill.\n\nTwo.", ["One\r\rstill.", "Two."]),
    "long characters": (f"日本語{END}🦊🐰 {START} é", ["日本語", "🦊🐰", "é"]),
}


@pytest.mark.parametrize("block", [1, 2, 3, 7, 16, 2**20])
@pytest.mark.parametrize("case", TEXT_FILES)
def test_stories_of_a_text_file(tmp_path, monkeypatch, case, block):
    """A block may end anywhere: in a character, a separator, a byte order mark."""
    monkeypatch.setattr(text_files, "BLOCK_BYTES", block)
    text, expected = TEXT_FILES[case]
    file = tmp_path / "a.txt"
    file.write_bytes(text.encode())
    assert read(file)[0] == expected


PARAGRAPHS = [f"It was day {i}, and the sun shone on the hill." for i in range(60)]
NOVELS = {
    "speech": [f'"Day {i} is here," said the fox.' if i % 4 == 0 else text for i, text in enumerate(PARAGRAPHS)],
    "a play": [f"FOX:\n{text}" for text in PARAGRAPHS],
    "dashes": [f"\u2014 {text}" if i % 3 else text for i, text in enumerate(PARAGRAPHS)],
    "chapters": ["CHAPTER I. The hill", *PARAGRAPHS, "Chapter 2", *PARAGRAPHS],
}
STORIES = {
    "stories": PARAGRAPHS,
    "some speech": [f'"Day {i} is here," said the fox.' if i % 9 == 0 else text for i, text in enumerate(PARAGRAPHS)],
    "a few": ['"One."', '"Two."', '"Three."'],
    "one that says chapter": ["The chapter 2 of the book was long.", *PARAGRAPHS],
}


def understood(*files, **options):
    return story_files.understand(list(files), **options)[1][0]


@pytest.mark.parametrize("name", [*NOVELS, *STORIES])
def test_blank_lines_between_stories_or_paragraphs(tmp_path, name):
    """A novel and a play are one text each; an option decides where the look is wrong."""
    blocks = (NOVELS | STORIES)[name]
    text = "\n\n".join(blocks)
    write(tmp_path / "a.txt", text)
    texts, note = read(tmp_path / "a.txt")
    assert texts == ([text] if name in NOVELS else blocks)
    assert ("the file is one text (--blank_lines" in note) == (name in NOVELS)
    assert ("blank lines separate the stories (--file_is_story" in note) == (name in STORIES)
    for choice, expected in ((True, [text]), (False, blocks)):
        (file,), _ = story_files.understand([tmp_path / "a.txt"], file_is_story=choice)
        assert list(file.read()) == expected and file.rows == (1 if choice else None)


@pytest.mark.parametrize("marker", ["<|end_of_text|>", "<|EndOfText|>", "</s>", "<eos>", "<|im_end|>", "<|eot_id|>"])
def test_other_markers_are_read_as_text_and_named(tmp_path, marker):
    for between in ("\n", "\n\n"):
        write(tmp_path / "a.txt", f"One.{between}{marker}{between}Two.{between}{marker}")
        texts, note = read(tmp_path / "a.txt")
        assert marker in "".join(texts) and f"; {marker} is text: write {END} where a story ends" in note
    write(tmp_path / "a.txt", f"One {marker}{END}Two.")
    texts, note = read(tmp_path / "a.txt")
    assert texts == [f"One {marker}", "Two."] and "is text" not in note


ROWS_OF_JSON = {
    "lines": '{"text": "One."}\n{"text": "Two."}\n',
    "a list": '[{"text": "One."}]',
    "an indented list": '\ufeff[\n  {\n    "text": "One."\n  }\n]',
    "an object": '{\n "rows": []}',
}


@pytest.mark.parametrize("kind", ROWS_OF_JSON)
def test_rows_of_json_by_the_name_of_a_text(tmp_path, kind):
    """Their braces would be trained on; an option or a marker says that this is meant."""
    assert_refused(tmp_path / "a.txt", ROWS_OF_JSON[kind], "holds JSON", ".jsonl", "--blank_lines")
    (file,), _ = story_files.understand([tmp_path / "a.txt"], file_is_story=False)
    assert list(file.read()) == [ROWS_OF_JSON[kind].strip("\ufeff\n")]
    write(tmp_path / "a.txt", f"{ROWS_OF_JSON[kind]}{END}Two.")
    assert texts_of(tmp_path / "a.txt")[1] == "Two."


@pytest.mark.parametrize("text", ['{"Hi," said Tom.}', "[One.]", '["Hi."]', "{One: two.}", '"One": two.'])
def test_braces_of_a_story_are_no_json(tmp_path, text):
    write(tmp_path / "a.txt", text)
    assert texts_of(tmp_path / "a.txt") == [text]


def test_a_text_without_blank_lines(tmp_path):
    write(tmp_path / "a.txt", "One line.\n" * 500)
    assert read(tmp_path / "a.txt")[0] == [("One line.\n" * 500).strip()]
    assert "no blank line in it: the file is one text" in understood(tmp_path / "a.txt")


@pytest.mark.parametrize("begin", ["", "The Hill\n\n", "The Hill\n\nby a fox\n\n"])
@pytest.mark.parametrize("end", ["\n\nThe end.", "\n\n2026\n\nThe end."])
def test_a_title_is_no_story_beside_a_long_text(tmp_path, begin, end):
    """As a story it would train a model that the text validates, or the other way round."""
    write(tmp_path / "a.txt", begin + "\n".join(PARAGRAPHS) + end)
    texts, note = read(tmp_path / "a.txt")
    assert texts == [begin + "\n".join(PARAGRAPHS) + end]
    assert "one has more than nine tenths of the letters: the file is one text (--blank_lines" in note
    write(tmp_path / "a.txt", begin + "\n".join(PARAGRAPHS[:5]) + "\n\n" + "\n".join(PARAGRAPHS[5:10]) + end)
    assert len(texts_of(tmp_path / "a.txt")) > 1, "two stories of a length"


def test_a_novel_too_long_to_be_one_text(tmp_path, monkeypatch):
    write(tmp_path / "a.txt", "\n\n".join(NOVELS["speech"]))
    monkeypatch.setattr(text_files, "LONGEST_STORY", 1000)
    assert len(texts_of(tmp_path / "a.txt")) == 60


@pytest.mark.parametrize(("files", "paragraphs", "whole"), [(5, 3, True), (8, 1, True), (2, 3, False), (9, 60, False)])
def test_a_folder_of_text_files(tmp_path, files, paragraphs, whole):
    """Several files with few paragraphs each are a story each; many paragraphs are stories, unless they have speech."""
    paths = [tmp_path / f"{i}.txt" for i in range(files)]
    for i, path in enumerate(paths):
        write(path, "\n\n".join(f"{i}: {text}" for text in PARAGRAPHS[:paragraphs]))
    texts, note = read(*paths)
    assert len(texts) == (files if whole else files * paragraphs)
    assert (f"each of {files} files is a story" in note) == whole
    assert ("--file_is_story: each file is a story" in note) != whole
    for i, path in enumerate(paths):
        write(path, "\n\n".join(f"\u201c{i}: {text}\u201d" for text in PARAGRAPHS[: max(paragraphs, 10)]))
    assert len(texts_of(*paths)) == files


def test_a_marker_in_one_file_parts_the_stories_of_all(tmp_path):
    (tmp_path / "a.txt").write_text("One\n\nstill\n\none.")
    (tmp_path / "b.txt").write_text("Two" + "." * 100)
    (tmp_path / "c.txt").write_text(f"Three.{START}Four.")
    first_two = [tmp_path / "a.txt", tmp_path / "b.txt"]
    texts, note = read(*first_two)
    assert texts == ["One", "still", "one.", "Two" + "." * 100] and "blank lines separate" in note
    texts, note = read(*first_two, tmp_path / "c.txt")
    assert (
        texts == ["One\n\nstill\n\none.", "Two" + "." * 100, "Three.", "Four."]
        and f"{END} and {START} separate" in note
    )
    assert "--text_column means nothing" not in note
    assert "--text_column means nothing" in read(*first_two, column="story")[1]


@pytest.mark.parametrize("block", [1, 5, 2**20])
def test_a_line_that_is_not_utf8_is_named(tmp_path, monkeypatch, block):
    monkeypatch.setattr(text_files, "BLOCK_BYTES", block)
    for contents, line in ((b"One.\n\ncaf\xe9\n", 3), ("One.\n\n日本".encode()[:-1], 3)):
        (tmp_path / "a.txt").write_bytes(contents)
        with pytest.raises(UserError, match=rf"a\.txt, line {line} is not UTF-8 .*save it as UTF-8"):
            read(tmp_path / "a.txt")


# -- .jsonl -----------------------------------------------------------------------------------------------------------


def test_rows_of_a_jsonl_file(tmp_path):
    """Blank lines are no rows; a text may be missing or hold a marker, and joined files have marks inside."""
    rows = ["One.", "", None, f"Two {END} two.", "\n three \n"]
    lines = [json.dumps({"id": 7, "text": text}) for text in rows]
    (tmp_path / "a.JSONL").write_bytes(
        f"{MARK}{lines[0]}\r\n\n  \n{MARK}{MARK}".encode() + "\n".join(lines[1:]).encode()
    )
    assert texts_of(tmp_path / "a.JSONL") == rows


BAD_LINES = {
    '{"text": ': "not JSON",
    '{"text": "a"} {"text": "b"}': "not JSON",
    '["text"]': "no JSON object",
    '{"body": "a", "id": 3}': "no column 'text', but body, id",
    '{"text": 0}': "a number, not text",
    '{"text": NaN}': "a number, not text",
    '{"text": true}': "true or false, not text",
    '{"text": "\\ud83d"}': "half of a surrogate",
    "[" * 100_000: "nested too deeply",
    "caf\udce9": "not JSON",
    '{"text": "caf\udce9"}': "not UTF-8",
}


@pytest.mark.parametrize("line", BAD_LINES, ids=lambda line: line[:30].encode(errors="replace").decode())
def test_bad_rows_of_a_jsonl_file(tmp_path, line):
    """A row that cannot be read is named, and the rows around it are read."""
    (tmp_path / "a.jsonl").write_bytes(
        b'{"text": "One."}\n' + line.encode(errors="surrogateescape") + b'\n{"text": "Two."}'
    )
    one, bad, two = texts_of(tmp_path / "a.jsonl")
    assert (one, two) == ("One.", "Two.") and isinstance(bad, BadRow)
    assert bad.where.endswith("a.jsonl, line 2") and BAD_LINES[line] in bad.reason


def test_a_column_that_no_row_has_is_named_before_the_work(tmp_path):
    write(tmp_path / "a.jsonl", '{"story": "One.", "meta": {"lang": "en"}}\n{"story": "Two."}\n')
    with pytest.raises(UserError, match=r"no column 'text': give --text_column one of story, meta, meta\.lang"):
        read(tmp_path / "a.jsonl")
    assert texts_of(tmp_path / "a.jsonl", column="meta.lang")[0] == "en"
    write(tmp_path / "b.jsonl", '{"text": [{"role": "user", "content": "Hi."}]}\n{"text": []}')
    with pytest.raises(UserError, match=r"column 'text' of .* holds lists, such as the messages of a chat"):
        read(tmp_path / "b.jsonl")


# -- .json, .csv, .tsv, and compressed files ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["json", "JSON.gz", "json.zst"])
def test_items_of_a_json_file(tmp_path, suffix):
    texts = ["One.", "", None, "Zwei süße 🦊.", "Three\n\nlines."]
    for rows in (texts, [{"id": 1, "text": text} for text in texts], [texts[0], {"text": texts[1]}, *texts[2:]], []):
        write(tmp_path / f"a.{suffix}", MARK + json.dumps(rows, indent=1, ensure_ascii=False))
        assert read(tmp_path / f"a.{suffix}")[0] == texts[: len(rows)]
    write(tmp_path / f"a.{suffix}", json.dumps([{"story": "One.", "text": 7}]))
    assert read(tmp_path / f"a.{suffix}", column="story")[0] == ["One."]


LAYOUTS = {  # of pandas, of the datasets library, and of those who wrap a list
    "columns": {"text": {"0": "One.", "1": None}, "id": {"0": 0, "1": 1}},
    "lists": {"id": [0, 1], "text": ["One.", None]},
    "split": {"columns": ["id", "text"], "index": [0, 1], "data": [[0, "One."], [1, None]]},
    "index": {"0": {"id": 0, "text": "One."}, "1": {"id": 1, "text": None}},
    "table": {"schema": {"fields": []}, "data": [{"index": 0, "text": "One."}, {"index": 1, "text": None}]},
    "wrapped": {"version": 1, "rows": [{"text": "One."}, {"text": None}]},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_layouts_of_a_json_file(tmp_path, layout, name):
    for indent in (None, 1):
        write(tmp_path / name, json.dumps(LAYOUTS[layout], indent=indent))
        assert texts_of(tmp_path / name) == ["One.", None]


def test_rows_on_lines_by_another_name(tmp_path):
    """The content says whether a file is a list or has a row on each line."""
    lines = '{"text": "One."}\n{"text": "Two."}\n'
    write(tmp_path / "a.json", lines)
    assert read(tmp_path / "a.json") == (
        ["One.", "Two."],
        "format: json, a row on each line; the texts are in column 'text'",
    )
    write(tmp_path / "a.jsonl", '[\n"One.",\n"Two."\n]')
    assert texts_of(tmp_path / "a.jsonl") == ["One.", "Two."]
    write(tmp_path / "one.jsonl", '{"text": "One."}')
    assert texts_of(tmp_path / "one.jsonl") == ["One."]


BAD_ITEMS = {
    '["One.", 7]': ["item 2", "a number, not text"],
    '[{"text": "One."}, {"id": 3}]': ["item 2", "no column 'text', but id"],
    '["One.", "\\ud83d"]': ["item 2", "surrogate"],
}


@pytest.mark.parametrize("contents", BAD_ITEMS)
def test_bad_items_of_a_json_file(tmp_path, contents):
    write(tmp_path / "a.json", contents)
    one, bad = texts_of(tmp_path / "a.json")
    assert one == "One." and isinstance(bad, BadRow)
    for word in BAD_ITEMS[contents]:
        assert word in " ".join(bad)


def test_the_list_of_stories_among_others(tmp_path):
    """The one whose objects have the column; of lists of texts the one that --text_column names."""
    document = {
        "tags": ["a"],
        "stories": [{"text": "One."}, {"text": "Two."}],
        "authors": [{"name": "A"}],
        "version": 1,
    }
    write(tmp_path / "a.json", json.dumps(document))
    texts, note = read(tmp_path / "a.json")
    assert texts == ["One.", "Two."] and "the list 'stories' in it" in note
    write(tmp_path / "a.json", json.dumps({"tags": ["a"], "stories": ["One.", "Two."]}))
    assert texts_of(tmp_path / "a.json", column="stories") == ["One.", "Two."]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.sampled_from("ab.c"), values, max_size=3),
    max_leaves=6,
)


@FAST
@given(st.dictionaries(st.sampled_from(["id", "tags", "meta", "rows"]), VALUES), st.sampled_from(["text", "a.b", "x"]))
@example({"tags": ["a sad one", "a happy one"]}, "text")
@example({"rows": [{"text": "One."}]}, "text")  # as transcripts of speech have it
def test_an_object_with_a_text_is_one_row(row, column):
    """A file for each story, as scrapers write it: whatever lists and objects it has besides the text."""
    with tempfile.TemporaryDirectory() as folder:
        for name, indent in (("a.json", None), ("a.jsonl", 2)):
            write(Path(folder) / name, json.dumps({**row, column: "One."}, indent=indent))
            assert texts_of(Path(folder) / name, column=column) == ["One."]


JSON_FILE_MISTAKES = {
    '{"train": [{"text": "A."}], "test": [{"text": "B."}]}': ["rows in the lists train, test", "save each list as"],
    '[{"id": 1}]': ["no column 'text': give --text_column one of id"],
    '[{"text": ["One."]}]': ["column 'text'", "holds lists"],
    '{"a": [1], "b": [2]}': ["lists in a, b", "give --text_column one of them"],
    '"One."': ["no list"],
    '["One.",\n "Two."': ["not JSON", "line 2"],
    "": ["not JSON"],
    '{\n"text": "One."}\n{\n"text": "Two."}': ["not JSON", "a row on each line"],
    '["One.",\n "caf\udce9"]': ["line 2 is not UTF-8"],
    "[" * 100_000: ["not JSON"],
}


@pytest.mark.parametrize(
    "contents", JSON_FILE_MISTAKES, ids=lambda contents: contents[:20].encode(errors="replace").decode()
)
def test_mistakes_in_a_json_file(tmp_path, contents):
    assert_refused(tmp_path / "a.json", contents, *JSON_FILE_MISTAKES[contents])


def test_a_json_file_that_is_huge_and_a_column_of_texts(tmp_path, monkeypatch):
    write(tmp_path / "a.json", '["One.", "Two."]')
    (bad, _) = texts_of(tmp_path / "a.json", column="story")
    assert "item 1" in bad.where and "leave --text_column out" in bad.reason
    monkeypatch.setattr(json_files, "LARGEST_JSON", 10)
    with pytest.raises(UserError, match=r"a\.json has more than 10 bytes.*save it as \.jsonl"):
        read(tmp_path / "a.json")


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
    write(
        tmp_path / "c.csv", "".join(f'"{text}",{1 + i % 2}\n' for i, text in enumerate(stories))
    )  # the first ends in 1
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


@pytest.mark.parametrize("codec", ["gz", "zst"])
def test_compressed_files(tmp_path, codec):
    """Files that `cat` has joined are read to the end; a file that ends early or is none is named."""
    write(tmp_path / f"a.txt.{codec}", "One.\n\nTwo.\n\n")
    once = (tmp_path / f"a.txt.{codec}").read_bytes()
    (tmp_path / f"a.txt.{codec}").write_bytes(once * 2)
    assert read(tmp_path / f"a.txt.{codec}")[0] == ["One.", "Two."] * 2
    rows = [f"{i} {i * i}" for i in range(5000)]
    for name in (f"a.JSONL.{codec}", f"b.jsonl.{codec.upper()}"):
        write(tmp_path / name, "\n".join(json.dumps({"text": row}) for row in rows))
        assert read(tmp_path / name)[0] == rows
    whole = (tmp_path / name).read_bytes()
    for contents in (whole[:-5], whole[: len(whole) // 2], b'{"text": "One."}\n', whole + b"more"):
        (tmp_path / name).write_bytes(contents)
        with pytest.raises(UserError, match=rf"{name} .*incomplete or no \.{codec} file"):
            read(tmp_path / name)


# -- arrow and parquet ------------------------------------------------------------------------------------------------

TEXTS = ["One.", None, "", "Zwei süße 🦊.", "One."]
TEXT_TYPES = {
    "string": pa.string(),
    "large string": pa.large_string(),
    "string view": pa.string_view(),
    "binary": pa.binary(),
    "large binary": pa.large_binary(),
    "binary view": pa.binary_view(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
    "dictionary of large strings": pa.dictionary(pa.int8(), pa.large_string()),
    "dictionary of binaries": pa.dictionary(pa.int16(), pa.binary()),
}


def array_of(texts, kind):
    if pa.types.is_dictionary(kind):
        return array_of(texts, kind.value_type).dictionary_encode().cast(kind)
    is_text = "string" in str(kind)
    return pa.array([text if is_text or text is None else text.encode() for text in texts], kind)


@pytest.mark.parametrize("kind", TEXT_TYPES)
def test_text_may_be_stored_in_many_types(tmp_path, kind):
    values = array_of(TEXTS, TEXT_TYPES[kind])
    assert list(table_files.texts(values, "here")) == TEXTS
    assert list(table_files.texts(pa.chunked_array([values, values]), "here")) == TEXTS * 2
    pq.write_table(pa.table({"id": range(5), "text": values}), tmp_path / "a.parquet")
    assert texts_of(tmp_path / "a.parquet") == TEXTS
    for new in (pa.ipc.new_file, pa.ipc.new_stream):
        with new(tmp_path / "a.arrow", pa.schema([("text", values.type)])) as file:
            file.write_table(pa.table({"text": values}))
        assert texts_of(tmp_path / "a.arrow") == TEXTS


def test_a_column_without_any_value_is_empty():
    assert list(table_files.texts(pa.nulls(3), "here")) == [None] * 3
    assert list(table_files.texts(pa.array([b"abc", b"\xc3\xa9."], pa.binary(3)), "here")) == ["abc", "é."]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pa.array([1, 2]), "holds int64, not text"),
        (pa.array([True]), "holds bool, not text"),
        (pa.array([["a"]]), "holds lists, such as the messages"),
        (pa.array([{"a": "b", "c": 1}]), r"not text: give --text_column one of body\.a, body\.c"),
    ],
)
def test_other_types_are_no_text(tmp_path, values, words):
    pq.write_table(pa.table({"body": values}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=rf"column 'body' of .*a\.parquet .*{words}"):
        read(tmp_path / "a.parquet", column="body")


def test_a_column_inside_of_another(tmp_path):
    table = pa.table({"a": [{"b": {"c": "One."}, "d": "Two."}, None], "e.f": ["Three.", "Four."]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_stream(tmp_path / "a.arrow", table.schema) as file:
        file.write_table(table)
    for name in ("a.parquet", "a.arrow"):
        assert texts_of(tmp_path / name, column="a.b.c") == ["One.", None]
        assert texts_of(tmp_path / name, column="a.d") == ["Two.", None]
        assert texts_of(tmp_path / name, column="e.f") == ["Three.", "Four."]
        with pytest.raises(
            UserError, match=r"no column 'a\.x': give --text_column one of a, e\.f, a\.b, a\.d, a\.b\.c$"
        ):
            read(tmp_path / name, column="a.x")


def test_a_stream_that_is_cut_between_two_batches_is_named(tmp_path):
    """Arrow lets a stream end without a mark, and what is missing then leaves no trace."""
    batches = [pa.record_batch({"text": [f"Story {i}."]}) for i in range(3)]
    file, ends = io.BytesIO(), []
    with pa.ipc.new_stream(file, batches[0].schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
            ends.append(file.tell())
    (tmp_path / "whole.arrow").write_bytes(file.getvalue())
    assert read(tmp_path / "whole.arrow")[1] == "format: arrow; the texts are in column 'text'"
    for batch, end in enumerate(ends):
        (tmp_path / "cut.arrow").write_bytes(file.getvalue()[:end])
        texts, note = read(tmp_path / "cut.arrow")
        assert len(texts) == batch + 1 and "without the mark at its end: is it whole?" in note


def test_a_name_with_dots_in_it_and_a_column_inside(tmp_path):
    """Whatever the names are, those that a sentence offers can be given."""
    rows = [
        {"a.b": {"c.d": "One.", "e": {"f": "Two."}}, "a": {"b": {"g": "Three."}}, "text": "Four.", "text.en": "Five."}
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    with pa.ipc.new_file(tmp_path / "a.arrow", pa.Table.from_pylist(rows).schema) as file:
        file.write_table(pa.Table.from_pylist(rows))
    (tmp_path / "a.jsonl").write_text(json.dumps(rows[0]))
    columns = {"a.b.c.d": "One.", "a.b.e.f": "Two.", "a.b.g": "Three.", "text": "Four.", "text.en": "Five."}
    for column, text in columns.items():
        for name in ("a.parquet", "a.arrow", "a.jsonl"):
            assert texts_of(tmp_path / name, column=column) == [text], (name, column)


@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_a_row_that_is_not_utf8_is_named(tmp_path, monkeypatch, kind):
    """Row 6, in the second batch of four; arrow does not check what a file calls a string."""
    monkeypatch.setattr(table_files, "BATCH_ROWS", 4)
    plain = pa.array([b"One.", b"Two.", None, b"", b"Five.", "Äpfel".encode("latin-1"), b"Seven."], pa.binary())
    value_type = kind.value_type if pa.types.is_dictionary(kind) else kind
    wide = plain.cast(pa.large_binary()) if value_type == pa.large_string() else plain
    values = pa.Array.from_buffers(value_type, len(wide), wide.buffers(), wide.null_count)
    if pa.types.is_dictionary(kind):
        values = values.dictionary_encode()
    pq.write_table(pa.table({"text": values}), tmp_path / "a.parquet")
    texts = texts_of(tmp_path / "a.parquet")
    assert texts[:5] == ["One.", "Two.", None, "", "Five."] and texts[6] == "Seven."
    assert texts[5].where.endswith("a.parquet, row 6") and "not UTF-8" in texts[5].reason


def test_a_parquet_file_that_cannot_be_read(tmp_path):
    file = tmp_path / "a.parquet"
    file.write_bytes(b"Once upon a time")
    with pytest.raises(UserError, match=r"a\.parquet is no readable \.parquet file, but text"):
        read(file)
    file.write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match=r"cannot read .*a\.parquet"):
        read(file)
    pq.write_table(pa.table({"text": [f"{i} {i * i}" for i in range(2000)]}), file)
    assert story_files.understand([file])[0][0].rows == 2000
    contents = bytearray(file.read_bytes())
    contents[50 : len(contents) // 2] = b"x" * (len(contents) // 2 - 50)
    file.write_bytes(contents)
    with pytest.raises(UserError, match=r"cannot read .*a\.parquet"):
        read(file)
    with pytest.raises(UserError, match=r"a\.parquet has no column 'story': give --text_column one of text"):
        read(file, column="story")
    pq.write_table(pa.table([["One."], ["Two."]], ["text", "text"]), file)
    with pytest.raises(UserError, match="2 columns named 'text'"):
        read(file)


def test_a_file_that_is_gone_is_named(tmp_path):
    for name in ("a.txt", "a.jsonl", "a.parquet"):
        with pytest.raises(UserError, match=rf"cannot read .*{name}"):
            read(tmp_path / name)


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_a_line_and_a_story_without_an_end(tmp_path, monkeypatch):
    """Memory is bounded, whatever a compressed file unfolds to."""
    monkeypatch.setattr(story_bytes, "LONGEST_LINE", 1000)
    monkeypatch.setattr(json_files, "LONGEST_LINE", 1000)
    monkeypatch.setattr(text_files, "LONGEST_STORY", 1000)
    write(tmp_path / "a.csv.gz", "text\nOne.\n" + "x" * 2000)
    write(tmp_path / "a.jsonl.zst", '{"text": "One."}\n{"text": "' + "x" * 2000)
    for name, line in (("a.csv.gz", 3), ("a.jsonl.zst", 2)):
        with pytest.raises(UserError, match=rf"{name}, line {line} has more than 1,000 bytes"):
            read(tmp_path / name)
    monkeypatch.setattr(text_files, "BLOCK_BYTES", 300)
    write(tmp_path / "a.txt", "One.\n\n" + "x" * 2000)
    with pytest.raises(UserError, match=r"a\.txt has a story of more than 1,000 letters"):
        read(tmp_path / "a.txt")
    with pytest.raises(UserError, match="more than 1,000 letters"):
        list(story_files.understand([tmp_path / "a.txt"], file_is_story=True)[0][0].read())
    assert csv_files.LONGEST_FIELD <= 2**26


def test_padding_after_gzip_is_no_damage(tmp_path):
    write(tmp_path / "a.txt.gz", "One.\n\nTwo.")
    (tmp_path / "a.txt.gz").write_bytes((tmp_path / "a.txt.gz").read_bytes() + b"\0" * 1000)
    assert texts_of(tmp_path / "a.txt.gz") == ["One.", "Two."]
