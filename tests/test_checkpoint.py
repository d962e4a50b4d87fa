"""slm/models/checkpoint.py: what is written is read again, and a bad file gets one sentence."""

import os
import pickle
import random
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import assert_mistake, call, same_tensors

from model import GPT, GPTConfig
from slm.errors import UserError
from slm.models import checkpoint
from slm.text import tokenizer


def lively_model(vocab_size, **changes):
    """A small model with weights so large, also in its biases and LayerNorms, that every input changes the logits."""
    torch.manual_seed(1)
    shape = {"block_size": 32, "n_layer": 2, "n_head": 2, "n_embd": 32, "dropout": 0.0, "init_std": 0.2} | changes
    model = GPT(GPTConfig(vocab_size, **shape))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.normal_(mean=float(name.endswith("weight")), std=0.2)
    return model.eval()


def small_encoding(size=500):
    """The first tokens of GPT-2, which include the 256 bytes; 500 is not a multiple of 64."""
    ranks = tokenizer.gpt2()._mergeable_ranks
    return tokenizer.from_ranks({token: rank for token, rank in ranks.items() if rank < size - 1})


def contents_of(model, encoding):
    shape = {name: asdict(model.config)[name] for name in ("n_layer", "n_head", "n_embd", "block_size", "bias")}
    return {
        "model": model.state_dict(),
        "model_config": asdict(model.config),
        "config": shape,
        "tokenizer": tokenizer.to_text(encoding),
        "step": 7,
    }


def save_run(path, **changes):
    """A checkpoint at `path` of a lively model with 500 tokens: (model, contents)."""
    encoding = small_encoding()
    model = lively_model(encoding.n_vocab)
    contents = contents_of(model, encoding) | changes
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save_checkpoint(path, contents)
    return model, contents


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- write and read


def test_what_is_saved_is_loaded(folder):
    model, contents = save_run(folder / "best.pt", val_loss=1.5)
    loaded = checkpoint.load_checkpoint("best.pt")
    assert loaded.keys() == {*contents, "format"} and loaded["val_loss"] == 1.5
    assert same_tensors(loaded["model"], model.state_dict())
    assert [path.name for path in folder.iterdir()] == ["best.pt"]


def test_formats(folder):
    """A file without a number is of format 1 and is read; saving writes 2; another number is one sentence."""
    _, contents = save_run(folder / "new.pt")
    assert torch.load("new.pt")["format"] == checkpoint.load_checkpoint("new.pt")["format"] == 2
    torch.save(contents, "first.pt")
    first = checkpoint.load_checkpoint("first.pt")
    assert first["format"] == 1 and same_tensors(first["model"], contents["model"])
    checkpoint.save_checkpoint("again.pt", first)
    assert checkpoint.load_checkpoint("again.pt")["format"] == 2
    for number in (4, 0, "2", None, [2]):
        torch.save(contents | {"format": number}, "other.pt")
        with pytest.raises(UserError, match=r"^other\.pt is a checkpoint of format .* reads 1, 2, 3: use"):
            checkpoint.load_checkpoint("other.pt")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_layer": 0}, "n_layer 0"),
        ({"n_layer": "2"}, "n_layer '2'"),
        ({"n_head": True}, "n_head True"),
        ({"n_head": 3}, "n_embd 32 is no multiple of 3 heads"),
        ({"dropout": None}, "dropout None"),
        ({"bias": 1}, "bias 1"),
        ({"rotary": True}, "another version of model.py: GPTConfig has no field rotary"),
    ],
)
def test_impossible_shapes(folder, change, words):
    _, contents = save_run(folder / "run.pt")
    checkpoint.save_checkpoint("bad.pt", contents | {"model_config": contents["model_config"] | change})
    with pytest.raises(UserError, match=f"^bad.pt .*{words}"):
        checkpoint.load_checkpoint("bad.pt")


