"""Where stories come from: the hub, local files or the embedded sample. A file means the same wherever it is."""

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from slm.errors import UserError, counted
from slm.text import hub, identity, story_folder
from slm.text.splits import Split
from slm.text.story_bytes import kind_of
from slm.text.story_files import understand


@dataclass
class Source:
    """The splits of a data set: "train", and "validation" if the data set has one; and lines that say what is what."""

    splits: dict[str, Split]
    notes: list[str]


def local_path(dataset):
    """The path that --dataset is, if it is one; `~` is a home folder where there is such a user."""
    return Path(os.path.expanduser(dataset))


def is_local(dataset):
    return dataset != "sample" and os.path.exists(local_path(dataset))  # False also where that cannot be known


def plain_name(dataset):
    """--dataset as meta.json keeps it: `my/` and `./my` are `my`, and a page on the hub is the data set's name."""
    return str(Path(dataset)) if is_local(dataset) else hub.name_of_page(dataset)


def source_stamp(dataset):
    """What a local source is now, by which a change is noticed; None for the others."""
    return identity.source_identity(local_path(dataset)) if is_local(dataset) else None


def open_source(
    dataset,
    column,
    *,
    config=None,
    streaming=False,
    max_stories=None,
    file_is_story=False,
    blank_lines=False,
    split=None,
    allow_bad_rows=False,
):
    """The `Source` that --dataset names: "sample", a local file or folder, or a data set on the Hugging Face hub.

    column: where the rows of a table have their text. config: the data set's configuration on the hub. streaming: each
    pass reads the hub again, and nothing is kept on the disk. max_stories: the first so many of each split.
    file_is_story: each .txt file is one story. blank_lines: they separate the stories of a .txt file. split: the one to
    train on. allow_bad_rows: see `Split`. Raises UserError where there is no such thing, or no text in it.
    """
    path, local = local_path(dataset), is_local(dataset)
    on_hub = dataset != "sample" and not local
    if on_hub and (kind_of(path) or dataset.startswith((".", "/", "~"))):
        raise UserError(f"{dataset} does not exist: --dataset takes a file, a folder, `sample` or a name on the hub")
    for name, given, wanted, place in (
        ("--config", config, on_hub, "a data set on the hub"),
        ("--streaming", streaming, on_hub, "a data set on the hub"),
        ("--file_is_story", file_is_story, local, "local .txt files"),
        ("--blank_lines", blank_lines, local, "local .txt files"),
    ):
        if given and not wanted:
            raise UserError(f"{name} is for {place}, and {dataset} is none: leave it out")
    if file_is_story and blank_lines:
        raise UserError("--file_is_story and --blank_lines contradict each other: leave one out")
    file_is_story = file_is_story or (False if blank_lines else None)  # None: what the content looks like
    if dataset == "sample":
        from data.sample_stories import stories

        sample = list(stories())
        source = Source({"train": Split(lambda: iter(sample), len(sample))}, [])
    else:
        files, notes = open_hub(dataset, config, streaming, split) if on_hub else open_local(path, file_is_story, split)
        source = read_files(files, column, file_is_story)
        source.notes = notes + source.notes
    if max_stories:
        source.notes.append(f"--max_stories: the first {counted(max_stories, 'story', 'stories')} of each split")
    for split in source.splits.values():
        split.allow_bad_rows = allow_bad_rows
        split.max_stories = max_stories
        split.rows = split.rows and min(split.rows, max_stories or split.rows)
    return source


def read_files(files, column, file_is_story):
    """The `Source` of {split: [file, ...]}."""
    understood, notes = understand(list(itertools.chain(*files.values())), column, file_is_story)
    understood, splits = iter(understood), {}
    for name, listed in files.items():
        of_split = list(itertools.islice(understood, len(listed)))
        rows = [file.rows for file in of_split]
        splits[name] = Split(
            lambda of_split=of_split: itertools.chain.from_iterable(file.read() for file in of_split),
            None if None in rows else sum(rows),
        )
    return Source(splits, notes)


def open_local(path, file_is_story, split):
    files, note = story_folder.find_story_files(path, file_is_story)
    names = split_names(list(files), split)
    others = [name for name in files if name not in names.values()]
    if "train" not in names:
        choice = " or ".join(others or files)
        raise UserError(f"{path} has no train split ({note}): give --split {choice} to train on that one")
    note += f"; not used: {', '.join(others)}" if others else ""
    note += f"; --split: {split} is trained on" if split else ""
    return {split: files[name] for split, name in names.items()}, [note]


def open_hub(dataset, config, streaming, split):
    files, notes = hub.find_hub_files(dataset, config, streaming)
    names = split_names(list(files), split)
    if "train" not in names:
        raise UserError(f"{dataset} has no split named train: give --split one of {', '.join(files)}")
    others = [name for name in files if name not in names.values()]
    used = [split if split == name else f"{name} as {split}" for split, name in names.items()]
    note = f"splits on the hub: {', '.join(used)}" + (f"; left aside: {', '.join(others)}" if others else "")
    if streaming:
        notes = [*notes, "--streaming: each pass over the stories reads the hub again"]
    return {split: files[name] for split, name in names.items()}, [note, *notes]


def split_names(names, wanted=None):
    """{"train": name, "validation": name} of the splits that a data set has, "validation" only if it has one.

    A name may be another word for the same (`valid`, `dev`); the word itself comes first. One split alone is for
    training, unless its name says something else. wanted: the one to train on. Raises UserError.
    """
    splits = {split: split for split in ("train", "validation") if split in names}
    for name in names:
        split = story_folder.SPLIT_NAMES.get(name.lower())
        if split in ("train", "validation"):
            splits.setdefault(split, name)
    if len(names) == 1 and names[0].lower() not in story_folder.SPLIT_NAMES:
        splits["train"] = names[0]
    if wanted is not None:
        if wanted not in names:
            raise UserError(f"there is no split {wanted!r}: give --split one of {', '.join(names)}")
        splits = {"train": wanted} | {
            split: name for split, name in splits.items() if split != "train" and name != wanted
        }
    return splits
