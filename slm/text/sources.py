"""Where stories come from: the hub, local files or the embedded sample; and a validation split where there is none."""

import contextlib
import errno
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from slm.errors import UserError, first_line
from slm.text import story_files, story_folder
from slm.text.story_bytes import KIND_NAMES, kind_of
from slm.text.tokenizer import ENDOFTEXT

CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
SPLIT_SEED = 1234
SPLITS = ("train", "validation")


@dataclass
class Split:
    """The stories of a split. Iterate over it, as often as needed; each pass reads the source and counts again.

    A text that is missing, empty or only whitespace is no story: the pass leaves it out and counts it. A pass ends
    after `max_stories` stories, where that is given, and reads no further.
    """

    read: Callable[[], Iterator[str | None]]  # the texts, from the first on
    rows: int | None = None  # how many texts, where that is known without reading
    max_stories: int | None = None
    empty: int = field(default=0, init=False)  # of the newest pass: texts that are no stories
    marked: int = field(default=0, init=False)  # of the newest pass: stories with the text <|endoftext|> in them

    def __iter__(self):
        self.empty = self.marked = 0
        yield from itertools.islice(self.stories(), self.max_stories)

    def stories(self):
        for text in self.read():
            if not text or text.isspace():
                self.empty += 1
                continue
            self.marked += ENDOFTEXT in text
            yield text


@dataclass
class Source:
    """The splits of a data set: "train", and "validation" if the data set has one; and lines that say what is what."""

    splits: dict[str, Split]
    notes: list[str]


def open_source(dataset, column, *, config=None, streaming=False, max_stories=None, file_is_story=False):
    """The `Source` that --dataset names: "sample", a local file or folder, or a data set on the Hugging Face hub.

    column: where the rows of a table have their text. config: the data set's configuration on the hub. streaming: each
    pass reads the hub again, and nothing is kept on the disk. max_stories: the first so many of each split.
    file_is_story: each .txt file is one story. Raises UserError where there is no such thing, or no text in it.
    """
    path = Path(dataset).expanduser()
    is_local = dataset != "sample" and os.path.exists(path)  # False also where that cannot be known
    is_hub = dataset != "sample" and not is_local
    if is_hub and (kind_of(path) or dataset.startswith((".", "/", "~"))):
        raise UserError(f"{dataset} does not exist: --dataset takes a file, a folder, `sample` or a name on the hub")
    for name, given, wanted in (
        ("--config", config, is_hub),
        ("--streaming", streaming, is_hub),
        ("--file_is_story", file_is_story, is_local),
    ):
        if given and not wanted:
            place = "local .txt files" if name == "--file_is_story" else "a data set on the hub"
            raise UserError(f"{name} is for {place}, and {dataset} is none: leave it out")
    if is_hub:
        source = open_hub(dataset, column, config, streaming)
    elif is_local:
        source = open_local(path, column, file_is_story)
    else:
        from data.sample_stories import stories

        sample = list(stories())
        source = Source({"train": Split(lambda: iter(sample), len(sample))}, [])
    if max_stories:
        source.notes.append(f"--max_stories: the first {max_stories:,} stories of each split")
        for split in source.splits.values():
            split.max_stories = max_stories
            split.rows = split.rows and min(split.rows, max_stories)
    return source


def open_local(path, column, file_is_story):
    files, note = story_folder.find_story_files(path)
    read_file, how = story_files.story_reader(list(itertools.chain(*files.values())), column, file_is_story)

    def read(files):
        return itertools.chain.from_iterable(map(read_file, files))

    splits = {
        name: Split(lambda files=files: read(files), len(files) if file_is_story else story_files.count_rows(files))
        for name, files in files.items()
    }
    return Source(splits, [note] if how is None else [note, how])


def open_hub(dataset, column, config, streaming):
    tables = load_from_hub(dataset, config, streaming)

    def read(name):
        row = 1
        batches = tables[name].select_columns(column).with_format("arrow").iter(story_files.BATCH_ROWS)
        while (batch := next_batch(batches, dataset)) is not None:
            yield from story_files.texts(batch.column(0), column, f"{dataset} ({name})", row)
            row += batch.num_rows

    names = split_names(list(tables))
    if "train" not in names:
        raise UserError(f"{dataset} has no split named train; it has {', '.join(tables)}")
    for name in names.values():
        columns = tables[name].column_names
        if columns is None:  # only a row can say, where --streaming reads a format without a schema
            row = next_batch(tables[name].with_format("arrow").iter(1), dataset)
            columns = [column] if row is None else row.column_names
        story_files.check_column(column, columns, f"{dataset} ({name})")
    others = [name for name in tables if name not in names.values()]
    used = [split if split == name else f"{name} as {split}" for split, name in names.items()]
    note = f"splits on the hub: {', '.join(used)}" + (f"; left aside: {', '.join(others)}" if others else "")
    notes = [note, "--streaming: each pass over the stories reads the hub again"] if streaming else [note]
    splits = {
        split: Split(lambda name=name: read(name), None if streaming else tables[name].num_rows)
        for split, name in names.items()
    }
    return Source(splits, notes)


