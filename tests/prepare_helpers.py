"""What the tests of prepare.py share: it runs, and what it wrote is read again."""

from pathlib import Path

import numpy as np
from conftest import call, read_meta

from slm.text import tokenizer


def tokens_of(folder, split):
    """The stories of a prepared split, as lists of ids, cut at end-of-text."""
    ids = np.fromfile(f"{folder}/{split}.bin", np.uint16)
    ends = np.flatnonzero(ids == read_meta(folder)["end_of_text"])
    assert ends[-1] == len(ids) - 1, "the last story has no end-of-text"
    return [part[:-1].tolist() for part in np.split(ids, ends + 1)[:-1]]


def stories_of(folder, split):
    encoding = tokenizer.from_text((Path(folder) / "tokenizer.tiktoken").read_text())
    return [encoding.decode(ids) for ids in tokens_of(folder, split)]


def prepared(*arguments):
    """What `prepare.py ARGUMENTS` prints; it must succeed."""
    result = call("prepare.py", *arguments)
    assert result.status == 0, result.err
    return result.out
