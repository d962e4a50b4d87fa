"""slm/commands.py: the command that comes next, and that it agrees with the recipes in config/."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

from slm import commands
from slm.config_parser import read_config_file


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.py")), ids=lambda path: path.stem)
def test_the_table_is_what_the_recipes_say(path):
    recipe, values = commands.RECIPES[path.stem], read_config_file(path)
    assert recipe.dataset == values["dataset"]
    command = re.search(r"^ +(python prepare\.py.*?)(?: &&.*)?$", path.read_text(), re.M)[1]
    assert f"python prepare.py {recipe.prepare}".strip() == command
    assert sorted(commands.RECIPES) == sorted(other.stem for other in path.parent.glob("*.py"))


def test_what_prepares_a_dataset():
    assert commands.prepare_command("sample") == "python prepare.py --dataset sample"
    assert commands.prepare_command("tinystories_8k").startswith("python prepare.py --vocab_size 8192")
    assert commands.prepare_command("tinystories") == "python prepare.py"
    assert commands.prepare_command("mine") == "python prepare.py --dataset YOUR_TEXT --name mine"


def command(name, text_bytes, **fine_tune):
    splits = {"train": {"text_bytes": text_bytes}}
    words = shlex.split(commands.train_command(Path("data") / name, {"splits": splits}, **fine_tune))
    assert words[0] == "python" and Path(words[1]).is_file() and Path(words[2]).is_file()
    return " ".join([Path(words[2]).name, *words[3:]])


def test_the_recipe_fits_the_corpus():
    assert command("tinystories_8k", 4_000_000) == "tinystories_8k.py"
    assert command("mine", 300_000) == "sample.py --dataset=mine"
    assert command("mine", 40_000_000) == "small_corpus.py --dataset=mine"
    assert command("mine", 400_000_000) == "tinystories_8k.py --dataset=mine"
    assert command("finetune", 40_000_000) == "small_corpus.py --dataset=finetune"
    tuned = command("mine", 4_000, vocab_of="out/my run")
    assert tuned == "finetune.py --init_from=out/my run --dataset=mine"


def test_the_command_is_for_the_folder_one_is_in(tmp_path, monkeypatch):
    meta = {"splits": {"train": {"text_bytes": 10}}}
    monkeypatch.chdir(ROOT)
    assert commands.train_command(Path("data/x"), meta) == "python train.py config/sample.py --dataset=x"
    monkeypatch.chdir(tmp_path)
    spaced = tmp_path / "my clone"
    monkeypatch.setattr(commands, "ROOT", spaced)
    words = shlex.split(commands.train_command(Path("data/x"), meta))
    assert words == ["python", f"{spaced}/train.py", f"{spaced}/config/sample.py", "--dataset=x"]


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="needs git and a clone")
def test_what_the_readme_exports_is_ignored_by_git():
    """And no file of the repository is."""
    targets = re.findall(r"^python export\.py \S+ (\S+)", (ROOT / "README.md").read_text(), re.M)
    assert {Path(name).suffix for name in targets} >= {".html", ""}
    names = [name if Path(name).suffix else f"{name}/config.json" for name in targets]

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()

    assert git("check-ignore", *names) == names
    assert git("ls-files", "--cached", "--ignored", "--exclude-standard") == []
