"""Checkpoints are data, never code: tensors and plain values, written whole or not at all, and checked when read.

best.pt holds what a story needs, last.pt also what an exact resume needs:

    format         2, or 3 with `weights`, which version 2 would pass over; the first files have none, which means 1
    model          parameters by name                  config      every option of the run
    model_config   the fields of GPTConfig             tokenizer   the text of its .tiktoken file
    step, val_loss (nats per token), val_bpb (bits per byte of text), corpus (what names its tokens)
    last.pt only:  optimizer, scaler, progress, and with --ema, where `model` is an average, the `weights` behind it

Models of other programs become such contents in load.py.
"""

import os
from dataclasses import asdict, fields
from pathlib import Path

import torch

from model import GPTConfig
from slm.config import OPTIONS
from slm.errors import UserError, first_line
from slm.files import atomic_write
from slm.models.tensor_file import check_tensors, read_tensors
from slm.values import check_values, is_valid, shown

FORMAT, FORMAT_OF_AVERAGES = 2, 3
READABLE = (1, FORMAT, FORMAT_OF_AVERAGES)
KEYS = {"model": dict, "model_config": dict, "config": dict, "tokenizer": str, "step": int}
NUMBERS = {"step": (int, 0), "tokens": (int, 0), "val_loss": (float, 0), "val_bpb": (float, 0)}
BOUNDS = {name: option.metadata["bounds"] for name, option in OPTIONS.items()}
SHAPE_BOUNDS = BOUNDS | {"vocab_size": (1, None, 2**16 + 1)}
TIED = {"lm_head.weight": "transformer.wte.weight"}  # the head is the embedding
UNSEEN = "n_head"  # the one number of a shape that no parameter shows


def save_checkpoint(path, contents):
    """Write a dict of tensors and plain values. Raises UserError where the disk is full; the old file is then whole."""
    with atomic_write(path) as file:
        try:
            torch.save(contents | {"format": FORMAT_OF_AVERAGES if contents.get("weights") else FORMAT}, file)
        except RuntimeError as error:  # torch's zip writer raises this when the file takes no more bytes
            file.write(bytes(2**20))  # which raises the error of the disk
            file.flush()
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
    if not any(contents["format"] is number for number in READABLE):
        raise UserError(
            f"{path} is a checkpoint of format {shown(contents['format'])}, and this version of the program reads"
            f" {', '.join(map(str, READABLE))}: use the version that wrote it"
        )
    for key, kind in KEYS.items():
        if not isinstance(contents[key], kind):
            raise UserError(f"{path} is no checkpoint of this program: its {key} is not a {kind.__name__}")
    check_values(contents, {name: NUMBERS[name] for name in NUMBERS if name in contents}, f"the numbers of {path}")
    options = {name: (option.type, *BOUNDS[name]) for name, option in OPTIONS.items() if name in contents["config"]}
    check_values(contents["config"], options, f"the options of {path}")
    config = parse_config(contents["model_config"], path)
    check_tensors(contents["model"], path, TIED)
    if (lines := len(contents["tokenizer"].splitlines())) != config.vocab_size - 1:
        raise UserError(
            f"{path} is damaged: its tokenizer has {lines + 1:,} tokens, and its shape {config.vocab_size:,}: use"
            " another checkpoint"
        )
    return contents | {"model_config": asdict(config)}


def parse_config(values, where):
    """The GPTConfig with these values, {field: value}; a field that is missing has its default, except n_head.

    Raises UserError, which names `where`, for an unknown field, a value of another type, and an impossible shape.
    """
    kinds = {field.name: field.type for field in fields(GPTConfig)}
    if UNSEEN not in values:
        raise UserError(f"{where} does not say its {UNSEEN}, which its parameters do not show: use another file")
    for name, value in values.items():
        if name not in kinds:
            raise UserError(f"{where} is of another version of model.py: GPTConfig has no field {str(name)[:40]}")
        if not is_valid(value, kinds[name], *SHAPE_BOUNDS[name]):
            raise UserError(f"{where} has an impossible shape: no GPT has {name} {shown(value)}")
    config = GPTConfig(**values)
    if config.n_embd % config.n_head:
        raise UserError(
            f"{where} has an impossible shape: n_embd {config.n_embd} is no multiple of {config.n_head} heads"
        )
    return config