def load_from_hub(dataset, config, streaming):
    """The tables of a data set on the hub, {split: Dataset or IterableDataset}. Raises UserError."""
    # a hub that cannot be reached takes the client up to minutes, and a pipe must show this line before them
    print(f"reading {dataset} from the Hugging Face hub (HF_HUB_OFFLINE=1: from its cache alone)", flush=True)
    try:
        import datasets
        from huggingface_hub.utils import logging

        logging.set_verbosity_error()  # no line for each try
        if not sys.stderr.isatty():
            datasets.disable_progress_bars()  # which would fill a log file
        return datasets.load_dataset(dataset, config, streaming=streaming)
    except Exception as error:  # the hub's client raises many kinds, and all mean that there is no data set
        if reason := cannot_write(error):
            from huggingface_hub.constants import HF_HOME

            mend = "set HF_HOME to a writable folder with room" + ("" if streaming else ", or give --streaming")
            raise UserError(f"cannot keep {dataset} in the hub's cache {HF_HOME} ({reason}): {mend}") from error
        configs = []
        if isinstance(error, ValueError) and "config" in str(error).lower():
            with contextlib.suppress(Exception):
                configs = datasets.get_dataset_config_names(dataset)
        if configs:
            what = f"no configuration {config!r}" if config else "several configurations"
            raise UserError(f"{dataset} has {what}: give --config one of {', '.join(configs)}") from error
        built = type(error).__name__ == "DatasetGenerationError" and error.__cause__  # its own text gives no reason
        raise UserError(
            f"cannot load {dataset} from the Hugging Face hub ({first_line(built or error, 200)}): check the name and"
            " the network, and run the same command again, which keeps each file that came whole; or use --dataset"
            f" sample (embedded, no network) or --dataset with a local {KIND_NAMES} file or folder"
        ) from error


def cannot_write(error):
    """Why the disk takes no more, in the system's words, where that is behind `error`; None where it is not."""
    while error:
        full = isinstance(error, OSError) and error.errno in CANNOT_WRITE
        if full or os.strerror(errno.ENOSPC) in str(error):  # some of the client is not Python and has no errno
            return error.strerror if full else os.strerror(errno.ENOSPC)
        error = error.__cause__ or error.__context__
    return None


def next_batch(batches, dataset):
    """The next batch of rows, None at the end. Raises UserError where the hub breaks off (with --streaming)."""
    try:
        return next(batches, None)
    except Exception as error:  # of whichever package reads
        raise UserError(
            f"cannot read {dataset} ({first_line(error, 200)}): check the network and run the same command again"
        ) from error


def split_names(names):
    """{"train": name, "validation": name} of the splits that a data set has, "validation" only if it has one.

    A name may be another word for the same (`valid`, `dev`); the word itself comes first. One split alone is for
    training, unless its name says something else.
    """
    splits = {split: split for split in SPLITS if split in names}
    for name in names:
        split = story_folder.SPLIT_NAMES.get(name.lower())
        if split in SPLITS:
            splits.setdefault(split, name)
    if len(names) == 1 and names[0].lower() not in story_folder.SPLIT_NAMES:
        splits["train"] = names[0]
    return splits


def split_off_validation(split, fraction, least=0):
    """({"train": Split, "validation": Split}, repeated) of a split, the same ones every time.

    About `fraction` of the stories are for validation, at least one, and at least `least` where that is below a tenth,
    else a tenth. Equal stories are on one side, or a model would be validated on what it was trained on; `repeated` is
    how many stories are equal to an earlier one. Memory: some 60 bytes a story while it chooses, a byte a story after
    that. Raises UserError where there are not two different ones.
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

    def share(count):
        return max(1, round(count * fraction), min(least, count // 10))

    # the different stories in the order of the source, then in random order
    shuffled = np.argsort(first)[np.random.default_rng(SPLIT_SEED).permutation(len(first))]
    most_stories, most_different = share(len(hashes)), min(share(len(first)), len(first) - 1)
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
