"""The commands that follow each other: what prepares a recipe's corpus, and what trains on a prepared one."""

import shlex
from pathlib import Path
from typing import NamedTuple

from slm.files import ROOT

SMALL_CORPUS, SMALLEST_CORPUS = 50_000_000, 5_000_000  # bytes of text; fewer ask for many passes, or a smaller model
# of the recipes' data sets, 50257 being GPT-2's; another text gets the size that fits it
VOCAB_SIZES = {"sample": 2048, "tinystories": 50257, "tinystories_8k": 8192}


class Recipe(NamedTuple):
    """What a file in config/ says that another command needs."""

    dataset: str
    prepare: str  # the options of prepare.py that make the dataset


PREPARE_8K = f"--vocab_size {VOCAB_SIZES['tinystories_8k']} --name tinystories_8k"
RECIPES = {
    "sample": Recipe("sample", "--dataset sample"),
    "small_corpus": Recipe("my_stories", "--dataset my_stories.txt --vocab_size 8192"),
    "finetune": Recipe("my_text", "--dataset my_text.txt --vocab_of out/tinystories"),
    "tinystories": Recipe("tinystories", ""),
    "tinystories_8k": Recipe("tinystories_8k", PREPARE_8K),
    "tinystories_t4": Recipe("tinystories_8k", PREPARE_8K),
    "tinystories_30m": Recipe("tinystories_8k", PREPARE_8K),
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


def train_command(folder, meta, vocab_of=None, recipe=None):
    """The command that trains on a prepared folder.

    vocab_of: the model to fine-tune. recipe: its name in config/; None takes the fitting.
    """
    name = "finetune" if vocab_of else recipe or fitting_recipe(folder, meta)
    options = [f"--init_from={vocab_of}"] if vocab_of else []
    if not name == RECIPES[name].dataset == folder.name:
        options.append(f"--dataset={folder.name}")
    here = Path() if Path.cwd() == ROOT else ROOT
    return shlex.join(["python", str(here / "train.py"), str(here / "config" / f"{name}.py"), *options])
