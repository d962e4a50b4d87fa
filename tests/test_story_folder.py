"""slm/text/story_folder.py: which files of a folder are read, to which split they belong, and what the line says."""

import os

import pytest

from slm.errors import UserError
from slm.text.story_folder import find_story_files, list_files

# {file: its split}, which may be test
FOLDERS = {
    "the hub's": {
        "data/train-00000-of-00002.txt": "train",
        "data/train-00001-of-00002-0a1b2c3d4e5f6071.txt": "train",
        "data/validation-00000-of-00001-00ff00ff00ff00ff.txt": "validation",
        "data/test-00000-of-00001.txt": "test",
    },
    "folders": {
        "default/train/0000.txt": "train",
        "default/train/the_test.txt": "train",
        "default/valid/0000.txt": "validation",
        "default/test/0000.txt": "test",
        "default/test/train.txt": "test",
    },
    "TinyStories'": {
        "TinyStories-train.txt": "train",
        "TinyStories-valid.txt": "validation",
        "TinyStoriesV2-GPT4-train.txt": "train",
        "TinyStoriesV2-GPT4-valid.txt": "validation",
    },
    "plain": {"Train.TXT": "train", "Val.txt": "validation", "TEST.txt": "test"},
    "numbered": {"train_1.txt": "train", "train2.txt": "train", "dev_1.txt": "validation", "test3.txt": "test"},
    "a word in the middle": {"my_train_set.txt": "train", "my_dev_set.txt": "validation", "my_test_set.txt": "test"},
    "held out": {"train.txt": "train", "eval.txt": "test", "my_evaluation_set.txt": "test", "Testing.txt": "test"},
    "training": {"a.training.txt": "train", "a.validation.txt": "validation"},
    "beside train": {"train.txt": "train", "fables-val.txt": "validation", "fables.txt": "train"},
    "with and without the word": {"fables.txt": "train", "fables_val.txt": "validation"},
    "an explicit split alone": {"fables.txt": "train", "validation.txt": "validation"},
    "a split of one of two": {"a/fables.txt": "train", "a/val.txt": "validation", "b/hard-test.txt": "train"},
    "titles": dict.fromkeys(
        [
            "The Driving Test.txt",
            "Val and the Dragon.txt",
            "Dev's First Day.txt",
            "The Train.txt",
            "The Test.txt",
            "a-spelling-test.txt",
            "Saint Valentine.txt",
            "testing the water.txt",
            "Valid Tickets Only.txt",
        ],
        "train",
    ),
    "Hive's": {
        "split=train/0a1b-0.txt": "train",
        "split=validation/0a1b-0.txt": "validation",
        "split=test/0a1b-0.txt": "test",
    },
}


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


@pytest.mark.parametrize("folder", FOLDERS)
def test_splits_by_name(tmp_path, folder):
    write(tmp_path, *FOLDERS[folder])
    splits, note = find_story_files(tmp_path)
    found = {file.relative_to(tmp_path).as_posix(): split for split, files in splits.items() for file in files}
    assert found == FOLDERS[folder]
    assert all(files == sorted(files) for files in splits.values())
    assert "\n" not in note and "train: " in note
    assert ("validation: " in note) == ("validation" in FOLDERS[folder].values())
    assert ("test: " in note) == ("test" in FOLDERS[folder].values())


def test_the_line_names_the_files_of_each_split(tmp_path):
    write(
        tmp_path, *(f"train-{i:05}-of-00012.txt" for i in range(12)), "val.txt", "test.txt", "README.md", ".git/a.txt"
    )
    assert find_story_files(tmp_path)[1] == (
        "train: train-00000-of-00012.txt, train-00001-of-00012.txt, train-00002-of-00012.txt and 9 more;"
        " validation: val.txt; test: test.txt; left aside: .git (hidden), README.md"
        " (not .parquet, .arrow, .jsonl, .json, .csv, .tsv or .txt)"
    )
    assert find_story_files(tmp_path / "test.txt") == ({"train": [tmp_path / "test.txt"]}, "train: test.txt")


