"""What evaluate.py prints: a table of 80 columns, or the same as a dict for JSON."""

import textwrap

from slm.evaluation.sense import STORY_CHANCE, TEMPLATE_CHANCE
from slm.evaluation.story_figures import LABELS
from slm.evaluation.story_pairs import CHANGES
from slm.evaluation.templates import ABILITIES

STORY_ASKS = {
    "order": "two neighbouring sentences swapped",
    "shuffled": "all middle sentences shuffled",
    "who": "another character at one mention",
    "pronoun": "he for she, or she for he",
    "thing": "another thing where one returns",
    "ending": "the ending of another story",
}
ASKS = STORY_ASKS | {name: ability.asks for name, ability in ABILITIES.items()}
SHARES = {"ends", "distinct", "copied", "name_back"}


def is_ability(share, bigram):
    """Whether a Share is above chance, and above what a bigram model reaches, by more than its interval."""
    return share.low > max(share.chance, bigram.share)


def describe_sense(shares, unigrams, bigrams, cut):
    """{name: {...}} of the shares of a model and of the two baselines, for JSON."""
    return {
        name: {
            "asks": ASKS[name],
            **share._asdict(),
            "unigram": unigrams[name].share,
            "bigram": bigrams[name].share,
            "is_ability": is_ability(share, bigrams[name]),
            **({"cut": cut[name]} if name in cut else {}),
        }
        for name, share in shares.items()
    }


def left_out_lines(left_out):
    """A line for each reason why something is not asked; left_out: {name: why}."""
    reasons = {}
    for name, reason in left_out.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        yield f"left out: {', '.join(names)}: {reason}"


def sense_lines(described, left_out, block_size):
    """The table of `describe_sense`; left_out: {name: why}."""
    for title, chance, names in (
        ("from the stories", STORY_CHANCE, CHANGES),
        ("by templates", TEMPLATE_CHANCE, ABILITIES),
    ):
        there = [name for name in names if name in described]
        if there:
            title = f"sense {title}, chance {chance:.0%}"
            yield f"{title:45}{'right':>7}{'95 %':>8}{'pairs':>6}{'bigram':>7}{'single':>7}"
        for name in there:
            row = described[name]
            share = f"{row['share']:.0%}{'*' if row['is_ability'] else ' '}"
            interval = f"{100 * row['low']:.0f}-{100 * row['high']:.0f}"
            yield (
                f"{name:10}{row['asks'][:35]:35}{share:>7}{interval:>8}{row['n']:6}{row['bigram']:7.0%}"
                f"{row['unigram']:7.0%}"
            )
        for line in left_out_lines({name: left_out[name] for name in names if name in left_out}):
            yield from textwrap.wrap(line, 80)
        if there:
            yield ""
    yield "* above chance and above the bigram, by more than the interval"
    if cut := {name: row["cut"] for name, row in described.items() if row.get("cut")}:
        counts = ", ".join(f"{name} {count}" for name, count in cut.items())
        yield from textwrap.wrap(f"stories cut to the context of {block_size} tokens: {counts}", 80)


def story_lines(model, real):
    """The table of two columns of figures."""
    yield f"{'':22}{'the model':>12}{'real stories':>14}"
    for name, label in LABELS.items():
        if model[name] is not None:
            digits = 1 if name in ("distinct", "copied") else 0
            cells = (f"{column[name]:.{digits}%}" if name in SHARES else column[name] for column in (model, real))
            yield "{:22}{:>12}{:>14}".format(label, *cells)
