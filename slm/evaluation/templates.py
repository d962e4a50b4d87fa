"""Sense by templates: two short stories that mirror each other, and two answers, each right in one of them alone.

What is likelier in itself cannot help: only a model that finds both answers has read the stories. The templates are in
abilities.txt, which says how to add one. They ask for what Eldan and Li (2023, arXiv 2305.07759, section 4) ask small
models: facts, reasoning, context.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

BOYS, GIRLS = ["Tom", "Tim", "Ben", "Max", "Sam", "Jack"], ["Lily", "Mia", "Sue", "Lucy", "Anna", "Sara"]
PRONOUNS = {
    "he": ("he", "she"),
    "He": ("He", "She"),
    "his": ("his", "her"),
    "His": ("His", "Her"),
    "him": ("him", "her"),
}
TRIES = 200  # draws for each item that is wanted


class Item(NamedTuple):
    """Two stories and their answers: answers[0] is right after stories[0], answers[1] after stories[1]."""

    stories: tuple
    answers: tuple

    def texts(self):
        """Both stories with the right answer, then both with the wrong one."""
        (one, other), (first, second) = self.stories, self.answers
        return one + first, other + second, one + second, other + first


class Group(NamedTuple):
    """Words and the templates that take them. pairs: whether `words` are (x, y), of which one is drawn."""

    pairs: bool
    words: list
    templates: list  # (story, answer)


class Ability(NamedTuple):
    asks: str
    groups: list


def read_abilities(text):
    """{name: Ability} of the text of abilities.txt."""
    abilities, group = {}, None
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("== "):
            name, _, asks = line.removeprefix("== ").partition(": ")
            abilities[name] = Ability(asks, [])
        elif line.startswith(("any: ", "pairs: ")):
            kind, _, words = line.partition(": ")
            pairs = [pair.split(" - ") for pair in words.split("; ")]
            group = Group(kind == "pairs", pairs if kind == "pairs" else words.split(", "), [])
            abilities[name].groups.append(group)
        else:
            story, answer = re.split(r"\s*\|\s*", line)
            # after an opening quote the answer follows at once
            group.templates.append((story, answer if story.endswith('"') and '"' not in answer[:-1] else f" {answer}"))
    return abilities


ABILITIES = read_abilities(Path(__file__).with_name("abilities.txt").read_text(encoding="utf-8"))


def draw(ability, random):
    """A random Item of an ability."""
    groups = ability.groups
    group = groups[random.integers(len(groups))]
    story, answer = group.templates[random.integers(len(group.templates))]
    if group.pairs:
        words = group.words[random.integers(len(group.words))]
    else:
        words = [group.words[i] for i in random.choice(len(group.words), 2, replace=False)]
    words = [words[i] for i in random.permutation(2)]
    used = set(re.findall(r"\w+", " ".join(words)))  # a child has another name than a word
    boys, girls = ([name for name in names if name not in used] for names in (BOYS, GIRLS))
    is_girl = random.integers(2)
    child, other = random.choice(girls if is_girl else boys), random.choice(boys if is_girl else girls)
    fixed = {"A": child, "B": other} | {name: forms[is_girl] for name, forms in PRONOUNS.items()}

    def fill(template, x, y):
        values = dict(fixed)
        for name, word in (("x", x), ("y", y)):
            fields = word.format(**fixed).split("/")
            values |= {name: fields[0], f"{name}1": fields[0], f"{name}2": fields[-1]}
        return template.format(**values)

    stories, answers = (tuple(fill(text, *order) for order in (words, words[::-1])) for text in (story, answer))
    return Item(stories, answers)


def make_items(seed, wanted=50):
    """{ability: [Item, ...]}: `wanted` different items of each; the seed alone decides which."""
    items = {}
    for number, (name, ability) in enumerate(ABILITIES.items()):
        random = np.random.default_rng((seed, number))
        found = {}
        for _ in range(TRIES * wanted):
            item = draw(ability, random)
            found.setdefault(frozenset(item.texts()), item)  # an item and its mirror image are one
            if len(found) == wanted:
                break
        items[name] = list(found.values())
    return items