def test_hidden_names_are_left_aside(tmp_path):
    hidden = [".git/a.txt", ".ipynb_checkpoints/b.txt", "__MACOSX/c.txt", "in/.d.txt", "in/.e/f.txt", "._g.txt"]
    write(tmp_path, "a.txt", "in/b.txt", *hidden)
    splits, note = find_story_files(tmp_path)
    assert splits == {"train": [tmp_path / "a.txt", tmp_path / "in/b.txt"]}
    assert all(name in note for name in (".git", "(hidden)", "more"))
    assert len(list_files(tmp_path)[0]) == 2
    # a hidden folder may itself be the source
    assert find_story_files(tmp_path / ".git")[0] == {"train": [tmp_path / ".git/a.txt"]}


def test_links_are_followed_and_a_file_is_read_once(tmp_path):
    write(tmp_path, "elsewhere/deep/one.txt", "elsewhere/two.txt", "blobs/0a1b", "source/z/own.txt", "source/val.txt")
    source = tmp_path / "source"
    for link, target in {
        "linked": "../elsewhere",  # a folder outside
        "linked again": "../elsewhere/deep",  # reached through the first one
        "from blobs.txt": "../blobs/0a1b",  # the hub's cache: the suffix is the link's
        "a": "z",  # sorted before the folder that it links to
        "b.txt": "val.txt",  # likewise for a file
        "loop": ".",
        "above": "..",
        "z/loop": "../../source/z",
        "gone.txt": "nowhere",
        "me": "me",
    }.items():
        os.symlink(target, source / link)
    splits, note = find_story_files(source)
    found = {split: [file.relative_to(source).as_posix() for file in files] for split, files in splits.items()}
    assert found == {
        "train": ["from blobs.txt", "linked/deep/one.txt", "linked/two.txt", "z/own.txt"],
        "validation": ["val.txt"],
    }
    for left_aside in (
        "a, linked again (the same folder by another link)",
        "b.txt (the same file by another link)",
        "above, loop, z/loop (a link to a folder above it)",
        "gone.txt, me (a broken link)",
    ):
        assert left_aside in note


def test_links_in_a_circle_outside_end(tmp_path):
    write(tmp_path, "a/one.txt", "b/two.txt", "source/three.txt")
    for link, target in {"a/to_b": "../b", "b/to_a": "../a", "source/to_a": "../a", "b/up": "../.."}.items():
        os.symlink(target, tmp_path / link)
    (files,) = find_story_files(tmp_path / "source")[0].values()
    assert [file.relative_to(tmp_path / "source").as_posix() for file in files] == [
        "three.txt",
        "to_a/one.txt",
        "to_a/to_b/two.txt",
    ]


def test_what_was_prepared_beside_the_source_is_no_source(tmp_path):
    prepared = ["train.bin", "validation.bin", "meta.json", ".lock"]
    write(tmp_path, "stories.txt", *prepared)
    assert "train.bin" in find_story_files(tmp_path)[1], "another program's"
    write(tmp_path, "tokenizer.tiktoken", ".partial/train.bin")
    assert find_story_files(tmp_path) == ({"train": [tmp_path / "stories.txt"]}, "train: stories.txt")
    assert list_files(tmp_path)[0] == [tmp_path / "stories.txt"]


