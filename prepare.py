"""Turn stories into tokens: data/NAME/{train.bin, validation.bin, meta.json, tokenizer.tiktoken}.

    python prepare.py                                   TinyStories from the Hugging Face hub, GPT-2's vocabulary
    python prepare.py --vocab_size 8192                 ... and a vocabulary of 8,192 tokens, trained on the stories
    python prepare.py --dataset sample                  the embedded sample: no network, a few seconds
    python prepare.py --dataset my_stories.txt          a .txt, .csv, .tsv, .json, .jsonl, .parquet or .arrow file,
                                                        plain, .gz or .zst, or a folder of them; the vocabulary is
                                                        trained on it, in the size that fits
    python prepare.py --dataset my_stories.txt --vocab_of out/tinystories      ... to fine-tune that run on

It says what it understood before it begins: the format, the files of each split, the first story. A .bin is a flat
array of uint16 token ids, one end-of-text after each story; meta.json beside it says the rest. The stories stream
through in batches, so memory does not grow with the corpus. New files are written in data/NAME/.partial, and take their
names together when all of them are whole and stories drawn at random are found in them.
"""

import slm.interrupt  # noqa: F401 - first: Ctrl-C during the other imports is a line

# isort: split

import contextlib
import os
import platform
import re
import time
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from slm.commands import VOCAB_SIZES, fitting_recipe, train_command
from slm.errors import UserError, counted, run_script, say
from slm.options import OptionParser
from slm.text import sources, tokenizer, vocabulary
from slm.text.encode import encode_split, has_gigatoken
from slm.text.prepared_folder import check_name, partial_folder, prepared_already, write_description
from slm.text.splits import Leaks, split_off_validation
from slm.text.story_bytes import split_name

VALIDATION_FRACTION, LEAST_STORIES = 0.02, 20  # of a short text a tenth, up to so many stories
GPT2_NAMES = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")  # on the Hugging Face hub
OF_THE_SOURCE = ("config", "split", "max_stories", "file_is_story", "blank_lines")  # options of `open_source`
OPTIONAL = (*OF_THE_SOURCE, "drop_leaks")  # options that are in a recipe only where they are given
MOST_THREADS = 2**12  # more than any machine has cores
BEGINNING = 80  # letters of a story that are shown


def parse_options():
    parser = OptionParser(__doc__)
    parser.option("--dataset", "roneneldan/TinyStories", "a data set on the hub, `sample`, or a local file or folder")
    parser.option("--name", None, "the folder under data/ (default: the last part of the dataset, in lower case)")
    parser.option(
        "--vocab_size",
        None,
        "train so many tokens, or gpt2: GPT-2's (default: what fits the text; TinyStories: gpt2; sample: 2048)",
        vocab_size,
        "N",
    )
    parser.option("--vocab_of", None, "the vocabulary of a run, checkpoint or exported folder, to fine-tune it")
    parser.option("--text_column", "text", "the column that holds the stories; a.b: the column b inside of a")
    parser.option("--file_is_story", False, "each .txt file is one story, whatever is in it")
    parser.option("--blank_lines", False, "blank lines separate the stories of a .txt, whatever is in it")
    about_stories = "the first N stories of each split that the source has (default: all)"
    parser.option("--max_stories", None, about_stories, int, at_least=1)
    parser.option("--split", None, "the split to train on, where it is not called train")
    parser.option("--config", None, "the configuration of a data set on the hub that has several")
    parser.option(
        "--streaming",
        False,
        "keep no data set of the hub on this disk: each pass over the stories (2 to 4) reads it again",
    )
    parser.option(
        "--validation_fraction",
        VALIDATION_FRACTION,
        f"to validate on, where the source has no such split; of a short text a tenth, up to {LEAST_STORIES} stories",
        float,
        above=0,
        below=1,
    )
    parser.option("--drop_leaks", False, "leave stories out of validation that are in train too")
    parser.option("--allow_bad_rows", False, "leave out rows that cannot be read, even if they are more than 1 %")
    cores = os.cpu_count() or 1
    parser.option("--threads", cores, "threads that tokenize", int, alias="--num_proc", at_least=1, below=MOST_THREADS)
    parser.option("--force", False, "prepare again, even if everything is in place")
    options = parser.parse()

    options.dataset = sources.plain_name(options.dataset)
    last_part = split_name(sources.local_path(options.dataset).resolve().name)[0]
    last_part = re.sub(r"[^\w.-]+", "_", last_part).lower()
    options.name = options.name or last_part
    check_name(options.name)
    if options.vocab_of and options.vocab_size is not None:
        raise UserError("--vocab_of brings its own vocabulary size: leave --vocab_size out")
    if options.vocab_size is None:
        options.vocab_size = VOCAB_SIZES.get(options.name) or VOCAB_SIZES.get(last_part)
    return options


