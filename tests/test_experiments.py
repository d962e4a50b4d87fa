"""experiments/: the report on a model's stories, and the table of runs."""

import csv
import random
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT, SMALL_RUN, assert_mistake, call

from experiments import report, runs
from slm.config import merge_config
from slm.config_parser import parse_command_line, read_config_file


@pytest.fixture
def tokens(monkeypatch):
    """400 random tokens of 4 kinds, looked at 50 at a time, and so few first bits that other n-grams share them."""
    monkeypatch.setattr(report, "CHUNK", 50)
    monkeypatch.setattr(report, "FIRST_BITS", 4)
    return np.random.default_rng(0).integers(0, 4, 400, np.uint16)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13])
def test_copied_ngrams_are_found(tokens, n):
    """Each place of each of them, also those across two looks."""
    known = [tuple(tokens[i : i + n].tolist()) for i in range(len(tokens) - n + 1)]
    draws = random.Random(n)
    stories = [np.array(draws.choices(range(5), k=length), int) for length in (30, n, n - 1, 0)] + [tokens[44 : 60 + n]]
    wanted = {tuple(story[i : i + n].tolist()) for story in stories for i in range(len(story) - n + 1)}
    places, grams = report.find_copies(stories, tokens, n)
    assert places.tolist() == [place for place, gram in enumerate(known) if gram in wanted]
    assert grams.tolist() == report.hashes(tokens, n)[places].tolist()


def test_nothing_is_copied_by_stories_that_are_too_short(tokens):
    for stories in ([np.array([1, 2]), np.array([], int)], []):
        assert [found.tolist() for found in report.find_copies(stories, tokens, 13)] == [[], []]


def longest(stories, tokens, n=13):
    stories = [np.array(story, int) for story in stories]
    return report.longest_copy(stories, tokens, *report.find_copies(stories, tokens, n), n)


def test_longest_copy(tokens):
    assert longest([[9, 9, *tokens[90:137], 9], [9, *tokens[7:20]]], tokens) == 47
    assert longest([[*tokens[380:], 9, 9]], tokens) == 20, "at the end of the corpus"
    assert longest([[9, *tokens[7:20]]], tokens) == 13
    assert longest([[9, *tokens[7:19], 9, 9]], tokens) == longest([[9, 9]], tokens) == longest([], tokens) == 0


def test_openings():
    assert report.opening("Once upon a time, there was a girl named Lily. Lily ran.")[1] == "Lily"
    assert report.opening("One day, Tom had a ball.") == ("One day, Tom", "Tom")
    assert report.opening("The cat sat. It slept.") is None
    assert report.opening("x" * 195 + ", Lily sat.")[1] == "Lily", "a name is cut in two"
    assert report.opening("x" * 300 + ", Lily sat.") is None


def test_report(here, workshop):
    result = call("experiments/report.py", "--model", workshop.path / "out/small", "--num_samples", "5", "--seed", "1")
    assert result.status == 0, result.err
    rows = {line[:22].strip(): line[22:].split() for line in result.out.splitlines()[2:]}
    assert rows.pop("")[-1] == "stories"
    assert list(rows) == [
        "end by themselves",
        "tokens",
        "distinct 4-grams",
        "copied 13-grams",
        "longest copy",
        "the name comes back",
    ]
    assert rows["end by themselves"][1] == "100%"
    assert int(rows["longest copy"][1]) > 13, "the sample's stories share their plots"
    assert int(rows["tokens"][0]) > 0


def test_report_mistakes(here, workshop):
    assert_mistake(call("experiments/report.py", "--model", "nowhere"), "nowhere")
    assert_mistake(call("experiments/report.py", "--model", workshop.path / "out/small", "--num_samples", "0"), "1")
    assert_mistake(call("experiments/report.py", "--temperature", "nan"), "--temperature")
    assert_mistake(call("experiments/report.py", "--seed", "-1"), "--seed")


def test_a_table_of_runs(here, monkeypatch):
    monkeypatch.setattr(runs, "TABLE", here / "runs.csv")
    monkeypatch.setattr(runs, "PLOT", here / "runs.png")
    commands = []

    def run(command):
        """In this process, in place of another one."""
        commands.append(command)
        return SimpleNamespace(returncode=call("train.py", *command[2:]).status)

    monkeypatch.setattr(runs, "subprocess", SimpleNamespace(run=run))
    options = " ".join(option for option in SMALL_RUN if not option.startswith("--max_iters"))
    (here / "two.txt").write_text(f"# rates\nrate 1e-3: {options} --max_iters=6\n\nbroken: {options} --max_iters=0\n")
    monkeypatch.setattr("sys.argv", ["runs.py", "two.txt"])
    runs.main()
    (row,) = csv.DictReader((here / "runs.csv").open())
    assert row["what"] == "rate 1e-3" and 0 < float(row["best_bpb"]) <= float(row["val_bpb"])
    assert int(row["tokens"]) == 6 * 8 * 32 and row["seed"] == "1337" and "--max_iters=6" in row["options"]
    assert (here / "runs.png").read_bytes().startswith(b"\x89PNG")
    assert not (here / "out").exists()
    assert [command[:2] for command in commands] == 2 * [[sys.executable, str(ROOT / "train.py")]]


def test_recipes_say_how_the_table_was_made(monkeypatch):
    """Each line of recipes.txt is in runs.csv, which may have grown: the same name, the same seed, the same options."""
    monkeypatch.chdir(ROOT)
    listed = []
    for what, arguments in runs.read_runs("experiments/recipes.txt"):
        path, chosen = parse_command_line(arguments)
        config, _ = merge_config(("file", read_config_file(path)), ("line", chosen))
        config.check()
        options = {name: value for name, value in vars(config).items() if name not in runs.NOT_LISTED}
        listed.append((what, str(config.seed), runs.as_arguments(options)))
    assert set(listed) <= {(row["what"], row["seed"], row["options"]) for row in runs.read_table(runs.TABLE)}


def test_mistakes_in_a_file_of_runs(here):
    (here / "bad.txt").write_text("config/tinystories.py --max_iters=2\n")
    assert_mistake(call("experiments/runs.py", "bad.txt"), "bad.txt, line 1")
    assert_mistake(call("experiments/runs.py", "none.txt"), "none.txt")
    for line in (": --max_iters=2", "nothing:", "what: --out_dir='abc", "what: --max_iter=2"):
        (here / "bad.txt").write_text(line)
        assert_mistake(call("experiments/runs.py", "bad.txt"), "bad.txt, line 1")
