"""evaluate.py: a run, another vocabulary, stories in another script, JSON, a table of 80 columns, mistakes."""

import contextlib
import json
import re
import shutil
import sys

import pytest
from conftest import SMALL_RUN, assert_mistake, call, call_on_terminal, log_of

from slm.evaluation.report import ASKS
from slm.evaluation.sense import SENSE_NAMES
from slm.evaluation.story_figures import LABELS, draw_openings, first_sentence, opening

FAST = ["--device", "cpu", "--pairs", "10", "--num_samples", "5", "--max_new_tokens", "30", "--seed", "1"]


@pytest.fixture(scope="module")
def trained(workshop, tmp_path_factory):
    """A folder with data/small and a run whose context holds most stories."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "data").mkdir()
    (folder / "data" / "small").symlink_to(workshop.path / "data" / "small")
    with contextlib.chdir(folder):
        assert call("train.py", *SMALL_RUN, "--block_size=200").status == 0
    return folder


@pytest.fixture(scope="module")
def figures(trained):
    with contextlib.chdir(trained):
        result = call("evaluate.py", "--json", *FAST)
    assert result.status == 0, result.err
    return json.loads(result.out)


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
def test_on_a_terminal(figures, trained, monkeypatch):
    """With a bar for each batch; the table breaks between words."""
    monkeypatch.setenv("TQDM_MININTERVAL", "0")
    text = call_on_terminal("evaluate.py", "--dtype=float32", *FAST, cwd=trained, columns=60)
    assert "Traceback" not in text
    loss = float(re.search(r"validation ([\d.]+) nats", text)[1])
    assert loss == pytest.approx(figures["validation"]["loss"], rel=1e-2)
    table = text[text.index("parameters, on data/small") :].replace("\r\n", "\n").split("\r")[-1]
    assert "stories" in table and max(map(len, table.splitlines())) <= 60


def test_the_newest_run_on_the_corpus_it_was_trained_on(figures, trained):
    """The loss is the one that train.py logged."""
    assert figures["model"].endswith("best.pt") and figures["data"] == "data/small"
    best = min((row for row in log_of(trained / "out/small") if row["val_loss"]), key=lambda row: row["val_loss"])
    assert figures["validation"]["loss"] == pytest.approx(float(best["val_loss"]), rel=1e-4)
    assert figures["validation"]["bits_per_byte"] == pytest.approx(float(best["val_bpb"]), rel=1e-4)
    assert {*figures["sense"], *figures["left_out"]} == set(SENSE_NAMES)
    for row in figures["sense"].values():
        assert 0 <= row["low"] <= row["share"] <= row["high"] <= 1 and row["chance"] in (0.25, 0.5)
        assert 0 <= row["bigram"] <= 1 and row["n"] > 0
    stories = figures["stories"]
    assert stories["count"] == 5 and set(stories["model"]) == set(stories["real"]) == set(LABELS)
    assert stories["real"]["ends"] == 1 and stories["real"]["longest_copy"] > 13, "the sample's stories share plots"


def test_the_same_command_gives_the_same_figures(figures, trained):
    with contextlib.chdir(trained):
        again = json.loads(call("evaluate.py", "--out_dir", "out/small", "--dataset", "small", "--json", *FAST).out)
    assert again | {"model": ""} == figures | {"model": ""}


def test_a_table_of_80_columns(trained):
    with contextlib.chdir(trained):
        result = call("evaluate.py", "--model", "out/small", *FAST)
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    assert max(map(len, lines[2:])) <= 80
    for word in (
        "bits per byte",
        "sense from the stories, chance 50%",
        "order ",
        "bigram",
        "the name comes back",
        "cut",
    ):
        assert word in result.out, word
    assert all(len(asks) <= 35 for asks in ASKS.values()), "the table would cut it"


def test_a_model_of_another_vocabulary_reads_the_same_stories(here, workshop, trained, figures, monkeypatch):
    shutil.copy(workshop.path / "small.txt", here)
    assert call("prepare.py", "--dataset", "small.txt", "--vocab_size", "400", "--name", "other").status == 0
    monkeypatch.setattr("tempfile.tempdir", str(here / "nowhere"))  # a full disk would cut the stories off
    result = call("evaluate.py", "--model", trained / "out/small", "--data", "other", "--json", *FAST)
    assert result.status == 0, result.err
    other = json.loads(result.out)
    assert other["data"] == "data/other"
    assert other["validation"] == pytest.approx(figures["validation"], rel=1e-4), "the stories are the same"
    assert other["sense"]["order"]["share"] == figures["sense"]["order"]["share"]


def test_stories_of_another_script_leave_out_what_is_english(here):
    stories = [f"猫{i}がいた。犬もいた。二匹は遊んだ。とても楽しかった。{i}回寝た。夢を見た。" for i in range(60)]
    (here / "cats.txt").write_text("\n\n".join(stories), encoding="utf-8")
    assert call("prepare.py", "--dataset", "cats.txt", "--vocab_size", "300").status == 0
    options = ["--n_layer=1", "--n_head=1", "--n_embd=16", "--block_size=128", "--max_iters=2", "--eval_interval=2"]
    options += ["--batch_size=2", "--gradient_accumulation_steps=1", "--warmup_iters=1", "--device=cpu"]
    assert call("train.py", "--dataset=cats", *options, "--sample_prompt=").status == 0
    result = call("evaluate.py", *FAST)
    assert result.status == 0, result.err
    assert "order " in result.out and "left out: who, pronoun, thing: the stories are not in English" in result.out
    assert "the name comes back" not in result.out


def test_mistakes(here, workshop):
    run = workshop.path / "out/small"
    assert_mistake(call("evaluate.py", "--model", "nowhere"), "nowhere")
    assert_mistake(call("evaluate.py", "--model", run, "--num_samples", "0"), "--num_samples", "1")
    assert_mistake(call("evaluate.py", "--pairs", "0"), "--pairs")
    assert_mistake(call("evaluate.py", "--temperature", "nan"), "--temperature")
    assert_mistake(call("evaluate.py", "--seed", "-1"), "--seed")
    assert_mistake(call("evaluate.py", "--model", run, "--data", "missing", "--device", "cpu"), "missing", "prepare.py")


def test_the_corpus_is_looked_at_before_the_model_is_loaded(here, workshop):
    """A large model takes a while: a mistake in --data is known before."""
    (here / "broken.pt").write_bytes(b"no checkpoint")
    (here / "data/damaged").mkdir()
    (here / "data/damaged/meta.json").write_text("{")
    command = ["evaluate.py", "--model", "broken.pt", "--device", "cpu", "--data"]
    assert_mistake(call(*command, "missing"), "no prepared data in data/missing")
    assert_mistake(call(*command, "damaged"), "data/damaged/meta.json is damaged")
    assert_mistake(call(*command, "small"), "broken.pt")


def test_a_corpus_that_was_prepared_again(here, workshop):
    """What a model was trained on is known by its tokens: a line says that these are others, on standard error."""
    run, note = workshop.path / "out/small", "was trained on other tokens than those that are in data/small now"
    assert note not in call("evaluate.py", "--model", run, *FAST).err
    (here / "data/small").unlink()
    assert_mistake(call("evaluate.py", "--model", run), "python prepare.py --dataset YOUR_TEXT --name small")
    stories = (workshop.path / "small.txt").read_text().split("\n<|endoftext|>\n")
    (here / "other.txt").write_text("\n<|endoftext|>\n".join(stories[::-1]))
    assert call("prepare.py", "--dataset", "other.txt", "--vocab_of", run, "--name", "small").status == 0
    for script in (["evaluate.py", "--model", run, *FAST], ["train.py", "--eval_only", f"--out_dir={run}"]):
        result = call(*script)
        assert result.status == 0 and note in result.err


def test_openings():
    assert opening("Once upon a time, there was a girl named Lily. Lily ran.")[1] == "Lily"
    assert opening("One day, Tom had a ball.") == ("One day, Tom", "Tom")
    assert opening("The cat sat. It slept.") is None
    assert opening("x" * 195 + ", Lily sat.")[1] == "Lily", "a name is cut in two"
    assert opening("x" * 300 + ", Lily sat.") is None
    assert first_sentence("猫がいた。寝た。") == ("猫がいた。", None) and first_sentence("One.") is None
    assert draw_openings(["The cat sat. It slept.", "One."], 5, 0) == [
        ("The cat sat. It slept.", ("The cat sat.", None))
    ]
    assert draw_openings(["One."], 5, 0) == []
