"""slm/models/from_nanogpt.py: nanoGPT's models compute here what they compute there."""

from dataclasses import asdict

import pytest
import torch
from conftest import assert_mistake, call
from test_checkpoint import lively_model
from test_from_huggingface import assert_same_logits, load

from slm.text import tokenizer


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save_nanogpt(path, gpt, prefix="", **changes):
    """What nanoGPT's train.py writes for the same parameters; the vocabulary is padded."""
    shape = asdict(gpt.config)
    arguments = {name: shape[name] for name in ("n_layer", "n_head", "n_embd", "block_size", "bias", "dropout")}
    contents = {
        "model": {prefix + name: tensor for name, tensor in gpt.state_dict().items()},
        "optimizer": {"state": {}, "param_groups": []},
        "model_args": arguments | {"vocab_size": 50304},
        "iter_num": 2000,
        "best_val_loss": torch.tensor(3.1),
        "config": {"dataset": "openwebtext", "always_save_checkpoint": True},
    }
    path.parent.mkdir(exist_ok=True)
    torch.save(contents | changes, path)


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module."])
def test_a_nanogpt_checkpoint(folder, prefix):
    model = lively_model(50257, bias=False)
    save_nanogpt(folder / "nano/ckpt.pt", model, prefix)
    read, loaded = load("nano")
    assert_same_logits(read, model, torch.tensor([[5, 50256, 700, 3]]), atol=0)
    assert loaded["step"] == 2000 and tokenizer.from_text(loaded["tokenizer"]).n_vocab == 50257


@pytest.mark.parametrize("bias", [True, False])
def test_nanogpt_checkpoints_of_other_versions(folder, bias):
    """Without `bias` and `iter_num`, with the causal mask as a buffer, and in 16 bits."""
    model = lively_model(50257, bias=bias)
    arguments = asdict(model.config) | {"vocab_size": 50257}
    del arguments["bias"]
    parameters = {name: tensor.bfloat16() for name, tensor in model.state_dict().items()}
    parameters["transformer.h.0.attn.bias"] = torch.ones(1, 1, 32, 32).tril()
    save_nanogpt(folder / "ckpt.pt", model, model=parameters, model_args=arguments, iter_num=torch.tensor(3))
    read, loaded = load("ckpt.pt")
    assert loaded["model_config"]["bias"] == bias and loaded["step"] == 0
    assert torch.equal(read.transformer.h[1].mlp.c_fc.weight, model.transformer.h[1].mlp.c_fc.weight.bfloat16().float())


def test_nanogpt_checkpoints_that_do_not_fit(folder):
    model = lively_model(50257)
    arguments = asdict(model.config) | {"vocab_size": 65}
    untied = model.state_dict() | {"lm_head.weight": torch.zeros_like(model.lm_head.weight)}
    only_embeddings = {
        name: tensor for name, tensor in untied.items() if name[:15] in ("transformer.wte", "transformer.wpe")
    }
    for changes, words in (
        ({"model_args": arguments}, ["without a tokenizer", "65"]),
        ({"model_args": {"vocab_size": 50304, "n_embd": 32}}, ["n_layer, n_head, block_size"]),
        ({"model_args": arguments | {"vocab_size": 50257, "n_head": 5}}, ["shape"]),
        ({"model_args": None}, ["model_args is not a dict"]),
        ({"model": {}}, ["lacks transformer.wte"]),
        ({"model": only_embeddings}, ["do not fit", "missing"]),
        ({"model": untied}, ["not tied"]),
        ({"model": model.state_dict() | {"_orig_mod.lm_head.weight": torch.zeros(3)}}, ["lm_head.weight' twice"]),
    ):
        save_nanogpt(folder / "ckpt.pt", model, **changes)
        result = call("sample.py", "--model", "ckpt.pt")
        assert_mistake(result, *words)
