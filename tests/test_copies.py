"""slm/evaluation/copies.py: n-grams that the training text has are found, and the longest run of them."""

import random

import numpy as np
import pytest

from slm.evaluation import copies
from slm.text import tokenizer


@pytest.fixture
def tokens(monkeypatch):
    """400 random tokens of 4 kinds, looked at 50 at a time, and so few first bits that other n-grams share them."""
    monkeypatch.setattr(copies, "CHUNK", 50)
    monkeypatch.setattr(copies, "FIRST_BITS", 4)
    return np.random.default_rng(0).integers(0, 4, 400, np.uint16)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13])
def test_copied_ngrams_are_found(tokens, n):
    """Each place of each of them, also those across two looks."""
    known = [tuple(tokens[i : i + n].tolist()) for i in range(len(tokens) - n + 1)]
    draws = random.Random(n)
    stories = [np.array(draws.choices(range(5), k=length), int) for length in (30, n, n - 1, 0)] + [tokens[44 : 60 + n]]
    wanted = {tuple(story[i : i + n].tolist()) for story in stories for i in range(len(story) - n + 1)}
    places, grams = copies.find_copies(stories, tokens, n)
    assert places.tolist() == [place for place, gram in enumerate(known) if gram in wanted]
    assert grams.tolist() == copies.hashes(tokens, n)[places].tolist()


def test_nothing_is_copied_by_stories_that_are_too_short(tokens):
    for stories in ([np.array([1, 2]), np.array([], int)], []):
        assert [found.tolist() for found in copies.find_copies(stories, tokens, 13)] == [[], []]


def longest(stories, tokens, n=13):
    stories = [np.array(story, int) for story in stories]
    return copies.longest_copy(stories, tokens, *copies.find_copies(stories, tokens, n), n)


def test_longest_copy(tokens):
    assert longest([[9, 9, *tokens[90:137], 9], [9, *tokens[7:20]]], tokens) == 47
    assert longest([[*tokens[380:], 9, 9]], tokens) == 20, "at the end of the corpus"
    assert longest([[9, *tokens[7:20]]], tokens) == 13
    assert longest([[9, *tokens[7:19], 9, 9]], tokens) == longest([[9, 9]], tokens) == longest([], tokens) == 0


def test_a_text_is_known_where_the_training_text_has_its_end():
    encoding = tokenizer.gpt2()
    known = "One day, a small dog saw a very big bone under an old tree and was glad."
    tokens = np.array(encoding.encode_ordinary(f"Once there was a farm. {known} The end."), np.uint16)
    texts = [known, known.replace("glad", "sad"), f"No. {known}", "too short"]
    assert copies.known_texts(texts, encoding, tokens).tolist() == [True, False, True, False]
