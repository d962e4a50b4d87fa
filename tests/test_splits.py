"""slm/text/splits.py: stories counted, a validation split, stories that are in both, rows that cannot be read."""

import unicodedata

import numpy as np
import pytest

from slm.errors import UserError
from slm.text import splits
from slm.text.rows import BadRow
from slm.text.splits import Leaks, Split


def split_of(texts, fraction):
    """(train, validation, repeated) of the stories in `texts`, in order."""
    found, repeated = splits.split_off_validation(Split(lambda: iter(texts)), fraction)
    train, validation = list(found["train"]), list(found["validation"])
    assert (found["train"].rows, found["validation"].rows) == (len(train), len(validation))
    assert sorted(train + validation) == sorted(text for text in texts if text and text.strip())
    return train, validation, repeated


def test_each_pass_leaves_out_what_is_no_story_and_counts_it():
    texts = ["One.", "", None, " \n\u3000", "Two <|endoftext|> two.", "\t", "Three."]
    split = Split(lambda: iter(texts), len(texts))
    for _ in range(2):
        assert list(split) == ["One.", "Two <|endoftext|> two.", "Three."]
        assert (split.empty, split.marked) == (4, 1)


# -- the validation split ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "fraction"), [(2, 0.02), (3, 0.5), (20, 0.3), (999, 0.02), (5000, 0.001), (4, 0.7)])
def test_different_stories_are_split_at_random_and_the_same_each_time(count, fraction):
    """The numbers are those of a plain permutation, on which the recorded losses of the sample depend."""
    texts = [f"Story {i}." for i in range(count)]
    train, validation, repeated = split_of(texts, fraction)
    chosen = np.random.default_rng(1234).permutation(count)[: max(1, round(count * fraction))]
    assert validation == [texts[i] for i in sorted(chosen)] and repeated == 0
    assert len(train) == count - len(chosen)


@pytest.mark.parametrize(("count", "chosen"), [(9, 1), (64, 6), (199, 19), (640, 20), (5000, 100)])
def test_a_short_text_has_a_tenth_to_validate_on(count, chosen):
    """Up to 20 stories; a longer one the fraction, 0.02."""
    split = Split(lambda: iter(f"Story {i}." for i in range(count)), count)
    found, _ = splits.split_off_validation(split, 0.02, least=20)
    assert found["validation"].rows == chosen and found["train"].rows == count - chosen


REPEATED = {
    "one story very often": ["Again."] * 1000 + [f"Story {i}." for i in range(30)],
    "each story twice": [f"Story {i % 300}." for i in range(600)],
    "each story ten times in a row": [f"Story {i // 10}." for i in range(2000)],
    "some more often": [f"Story {int(400 * (i / 3000) ** 3)}." for i in range(3000)],
    "two stories": ["One.", "Two.", "Two.", "One.", "Two."],
    "with empty rows": ["One.", None, "Two.", "", "One.", "Three."],
    "few and many": ["One."] * 7 + ["Two."],
}


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("case", REPEATED)
def test_equal_stories_are_on_one_side(case, fraction):
    texts = [text for text in REPEATED[case] if text]
    train, validation, repeated = split_of(REPEATED[case], fraction)
    assert train and validation and not set(train) & set(validation)
    assert repeated == len(texts) - len(set(texts))
    # no more stories than the fraction asks for, unless even the rarest story is too many
    rarest = min(map(texts.count, set(texts)))
    assert len(validation) <= max(round(fraction * len(texts)), 1, rarest)
    assert len(set(validation)) <= max(1, round(fraction * len(set(texts))))


def test_a_repeated_source_has_about_the_fraction_that_is_asked_for():
    for case in ("each story twice", "each story ten times in a row", "some more often"):
        _, validation, _ = split_of(REPEATED[case], 0.1)
        assert 0.05 < len(validation) / len(REPEATED[case]) <= 0.1


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([], "0 stories: two"),
        (["One."], "1 story: two"),
        (["One.", "", None], r"1 story \(empty rows: 2\): two"),
        (["One."] * 1234, "1,234 stories, all equal: two"),
    ],
)
def test_too_few_stories_to_split(texts, words):
    with pytest.raises(UserError, match=words):
        split_of(texts, 0.02)


