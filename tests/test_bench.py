"""bench.py: each stage measures, and its references do the same work."""

import errno
import io
import json
import os
import runpy
import shutil
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from conftest import ROOT, SMALL_RUN, assert_mistake, call, same_tensors, small_config

import bench
import train
from experiments import baselines, stages
from slm.errors import UserError
from slm.models.checkpoint import load_checkpoint


def test_a_line_for_each_figure(here, monkeypatch, capsys):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # which bench.py changes: here it is set back in the end
    monkeypatch.setattr(stages, "SECONDS", 0.01)
    monkeypatch.setattr(stages, "REPEATS", 1)
    monkeypatch.setattr(stages, "TEXT_BYTES", 2**14)
    monkeypatch.setattr(stages, "STORY_TOKENS", 5)
    monkeypatch.setattr("sys.argv", ["bench.py", "prepare", "loader", "train", "eval", "sample", "--json", *SMALL_RUN])
    bench.main()
    figures = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [figure["stage"] for figure in figures] == ["prepare"] * (1 + Path("/proc/self/status").exists()) + [
        "loader"
    ] + ["train"] * 2 + ["eval"] + ["sample"] * 6
    for figure in figures:
        assert figure["value"] > 0 and figure["what"] and figure["torch"] == torch.__version__
    assert sum(figure["plain"] is not None for figure in figures) == 7
    assert not (here / "out").exists()


def test_a_step_is_train_pys(here):
    """The batches, the rates, dropout's seeds and the average of the weights are those of a run."""
    config, set_by = small_config("--ema=0.5", "--max_iters=4", "--out_dir=out/run")
    bench = stages.Bench(config, set_by, here)
    for _ in range(4):
        bench.step()
    train.train(config, set_by)
    saved = load_checkpoint("out/run/last.pt")
    assert same_tensors(bench.stepper.average.other, {name: saved["model"][name] for name in saved["weights"]})
    assert same_tensors(dict(bench.setup.model.named_parameters()), saved["weights"])
    assert not same_tensors(bench.stepper.average.other, saved["weights"])


def test_figures_that_cannot_be_written_are_no_success(here, monkeypatch, capsys):
    """On a full disk it ends at the first one, with a sentence: the file is what the command is for."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.setattr("sys.argv", [str(ROOT / "bench.py"), "loader", "train", "--json", *SMALL_RUN])
    out = io.StringIO()
    out.write = mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr("sys.stdout", out)
    with pytest.raises(SystemExit) as leaving:
        runpy.run_path(str(ROOT / "bench.py"), run_name="__main__")
    assert leaving.value.code == 2 and out.write.call_count == 1
    assert "bench.py: cannot write to standard output: No space left on device" in capsys.readouterr().err


def test_starting_is_measured(here, monkeypatch, capsys):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # which bench.py changes: here it is set back in the end
    monkeypatch.setattr(stages, "STARTS", 1)
    monkeypatch.setattr("sys.argv", ["bench.py", "start", *SMALL_RUN])
    bench.main()
    table = capsys.readouterr().out
    assert "sample.py to its first token" in table and "train.py to its first step" in table


def test_a_line_of_the_table_fits_100_columns():
    figure = stages.Figure("tokens/s, 64 stories at once, between two tokens", 1234567.8, 234567.8, 1134567.8)
    line = bench.table_line("prepare", figure)
    assert len(line) <= 100 and [*line.split()[-5:]] == ["1,234,568", "234,568", "5.26", "1,134,568", "1.09"]


def test_the_table_on_a_narrow_terminal():
    figure = stages.Figure("tokens/s, a story, whole", 1234567.8, 234567.8, None)
    assert bench.narrow_lines("sample", figure).splitlines() == [
        "sample  tokens/s, a story, whole",
        "        1,234,568; plain 234,568, ratio 5.26",
    ]


def test_without_a_recipe_it_takes_the_newest_corpus(here, capsys):
    """And the recipe that fits it; options of the command line come last."""
    for name, age in (("old", 100), ("new", 0), ("middle", 50)):
        shutil.copytree(here / "data/small", here / "data" / name)
        stamp = time.time() - age
        os.utime(here / "data" / name / "meta.json", (stamp, stamp))
    (here / "data/small").unlink()
    stages, _, config, set_by = bench.read_arguments(["train", "--batch_size=2"])
    assert (stages, config.dataset, config.batch_size, config.n_embd) == (["train"], "new", 2, 192)
    assert set_by["n_embd"].endswith("config/sample.py") and set_by["batch_size"] == "command line"
    assert "data/new was prepared last" in capsys.readouterr().err
    assert bench.read_arguments(["--dataset=old"])[2].dataset == "old"
    assert bench.read_arguments([str(ROOT / "config/sample.py")])[2].dataset == "sample"


def test_nothing_is_prepared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_mistake(call("bench.py"), "no corpus is prepared under data/", "python prepare.py --dataset sample")
    (tmp_path / "data/mine").mkdir(parents=True)
    (tmp_path / "data/mine/meta.json").write_text("{")
    assert_mistake(call("bench.py"), "data/mine/meta.json is damaged", "--name mine --force")


def test_the_reference_batch_is_shifted_by_one(here):
    tokens = np.fromfile("data/small/train.bin", np.uint16)
    path = here / "data/small/train.bin"
    idx, targets = baselines.random_batch(path, 3, 16, torch.device("cpu"))
    assert idx.shape == targets.shape == (3, 16)
    assert torch.equal(idx[:, 1:], targets[:, :-1])
    windows = np.lib.stride_tricks.sliding_window_view(tokens, 16)
    assert all((windows == row.numpy()).all(axis=1).any() for row in idx)


def test_a_corpus_that_is_too_short(here):
    """A window of a baseline has one token more than the context."""
    path, device = here / "data/small/validation.bin", torch.device("cpu")
    tokens = path.stat().st_size // 2
    with pytest.raises(UserError, match=f"has only {tokens:,} tokens: give --block_size={tokens - 1} or less"):
        baselines.random_batch(path, 1, tokens, device)
    assert baselines.random_batch(path, 1, tokens - 1, device)[0].shape == (1, tokens - 1)


def test_mistakes(here):
    assert_mistake(call("bench.py", "sampel", *SMALL_RUN), "sampel", "did you mean sample", "prepare")
    assert_mistake(call("bench.py", "--dataset=none"), "data/none")
    assert_mistake(call("bench.py", "--init_from=resume", *SMALL_RUN), "init_from")
