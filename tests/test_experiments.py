"""experiments/: the table of runs."""

import csv
import sys
from types import SimpleNamespace

import pytest
from conftest import ROOT, SMALL_RUN, assert_mistake, call

from experiments import runs
from slm.config import merge_config
from slm.config_parser import parse_command_line, read_config_file
from slm.errors import UserError


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


def test_a_table_keeps_its_columns(here):
    """Rows of other columns are not added below the old ones; the mistake shows them, since a run may be hours."""
    table = here / "table.csv"
    runs.add(table, ["what", "loss"], {"what": "a"}, {"what": "b", "loss": 2})
    runs.add(table, ["what", "loss"], {"what": "c", "loss": 3})
    assert runs.read_table(table) == [{"what": "a", "loss": ""}, {"what": "b", "loss": "2"}, {"what": "c", "loss": "3"}]
    before = table.read_bytes()
    with pytest.raises(UserError, match=r"other columns than what,seed,loss.*'seed': 4"):
        runs.add(table, ["what", "seed", "loss"], {"what": "d", "seed": 4, "loss": 5})
    with pytest.raises(UserError, match=r"nowhere.*'loss': 6"):
        runs.add(here / "nowhere" / "table.csv", ["what", "loss"], {"what": "e", "loss": 6})
    assert table.read_bytes() == before
