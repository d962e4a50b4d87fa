"""Stories become token ids: on all cores, in batches, spot-checked against tiktoken.

gigatoken encodes all stories of a batch at once, on all cores. Where it is not installed, tiktoken encodes a batch a
thread, many times slower. Both release Python's lock while they work.
"""

import functools
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from slm.errors import UserError
from slm.text import tokenizer

# A batch is enough stories to keep all cores busy, and little enough text to stay small.
BATCH_STORIES = 2048
BATCH_CHARACTERS = 2**23
SPOT_CHECKS = 1000  # stories of a split whose token ids are compared with tiktoken's


class Encoded(NamedTuple):
    """A batch of stories: uint16 `ids` with one end-of-text after each story, and what was counted on the way."""

    ids: np.ndarray
    stories: int
    text_bytes: int
    longest: int  # tokens of the longest story, without its end-of-text


class SpotCheck:
    """A uniform random sample of the stories seen so far, with their token ids.

    Reservoir sampling (Vitter 1985, algorithm R): story number n takes a random place among n; the first `size` places
    are the sample.
    """

    def __init__(self, size=SPOT_CHECKS):
        self.size, self.seen, self.sample, self.random = size, 0, {}, np.random.default_rng()

    def add(self, stories, ids, ends):
        """Add a batch of stories: their token ids in one array, and where each story's ids end."""
        numbers = np.arange(self.seen, self.seen + len(stories))
        places = np.where(numbers < self.size, numbers, self.random.integers(0, numbers + 1))
        for i in np.flatnonzero(places < self.size):
            self.sample[places[i]] = stories[i], ids[ends[i - 1] if i else 0 : ends[i]].copy()
        self.seen += len(stories)

    def agrees(self, encoding):
        """Whether tiktoken gives every story of the sample the same ids."""
        return all(np.array_equal(tokenizer.encode_ordinary(encoding, text), ids) for text, ids in self.sample.values())


@functools.cache
def has_gigatoken():
    """Whether gigatoken is installed; where it is not, one line says so, once."""
    try:
        import gigatoken  # noqa: F401
    except ImportError:
        print("gigatoken is not installed: tiktoken does the work, many times slower (pip install gigatoken)")
        return False
    return True


def batches(stories):
    """Lists of at most BATCH_STORIES stories; a list ends early after BATCH_CHARACTERS of text."""
    batch, characters = [], 0
    for story in stories:
        batch.append(story)
        characters += len(story)
        if len(batch) == BATCH_STORIES or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def encode(stories, encoding, threads):
    """Yield an `Encoded` for each batch of `stories` (non-empty str), in order.

    At most two batches a thread are under way, which bounds memory. Raises UserError at the end where gigatoken gave a
    story of the spot check other ids than tiktoken does.
    """
    fast = has_gigatoken()
    encoder = tokenizer.gigatoken_encoder(encoding, threads) if fast else tokenizer.tiktoken_encoder(encoding)
    threads = 1 if fast else threads  # gigatoken has threads within
    spot_check = SpotCheck()

    def finished(batch, future):
        ids, ends = future.result()
        if fast:
            spot_check.add(batch, ids, ends)
        text_bytes = sum(len(story.encode()) for story in batch)
        longest = int(np.diff(ends, prepend=0).max())
        return Encoded(np.insert(ids, ends, encoding.eot_token), len(batch), text_bytes, longest)

    with ThreadPoolExecutor(threads) as pool:
        under_way = deque()
        for batch in batches(stories):
            under_way.append((batch, pool.submit(encoder, batch)))
            if len(under_way) > 2 * threads:
                yield finished(*under_way.popleft())
        while under_way:
            yield finished(*under_way.popleft())
    if not spot_check.agrees(encoding):
        raise UserError("gigatoken gives a story other tokens than tiktoken: `pip uninstall gigatoken`, then run again")


def encode_split(description, split, encoding, threads, consume):
    """Encode a `Split`, pass each array of ids to `consume`, and return what meta.json counts of it."""
    counts = {"stories": 0, "tokens": 0, "text_bytes": 0, "longest_story": 0}
    with tqdm(total=split.rows, desc=description, unit=" stories", unit_scale=True, disable=None) as bar:
        for batch in encode(split, encoding, threads):
            consume(batch.ids)
            counts["stories"] += batch.stories
            counts["tokens"] += len(batch.ids)
            counts["text_bytes"] += batch.text_bytes
            counts["longest_story"] = max(counts["longest_story"], batch.longest)
            bar.set_postfix_str(f"{counts['tokens']:,} tokens", refresh=False)
            bar.update(batch.stories)
    return counts
