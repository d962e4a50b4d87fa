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

import math
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from model import GPT
from slm import devices
from slm.config import config_help
from slm.errors import UserError, run_script
from slm.text.corpus import Corpus
from slm.training import compilation, micro_batch, resume
from slm.training.batches import TrainBatches
from slm.training.distributed import ProcessGroup
from slm.training.evaluation import Evaluator
from slm.training.muon import Muon
from slm.training.recorder import Recorder
from slm.training.signals import StopSignals
from slm.training.train_state import BAD_STEPS_IN_A_ROW, StepMetrics, TrainState

# -- one optimizer step -----------------------------------------------------------------------------------------------


def get_lr(step, config):
    """The learning rate of optimizer step 0, 1, ...

    Linear warm-up over warmup_iters steps, none of which is 0, then half a cosine (Loshchilov and Hutter 2017, arXiv
    1608.03983) to min_lr at step lr_decay_iters, then constant.
    """
    if step < config.warmup_iters:
        return config.learning_rate * (step + 1) / config.warmup_iters
    if not config.decay_lr:
        return config.learning_rate
    progress = min(1.0, (step - config.warmup_iters) / max(1, config.decay_steps - config.warmup_iters))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))  # from 1 to 0
    return config.min_lr + (config.learning_rate - config.min_lr) * cosine


def set_lr(optimizer, lr):
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr)  # a captured step reads the tensor
        else:
            group["lr"] = lr


