"""Which reader a file of stories gets, after a look at its content, and the line that says what was understood."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from slm.errors import UserError, counted
from slm.text import text_files
from slm.text.content import look
from slm.text.csv_files import understand_csv
from slm.text.json_files import understand_json
from slm.text.rows import BadRow
from slm.text.splits import SHORTEST_TEXT
from slm.text.story_bytes import TABLES
from slm.text.table_files import understand_table

# so many .txt files, with at most so many paragraphs in the half of them, have a story each
SEVERAL_FILES, FEW_PARAGRAPHS = 5, 20
SPEECH_SHARE, MANY_PARAGRAPHS, CHAPTERS = 0.2, 20, 2  # so much speech, among so many; or so many headings: one text
ONE_PARAGRAPH = 0.9  # of all letters: what is left is a title or a note, and neither trains nor validates a model
DESCRIPTIONS_SHOWN = 3


class StoryFile(NamedTuple):
    """A file whose content is understood."""

    file: object
    description: str
    read: Callable[[], Iterator[str | BadRow | None]]  # a pass over its texts; None for a missing one
    rows: int | None = None  # how many texts, where that is known without reading


def understand(files, column="text", file_is_story=None):
    """([StoryFile of each of `files`], lines that say what was understood).

    files: paths, or other objects with `name` and `open`. column: where a row of a table has its text. file_is_story:
    whether each text file is one story (False: blank lines separate them; None: what their content looks like, decided
    for all of them together). Raises UserError where a file holds no stories, or has no such column.
    """
    contents = [look(file) for file in files]
    kinds = defaultdict(list)  # of what the files are, which their names may not say
    for content in contents:
        kinds[content.kind].append(content)
    tables = [content for content in contents if content.kind != ".txt"]
    if file_is_story is not None and tables:
        option = "--file_is_story" if file_is_story else "--blank_lines"
        raise UserError(f"{option} is for .txt files, and {tables[0].file} has a story per row: leave it out")
    separated, read_text = understand_texts(kinds[".txt"], file_is_story)
    texts_in_file = 1 if read_text is text_files.read_whole_txt else None

    def story_file(content):
        if content.kind == ".txt":
            return StoryFile(content.file, str(content), lambda: read_text(content), texts_in_file)
        if content.kind in TABLES:
            return StoryFile(content.file, *understand_table(content, column))
        reader = understand_csv if content.kind in (".csv", ".tsv") else understand_json
        return StoryFile(content.file, *reader(content, column))

    understood = [story_file(content) for content in contents]
    formats = Counter(file.description for file in understood).most_common()
    described = [f"{text} ({counted(count, 'file')})" for text, count in formats]
    described = described if len(contents) > 1 else [formats[0][0]]
    more = f"; and {len(described) - DESCRIPTIONS_SHOWN} other formats" if len(described) > DESCRIPTIONS_SHOWN else ""
    how = [separated] if kinds[".txt"] else []
    if len(kinds[".txt"]) < len(contents):
        how.append(f"the texts are in column {column!r}")
    elif column != "text":
        how.append("--text_column means nothing for a .txt")
    return understood, [f"format: {'; '.join(described[:DESCRIPTIONS_SHOWN])}{more}; {'; '.join(how)}"]


def understand_texts(contents, file_is_story):
    """(what separates the stories of text files, in words; a function that reads one)."""
    if file_is_story:
        return "each file is a story", text_files.read_whole_txt
    if file_is_story is False:
        return "blank lines separate the stories", read_between_blank_lines
    if any(text_files.has_marker(content) for content in contents):
        return (
            "<|endoftext|> and <|startoftext|> separate the stories",
            lambda content: text_files.read_txt(content, text_files.MARKERS),
        )
    if wrong := next(filter(text_files.is_json, contents), None):
        raise UserError(f"{wrong.file} holds JSON: give it the name .jsonl, or --blank_lines to train on it as text")
    marker = next(filter(None, map(text_files.other_marker, contents)), None)
    advice = f"; {marker} is text: write <|endoftext|> where a story ends" if marker else ""
    reason = reason_for_whole_files(contents)
    if reason:
        which = "the file is one text" if len(contents) == 1 else f"each of {len(contents):,} files is a story"
        return f"{reason}: {which} (--blank_lines: they separate stories){advice}", text_files.read_whole_txt
    other = "the file is one text" if len(contents) == 1 else "each file is a story"
    words = f"no <|endoftext|> in it: blank lines separate the stories (--file_is_story: {other}){advice}"
    return words, read_between_blank_lines


def read_between_blank_lines(content):
    return text_files.read_txt(content, text_files.BLANK_LINES)


def reason_for_whole_files(contents):
    """Why text files without <|endoftext|> are whole texts, in words; "" where blank lines separate their stories."""
    looks = [text_files.look_at_paragraphs(content) for content in contents]
    count, speech, chapters, letters, _ = map(sum, zip(*looks, strict=True)) if looks else (0, 0, 0, 0, 0)
    if count <= len(contents):
        return "no <|endoftext|> and no blank line in it" if count else ""
    if any(content.file.stat().st_size > text_files.LONGEST_STORY for content in contents):
        return ""
    if count >= MANY_PARAGRAPHS and (speech >= SPEECH_SHARE * count or chapters >= CHAPTERS):
        return f"of {count:,} paragraphs {speech:,} begin as speech and {chapters:,} are a chapter's heading"
    longest = max(look.longest for look in looks)
    if count < MANY_PARAGRAPHS and longest > max(ONE_PARAGRAPH * letters, SHORTEST_TEXT):
        return f"of {count:,} paragraphs one has more than nine tenths of the letters"
    half = statistics.median(look.count for look in looks)
    if len(contents) >= SEVERAL_FILES and half <= FEW_PARAGRAPHS:
        return f"half of the files have at most {counted(int(half), 'paragraph')}"
    return ""
