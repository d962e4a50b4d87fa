"""slm/models/checkpoint.py: what is written is read again, and a bad file gets one sentence."""

import math
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
from conftest import assert_mistake, call

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
    assert loaded.keys() == contents.keys() and loaded["val_loss"] == 1.5
    idx = torch.randint(500, (2, 32))
    assert torch.equal(checkpoint.build_model(loaded).eval()(idx, idx)[0], model(idx, idx)[0])
    assert [path.name for path in folder.iterdir()] == ["best.pt"]


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


def test_fields_that_come_and_go(folder):
    """A checkpoint of older code lacks a field of GPTConfig; one of newer code has a field that this code lacks."""
    model, contents = save_run(folder / "best.pt")
    older = {name: value for name, value in contents["model_config"].items() if name not in ("init_std", "bias")}
    idx = torch.randint(500, (1, 32))
    old = checkpoint.build_model(contents | {"model_config": older}).eval()
    assert torch.equal(old(idx, idx)[0], model(idx, idx)[0])
    newer = contents["model_config"] | {"rope_theta": 10_000}
    with pytest.raises(UserError, match=r"another version.* no field rope_theta"):
        checkpoint.build_model(contents | {"model_config": newer})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_layer": 3}, r"h\.2\.attn.* missing"),
        ({"n_layer": 1}, r"h\.1\.attn.* not known"),
        ({"n_embd": 64}, r", 32\] and not .*, 64\]"),
        ({"block_size": 64}, r"wpe.* \[32, 32\] and not \[64, 32\]"),
        ({"bias": False}, r"bias.* not known"),
    ],
)
def test_parameters_of_another_shape(folder, change, words):
    _, contents = save_run(folder / "best.pt")
    with pytest.raises(UserError, match=f"do not fit its shape: .*{words}"):
        checkpoint.build_model(contents, **change)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_parameters_that_are_not_finite(folder, value):
    _, contents = save_run(folder / "run.pt")
    contents["model"]["transformer.h.0.ln_1.weight"][3] = value
    with pytest.raises(UserError, match=r"not finite \(transformer.h.0.ln_1.weight\)"):
        checkpoint.build_model(contents)


def test_a_shorter_context_cuts_off_positions(folder):
    model, contents = save_run(folder / "best.pt")
    short, idx = checkpoint.build_model(contents, block_size=5).eval(), torch.randint(500, (1, 5))
    assert short.transformer.wpe.weight.shape == (5, 32)
    torch.testing.assert_close(short(idx, idx)[0], model(idx, idx)[0], atol=1e-5, rtol=0)


# -- names


def touch(path, time):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    os.utime(path, (time, time))


def test_a_run_means_its_best_checkpoint(folder):
    for names, found in (
        (["last.pt"], "last.pt"),
        (["ckpt.pt", "last.pt"], "ckpt.pt"),
        (["best.pt", "ckpt.pt", "last.pt", "model.safetensors"], "best.pt"),
    ):
        run = folder / "-".join(names)
        for time, name in enumerate(names, 1):
            touch(run / name, time)
        assert checkpoint.find_checkpoint(run) == run / found
        assert checkpoint.find_checkpoint(str(run / "last.pt")) == run / "last.pt"


def test_a_hugging_face_folder_means_itself(folder):
    for name in ("a/model.safetensors", "b/pytorch_model.bin", "c/model-00001-of-00002.safetensors"):
        touch(folder / name, 1)
        parent = Path(name).parent
        assert checkpoint.find_checkpoint(parent) == checkpoint.find_checkpoint(name) == parent


def test_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    save_run(folder / "runs/x/best.pt")
    assert checkpoint.find_checkpoint("~/runs/x") == folder / "runs/x/best.pt"
    assert checkpoint.load_checkpoint("~/runs/x/best.pt")["step"] == 7
    with pytest.raises(UserError, match=str(folder / "runs/y")):
        checkpoint.find_checkpoint("~/runs/y")