MISTAKES = {
    "files of several kinds": (["a.txt", "b.jsonl", "c/d.parquet"], [".txt (a.txt)", ".jsonl (b.jsonl)", "one kind"]),
    "no stories": (["a.tar.gz", "b.parquet.gz", ".b.txt"], ["holds no .parquet", "a.tar.gz", ".b.txt (hidden)"]),
    "nothing": ([], ["holds no .parquet, .arrow, .jsonl, .json, .csv, .tsv or .txt file"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(tmp_path, mistake):
    names, words = MISTAKES[mistake]
    write(tmp_path, *names)
    with pytest.raises(UserError) as error:
        find_story_files(tmp_path)
    for word in [str(tmp_path), *words]:
        assert word in str(error.value)


def test_compressed_and_plain_files_are_one_kind(tmp_path):
    """A compressed copy beside the plain file is left aside, and so is a .json that describes files of another kind."""
    write(tmp_path, "train-0.TXT", "train-1.txt.gz", "train-2.Txt.ZST", "val.txt.gz", "val.txt", "test.txt.zst")
    write(tmp_path, "in/a.txt.gz", "in/a.txt.zst", "dataset_infos.json", "data.tar.gz")
    splits, note = find_story_files(tmp_path)
    found = {split: [file.relative_to(tmp_path).as_posix() for file in files] for split, files in splits.items()}
    assert found == {
        "train": ["in/a.txt.gz", "train-0.TXT", "train-1.txt.gz", "train-2.Txt.ZST"],
        "validation": ["val.txt"],
        "test": ["test.txt.zst"],
    }
    assert "in/a.txt.zst, val.txt.gz (a compressed copy)" in note
    assert "dataset_infos.json (a .json beside another kind)" in note
    assert "data.tar.gz (not" in note
    write(tmp_path, "b.txt.gz")
    (tmp_path / "b.txt").touch()  # a download that did not begin hides no copy
    assert tmp_path / "b.txt.gz" in find_story_files(tmp_path)[0]["train"]


@pytest.mark.parametrize("name", ["stories.json", "a b.Csv", "x.tsv.gz", "y.jsonl.zst", "z.json.GZ", "w.csv.zst"])
def test_each_kind_alone(tmp_path, name):
    write(tmp_path, name)
    assert find_story_files(tmp_path) == ({"train": [tmp_path / name]}, f"train: {name}")
    assert find_story_files(tmp_path / name)[0] == {"train": [tmp_path / name]}
    write(tmp_path, "other.jsonl", "other.csv")
    with pytest.raises(UserError, match="maybe the same stories twice"):
        find_story_files(tmp_path)


def test_one_path_that_is_no_source(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(UserError, match="neither a file nor a folder"):
        find_story_files(tmp_path / "pipe.txt")
    with pytest.raises(UserError, match=r"pipe\.txt \(neither a file nor a folder\)"):
        find_story_files(tmp_path)


def test_what_describes_the_stories_is_left_aside(tmp_path):
    """A README is a text, unless it is all there is; a part without bytes, as Spark writes it, is none."""
    write(tmp_path, "README.txt", "LICENSE.txt", "a.txt", "in/licence-mit.txt", "The Notice.txt")
    (tmp_path / "part-00000.txt").touch()
    splits, note = find_story_files(tmp_path)
    assert splits == {"train": [tmp_path / "The Notice.txt", tmp_path / "a.txt"]}
    assert (
        "LICENSE.txt, README.txt, in/licence-mit.txt (about the stories)" in note and "part-00000.txt (0 bytes)" in note
    )
    write(tmp_path / "alone", "README.txt")
    assert find_story_files(tmp_path / "alone")[0] == {"train": [tmp_path / "alone/README.txt"]}


def test_where_each_file_is_a_story_only_folders_are_splits(tmp_path):
    write(tmp_path, "test.txt", "train.txt", "one.txt", "validation/two.txt")
    assert find_story_files(tmp_path, file_is_story=True)[0] == {
        "train": [tmp_path / name for name in ("one.txt", "test.txt", "train.txt")],
        "validation": [tmp_path / "validation/two.txt"],
    }


def test_the_hubs_cache_has_one_revision(tmp_path):
    write(tmp_path, "blobs/0a", "snapshots/aaa/data/train.txt", "snapshots/bbb/data/train.txt", "refs/main")
    (tmp_path / "refs/main").write_text("bbb\n")
    assert find_story_files(tmp_path)[0] == {"train": [tmp_path / "snapshots/bbb/data/train.txt"]}


def test_a_data_set_that_was_saved_to_disk(tmp_path):
    write(tmp_path, "dataset_dict.json", "train/data-00000-of-00001.arrow", "train/state.json", "test/data-0.arrow")
    splits, note = find_story_files(tmp_path)
    assert splits == {
        "train": [tmp_path / "train/data-00000-of-00001.arrow"],
        "test": [tmp_path / "test/data-0.arrow"],
    }
    assert "dataset_dict.json, train/state.json (a .json beside another kind)" in note
    write(tmp_path, "train/cache-0a1b2c3d.arrow", "test/cache-0.arrow")
    assert find_story_files(tmp_path)[0] == splits | {
        "test": [tmp_path / f"test/{name}-0.arrow" for name in ("cache", "data")]
    }
    assert "train/cache-0a1b2c3d.arrow (a cache of the datasets library)" in find_story_files(tmp_path)[1]
