"""Checkpoints are data, never code: tensors and plain values, written whole or not at all, and checked when read.

best.pt holds what a story needs, last.pt also what an exact resume needs:

    format         2; the first files have none, which means 1
    model          parameters by name                  config      every option of the run
    model_config   the fields of GPTConfig             tokenizer   the text of its .tiktoken file
    step, val_loss (nats a token), val_bpb (bits per byte of text)
    last.pt only:  optimizer, scaler, progress

Models of other programs become such contents in load.py.
"""

import os
from dataclasses import asdict, fields
from pathlib import Path

import torch

from model import GPTConfig
from slm.errors import UserError, first_line
from slm.files import atomic_write
from slm.models.tensor_file import read_tensors

FORMAT = 2
READABLE = (1, 2)
KEYS = {"model": dict, "model_config": dict, "config": dict, "tokenizer": str, "step": int}


def save_checkpoint(path, contents):
    """Write a dict of tensors and plain values. Raises UserError where the disk is full; the old file is then whole."""
    with atomic_write(path) as file:
        try:
            torch.save(contents | {"format": FORMAT}, file)
        except RuntimeError as error:  # torch's zip writer raises this when the file takes no more bytes
            raise OSError(first_line(error)) from error


def load_checkpoint(path):
    """The dict that `save_checkpoint` wrote, tensors on the CPU.

    Raises UserError where there is no file, where it is damaged or holds code, and where it is no checkpoint of ours.
    """
    return check_contents(read_file(path), path)


def read_file(path):
    """What is in a file of tensors, not checked. Raises UserError where there is none, or it cannot be read as data."""
    path = Path(os.path.expanduser(path))
    if not os.path.isfile(path):
        raise UserError(f"no checkpoint {path}: train a model first, or name the folder of a run")
    return read_tensors(path)


def check_contents(contents, path):
    """The contents of the file at `path`, with every field of GPTConfig, if they are a checkpoint's; else UserError."""
    if not isinstance(contents, dict) or not KEYS.keys() <= contents.keys():
        lacking = [key for key in KEYS if not isinstance(contents, dict) or key not in contents]
        raise UserError(
            f"{path} is no checkpoint of this program (it lacks {', '.join(lacking)}): use a run's best.pt, nanoGPT's"
            " ckpt.pt, or a Hugging Face folder"
        )
    contents = {"format": 1} | contents
    if contents["format"] not in READABLE:
        raise UserError(
            f"{path} is a checkpoint of format {str(contents['format'])[:20]!r}, and this version of the program reads"
            f" {' and '.join(map(str, READABLE))}: use the version that wrote it"
        )
    for key, kind in KEYS.items():
        if not isinstance(contents[key], kind):
            raise UserError(f"{path} is no checkpoint of this program: its {key} is not a {kind.__name__}")
    if not all(isinstance(tensor, torch.Tensor) for tensor in contents["model"].values()):
        raise UserError(f"{path} is no checkpoint of this program: its model holds more than tensors")
    return contents | {"model_config": asdict(parse_config(contents["model_config"], path))}


def parse_config(values, where):
    """The GPTConfig with these values, {field: value}; a field that is missing has its default.

    Raises UserError, which names `where`, for an unknown field, a value of another type, and an impossible shape.
    """
    kinds = {field.name: field.type for field in fields(GPTConfig)}
    if unknown := sorted(str(name) for name in values.keys() - kinds.keys()):
        raise UserError(f"{where} is of another version of model.py: GPTConfig has no field {unknown[0]}")
    for name, value in values.items():
        kind = kinds[name]
        if type(value) not in ((int, float) if kind is float else (kind,)) or (kind is int and value < 1):
            raise UserError(f"{where} has an impossible shape: no GPT has {name} {value!r}")
    config = GPTConfig(**values)
    if config.n_embd % config.n_head:
        raise UserError(
            f"{where} has an impossible shape: n_embd {config.n_embd} is no multiple of {config.n_head} heads"
        )
    return config
