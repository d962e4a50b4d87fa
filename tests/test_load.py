"""slm/models/load.py: which model a name means, and what a model needs to be built."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, environment
from test_checkpoint import contents_of, lively_model, save_run, small_encoding

from slm.errors import UserError
from slm.models import load
from slm.text import tokenizer


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_model_that_is_ready_to_use(folder):
    """Its tokens, what is known of its training, in the type that is asked for; the newest run without a name."""
    model, contents = save_run(folder / "out/a/best.pt", val_loss=1.5, val_bpb=0.5)
    for name in ("out/a", None):
        loaded = load.load_model(name)
        assert (loaded.path, loaded.step, loaded.val_loss, loaded.val_bpb) == (Path("out/a/best.pt"), 7, 1.5, 0.5)
        assert loaded.config == contents["config"] and not loaded.model.training
        assert tokenizer.to_text(loaded.encoding) == contents["tokenizer"]
        idx = torch.randint(500, (2, 32))
        assert torch.equal(loaded.model(idx, idx)[0], model(idx, idx)[0])
    assert load.load_model("out/a", "cpu", torch.bfloat16).model.lm_head.weight.dtype == torch.bfloat16
    save_run(folder / "out/b/last.pt")
    assert load.load_model("out/b").val_loss is None


# -- building


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
        load.build_model(contents, **change)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_parameters_that_are_not_finite(folder, value):
    _, contents = save_run(folder / "run.pt")
    contents["model"]["transformer.h.0.ln_1.weight"][3] = value
    with pytest.raises(UserError, match=r"not finite \(transformer.h.0.ln_1.weight\)"):
        load.build_model(contents)


def test_a_field_that_somebody_added(folder):
    """A checkpoint from before a field was added to GPTConfig has its default; one from after names the field."""
    model = lively_model(500)
    contents = contents_of(model, small_encoding())
    before = {name: value for name, value in contents["model_config"].items() if name != "bias"}
    idx = torch.randint(500, (1, 32))
    built = load.build_model(contents | {"model_config": before}).eval()
    assert torch.equal(built(idx, idx)[0], model(idx, idx)[0])
    with pytest.raises(UserError, match=r"another version.* no field rope_theta"):
        load.build_model(contents, rope_theta=10_000)


def test_a_shorter_context_cuts_off_positions(folder):
    model, contents = save_run(folder / "best.pt")
    short, idx = load.build_model(contents, block_size=5).eval(), torch.randint(500, (1, 5))
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
        assert load.find_model(run) == run / found
        assert load.find_model(str(run / "last.pt")) == run / "last.pt"


def test_a_hugging_face_folder_means_itself(folder):
    for name in ("a/model.safetensors", "b/pytorch_model.bin", "c/model-00001-of-00002.safetensors"):
        touch(folder / name, 1)
        parent = Path(name).parent
        assert load.find_model(parent) == load.find_model(name) == parent


def test_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    save_run(folder / "runs/x/best.pt")
    assert load.find_model("~/runs/x") == folder / "runs/x/best.pt"
    assert load.load_model("~/runs/x/best.pt").step == 7
    with pytest.raises(UserError, match=str(folder / "runs/y")):
        load.find_model("~/runs/y")


@pytest.mark.parametrize("name", ["gpt2", "distilgpt2", "openai-community/gpt2", "me/my_model-v1.5"])
def test_a_local_path_comes_before_the_hub(folder, name):
    assert load.find_model(name) == name
    touch(folder / name / "last.pt", 1)
    assert load.find_model(name) == Path(name) / "last.pt"


@pytest.mark.parametrize(
    "name", ["out", "out/x", "out/x/y", "x.pt", "a/x.safetensors", "here/x", "./x", "../x", "a/b/c", "/a/b", "a b", ""]
)
def test_what_can_be_no_name_on_the_hub(folder, name):
    (folder / "here").mkdir()
    with pytest.raises(UserError, match="no checkpoint") as raised:
        load.find_model(name)
    assert str(Path(name)) in str(raised.value)


def test_a_run_that_is_not_there_names_the_newest(folder):
    with pytest.raises(UserError, match=r"no checkpoint out.x, and no such folder: train a model first"):
        load.find_model("out/x")
    touch(folder / "out/monday/last.pt", 1)
    with pytest.raises(UserError, match=r"no checkpoint out.x, and no such folder: the newest run is out.monday$"):
        load.find_model("out/x")


def test_a_folder_above_the_run_names_the_run(folder):
    touch(folder / "runs/monday/first/last.pt", 1)
    touch(folder / "runs/tuesday/best.pt", 2)
    with pytest.raises(UserError, match=r"no checkpoint in the folder runs: the newest below it is in runs.tuesday$"):
        load.find_model("runs")


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
    assert load.newest_run() == Path("out") / newest


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_the_newest_run_behind_a_link(folder):
    """`out` may be a link to a drive, and so may a run; a link that goes round ends."""
    touch(folder / "drive/run/best.pt", 2)
    (folder / "out").mkdir()
    (folder / "out/linked").symlink_to(folder / "drive/run")
    (folder / "out/round").symlink_to(folder / "out")
    (folder / "out/gone").mkdir()
    (folder / "out/gone/best.pt").symlink_to("nothing")
    assert load.newest_run() == Path("out/linked")


def test_no_run(folder, monkeypatch):
    monkeypatch.setattr(load, "ROOT", folder / "repository")
    (folder / "out/empty").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no checkpoint under out/.*python train\.py"):
        load.newest_run()
    touch(folder / "repository/out/x/best.pt", 1)
    with pytest.raises(UserError, match=r"newest run is .*repository.out.x"):
        load.newest_run()


def test_a_model_is_built_without_the_compiler(folder):
    """Whose import takes as long as PyTorch's."""
    save_run(folder / "best.pt")
    code = "import sys, torch; known = {*sys.modules}; from slm.models.load import load_model; load_model('best.pt');"
    code += "print([name for name in ('torch._dynamo', 'torch._inductor') if name in sys.modules.keys() - known])"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True)
    assert result.stdout == "[]\n", result
