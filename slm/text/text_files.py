"""The stories of .txt files: between <|endoftext|> or blank lines, or a whole file each."""

import codecs
import itertools
import re
from typing import NamedTuple

from slm.errors import UserError
from slm.text.story_bytes import BYTE_ORDER_MARK, reading

BLOCK_BYTES = 2**17  # small enough for a processor's cache
LONGEST_STORY = 2**27  # characters: a text in which nothing separates stories must not fill the memory
MARKERS = re.compile(r"<\|endoftext\|>|<\|startoftext\|>")
LONGEST_MARKER = len("<|startoftext|>")
OTHER_MARKERS = re.compile(r"(?i)<\|end_?of_?text\|>|<\|(?:eot_id|im_end)\|>|</s>|<eos>")  # read as text
BLANK_LINES = re.compile(r"\n\s*\n")
JSON = re.compile(r'\s*\[?\s*\{\s*"[^"\n]{1,64}"\s*:')
LOOK_PARAGRAPHS = 2000
# how paragraphs of a novel or a play begin, and stories rarely do
SPEECH = re.compile(r"[\"'\u2018-\u201e\u2039\u203a\xab\xbb\u300c\u300e\u2013\u2014-]|[^\n]{1,40}:\n")
CHAPTER = re.compile(r"(?i)(chapter|chapitre|kapitel|cap[i\xed]tulo|глава|part|act|scene) ([ivxlc]+|\d+|one)\b.{0,60}$")


def has_marker(content):
    """Whether a text file has <|endoftext|> or <|startoftext|> anywhere."""
    end = ""
    for block in text_blocks(content):
        if MARKERS.search(end + block):
            return True
        end = (end + block)[-LONGEST_MARKER:]
    return False


def is_json(content):
    """Whether a text file begins as rows of JSON: an object with a name in it, or a list of these."""
    return JSON.match(next(text_blocks(content))) is not None


def other_marker(content):
    """The first end of a text, as others write it, at the beginning of a text file; None where there is none."""
    found = OTHER_MARKERS.search(next(text_blocks(content)))
    return found and found[0]


class Paragraphs(NamedTuple):
    """What lies between the blank lines of a text file, of the first LOOK_PARAGRAPHS."""

    count: int
    speech: int  # how many begin as speech
    chapters: int  # how many are the heading of one
    letters: int  # of all
    longest: int  # letters of one


def look_at_paragraphs(content):
    """The `Paragraphs` of a text file."""
    count = speech = chapters = letters = longest = 0
    for text in itertools.islice(read_txt(content, BLANK_LINES), LOOK_PARAGRAPHS):
        count += 1
        speech += SPEECH.match(text) is not None
        chapters += CHAPTER.match(text) is not None
        letters += len(text)
        longest = max(longest, len(text))
    return Paragraphs(count, speech, chapters, letters, longest)


def text_blocks(content):
    """Yield the text of a file in blocks, without byte order marks, which `cat` leaves inside the files it joins.

    Raises UserError, with the line's number, where the file is not UTF-8.
    """
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    with reading(content) as source:
        while True:
            block = source.read(BLOCK_BYTES)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                raise UserError(
                    f"{content.file}, line {line} is not UTF-8 ({error.reason}): save it as UTF-8"
                ) from error
            line += block.count(b"\n")
            yield text.replace(BYTE_ORDER_MARK, "")
            if not block:
                return


def read_txt(content, separator):
    """The texts between the matches of `separator`, without the whitespace around them; line ends become `\\n`."""
    for text in split_blocks(text_blocks(content), separator, content.file):
        if text := trimmed(text):
            yield text


def read_whole_txt(content):
    """The text of the file, which is one story, "" where it has none."""
    yield trimmed("".join(bounded(text_blocks(content), content.file)))


def bounded(blocks, where):
    size = 0
    for block in blocks:
        size += len(block)
        if size > LONGEST_STORY:
            raise too_long(where)
        yield block


def too_long(where):
    return UserError(f"{where} has a story of more than {LONGEST_STORY:,} letters: put <|endoftext|> between stories")


def trimmed(text):
    text = text.strip()
    return re.sub(r"\r+\n", "\n", text) if "\r" in text else text


def split_blocks(blocks, separator, where=""):
    """Yield what `separator.split` gives of the joined `blocks`, without joining them.

    The end of a block may be the beginning of a separator: trailing whitespace, and all from the last `<` that is close
    enough to the end. It is held back until the next block is here. Raises UserError for a story of LONGEST_STORY.
    """
    text, size, held_back = [], 0, ""  # the text since the last separator
    for block in blocks:
        block = held_back + block
        end = len(block.rstrip())
        marker = block.rfind("<", max(0, len(block) - LONGEST_MARKER))
        if marker >= 0:
            end = min(end, marker)
        *complete, rest = separator.split(block[:end])
        for part in complete:
            yield "".join([*text, part])
            text, size = [], 0
        text.append(rest)
        held_back = block[end:]
        size += len(rest)
        if size + len(held_back) > LONGEST_STORY:
            raise too_long(where)
    yield from separator.split("".join(text) + held_back)
