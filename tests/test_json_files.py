"""slm/text/json_files.py: the rows of .jsonl and .json files, whatever their layout."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from story_helpers import END, MARK, assert_refused, read, texts_of, write

from slm.errors import UserError
from slm.text import json_files
from slm.text.rows import BadRow

FAST = settings(derandomize=True, max_examples=40, deadline=None, database=None)


# -- .jsonl ----------------------------------------------------------------------------------------------------------


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


# -- .json -------------------------------------------------------------------------------------------------------------


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
