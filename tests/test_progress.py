"""slm/training/progress.py: what a run prints."""

import json
import math
import re
from types import SimpleNamespace

import pytest
import torch
from conftest import small_config

from model import GPT, GPTConfig
from slm.config import TrainConfig
from slm.text import tokenizer
from slm.training import progress
from slm.training.progress import Progress, ending, format_count, run_header, sample_story
from slm.training.train_state import TrainState
from train import set_up


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets: `clock.now`, in seconds."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: clock.now)
    return clock


@pytest.fixture
def printed(monkeypatch):
    lines = []
    monkeypatch.setattr(progress.tqdm, "write", lines.append)
    return lines


def test_numbers_for_people():
    assert [format_count(number) for number in (7, 42_880, 999_999, 13_944_576, 1.5e9)] == [
        *("7", "42,880", "999,999", "13.94 M", "1.50 G"),
    ]


# -- the header -------------------------------------------------------------------------------------------------------


def header(*arguments):
    config, set_by = small_config(*arguments)
    return run_header(config, set_by, set_up(config, set_by), TrainState())


def test_a_header(here):
    text = header("--dtype=float32")
    assert "device   CPU (" in text and "threads), float32" in text
    assert "model    42,880 parameters, without embeddings 25,472: 2 layers, 2 heads, 32 wide, context 32" in text
    tokens = json.loads((here / "data/small/meta.json").read_text())["splits"]["train"]["tokens"]
    assert f"corpus   data/small: {tokens:,} tokens to train on" in text and "vocabulary 512" in text
    assert "run      12 steps of 256 tokens = 3,072 tokens = 0.02 epochs, into out/small" in text
    assert "learn the corpus by heart" not in text and "warm-up" not in text


def test_many_epochs_deserve_a_word(here):
    assert re.search(r"1,\d\d\d\.\d\d epochs, enough to learn the corpus by heart", header("--max_iters=700000"))


# -- the time that is left --------------------------------------------------------------------------------------------


def test_time_left(clock, printed):
    """Ten steps a second, and validations of four seconds each."""
    run = Progress(TrainConfig(max_iters=100, eval_interval=25), is_main=True)
    run.start(0)
    assert run.time_left(0) == 0, "before the first steps, nothing is known"
    clock.now += 2.0
    assert run.lap(20) == 2.0
    assert run.time_left(20) == pytest.approx(8.0)
    clock.now += 0.5
    assert run.lap(25) == 0.5
    clock.now += 4.0
    run.restart_clock(was_validation=True)
    assert run.time_left(25) == pytest.approx(7.5 + 3 * 4.0), "validations at 50, 75 and 100 are to come"
    clock.now += 1.0
    assert run.lap(35) == 1.0, "the validation is no time of training"
    assert run.time_left(35) == pytest.approx(6.5 + 3 * 4.0), "it does not jump after a validation"
    assert run.time_left(100) == 0


def test_the_last_validation_off_the_interval(clock):
    run = Progress(TrainConfig(max_iters=60, eval_interval=25), is_main=True)
    run.speed, run.pause_seconds = 10.0, 4.0
    assert run.time_left(30) == pytest.approx(3.0 + 2 * 4.0)  # at 50 and 60


# -- lines ------------------------------------------------------------------------------------------------------------


LINE = {"step": 1500, "train_loss": 2.34567, "lr": 5e-4}


def show(run, force=False, step=1500):
    setup = SimpleNamespace(device=torch.device("cpu"), dtype=torch.float32)
    run.show(LINE | {"step": step}, setup, force)


def test_a_line_every_few_seconds(clock, printed):
    run = Progress(TrainConfig(max_iters=2000, batch_size=8, gradient_accumulation_steps=1), is_main=True)
    run.start(0)
    clock.now += 15.0
    run.lap(1500)
    show(run)
    show(run)
    assert printed == ["step 1,500/2,000  loss 2.346  lr 5.00e-04  102 K tokens/s  00:05 left"]
    show(run, force=True)
    assert len(printed) == 2
    clock.now += 11
    show(run)
    assert len(printed) == 3
    run.close()


def test_a_slow_run_says_early_how_long_it_takes(clock, printed):
    """Once, before its first line: 24 s a step."""
    run = Progress(TrainConfig(max_iters=600), is_main=True)
    run.start(0)
    for step in (1, 2):
        clock.now += 24
        run.step(step)
    assert printed == ["step 1/600  3:59:36 left"]
    run.close()


def test_a_fast_run_does_not(clock, printed):
    run = Progress(TrainConfig(max_iters=600), is_main=True)
    run.start(0)
    for step in range(1, 30):
        clock.now += 0.9
        run.step(step)
        if step % 10 == 0:
            run.lap(step)
    assert printed == []
    run.close()


def test_one_process_prints(printed):
    Progress(TrainConfig(), is_main=False).print("hello")
    assert printed == []
    Progress(TrainConfig(), is_main=True).print("hello")
    assert printed == ["hello"]


@pytest.mark.parametrize("width", [40, 80, 300])
def test_a_story_is_wrapped_between_words(printed, monkeypatch, width):
    monkeypatch.setattr(progress.shutil, "get_terminal_size", lambda: SimpleNamespace(columns=width))
    story = "Once upon a time there was a little fox. " * 10
    Progress(TrainConfig(), is_main=True).story(story)
    (text,) = printed
    lines = text.splitlines()
    assert max(map(len, lines)) <= min(100, width) and all(line.startswith("  ") for line in lines)
    assert text.split() == story.split()


# -- stories ----------------------------------------------------------------------------------------------------------


def test_a_story_that_is_cut_ends_in_dots(workshop):
    """A model that always continues, and one that always ends."""
    encoding = tokenizer.from_text((workshop.path / "data/small/tokenizer.tiktoken").read_text())
    model = GPT(GPTConfig(vocab_size=512, block_size=32, n_layer=1, n_head=1, n_embd=16))
    for token, story in ((encoding.encode_ordinary("z")[0], "Tom" + "z" * 120 + " ..."), (encoding.eot_token, "Tom")):
        with torch.no_grad():
            model.lm_head.weight.zero_()
            model.lm_head.weight[token] = 1.0
            model.transformer.ln_f.weight.zero_()
            model.transformer.ln_f.bias.fill_(10.0)
        assert sample_story(model, encoding, "Tom", seed=1) == story


# -- the end ----------------------------------------------------------------------------------------------------------


def test_how_a_run_ended():
    state = TrainState(best=1.25, best_step=1200)
    assert ending("out/x", state, 1.25) == (
        "done: best validation 1.2500 nats per token at step 1,200; the model is out/x/best.pt"
    )
    assert "at step 1,200; it has risen since, to 1.5000; the model is" in ending("out/x", state, 1.5)
    assert "risen" not in ending("out/x", state, None), "a finished run that was resumed validates nothing"
    older = TrainState(best=1.25)  # last.pt of a version that did not note the step
    assert "nats per token; the model is" in ending("out/x", older, 1.25)


@pytest.mark.parametrize("last_loss", [1256.0, math.nan, math.inf])
def test_how_a_run_that_diverged_ended(last_loss):
    text = ending("out/x", TrainState(), last_loss)
    assert "the last model is out/x/last.pt" in text and "out/x/best.pt" not in text