@pytest.mark.parametrize(
    ("end", "mark"), [("a paragraph.\n\n", "\n\n"), ("a line,\n", "\n"), ("a word ", " "), ("字", "")]
)
@pytest.mark.parametrize(("fraction", "least", "share"), [(0.02, 20, 0.1), (0.02, 0, 0.02), (0.5, 0, 0.5)])
def test_one_story_is_a_continuous_text(end, mark, fraction, least, share):
    """Its end validates, from a paragraph, a line or a word on; nothing of it is lost, and it is the same each time."""
    text = (end * 4000).strip()
    found, repeated = splits.split_off_validation(Split(lambda: iter([text, ""])), fraction, least)
    for _ in range(2):
        (train,), (validation,) = found["train"], found["validation"]
        assert train + validation == text and train.endswith(mark) and repeated == 0
        assert len(validation) == pytest.approx(share * len(text), rel=0.05)
    assert found["train"].rows == found["validation"].rows == 1


def test_a_text_at_the_bounds():
    for fraction in (1e-9, 1 - 1e-9):
        found, _ = splits.split_off_validation(Split(lambda: iter(["x" * 200])), fraction)
        assert sorted(len(text) for split in found.values() for text in split) == [1, 199]
    with pytest.raises(UserError, match=r"1 story: two .* or one of 200 letters"):
        splits.split_off_validation(Split(lambda: iter(["x" * 199])), 0.02)


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.999])
def test_whitespace_around_a_text_is_no_side_of_it(fraction):
    text = "\n" * 900 + "A long tale. " * 30 + " \n" * 900
    found, _ = splits.split_off_validation(Split(lambda: iter([text])), fraction)
    (train,), (validation,) = found["train"], found["validation"]
    assert train + validation == text and train.strip() and validation.strip()
    with pytest.raises(UserError, match="1 story"):
        splits.split_off_validation(Split(lambda: iter(["Short." + " " * 900])), fraction)


def test_an_accent_may_be_a_letter_by_itself():
    """A copy from a Mac may have e and an accent where another has é; both are one story for the split."""
    texts = [f"Café number {i}." for i in range(50)]
    decomposed = [unicodedata.normalize("NFD", text) for text in texts]
    train, validation, repeated = split_of(texts + decomposed, 0.2)
    assert repeated == 50
    assert not set(map(splits.same, train)) & set(map(splits.same, validation))


# -- rows that cannot be read -----------------------------------------------------------------------------------------


def rows(count, bad):
    """`count` rows of which the first `bad` cannot be read."""
    return [BadRow(f"f, line {i}", "it is not JSON") if i < bad else f"Story {i}." for i in range(count)]


def test_few_bad_rows_are_counted_and_many_end_it():
    split = Split(lambda: iter(rows(300, 3)))
    for _ in range(2):
        assert list(split) == rows(300, 3)[3:]
        assert (split.bad, split.first_bad) == (3, BadRow("f, line 0", "it is not JSON"))
    split = Split(lambda: iter(rows(300, 4)))
    with pytest.raises(UserError, match=r"4 of 300 rows .* is f, line 0 \(it is not JSON\): .*--allow_bad_rows"):
        list(split)
    split.allow_bad_rows = True
    assert len(list(split)) == 296 and split.bad == 4
    assert list(Split(lambda: iter(rows(0, 0)))) == []


# -- stories of both splits -------------------------------------------------------------------------------------------


def test_stories_of_validation_that_are_in_train():
    same_end = " and this is how the long story of the fox and the rabbit comes to its end."
    train = [f"Story {i}." for i in range(100)] + ["Café" + same_end, "Twice.", "Twice."]
    validation = ["Story 7.", "Other" + same_end, "Cafe\u0301" + same_end, "Story 7.", "Twice.", "New."]
    leaks = Leaks(Split(lambda: iter(validation)))
    assert list(leaks.watch(train)) == train
    assert leaks.count() == 4 and leaks.first == "Story 7."
    assert list(leaks.without()) == ["Other" + same_end, "New."]
    clean = Leaks(Split(lambda: iter(["New."])))
    list(clean.watch(train))
    assert clean.count() == 0 and list(clean.without()) == ["New."]
