"""Which reader a file of stories gets, after a look at its content, and the line that says what was understood."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from slm.errors import UserError
from slm.text import text_files
from slm.text.content import look
from slm.text.csv_files import understand_csv
from slm.text.json_files import understand_json
from slm.text.rows import BadRow
from slm.text.story_bytes import TABLES
from slm.text.table_files import understand_table

MANY_FILES, SMALL_FILE = 20, 2**15  # so many .txt files, of at most so many characters each, look like a file a story
DESCRIPTIONS_SHOWN = 3


class StoryFile(NamedTuple):
    """A file whose content is understood."""

    file: object
    description: str
    read: Callable[[], Iterator[str | BadRow | None]]  # a pass over its texts; None for a missing one
    rows: int | None = None  # how many texts, where that is known without reading


def understand(files, column="text", file_is_story=False):
    """([StoryFile of each of `files`], lines that say what was understood).

    files: paths, or other objects with `name` and `open`. column: where a row of a table has its text. file_is_story:
    whether each text file is one story. What separates the stories of text files is decided for all of them together.
    Raises UserError where a file holds no stories, or has no such column.
    """
    contents = [look(file) for file in files]
    kinds = defaultdict(list)  # of what the files are, which their names may not say
    for content in contents:
        kinds[content.kind].append(content)
    if file_is_story and (tables := [content for content in contents if content.kind != ".txt"]):
        raise UserError(f"--file_is_story is for .txt files, and {tables[0].file} has a story per row: leave it out")
    separated, read_text = understand_texts(kinds[".txt"], file_is_story)

    def story_file(content):
        if content.kind == ".txt":
            return StoryFile(content.file, str(content), lambda: read_text(content), 1 if file_is_story else None)
        if content.kind in TABLES:
            return StoryFile(content.file, *understand_table(content, column))
        reader = understand_csv if content.kind in (".csv", ".tsv") else understand_json
        return StoryFile(content.file, *reader(content, column))

    understood = [story_file(content) for content in contents]
    counts = Counter(file.description for file in understood).most_common()
    described = [text + (f" ({count} files)" if len(counts) > 1 or count > 1 else "") for text, count in counts]
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
    if any(text_files.has_marker(content) for content in contents):
        return (
            "<|endoftext|> and <|startoftext|> separate the stories",
            lambda content: text_files.read_txt(content, text_files.MARKERS),
        )
    words = "no <|endoftext|> in it: blank lines separate the stories"
    if len(contents) >= MANY_FILES and all(content.file.stat().st_size <= SMALL_FILE for content in contents):
        words += f" of {len(contents):,} small files; if each file is one story, give --file_is_story"
    return words, lambda content: text_files.read_txt(content, text_files.BLANK_LINES)
