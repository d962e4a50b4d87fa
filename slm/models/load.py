"""The one door to any model: a name becomes a model that is ready to use, whichever program made it.

    loaded = load_model("out/tinystories", device, dtype)       .model, .encoding, .path, .step, .config
    loaded = load_model()                                       the newest run under out/, on the CPU

A name is a run's folder, a checkpoint file (ours or nanoGPT's), a Hugging Face folder, or a GPT-2 on the hub.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import tiktoken
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from model import GPT
from slm.errors import UserError, print_note
from slm.files import ROOT
from slm.models import checkpoint, from_hub, from_huggingface, from_nanogpt
from slm.models.gpt2 import POSITIONS
from slm.models.tensor_file import check_tensors
from slm.text import tokenizer

CHECKPOINTS = ["best.pt", "ckpt.pt", "last.pt"]  # of a run, the one to use first; ckpt.pt is nanoGPT's


@dataclass(frozen=True)
class LoadedModel:
    """A model with its tokenizer, and what is known of its training; path: of its file or folder, or its name."""

    path: Path | str
    contents: dict  # of the checkpoint
    model: GPT  # in evaluation mode
    encoding: tiktoken.Encoding

    @property
    def step(self):
        """Optimizer steps of training; 0 where another program made the model and does not say."""
        return self.contents["step"]

    @property
    def config(self):
        """{option: value} of the run; of another program's model, its shape alone."""
        return self.contents["config"]

    @property
    def val_loss(self):
        """Nats per token, or None where it is not known. `val_bpb` is known with it."""
        return self.contents.get("val_loss")

    @property
    def val_bpb(self):
        return self.contents.get("val_bpb")


def load_model(name=None, device="cpu", dtype=torch.float32):
    """The LoadedModel that `name` means, the newest run without one. Raises UserError."""
    contents, path = read_model(name)
    model = build_model(contents).to(device, dtype).eval()
    return LoadedModel(path, contents, model, tokenizer.from_text(contents["tokenizer"]))


def read_model(name=None):
    """(contents of a checkpoint, path) of the model that `name` means, tensors on the CPU. Raises UserError.

    Another program's model gives the contents that a checkpoint of ours would have.
    """
    path = find_model(name or newest_run())
    if from_hub.is_hub_name(path):
        return from_hub.load_from_hub(path), path
    if os.path.isdir(path):
        return from_huggingface.load_hugging_face(path), path
    contents = checkpoint.read_file(path)
    if isinstance(contents, dict) and contents.keys() >= from_nanogpt.KEYS:
        return from_nanogpt.from_nanogpt(contents, path), path
    return checkpoint.check_contents(contents, path), path


def build_model(contents, **changes):
    """The GPT of a checkpoint's contents, on the CPU; `changes` replace fields of its GPTConfig.

    A smaller block_size cuts off the positions past it. Raises UserError where parameters do not fit the shape or are
    not finite.
    """
    own = checkpoint.parse_config(contents["model_config"], "the checkpoint")
    config = checkpoint.parse_config(contents["model_config"] | changes, "the checkpoint")
    parameters = dict(contents["model"])
    check_tensors(parameters, "the checkpoint", checkpoint.TIED)
    if POSITIONS in parameters and parameters[POSITIONS].shape[:1] == (own.block_size,):
        parameters[POSITIONS] = parameters[POSITIONS][: config.block_size]
    with torch.device("meta"), WithoutInit():  # compared before a byte is allocated
        wanted = {name: list(tensor.shape) for name, tensor in GPT(config).state_dict().items()}
    given = {name: list(tensor.shape) for name, tensor in parameters.items()}
    for name in sorted(wanted.keys() | given.keys()):
        if wanted.get(name) != given.get(name):
            reason = f"{name[:80]} is {given.get(name, 'missing')} and not {wanted.get(name, 'known')}"
            raise UserError(f"the checkpoint's parameters do not fit its shape: {reason}")
    model = GPT(config)
    model.load_state_dict(parameters)
    return model


class WithoutInit(TorchFunctionMode):
    """Parameters that are made get no values. On `meta` they have none, and PyTorch would import its compiler first."""

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        if getattr(function, "__module__", None) != nn.init.__name__:
            return function(*arguments, **(keywords or {}))


# -- which model ------------------------------------------------------------------------------------------------------


def find_model(name):
    """What `name` means: a file, a run's best.pt (else last.pt), a Hugging Face folder, or a name on the hub.

    A path that exists comes before a name on the hub. Returns a Path, or the name; raises UserError where there is
    nothing.
    """
    if from_hub.is_hub_name(name):
        return os.fspath(name)
    path = Path(os.path.expanduser(name))
    if os.path.isfile(path):
        # a file of a Hugging Face folder means the folder
        is_ours = path.name in CHECKPOINTS
        return path.parent if not is_ours and path in from_huggingface.weight_files(path.parent) else path
    for file in CHECKPOINTS:
        if os.path.isfile(path / file):
            return path / file
    if from_huggingface.weight_files(path):
        return path
    if not os.path.isdir(path):
        runs = find_runs("out")
        hint = f"the newest run is {max(runs, key=runs.get)}" if runs else "train a model first, or check the name"
        raise UserError(f"no checkpoint {path}, and no such folder: {hint}")
    runs = find_runs(path)
    hint = f"the newest below it is in {max(runs, key=runs.get)}" if runs else "train a model first, or check the name"
    raise UserError(f"no checkpoint in the folder {path}: {hint}")


def find_runs(out):
    """{folder: time of its newest checkpoint}, for `out` and the folders below it. Links are followed."""
    runs, seen = {}, set()
    for folder, below, files in os.walk(out, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            below.clear()  # a link to a folder above
            continue
        seen.add(real)
        below[:] = [name for name in below if not name.startswith(".")]
        for name in set(files) & set(CHECKPOINTS):
            with contextlib.suppress(OSError):  # a link to nothing, or a file that is gone by now
                time = os.stat(os.path.join(folder, name)).st_mtime
                runs[Path(folder)] = max(time, runs.get(Path(folder), time))
    return runs


def newest_run(out="out"):
    """The folder with the newest checkpoint: `out`, or one below it, at any depth. Raises UserError without one."""
    if runs := find_runs(out):
        newest = max(runs, key=runs.get)
        if len(runs) > 1:
            print_note(f"{newest} is the newest of {len(runs)} runs under {out}/: --model takes another")
        return newest
    elsewhere = find_runs(ROOT / "out")
    hint = "train a model first, for example with `python train.py config/sample.py`"
    if elsewhere:
        hint = f"the repository's newest run is {max(elsewhere, key=elsewhere.get)}"
    raise UserError(f"no checkpoint under {out}/ in {Path.cwd()}: {hint}")
