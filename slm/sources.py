"""Where stories come from: the hub, local files or the embedded sample; and a validation split where there is none."""

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from slm import story_files, story_folder
from slm.errors import UserError, first_line

SPLIT_SEED = 1234
SPLITS = ("train", "validation")
MARKER = "<|endoftext|>"


@dataclass
class Split:
    """The stories of a split. Iterate over it, as often as needed; each pass reads the source and counts again.

    A text that is missing, empty or only whitespace is no story: the pass leaves it out and counts it.
    """

    read: Callable[[], Iterator[str | None]]  # the texts, from the first on
    rows: int | None = None  # how many texts, where that is known without reading
    empty: int = field(default=0, init=False)  # of the newest pass: texts that are no stories
    marked: int = field(default=0, init=False)  # of the newest pass: stories with the text <|endoftext|> in them

    def __iter__(self):
        self.empty = self.marked = 0
        for text in self.read():
            if not text or text.isspace():
                self.empty += 1
                continue
            self.marked += MARKER in text
            yield text


@dataclass
class Source:
    """The splits of a data set: "train", and "validation" if the data set has one; and lines that say what is what."""

    splits: dict[str, Split]
    notes: list[str]


def open_source(dataset, column):
    """The `Source` that --dataset names: "sample", a local file or folder, or a data set on the Hugging Face hub.

    column: where the rows of a table have their text. Raises UserError where there is no such thing, or no text in it.
    """
    if dataset == "sample":
        from data.sample_stories import stories

        sample = list(stories())
        return Source({"train": Split(lambda: iter(sample), len(sample))}, [])
    path = Path(dataset).expanduser()
    if os.path.exists(path):  # False also where that cannot be known
        return open_local(path, column)
    if path.suffix.lower() in story_folder.SUFFIXES or dataset.startswith((".", "/", "~")):
        raise UserError(f"{dataset} does not exist: --dataset takes a file, a folder, `sample` or a name on the hub")
    return open_hub(dataset, column)


def open_local(path, column):
    files, note = story_folder.find_story_files(path)
    read_file, how = story_files.story_reader(list(itertools.chain(*files.values())), column)

    def read(files):
        return itertools.chain.from_iterable(map(read_file, files))

    splits = {
        name: Split(lambda files=files: read(files), story_files.count_rows(files)) for name, files in files.items()
    }
    return Source(splits, [note] if how is None else [note, how])


def open_hub(dataset, column):
    try:
        from datasets import load_dataset

        tables = load_dataset(dataset)
    except Exception as error:  # the hub's client raises many kinds, and all mean that there is no data set
        raise UserError(
            f"cannot load {dataset} from the Hugging Face hub ({first_line(error, 200)}): check the name and the"
            " network, or use --dataset sample (embedded, no network) or --dataset with a local .parquet, .jsonl or"
            " .txt file or folder"
        ) from error

    def read(name):
        row = 1
        for batch in tables[name].select_columns(column).with_format("arrow").iter(story_files.BATCH_ROWS):
            yield from story_files.texts(batch.column(0), column, f"{dataset} ({name})", row)
            row += len(batch)

    for name, table in tables.items():
        story_files.check_column(column, table.column_names, f"{dataset} ({name})")
    if "train" not in tables:
        raise UserError(f"{dataset} has no split named train; it has {', '.join(tables)}")
    splits = {name: Split(lambda name=name: read(name), len(tables[name])) for name in SPLITS if name in tables}
    left_aside = [name for name in tables if name not in splits]
    note = f"splits on the hub: {', '.join(splits)}"
    return Source(splits, [note + (f"; left aside: {', '.join(left_aside)}" if left_aside else "")])


def split_off_validation(split, fraction):
    """({"train": Split, "validation": Split}, repeated) of a split, the same ones every time.

    About `fraction` of the stories are for validation, at least one. Equal stories are on one side, or a model would be
    validated on what it was trained on; `repeated` is how many stories are equal to an earlier one. Memory: some 60
    bytes a story while it chooses, a byte a story after that. Raises UserError where there are not two different ones.
    """
    if not 0 < fraction < 1:
        raise UserError(f"--validation_fraction must lie between 0 and 1, not {fraction}")
    counting = tqdm(split, "counting", split.rows, unit=" stories", leave=False, disable=None)
    # equal hashes serve as equal stories: of 10 million stories two share one of 2**64 with probability 3e-6
    hashes = np.fromiter(map(hash, counting), np.int64)
    _, first, number, copies = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    if len(first) < 2:
        number = "1 story" if len(hashes) == 1 else f"{len(hashes):,} stories{', all equal' if len(hashes) else ''}"
        empty = f" (empty rows: {split.empty:,})" if split.empty else ""
        raise UserError(
            f"the source has {number}{empty}: two different stories are needed, one to train on and one to validate; in"
            " a .txt, blank lines or <|endoftext|> part them"
        )
    # the different stories in the order of the source, then in random order
    shuffled = np.argsort(first)[np.random.default_rng(SPLIT_SEED).permutation(len(first))]
    most_stories = max(1, round(len(hashes) * fraction))
    most_different = min(max(1, round(len(first) * fraction)), len(first) - 1)
    fitting = shuffled[copies[shuffled] <= most_stories]
    chosen = fitting[np.cumsum(copies[fitting]) <= most_stories][:most_different]
    if not len(chosen):
        chosen = shuffled[[copies[shuffled].argmin()]]
    in_validation = np.isin(number, chosen)
    count = int(in_validation.sum())
    splits = {
        "train": Split(lambda: itertools.compress(split, ~in_validation), len(hashes) - count),
        "validation": Split(lambda: itertools.compress(split, in_validation), count),
    }
    return splits, len(hashes) - len(first)


def source_stamp(dataset, hidden=False):
    """[bytes, newest change] of a local source, by which a change is noticed; None for the others.

    hidden: whether hidden files count too.
    """
    path = Path(dataset).expanduser()
    if dataset == "sample" or not os.path.exists(path):
        return None
    files = [path] if not path.is_dir() else story_folder.list_files(path, hidden)[0]
    stats = [file.stat() for file in files]
    return [sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)]
