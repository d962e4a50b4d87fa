"""Checkpoints are data, never code: tensors and plain values, written whole or not at all, and checked when read.

best.pt holds what a story needs, last.pt also what an exact resume needs:

    model          parameters by name                  config      every option of the run
    model_config   the fields of GPTConfig             tokenizer   the text of its .tiktoken file
    step, val_loss (nats a token), val_bpb (bits per byte of text)
    last.pt only:  optimizer, scaler, progress
"""

import pickle
import zipfile
from pathlib import Path

import torch

from configuration import UserError
from model import GPT, GPTConfig
from records import replacing

KEYS = {"model", "model_config", "config", "tokenizer", "step"}


def save(path, contents):
    """Write a dict of tensors and plain values. Raises UserError where the disk is full; the old file is then whole."""
    with replacing(path) as file:
        try:
            torch.save(contents, file)
        except RuntimeError as error:  # how torch's zip writer says that the file took no more bytes
            raise OSError(f"{error}") from error


def load(path):
    """The dict that `save` wrote, its tensors on the CPU.

    Raises UserError where there is no file, where it is damaged (the zip's own checksums are checked, since torch does
    not), where it holds code, or where it is not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no checkpoint {path}: train one first, or name its folder")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise UserError(f"{path} is damaged (in {damaged}): use another checkpoint")
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        NotImplementedError,
    ) as error:
        reason = str(error).strip().split("\n")[0][:120]
        raise UserError(f"{path} is damaged or not a checkpoint of this program ({reason})") from error
    if not isinstance(contents, dict) or not contents.keys() >= KEYS:
        raise UserError(f"{path} is not a checkpoint of this program: it lacks model, config or tokenizer")
    return contents


def build_model(contents, **changes):
    """The GPT of a loaded checkpoint, on the CPU; `changes` replace fields of its GPTConfig.

    Raises UserError where the parameters do not fit the shape.
    """
    try:
        config = GPTConfig(**(contents["model_config"] | changes))
        model = GPT(config)
        model.load_state_dict(contents["model"])
    except (TypeError, RuntimeError) as error:
        raise UserError(f"the checkpoint's parameters do not fit its shape ({str(error).splitlines()[0]})") from error
    return model


def newest_run(out="out"):
    """The folder whose best.pt is newest, `out` itself or one in it. Raises UserError where there is none."""
    runs = [path.parent for pattern in ("best.pt", "*/best.pt") for path in Path(out).glob(pattern)]
    if not runs:
        raise UserError(f"no checkpoint under {out}/: run `python train.py config/tinystories.py` first")
    return max(runs, key=lambda run: (run / "best.pt").stat().st_mtime)
