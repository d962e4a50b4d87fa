"""Checkpoints are data, never code: tensors and plain values, written whole or not at all, and checked when read.

best.pt holds what a story needs, last.pt also what an exact resume needs:

    model          parameters by name                  config      every option of the run
    model_config   the fields of GPTConfig             tokenizer   the text of its .tiktoken file
    step, val_loss (nats a token), val_bpb (bits per byte of text)
    last.pt only:  optimizer, scaler, progress

Other programs' models are read as if they were checkpoints of ours: see from_huggingface.py and from_hub.py.
"""

import contextlib
import os
from pathlib import Path

import torch

from model import GPT, GPTConfig
from slm.errors import UserError, first_line
from slm.files import ROOT, atomic_write
from slm.models import from_hub, from_huggingface
from slm.models.gpt2 import POSITIONS
from slm.models.tensor_file import read_tensors

KEYS = {"model": dict, "model_config": dict, "config": dict, "tokenizer": str, "step": int}
NANOGPT_KEYS = {"model", "model_args"}
CHECKPOINTS = ["best.pt", "ckpt.pt", "last.pt"]  # of a run, the one to use first; ckpt.pt is nanoGPT's


def save_checkpoint(path, contents):
    """Write a dict of tensors and plain values. Raises UserError where the disk is full; the old file is then whole."""
    with atomic_write(path) as file:
        try:
            torch.save(contents, file)
        except RuntimeError as error:  # torch's zip writer raises this when the file takes no more bytes
            raise OSError(first_line(error)) from error


# -- which checkpoint -------------------------------------------------------------------------------------------------


def find_checkpoint(name):
    """What `name` means: a file, a run's best.pt (else last.pt), a Hugging Face folder, or a name on the hub.

    A path that exists comes before a name on the hub. Returns a Path, or the name; raises UserError where there is
    nothing.
    """
    if from_hub.is_hub_name(name):
        return os.fspath(name)
    path = Path(os.path.expanduser(name))
    if os.path.isfile(path):
        # a file of a Hugging Face folder means the folder
        return path.parent if path in from_huggingface.weight_files(path.parent) else path
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
        return max(runs, key=runs.get)
    elsewhere = find_runs(ROOT / "out")
    hint = "train a model first, for example with `python train.py config/sample.py`"
    if elsewhere:
        hint = f"the repository's newest run is {max(elsewhere, key=elsewhere.get)}"
    raise UserError(f"no checkpoint under {out}/ in {Path.cwd()}: {hint}")


# -- reading ----------------------------------------------------------------------------------------------------------


def load_checkpoint(path):
    """The dict that `save_checkpoint` wrote, or its equivalent for what `find_checkpoint` found, tensors on the CPU.

    Raises UserError where there is no file, where it is damaged or holds code, and where it is neither a checkpoint of
    ours nor one of the others that can be read.
    """
    if from_hub.is_hub_name(path):
        return from_hub.load_from_hub(os.fspath(path))
    path = Path(os.path.expanduser(path))
    if os.path.isdir(path):
        return from_huggingface.load_hugging_face(path)
    if not os.path.isfile(path):
        raise UserError(f"no checkpoint {path}: train a model first, or name the folder of a run")
    contents = read_tensors(path)
    if isinstance(contents, dict) and contents.keys() >= NANOGPT_KEYS:
        return from_huggingface.from_nanogpt(contents, path)
    if not isinstance(contents, dict) or not KEYS.keys() <= contents.keys():
        lacking = [key for key in KEYS if not isinstance(contents, dict) or key not in contents]
        raise UserError(
            f"{path} is no checkpoint of this program (it lacks {', '.join(lacking)}): use a run's best.pt, nanoGPT's"
            " ckpt.pt, or a Hugging Face folder"
        )
    for key, kind in KEYS.items():
        if not isinstance(contents[key], kind):
            raise UserError(f"{path} is no checkpoint of this program: its {key} is not a {kind.__name__}")
    if not all(isinstance(tensor, torch.Tensor) for tensor in contents["model"].values()):
        raise UserError(f"{path} is no checkpoint of this program: its model holds more than tensors")
    return contents


# -- the model --------------------------------------------------------------------------------------------------------


def build_model(contents, **changes):
    """The GPT of a loaded checkpoint, on the CPU; `changes` replace fields of its GPTConfig.

    A smaller block_size cuts off the positions past it. Fields that the checkpoint lacks have their defaults. Raises
    UserError where it has fields that this GPTConfig lacks, or parameters that do not fit the shape or are not finite.
    """
    fields = contents["model_config"] | changes
    if unknown := sorted(fields.keys() - GPTConfig.__dataclass_fields__.keys()):
        raise UserError(f"the checkpoint is of another version of model.py: GPTConfig has no field {unknown[0]}")
    model = GPT(GPTConfig(**fields))
    parameters = dict(contents["model"])
    if POSITIONS in parameters:
        parameters[POSITIONS] = parameters[POSITIONS][: model.config.block_size]
    wanted = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: list(tensor.shape) for name, tensor in parameters.items()}
    for name in sorted(wanted.keys() | given.keys()):
        if wanted.get(name) != given.get(name):
            reason = f"{name} is {given.get(name, 'missing')} and not {wanted.get(name, 'known')}"
            raise UserError(f"the checkpoint's parameters do not fit its shape: {reason}")
    if broken := [name for name, tensor in parameters.items() if not tensor.isfinite().all()]:
        raise UserError(
            f"the checkpoint's parameters are not finite ({broken[0]}): take one from before its run failed"
        )
    model.load_state_dict(parameters)
    return model
