"""The stories of a split, counted; a validation split where the source has none; stories that are in both."""

import itertools
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from slm.errors import UserError, counted
from slm.text.rows import BadRow
from slm.text.tokenizer import ENDOFTEXT

SPLIT_SEED = 1234
SHORTEST_TEXT = 200  # letters of a text that is divided
BAD_ROWS = 0.01  # the largest share of rows that cannot be read
END = 64  # letters at a story's end by which most different stories differ


@dataclass
class Split:
    """The stories of a split. Iterate over it, as often as needed; each pass reads the source and counts again.

    A text that is missing, empty or only whitespace is no story, and a row that cannot be read has none: the pass
    leaves them out and counts them. More than BAD_ROWS of the latter raise UserError at the end of the pass, unless
    `allow_bad_rows`. A pass ends after `max_stories` stories, where that is given, and reads no further.
    """

    read: Callable[[], Iterator[str | BadRow | None]]  # the texts, from the first on
    rows: int | None = None  # how many texts, where that is known without reading
    max_stories: int | None = None
    allow_bad_rows: bool = False
    # of the newest pass
    stories: int = field(default=0, init=False)
    empty: int = field(default=0, init=False)  # texts that are no stories
    marked: int = field(default=0, init=False)  # stories with the text <|endoftext|> in them
    bad: int = field(default=0, init=False)  # rows that cannot be read
    first_bad: BadRow | None = field(default=None, init=False)
    last: str = field(default="", init=False)  # the newest story

    def __iter__(self):
        self.stories = self.empty = self.marked = self.bad = 0
        for text in self.read():
            if not text or text.__class__ is BadRow or text.isspace():
                self.leave_out(text)
                continue
            self.marked += ENDOFTEXT in text
            self.stories += 1
            self.last = text
            yield text
            if self.stories == self.max_stories:
                break
        rows = self.stories + self.empty + self.bad
        if self.bad > BAD_ROWS * rows and not self.allow_bad_rows:
            raise UserError(
                f"{self.bad:,} of {counted(rows, 'row')} cannot be read, the first is {self.first_bad.where}"
                f" ({self.first_bad.reason}): fix them, or give --allow_bad_rows to leave them out"
            )

    def leave_out(self, text):
        if text.__class__ is not BadRow:
            self.empty += 1
            return
        self.first_bad = text if not self.bad else self.first_bad
        self.bad += 1


def same(story):
    """What equal stories have in common: their letters, whether an accent is a part of one or a letter by itself."""
    return story if story.isascii() else unicodedata.normalize("NFC", story)


def split_off_validation(split, fraction, least=0):
    """({"train": Split, "validation": Split}, repeated) of a split, the same ones every time.

    About `fraction` of the stories are for validation, at least one, and at least `least` where that is below a tenth,
    else a tenth. Equal stories are on one side, or a model would be validated on what it was trained on; `repeated` is
    how many stories are equal to an earlier one. One story alone is a continuous text, whose end is for validation: a
    tenth of it where `least` is given. Memory: some 60 bytes per story while it chooses, one byte after that.
    Raises UserError where there are not two different ones, and no text of SHORTEST_TEXT letters.
    """
    counting = tqdm(split, "counting", split.rows, unit=" stories", leave=False, disable=None)
    # equal hashes serve as equal stories: of 10 million stories two share one of 2**64 with probability 3e-6
    hashes = np.fromiter(map(hash, map(same, counting)), np.int64)
    _, first, number, copies = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    if len(hashes) == 1 and len(split.last.strip()) >= SHORTEST_TEXT:
        return divide_text(split, 0.1 if least else fraction), 0
    if len(first) < 2:
        number = counted(len(hashes), "story", "stories") + (", all equal" if len(hashes) > 1 else "")
        empty = f" (empty rows: {split.empty:,})" if split.empty else ""
        raise UserError(
            f"the source has {number}{empty}: two different stories are needed, one to train on and one to validate, or"
            f" one of {SHORTEST_TEXT} letters; in a .txt, blank lines or <|endoftext|> separate them"
        )

    def share(count):
        return max(1, round(count * fraction), min(least, count // 10))

    # the different stories in the order of the source, then in random order
    shuffled = np.argsort(first)[np.random.default_rng(SPLIT_SEED).permutation(len(first))]
    most_stories, most_different = share(len(hashes)), min(share(len(first)), len(first) - 1)
    fitting = shuffled[copies[shuffled] <= most_stories]
    chosen = fitting[np.cumsum(copies[fitting]) <= most_stories][:most_different]
    if not len(chosen):
        chosen = shuffled[[copies[shuffled].argmin()]]
    in_validation = np.isin(number, chosen)
    count = int(in_validation.sum())
    splits = {
        "train": Split(lambda: itertools.compress(split, ~in_validation), len(hashes) - count),
        "validation": Split(lambda: itertools.compress(split, in_validation), count),
    }
    return splits, len(hashes) - len(first)


def divide_text(split, fraction):
    """{"train": Split, "validation": Split} of a split of one text: its last `fraction` of letters validates.

    The cut is behind a blank line, else a line's end, else a space, where one follows within a hundredth of the text.
    Whitespace around the text does not count, so that neither side has only that.
    """
    text = split.last
    begin, end = len(text) - len(text.lstrip()), len(text.rstrip())
    place = begin + round((end - begin) * (1 - fraction))
    marks = (text.find(mark, place, place + (end - begin) // 100) + len(mark) for mark in ("\n\n", "\n", " "))
    cut = min(max(begin + 1, next((mark for mark in marks if mark > place), place)), end - 1)
    return {
        "train": Split(lambda: (story[:cut] for story in split), 1),
        "validation": Split(lambda: (story[cut:] for story in split), 1),
    }


class Leaks:
    """The stories of a validation split that are in a train split too: found in one pass over each.

    Memory: some 150 bytes per story of validation.
    """

    def __init__(self, validation):
        self.validation, self.hashes, self.ends = validation, set(), set()
        for story in map(same, validation):
            self.hashes.add(hash(story))
            self.ends.add(hash(story[-END:]))
        self.found = set()  # hashes of the stories that are in both
        self.first = ""

    def watch(self, train):
        """Yield the stories of `train`, and find those of validation among them."""
        ends = self.ends
        for story in train:
            text = same(story)
            if hash(text[-END:]) in ends and hash(text) in self.hashes:  # the end alone is fast
                self.first = self.first or story
                self.found.add(hash(text))
            yield story

    def count(self):
        """How many stories of validation are in train too, once `watch` has seen all of it."""
        return sum(hash(same(story)) in self.found for story in self.validation) if self.found else 0

    def without(self):
        """The validation split without them."""
        return Split(lambda: (story for story in self.validation if hash(same(story)) not in self.found))
