"""The state of a run as a value: what its checkpoints hold, and a hash by which processes compare it."""

import hashlib
from dataclasses import asdict

import torch

from slm.config import OPTIONS

HOSTS_OWN = {"out_dir", "device", "compile_cache"}
HOSTS_OWN |= {"wandb_log", "wandb_project", "wandb_run_name", "trackio_log", "tensorboard_log"}


def identity(config, state, model, stepper, corpus):
    """{name: text} of all that the processes of a run must have in common before the first step."""
    options = {f"--{name}": str(getattr(config, name)) for name in OPTIONS if name not in HOSTS_OWN}
    return options | {
        "the step": str(state.step),
        "the state of the run": digest(state.to_dict() | {"seconds": 0}),
        **model_identity(model, corpus),
        "the optimizer's state": digest(stepper.optimizer.state_dict()["state"]),
        "the averaged weights": digest(stepper.average.other),
    }


def model_identity(model, corpus):
    """{name: text} of all that the processes of a validation must have in common."""
    return {"the model": digest(model.state_dict()), "the corpus": corpus.fingerprint()}


def digest(value):
    """A hash of nested dicts with tensors and plain values in them."""
    whole = hashlib.blake2b(digest_size=8)

    def add(value):
        if isinstance(value, torch.Tensor):
            whole.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        elif isinstance(value, dict):
            for name in value:
                whole.update(str(name).encode())
                add(value[name])
        else:
            whole.update(repr(value).encode())

    add(value)
    return whole.hexdigest()


def model_contents(model, config, state, corpus, init_from):
    """What best.pt and last.pt have in common. The tensors are copies: training may go on while they are saved."""
    return {
        "model": copy_tensors(model.state_dict()),
        "model_config": asdict(model.config),
        "config": asdict(config) | {"init_from": init_from},
        "tokenizer": corpus.tokenizer_text,
        "step": state.step,
        "tokens": state.tokens,  # trained on so far
        "corpus": state.corpus,  # its fingerprint
    }


def resume_contents(stepper, state):
    """What last.pt has besides, while the model has the average of its weights: see `model_contents`."""
    return {
        "optimizer": copy_tensors(stepper.optimizer.state_dict()["state"]),
        "scaler": stepper.scaler.state_dict(),
        "weights": copy_tensors(stepper.average.other),
        "progress": state.to_dict(),
    }


def copy_tensors(value):
    """`value` with a copy of each tensor in its dicts. Tied parameters share their memory: they are copied once."""
    copies = {}

    def copy(value):
        if isinstance(value, torch.Tensor):
            memory = value.data_ptr(), value.shape
            if memory not in copies:
                copies[memory] = value.detach().clone()
            return copies[memory]
        return {name: copy(part) for name, part in value.items()} if isinstance(value, dict) else value

    return copy(value)
