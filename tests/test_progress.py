"""slm/training/progress.py: what a run prints."""

import io
import json
import math
import re
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import small_config

from model import GPT, GPTConfig
from slm.config import SHORTENED_WARMUP, TrainConfig
from slm.text import tokenizer
from slm.training import progress
from slm.training.progress import Progress, ending, format_count, live_line, run_header, sample_story
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
    assert "device   CPU (" in text and " thread" in text and "), float32" in text
    assert "model    42,880 parameters, without embeddings 25,472: 2 layers, 2 heads, 32 wide, context 32" in text
    tokens = json.loads((here / "data/small/meta.json").read_text())["splits"]["train"]["tokens"]
    assert f"corpus   data/small: {tokens:,} tokens to train on" in text and "vocabulary 512" in text
    assert "run      12 steps of 256 tokens = 3,072 tokens = 0.02 epochs, into out/small" in text
    assert "learn the corpus by heart" not in text and "warm-up" not in text
    one = header("--max_iters=1", "--warmup_iters=0", "--n_layer=1", "--n_head=1")
    assert ": 1 layer, 1 head, 32 wide" in one and "run      1 step of 256 tokens" in one


@pytest.mark.parametrize(("steps", "words"), [(60, "6 steps, a tenth"), (19, "1 step, a"), (9, "none, the run is")])
def test_a_warm_up_that_was_shortened(here, steps, words):
    config, set_by = small_config()
    config.max_iters, config.warmup_iters, set_by["warmup_iters"] = steps, steps // 10, SHORTENED_WARMUP
    text = run_header(config, set_by, set_up(config, set_by), TrainState())
    assert f"\nwarm-up  {words}" in text and " 0 steps" not in text


def test_an_average_of_the_weights(here):
    """`--ema=0.999` is a decay to many, and here nearly the whole run: the line says what it means."""
    assert "\naverage  of the weights over the last 2.5 % of the steps, validated and kept" in header("--ema=0.025")
    assert "over the last 99.9 % of the steps" in header("--ema=0.999") and "average" not in header()


def test_many_epochs_deserve_a_word(here):
    assert re.search(r"1,\d\d\d\.\d\d epochs, enough to learn the corpus by heart", header("--max_iters=700000"))


# -- the time that is left --------------------------------------------------------------------------------------------


def test_time_left(clock, printed):
    """Ten steps a second, and validations of four seconds each."""
    run = Progress(TrainConfig(max_iters=100, eval_interval=25), is_main=True, tokens_per_step=131_072)
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
    run = Progress(TrainConfig(max_iters=60, eval_interval=25), is_main=True, tokens_per_step=131_072)
    run.start(0)
    clock.now += 3
    run.lap(30)
    run.pause_seconds = 4.0
    assert run.time_left(30) == pytest.approx(3.0 + 2 * 4.0)  # at 50 and 60


