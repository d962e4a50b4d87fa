"""How a run starts from a checkpoint, and what its own checkpoints hold: the meaning of `init_from`.

scratch    a new model
resume     out_dir/last.pt with everything in it: the run continues as if it had never stopped
other      a model to fine-tune: a checkpoint, a run, a Hugging Face folder, a name on the hub
"""

import math
from dataclasses import asdict, fields
from pathlib import Path

import torch

from model import GPT, GPTConfig
from slm.config import OPTIONS, command_line_layers, merge_config
from slm.errors import UserError, did_you_mean
from slm.models import checkpoint, load
from slm.text import tokenizer
from slm.training.distributed import restart_count, torchrun_id
from slm.training.run_folder import read_description

# options that a checkpoint decides: every field of the model that is an option and that its weights depend on
SHAPE = [
    field.name for field in fields(GPTConfig) if field.name in OPTIONS and field.name not in ("dropout", "init_std")
]
THIS_COMMAND_ONLY = {"init_from", "out_dir", "eval_only", "device", "dtype", "compile", "cuda_graph", "backend"}


def read_options(arguments):
    """(config, set_by, loaded, path) of train.py's arguments: see `merge_config`; loaded is the checkpoint at `path`.

    A checkpoint's options are defaults under the file's and the command line's: all of them for resume and eval_only,
    the shape for fine-tuning. After torchrun restarted a run, init_from is resume where out_dir has a last.pt of that
    run. Raises UserError.
    """
    layers = command_line_layers(arguments)
    config, set_by = merge_config(*layers)
    if restart_count() and has_last_of_this_run(config.out_dir):
        layers.append(("torchrun's restart", {"init_from": "resume"}))
        config, set_by = merge_config(*layers)
    loaded, path = load_initial_checkpoint(config)
    if loaded:
        everything = config.eval_only or config.init_from == "resume"
        names = set(loaded["config"]) - THIS_COMMAND_ONLY if everything else set(SHAPE)
        inherited = {name: loaded["config"][name] for name in OPTIONS if name in names and name in loaded["config"]}
        config, set_by = merge_config((str(path), inherited), *layers)
    config.check()
    if config.init_from == "resume" and not config.eval_only:
        was = loaded["config"].get("optimizer", "adamw")
        if was != config.optimizer:
            raise UserError(f"the run has {was}'s state, which {config.optimizer} cannot use: give --optimizer={was}")
    return config, set_by, loaded, path


def has_last_of_this_run(out_dir):
    """Whether the last.pt in a folder is of the run that torchrun has restarted, not of an earlier one."""
    return (Path(out_dir) / "last.pt").exists() and read_description(out_dir).get("torchrun_id") == torchrun_id()


def load_initial_checkpoint(config):
    """The loaded checkpoint that init_from names, and its path; (None, None) for scratch. Raises UserError."""
    if config.init_from == "scratch" and not config.eval_only:
        return None, None
    words = ("scratch", "resume")
    if config.init_from not in words and (hint := did_you_mean(config.init_from, words, cutoff=0.8)):
        raise UserError(f"no init_from {config.init_from}{hint}")
    if config.init_from == "resume":
        path = Path(config.out_dir) / "last.pt"
        loaded = checkpoint.load_checkpoint(path)
    else:
        loaded, path = load.read_model(config.out_dir if config.init_from == "scratch" else config.init_from)
    if config.init_from == "resume" and "optimizer" not in loaded:
        raise UserError(f"{path} holds no optimizer, so no run can resume from it: --init_from={path} fine-tunes it")
    return loaded, path


def initial_model(config, corpus, loaded):
    """A new GPT, or that of the checkpoint `loaded`, on the CPU. Raises UserError where it does not fit.

    A checkpoint decides the shape. Only a smaller block_size may be given: the positions past it are cut off.
    """
    if loaded is None:
        torch.manual_seed(config.seed)
        shape = {name: getattr(config, name) for name in SHAPE}
        return GPT(GPTConfig(corpus.vocab_size, dropout=config.dropout, init_std=config.init_std, **shape))
    shape = loaded["model_config"]
    cropped = config.init_from != "resume" and config.block_size < shape["block_size"]
    wrong = [
        f"{name} {shape[name]}, not {getattr(config, name)}"
        for name in SHAPE
        if getattr(config, name) != shape[name] and not (name == "block_size" and cropped)
    ]
    if wrong:
        raise UserError(f"the checkpoint has another shape: {', '.join(wrong)}")
    if tokenizer.sha256(loaded["tokenizer"]) != corpus.meta["tokenizer_sha256"]:
        raise UserError(f"the checkpoint has another vocabulary than {corpus.folder}: prepare that with --vocab_of")
    return load.build_model(loaded, dropout=config.dropout, block_size=config.block_size)


def restore(loaded, config, state, optimizer, scaler, corpus):
    """Load the optimizer and the scaler of the checkpoint; returns lines on what differs from then, one a thing.

    Another corpus has another validation split: `state.best` then starts afresh.
    """
    groups = optimizer.state_dict()["param_groups"]  # today's options, the earlier state
    optimizer.load_state_dict({"state": loaded["optimizer"], "param_groups": groups})
    if scaler.get_scale() > 1 and loaded["scaler"]["scale"] > 1:  # a run in float16 goes on in float16
        scaler.load_state_dict(loaded["scaler"])
    lines = [f"resume   {config.out_dir} after step {state.step:,}"]
    if state.step >= config.max_iters:
        lines.append("         which is its last step: a larger --max_iters trains further")
    for name, was in loaded["config"].items():
        if name != "init_from" and getattr(config, name, was) != was:
            lines.append(f"changed  {name}: {was} -> {getattr(config, name)}")
    if state.corpus and state.corpus != corpus.fingerprint():
        state.best, state.best_step = math.inf, 0
        lines.append(f"changed  the tokens in {corpus.folder}: losses do not compare, so the best starts afresh")
    return "\n".join(lines)


def model_contents(model, config, state, corpus, init_from):
    """What best.pt and last.pt have in common. The tensors are copies: training may go on while they are saved."""
    return {
        "model": copy_tensors(model.state_dict()),
        "model_config": asdict(model.config),
        "config": asdict(config) | {"init_from": init_from},
        "tokenizer": corpus.tokenizer_text,
        "step": state.step,
    }


def resume_contents(optimizer, scaler, state):
    """What last.pt has besides: see `model_contents`."""
    return {
        "optimizer": copy_tensors(optimizer.state_dict()["state"]),
        "scaler": scaler.state_dict(),
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
