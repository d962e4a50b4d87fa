"""Any texts, in any supported format, compression, encoding and line ending, are the texts that are trained on."""

import contextlib
import csv
import gzip
import io
import json
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

import prepare
from slm.errors import UserError
from slm.text import encode, sources, text_files, tokenizer
from slm.text.content import CONTROLS
from slm.text.splits import same

END = "<|endoftext|>"
FAST = settings(derandomize=True, max_examples=40, deadline=None, database=None)
LONG = settings(max_examples=20_000, deadline=None, database=None, suppress_health_check=list(HealthCheck))


# -- how a file is written --------------------------------------------------------------------------------------------


def write_csv(texts, ends, delimiter=",", one=False, **options):
    contents = io.StringIO()
    if any("\r" in text for text in texts):  # which Python's writer does not enclose
        options["quoting"] = csv.QUOTE_ALL
    writer = csv.writer(contents, delimiter=delimiter, lineterminator=ends, **options)
    rows = [["id", "text"], *([i, text] for i, text in enumerate(texts))]
    writer.writerows([row[one:] for row in rows])
    return contents.getvalue()


def write_lines(rows, ends):
    return "".join(json.dumps(row, ensure_ascii=row["id"] % 2) + ends for row in rows)


def rows_of(texts):
    return [{"id": i, "text": text} for i, text in enumerate(texts)]


def write_parquet(texts, _ends):
    file = io.BytesIO()
    pq.write_table(pa.table({"id": range(len(texts)), "text": pa.array(texts, pa.string())}), file)
    return file.getvalue()


def write_arrow(texts, _ends):
    file, table = io.BytesIO(), pa.table({"text": pa.array(texts, pa.string())})
    with pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    return file.getvalue()


def frame(texts, orient):
    if orient == "split":
        return {"columns": ["id", "text"], "index": [0], "data": [[i, text] for i, text in enumerate(texts)]}
    columns = {"id": dict(enumerate(range(len(texts)))), "text": dict(enumerate(texts))}
    return columns if orient == "columns" else {name: list(values.values()) for name, values in columns.items()}


# {name: (suffix, what writes it, what a reader of the format may give of a text, or None where it cannot have it)}
FORMATS = {
    "marked txt": (".txt", lambda texts, ends: "".join(f"{t}\n{END}\n" for t in texts).replace("\n", ends), "txt"),
    "blank lines": (".txt", lambda texts, ends: (ends * 2).join(t.replace("\n", ends) for t in texts), "blank"),
    "jsonl": (".jsonl", lambda texts, ends: write_lines(rows_of(texts), ends), "json"),
    "json lines in .json": (".json", lambda texts, ends: write_lines(rows_of(texts), ends), "json"),
    "json list": (".json", lambda texts, ends: json.dumps(texts, indent=1).replace("\n", ends), "json"),
    "json rows": (".json", lambda texts, ends: json.dumps(rows_of(texts), ensure_ascii=False) + ends, "json"),
    "json columns": (".json", lambda texts, ends: json.dumps(frame(texts, "columns")), "json"),
    "json lists": (".jsonl", lambda texts, ends: json.dumps(frame(texts, "list"), indent=2), "json"),
    "json split": (".json", lambda texts, ends: json.dumps(frame(texts, "split")), "json"),
    "csv": (".csv", write_csv, "csv"),
    "csv of semicolons": (".csv", lambda texts, ends: write_csv(texts, ends, ";"), "csv"),
    "csv of bars, all quoted": (".csv", lambda texts, ends: write_csv(texts, ends, "|", quoting=csv.QUOTE_ALL), "csv"),
    "tsv with quotes": (".tsv", lambda texts, ends: write_csv(texts, ends, "\t", quoting=csv.QUOTE_ALL), "csv"),
    "tsv of one column": (".tsv", lambda texts, ends: ends + write_csv(texts, ends, "\t", one=True), "csv"),
    "tsv without": (".tsv", lambda texts, ends: "id\ttext" + ends + "".join(f"7\t{t}{ends}" for t in texts), "tsv"),
    "parquet": (".parquet", write_parquet, "table"),
    "arrow": (".arrow", write_arrow, "table"),
}
ENCODINGS = {"utf-8": b"", "utf-8-sig": b"", "utf-16": b"", "utf-32": b"", "utf-16-be": b"\xfe\xff", "utf-16-le": b""}
CODECS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
}


def expected(texts, rule):
    """What the stories must be, or None where the format cannot have these texts: the rules of each format."""
    if rule in ("txt", "blank"):
        texts = [text_files.trimmed(text.replace("\ufeff", "").replace("\r", "")) for text in texts]
        separators = text_files.MARKERS if rule == "txt" else text_files.BLANK_LINES
        if any(separators.search(text) or text_files.MARKERS.search(text) for text in texts):
            return None
    if rule == "tsv" and any(set(text) & set("\t\r\n") for text in texts):
        return None
    if rule == "tsv" and any(text.startswith('"') for text in texts):
        return None  # may be a quotation or a field that is enclosed
    if rule == "csv":
        texts = [text.replace("\r\n", "\n") for text in texts]
    return [text for text in texts if text and not text.isspace()]


HARD = st.sampled_from(
    ['"', "'", ",", ";", "|", "\t", "\n", "\r", "\r\n", "\n\n", " ", "\ufeff", "\\", "{", "[", "é", "e\u0301"]
)
LETTERS = st.characters(exclude_categories=["Cs"]) | HARD | st.sampled_from("aA.<|>0")
TEXTS = st.lists(st.lists(LETTERS, max_size=12).map("".join), min_size=2, max_size=6)