def test_the_time_left_does_not_jump_with_the_load(clock, printed):
    """A step takes 1 s, and every other half minute 4 s: the time falls, and rises by few minutes."""
    run = Progress(TrainConfig(max_iters=1000, eval_interval=10**6), is_main=True, tokens_per_step=131_072)
    run.start(0)
    times = []
    for step in range(10, 500, 10):
        clock.now += 10 * (4 if step // 30 % 2 else 1)
        run.lap(step)
        times.append(run.time_left(step) + clock.now)  # when the run ends
    assert max(times[9:]) - min(times[9:]) < 0.5 * min(times[9:]), "the newest speed alone would say 500 s or 2,000 s"
    for step in range(500, 900, 10):
        clock.now += 40.0
        run.lap(step)
    assert run.time_left(890) == pytest.approx(4 * 110, rel=0.05), "a load that stays is believed in the end"


# -- lines ------------------------------------------------------------------------------------------------------------


LINE = {"step": 1500, "train_loss": 2.34567, "lr": 5e-4}


def show(run, force=False, step=1500):
    run.show(LINE | {"step": step}, force)


def test_a_line_every_few_seconds(clock, printed):
    run = Progress(TrainConfig(max_iters=2000), is_main=True, tokens_per_step=1024)
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
    run = Progress(TrainConfig(max_iters=600), is_main=True, tokens_per_step=131_072)
    run.read_loss = lambda: 10.824
    run.start(0)
    for step in (1, 2):
        clock.now += 24
        run.step(step)
    early = ["step 1/600  loss 10.824  5.5 K tokens/s  3:59:36 left"]
    assert printed == early
    run.close()


def test_an_early_line_is_not_said_again(clock, printed):
    run = Progress(TrainConfig(max_iters=600), is_main=True, tokens_per_step=1024)
    run.start(0)
    clock.now += 15.0
    run.step(5)
    assert len(printed) == 1
    show(run, step=5)
    assert len(printed) == 1
    clock.now += 11.0
    show(run, step=9)
    assert len(printed) == 2
    run.close()


def test_a_fast_run_does_not(clock, printed):
    run = Progress(TrainConfig(max_iters=600), is_main=True, tokens_per_step=131_072)
    run.start(0)
    for step in range(1, 30):
        clock.now += 0.9
        run.step(step)
        if step % 10 == 0:
            run.lap(step)
    assert printed == []
    run.close()


def test_one_process_prints(printed):
    Progress(TrainConfig(), is_main=False, tokens_per_step=1).print("hello")
    assert printed == []
    Progress(TrainConfig(), is_main=True, tokens_per_step=131_072).print("hello")
    assert printed == ["hello"]


def test_speeds_for_people():
    speeds = [progress.format_speed(speed) for speed in (12.4, 999, 1240, 9949, 23_400, 1_712_345)]
    assert speeds == ["12", "999", "1.2 K", "9.9 K", "23 K", "1,712 K"]


PARTS = {
    "step": "step 1,500/2,000",
    "loss": "loss 2.346",
    "lr": "lr 5.00e-04",
    "speed": "1,712 K tokens/s",
    "MFU": "MFU 38 %",
    "left": "00:05 left",
}


def test_the_live_line_fits_any_width():
    assert live_line(PARTS, 0.75, 200) == (
        f"step 1,500/2,000  [{'=' * 30}{' ' * 10}]  loss 2.346  lr 5.00e-04  1,712 K tokens/s  MFU 38 %  00:05 left"
    )
    narrower = "step 1,500/2,000  [=====  ]  loss 2.346  1,712 K tokens/s  MFU 38 %  00:05 left"
    assert live_line(PARTS, 0.75, 79) == narrower
    for columns in range(1, 200):
        line = live_line(PARTS, 0.75, columns)
        assert len(line) <= columns and (columns < 16 or line.startswith("step 1,500/2,000"))
        assert columns < 28 or line.endswith("00:05 left")
    assert live_line(PARTS, 0.75, 40) == "step 1,500/2,000  loss 2.346  00:05 left"
    bars = [live_line({"step": "step"}, share, 20) for share in (0, 0.5, 1)]
    assert bars == [f"step  [{'=' * count:12}]" for count in (0, 6, 12)]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_bar_on_a_terminal(clock, monkeypatch, columns):
    """It says `step`, and the loss before the first line of the log; the share of the peak where that is known."""
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "terminal_columns", lambda stream: columns)
    run = Progress(TrainConfig(max_iters=600), is_main=True, tokens_per_step=131_072, peak=10_000.0)
    run.read_loss = lambda: 10.824
    run.start(0)
    for step in range(1, 4):
        clock.now += 30
        run.step(step)
    early = screen.getvalue().split("\r")[-1].rstrip()
    assert early.startswith("step 3/600  ") and "loss 10.824" in early and early.endswith("4:58:30 left")
    run.lap(3)
    show(run, step=3)
    line = screen.getvalue().split("\r")[-1].rstrip()
    assert "loss 2.346" in line and len(line) < columns and "loss 10.824" not in line
    assert ("MFU 44 %" in line, "[" in line, "lr 5.00e-04" in line) == (columns > 40, columns > 40, columns > 80)
    run.close()


def test_the_peak_of_the_devices(monkeypatch):
    """An MFU counts all GPUs."""
    model = SimpleNamespace(flops_per_token=lambda: 2e6)
    setup = SimpleNamespace(device=torch.device("cpu"), dtype=torch.bfloat16, model=model)
    setup.group = SimpleNamespace(world_size=4)
    assert progress.peak_speed(setup) is None
    monkeypatch.setattr(progress.devices, "peak_flops", lambda device, dtype: 1e12)
    assert progress.peak_speed(setup) == pytest.approx(2e6)


# -- a busy CPU -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "threads", "variable", "device", "is_busy"),
    [
        (9.0, 4, None, "cpu", True),
        (5.1, 4, None, "cpu", True),
        (4.2, 4, None, "cpu", False),  # of training alone
        (9.0, 1, None, "cpu", False),  # one thread waits for no other
        (9.0, 4, "GOMP_SPINCOUNT", "cpu", False),
        (9.0, 4, "OMP_WAIT_POLICY", "cpu", False),
        (9.0, 4, None, "cuda", False),
        (None, 4, None, "cpu", False),
    ],
)
def test_a_busy_cpu(monkeypatch, load, threads, variable, device, is_busy):
    monkeypatch.setattr(sys, "platform", "linux")

    def loads():
        if load is None:
            raise OSError("Load averages are unobtainable")
        return load, 0.0, 0.0

    monkeypatch.setattr(progress.os, "getloadavg", loads, raising=False)
    monkeypatch.setattr(progress.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    if variable:
        monkeypatch.setenv(variable, "0")
    sentence = progress.busy_cpu(torch.device(device))
    assert ("GOMP_SPINCOUNT=0" in sentence and f"load {load}" in sentence) == is_busy == bool(sentence)


# -- stories ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 80, 300])
def test_a_story_is_wrapped_between_words(printed, monkeypatch, width):
    monkeypatch.setattr(progress, "terminal_columns", lambda stream: width)
    story = "Once upon a time there was a little fox. " * 10
    Progress(TrainConfig(), is_main=True, tokens_per_step=131_072).story(story)
    (text,) = printed
    lines = text.splitlines()
    assert max(map(len, lines)) <= min(100, width) and all(line.startswith("  ") for line in lines)
    assert text.split() == story.split()


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
