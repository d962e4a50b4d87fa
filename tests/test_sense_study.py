"""experiments/sense_study.py: runs side by side, their checkpoints asked, a table that a second call goes on with."""

import os
import threading
from types import SimpleNamespace

import pytest
from conftest import assert_mistake, call, wait_until

from experiments import sense_pictures, sense_study
from experiments.tables import read_table
from slm.errors import UserError, wait_for

STUDY = ["sense_study.py", "--corpus", "small", "--recipe", "recipe.py", "--points", "2", "--table", "sense.csv"]


@pytest.fixture
def study(here, monkeypatch):
    """A function that runs a study of two tiny sizes on the CPU with more arguments."""
    monkeypatch.setattr(sense_study, "SIZES", {"large": (1, 2, 32), "little": (1, 2, 16)})
    monkeypatch.setattr(sense_pictures, "PICTURES", here)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (here / "recipe.py").write_text(
        "block_size = 128\nbatch_size = 4\ngradient_accumulation_steps = 1\nwarmup_iters = 1\n"
    )

    def run(*arguments):
        monkeypatch.setattr("sys.argv", [*STUDY, "--sizes", "large,little", "--train=--device=cpu", *arguments])
        sense_study.main()
        return read_table(here / "sense.csv", sense_study.FIELDS)

    return run


@pytest.mark.slow
def test_a_study(study, here, capsys):
    rows = study("--steps", "4", "--seconds", "0.5")
    runs = [row for row in rows if row["budget"] != "counts"]
    assert {row["size"] for row in rows if row["budget"] == "counts"} == {"unigram", "bigram"}
    assert {(row["budget"], row["size"]) for row in runs} == {
        (budget, size) for budget in ("tokens", "seconds") for size in ("large", "little")
    }
    equal = [row for row in runs if row["budget"] == "tokens"]
    assert [row["step"] for row in equal] == ["2", "4"] * 2 and {row["tokens"] for row in equal} == {"1024", "2048"}
    assert all(0 <= float(row[name]) <= 1 for row in rows for name in ("order", "who", "colour"))
    assert {row["stories"] for row in rows} == {"small"}
    for row in runs:
        assert float(row["stories_bpb"]) == pytest.approx(float(row["val_bpb"]), rel=1e-5)
        assert int(row["parameters"]) > 10_000 and "--n_embd" in row["options"]
    for name in ("sense_training_small.png", "sense_size_small.png"):
        assert (here / name).read_bytes().startswith(b"\x89PNG")
    assert not list(here.glob("out/**/points"))

    before = (here / "sense.csv").read_bytes()
    capsys.readouterr()
    assert study("--steps", "4", "--seconds", "0.5") == rows and (here / "sense.csv").read_bytes() == before
    assert "equal tokens: 0 runs" in capsys.readouterr().out


@pytest.mark.slow
def test_a_stopped_study_goes_on(study, here):
    """A deadline in the past stops a run before it begins; a resumed one keeps the earlier checkpoints."""
    options = ["--sizes", "little", "--steps", "6", "--points", "3"]
    assert {row["budget"] for row in study(*options, "--minutes", "0")} == {"counts"}
    with pytest.raises(UserError, match="no run of equal tokens"):
        study("--draw", "small")
    folder = here / "out/study/small/tokens-little-1337"
    command = [
        "recipe.py",
        "--dataset=small",
        "--n_layer=1",
        "--n_head=2",
        "--n_embd=16",
        "--device=cpu",
        "--seed=1337",
    ]
    stopped = call(
        "train.py", *command, "--max_iters=4", "--eval_interval=2", "--sample_prompt=", f"--out_dir={folder}"
    )
    assert stopped.status == 0, stopped.err
    rows = [row for row in study(*options) if row["budget"] == "tokens"]
    assert [row["step"] for row in rows] == ["4", "6"] and "--init_from=resume" in (folder / "config.json").read_text()
    assert "continues" in (folder / "train.log").read_text() or "resum" in (folder / "train.log").read_text()