def test_a_shape_without_its_heads(folder):
    """No parameter shows how many there are: a default would give other logits."""
    _, contents = save_run(folder / "run.pt")
    shape = {name: value for name, value in contents["model_config"].items() if name != "n_head"}
    checkpoint.save_checkpoint("bad.pt", contents | {"model_config": shape})
    with pytest.raises(UserError, match=r"^bad.pt does not say its n_head"):
        checkpoint.load_checkpoint("bad.pt")


@pytest.mark.parametrize("change", [0.0, 1e-6, 1.0])
def test_a_head_that_is_not_the_embedding(folder, change):
    """Somebody changed one of the two: either would give other logits than the file's."""
    _, contents = save_run(folder / "run.pt")
    head = contents["model"]["lm_head.weight"] + change
    checkpoint.save_checkpoint("other.pt", contents | {"model": contents["model"] | {"lm_head.weight": head}})
    if change:
        with pytest.raises(UserError, match=r"^other.pt: lm_head.weight is not tied"):
            checkpoint.load_checkpoint("other.pt")
    else:
        assert same_tensors(checkpoint.load_checkpoint("other.pt")["model"], contents["model"])


def test_a_tokenizer_with_other_line_ends(folder):
    """Lines are counted as they are read."""
    _, contents = save_run(folder / "run.pt")
    shape = contents["model_config"] | {"vocab_size": contents["model_config"]["vocab_size"] - 3}
    changed = {"tokenizer": contents["tokenizer"].replace("\n", "\v", 3), "model_config": shape}
    checkpoint.save_checkpoint("bad.pt", contents | changed)
    with pytest.raises(UserError, match=r"its tokenizer has 500 tokens, and its shape 497"):
        checkpoint.load_checkpoint("bad.pt")


