"""experiments/: the table of runs."""

import csv
import sys
from types import SimpleNamespace

import pytest
from conftest import ROOT, SMALL_RUN, assert_mistake, call

from experiments import runs, tables
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
        listed.append((what, str(config.seed), tables.as_arguments(vars(config))))
    assert set(listed) <= {
        (row["what"], row["seed"], row["options"]) for row in tables.read_table(runs.TABLE, runs.FIELDS)
    }


SAVED = "what,seed,val_bpb\nbase,1337,0.72\n"


@pytest.mark.parametrize(
    "contents",
    [
        SAVED.replace(",", ";").encode(),
        SAVED.replace("0.72", '"0,72"').encode(),
        SAVED.replace("1337", "1.3e3").encode(),
        SAVED.replace("what,", "").encode(),
        SAVED.encode("utf-16"),
        SAVED.encode()[:-8],
        b"",
        b"what,seed,val_bpb\ncaf\xe9,1,1\n",
    ],
)
def test_a_table_that_a_spreadsheet_saved(tmp_path, contents):
    """It is one sentence, and stays, before a run and after it, when its row is in the sentence."""
    path, fields = tmp_path / "runs.csv", ["what", "seed", "val_bpb"]
    path.write_bytes(contents)
    with pytest.raises(UserError, match="is not as this program wrote it"):
        tables.read_table(path, fields)
    with pytest.raises(UserError, match=r"so this is not in it: .*lever"):
        tables.add(path, fields, {"what": "lever", "seed": 1, "val_bpb": 0.7})
    assert path.read_bytes() == contents and list(tmp_path.iterdir()) == [path]


def test_a_table_saved_again_with_other_line_ends(tmp_path):
    path, fields = tmp_path / "runs.csv", ["what", "seed", "val_bpb"]
    path.write_bytes(b"\xef\xbb\xbf" + SAVED.strip().replace("\n", "\r\n").encode())
    tables.add(path, fields, {"what": "lever", "seed": 1, "val_bpb": 0.7})
    assert path.read_text() == SAVED + "lever,1,0.7\n"


def test_mistakes_in_a_file_of_runs(here):
    (here / "bad.txt").write_text("config/tinystories.py --max_iters=2\n")
    assert_mistake(call("experiments/runs.py", "bad.txt"), "bad.txt, line 1")
    assert_mistake(call("experiments/runs.py", "none.txt"), "none.txt")
    for line in (": --max_iters=2", "nothing:", "what: --out_dir='abc", "what: --max_iter=2"):
        (here / "bad.txt").write_text(line)
        assert_mistake(call("experiments/runs.py", "bad.txt"), "bad.txt, line 1")


def test_a_table_keeps_its_columns(here):
    """Rows of other columns are not added below the old ones; the mistake shows them, since a run may be hours."""
    table, fields = here / "table.csv", ["what", "loss"]
    tables.add(table, fields, {"what": "a"}, {"what": "b", "loss": 2})
    tables.add(table, fields, {"what": "c", "loss": 3})
    rows = [{"what": "a", "loss": ""}, {"what": "b", "loss": "2"}, {"what": "c", "loss": "3"}]
    assert tables.read_table(table, fields) == rows
    before = table.read_bytes()
    with pytest.raises(UserError, match=r"first line is not what,seed,loss.*'seed': 4"):
        tables.add(table, ["what", "seed", "loss"], {"what": "d", "seed": 4, "loss": 5})
    (here / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*'loss': 6"):
        tables.add(here / "file" / "table.csv", fields, {"what": "e", "loss": 6})
    assert table.read_bytes() == before
