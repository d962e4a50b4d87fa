"""A Mac's GPU, as far as a machine without one can say: the scripts run with an `mps` that computes on the CPU."""

import re

import pytest
import torch
from conftest import ROOT, SMALL_RUN, call, log_of
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from model import GPT, GPTConfig
from slm import devices
from slm.config import merge_config
from slm.config_parser import read_config_file
from slm.training import micro_batch

CPU, MPS = torch.device("cpu"), torch.device("mps")


class PretendMps(TorchFunctionMode):
    """Tensors that are meant for `mps` are made on the CPU. What MPS refuses is refused: float64, and pinned memory."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        found = []

        def replace(value):
            if isinstance(value, torch.device) and value.type == "mps":
                found.append(value)
                return CPU
            return value

        arguments, keywords = tree_map(replace, (arguments, keywords or {}))
        assert function is not torch.Tensor.pin_memory, "MPS has no pinned memory"
        result = function(*arguments, **keywords)
        if found:
            self.calls += 1
            assert getattr(result, "dtype", None) != torch.float64, "MPS has no float64"
        return result


@pytest.fixture
def mac(monkeypatch):
    """A Mac with 8 GB, of which its GPU may use two thirds."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: None)
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 5_726_623_061)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 0)
    with PretendMps() as mode:
        yield mode


def test_auto_is_the_gpu_in_float32(mac):
    assert devices.pick_device() == MPS
    assert devices.pick_dtype("auto", MPS) == torch.float32
    assert devices.describe(MPS) == "Apple GPU (MPS)" and devices.peak_flops(MPS, torch.float32) is None


def test_a_mac_trains_and_tells_stories(here, mac, monkeypatch):
    """Uncompiled, with neither pinned memory nor float64, and with the losses of a CPU."""
    monkeypatch.setattr(torch, "compile", lambda *arguments, **keywords: pytest.fail("compiled"))
    options = [option for option in SMALL_RUN if not option.startswith(("--device", "--dtype"))]
    for optimizer in ("muon", "adamw"):
        trained = call("train.py", *options, f"--optimizer={optimizer}", f"--out_dir=out/{optimizer}")
        assert trained.status == 0 and "Apple GPU (MPS), float32" in trained.out + trained.err, trained
        calls, mac.calls = mac.calls, 0
        assert calls > 12  # at least each step's batch went to the device
    sampled = call("sample.py", "--model=out/adamw", "Once upon", "--max_new_tokens=5", "--seed=1")
    assert sampled.status == 0 and sampled.out.startswith("Once upon") and "on Apple GPU (MPS)" in sampled.err
    assert call("evaluate.py", "--model=out/adamw", "--pairs=4", "--num_samples=2", "--max_new_tokens=20").status == 0

    assert call("train.py", *SMALL_RUN, "--out_dir=out/cpu").status == 0
    on_mac, on_cpu = [[float(row["train_loss"]) for row in log_of(f"out/{run}")] for run in ("adamw", "cpu")]
    assert on_mac == pytest.approx(on_cpu, rel=1e-5)  # AdamW is fused on a CPU alone


def test_a_micro_batch_that_fits_a_macs_memory(mac, monkeypatch):
    def largest(**shape):
        with torch.device("meta"):
            model = GPT(GPTConfig(vocab_size=8192, **shape))
        return micro_batch.candidates(model, 512, MPS, compiled=False)[0]

    assert largest(n_layer=6, n_head=6, n_embd=384, block_size=256) == 64
    assert largest(n_layer=12, n_head=12, n_embd=768, block_size=512) < 16
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 2**36)
    assert largest(n_layer=12, n_head=12, n_embd=768, block_size=512) == 32


def test_the_memory_of_a_mac_in_the_docs():
    """docs/trouble.md, by the same estimate as train.py's; a recipe's sizes are its own."""
    text = (ROOT / "docs" / "trouble.md").read_text(encoding="utf-8")
    lines = re.findall(r"\| `(config/\w+\.py).*?` \| (\d+).*? \| ([\d.]+) GiB \|", text)
    assert len(lines) == 5
    vocabularies = {"sample": 2048, "tinystories": 50257, "tinystories_8k": 8192}
    for config, size, gibibytes in lines:
        recipe, _ = merge_config((config, read_config_file(ROOT / config)))
        with torch.device("meta"):
            shape = {name: getattr(recipe, name) for name in ("n_layer", "n_head", "n_embd", "block_size", "bias")}
            model = GPT(GPTConfig(vocab_size=vocabularies[recipe.dataset], **shape))
        assert micro_batch.memory_estimate(model, int(size), False) / 2**30 == pytest.approx(float(gibibytes), abs=0.06)
