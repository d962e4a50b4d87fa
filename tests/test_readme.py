"""The README's commands: they are there, they name files and options that exist, and the way it shows works."""

import re
import shlex

import pytest
from conftest import ROOT, call

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    command.split("#")[0].strip()
    for block in BLOCKS
    for line in block.splitlines()
    for command in line.split("&&")
    if command.strip()
] + re.findall(r"`((?:python|torchrun) [^`]+\.py[^`]*)`", README)


def test_the_first_two_blocks_are_one_line_each():
    """The first makes the whole way, the second runs the tests: `.ci/run` takes it from here."""
    first, second = BLOCKS[:2]
    assert first.count("\n") == second.count("\n") == 1
    for step in ("requirements.txt", "prepare.py --dataset sample", "train.py config/sample.py", "sample.py --prompt"):
        assert step in first
    assert second.strip().endswith("python -m pytest")
    assert "```" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize("command", [command for command in COMMANDS if ".py" in command])
def test_commands_name_what_exists(command):
    words = shlex.split(command)
    script = next(i for i, word in enumerate(words) if word.endswith(".py"))
    assert (ROOT / words[script]).exists()
    known = call(words[script], "--help").out
    for word in words[script + 1 :]:
        if word.startswith("--"):
            assert re.search(rf"  {re.escape(word.split('=')[0])}\b", known), word
        elif word.startswith("config/"):
            assert (ROOT / word).exists(), word


def test_files_it_speaks_of_exist():
    for name in re.findall(r"`((?:[\w.-]+/)*[\w.-]+\.py)`", README):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"`data/([0-9a-f]{40})`", README):
        assert (ROOT / "data" / name).exists()


def test_options_it_speaks_of_exist():
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    known = "".join(call(script, "--help").out for script in ("prepare.py", "train.py", "sample.py", "export.py"))
    for name in set(re.findall(r"`--(\w+)", text)) - {"help", "name"}:
        assert re.search(rf"  --{name}\b", known), name
