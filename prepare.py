"""Turn stories into tokens: data/NAME/{train.bin, validation.bin, meta.json, tokenizer.tiktoken}.

    python prepare.py                                   TinyStories from the Hugging Face hub, GPT-2's vocabulary
    python prepare.py --vocab_size 8192                 ... and a vocabulary of 8,192 tokens, trained on the stories
    python prepare.py --dataset sample                  the embedded sample: no network, a few seconds
    python prepare.py --dataset my_stories.txt          a .txt, .csv, .tsv, .json, .jsonl or .parquet file, plain, .gz
                                                        or .zst, or a folder of them
    python prepare.py --dataset my_stories.txt --vocab_of out/tinystories      ... to fine-tune that run on

A .bin is a flat array of uint16 token ids, one end-of-text after each story; meta.json beside it says the rest. The
stories stream through in batches, so memory does not grow with the corpus. New files are written in data/NAME/.partial
and take their final names when all of them are whole, meta.json last: where meta.json is, the rest is too.
"""

import slm.interrupt  # noqa: F401 - first: Ctrl-C during the other imports is a line

# isort: split

import json
import os
import platform
import re
import shlex
import time
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from slm.config import TrainConfig
from slm.config_parser import read_config_file
from slm.errors import UserError, run_script
from slm.files import ROOT, atomic_write
from slm.options import OptionParser
from slm.text import sources, tokenizer
from slm.text.encode import encode_split, has_gigatoken
from slm.text.prepared_folder import PREPARED_FILES, check_name, finish_folder, partial_folder
from slm.text.story_bytes import split_name

SAMPLE_VOCAB_SIZE = 2048
VALIDATION_FRACTION, LEAST_STORIES = 0.02, 20  # of a short text a tenth, up to so many stories
GPT2_NAMES = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")  # on the Hugging Face hub
IF_GIVEN = ("config", "max_stories", "file_is_story")  # options that are in a recipe only where they are given
SMALL_CORPUS, SMALLEST_CORPUS = 50_000_000, 5_000_000  # bytes of text; fewer ask for many passes, or a smaller model


def parse_options():
    parser = OptionParser(__doc__)
    parser.option("--dataset", "roneneldan/TinyStories", "a data set on the hub, `sample`, or a local file or folder")
    parser.option("--name", None, "the folder under data/ (default: the last part of the dataset, in lower case)")
    parser.option("--vocab_size", None, "train so many tokens; 0: GPT-2's vocabulary (default: 0; sample: 2048)", int)
    parser.option("--vocab_of", None, "the vocabulary of a run, checkpoint or exported folder, to fine-tune it")
    parser.option("--text_column", "text", "the column that holds the stories")
    parser.option("--file_is_story", False, "each .txt file of a folder is one story, whatever is in it")
    parser.option("--max_stories", None, "the first N stories of each split that the source has (default: all)", int)
    parser.option("--config", None, "the configuration of a data set on the hub that has several")
    parser.option(
        "--streaming", False, "leave a data set on the hub, which each pass over the stories then reads again (2 to 4)"
    )
    parser.option(
        "--validation_fraction",
        VALIDATION_FRACTION,
        f"to validate on, where the source has no such split; of a short text a tenth, up to {LEAST_STORIES} stories",
        float,
    )
    parser.option("--num_proc", os.cpu_count() or 1, "threads that tokenize", int)
    parser.option("--force", False, "prepare again, even if everything is in place")
    options = parser.parse()

    if not options.name:
        last_part = split_name(Path(options.dataset).expanduser().resolve().name)[0]
        options.name = re.sub(r"[^\w.-]+", "_", last_part).lower()
    check_name(options.name)
    if options.vocab_of and options.vocab_size is not None:
        raise UserError("--vocab_of brings its own vocabulary size: leave --vocab_size out")
    if options.vocab_size is None:
        options.vocab_size = SAMPLE_VOCAB_SIZE if options.dataset == "sample" else 0
    options.vocab_size = options.vocab_size or tokenizer.GPT2_VOCAB_SIZE
    if not tokenizer.SMALLEST_VOCAB_SIZE <= options.vocab_size <= tokenizer.GPT2_VOCAB_SIZE:
        bounds = f"{tokenizer.SMALLEST_VOCAB_SIZE} to {tokenizer.GPT2_VOCAB_SIZE}"
        raise UserError(f"--vocab_size must be 0 or {bounds}, not {options.vocab_size}")
    if options.max_stories is not None and options.max_stories < 1:
        raise UserError(f"--max_stories must be at least 1, not {options.max_stories}")
    if options.num_proc < 1:
        raise UserError(f"--num_proc must be at least 1, not {options.num_proc}")
    return options


