"""slm/text/sources.py: stories from local files and the hub, counted, and split where the source is not."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slm.errors import UserError
from slm.text import sources


def split_of(texts, fraction):
    """(train, validation, repeated) of the stories in `texts`, in order."""
    splits, repeated = sources.split_off_validation(sources.Split(lambda: iter(texts)), fraction)
    train, validation = list(splits["train"]), list(splits["validation"])
    assert (splits["train"].rows, splits["validation"].rows) == (len(train), len(validation))
    assert sorted(train + validation) == sorted(text for text in texts if text and text.strip())
    return train, validation, repeated


def test_each_pass_leaves_out_what_is_no_story_and_counts_it():
    texts = ["One.", "", None, " \n\u3000", "Two <|endoftext|> two.", "\t", "Three."]
    split = sources.Split(lambda: iter(texts), len(texts))
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
    split = sources.Split(lambda: iter(f"Story {i}." for i in range(count)), count)
    splits, _ = sources.split_off_validation(split, 0.02, least=20)
    assert splits["validation"].rows == chosen and splits["train"].rows == count - chosen


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


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_a_fraction_that_is_none(fraction):
    with pytest.raises(UserError, match="--validation_fraction"):
        split_of(["One.", "Two."], fraction)


# -- local files ------------------------------------------------------------------------------------------------------


def test_a_folder_of_parquet_files(tmp_path):
    for name, texts in {"train-0": ["One.", None], "train-1": ["Two."], "validation": ["Three."]}.items():
        pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), tmp_path / f"{name}.parquet")
    source = sources.open_source(str(tmp_path), "text")
    assert {name: list(split) for name, split in source.splits.items()} == {
        "train": ["One.", "Two."],
        "validation": ["Three."],
    }
    assert [split.rows for split in source.splits.values()] == [3, 1]
    assert source.splits["train"].empty == 1
    assert source.notes == ["train: train-0.parquet, train-1.parquet; validation: validation.parquet"]


def test_a_marker_in_one_split_parts_the_stories_of_the_other(tmp_path):
    (tmp_path / "train.txt").write_text("One.\n\nStill one.")
    (tmp_path / "valid.txt").write_text("Two.<|endoftext|>Three.")
    source = sources.open_source(str(tmp_path), "text")
    assert list(source.splits["train"]) == ["One.\n\nStill one."]
    assert list(source.splits["validation"]) == ["Two.", "Three."]
    assert source.splits["train"].rows is None and len(source.notes) == 2


def test_the_home_folder_has_a_short_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "stories.txt").write_text("One.\n\nTwo.")
    assert list(sources.open_source("~/stories.txt", "text").splits["train"]) == ["One.", "Two."]
    assert sources.source_stamp("~/stories.txt")[0] == 10


def test_each_file_is_a_story(tmp_path):
    for i in range(20):
        (tmp_path / f"{i:02}.txt").write_text(f"Story {i}.\r\n\r\nIts end.\n")
    (tmp_path / "empty.txt").write_text(" \n")
    source = sources.open_source(str(tmp_path), "text")
    assert len(list(source.splits["train"])) == 40
    assert "of 21 small files; if each file is one story, give --file_is_story" in source.notes[1]
    source = sources.open_source(str(tmp_path), "text", file_is_story=True)
    train = source.splits["train"]
    assert list(train) == [f"Story {i}.\n\nIts end." for i in range(20)] and (train.rows, train.empty) == (21, 1)
    assert source.notes[1] == "each file is a story"
    (tmp_path / "00.txt").write_text("x" * 2**16)
    assert "--file_is_story" not in sources.open_source(str(tmp_path), "text").notes[1]
    (tmp_path / "00.txt").write_text("One.<|endoftext|>")
    assert "--file_is_story" not in sources.open_source(str(tmp_path), "text").notes[1]


@pytest.mark.parametrize(
    "name", ["nothing.txt", "nothing.csv.GZ", "./nothing", "~/nothing", "nothing.PARQUET", "../nothing.jsonl"]
)
def test_a_path_to_nothing_is_not_looked_for_on_the_hub(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="does not exist: --dataset takes"):
        sources.open_source(name, "text")


def test_the_stamp_tells_a_change(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("One.")
    (tmp_path / "README.md").write_text("Stories.")
    os.utime(tmp_path / "in/a.txt", ns=(0, 5_000_000_000))
    os.utime(tmp_path / "README.md", ns=(0, 3_000_000_000))
    stamp = sources.source_stamp(str(tmp_path))
    assert stamp == [12, 5_000_000_000]
    (tmp_path / ".DS_Store").write_text("hidden")
    assert sources.source_stamp(str(tmp_path)) == stamp
    assert sources.source_stamp(str(tmp_path), hidden=True)[0] == 18
    (tmp_path / "in/b.txt").write_text("Two.")
    assert sources.source_stamp(str(tmp_path))[0] == 16
    assert sources.source_stamp("sample") is sources.source_stamp("roneneldan/TinyStories") is None


# -- the hub ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch):
    """Puts a data set of {split: texts} on the hub."""
    import datasets

    def put(splits, column="text"):
        tables = {name: datasets.Dataset.from_dict({column: texts, "id": texts}) for name, texts in splits.items()}
        monkeypatch.setattr(datasets, "load_dataset", lambda name, config, streaming: datasets.DatasetDict(tables))

    return put


def test_a_data_set_on_the_hub(hub):
    hub({"train": ["One.", None, "Three."] * 700, "validation": ["Four."], "test": ["Five."], "extra": ["Six."]})
    source = sources.open_source("someone/stories", "text")
    assert list(source.splits["train"]) == ["One.", "Three."] * 700
    assert (source.splits["train"].rows, source.splits["train"].empty) == (2100, 700)
    assert list(source.splits["validation"]) == ["Four."]
    assert source.notes == ["splits on the hub: train, validation; left aside: test, extra"]


def test_splits_by_other_names(hub):
    hub({"Training": ["One."], "dev": ["Two."], "test": ["Three."]})
    source = sources.open_source("someone/stories", "text")
    assert {name: list(split) for name, split in source.splits.items()} == {"train": ["One."], "validation": ["Two."]}
    assert source.notes == ["splits on the hub: Training as train, dev as validation; left aside: test"]
    hub({"train": ["One."], "val": ["Two."], "validation": ["Three."]})
    source = sources.open_source("someone/stories", "text")
    assert list(source.splits["validation"]) == ["Three."] and source.notes[0].endswith("left aside: val")
    hub({"english": ["One."]})
    source = sources.open_source("someone/stories", "text")
    assert list(source.splits) == ["train"] and "english as train" in source.notes[0]
    hub({"valid": ["One."]})
    with pytest.raises(UserError, match="no split named train; it has valid"):
        sources.open_source("someone/stories", "text")


def test_the_first_stories(hub, tmp_path):
    """The first N stories of each split: empty rows among them are counted, and what follows is not read."""
    hub({"train": ["One.", None, "Two.", " ", "Three."], "validation": ["Four."]})
    source = sources.open_source("someone/stories", "text", max_stories=2)
    train, validation = source.splits.values()
    for _ in range(2):
        assert list(train) == ["One.", "Two."] and (train.empty, train.rows) == (1, 2)
    assert list(validation) == ["Four."] and validation.rows == 1
    assert "the first 2 stories of each split" in source.notes[-1]
    (tmp_path / "a.jsonl").write_text('{"text": "One."}\n{"text": "Two."}\nnot read\n')
    train = sources.open_source(str(tmp_path), "text", max_stories=2).splits["train"]
    assert list(train) == ["One.", "Two."] and train.rows is None


def test_a_stream_that_breaks_off():
    def broken():
        yield pa.table({"text": ["One."]})
        raise OSError("the line is dead")

    batches = broken()
    assert sources.next_batch(batches, "someone/stories").num_rows == 1
    with pytest.raises(UserError, match=r"cannot read someone/stories \(the line is dead\): check the network"):
        sources.next_batch(batches, "someone/stories")
    assert sources.next_batch(iter(()), "someone/stories") is None


def test_options_that_are_for_another_source(hub, tmp_path):
    hub({"train": ["One."]})
    (tmp_path / "a.jsonl").write_text('{"text": "One."}')
    for dataset in ("sample", str(tmp_path)):
        with pytest.raises(UserError, match="--config is for a data set on the hub"):
            sources.open_source(dataset, "text", config="en")
        with pytest.raises(UserError, match="--streaming is for a data set on the hub"):
            sources.open_source(dataset, "text", streaming=True)
    for dataset in ("sample", "someone/stories"):
        with pytest.raises(UserError, match=r"--file_is_story is for local \.txt files"):
            sources.open_source(dataset, "text", file_is_story=True)
    with pytest.raises(UserError, match=r"--file_is_story is for \.txt files, and .*a\.jsonl has a story a row"):
        sources.open_source(str(tmp_path), "text", file_is_story=True)


def test_mistakes_on_the_hub(hub, monkeypatch):
    hub({"train": ["One."]})
    with pytest.raises(UserError, match=r"someone/stories \(train\) has no column 'story': .* text, id"):
        sources.open_source("someone/stories", "story")
    hub({"validation": ["One."], "test": ["Two."]})
    with pytest.raises(UserError, match="no split named train; it has validation, test"):
        sources.open_source("someone/stories", "text")
    hub({"train": [1, 2]})
    with pytest.raises(UserError, match=r"'text' of someone/stories \(train\) holds int64, not text"):
        list(sources.open_source("someone/stories", "text").splits["train"])

    import datasets

    def refuse(*_name, **_options):
        raise ConnectionError("Couldn't reach the Hub\nand more")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(UserError, match=r"someone/stories .*\(Couldn't reach the Hub\).*--dataset sample.*local"):
        sources.open_source("someone/stories", "text")