@st.composite
def files(draw):
    """(name, contents, the stories) of a file."""
    texts = draw(TEXTS)
    suffix, write, rule = FORMATS[draw(st.sampled_from(list(FORMATS)))]
    ends = draw(st.sampled_from(["\n", "\r\n"]))
    stories = expected(texts, rule)
    assume(stories is not None)
    if rule in ("txt", "blank"):
        texts = stories
    contents = write(texts, ends)
    if rule == "table":
        return f"stories{suffix}", contents, stories
    encoding, codec = draw(st.sampled_from(list(ENCODINGS))), draw(st.sampled_from(list(CODECS)))
    if encoding == "utf-16-le":  # without a mark, which letters of ASCII show
        assume(contents.isascii() and len(contents) > 8 and not CONTROLS.search(contents))
    assume(len(CONTROLS.findall(contents)) * 60 <= len(contents))  # more are no text
    contents = ENCODINGS[encoding] + contents.encode(encoding)
    named = draw(st.booleans()) if codec else False
    return f"stories{suffix}{codec if named else ''}", CODECS[codec](contents), stories


def stories_of(path):
    """The stories that the source gives, and how many rows could not be read."""
    split = sources.open_source(str(path), "text").splits["train"]
    return list(split), split.bad


# -- properties -------------------------------------------------------------------------------------------------------


def check_that_texts_come_back(file):
    """From prepare.py's own function to the token files, by tiktoken alone."""
    name, contents, stories = file
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / name
        path.write_bytes(contents)
        assert stories_of(path) == (stories, 0)
        recipe = {"source": str(path), "text_column": "text", "validation_fraction": 0.3, "vocab_size": 50257}
        too_few = len(set(map(same, stories))) < 2
        with (
            mock.patch.object(encode, "has_gigatoken", return_value=False),
            mock.patch.object(prepare, "has_gigatoken", return_value=False),
            pytest.raises(UserError, match="two different") if too_few else contextlib.nullcontext(),
        ):
            prepare.prepare(recipe, Path(folder) / "data", 1)
        if too_few:
            return
        assert sorted(decoded(Path(folder) / "data")) == sorted(stories)


def decoded(folder):
    encoding = tokenizer.gpt2()
    for split in ("train", "validation"):
        ids = np.fromfile(folder / f"{split}.bin", np.uint16)
        for story in np.split(ids, np.flatnonzero(ids == encoding.eot_token) + 1)[:-1]:
            yield encoding.decode_bytes(story[:-1].tolist()).decode()


def check_damage(file, place, bit, cut):
    """A flip or a cut: a sentence, or the texts; what has a checksum never gives others."""
    name, contents, stories = file
    place = place % max(1, len(contents))
    place = max(place, 4) if cut else place  # fewer bytes may be a text
    damaged = contents[:place]
    if contents and not cut:
        damaged += bytes([contents[place] ^ (1 << bit)]) + contents[place + 1 :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(damaged)
        try:
            found, _ = stories_of(path)
        except UserError:
            return
    gzipped = contents.startswith(b"\x1f\x8b")
    whole = gzipped or (cut and contents.startswith((b"\x28\xb5\x2f\xfd", b"PAR1", b"\xff\xff\xff\xff")))
    if whole and found:  # prepare.py refuses a source without stories
        assert found == stories


TWO = ["One.", "Two."]


@FAST
@given(files())
@example(("stories.txt", gzip.compress(b"One.\n\nTwo."), TWO))
@example(("stories.txt", b"\xc2\x8000\x06", ["\x8000\x06"]))  # not binary
@example(("stories.tsv", b'"id"\t"text"\n"0"\t"One"\n"1"\t"\n\tTwo"\n', ["One", "\n\tTwo"]))
@example(("stories.jsonl", "".join(json.dumps({"text": t}) + "\n" for t in TWO).encode("utf-16-le"), TWO))
def test_texts_come_back(file):
    check_that_texts_come_back(file)


TABLES = {".arrow": write_arrow(TWO, "\n"), ".parquet": write_parquet(TWO, "\n")}


@FAST
@given(files(), st.integers(0, 2**20), st.integers(0, 7), st.booleans())
@example(("stories.txt", gzip.compress(b"One.\n\nTwo."), TWO), 1, 0, True)
def test_damage_is_a_sentence_or_nothing(file, place, bit, cut):
    check_damage(file, place, bit, cut)


@pytest.mark.parametrize("bit", [7])
@pytest.mark.parametrize("suffix", TABLES)
def test_each_byte_of_a_table_damaged(suffix, bit):
    """pyarrow does not check where a text ends, and a damaged place would end the process."""
    for place in range(len(TABLES[suffix])):
        check_damage((f"stories{suffix}", TABLES[suffix], TWO), place, bit, False)


@pytest.mark.slow
@LONG
@given(files())
def test_texts_come_back_often(file):
    check_that_texts_come_back(file)


@pytest.mark.slow
@LONG
@given(files(), st.integers(0, 2**20), st.integers(0, 7), st.booleans())
def test_damage_is_a_sentence_or_nothing_often(file, place, bit, cut):
    check_damage(file, place, bit, cut)


def test_a_bad_row_is_counted():
    """The property above would pass if readers gave nothing: a damaged line is one bad row, not fewer rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        lines = [json.dumps({"text": f"Story {i}."}) for i in range(200)]
        lines[7] = lines[7][:-3]
        path.write_text("\n".join(lines))
        found, bad = stories_of(path)
        assert (len(found), bad) == (199, 1)
