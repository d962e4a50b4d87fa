"""README, docs and recipes are true: their commands, options, files and pictures exist. The pictures can be drawn."""

import ast
import functools
import re
import shlex
import subprocess
import tomllib

import pytest
from conftest import ROOT, call, parse_options

import bench
from docs.draw_pictures import draw_batch, draw_values, read_lines
from experiments import changes
from experiments.tables import split_arguments
from slm.config import merge_config
from slm.config_parser import command_line_layers, parse_command_line

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("[de]*/*.md"))]
}
RECIPES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "config").glob("*.py"))}
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands_of(page):
    """The commands in a page's fenced blocks and between backticks that start a script of this repository."""
    lines = [line for _, block in FENCED.findall(page) for line in block.splitlines()]
    lines += [line for line in page.splitlines() if line.startswith("    python ")]  # a recipe's docstring
    commands = [part.split(" #")[0].strip().lstrip("!") for line in lines for part in line.split("&&")]
    commands += re.findall(r"`([^`\n]+)`", FENCED.sub("", page))
    return [
        command for command in commands if re.match(r"(python|torchrun) .*(\.py\b|-m (experiments|docs)\.)", command)
    ]


# they take train.py's options
OF_A_RUN = ["train.py", "bench.py"]
OF_A_RUN += [f"experiments/{name}.py" for name in ("start", "step_profile", "scaling_process")]


def commands_of_docstring(path):
    """The commands at the beginning of a script, without the remarks behind them."""
    lines = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()
    lines = [re.split(r" {3,}|, or ", line.strip())[0] for line in lines if line.startswith("    ")]
    return [line for line in lines if line.startswith(("python ", "torchrun "))]


SCRIPTS = [path for folder in (ROOT, ROOT / "experiments") for path in sorted(folder.glob("*.py"))]
COMMANDS = {command for page in [*PAGES.values(), *RECIPES.values()] for command in commands_of(page)}
COMMANDS = sorted(COMMANDS.union(*map(commands_of_docstring, SCRIPTS)))


@functools.cache
def options_of(script):
    """The options that a script's --help lists; bench.py takes train.py's."""
    scripts = ["bench.py", "train.py"] if script == "bench.py" else [script]
    return {name for script in scripts for name in re.findall(r"^  (--\w+)", call(script, "--help").out, re.MULTILINE)}


def test_the_users_three_commands_come_first():
    first, *others = [block.splitlines() for _, block in FENCED.findall(README)]
    commands = [line.split(" #")[0].rstrip() for line in first]
    assert commands[-3:] == [
        "python prepare.py",
        "python train.py config/tinystories.py",
        'python sample.py --prompt "Once upon a time"',
    ]
    assert commands[:-3] == ["python -m pip install -r requirements.txt"]
    assert "--vocab_size 8192" in others[0][0]  # and then half the work


