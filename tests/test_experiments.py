"""experiments/: the table of runs."""

import contextlib
import csv
import sys
from types import SimpleNamespace

import pytest
from conftest import ROOT, SMALL_RUN, assert_mistake, call

from experiments import levers, runs, scaling, sense_pictures, sense_study, tables
from experiments.cells import LOSS, NAME, SEED, TEXT
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
    path, fields = tmp_path / "runs.csv", {"what": NAME, "seed": SEED, "val_bpb": LOSS}
    path.write_bytes(contents)
    with pytest.raises(UserError, match="is not as this program wrote it"):
        tables.read_table(path, fields)
    with pytest.raises(UserError, match=r"so this is not in it: .*lever"):
        tables.add(path, fields, {"what": "lever", "seed": 1, "val_bpb": 0.7})
    assert path.read_bytes() == contents and list(tmp_path.iterdir()) == [path]


def read_scaling(rows):
    for recipe, measured in scaling.newest(rows).items():
        list(scaling.lines(recipe, measured))


def read_sense(rows):
    options = SimpleNamespace(out_dir="", corpus="a", seconds=1.0)
    sense_study.Run(options, "seconds", "1M", 1).steps(rows)
    for x in ("tokens", "parameters"):
        sense_pictures.means([row for row in rows if row["budget"] == "tokens"], x)


RUN = {"corpus": "a", "budget": "tokens", "size": "1M", "seed": "1", "parameters": "9", "step": "2", "tokens": "9"}
RUN |= {"seconds": "1", "val_loss": "2", "val_bpb": "1", "order": "0.5"}
LEVER = {"corpus": "a", "recipe": "b.py", "lever": "base", "seed": "1", "val_loss": "2", "val_bpb": "1", "tokens": "9"}
SCALING = {"recipe": "a.py", "processes": "1", "step": "cut up", "tokens_per_step": "9", "tokens_per_second": "8"}
READERS = {  # of each table: its module, what it does with rows, two rows
    "levers": (levers, levers.print_table, [LEVER | {"seconds": "1"}, LEVER | {"seconds": "1", "tokens": "5"}]),
    "scaling": (scaling, read_scaling, [SCALING | {"sum_ms": "2"}, SCALING | {"processes": "2", "train_loss": "1"}]),
    "sense": (
        sense_study,
        read_sense,
        [RUN, RUN | {"step": "4"}, {"corpus": "a", "budget": "counts", "size": "bigram"}],
    ),
}
NEEDED = {
    "levers": {"corpus", "recipe", "lever", "seed", "val_loss", "val_bpb", "tokens", "seconds"},
    "scaling": {"recipe", "processes", "step", "tokens_per_step", "tokens_per_second"},
    "sense": RUN.keys() - {"order"},
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", READERS)
def test_any_cell_of_a_table_may_be_damaged(name, tmp_path, capsys):
    """It is one sentence that names the file, the line and the column, or the reader goes on without it."""
    (module, read, rows), path, refused = READERS[name], tmp_path / "table.csv", set()
    tables.add(path, module.FIELDS, *rows)
    read(tables.read_table(path, module.FIELDS))
    for column in module.FIELDS:
        for cell in ("", " ", "0", "-1", "x", "1e999", "nan", "9" * 400):
            path.unlink()
            tables.add(path, module.FIELDS, rows[0] | {column: cell}, *rows[1:])
            try:
                damaged = tables.read_table(path, module.FIELDS)
            except UserError as error:
                assert f"{path} is not as this program wrote it ({column} in line 2 " in str(error)
                refused |= {column} if not cell else set()
            else:
                with contextlib.suppress(UserError):  # of another corpus, say
                    read(damaged)
    assert refused == NEEDED[name]


def test_a_damaged_row_of_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "PLOT", tmp_path / "runs.png")
    row = dict.fromkeys(runs.FIELDS, "") | {"what": "8k", "val_bpb": "0.7", "val_loss": "2", "tokens": "9", "seed": "1"}
    row |= {"corpus_tokens": "9"}
    tables.add(tmp_path / "runs.csv", runs.FIELDS, row, row | {"val_bpb": "nan"})
    runs.draw(tables.read_table(tmp_path / "runs.csv", runs.FIELDS))
    assert runs.PLOT.exists()
    for column in ("what", "val_bpb", "tokens", "seed"):
        (tmp_path / "runs.csv").unlink()
        tables.add(tmp_path / "runs.csv", runs.FIELDS, row, row | {column: ""})
        with pytest.raises(UserError, match=f"runs.csv is not as this program wrote it .{column} in line 3 is empty"):
            tables.read_table(tmp_path / "runs.csv", runs.FIELDS)


def test_a_table_saved_again_with_other_line_ends(tmp_path):
    path, fields = tmp_path / "runs.csv", {"what": NAME, "seed": SEED, "val_bpb": LOSS}
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
    table, fields = here / "table.csv", {"what": TEXT, "loss": TEXT}
    tables.add(table, fields, {"what": "a"}, {"what": "b", "loss": 2})
    tables.add(table, fields, {"what": "c", "loss": 3})
    rows = [{"what": "a", "loss": ""}, {"what": "b", "loss": "2"}, {"what": "c", "loss": "3"}]
    assert tables.read_table(table, fields) == rows
    before = table.read_bytes()
    with pytest.raises(UserError, match=r"first line is not what,seed,loss.*'seed': 4"):
        tables.add(table, {"what": TEXT, "seed": TEXT, "loss": TEXT}, {"what": "d", "seed": 4, "loss": 5})
    (here / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*'loss': 6"):
        tables.add(here / "file" / "table.csv", fields, {"what": "e", "loss": 6})
    assert table.read_bytes() == before
