"""Sense from the stories themselves: a real story beside a copy with one change that makes it worse.

    order      two neighbouring sentences of the middle exchange their places
    shuffled   all sentences between the first and the last one are in another order
    who        one later mention of a character names another character of the story      (English)
    pronoun    one later he becomes she, or she he, where the story has only one of them   (English)
    thing      a thing that comes up again is another story's thing                        (English)
    ending     the last two sentences are another story's, as long, with this story's names

A model has the sense where it gives the real story the higher likelihood. A pair depends on the seed, the story and the
context alone, never on the model.
"""

import functools
import re
from collections import Counter
from typing import NamedTuple

import numpy as np

from slm.evaluation.sentences import Language, join_sentences, split_sentences

MIDDLE = 4  # sentences of the shortest story whose middle can change
MOST_STORIES = 4000  # looked at for pairs
PRONOUN = re.compile(r"\b(?:[Hh]e|[Ss]he)\b")
KNOWN_THING = re.compile(r"\b(?:the|his|her|their) ([a-z]+)(?=[.,!?])")
NOT_THINGS = {"time", "day", "end", "way", "lot", "rest", "other", "others", "same", "best", "middle", "top", "side"}
DONORS = 20  # endings of the nearest length among which one is drawn


class Pair(NamedTuple):
    """real, changed: texts. whole: whether the story fits the context, so that its end-of-text counts."""

    real: str
    changed: str
    whole: bool


class Story:
    """A story within the context: its `.text` and sentences; `.whole` where none was left out.

    from_end: the sentences that do not fit are left out at the start, not at the end.
    """

    def __init__(self, text, fits, from_end=False):
        sentences, separators = split_sentences(text)
        first, last = 0, len(sentences)

        def text_of():
            return join_sentences(sentences[first:last], separators[first : last - 1])

        while last - first > 1 and not fits(text_of()):
            first, last = (first + 1, last) if from_end else (first, last - 1)
        self.whole = last - first == len(sentences)
        self.sentences, self.separators, self.text = sentences[first:last], separators[first : last - 1], text_of()


def replace(text, start, old, new):
    assert text.startswith(old, start)
    return text[:start] + new + text[start + len(old) :]


# -- a change each: (story, random, stories) -> the changed text, or None where the story offers none ------------------


def swap_order(story, random, stories):
    """Both sentences follow the same kind of space, so the tokens stay the same, in another order."""
    sentences, spaces = story.sentences, ["", *story.separators]
    places = [
        i
        for i in range(1, len(sentences) - 2)
        if spaces[i] == spaces[i + 1] and sentences[i] != sentences[i + 1] and len(sentences) >= MIDDLE
    ]
    if not places:
        return None
    i = random.choice(places)
    swapped = [*sentences[:i], sentences[i + 1], sentences[i], *sentences[i + 2 :]]
    return join_sentences(swapped, story.separators)


def shuffle_middle(story, random, stories):
    """Each sentence keeps the space in front of it, so the tokens stay the same, in another order."""
    middle = list(map("".join, zip(story.separators, story.sentences[1:], strict=True)))[:-1]
    if len(middle) < MIDDLE - 1 or len(set(middle)) < len(middle):
        return None
    order = random.permutation(len(middle))
    if (order == np.arange(len(middle))).all():
        order = order[::-1]
    return "".join([story.sentences[0], *(middle[i] for i in order), story.separators[-1], story.sentences[-1]])


def change_who(story, random, stories):
    """Which of two characters loses a mention is a draw, so that the more frequent name is no hint."""
    mentions = list(stories.language.mentions(story.text).items())
    if len(mentions) < 2:
        return None
    (one, places), (other, others) = (mentions[i] for i in random.permutation(2))
    places = [place for place in places[1:] if place > others[0]]  # both are known by then
    return replace(story.text, random.choice(places), one, other) if places else None


def change_pronoun(story, random, stories):
    found = [(match.start(), match.group()) for match in PRONOUN.finditer(story.text)]
    if len(found) < 2 or len({word.lower() for _, word in found}) > 1:
        return None
    start, word = found[random.integers(1, len(found))]
    return replace(story.text, start, word, {"he": "she", "He": "She", "she": "he", "She": "He"}[word])


