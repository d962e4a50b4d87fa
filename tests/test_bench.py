"""bench.py: each stage measures, and its references do the same work."""

import json
from pathlib import Path

import numpy as np
import torch
from conftest import SMALL_RUN, assert_mistake, call

import bench
from experiments import baselines


def test_a_line_for_each_figure(here, monkeypatch, capsys):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # which bench.py changes: here it is set back in the end
    monkeypatch.setattr(bench, "SECONDS", 0.01)
    monkeypatch.setattr(bench, "REPEATS", 1)
    monkeypatch.setattr(bench, "TEXT_BYTES", 2**14)
    monkeypatch.setattr(bench, "STORY_TOKENS", 5)
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


def test_starting_is_measured(here, monkeypatch, capsys):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # which bench.py changes: here it is set back in the end
    monkeypatch.setattr(bench, "STARTS", 1)
    monkeypatch.setattr("sys.argv", ["bench.py", "start", *SMALL_RUN])
    bench.main()
    table = capsys.readouterr().out
    assert "sample.py to its first token" in table and "train.py to its first step" in table


def test_a_line_of_the_table_fits_100_columns():
    figure = bench.Figure("tokens/s, 64 stories at once, between two tokens", 1234567.8, 234567.8, 1134567.8)
    line = bench.table_line("prepare", figure)
    assert len(line) <= 100 and [*line.split()[-5:]] == ["1,234,568", "234,568", "5.26", "1,134,568", "1.09"]


def test_the_reference_batch_is_shifted_by_one(here):
    tokens = np.fromfile("data/small/train.bin", np.uint16)
    path = here / "data/small/train.bin"
    idx, targets = baselines.random_batch(path, 3, 16, torch.device("cpu"))
    assert idx.shape == targets.shape == (3, 16)
    assert torch.equal(idx[:, 1:], targets[:, :-1])
    windows = np.lib.stride_tricks.sliding_window_view(tokens, 16)
    assert all((windows == row.numpy()).all(axis=1).any() for row in idx)


def test_mistakes(here):
    assert_mistake(call("bench.py", "sampel", *SMALL_RUN), "sampel", "did you mean sample", "prepare")
    assert_mistake(call("bench.py", "--dataset=none"), "data/none")
    assert_mistake(call("bench.py", "--init_from=resume", *SMALL_RUN), "init_from")