def vocab_size(text):
    """The number of tokens that --vocab_size says. Raises UserError."""
    smallest, largest = tokenizer.SMALLEST_VOCAB_SIZE, tokenizer.GPT2_VOCAB_SIZE
    if text in ("gpt2", "0"):
        return largest
    if not re.fullmatch("[0-9]{1,9}", text) or not smallest <= int(text) <= largest:
        raise UserError(f"--vocab_size must be gpt2 or {smallest} to {largest}, not {text}")
    return int(text)


def vocabulary_of(name):
    """The encoding of a run, a checkpoint file or a Hugging Face folder. Raises UserError."""
    if name in GPT2_NAMES and not os.path.exists(name):
        return tokenizer.gpt2()  # without a download
    from slm.models import load  # and with it PyTorch, which nothing else here needs

    contents, _ = load.read_model(name)
    return tokenizer.from_text(contents["tokenizer"])


def prepare(recipe, folder, threads, encoding=None, streaming=False, allow_bad_rows=False):
    """Write what `recipe` (entries of meta.json) says into `folder`, and return the contents of meta.json.

    encoding: the vocabulary to use; None makes one from the stories. streaming: leave a data set on the hub.
    allow_bad_rows: however many. Raises UserError; the old files are then whole.
    """
    name, asked = recipe["source"], recipe.get("vocab_size")
    given = {key: recipe[key] for key in OF_THE_SOURCE if key in recipe}
    options = given | {"streaming": streaming, "allow_bad_rows": allow_bad_rows}
    stamp = sources.source_stamp(name)  # before the first look, by which all of it is read
    source = sources.open_source(name, recipe["text_column"], **options)
    for note in source.notes:
        say(note)
    with partial_folder(folder) as partial:
        splits, repeated, leaks = choose_splits(source, recipe.get("validation_fraction", VALIDATION_FRACTION))
        packages = ["numpy", "tiktoken"] + ["gigatoken"] * has_gigatoken()
        if encoding is None and asked == tokenizer.GPT2_VOCAB_SIZE:
            encoding = tokenizer.gpt2()
        elif encoding is None:
            encoding = train_vocabulary(splits["train"], asked)
            packages.append("tokenizers")
        counts, leaked = encode_splits(splits, leaks, "drop_leaks" in recipe, encoding, threads, partial)
        for split in counts:
            if not counts[split]["stories"]:
                why = f"empty rows: {splits[split].empty:,}"
                why += f"; --drop_leaks leaves {leaked:,} out" if leaked else ""
                raise UserError(f"the {split} split of {name} has no stories ({why}): add some, or leave the split out")
        if sources.source_stamp(name) != stamp:
            raise UserError(f"{name} changed while it was read: run the same command again")

        first_bad = next((split.first_bad for split in source.splits.values() if split.bad), None)
        meta = recipe | {
            "vocab_size": encoding.n_vocab,
            **({} if asked in (None, encoding.n_vocab) else {"asked_vocab_size": asked}),
            "splits": counts,
            "empty_rows": sum(split.empty for split in source.splits.values()),
            "bad_rows": sum(split.bad for split in source.splits.values()),
            "first_bad_row": first_bad and f"{first_bad.where}: {first_bad.reason}",
            "marked_stories": sum(split.marked for split in source.splits.values()),
            "repeated_stories": repeated,
            "leaked_stories": leaked,
            "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        }
        return write_description(partial, encoding, meta)


def choose_splits(source, fraction):
    """(splits, repeated, leaks) of a `Source`, whose own validation split comes before a `fraction` of its stories.

    repeated: how many stories are equal to an earlier one, or None. leaks: the `Leaks` of an own validation split.
    """
    splits = source.splits
    say_story("first", next(iter(splits["train"]), ""))
    if "validation" in splits:
        if fraction != VALIDATION_FRACTION:
            say("--validation_fraction means nothing here: the source has a validation split")
        return splits, None, Leaks(splits["validation"])
    least = LEAST_STORIES if fraction == VALIDATION_FRACTION else 0
    splits, repeated = split_off_validation(splits["train"], fraction, least)
    if source.splits["train"].stories == 1:
        end = next(iter(splits["validation"]))
        say(f"one continuous text: its last {len(end):,} letters are for validation")
    else:
        say_story("last", source.splits["train"].last)
    return splits, repeated, None


def train_vocabulary(train, vocab_size):
    """The encoding of a vocabulary that is trained on a split; vocab_size: None for what fits."""
    bar = tqdm(train, "vocabulary: reading", total=train.rows, disable=None, unit=" stories", unit_scale=True)
    encoding, reason = vocabulary.train_vocabulary(bar, vocab_size)
    say(f"vocabulary: {encoding.n_vocab:,} tokens, trained on the stories{reason and f', {reason}'}")
    return encoding


def encode_splits(splits, leaks, drop_leaks, encoding, threads, folder):
    """Write train.bin and validation.bin; returns ({split: counts}, how many stories leaked, None without `leaks`)."""

    def encode(split, stories, rows):
        description = f"{split}: tokenizing and writing"
        return encode_split(description, stories, rows, encoding, threads, folder / f"{split}.bin")

    train, validation, leaked = splits["train"], splits["validation"], None
    counts = {"train": encode("train", leaks.watch(train) if leaks else train, train.rows)}
    if leaks:
        say_story("last", train.last)
        if leaked := leaks.count():
            say(
                f"{counted(leaked, 'story of validation is', 'stories of validation are')} in train too (one begins:"
                f" {leaks.first[:BEGINNING]}):"
                + (" left out of validation" if drop_leaks else " --drop_leaks leaves them out")
            )
        validation = leaks.without() if drop_leaks else validation
    return counts | {"validation": encode("validation", validation, validation.rows)}, leaked


def say_story(which, story):
    """Show how a story begins, as it is trained on."""
    if story:
        say(f"the {which} story begins: {story[:BEGINNING]}{' ...' if len(story) > BEGINNING else ''}")


def summary(folder, meta, command):
    """What was prepared, as a list of lines: the splits, what was left out or repeats, and what comes next."""
    lines = [f"{'':12}{'stories':>12}{'tokens':>15}{'text bytes':>15}{'longest story':>20}"]
    for name, counts in meta["splits"].items():
        longest = counts.get("longest_story", "")
        longest = longest and counted(longest, "token")
        row = f"{name:12}{counts['stories']:>12,}{counts['tokens']:>15,}{counts['text_bytes']:>15,}{longest:>20}"
        lines.append(row.rstrip())
    for key, text in (
        ("empty_rows", "empty rows, left out"),
        ("bad_rows", f"rows that cannot be read, left out (the first: {meta.get('first_bad_row')})"),
        ("repeated_stories", "stories equal to an earlier one, kept (equal stories are in one split)"),
        ("marked_stories", "stories with <|endoftext|> inside (it is read as text)"),
    ):
        if meta.get(key):
            lines.append(f"{text}: {meta[key]:,}")
    return [*lines, f"vocabulary {meta['vocab_size']:,} in {folder}", f"next: {command}"]


def main():
    options = parse_options()
    encoding = None
    if options.vocab_of:
        options.vocab_of = os.path.expanduser(options.vocab_of)
        encoding = vocabulary_of(options.vocab_of)
    folder = Path("data") / options.name
    recipe = {
        "source": options.dataset,
        "source_stamp": sources.source_stamp(options.dataset),
        "text_column": options.text_column,
        "validation_fraction": options.validation_fraction,
        "vocab_of": tokenizer.sha256(tokenizer.to_text(encoding)) if encoding else None,
    }
    if encoding or options.vocab_size:  # else what fits, and any that is there
        recipe["vocab_size"] = encoding.n_vocab if encoding else options.vocab_size
    recipe |= {key: getattr(options, key) for key in OPTIONAL if getattr(options, key)}
    start = time.perf_counter()
    meta = None if options.force else prepared_already(folder, recipe, OPTIONAL)
    if meta:
        say(f"{folder} is already prepared (--force rebuilds it)")
        with contextlib.suppress(UserError), partial_folder(folder):
            pass  # what a killed prepare.py left there goes
    else:
        meta = prepare(recipe, folder, options.threads, encoding, options.streaming, options.allow_bad_rows)
        say(f"prepared in {time.perf_counter() - start:.1f} s")
    command = train_command(folder, meta, options.vocab_of)
    for line in summary(folder, meta, command):
        say(line)
    if not options.vocab_of and fitting_recipe(folder, meta) != "sample":
        say(f"without a GPU: {train_command(folder, meta, recipe='sample')}")


if __name__ == "__main__":
    run_script(main)
