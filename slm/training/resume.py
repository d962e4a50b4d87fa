"""How a run starts from a checkpoint, and what its own checkpoints hold: the meaning of `init_from`.

scratch    a new model
resume     out_dir/last.pt with everything in it: the run continues as if it had never stopped
other      a model to fine-tune: a checkpoint, a run, a Hugging Face folder, a name on the hub
"""

import contextlib
import math
from dataclasses import fields, replace
from pathlib import Path

import torch

from model import GPT, GPTConfig
from slm.config import OPTIONS, TrainConfig, merge_config
from slm.errors import UserError, counted, did_you_mean, first_line
from slm.models import checkpoint, load
from slm.text import tokenizer
from slm.training.distributed import restart_count, torchrun_id
from slm.training.optimizers import load_state
from slm.training.run_folder import RunFolder, read_description
from slm.training.train_state import TrainState
from slm.values import check_values

# options that a checkpoint decides: every field of the model that is an option and that its weights depend on
SHAPE = [
    field.name for field in fields(GPTConfig) if field.name in OPTIONS and field.name not in ("dropout", "init_std")
]
SCALER = {  # torch.amp.GradScaler's numbers
    "scale": (float, None, 0, math.inf),
    "growth_factor": (float, None, 1, math.inf),
    "backoff_factor": (float, None, 0, 1),
    "growth_interval": (int, 1),
    "_growth_tracker": (int, 0),
}
THIS_COMMAND_ONLY = {
    "warm_restart",
    "init_from",
    "out_dir",
    "eval_only",
    "device",
    "dtype",
    "compile",
    "compile_cache",
    "cuda_graph",
    "backend",
}


def read_options(layers):
    """(config, set_by, loaded, path) of the layers of `merge_config`; loaded is the checkpoint at `path`.

    A checkpoint's options are defaults under the file's and the command line's: all of them for resume and eval_only,
    the shape for fine-tuning. After torchrun restarted a run, init_from is resume where out_dir has a last.pt of that
    run. Raises UserError.
    """
    config, set_by = merge_config(*layers)
    if restart_count() and has_last_of_this_run(config.out_dir):
        layers = [*layers, ("torchrun's restart", {"init_from": "resume"})]
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
        if not path.exists() and path.parent.is_dir():  # an earlier command may have been killed while it moved it
            with contextlib.suppress(UserError), contextlib.closing(RunFolder(path.parent)):
                pass
        if not path.exists() and (best := path.with_name("best.pt")).exists():
            raise UserError(f"no run can resume from {best} alone, without a last.pt: --init_from={best} fine-tunes it")
        loaded = checkpoint.load_checkpoint(path)
    else:
        loaded, path = load.read_model(config.out_dir if config.init_from == "scratch" else config.init_from)
    if config.init_from == "resume":
        if "optimizer" not in loaded:
            raise UserError(f"{path} has no optimizer, so no run can resume from it: --init_from={path} fine-tunes it")
        loaded["progress"] = read_progress(loaded, path)
    return loaded, path


def read_progress(loaded, path):
    """The TrainState of a loaded last.pt, and a check of its scaler. Raises UserError.

    Format 1 counted steps, of which each had the same batch. Before tokens were counted, each sequence was full.
    """
    loaded.setdefault("weights", {})
    check_values(loaded, dict.fromkeys(("scaler", "progress", "weights"), (dict,)), f"the contents of {path}")
    if loaded["config"].get("ema") and not loaded["weights"]:
        raise UserError(f"{path} lacks the weights beside their average: use another file")
    check_values(loaded["scaler"], SCALER, f"the scaler's numbers in {path}")
    progress, where = loaded["progress"], f"the run's numbers in {path}"
    counts_tokens = "tokens" in progress
    if "losses" in progress:
        config, was = loaded["config"], dict.fromkeys(("losses", "loss_sum", "skipped", "skipped_in_a_row"), (float,))
        check_values(progress, was | {"step": (int, 0)}, where)
        check_values(config, dict.fromkeys(("batch_size", "gradient_accumulation_steps"), (int, 1)), where)
        progress = TrainState().to_dict() | progress
        progress["sequences"] = progress["step"] * config["batch_size"] * config["gradient_accumulation_steps"]
        progress["counted"], progress["sums"] = progress.pop("losses"), {"train_loss": progress.pop("loss_sum")}
        progress["failed"], progress["failed_in_a_row"] = progress.pop("skipped"), progress.pop("skipped_in_a_row")
        progress["dtype"] = "float16" if loaded["scaler"]["scale"] > 1 else ""
    state = TrainState.parse({"tokens": 0, "schedule_of": "", "lr": 0.0} | progress, where)
    if not counts_tokens:
        state.tokens = state.sequences * loaded["model_config"]["block_size"]
    if state.step != loaded["step"]:
        raise UserError(f"{where} are damaged (step {state.step:,} and step {loaded['step']:,}): use another file")
    return state


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
        longer = config.init_from != "resume" and config.block_size > shape["block_size"]
        hint = "; the block_size can only be shorter: it has no longer positions" if longer else ""
        raise UserError(f"the checkpoint has another shape: {', '.join(wrong)}{hint}")
    if tokenizer.sha256(loaded["tokenizer"]) != corpus.meta["tokenizer_sha256"]:
        raise UserError(
            f"the checkpoint has another vocabulary than {corpus.folder}: prepare that with --vocab_of, or for a GPT-2"
            " of the hub with --vocab_size gpt2"
        )
    return load.build_model(loaded, dropout=config.dropout, block_size=config.block_size)


