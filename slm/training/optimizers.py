"""The optimizers that `--optimizer` names. A function here is all that another one takes: see `adamw`."""

import torch

from slm.errors import UserError, did_you_mean
from slm.training.muon import Muon


def adamw(model, groups, dtype, **options):
    """AdamW"""
    return torch.optim.AdamW(groups, **options)


def muon(model, groups, dtype, **options):
    """Muon for the matrices of the blocks, AdamW for the rest"""
    return Muon(groups, model.transformer.h, dtype, **options)


OPTIMIZERS = {"adamw": adamw, "muon": muon}  # their docstrings describe them in a model card


def check_optimizer(name):
    """Raise UserError where no optimizer has this name."""
    if name not in OPTIMIZERS:
        hint = did_you_mean(name, OPTIMIZERS)
        raise UserError(f"unknown optimizer {name!r}: give {' or '.join(OPTIMIZERS)}{hint}")


def make_optimizer(name, model, groups, dtype, **options):
    """The torch.optim.Optimizer of this name.

    model: a GPT. groups: its parameters, as torch.optim takes them. dtype: of the forward pass. options: lr, betas,
    fused and capturable, as torch.optim.AdamW takes them. Whatever is returned must take a step without a wait for the
    device, so that the step can be captured. Raises UserError.
    """
    check_optimizer(name)
    return OPTIMIZERS[name](model, groups, dtype, **options)


def describe_optimizer(name):
    """The optimizer in words, for a model card; its name where it is none of these."""
    return OPTIMIZERS[name].__doc__ if name in OPTIMIZERS else name
