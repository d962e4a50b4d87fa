"""Steps as fast as the device allows: in a micro-batch that fits, compiled, and captured as one CUDA graph."""

import time
from dataclasses import asdict
from typing import NamedTuple

import torch

from slm import devices
from slm.training import compilation, compile_cache, micro_batch
from slm.training.average import WeightAverage
from slm.training.train_state import StepMetrics


class Stepper(NamedTuple):
    """What takes steps: `run(batch)` trains `model` in micro-batches, and counts in `metrics`."""

    run: object
    model: torch.nn.Module  # compiled, or the GPT itself
    micro_batch: int
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage
    metrics: StepMetrics
    setup_seconds: float  # to find the micro-batch and compile

    def close(self):
        if isinstance(self.run, compilation.CapturedStep):
            self.run.close()


def prepare_steps(train_step, optimizer, scaler, config, setup, state, print_line):
    """The Stepper of a run. A micro-batch in `state` comes before one that is searched for. Raises UserError."""
    start = time.perf_counter()
    group, device, dtype, model = setup.group, setup.device, setup.dtype, setup.model
    average = WeightAverage(model, config.ema)  # first, so that what the search finds free lacks its memory
    batch = setup.batches[state.sequences]  # to try passes on

    def run_pass(model, size):
        idx, targets, _ = next(micro_batch.split(batch, size))
        with devices.autocast(device, dtype):
            loss = model(idx, targets, with_logits=False)[1]
        scaler.scale(loss).backward()
        loss.item()

    limit = config.micro_batch_size or state.micro_batch
    sizes = micro_batch.candidates(model, len(batch), device, setup.compiled, limit)
    step_model = compilation.compile_model(model) if setup.compiled else model
    shape = [asdict(model.config), sizes, str(dtype), devices.describe(device), group.local_rank]
    if config.compile_cache and not setup.compiled:
        print_line("--compile_cache does nothing here: the model is not compiled")
    cache = compile_cache.kept_in(config.compile_cache if setup.compiled else "", shape, print_line)
    with cache, compilation.without_garbage_collection():
        size, step_model = micro_batch.find(sizes, run_pass, model, step_model, print_line)
    size = group.smallest(size)
    state.micro_batch, state.dtype = size, devices.dtype_name(dtype)
    metrics = StepMetrics(device, state, group)

    def run(batch):
        metrics.update(*train_step(batch, step_model, optimizer, scaler, size, config.grad_clip, dtype, group))

    def recover():  # from a capture that failed in the middle of a step
        optimizer.zero_grad(set_to_none=True)
        scaler.update(scaler.get_scale())

    memory = micro_batch.memory_estimate(model, size, step_model is not model)
    if config.cuda_graph and group.all(compilation.has_room(device, memory)):
        run = compilation.CapturedStep(run, group.all, recover, print_line)
    seconds = round(time.perf_counter() - start, 1)
    return Stepper(run, step_model, size, optimizer, scaler, average, metrics, seconds)
