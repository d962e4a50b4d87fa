"""Train a GPT from scratch on prepared stories: out/NAME/{best.pt, last.pt, log.csv, loss.png, config.json}.

    python train.py config/tinystories.py                        the recipe, on whatever this machine has
    python train.py config/tinystories.py --learning_rate=5e-4   any option of the recipe can be overridden
    python train.py config/tinystories.py --init_from=resume     continue a run that stopped
    python train.py --eval_only --out_dir=out/tinystories        the validation score of a checkpoint
    python train.py config/finetune.py --init_from=gpt2          fine-tune GPT-2, or a model you trained
    torchrun --standalone --nproc_per_node=4 train.py config/tinystories.py                          several GPUs
    torchrun --nnodes=2 --node_rank=0 --master_addr=HOST0 --nproc_per_node=8 train.py config/tinystories.py  two hosts

Read it from top to bottom: the learning rate, the optimizer, one optimizer step, the loop. One step is batch_size x
gradient_accumulation_steps sequences, over all GPUs and micro-batches together; the gradient is the mean over every
token of the step. Data and dropout depend on the seed and the step alone, so a resumed run equals one that never
stopped.
"""

import slm.interrupt  # noqa: F401 - first: Ctrl-C during the other imports is a line

# isort: split

import contextlib
import math
import signal
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from slm import devices
from slm.config import TrainConfig, config_help, merge_config
from slm.config_parser import command_line_layers
from slm.errors import UserError, run_script, say
from slm.options import asks_for_help
from slm.training import compilation, micro_batch, resume, snapshot
from slm.training.evaluation import SenseEvaluator
from slm.training.optimizers import make_optimizer
from slm.training.recorder import Recorder
from slm.training.setup import Setup, join_processes, set_up
from slm.training.signals import StopSignals
from slm.training.stepper import Stepper, prepare_steps
from slm.training.train_state import MOST_FAILED_STEPS, TrainState

# -- learning rate and optimizer --------------------------------------------------------------------------------------


def get_lr(step, config, start=0):
    """The learning rate of optimizer step 0, 1, ...

    Linear warm-up over warmup_iters steps, none of which is 0, then half a cosine (Loshchilov and Hutter 2017, arXiv
    1608.03983) to min_lr at step lr_decay_iters, then constant. start: the step of the latest warm restart.
    """
    step, decay_steps = step - start, config.decay_steps - start
    if step < config.warmup_iters:
        return config.learning_rate * (step + 1) / config.warmup_iters
    if not config.decay_lr:
        return config.learning_rate
    progress = min(1.0, (step - config.warmup_iters) / max(1, decay_steps - config.warmup_iters))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))  # from 1 to 0
    return config.min_lr + (config.learning_rate - config.min_lr) * cosine


def set_lr(optimizer, lr):
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr)  # a captured step reads the tensor
        else:
            group["lr"] = lr


