"""Stories become token ids: on all cores, in batches, and some are proved to be what the file says.

gigatoken encodes all stories of a batch at once, on all cores. Where it is not installed, tiktoken encodes one
batch per thread, many times slower. Both release Python's lock while they work.
"""

import functools
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from slm.errors import UserError
from slm.files import atomic_write
from slm.text import tokenizer

# A batch is enough stories to keep all cores busy, and little enough text to stay small.
BATCH_STORIES = 2048
BATCH_CHARACTERS = 2**23
DECODE_TOKENS = 2**20  # at a time: a list of ids takes 40 bytes for each
SPOT_CHECKS = 1000  # stories of a split that are compared with what tiktoken makes of their place in the file


class Encoded(NamedTuple):
    """A batch of stories: uint16 `ids` with one end-of-text after each story, and what was counted on the way."""

    ids: np.ndarray
    stories: int
    text_bytes: int
    longest: int  # tokens of the longest story, without its end-of-text


class SpotCheck:
    """A uniform random sample of the stories of a token file, with their places in it.

    Reservoir sampling (Vitter 1985, algorithm R): story number n takes a random place among n; the first `size` places
    are the sample.
    """

    def __init__(self, size=SPOT_CHECKS):
        self.size, self.stories, self.tokens, self.sample, self.random = size, 0, 0, {}, np.random.default_rng()

    def add(self, stories, ends):
        """Add a batch of stories, and where each one's ids end among those of the batch, without end-of-text."""
        numbers = np.arange(self.stories, self.stories + len(stories))
        places = np.where(numbers < self.size, numbers, self.random.integers(0, numbers + 1))
        for i in np.flatnonzero(places < self.size):
            start = int(ends[i - 1]) if i else 0
            self.sample[places[i]] = stories[i], self.tokens + start + int(i), int(ends[i]) - start
        self.stories += len(stories)
        self.tokens += int(ends[-1]) + len(stories)

    def prove(self, path, encoding):
        """Compare the sample with what tiktoken decodes at its places in the token file.

        Raises UserError where tiktoken gives a story other ids, and RuntimeError, which is a bug, where the file has
        another text.
        """
        for text, start, length in self.sample.values():
            ids = np.fromfile(path, np.uint16, length + 1, offset=2 * start)  # a map of the file would count as memory
            ids, end = ids[:-1], ids[-1]
            parts = (ids[i : i + DECODE_TOKENS] for i in range(0, length, DECODE_TOKENS))
            found = b"".join(encoding.decode_bytes(part.tolist()) for part in parts)
            if found != text.encode() or end != encoding.eot_token:
                raise RuntimeError(f"{path} has another text at token {start:,} than the source: {text[:200]!r}")
            if not np.array_equal(tokenizer.encode_ordinary(encoding, text), ids):
                raise UserError(
                    "gigatoken gives a story other tokens than tiktoken: `pip uninstall gigatoken`, then run again"
                )


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


def encode(stories, encoding, threads, spot_check=None):
    """Yield an `Encoded` for each batch of `stories` (non-empty str), in order, and add it to `spot_check`.

    At most two batches per thread are under way, which bounds memory.
    """
    fast = has_gigatoken()
    encoder = tokenizer.gigatoken_encoder(encoding, threads) if fast else tokenizer.tiktoken_encoder(encoding)
    threads = 1 if fast else threads  # gigatoken has threads within

    def finished(batch, future):
        ids, ends = future.result()
        if spot_check:
            spot_check.add(batch, ends)
        text_bytes = sum(len(story if story.isascii() else story.encode()) for story in batch)
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


def encode_split(description, stories, rows, encoding, threads, path):
    """Write the token file of `stories` to `path`, prove it, and return what meta.json says of it.

    rows: how many stories there are, or None.
    """
    counts = {"stories": 0, "tokens": 0, "text_bytes": 0, "longest_story": 0}
    spot_check, crc32 = SpotCheck(), 0
    with (
        atomic_write(path) as file,
        tqdm(total=rows, desc=description, unit=" stories", unit_scale=True, disable=None) as bar,
    ):
        for batch in encode(stories, encoding, threads, spot_check):
            file.write(batch.ids)
            crc32 = zlib.crc32(batch.ids, crc32)
            counts["stories"] += batch.stories
            counts["tokens"] += len(batch.ids)
            counts["text_bytes"] += batch.text_bytes
            counts["longest_story"] = max(counts["longest_story"], batch.longest)
            bar.set_postfix_str(f"{counts['tokens']:,} tokens", refresh=False)
            bar.update(batch.stories)
    spot_check.prove(path, encoding)
    return counts | {"crc32": crc32}