def change_thing(story, random, stories):
    """The other thing is of the same number and about as frequent in all stories, and this story does not have it."""
    places = []
    for start, noun in stories.things_of(story.text):
        if re.search(rf"\b{noun}\b", story.text[:start]):
            places.append((start, noun))
    if not places:
        return None
    start, noun = places[random.integers(len(places))]
    counts = stories.language.nouns
    others = [
        other
        for other in stories.things
        if other not in story.text.lower() and noun not in other and other.endswith("s") == noun.endswith("s")
    ]
    others.sort(key=lambda other: (abs(np.log(counts[other] / counts[noun])), other))
    return replace(story.text, start, noun, others[random.integers(min(5, len(others)))]) if others else None


def change_ending(story, random, stories):
    """The donors are the endings nearest in length whose characters this story has names for."""
    if len(story.sentences) < MIDDLE:
        return None
    beginning = join_sentences([*story.sentences[:-2], ""], story.separators[:-1])
    own = story.text[len(beginning) :]
    names = list(stories.language.mentions(beginning))
    first = int(np.searchsorted(stories.ending_lengths, len(own)))
    near = stories.endings[max(0, first - 2 * DONORS) : first + 2 * DONORS]
    near = [ending for ending in near if ending.text != own and len(ending.names) <= len(names)]
    near.sort(key=lambda ending: abs(len(ending.text) - len(own)))
    if not near:
        return None
    donor = near[random.integers(min(DONORS, len(near)))]
    changed = (
        re.sub(r"\b[A-Z]\w*", lambda word: renamed.get(word.group(), word.group()), donor.text)
        if (renamed := dict(zip(donor.names, names, strict=False)))
        else donor.text
    )
    return beginning + changed if changed != own else None


CHANGES = {
    "order": swap_order,
    "shuffled": shuffle_middle,
    "who": change_who,
    "pronoun": change_pronoun,
    "thing": change_thing,
    "ending": change_ending,
}
ENGLISH_ONLY = {"who", "pronoun", "thing"}
NEEDS = {
    "order": f"{MIDDLE} sentences",
    "shuffled": f"{MIDDLE + 1} sentences that differ",
    "who": "two characters, one of them named again",
    "pronoun": "he or she, twice",
    "thing": "a thing that comes up again",
    "ending": f"{MIDDLE} sentences and another story's ending of its length",
}


class Ending(NamedTuple):
    text: str
    names: list  # of its characters


class Stories:
    """What the changes draw from: the language of `texts`, their things, and their endings in the order of length."""

    def __init__(self, texts):
        self.language = Language(texts)
        stories_of = Counter(noun for text in texts for noun in {noun for _, noun in self.things_of(text)})
        self.things = sorted(noun for noun, count in stories_of.items() if count >= 2)
        self.endings = []
        for text in texts:
            sentences, separators = split_sentences(text)
            if len(sentences) >= MIDDLE:
                ending = join_sentences(sentences[-2:], separators[-1:])
                self.endings.append(Ending(ending, list(self.language.mentions(ending))))
        self.endings.sort(key=lambda ending: (len(ending.text), ending.text))
        self.ending_lengths = [len(ending.text) for ending in self.endings]

    def things_of(self, text):
        """[(where it starts, noun)] of the known things at the end of a phrase in `text`."""
        found = [(match.start(1), match.group(1)) for match in KNOWN_THING.finditer(text)]
        return [(start, noun) for start, noun in found if noun in self.language.nouns and noun not in NOT_THINGS]


def make_pairs(texts, fits, seed, wanted):
    """({kind: [Pair, ...]}, {kind: why it has none}, whether it is English): at most `wanted` pairs of each kind.

    fits: whether a text fits the context. Where a changed text does not, the story gives no pair.
    """
    order = np.random.default_rng(seed).permutation(len(texts))[:MOST_STORIES]
    stories = Stories([texts[i] for i in order])
    in_context = functools.cache(lambda i, from_end: Story(texts[i], fits, from_end))
    pairs, reasons = {}, {}
    for number, (kind, change) in enumerate(CHANGES.items()):
        if kind in ENGLISH_ONLY and not stories.language.is_english:
            reasons[kind] = "the stories are not in English"
            continue
        found = []
        for i in order:
            if len(found) == wanted:
                break
            story = in_context(i, kind == "ending")
            changed = change(story, np.random.default_rng((seed, number, i)), stories)
            if changed is not None and changed != story.text and fits(changed):
                found.append(Pair(story.text, changed, story.whole))
        if found:
            pairs[kind] = found
        else:
            reasons[kind] = f"no story has {NEEDS[kind]} within the context"
    return pairs, reasons, stories.language.is_english