def configure_optimizer(model, config, device, processes=None):
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) or another optimizer, with weight decay on matrices only.

    processes: the ProcessGroup that steps together; None for this process alone. Raises UserError.
    """
    parameters, cuda = list(model.parameters()), device.type == "cuda"
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    lr = torch.tensor(config.learning_rate, device=device) if cuda else config.learning_rate
    options = {"lr": lr, "betas": (config.beta1, config.beta2), "fused": device.type != "mps", "capturable": cuda}
    dtype = devices.pick_dtype(config.dtype, device)
    return make_optimizer(config.optimizer, model, groups, dtype, processes, **options)


def configure_scaler(device, dtype):
    """float16 needs a scaled loss to keep small gradients. Every type needs the scaler to skip steps that go wrong."""
    return torch.amp.GradScaler(device.type, init_scale=65536.0 if dtype == torch.float16 else 1.0)


# -- one optimizer step -----------------------------------------------------------------------------------------------


def train_step(batch, model, optimizer, scaler, micro_batch_size, grad_clip, dtype, group):
    """One step of the optimizer on the mean gradient over every token of the step. Nothing in it waits for the device.

    batch: (B, block_size + 1), this process's share. Returns ({metric: its value in this process}, the gradient's norm
    before clipping, whether the step failed). A norm that is not finite skips the step. The step has then failed, but
    not in float16 while the scale still falls to its level.
    """
    loss = torch.zeros((), device=batch.device)
    for idx, targets, share in micro_batch.split(batch, micro_batch_size):  # gradient accumulation
        with devices.autocast(batch.device, dtype):
            micro_loss = model(idx, targets, with_logits=False)[1] * share
        scaler.scale(micro_loss / group.world_size).backward()
        loss += micro_loss.detach()
    group.sum_gradients(model.parameters())

    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    grad_norm = torch.nn.utils.get_total_norm(gradients)
    gradients[0].view(-1)[0] += 0 * grad_norm  # NaN where the norm overflows: the scaler looks at elements alone
    scale = scaler.scale(torch.ones_like(loss))
    scaler.unscale_(optimizer)
    grad_norm = grad_norm / scale
    torch.nn.utils.clip_grads_with_norm_(model.parameters(), grad_clip or math.inf, grad_norm)
    failed = ~grad_norm.isfinite() & (scale <= 1)
    scaler.step(optimizer)  # skips a gradient that is not finite
    scaler.update(None if dtype == torch.float16 else 1.0)
    optimizer.zero_grad(set_to_none=True)
    return {"train_loss": loss}, grad_norm, failed


def seed_dropout(seed, step, rank):
    """Dropout, too, depends on the seed and the step alone."""
    torch.manual_seed(int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0]))


# -- the loop ---------------------------------------------------------------------------------------------------------


def train(config, set_by, loaded=None, group=None):
    """Train until max_iters or a signal; returns the signal's number, else 0.

    loaded: the checkpoint to start from. group: the ProcessGroup, where it has been joined already. Raises UserError.
    """
    run = begin(config, set_by, loaded, group)
    while True:
        if is_line_due(run):
            report(run)
        stopped = is_check_due(run) and must_stop(run)
        if stopped or run.state.step >= config.max_iters or run.state.is_patience_over(config.patience):
            break
        take_step(run)
        run.stepper.average.update(run.state.step)
    return finish(run, stopped)


def take_step(run):
    config, state = run.config, run.state
    state.lr = get_lr(state.step, config, state.schedule_start)
    set_lr(run.stepper.optimizer, state.lr)
    seed_dropout(config.seed, state.step, run.setup.group.rank)
    run.stepper.run(run.setup.batches[state.sequences])
    state.step += 1
    state.sequences += config.sequences_per_step
    state.tokens += run.setup.batches.tokens_per_step
    run.recorder.progress.step(state.step)


def is_validation_due(run):
    return run.state.step % run.config.eval_interval == 0 or run.state.step >= run.config.max_iters


def is_line_due(run):
    is_new = run.state.step > run.state.logged
    return is_new and (is_validation_due(run) or run.state.step % run.config.log_interval == 0)


def report(run):
    """Add a line to log.csv, at a validation with the score of the weights' average, which is saved then."""
    line, validating = measure(run), is_validation_due(run)
    with run.stepper.average.in_model() if validating else contextlib.nullcontext():
        score = run.setup.evaluate(run.setup.model, run.stepper.micro_batch, run.signals) if validating else None
        if score or not validating:  # an interrupted validation is not logged; the resumed run repeats it
            run.recorder.line(line, score)
            run.stepper.metrics.start_line(run.state)
        if score:
            run.recorder.validation(score)
    run.recorder.progress.restart_clock(validating)


def measure(run):
    """{column of log.csv: value} for the steps since the last line. Waits for the device."""
    state = run.state
    run.stepper.metrics.read(state)
    state.seconds += run.recorder.progress.lap(state.step)
    means = {name: total / state.counted if state.counted else math.nan for name, total in state.sums.items()}
    return {
        "step": state.step,
        "tokens": state.tokens,
        "seconds": state.seconds,
        **means,
        "lr": state.lr,
        "grad_norm": state.grad_norm,
    }


