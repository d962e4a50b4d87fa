"""slm/text/sources.py: stories from local files and the hub."""

import gzip
import io
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slm.errors import UserError
from slm.text import hub, sources

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
    assert source.notes == [
        "train: train-0.parquet, train-1.parquet; validation: validation.parquet",
        "format: parquet (3 files); the texts are in column 'text'",
    ]


def test_a_marker_in_one_split_separates_the_stories_of_the_other(tmp_path):
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
    assert len(sources.source_stamp("~/stories.txt")) == 64


def test_each_file_is_a_story(tmp_path):
    for i in range(20):
        (tmp_path / f"{i:02}.txt").write_text(f"Story {i}.\r\n\r\nIts end.\n")
    (tmp_path / "empty.txt").write_text(" \n")
    source = sources.open_source(str(tmp_path), "text")
    whole = [f"Story {i}.\n\nIts end." for i in range(20)]
    assert list(source.splits["train"]) == whole, "so many files of so few paragraphs"
    source = sources.open_source(str(tmp_path), "text", blank_lines=True)
    assert len(list(source.splits["train"])) == 40
    source = sources.open_source(str(tmp_path), "text", file_is_story=True)
    train = source.splits["train"]
    assert list(train) == whole and (train.rows, train.empty) == (21, 1)
    assert source.notes[1].endswith("each file is a story") and "empty.txt" not in source.notes[0]
    (tmp_path / "00.txt").write_text("One.<|endoftext|>")
    assert "--file_is_story" not in sources.open_source(str(tmp_path), "text").notes[1]


@pytest.mark.parametrize(
    "name", ["nothing.txt", "nothing.csv.GZ", "./nothing", "~/nothing", "nothing.PARQUET", "../nothing.jsonl"]
)
def test_a_path_to_nothing_is_not_looked_for_on_the_hub(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="does not exist: --dataset takes"):
        sources.open_source(name, "text")


def folder_of(path, files):
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
        os.utime(path / name, ns=(0, 5_000_000_000))
    return path


def test_the_stamp_tells_a_change(tmp_path):
    """Of a name, a size, a time, or the content alone: a copy may keep the old time."""
    source = folder_of(tmp_path / "in", {"a.txt": "One.", "b.txt": "Two.", "long.txt": "x" * 500_000})

    def stamp():
        for path in source.iterdir():
            os.utime(path, ns=(0, 5_000_000_000))
        return sources.source_stamp(str(source))

    stamps = [stamp()]
    assert stamp() == stamps[0] and len(stamps[0]) == 64
    (source / ".DS_Store").write_text("hidden")
    assert stamp() == stamps[0]
    (source / "a.txt").rename(source / "c.txt")
    stamps.append(stamp())
    (source / "c.txt").write_text("Two.")  # the two files are swapped
    (source / "b.txt").write_text("One.")
    stamps.append(stamp())
    (source / "b.txt").write_text("0ne.")
    stamps.append(stamp())
    (source / "long.txt").write_text("y" * 500_000)
    stamps.append(stamp())
    (source / "README.md").write_text("Stories.")
    stamps.append(stamp())
    os.utime(source / "b.txt", ns=(0, 6_000_000_000))
    stamps.append(sources.source_stamp(str(source)))
    assert len(set(stamps)) == len(stamps)
    assert sources.source_stamp("sample") is sources.source_stamp("roneneldan/TinyStories") is None


def test_names_of_one_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my").mkdir()
    assert {sources.plain_name(name) for name in ("my", "my/", "./my", "./my//")} == {"my"}
    page = "https://huggingface.co/datasets/roneneldan/TinyStories"
    for name in (page, f"{page}/", f"{page}/tree/main/data", f"{page}?row=1", page.replace("https://", "hf://")):
        expected = name if name.startswith("hf://hugg") else "roneneldan/TinyStories"
        assert sources.plain_name(name) == expected
    for name in ("hf://datasets/a/b", "datasets/a/b", "https://hf.co/datasets/a/b/viewer"):
        assert sources.plain_name(name) == "a/b"
    assert sources.plain_name("sample") == "sample" and sources.plain_name("a/b") == "a/b"
    (tmp_path / "datasets/a/b").mkdir(parents=True)
    assert sources.plain_name("datasets/a/b") == "datasets/a/b", "a folder that is here comes first"


