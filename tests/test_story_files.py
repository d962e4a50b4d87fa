"""slm/text/story_files.py: what the readers make of a file, whatever its blocks, marks and types."""

import json

import pytest
from story_helpers import END, MARK, START, assert_refused, read, texts_of, write

from slm.errors import UserError
from slm.text import csv_files, json_files, story_bytes, story_files, text_files

# -- .txt ------------------------------------------------------------------------------------------------------------

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


def test_the_formats_of_several_files(tmp_path):
    for name, encoding in (("a", "utf-8"), ("b", "utf-16"), ("c", "utf-8")):
        (tmp_path / f"{name}.txt").write_bytes("One.\n\nTwo.".encode(encoding))
    assert read(*tmp_path.iterdir())[1].startswith("format: txt (2 files); txt, UTF-16 (1 file); ")


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


def test_a_marker_in_one_file_separates_the_stories_of_all(tmp_path):
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


# -- compressed files --------------------------------------------------------------------------------------------------


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


def test_a_file_that_is_gone_is_named(tmp_path):
    for name in ("a.txt", "a.jsonl", "a.parquet"):
        with pytest.raises(UserError, match=rf"cannot read .*{name}"):
            read(tmp_path / name)


# -- bounds ----------------------------------------------------------------------------------------------------------


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