def configure_optimizer(model, config, device):
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) or Muon (see muon.py), weight decay on matrices only."""
    parameters, cuda = list(model.parameters()), device.type == "cuda"
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    lr = torch.tensor(config.learning_rate, device=device) if cuda else config.learning_rate
    options = {"lr": lr, "betas": (config.beta1, config.beta2), "fused": device.type != "mps", "capturable": cuda}
    if config.optimizer == "muon":
        return Muon(groups, model.transformer.h, devices.pick_dtype(config.dtype, device), **options)
    return torch.optim.AdamW(groups, **options)


def configure_scaler(device, dtype):
    """float16 needs a scaled loss to keep small gradients. Every type needs the scaler to skip steps that go wrong."""
    return torch.amp.GradScaler(device.type, init_scale=65536.0 if dtype == torch.float16 else 1.0)


def forward_backward(model, idx, targets, weight, scaler, dtype):
    """Add the gradient of weight x the mean loss over the targets; returns that loss. idx, targets: (B, T)."""
    with devices.autocast(idx.device, dtype):
        loss = model(idx, targets, with_logits=False)[1] * weight
    scaler.scale(loss).backward()
    return loss.detach()


def train_step(batch, model, optimizer, scaler, micro_batch_size, grad_clip, dtype, group):
    """One step of the optimizer on the mean gradient over every token of the step. Nothing in it waits for the device.

    batch: (B, block_size + 1), this process's share. Returns three tensors: its share of the mean loss, the gradient's
    norm before clipping, and whether a norm that is not finite is an error. The scaler skips such a step; in float16
    it is no error while the scale still falls to its level.
    """
    loss = torch.zeros((), device=batch.device)
    for idx, targets, share in micro_batch.in_parts(batch, micro_batch_size):
        loss += forward_backward(model, idx, targets, share / group.world_size, scaler, dtype)
    group.sum_gradients(model.parameters())
    scaler.unscale_(optimizer)
    grad_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip or math.inf)
    is_error = scaler.scale(torch.ones_like(loss)) <= 1
    scaler.step(optimizer)
    scaler.update(None if dtype == torch.float16 else 1.0)
    optimizer.zero_grad(set_to_none=True)
    return loss, grad_norm, is_error


# -- the loop ---------------------------------------------------------------------------------------------------------


def train(config, set_by, loaded=None):
    """Train until max_iters or a signal; returns the signal's number, else 0. loaded: the checkpoint to start from.

    Raises UserError.
    """
    setup = set_up(config, set_by, loaded)
    group, batches, resuming = setup.group, setup.batches, config.init_from == "resume"
    state = TrainState.from_dict(loaded["progress"]) if resuming else TrainState()
    recorder = Recorder(config, set_by, setup, state, loaded)
    stepper = make_stepper(config, setup, state, batches[state.step], recorder.print)
    if resuming:
        recorder.print(resume.restore(loaded, config, state, stepper.optimizer, stepper.scaler, setup.corpus))
    loaded = None  # frees its memory
    recorder.begin(stepper)
    signals = StopSignals()

    # how often to look for signals and bad steps: a look waits for the GPU
    look_interval = 1 if setup.device.type == "cpu" else min(config.log_interval, BAD_STEPS_IN_A_ROW)
    setup.model.train()
    recorder.progress.start(state.step)
    while True:
        step, is_last = state.step, state.step >= config.max_iters
        is_validation = is_last or step % config.eval_interval == 0
        if step > state.logged and (is_validation or step % config.log_interval == 0):
            line, score = measure(config, stepper.metrics, state, recorder.progress), None
            if is_validation:
                score = setup.evaluate(setup.model, stepper.micro_batch, signals if group.world_size == 1 else None)
            if score or not is_validation:  # an interrupted validation is not logged; the resumed run repeats it
                recorder.line(line, score)
                stepper.metrics.start_line(state)
            if score:
                recorder.validation(score)
            recorder.progress.restart_clock(is_validation)
        if is_validation or step % look_interval == 0:
            stepper.metrics.check_finite(Path(config.out_dir) / "last.pt")
            if stopped := group.any(signals.received):
                break
        if is_last:
            break
        set_lr(stepper.optimizer, get_lr(step, config))
        seed_dropout(config.seed, step, group.rank)
        stepper.run(batches[step])
        state.step += 1
        recorder.progress.step(state.step)

    if stopped:
        measure(config, stepper.metrics, state, recorder.progress)
        recorder.save_last()
    recorder.finish(stopped)
    stepper.close()  # before the group: a captured step holds its communicator
    group.close()
    return (signals.received or signal.SIGTERM) if stopped else 0


def seed_dropout(seed, step, rank):
    """Dropout, too, depends on the seed and the step alone."""
    torch.manual_seed(int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0]))


def measure(config, metrics, state, progress):
    """The line of log.csv for the steps since the last one. Waits for the device."""
    metrics.read(state)
    state.seconds += progress.lap(state.step)
    return {
        "step": state.step,
        "tokens": state.step * config.tokens_per_step,
        "seconds": state.seconds,
        "train_loss": state.loss_sum / state.losses if state.losses else math.nan,
        "lr": get_lr(state.step - 1, config),
        "grad_norm": state.grad_norm,
    }


# -- what the loop needs ----------------------------------------------------------------------------------------------


class Setup(NamedTuple):
    """What exists before the first step."""

    group: ProcessGroup
    device: torch.device
    dtype: torch.dtype  # of the forward pass
    corpus: Corpus
    model: GPT
    compiled: bool  # whether to compile it
    batches: TrainBatches
    evaluate: Evaluator


def set_up(config, set_by, loaded=None):
    """The Setup of a run; loaded: the checkpoint it starts from. Raises UserError."""
    device = devices.pick_device(config.device)
    group = ProcessGroup(device.type, config.backend)
    if group.world_size > 1 and device.type == "cuda":
        device = devices.pick_device(f"cuda:{group.local_rank}")
    if config.sequences_per_step % group.world_size:
        raise UserError(
            f"{config.sequences_per_step} sequences a step do not divide among {group.world_size} processes: give"
            " another batch_size"
        )
    dtype = devices.pick_dtype(config.dtype, device)
    torch.set_float32_matmul_precision("high")  # TF32 for the float32 products that remain
    corpus = Corpus(Path("data") / config.dataset, config.prepare_command)
    corpus.check_length(config.block_size)
    model = resume.initial_model(config, corpus, loaded).to(device)
    compiled = config.compile and (device.type == "cuda" or set_by["compile"] != "default")
    batches = TrainBatches(corpus.path("train"), config, device, group.rank, group.world_size)
    evaluate = Evaluator(corpus, config, device, dtype, group)
    return Setup(group, device, dtype, corpus, model, compiled, batches, evaluate)


class Stepper(NamedTuple):
    """What takes steps: `run(batch)` trains `model` in micro-batches, and counts in `metrics`."""

    run: object
    model: torch.nn.Module  # compiled, or the GPT itself
    micro_batch: int
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    metrics: StepMetrics
    seconds: float  # to find the micro-batch and compile

    def close(self):
        if isinstance(self.run, compilation.CapturedStep):
            self.run.close()


def make_stepper(config, setup, state, batch, print_line):
    """The Stepper of a run: finds the micro-batch, compiles, and captures where that is possible. Raises UserError.

    batch: (B, block_size + 1), this process's share of a step, to try passes on. A micro-batch in `state` comes first.
    """
    start = time.perf_counter()
    group, device, dtype, model = setup.group, setup.device, setup.dtype, setup.model
    optimizer, scaler = configure_optimizer(model, config, device), configure_scaler(device, dtype)

    def run_pass(model, size):
        idx, targets, _ = next(micro_batch.in_parts(batch, size))
        forward_backward(model, idx, targets, 1.0, scaler, dtype).item()

    limit = config.micro_batch_size or state.micro_batch
    sizes = micro_batch.candidates(model, len(batch), device, setup.compiled, limit)
    step_model = compilation.compile_model(model) if setup.compiled else model
    size, step_model = micro_batch.find(sizes, run_pass, model, step_model, print_line)
    size = int(group.all_reduce([size], torch.distributed.ReduceOp.MIN)[0])
    state.micro_batch, metrics = size, StepMetrics(device, state, group)

    def run(batch):
        step = train_step(batch, step_model, optimizer, scaler, size, config.grad_clip, dtype, group)
        metrics.update(*step)

    def recover():  # from a capture that failed in the middle of a step
        optimizer.zero_grad(set_to_none=True)
        scaler.update(scaler.get_scale())

    memory = micro_batch.memory_estimate(model, size, step_model is not model)
    if config.cuda_graph and group.all(compilation.has_room(device, memory)):
        run = compilation.CapturedStep(run, group.all, recover, print_line)
    return Stepper(run, step_model, size, optimizer, scaler, metrics, round(time.perf_counter() - start, 1))


def main():
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(f"{__doc__}\n{config_help()}")
        return
    options, set_by, loaded, path = resume.read_options(sys.argv[1:])
    try:
        if options.eval_only:
            setup = set_up(options, set_by, loaded)
            sizes = micro_batch.candidates(setup.model, 2**16, setup.device, False, options.micro_batch_size)
            score = setup.evaluate(setup.model, sizes[0])
            if setup.group.is_main:
                print(f"{path}: {score}")
            setup.group.close()
        elif stopped_by := train(options, set_by, loaded):
            sys.exit(128 + stopped_by)
    except RuntimeError as error:
        if devices.is_out_of_memory(error):
            raise UserError("out of memory: give a smaller --micro_batch_size, --block_size or model") from error
        raise


if __name__ == "__main__":
    run_script(main)