def test_the_split_to_train_on(tmp_path):
    (tmp_path / "test.txt").write_text("One.\n\nTwo.")
    (tmp_path / "valid.txt").write_text("Three.")
    with pytest.raises(UserError, match=r"has no train split .*give --split test to train on that one"):
        sources.open_source(str(tmp_path), "text")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/valid.txt").write_text("Three.")
    with pytest.raises(UserError, match=r"has no train split .*give --split validation to train on that one"):
        sources.open_source(str(tmp_path / "alone"), "text")
    (tmp_path / "alone/valid.txt").unlink()
    source = sources.open_source(str(tmp_path), "text", split="test")
    assert {name: list(split) for name, split in source.splits.items()} == {
        "train": ["One.", "Two."],
        "validation": ["Three."],
    }
    source = sources.open_source(str(tmp_path), "text", split="validation")
    assert {name: list(split) for name, split in source.splits.items()} == {"train": ["Three."]}
    with pytest.raises(UserError, match="there is no split 'tests': give --split one of validation, test"):
        sources.open_source(str(tmp_path), "text", split="tests")


# -- the hub ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def on_hub(monkeypatch, tmp_path):
    """Puts a data set of {split: texts} on the hub, whose client is tested with prepare.py."""

    def put(splits, column="text"):
        files, folder = {}, tmp_path / "on the hub"
        folder.mkdir(exist_ok=True)
        for name, texts in splits.items():
            files[name] = [folder / f"{name}.parquet"]
            pq.write_table(pa.table({column: texts, "id": texts}), files[name][0])
        monkeypatch.setattr(hub, "find_hub_files", lambda dataset, config, streaming: (files, []))

    return put


def test_a_data_set_on_the_hub(on_hub):
    on_hub({"train": ["One.", None, "Three."] * 700, "validation": ["Four."], "test": ["Five."], "extra": ["Six."]})
    source = sources.open_source("someone/stories", "text")
    assert list(source.splits["train"]) == ["One.", "Three."] * 700
    assert (source.splits["train"].rows, source.splits["train"].empty) == (2100, 700)
    assert list(source.splits["validation"]) == ["Four."]
    assert source.notes[0] == "splits on the hub: train, validation; left aside: test, extra"


def test_splits_by_other_names(on_hub):
    on_hub({"Training": ["One."], "dev": ["Two."], "test": ["Three."]})
    source = sources.open_source("someone/stories", "text")
    assert {name: list(split) for name, split in source.splits.items()} == {"train": ["One."], "validation": ["Two."]}
    assert source.notes[0] == "splits on the hub: Training as train, dev as validation; left aside: test"
    on_hub({"train": ["One."], "val": ["Two."], "validation": ["Three."]})
    source = sources.open_source("someone/stories", "text")
    assert list(source.splits["validation"]) == ["Three."] and source.notes[0].endswith("left aside: val")
    on_hub({"english": ["One."]})
    source = sources.open_source("someone/stories", "text")
    assert list(source.splits) == ["train"] and "english as train" in source.notes[0]
    on_hub({"valid": ["One."]})
    with pytest.raises(UserError, match="no split named train: give --split one of valid"):
        sources.open_source("someone/stories", "text")


