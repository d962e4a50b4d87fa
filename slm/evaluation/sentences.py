"""A story's sentences, in any script that marks their ends; and, in English, its characters, things and pronouns."""

import re
from collections import Counter

# What ends a sentence before a space: in Latin, Greek, Arabic, Devanagari, Ethiopic, Armenian, Burmese, Khmer scripts
END = "[.!?…\u037e؟۔।॥።։။។]+"
CLOSING = "[\"'”’»)\\]」』）〉》]"
# Chinese and Japanese have no space there; after a quote the sentence that holds it goes on
END_WITHOUT_SPACE = rf"[。！？｡]+(?:{CLOSING}+(?!\w)|(?!{CLOSING}))"
BOUNDARY = re.compile(rf"{END}{CLOSING}*\s+|{END_WITHOUT_SPACE}\s*|\s*\n\s*")
ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|[A-Z])\.$")
OPENING_QUOTES, CLOSING_QUOTES = "“「『«《", "”」』»》"

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+\b")  # a capital within a sentence
NOT_NAMES = {"Mr", "Mrs", "Ms", "Dr", "Mom", "Dad", "Mommy", "Daddy", "God", "Christmas"}
NOT_NAMES |= {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
ENGLISH = {"the", "and", "to", "a", "was", "he", "she", "it", "of", "in", "that", "said", "her", "his", "they", "you"}
DETERMINERS = "(?:a|an|the|his|her|their|my|your|its)"
NOUN_AT_AN_END = re.compile(rf"\b{DETERMINERS} ([a-z]+)(?=[.,!?])")  # an adjective rarely ends a phrase
AFTER_DETERMINER = re.compile(rf"\b{DETERMINERS} ([a-z]+)\b")


def split_sentences(text):
    """(sentences, separators): text is sentence, separator, sentence, ...; there is one separator fewer.

    A sentence ends at a mark of its script, with the quotes and brackets that close there, or at a line's end. It goes
    on within quotes, after `Mr.` and the like, and where a small letter follows.
    """
    text = text.strip()
    sentences, separators, start = [], [], 0
    for boundary in BOUNDARY.finditer(text):
        sentence = text[start : boundary.end()].rstrip()
        following = text[boundary.end() : boundary.end() + 1]
        if boundary.end() == len(text) or (
            "\n" not in boundary.group()
            and (in_quotes(sentence) or ABBREVIATION.search(sentence) or following.islower())
        ):
            continue
        sentences.append(sentence)
        separators.append(text[start + len(sentence) : boundary.end()])
        start = boundary.end()
    return [*sentences, text[start:]], separators


def in_quotes(text):
    """Whether a quote that begins in `text` goes on after it."""
    opened = sum(map(text.count, OPENING_QUOTES)) - sum(map(text.count, CLOSING_QUOTES))
    return opened > 0 or text.count('"') % 2 == 1


def join_sentences(sentences, separators):
    return "".join(map("".join, zip(sentences, [*separators, ""], strict=True)))


class Language:
    """What `texts` show of their language: `.is_english`, the `.names` of characters, the `.nouns` and their counts.

    Names and nouns are found by rules for English: a name has a capital within a sentence and hardly occurs without; a
    noun ends a phrase that a determiner begins ("the ball."). Elsewhere there are none.
    """

    def __init__(self, texts):
        words = Counter(word for text in texts for word in WORD.findall(text))
        small = Counter()
        for word, count in words.items():
            small[word.lower()] += count
        self.is_english = sum(word in ENGLISH for word, _ in small.most_common(20)) >= 5
        self.names, self.nouns = set(), {}
        if not self.is_english:
            return
        names = Counter(name for text in texts for name in NAME.findall(text))
        self.names = {name for name, n in names.items() if words[name.lower()] < 0.1 * n and name not in NOT_NAMES}
        ends = Counter(noun for text in texts for noun in NOUN_AT_AN_END.findall(text))
        after = Counter(noun for text in texts for noun in AFTER_DETERMINER.findall(text))
        self.nouns = {
            noun: words[noun]
            for noun, n in ends.items()
            if n >= 2 and n >= 0.15 * after[noun] and after[noun] >= 0.25 * words[noun]
        }

    def mentions(self, text):
        """{name: where it starts in `text`, each time}, the most frequent first."""
        found = {}
        for word in WORD.finditer(text):
            name = word.group().removesuffix("'s").removesuffix("’s")
            if name in self.names:
                found.setdefault(name, []).append(word.start())
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))
