"""Figures of a model's stories, beside those of the real ones it learned from.

The model continues the openings of real stories, up to the first name in them (a word with a capital inside a
sentence), to the end; where no story opens with a name, the first sentence. The real stories are the other column:

    ends         share of stories that reach end-of-text within the given number of tokens
    tokens       their median length, in the corpus's tokens
    distinct     share of different ones among all 4-grams of words: low where stories repeat themselves
    copied       share of 13-grams of tokens that the train split contains, without the given opening
    longest_copy tokens of the longest run that the train split contains, 0 where it is below 13
    name_back    share of stories that mention the name in the opening again; None without names

A model that copied its corpus would have 100 % of copied 13-grams.
"""

import re
import statistics

import numpy as np
import torch
from tqdm import tqdm

from slm.evaluation.copies import COPY, find_copies, hashes, longest_copy
from slm.evaluation.sentences import split_sentences
from slm.models.generation import generate, prompt_tokens
from slm.text import tokenizer

BATCH = 64  # stories generated at once
NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+\b")
LABELS = {
    "ends": "end by themselves",
    "tokens": "tokens",
    "distinct": "distinct 4-grams",
    "copied": "copied 13-grams",
    "longest_copy": "longest copy",
    "name_back": "the name comes back",
}


def opening(text):
    """(the story up to its first name and with it, the name), or None where no name is in its first 200 letters."""
    name = NAME.search(text)
    return (text[: name.end()], name.group()) if name and name.start() < 200 else None


def first_sentence(text):
    """(the first sentence, None), or None where there is no other."""
    sentences, _ = split_sentences(text)
    return (sentences[0], None) if len(sentences) > 1 and text.startswith(sentences[0]) else None


def draw_openings(texts, count, seed):
    """[(text, (opening, name or None))] of at most `count` texts, drawn by the seed."""
    order = np.random.default_rng(seed).permutation(len(texts))
    for begin in (opening, first_sentence):
        chosen = [(texts[i], found) for i in order if (found := begin(texts[i]))][:count]
        if chosen:
            return chosen
    return []


def continue_stories(model, encoding, openings, max_new_tokens, seed, sampling):
    """[(text, whether it ended)] of what the model writes after each opening. sampling: of `sampling_arguments`."""
    generator = torch.Generator().manual_seed(seed)
    endings = []
    with tqdm(total=len(openings), desc="stories", disable=None, leave=False) as bar:
        for first in range(0, len(openings), BATCH):
            batch = openings[first : first + BATCH]
            prompts = [prompt_tokens(encoding, text) for text in batch]
            stories = generate(
                model, prompts, max_new_tokens, stop_token=encoding.eot_token, generator=generator, **sampling
            )
            endings += [(encoding.decode(story), len(story) < max_new_tokens) for story in stories]
            bar.update(len(batch))
    return endings


def figures(names, endings, stories, tokens, places, grams):
    """The figures of one column.

    names: in the openings. endings: (the text after it, whether it ended). stories: the endings' ids, an array each.
    tokens: the train split; places, grams: of find_copies.
    """
    texts = [ending for ending, _ in endings]
    fours = [tuple(words[i : i + 4]) for words in (text.split() for text in texts) for i in range(len(words) - 3)]
    copied = np.isin(np.concatenate([hashes(story, COPY) for story in stories]), grams)
    back = [bool(re.search(rf"\b{name}\b", text)) for name, text in zip(names, texts, strict=True) if name]
    return {
        "ends": statistics.mean(ended for _, ended in endings),
        "tokens": int(statistics.median(map(len, stories))),
        "distinct": len(set(fours)) / max(1, len(fours)),
        "copied": float(copied.mean()) if len(copied) else 0.0,
        "longest_copy": longest_copy(stories, tokens, places, grams, COPY),
        "name_back": statistics.mean(back) if back else None,
    }


def compare_stories(chosen, endings, encoding, tokens):
    """(figures of the model's stories, of the real ones).

    chosen: of draw_openings; endings: of continue_stories. encoding, tokens: the corpus's, and its train split.
    """
    names = [name for _, (_, name) in chosen]
    real_endings = [(text[len(start) :], True) for text, (start, _) in chosen]
    columns = [
        [tokenizer.encode_ordinary(encoding, text).astype(np.int64) for text, _ in column]
        for column in (endings, real_endings)
    ]
    found = find_copies([*columns[0], *columns[1]], tokens, COPY)
    return tuple(
        figures(names, column, stories, tokens, *found)
        for column, stories in zip((endings, real_endings), columns, strict=True)
    )