def test_the_first_stories(on_hub, tmp_path):
    """The first N stories of each split: empty rows among them are counted, and what follows is not read."""
    on_hub({"train": ["One.", None, "Two.", " ", "Three."], "validation": ["Four."]})
    source = sources.open_source("someone/stories", "text", max_stories=2)
    train, validation = source.splits.values()
    for _ in range(2):
        assert list(train) == ["One.", "Two."] and (train.empty, train.rows) == (1, 2)
    assert list(validation) == ["Four."] and validation.rows == 1
    assert "the first 2 stories of each split" in source.notes[-1]
    (tmp_path / "a.jsonl").write_text('{"text": "One."}\n{"text": "Two."}\nnot read\n')
    train = sources.open_source(str(tmp_path / "a.jsonl"), "text", max_stories=2).splits["train"]
    assert list(train) == ["One.", "Two."] and train.rows is None


def test_options_that_are_for_another_source(on_hub, tmp_path):
    on_hub({"train": ["One."]})
    (tmp_path / "a.jsonl").write_text('{"text": "One."}')
    for dataset in ("sample", str(tmp_path / "a.jsonl")):
        with pytest.raises(UserError, match="--config is for a data set on the hub"):
            sources.open_source(dataset, "text", config="en")
        with pytest.raises(UserError, match="--streaming is for a data set on the hub"):
            sources.open_source(dataset, "text", streaming=True)
    for dataset in ("sample", "someone/stories"):
        with pytest.raises(UserError, match=r"--file_is_story is for local \.txt files"):
            sources.open_source(dataset, "text", file_is_story=True)
    with pytest.raises(UserError, match=r"--file_is_story is for \.txt files, and .*a\.jsonl has a story per row"):
        sources.open_source(str(tmp_path / "a.jsonl"), "text", file_is_story=True)


def test_mistakes_on_the_hub(on_hub):
    on_hub({"train": ["One."]})
    with pytest.raises(UserError, match=r"train\.parquet has no column 'story': .* text, id"):
        sources.open_source("someone/stories", "story")
    on_hub({"validation": ["One."], "test": ["Two."]})
    with pytest.raises(UserError, match="no split named train: give --split one of validation, test"):
        sources.open_source("someone/stories", "text")
    assert list(sources.open_source("someone/stories", "text", split="test").splits["train"]) == ["Two."]
    on_hub({"train": [1, 2]})
    with pytest.raises(UserError, match=r"'text' of .*train\.parquet holds int64, not text"):
        sources.open_source("someone/stories", "text")


class BrokenStream(io.BytesIO):
    """A file that the client reads from the hub; its line breaks after so many bytes."""

    def __init__(self, contents, most):
        super().__init__(contents)
        self.most = most

    def readinto(self, buffer):
        if self.tell() + len(buffer) > self.most:
            raise RuntimeError("peer closed connection")  # none of Python's own kinds for this
        return super().readinto(buffer)


def table_of(texts):
    file = io.BytesIO()
    pq.write_table(pa.table({"text": texts}), file, compression="none")
    return file.getvalue()


FILES = {
    "a.parquet": table_of([f"Story {i}: {'once upon a time ' * (i % 9)}" for i in range(9000)]),
    "a.txt": b"Once.\n\nTwice.\n\n" * 30_000,
    "a.jsonl.gz": gzip.compress(b"".join(b'{"text": "Story %d of %d."}\n' % (i, i**5 % 99991) for i in range(60_000))),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("most", [0, 100_000, "stat"])
def test_a_line_that_breaks_while_the_hub_is_read(monkeypatch, name, most):
    """Whatever the client raises, at the first look or later, is one sentence that names the file."""

    class FileSystem:
        def open(self, address, mode):
            assert address == f"datasets/a/b@main/{name}"
            return BrokenStream(FILES[name], most if most != "stat" else 2**30)

        def info(self, address):
            raise RuntimeError("peer closed connection")

    monkeypatch.setattr("huggingface_hub.HfFileSystem", FileSystem)
    file = hub.HubFile("a/b", "main", name)
    with pytest.raises(UserError, match=r"cannot read a/b/.*peer closed connection.*run the same command again"):
        source = sources.read_files({"train": [file]}, "text", None)
        list(source.splits["train"])
        file.stat()