def is_check_due(run):
    """Whether to look for signals and failed steps: a look waits for the GPU, so not after each step."""
    interval = 1 if run.setup.device.type == "cpu" else min(run.config.log_interval, MOST_FAILED_STEPS)
    return is_validation_due(run) or run.state.step % interval == 0


def must_stop(run):
    """Whether a signal has come, in any process. Raises UserError after too many failed steps in a row."""
    run.stepper.metrics.check_finite(Path(run.config.out_dir) / "last.pt")
    return run.setup.group.any(run.signals.received)


# -- before the first step, and after the last ------------------------------------------------------------------------


class Run(NamedTuple):
    """What the loop works with."""

    config: TrainConfig
    setup: Setup
    state: TrainState
    stepper: Stepper
    recorder: Recorder
    signals: StopSignals


def begin(config, set_by, loaded, group):
    """The Run, made in the order in which its parts need each other. Raises UserError."""
    setup = set_up(config, set_by, loaded, group)
    state = resume.initial_state(config, loaded)
    recorder = Recorder(config, set_by, setup, state, loaded)  # locks out_dir, prints the header
    stepper = make_stepper(config, setup, state, recorder.print)
    if config.init_from == "resume":
        lines = setup.group.together(lambda: resume.restore(loaded, config, state, stepper, setup.corpus, get_lr))
        recorder.print(lines)
    if loaded:
        loaded.clear()  # frees its memory
    setup.group.compare(lambda: snapshot.identity(config, state, setup.model, stepper, setup.corpus))
    recorder.begin(stepper)
    if setup.compiled:
        compilation.dismiss_compiler()
    setup.model.train()
    recorder.progress.start(state.step)
    return Run(config, setup, state, stepper, recorder, StopSignals())


def make_stepper(config, setup, state, print_line):
    """The Stepper of a run: a new optimizer, and `train_step` as fast as the device allows. Raises UserError."""
    optimizer = configure_optimizer(setup.model, config, setup.device, setup.group)
    scaler = configure_scaler(setup.device, setup.dtype)
    return prepare_steps(train_step, optimizer, scaler, config, setup, state, print_line)


def finish(run, stopped):
    """Save what a stopped run resumes with, wait for the files, leave the group; returns the signal's number or 0."""
    if stopped:
        measure(run)
        with run.stepper.average.in_model():
            run.recorder.save_last()
    run.recorder.finish(stopped)
    run.stepper.close()  # before the group: a captured step holds its communicator
    run.setup.group.close()
    return (run.signals.received or signal.SIGTERM) if stopped else 0


def evaluate_only(config, set_by, loaded, group, path):
    """Print the validation score, and the sense, of the checkpoint that was loaded from `path`. Raises UserError."""
    setup = set_up(config, set_by, loaded, group)
    setup.group.compare(lambda: snapshot.model_identity(setup.model, setup.corpus))
    score = setup.evaluate(setup.model, setup.evaluate.micro_batch(setup.model, config.micro_batch_size))
    if setup.group.is_main:
        setup.corpus.compare(loaded.get("corpus"), path)
        say(f"{path}: {score}")
        if config.sense:
            say(SenseEvaluator(setup.corpus, config.block_size, say).line(setup.model))
    setup.group.close()


def main():
    if asks_for_help(f"{__doc__}\n{config_help()}"):
        return
    layers = command_line_layers(sys.argv[1:])
    group = join_processes(merge_config(*layers)[0])
    config, set_by, loaded, path = group.together(lambda: resume.read_options(layers))
    try:
        if config.eval_only:
            evaluate_only(config, set_by, loaded, group, path)
        elif stopped_by := train(config, set_by, loaded, group):
            sys.exit(128 + stopped_by)
    except RuntimeError as error:
        if devices.is_out_of_memory(error):
            raise UserError("out of memory: give a smaller --micro_batch_size, --block_size or model") from error
        raise


if __name__ == "__main__":
    run_script(main)
