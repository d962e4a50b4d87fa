"""Does a model find sense likelier than nonsense? Shares of pairs in which it does, a name each.

    questions = make_questions(encoding, texts, block_size)     once; texts: the stories to make pairs from
    measure(ModelScorer(model, encoding.eot_token), questions)  {name: Share}, as often as wanted

`sense` does both. docs/sense.md says what each name means.
"""

import math
from typing import NamedTuple

import numpy as np

from slm.evaluation.likelihood import ModelScorer
from slm.evaluation.story_pairs import CHANGES, make_pairs
from slm.evaluation.templates import ABILITIES, make_items
from slm.text import tokenizer

PAIRS, ITEMS, SEED = 200, 50, 1337
TIE = 1e-6  # nats; a smaller difference is rounding, and counts as half
STORY_CHANCE, TEMPLATE_CHANCE = 0.5, 0.25


class Share(NamedTuple):
    """share of n pairs that a model gets right, and Wilson's 95 % interval of it; chance: what a coin gets."""

    share: float
    n: int
    low: float
    high: float
    chance: float


class Questions(NamedTuple):
    """texts: the token ids of each different text. stories: {name: (n, 2)} places in `texts` of the real and the
    changed one. templates: {name: (n, 4)}, two right and two wrong ones, as `Item.texts` has them.
    reasons: {name: why there is none}. cut: {name: stories that were cut to the context}.
    """

    texts: list
    stories: dict
    templates: dict
    reasons: dict
    cut: dict


def wilson(share, n, z=1.96):
    """Wilson's score interval of a share of n (1927): (low, high), inside 0 to 1 also where the share is 0 or 1."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def make_questions(encoding, texts, block_size, seed=SEED, pairs=PAIRS, items=ITEMS, known=None):
    """The Questions for a context of `block_size` tokens from the texts of stories and from the templates.

    The seed, the texts and the context decide which. Story pairs: at most `pairs` a name, templates: `items` a name, in
    English alone. known: a function from texts to whether the training text has each; such templates are left out.
    """
    places, ids = {}, []

    def place(text, whole=False):
        key = (text, whole)
        if key not in places:
            places[key] = len(ids)
            ids.append(encode(text) + [encoding.eot_token] * whole)
        return places[key]

    def encode(text):
        return tokenizer.encode_ordinary(encoding, text).tolist()

    found, reasons, is_english = make_pairs(texts, lambda text: len(encode(text)) < block_size, seed, pairs)
    stories = {
        name: np.array([(place(pair.real, pair.whole), place(pair.changed, pair.whole)) for pair in kind])
        for name, kind in found.items()
    }
    cut, templates = {name: sum(not pair.whole for pair in kind) for name, kind in found.items()}, {}
    if not is_english:
        return Questions(ids, stories, {}, reasons | dict.fromkeys(ABILITIES, "the stories are not in English"), cut)
    rows = [(name, item.texts()) for name, drawn in make_items(seed, items).items() for item in drawn]
    rows = [(name, row) for name, row in rows if max(len(encode(text)) for text in row) <= block_size]
    is_known = np.reshape(known([text for _, row in rows for text in row]), (-1, 4)).any(axis=1) if known else []
    for name in ABILITIES:
        kept = [row for i, (ability, row) in enumerate(rows) if ability == name and not (known and is_known[i])]
        if kept:
            templates[name] = np.array([[place(text) for text in row] for row in kept])
        else:
            reasons[name] = f"none is new and fits a context of {block_size} tokens"
    return Questions(ids, stories, templates, reasons, cut)


def measure(score, questions):
    """{name: Share} of Questions, by a scorer of likelihood.py."""
    nats = score(questions.texts)
    shares = {}
    for name, places in questions.stories.items():
        difference = nats[places[:, 0]] - nats[places[:, 1]]
        right = np.where(abs(difference) < TIE, 0.5, difference > 0)
        shares[name] = right, STORY_CHANCE
    for name, (one, other, wrong_after_one, wrong_after_other) in (
        (name, nats[places].T) for name, places in questions.templates.items()
    ):
        right = (one > wrong_after_one + TIE) & (other > wrong_after_other + TIE)
        shares[name] = right, TEMPLATE_CHANCE
    return {
        name: Share(float(right.mean()), len(right), *wilson(float(right.mean()), len(right)), chance)
        for name, (right, chance) in shares.items()
    }


def sense(model, encoding, stories, seed=SEED, pairs=PAIRS, items=ITEMS, progress=False):
    """{name: Share} of a GPT. stories: a Corpus, whose validation split is taken, or texts."""
    texts = story_texts(stories, encoding) if hasattr(stories, "stories") else list(stories)
    questions = make_questions(encoding, texts, model.config.block_size, seed, pairs, items)
    return measure(ModelScorer(model, encoding.eot_token, progress), questions)


def story_texts(corpus, encoding, split="validation"):
    """The texts of a Corpus's stories, by the encoding of the corpus."""
    return [encoding.decode(ids.tolist()) for ids in corpus.stories(split)]


SENSE_NAMES = [*CHANGES, *ABILITIES]
