"""slm/text/story_files.py: what the readers make of a file, whatever its blocks, marks and types."""

import csv
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slm.errors import UserError
from slm.text import story_files

MARK = "\ufeff"
END, START = "<|endoftext|>", "<|startoftext|>"


def read(*files, column="text"):
    """The texts of all files, and the note on what parts them."""
    reader, note = story_files.story_reader(list(files), column)
    return [text for file in files for text in reader(file)], note


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
    "long characters": (f"日本語{END}🦊🐰 {START} é", ["日本語", "🦊🐰", "é"]),
}


@pytest.mark.parametrize("block", [1, 2, 3, 7, 16, 2**20])
@pytest.mark.parametrize("case", TEXT_FILES)
def test_stories_of_a_text_file(tmp_path, monkeypatch, case, block):
    """A block may end anywhere: in a character, a separator, a byte order mark."""
    monkeypatch.setattr(story_files, "BLOCK_BYTES", block)
    text, expected = TEXT_FILES[case]
    file = tmp_path / "a.txt"
    file.write_bytes(text.encode())
    assert read(file)[0] == expected


def test_a_marker_in_one_file_parts_the_stories_of_all(tmp_path):
    (tmp_path / "a.txt").write_text("One\n\nstill\n\none.")
    (tmp_path / "b.txt").write_text("Two" + "." * 100)
    (tmp_path / "c.txt").write_text(f"Three.{START}Four.")
    first_two = [tmp_path / "a.txt", tmp_path / "b.txt"]
    texts, note = read(*first_two)
    assert texts == ["One", "still", "one.", "Two" + "." * 100] and "blank lines part" in note
    texts, note = read(*first_two, tmp_path / "c.txt")
    assert texts == ["One\n\nstill\n\none.", "Two" + "." * 100, "Three.", "Four."] and f"{END} and {START} part" in note
    assert "--text_column means nothing" not in note
    assert "--text_column means nothing" in read(*first_two, column="story")[1]


@pytest.mark.parametrize("block", [1, 5, 2**20])
def test_a_line_that_is_not_utf8_is_named(tmp_path, monkeypatch, block):
    monkeypatch.setattr(story_files, "BLOCK_BYTES", block)
    for contents, line in ((b"One.\n\ncaf\xe9\n", 3), (b"\xff\xfeO\0n\0", 1), ("One.\n\n日本".encode()[:-1], 3)):
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
    assert read(tmp_path / "a.JSONL") == (rows, None)


JSON_MISTAKES = {
    '{"text": ': ["line 2", "not JSON"],
    '{"text": "a"} {"text": "b"}': ["line 2", "not JSON"],
    '["text"]': ["line 2", "not a JSON object"],
    '{"body": "a", "id": 3}': ["line 2", "'text'", "--text_column", "body, id"],
    '{"text": 0}': ["line 2", "not text"],
    '{"text": "\\ud83d"}': ["line 2", "surrogate"],
    "[" * 100_000: ["line 2", "not JSON"],
    "caf\udce9": ["line 2", "not UTF-8"],
}


@pytest.mark.parametrize("line", JSON_MISTAKES)
def test_mistakes_in_a_jsonl_file(tmp_path, line):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "One."}\n' + line.encode(errors="surrogateescape"))
    with pytest.raises(UserError) as error:
        read(tmp_path / "a.jsonl")
    for word in ["a.jsonl", *JSON_MISTAKES[line]]:
        assert word in str(error.value)
    assert "line 1" not in str(error.value), "the parser counts from the line that it is given"


# -- .json, .csv, .tsv, and compressed files ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["json", "JSON.gz", "json.zst"])
def test_items_of_a_json_file(tmp_path, suffix):
    texts = ["One.", "", None, "Zwei süße 🦊.", "Three\n\nlines."]
    for rows in (texts, [{"id": 1, "text": text} for text in texts], [texts[0], {"text": texts[1]}, *texts[2:]], []):
        write(tmp_path / f"a.{suffix}", MARK + json.dumps(rows, indent=1, ensure_ascii=False))
        assert read(tmp_path / f"a.{suffix}")[0] == texts[: len(rows)]
    write(tmp_path / f"a.{suffix}", json.dumps([{"story": "One.", "text": 7}]))
    assert read(tmp_path / f"a.{suffix}", column="story")[0] == ["One."]