def test_the_ci_finds_the_readmes_test_command():
    """As awk does, which `.ci/run` calls: the one line with `python -m pytest` in a fenced block."""
    (search,) = re.findall(r"^command=\$\(awk '(.*)' README.md\)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    found = subprocess.run(["awk", search, ROOT / "README.md"], capture_output=True, text=True, check=True).stdout
    assert found == "python -m pip install -r requirements.txt -r tests/requirements.txt && python -m pytest\n"


def test_the_repositorys_address_is_the_same_everywhere():
    """CONTRIBUTING.md has the command that fills it in."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name = project["urls"]["Repository"].removeprefix("https://github.com/")
    notebook = (ROOT / "docs" / "colab.ipynb").read_text(encoding="utf-8")
    assert f"https://colab.research.google.com/github/{name}/blob/main/docs/colab.ipynb" in README
    assert f"https://github.com/{name}/releases/latest/download/sample.pt" in README
    assert f'\\"https://github.com/{name}\\"' in notebook
    placeholder = "/".join(["OWNER", "REPOSITORY"])
    left = [page for page, text in PAGES.items() if placeholder in text and page != "CONTRIBUTING.md"]
    assert name == placeholder or (not left and placeholder not in notebook)


def test_the_readme_has_at_most_2000_words():
    assert len(README.split()) <= 2000


def test_there_are_commands_of_every_script():
    for script in ("prepare.py", "train.py", "sample.py", "evaluate.py", "export.py", "bench.py"):
        assert any(f" {script} " in command for command in COMMANDS), script


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_names_what_exists(command):
    words = shlex.split(command)
    if "-m" in words:
        module = words[words.index("-m") + 1]
        assert (ROOT / f"{module.replace('.', '/')}.py").exists()
        return
    place = next(i for i, word in enumerate(words) if word.endswith(".py"))
    assert (ROOT / words[place]).exists()
    for word in words[place + 1 :]:
        if word.startswith("--"):
            assert word.split("=")[0] in options_of(words[place]) | {"--help"}, word
        elif word.startswith("config/"):
            assert (ROOT / word).exists(), word


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_values_that_its_script_takes(command, monkeypatch):
    """Parsed as the script does, up to the first file that it would read."""
    monkeypatch.chdir(ROOT)
    words = shlex.split(re.split(" [|>] ", command)[0])
    start = words.index("-m") + 1 if "-m" in words else next(i for i, word in enumerate(words) if word.endswith(".py"))
    script, arguments = words[start].removesuffix(".py").replace(".", "/") + ".py", words[start + 1 :]
    if "--help" in arguments or script.startswith("docs/"):
        return
    if script not in OF_A_RUN:
        options = parse_options(script, arguments)
        if script == "experiments/levers.py":
            parse_command_line(split_arguments(options.arguments))
            assert all(map(changes.parse, options.levers.split(",")))
        return
    there = [word for word in arguments if word.startswith("--") or word in bench.STAGES or (ROOT / word).exists()]
    there += [] if any(word.startswith("config/") for word in there) else ["config/sample.py"]
    config = bench.read_arguments(there)[2] if script == "bench.py" else merge_config(*command_line_layers(there))[0]
    config.check()


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_speaks_of_exists(page):
    text = PAGES[page]
    folder = (ROOT / page).parent
    for target in re.findall(r"""(?:\]\(|src=")([^)":#]+)[)"]""", text):
        assert (folder / target).exists(), target
    for name in re.findall(r"`((?:slm|config|tests|experiments|docs|data)/[\w./-]+\.\w+)`", text):
        assert (ROOT / name).exists() or "NAME" in name, name
    known = set().union(*map(options_of, ("prepare.py", "train.py", "sample.py", "evaluate.py", "export.py"))) | {
        "--help",
        "--name",
    }
    for name in re.findall(r"`(--\w+)[=`]", text):
        assert name in known, name


def test_the_tree_has_every_module():
    tree = FENCED.findall(README)[-1][1]
    assert set(re.findall(r"(\w+\.py)\b", tree)) == {
        path.name for path in [*ROOT.glob("*.py"), *(ROOT / "slm").rglob("*.py")] if path.name != "__init__.py"
    }


def test_every_recipe_is_in_the_readme():
    for name in RECIPES:
        assert f"| `config/{name}` |" in README


def test_the_lines_that_may_be_read_in_an_evening_are_counted():
    files = re.search(r"((?:`[\w/]+\.py`(?:, | and )?)+)\s+take a story", README)[1]
    lines = sum(len((ROOT / name).read_text().splitlines()) for name in re.findall(r"`([^`]+)`", files))
    claimed = int(re.search(r"([\d,]+)\s+lines, an evening", README)[1].replace(",", ""))
    assert abs(lines - claimed) <= 50, lines


def test_pictures_are_drawn(tmp_path):
    draw_batch(tmp_path / "batch.png")
    draw_values(tmp_path / "values.png", ROOT / "experiments" / "runs.csv")
    for name in ("batch.png", "values.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_line_joins_runs_that_differ_in_one_value(tmp_path):
    header = "what,val_bpb,tokens,options,corpus_tokens\n"
    rows = [
        ("a", 0.9, "--dropout=0.1 --learning_rate=1e-3"),
        ("a", 0.7, "--dropout=0.1 --learning_rate=1e-3"),  # another seed
        ("b", 0.5, "--dropout=0.3 --learning_rate=1e-3"),
        ("c", 0.4, "--dropout=0.3 --learning_rate=4e-3"),  # two differences to a, and to min_lr's part of the rate
        ("d", 0.3, "--dropout=0.5 --learning_rate=1e-3 --optimizer=muon"),
        ("e", 0.2, "--dropout=0.1 --learning_rate=1e-3 --n_embd=192"),  # config/sample.py's width is left out
        ("f", 0.1, "--dropout=0.5 --learning_rate=1e-3 --warmup_iters=500"),  # and a long warm-up
        ("e", 0.1, "--dropout=0.3 --learning_rate=1e-3 --n_embd=192"),
    ]
    lines = "".join(f"{what},{bpb},1000000,{options},1000000\n" for what, bpb, options in rows)
    (tmp_path / "runs.csv").write_text(header + lines)
    ((kind, line),) = read_lines(tmp_path / "runs.csv", "dropout")
    assert kind == "a pass and a half"
    assert line == [(0.1, pytest.approx(0.8)), (0.3, pytest.approx(0.5))]
    assert read_lines(tmp_path / "runs.csv", "learning_rate") == []