@pytest.mark.parametrize("moment", ["as its thread starts", "later"])
def test_an_interrupt_ends_the_study(study, monkeypatch, moment):
    """The run that trains is asked to stop, and no other one begins."""
    began, ended, waits = [], [], []

    def train(self, steps, environment, is_over):
        began.append(self.size)
        wait_until(is_over, seconds=60)
        ended.append(self.size)
        return False

    def interrupt():
        wait_until(lambda: began)
        raise KeyboardInterrupt

    class InterruptedThread(threading.Thread):
        def start(self):
            super().start()
            interrupt()

    def interrupted_wait(threads):
        waits.append(threads)
        if len(waits) == 1:
            interrupt()
        wait_for(threads)

    monkeypatch.setattr(sense_study.Run, "train", train)
    if moment == "later":
        monkeypatch.setattr(sense_study, "wait_for", interrupted_wait)
    else:
        monkeypatch.setattr(sense_study.threading, "Thread", InterruptedThread)
    with pytest.raises(KeyboardInterrupt):
        study("--steps", "4")
    assert began == ended == ["large"]


def test_two_studies_share_a_table(tmp_path):
    one, other = (sense_study.Table(tmp_path / "sense.csv") for _ in range(2))
    for table, corpus in ((one, "a"), (other, "b")):
        table.add([{"corpus": corpus, "budget": "counts", "size": "unigram"}])
    assert [row["corpus"] for row in read_table(tmp_path / "sense.csv", sense_study.FIELDS)] == ["a", "b"]


def test_pictures_of_a_share_that_is_missing(tmp_path, monkeypatch):
    """A checkpoint without it has no point; the others do."""
    monkeypatch.setattr(sense_pictures, "PICTURES", tmp_path)
    monkeypatch.setattr(sense_pictures, "SENSE_NAMES", ["order", "who"])
    row = dict.fromkeys(sense_study.FIELDS, "") | {"corpus": "a", "budget": "tokens", "size": "1M", "seed": "1"}
    row |= {"parameters": "1000000", "seconds": "1", "val_loss": "2", "val_bpb": "1", "order": "0.5", "who": "0.25"}
    rows = [row | {"step": str(step), "tokens": str(1000 * step)} for step in (1, 2, 3)]
    rows[0]["order"] = rows[2]["who"] = ""
    sense_study.Table(tmp_path / "sense.csv").add(rows)
    rows = read_table(tmp_path / "sense.csv", sense_study.FIELDS)
    points = sense_pictures.means(rows, "tokens")
    assert sense_pictures.of_name(points, "order") == ([2000, 3000], [0.5, 0.5])
    sense_pictures.draw(rows, "a")
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_a_point_is_kept_once(study, here):
    options = SimpleNamespace(out_dir=str(here / "out"), corpus="small")
    run = sense_study.Run(options, "tokens", "little", 1)
    run.keep_point()
    run.folder.mkdir(parents=True)
    run.keep_point()
    for number, text in enumerate(["one", "one", "two"]):
        if number != 1:
            (run.folder / "new").write_text(text)
            os.utime(run.folder / "new", ns=(number, number))
            (run.folder / "new").replace(run.folder / "last.pt")
        run.keep_point()
    assert sorted(path.read_text() for path in (run.folder / "points").iterdir()) == ["one", "two"]


def test_mistakes(here):
    assert_mistake(call("experiments/sense_study.py"), "--corpus")
    assert_mistake(call("experiments/sense_study.py", "--corpus", "small"), "--steps")
    assert_mistake(call("experiments/sense_study.py", "--corpus", "small", "--steps", "2", "--points", "0"), "--points")
    assert_mistake(call("experiments/sense_study.py", "--corpus", "small", "--seconds", "nan"), "--seconds", "nan")
    assert_mistake(call("experiments/sense_study.py", "--corpus", "small", "--ask", "."), "config.json")
    (here / "recipe.py").write_text("n_layer = 1\n")
    options = ["--corpus", "small", "--steps", "2", "--recipe", "recipe.py", "--table", "t.csv"]
    assert_mistake(call("experiments/sense_study.py", *options, "--train='"), "No closing quotation")
    short = call("experiments/sense_study.py", *options, "--train=--block_size=4")
    assert_mistake(short, "nothing can be asked in data/small", "within the context")
    assert_mistake(
        call("experiments/sense_study.py", "--corpus", "small", "--steps", "2", "--sizes", "9M"), "9M", "14M"
    )
    assert_mistake(call("experiments/sense_study.py", "--corpus", "small", "--steps", "2", "--seeds", "a"), "--seeds")
    assert_mistake(
        call("experiments/sense_study.py", "--corpus", "small", "--seconds", "2", "--recipe", "no.py"), "no.py"
    )
