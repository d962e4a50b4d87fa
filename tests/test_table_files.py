"""slm/text/table_files.py: the texts of .parquet and .arrow files, whatever their types."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from story_helpers import read, texts_of

from slm.errors import UserError
from slm.text import story_files, table_files

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