JSON_FILE_MISTAKES = {
    '["One.", 7]': ["item 2", "not text"],
    '[{"text": "One."}, {"id": 3}]': ["item 2", "no column 'text'", "id"],
    "[{}]": ["item 1 has no column 'text': it has none"],
    '[{"text": ["One."]}]': ["item 1", "'text' is not text"],
    '{"version": 1, "data": [{"text": "One."}]}': ["no list", "a list in 'data'", "save the list alone"],
    '{"text": "One."}': ["no list of objects or texts: save"],
    '"One."': ["no list"],
    '{"text": "One."}\n{"text": "Two."}\n': ["Extra data", "name it that", ".jsonl"],
    '["One.",\n "Two."': ["not JSON", "line 2"],
    "": ["not JSON"],
    '["One.",\n "caf\udce9"]': ["line 2 is not UTF-8"],
    '["\\ud83d"]': ["item 1", "surrogate"],
    "[" * 100_000: ["not JSON"],
}


@pytest.mark.parametrize("contents", JSON_FILE_MISTAKES)
def test_mistakes_in_a_json_file(tmp_path, contents):
    assert_refused(tmp_path / "a.json", contents, *JSON_FILE_MISTAKES[contents])


def test_a_json_file_that_is_huge_and_a_column_of_texts(tmp_path, monkeypatch):
    write(tmp_path / "a.json", '["One.", "Two."]')
    with pytest.raises(UserError, match=r"item 1 is no object.*leave --text_column out"):
        read(tmp_path / "a.json", column="story")
    monkeypatch.setattr(story_files, "LARGEST_JSON", 10)
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
    assert read(tmp_path / f"a.{suffix}") == (FIELDS, None)
    assert read(tmp_path / f"a.{suffix}", column="id")[0] == [str(i) for i in range(len(FIELDS))]


CSV_MISTAKES = {
    "id,text\n1,One.\n2,Two, and more.\n": ["line 3: 3 fields, and the first line has 2", "commas", "double quotes"],
    'id,text\n1,"One\nline."\n2\n': ["line 4: 1 field, and the first line has 2"],
    'id,text\n1,"One" and more\n': ["line 2", "written twice"],
    'id,text\n1,"One.\n2,Two.\n': ["line 3", "unexpected end", "written twice"],
    "id,text,text\n1,One.,Two.\n": ["2 columns named 'text'", "rename"],
    "id,text\r1,One.\r": ["line 1", r"line ends of \n or \r\n"],
    'text\n"Hi," said Tom.\n': ["line 2", "begins with a quote ends with one"],
    "id;text\n1;One.\n": ["no column 'text'", "--text_column one of id;text"],
    "": ["is empty", "name the columns"],
    "text\nOne.\ncaf\udce9\n": ["line 3 is not UTF-8"],
    "text\n" + "x" * 2**24 + "y\n": ["line 2", "field larger"],
}


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
        with pytest.raises(UserError, match=rf"cannot read .*{name} .*incomplete or no \.{codec} file"):
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
    assert list(story_files.texts(values, "text", "here")) == TEXTS
    assert list(story_files.texts(pa.chunked_array([values, values]), "text", "here")) == TEXTS * 2
    pq.write_table(pa.table({"id": range(5), "text": values}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == (TEXTS, None)


def test_a_column_without_any_value_is_empty():
    assert list(story_files.texts(pa.nulls(3), "text", "here")) == [None] * 3
    assert list(story_files.texts(pa.array([b"abc", b"\xc3\xa9."], pa.binary(3)), "text", "here")) == ["abc", "é."]


@pytest.mark.parametrize("values", [pa.array([1, 2]), pa.array([["a"]]), pa.array([{"a": "b"}]), pa.array([True])])
def test_other_types_are_no_text(values):
    with pytest.raises(UserError, match=r"column 'body' of a\.parquet holds .*, not text"):
        list(story_files.texts(values, "body", "a.parquet"))


@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_a_row_that_is_not_utf8_is_named(tmp_path, monkeypatch, kind):
    """Row 6, in the second batch of four; arrow does not check what a file calls a string."""
    monkeypatch.setattr(story_files, "BATCH_ROWS", 4)
    plain = pa.array([b"One.", b"Two.", None, b"", b"Five.", "Äpfel".encode("latin-1"), b"Seven."], pa.binary())
    value_type = kind.value_type if pa.types.is_dictionary(kind) else kind
    wide = plain.cast(pa.large_binary()) if value_type == pa.large_string() else plain
    values = pa.Array.from_buffers(value_type, len(wide), wide.buffers(), wide.null_count)
    if pa.types.is_dictionary(kind):
        values = values.dictionary_encode()
    pq.write_table(pa.table({"text": values}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet, row 6: the text is not UTF-8"):
        read(tmp_path / "a.parquet")


def test_a_parquet_file_that_cannot_be_read(tmp_path):
    file = tmp_path / "a.parquet"
    file.write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match=r"a\.parquet is not a readable parquet file"):
        story_files.count_rows([file])
    pq.write_table(pa.table({"text": [f"{i} {i * i}" for i in range(2000)]}), file)
    assert story_files.count_rows([file, file]) == 4000
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