def test_a_failed_save_keeps_the_old_file(folder):
    save_run(folder / "best.pt")
    before = (folder / "best.pt").read_bytes()
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save_checkpoint(folder / "best.pt", {"model": lambda: 0})
    assert (folder / "best.pt").read_bytes() == before and len(list(folder.iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="file-size limits are Unix's")
def test_a_full_disk_is_one_sentence(folder):
    import resource

    _, contents = save_run(folder / "best.pt")
    before = (folder / "best.pt").read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limit[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*best\.pt"):
            checkpoint.save_checkpoint(folder / "best.pt", contents)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert (folder / "best.pt").read_bytes() == before and len(list(folder.iterdir())) == 1


# -- files that are no checkpoint


class Harm:
    """An object whose pickle calls a function when it is read: it would make a file named `harm`."""

    def __init__(self, function=Path.touch, argument=Path("harm")):
        self.call = (function, (argument,))

    def __reduce__(self):
        return self.call


def zip_file(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("story.txt", "Once")


def numpy_file(path):
    with open(path, "wb") as file:
        np.savez(file, a=np.zeros(3))


def old_format(contents, path):
    torch.save(contents, path, _use_new_zipfile_serialization=False)  # torch before 1.6


def torch_script(path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)


def flip_a_bit(path, whole):
    position = len(whole) // 3
    path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])


# kind: (how the file `p` is written, from a checkpoint's bytes `b`, its contents `c` and its model `m`; the words owed)
BAD = {
    "cut short": (lambda p, b, c, m: p.write_bytes(b[: len(b) // 2]), "cut short"),
    "without its last bytes": (lambda p, b, c, m: p.write_bytes(b[:-30]), "cut short"),
    "one bit": (lambda p, b, c, m: flip_a_bit(p, b), "damaged"),
    "empty": (lambda p, b, c, m: p.touch(), "is empty"),
    "text": (lambda p, b, c, m: p.write_text("version 1\nsize 12\n"), "not a file of torch.save"),
    "another zip": (lambda p, b, c, m: zip_file(p), "not a file of torch.save"),
    "numpy": (lambda p, b, c, m: numpy_file(p), "not a file of torch.save"),
    "a plain pickle": (lambda p, b, c, m: p.write_bytes(pickle.dumps({"a": Harm()})), "not a file of torch.save"),
    "an object": (lambda p, b, c, m: torch.save(c | {"step": Harm()}, p), "holds code"),
    "a command": (lambda p, b, c, m: torch.save(c | {"val_loss": Harm(os.system, "touch harm")}, p), "system)"),
    "in the old format": (lambda p, b, c, m: old_format(c | {"step": Harm()}, p), "holds code"),
    "the old format, cut": (lambda p, b, c, m: (old_format(c, p), os.truncate(p, 9000)), "not a file of torch.save"),
    "a whole module": (lambda p, b, c, m: torch.save(m, p), "holds code (model.GPT)"),
    "a number of numpy": (lambda p, b, c, m: torch.save(c | {"val_loss": np.float64(1)}, p), "holds code (numpy."),
    "terminal codes": (lambda p, b, c, m: torch.save(c | {"step": Harm(os.system, "\x1b[31mred")}, p), "holds code"),
    "TorchScript": (lambda p, b, c, m: torch_script(p), "holds code (TorchScript)"),
    "weights alone": (lambda p, b, c, m: torch.save(m.state_dict(), p), "lacks model, model_config, config"),
    "one tensor": (lambda p, b, c, m: torch.save(torch.zeros(3), p), "lacks model"),
    "another program": (lambda p, b, c, m: torch.save({"state_dict": {}, "epoch": 3}, p), "lacks model"),
    "no vocabulary": (lambda p, b, c, m: torch.save(c | {"tokenizer": None}, p), "its tokenizer is not a str"),
    "no tensors": (lambda p, b, c, m: torch.save(c | {"model": {"w": [1.0]}}, p), "more than tensors"),
}


def write_bad(path, kind):
    model, contents = save_run(path)
    whole = path.read_bytes()
    path.unlink()
    BAD[kind][0](path, whole, contents, model)


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("kind", BAD)
def test_bad_files(folder, kind):
    """One whole sentence each, without terminal codes, and no code of the file runs."""
    write_bad(folder / "bad.pt", kind)
    with pytest.raises(UserError) as raised:
        checkpoint.load_checkpoint("bad.pt")
    message = str(raised.value)
    assert message.startswith("bad.pt ") and BAD[kind][1] in message and message.isprintable(), message
    assert ("so it is not read" in message) == ("holds code" in message)
    assert not (folder / "harm").exists(), "code from a checkpoint was run"


@pytest.mark.parametrize("kind", ["cut short", "an object", "another program"])
def test_scripts_say_it_in_one_line(folder, kind):
    write_bad(folder / "bad.pt", kind)
    for script, arguments in (("sample.py", ["--model", "bad.pt"]), ("export.py", ["bad.pt", "made"])):
        assert_mistake(call(script, *arguments), "bad.pt", BAD[kind][1])
    assert not (folder / "harm").exists() and not (folder / "made").exists()


def test_files_that_cannot_be_read(folder):
    with pytest.raises(UserError, match=r"no checkpoint nothing\.pt"):
        checkpoint.load_checkpoint("nothing.pt")
    if hasattr(os, "geteuid") and os.geteuid() != 0:  # root may read everything
        save_run(folder / "secret.pt")
        (folder / "secret.pt").chmod(0)
        with pytest.raises(UserError, match=r"cannot read secret\.pt: Permission denied"):
            checkpoint.load_checkpoint("secret.pt")


def test_damage_anywhere(folder):
    """A file cut anywhere is a mistake; so is one with a changed byte, unless the byte means nothing."""
    _, contents = save_run(folder / "whole.pt")
    whole, generator = (folder / "whole.pt").read_bytes(), random.Random(0)
    for number in range(60):
        position, damaged = generator.randrange(len(whole)), bytearray(whole)
        if number % 2:
            damaged = damaged[:position]
        else:
            damaged[position] ^= generator.randrange(1, 256)
        (folder / "bad.pt").write_bytes(damaged)
        try:
            loaded = checkpoint.load_checkpoint("bad.pt")
        except UserError:
            continue
        assert not number % 2, position
        assert all(torch.equal(loaded["model"][name], tensor) for name, tensor in contents["model"].items()), position