def initial_state(config, loaded):
    """The TrainState of a run that begins, or of the run that it resumes."""
    if config.init_from != "resume":
        return TrainState()
    loaded["dtype"] = loaded["progress"].dtype  # this process may choose another one
    return loaded["progress"]


def restore(loaded, config, state, stepper, corpus, get_lr):
    """Load the optimizer and the scaler of the checkpoint; returns lines on what differs from then, one for each thing.

    Another validation set gives another loss: `state.best` then starts over. Raises UserError.
    """
    where = f"the optimizer's state in {config.out_dir}/last.pt"
    load_state(stepper.optimizer, loaded["optimizer"], state.step, where)
    stepper.average.restore(loaded["weights"], f"the weights in {config.out_dir}/last.pt")
    if loaded["dtype"] == state.dtype:  # each type has its own scale
        stepper.scaler.load_state_dict(loaded["scaler"])
    earlier = TrainConfig(**{name: value for name, value in loaded["config"].items() if name in OPTIONS})
    if not state.lr and state.step:  # a file from before it had the rate, or a rate of 0
        state.lr = get_lr(state.step - 1, earlier, state.schedule_start)
    lines = [f"resume   {config.out_dir} after step {state.step:,}"]
    if state.step >= config.max_iters:
        lines.append("         which is its last step: a larger --max_iters trains further")
    elif is_warm_restart(config, state):
        lines.append(restart_schedule(config, state))
    elif climb := describe_climb(earlier, config, state, get_lr):
        lines.append(climb)
    for name, option in OPTIONS.items():
        was = loaded["config"].get(name, option.default)  # of an option that is newer than the checkpoint
        if name not in ("init_from", "warm_restart") and getattr(config, name) != was:  # what to do now
            lines.append(f"changed  {name}: {was} -> {getattr(config, name)}")
    if unknown := [first_line(name, 40) for name in loaded["config"] if name not in OPTIONS]:
        lines.append(f"ignored  {', '.join(unknown)}: options of another version, which this one does not have")
    reason = ""
    if state.corpus and state.corpus != corpus.fingerprint():
        reason = f"changed  the tokens in {corpus.folder}: losses do not compare, so"
    elif state.best_of and state.best_of != validation_set(config, corpus):
        reason = "changed  the validation set: losses do not compare, so"
    elif state.best < math.inf and not (Path(config.out_dir) / "best.pt").exists():
        reason = f"missing  {config.out_dir}/best.pt:"
    if reason:
        lines.append(f"{reason} the best starts over")
        state.best, state.best_step, state.since_best = math.inf, 0, 0
    if state.is_patience_over(config.patience) and state.step < config.max_iters:
        lines.append("patience is over: a larger --patience trains further, or --warm_restart")
    return "\n".join(lines)


def validation_set(config, corpus):
    """What names a validation set: two losses compare only where it is the same."""
    windows = config.eval_iters * config.batch_size
    return f"{f'{windows} windows' if windows else 'all'} of {corpus.fingerprint()}"


def is_warm_restart(config, state):
    """Whether the schedule begins again: once, also where torchrun has restarted the run and repeats its command."""
    has_begun = restart_count() and state.schedule_of == torchrun_id()
    return config.warm_restart and not has_begun


def restart_schedule(config, state):
    """Begin the learning rate's schedule again at this step; returns a line that says so. Raises UserError."""
    state.schedule_start, state.schedule_of, state.since_best = state.step, torchrun_id() or "", 0
    steps = config.schedule_steps - state.step
    if steps <= 0:
        raise UserError(
            f"lr_decay_iters {config.lr_decay_iters} is not after step {state.step}, where the schedule begins again:"
            " give --lr_decay_iters=0, which is max_iters"
        )
    if config.warmup_iters > steps:
        raise UserError(
            f"warmup_iters {config.warmup_iters} is longer than the {counted(steps, 'step')} after the warm restart:"
            " give fewer, or a larger --max_iters"
        )
    then = f"the decay to step {config.decay_steps:,}" if config.decay_lr else "a constant rate"
    return f"restart  the schedule begins again: warm-up, then {then}"


def describe_climb(earlier, config, state, get_lr):
    """A line where the learning rate rises at a resume because its schedule ends later, else ""."""
    after = get_lr(state.step, config, state.schedule_start)
    with_same_end = get_lr(state.step, replace(config, lr_decay_iters=earlier.decay_steps), state.schedule_start)
    in_warmup = state.step < state.schedule_start + config.warmup_iters
    if after < 1.1 * max(state.lr, with_same_end) or in_warmup:
        return ""
    return (
        f"warning  the learning rate rises from {state.lr:.2g} to {after:.2g}, since the schedule is longer now:"
        f" --lr_decay_iters={state.step} keeps it low, --warm_restart begins a schedule with a warm-up"
    )