def model_to_tune(name):
    """(encoding, block_size) of a run, a checkpoint file or a Hugging Face folder. Raises UserError."""
    if name in GPT2_NAMES and not os.path.exists(name):
        return tokenizer.gpt2(), 1024  # without a download
    from slm.models import load  # and with it PyTorch, which nothing else here needs

    contents, _ = load.read_model(name)
    return tokenizer.from_text(contents["tokenizer"]), contents["model_config"]["block_size"]


def prepare(recipe, folder, threads, encoding=None, streaming=False):
    """Write what `recipe` (the first entries of meta.json) says into `folder`, and return the contents of meta.json.

    encoding: the vocabulary to use; None makes one from the stories. streaming: leave a data set on the hub.
    Raises UserError; the old files are then whole.
    """
    # the source and its splits
    if_given = {key: recipe[key] for key in IF_GIVEN if key in recipe}
    source = sources.open_source(recipe["source"], recipe["text_column"], streaming=streaming, **if_given)
    for note in source.notes:
        print(note)
    stamp = sources.source_stamp(recipe["source"])
    with partial_folder(folder) as partial:
        splits, repeated = source.splits, None
        if "validation" in splits:
            if recipe.get("validation_fraction", VALIDATION_FRACTION) != VALIDATION_FRACTION:
                print("--validation_fraction means nothing here: the source has a validation split")
        else:
            fraction = recipe["validation_fraction"]
            least = LEAST_STORIES if fraction == VALIDATION_FRACTION else 0
            splits, repeated = sources.split_off_validation(splits["train"], fraction, least)

        # the vocabulary
        packages = ["numpy", "tiktoken"] + ["gigatoken"] * has_gigatoken()
        if encoding is None and recipe["vocab_size"] == tokenizer.GPT2_VOCAB_SIZE:
            encoding = tokenizer.gpt2()
        elif encoding is None:
            print(f"vocabulary: training {recipe['vocab_size']:,} tokens on the stories", flush=True)
            train, units = splits["train"], {"unit": " stories", "unit_scale": True}
            bar = tqdm(train, "vocabulary: reading", total=train.rows, disable=None, **units)
            encoding = tokenizer.train_bpe(bar, recipe["vocab_size"])
            packages.append("tokenizers")

        # the tokens
        counts = {}
        for name, split in splits.items():
            with atomic_write(partial / f"{name}.bin") as file:
                counts[name] = encode_split(f"{name}: tokenizing and writing", split, encoding, threads, file.write)
            if not counts[name]["stories"]:
                raise UserError(f"the {name} split of {recipe['source']} has no stories (empty rows: {split.empty:,})")
        if sources.source_stamp(recipe["source"]) != stamp:
            raise UserError(f"{recipe['source']} changed while it was read: run the same command again")

        # what they are
        meta = recipe | {
            "splits": counts,
            "empty_rows": sum(split.empty for split in source.splits.values()),
            "marked_stories": sum(split.marked for split in source.splits.values()),
            "repeated_stories": repeated,
            "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        }
        return finish_folder(partial, folder, encoding, meta)


def prepared_already(folder, recipe):
    """The contents of meta.json if `folder` is whole and `recipe` made it, or None where something is missing.

    Raises UserError where another recipe made it, or where it holds files that prepare.py did not write.
    """
    files = [name for name in PREPARED_FILES if (folder / name).exists()]
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        sha256 = meta["tokenizer_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        if files and "tokenizer.tiktoken" not in files:
            raise UserError(
                f"{folder} has a {files[0]} that prepare.py did not write: move it, give another --name, or overwrite"
                " it with --force"
            ) from None
        return None
    try:
        sizes = {name: (folder / f"{name}.bin").stat().st_size for name in meta["splits"]}
        if any(size != 2 * meta["splits"][name]["tokens"] for name, size in sizes.items()):
            return None
        if tokenizer.sha256((folder / meta["tokenizer"]).read_text()) != sha256:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    for key in (*recipe, *(key for key in IF_GIVEN if key not in recipe)):
        if meta.get(key) != recipe.get(key):
            if key == "source_stamp" and meta.get(key) == sources.source_stamp(recipe["source"], hidden=True):
                continue  # prepared when hidden files counted too (until November 2026)
            was = "its source has changed" if key == "source_stamp" else f"it was made with {key} {meta.get(key)}"
            if key in IF_GIVEN and key not in meta:
                was = f"it was made without --{key}"
            raise UserError(
                f"{folder} is prepared already, but {was}: --force rebuilds it, --name puts this one beside it"
            )
    return meta


def fitting_recipe(folder, meta):
    """The name of the recipe in config/ for a prepared folder: its own, else by the size of the text."""
    own = ROOT / "config" / f"{folder.name}.py"
    if own.exists() and read_config_file(own).get("dataset") == folder.name:
        return folder.name
    size = meta["splits"]["train"]["text_bytes"]
    return "sample" if size < SMALLEST_CORPUS else "small_corpus" if size < SMALL_CORPUS else "tinystories_8k"


def train_command(folder, meta, vocab_of=None, block_size=None, recipe=None):
    """The command that trains on a prepared folder, with a context that is in each of its splits.

    vocab_of, block_size: the model to fine-tune, and its context. recipe: its name in config/; None takes the fitting.
    """
    recipe = "finetune" if vocab_of else recipe or fitting_recipe(folder, meta)
    config = ROOT / "config" / f"{recipe}.py"
    values = read_config_file(config)
    options = [f"--init_from={vocab_of}"] if vocab_of else []
    if not recipe == values.get("dataset") == folder.name:
        options.append(f"--dataset={folder.name}")
    block_size = block_size or values.get("block_size", TrainConfig.block_size)
    shortest = min(split["tokens"] for split in meta["splits"].values())
    if shortest < block_size:  # train.py needs one window of block_size tokens in each split
        options.append(f"--block_size={2 ** (shortest.bit_length() - 1)}")
    in_repository = Path.cwd() == ROOT
    scripts = ["train.py", f"config/{recipe}.py"] if in_repository else [str(ROOT / "train.py"), str(config)]
    return shlex.join(["python", *scripts, *options])


def summary(folder, meta, command):
    """What was prepared, as lines of text: the splits, what was left out or repeats, and what comes next."""
    lines = [f"{'':12}{'stories':>12}{'tokens':>15}{'text bytes':>15}{'longest story':>20}"]
    for name, counts in meta["splits"].items():
        longest = counts.get("longest_story", "")  # since November 2026
        longest = longest and f"{longest:,} token{'s' * (longest != 1)}"
        row = f"{name:12}{counts['stories']:>12,}{counts['tokens']:>15,}{counts['text_bytes']:>15,}{longest:>20}"
        lines.append(row.rstrip())
    for key, text in (
        ("empty_rows", "empty rows, left out"),
        ("repeated_stories", "stories equal to an earlier one (all equal stories are in one split)"),
        ("marked_stories", "stories with <|endoftext|> inside (it is read as text)"),
    ):
        if meta.get(key):
            lines.append(f"{text}: {meta[key]:,}")
    if "--block_size" in command:
        lines.append(
            "a split is shorter than the recipe's context: more text, or a larger --validation_fraction, helps"
        )
    return "\n".join([*lines, f"vocabulary {meta['vocab_size']:,} in {folder}", f"next: {command}"])


def main():
    options = parse_options()
    encoding = block_size = None
    if options.vocab_of:
        options.vocab_of = os.path.expanduser(options.vocab_of)
        encoding, block_size = model_to_tune(options.vocab_of)
    folder = Path("data") / options.name
    recipe = {
        "source": options.dataset,
        "source_stamp": sources.source_stamp(options.dataset),
        "text_column": options.text_column,
        "validation_fraction": options.validation_fraction,
        "vocab_size": encoding.n_vocab if encoding else options.vocab_size,
        "vocab_of": tokenizer.sha256(tokenizer.to_text(encoding)) if encoding else None,
    }
    recipe |= {key: getattr(options, key) for key in IF_GIVEN if getattr(options, key)}
    start = time.perf_counter()
    meta = None if options.force else prepared_already(folder, recipe)
    if meta:
        print(f"{folder} is already prepared (--force rebuilds it)")
    else:
        meta = prepare(recipe, folder, options.num_proc, encoding, options.streaming)
        print(f"prepared in {time.perf_counter() - start:.1f} s")
    command = train_command(folder, meta, options.vocab_of, block_size)
    print(summary(folder, meta, command))
    if not options.vocab_of and fitting_recipe(folder, meta) != "sample":
        print(f"without a GPU: {train_command(folder, meta, recipe='sample')}")


if __name__ == "__main__":
    run_script(main)
