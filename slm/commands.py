"""The commands that follow each other: what prepares a recipe's corpus, and what trains on a prepared one."""

import shlex
from pathlib import Path
from typing import NamedTuple

from slm.files import ROOT

SMALL_CORPUS, SMALLEST_CORPUS = 50_000_000, 5_000_000  # bytes of text; fewer ask for many passes, or a smaller model


class Recipe(NamedTuple):
    """What a file in config/ says that another command needs."""

    dataset: str
    block_size: int
    prepare: str  # the options of prepare.py that make the dataset


RECIPES = {
    "sample": Recipe("sample", 192, "--dataset sample"),
    "small_corpus": Recipe("my_stories", 256, "--dataset my_stories.txt --vocab_size 8192"),
    "finetune": Recipe("my_text", 128, "--dataset my_text.txt --vocab_of out/tinystories"),
    "tinystories": Recipe("tinystories", 128, ""),
    "tinystories_8k": Recipe("tinystories_8k", 256, "--vocab_size 8192 --name tinystories_8k"),
    "tinystories_t4": Recipe("tinystories_8k", 256, "--vocab_size 8192 --name tinystories_8k"),
    "tinystories_30m": Recipe("tinystories_8k", 512, "--vocab_size 8192 --name tinystories_8k"),
}


def prepare_command(dataset):
    """The command that prepares `dataset`, a name under data/: a recipe's, or one that the user completes."""
    for recipe in RECIPES.values():
        if recipe.dataset == dataset:
            return f"python prepare.py {recipe.prepare}".strip()
    return f"python prepare.py --dataset YOUR_TEXT --name {dataset}"


def fitting_recipe(folder, meta):
    """The name of the recipe in config/ for a prepared folder: its own, else by the size of the text."""
    if folder.name in RECIPES and RECIPES[folder.name].dataset == folder.name:
        return folder.name
    size = meta["splits"]["train"]["text_bytes"]
    return "sample" if size < SMALLEST_CORPUS else "small_corpus" if size < SMALL_CORPUS else "tinystories_8k"


def train_command(folder, meta, vocab_of=None, block_size=None, recipe=None):
    """The command that trains on a prepared folder, with a context that is in each of its splits.

    vocab_of, block_size: the model to fine-tune, and its context. recipe: its name in config/; None takes the fitting.
    """
    name = "finetune" if vocab_of else recipe or fitting_recipe(folder, meta)
    options = [f"--init_from={vocab_of}"] if vocab_of else []
    if not name == RECIPES[name].dataset == folder.name:
        options.append(f"--dataset={folder.name}")
    shortest = min(split["tokens"] for split in meta["splits"].values())
    if shortest < (block_size or RECIPES[name].block_size):  # train.py needs a window of block_size in each split
        options.append(f"--block_size={2 ** (shortest.bit_length() - 1)}")
    here = Path() if Path.cwd() == ROOT else ROOT
    return shlex.join(["python", str(here / "train.py"), str(here / "config" / f"{name}.py"), *options])
