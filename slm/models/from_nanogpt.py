"""Checkpoints of nanoGPT, and of programs that derive from it, as the contents of a checkpoint of ours."""

import re

from slm.errors import UserError
from slm.models import gpt2
from slm.models.checkpoint import TIED
from slm.models.tensor_file import by_name
from slm.values import is_valid, shown

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
    if lacking := [name for name in names if type(arguments.get(name)) is not int]:
        raise UserError(f"{path} is no whole checkpoint of nanoGPT: its model_args lack {', '.join(lacking)}")
    if type(arguments.get("bias", True)) is not bool:
        raise UserError(f"{path} is no whole checkpoint of nanoGPT: its bias is {shown(arguments['bias'])}")
    # torch.compile and DistributedDataParallel put prefixes in front; older versions keep the causal mask as attn.bias
    parameters = by_name(
        (
            (re.sub(r"^((_orig_mod|module)\.)+", "", str(name)), tensor)
            for name, tensor in tensors.items()
            if not str(name).endswith(".attn.bias")
        ),
        path,
        TIED,
    )
    has_bias = any(name.endswith(".bias") for name in parameters)
    shape = {name: arguments[name] for name in names[:4]} | {"bias": arguments.get("bias", has_bias)}
    saved = gpt2.as_checkpoint(parameters, shape, *gpt2.gpt2_tokenizer(arguments["vocab_size"], path), path)
    step = contents.get("iter_num")
    return saved | {"step": step if is_valid(step, int, 0) else 0}
