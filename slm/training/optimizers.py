"""The optimizers that `--optimizer` names. A function here is all that another one takes: see `adamw`."""

import torch

from slm.errors import UserError, did_you_mean
from slm.models.tensor_file import check_tensors
from slm.training.muon import Muon


def adamw(model, groups, dtype, processes, **options):
    """AdamW"""
    return torch.optim.AdamW(groups, **options)


def muon(model, groups, dtype, processes, **options):
    """Muon for the matrices of the blocks, AdamW for the rest"""
    return Muon(groups, model.transformer.h, dtype, processes, **options)


OPTIMIZERS = {"adamw": adamw, "muon": muon}  # their docstrings describe them in a model card


def check_optimizer(name):
    """Raise UserError where no optimizer has this name."""
    if name not in OPTIMIZERS:
        hint = did_you_mean(name, OPTIMIZERS)
        raise UserError(f"unknown optimizer {name!r}: give {' or '.join(OPTIMIZERS)}{hint}")


def make_optimizer(name, model, groups, dtype, processes, **options):
    """The torch.optim.Optimizer of this name.

    model: a GPT. groups: its parameters, as torch.optim takes them. dtype: of the forward pass. processes: a
    ProcessGroup, all of whose processes step together with equal gradients, or None. options: lr, betas, fused and
    capturable, as torch.optim.AdamW takes them. Whatever is returned must take a step without a wait for the device, so
    that the step can be captured, and leave the same parameters and state in every process. Raises UserError.
    """
    check_optimizer(name)
    return OPTIMIZERS[name](model, groups, dtype, processes, **options)


def describe_optimizer(name):
    """The optimizer in words, for a model card; its name where it is none of these."""
    return OPTIMIZERS[name].__doc__ if name in OPTIMIZERS else name


@torch.no_grad()
def load_state(optimizer, saved, steps, where):
    """Load a state that a file holds, {number of a parameter: {name: tensor}}, after `steps` steps of the run.

    Raises UserError, which begins with `where`, unless it is what a step of this optimizer leaves, by its names, shapes
    and types: a fused step would write past the end of a tensor of another shape.
    """
    if saved == {} and steps == 0:
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    before = [parameter.clone() for parameter in parameters]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter, values in zip(parameters, before, strict=True):
        parameter.copy_(values)
        parameter.grad = None
    wanted = flatten(optimizer.state_dict()["state"])
    whole = isinstance(saved, dict) and all(isinstance(state, dict) for state in saved.values())
    given = flatten(saved) if whole else {}
    check_tensors(given, where)
    for name in sorted(wanted.keys() | given.keys()):
        one, other = given.get(name), wanted.get(name)
        if one is None or other is None or (one.shape, one.dtype) != (other.shape, other.dtype):
            raise UserError(f"{where} is not that of this model and optimizer ({name[:80]}): use another file")
        if name.endswith(" exp_avg_sq") and one.min() < 0:
            raise UserError(f"{where} is damaged ({name} is negative): use another file")
        if name.endswith(" step") and not (0 <= one.item() <= steps and one.item().is_integer()):
            raise UserError(f"{where} is damaged ({name} is {one.item()} after {steps} steps): use another file")
    # a fused step reads memory in order: each tensor gets its own, without gaps
    own = {
        number: {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
        for number, state in saved.items()
    }
    optimizer.load_state_dict({"state": own, "param_groups": optimizer.state_dict()["param_groups"]})


def flatten(state):
    return {f"{number} {name}": tensor for number, tensors in state.items() for name, tensor in tensors.items()}
