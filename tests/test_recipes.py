"""config/*.py: each recipe trains, and so does each command that a recipe's docstring names."""

import re
import shlex

import pytest
from conftest import ROOT, SMALL_RUN, call, log_of

RECIPES = sorted(path.name for path in (ROOT / "config").glob("*.py") if path.name != "finetune.py")
# the size of a test; the optimizer and its rates remain the recipe's
TINY = [option for option in SMALL_RUN if not option.startswith("--dropout")]


def commands_of(recipe):
    """The arguments of each `python train.py` line in the recipe's docstring."""
    text = (ROOT / "config" / recipe).read_text(encoding="utf-8")
    return [shlex.split(line) for line in re.findall(r"^    python .*?train\.py (.*)$", text, re.MULTILINE)] or [
        [f"config/{recipe}"]
    ]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_trains(here, recipe):
    for number, (config, *options) in enumerate(commands_of(recipe)):
        assert config == f"config/{recipe}"
        result = call("train.py", ROOT / config, *options, *TINY, f"--out_dir=out/{number}")
        assert result.status == 0, result.err
        first, last = [float(row["val_loss"]) for row in log_of(f"out/{number}") if row["val_loss"]]
        assert last < first


def test_the_tutorials_optimizer_is_one_line(here):
    muon, adamw = commands_of("tinystories.py")
    assert muon == ["config/tinystories.py"] and "--optimizer=adamw" in adamw
    given = {option.split("=")[0] for option in adamw[1:]}
    assert given == {"--optimizer", "--learning_rate", "--beta2", "--warmup_iters"}  # what Muon's values replace