@pytest.mark.parametrize("name", ["gpt2", "distilgpt2", "openai-community/gpt2", "me/my_model-v1.5"])
def test_a_local_path_comes_before_the_hub(folder, name):
    assert checkpoint.find_checkpoint(name) == name
    touch(folder / name / "last.pt", 1)
    assert checkpoint.find_checkpoint(name) == Path(name) / "last.pt"


@pytest.mark.parametrize(
    "name", ["out", "out/x", "out/x/y", "x.pt", "a/x.safetensors", "here/x", "./x", "../x", "a/b/c", "/a/b", "a b", ""]
)
def test_what_can_be_no_name_on_the_hub(folder, name):
    (folder / "here").mkdir()
    with pytest.raises(UserError, match="no checkpoint") as raised:
        checkpoint.find_checkpoint(name)
    assert str(Path(name)) in str(raised.value)


def test_a_run_that_is_not_there_names_the_newest(folder):
    with pytest.raises(UserError, match=r"no checkpoint out.x, and no such folder: train a model first"):
        checkpoint.find_checkpoint("out/x")
    touch(folder / "out/monday/last.pt", 1)
    with pytest.raises(UserError, match=r"no checkpoint out.x, and no such folder: the newest run is out.monday$"):
        checkpoint.find_checkpoint("out/x")


def test_a_folder_above_the_run_names_the_run(folder):
    touch(folder / "runs/monday/first/last.pt", 1)
    touch(folder / "runs/tuesday/best.pt", 2)
    with pytest.raises(UserError, match=r"no checkpoint in the folder runs: the newest below it is in runs.tuesday$"):
        checkpoint.find_checkpoint("runs")


@pytest.mark.parametrize(
    ("files", "newest"),
    [
        (["old/best.pt", "new/best.pt"], "new"),
        (["old/best.pt", "new/last.pt"], "new"),  # stopped before its first validation
        (["old/last.pt", "a/b/c/best.pt"], "a/b/c"),
        (["old/best.pt", "ckpt.pt"], "."),
        (["long/best.pt", "short/best.pt", "long/last.pt"], "long"),
        (["old/best.pt", ".new.partial/best.pt"], "old"),
        (["old/best.pt", "new/best.pt.partial", "new/model.pt"], "old"),
    ],
)
def test_the_newest_run(folder, files, newest):
    for time, name in enumerate(files, 1):
        touch(folder / "out" / name, 1_000_000_000 + time)
    assert checkpoint.newest_run() == Path("out") / newest


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_the_newest_run_behind_a_link(folder):
    """`out` may be a link to a drive, and so may a run; a link that goes round ends."""
    touch(folder / "drive/run/best.pt", 2)
    (folder / "out").mkdir()
    (folder / "out/linked").symlink_to(folder / "drive/run")
    (folder / "out/round").symlink_to(folder / "out")
    (folder / "out/gone").mkdir()
    (folder / "out/gone/best.pt").symlink_to("nothing")
    assert checkpoint.newest_run() == Path("out/linked")


def test_no_run(folder, monkeypatch):
    monkeypatch.setattr(checkpoint, "ROOT", folder / "repository")
    (folder / "out/empty").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no checkpoint under out/.*python train\.py"):
        checkpoint.newest_run()
    touch(folder / "repository/out/x/best.pt", 1)
    with pytest.raises(UserError, match=r"newest run is .*repository.out.x"):
        checkpoint.newest_run()


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
    for script, arguments in (("sample.py", ["--out_dir", "bad.pt"]), ("export.py", ["bad.pt", "made"])):
        assert_mistake(call(script, *arguments), "bad.pt", BAD[kind][1])
    assert not (folder / "harm").exists() and not (folder / "made").exists()


def test_files_that_cannot_be_read(folder):
    with pytest.raises(UserError, match=r"no checkpoint nothing\.pt"):
        checkpoint.load_checkpoint("nothing.pt")
    (folder / "run").mkdir()
    with pytest.raises(UserError, match="no checkpoint in the folder run"):
        checkpoint.find_checkpoint("run")
    with pytest.raises(UserError, match=r"run.*config\.json"):
        checkpoint.load_checkpoint("run")
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
