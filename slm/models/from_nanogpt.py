"""Checkpoints of nanoGPT, and of programs that derive from it, as the contents of a checkpoint of ours."""

import re

import torch

from slm.errors import UserError
from slm.models import gpt2

KEYS = {"model", "model_args"}


def from_nanogpt(contents, path):
    """The contents of the file at `path`, which have KEYS, as those of a checkpoint of ours.

    nanoGPT computes the exact GELU, which GPT-2 and model.py approximate by tanh. Logits differ by 1e-3 on average, and
    the loss by less than anyone quotes. Raises UserError.
    """
    arguments, tensors = contents["model_args"], contents["model"]
    if not isinstance(arguments, dict) or not isinstance(tensors, dict):
        raise UserError(f"{path} is no whole checkpoint of nanoGPT: its model or model_args is not a dict")
    names = ["n_layer", "n_head", "n_embd", "block_size", "vocab_size"]
    if lacking := [name for name in names if not isinstance(arguments.get(name), int)]:
        raise UserError(f"{path} is no whole checkpoint of nanoGPT: its model_args lack {', '.join(lacking)}")
    # torch.compile and DistributedDataParallel put prefixes in front; older versions keep the causal mask as attn.bias
    parameters = {
        re.sub(r"^((_orig_mod|module)\.)+", "", name): tensor
        for name, tensor in tensors.items()
        if isinstance(tensor, torch.Tensor) and not name.endswith(".attn.bias")
    }
    has_bias = any(name.endswith(".bias") for name in parameters)
    shape = {name: arguments[name] for name in names[:4]} | {"bias": bool(arguments.get("bias", has_bias))}
    step = contents.get("iter_num")
    saved = gpt2.as_checkpoint(parameters, shape, *gpt2.gpt2_tokenizer(arguments["vocab_size"], path), path)
    return saved | {"step": step if isinstance(step, int) else 0}
