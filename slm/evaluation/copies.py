"""What a text copies from the training text: n-grams of tokens that both have, found by their hashes."""

import numpy as np

from slm.text import tokenizer

COPY = 13  # tokens of a run that counts as copied
CHUNK = 2**18  # tokens of the train split in one look-up: they stay in a CPU's cache
FIRST_BITS = 24  # of a hash, for the first look
TOKEN_FACTOR, PLACE_FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1342543DE82EF95)


def hashes(ids, n):
    """A 64-bit hash of each n-gram of ids (N,): (N - n + 1,) uint64, built from those of half its length."""
    if len(ids) < n:
        return np.empty(0, np.uint64)
    if n == 1:
        return (ids.astype(np.uint64) + np.uint64(1)) * TOKEN_FACTOR
    half = hashes(ids, n // 2)
    both = half[: len(half) - n // 2] * np.uint64(pow(int(PLACE_FACTOR), n // 2, 2**64)) + half[n // 2 :]
    if n % 2 == 0:
        return both
    return longer(both[: len(ids) - n + 1], ids[n - 1 :])


def longer(grams, ids):
    """The hashes of n-grams (N,) that a token each, ids (N,), makes longer."""
    return grams * PLACE_FACTOR + hashes(ids, 1)


def find_copies(stories, tokens, n):
    """(places, grams): where `tokens` (N,) has an n-gram of the stories, arrays of ids, and the hash of that n-gram."""
    wanted = np.unique(np.concatenate([np.empty(0, np.uint64), *(hashes(story, n) for story in stories)]))
    shift = np.uint64(64 - FIRST_BITS)
    likely = np.zeros(2**FIRST_BITS, bool)  # rules out most others at one look
    likely[wanted >> shift] = True
    places, grams = [np.empty(0, np.int64)], [wanted[:0]]
    for first in range(0, len(tokens) - n + 1, CHUNK):
        there = hashes(tokens[first : first + CHUNK + n - 1], n)
        found = np.flatnonzero(likely[there >> shift])
        nearest = np.searchsorted(wanted, there[found]).clip(max=len(wanted) - 1)
        found = found[wanted[nearest] == there[found]]
        places.append(first + found)
        grams.append(there[found])
    return np.concatenate(places), np.concatenate(grams)


def longest_copy(stories, tokens, places, grams, n):
    """The length of the longest run of a story that `tokens` has, 0 where it is below n.

    places, grams: what find_copies found for n.
    """
    length = 0
    while True:
        of_stories = [hashes(story, n) for story in stories]
        together = np.concatenate([grams[:0], *of_stories])
        is_copy = np.isin(grams, together)
        if not is_copy.any():
            return length
        ends = np.cumsum([len(own) for own in of_stories])
        copied = np.split(np.isin(together, grams), ends[:-1])
        stories = [story for story, some in zip(stories, copied, strict=True) if some.any()]
        length, n = n, n + 1
        is_copy &= places + n <= len(tokens)
        places, grams = places[is_copy], grams[is_copy]
        grams = longer(grams, tokens[places + n - 1])


def known_texts(texts, encoding, tokens):
    """Whether `tokens`, of the training text, have the last COPY tokens of each text: (len(texts),) bool."""
    ends = [tokenizer.encode_ordinary(encoding, text)[-COPY:].astype(np.int64) for text in texts]
    _, grams = find_copies(ends, tokens, COPY)
    return np.array([np.isin(hashes(end, COPY), grams).any() for end in ends])
