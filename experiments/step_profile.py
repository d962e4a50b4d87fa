"""Where the milliseconds of a step go, on one GPU or several.

    python -m experiments.step_profile config/tinystories_8k.py
    torchrun --standalone --nproc_per_node=4 -m experiments.step_profile config/tinystories_8k.py

It measures the captured step, then launches the same step without the graph under torch.profiler and adds up what the
kernels of the main process take, by phase and kind. What a captured step takes beyond their sum, no kernel runs. NCCL's
kernels wait for the other processes, so their time has that in it.
"""

import contextlib
import functools
import itertools
import json
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from experiments.stages import Bench
from slm.config import merge_config
from slm.config_parser import command_line_layers
from slm.errors import UserError, run_script
from slm.options import asks_for_help
from slm.training import muon
from slm.training.setup import join_processes
from train import train_step

STEPS = 10  # that are profiled
LONGEST = 20  # kernels that are listed
KINDS = {  # of a kernel, by its name; the first that matches counts
    "NCCL": "nccl",
    "attention": "flash|fmha|attention|sdpa",
    "matrix products": "gemm|nvjet|cutlass|cublas|xmma|splitk",
    "compiled": "^triton",
    "other": "",
}
MARK = "phase: "


def mark(owner, name, phase):
    """Mark what the function `name` of an object launches."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def marked(*arguments, **options):
        with record_function(f"{MARK}{phase}"):
            return function(*arguments, **options)

    setattr(owner, name, marked)


def mark_phases(stepper, group):
    """What no mark covers is the forward pass, or, launched by another thread, the backward pass."""
    mark(group, "sum_gradients", "sum of gradients")
    mark(torch.nn.utils, "get_total_norm", "norm and clipping")
    mark(torch.nn.utils, "clip_grads_with_norm_", "norm and clipping")
    mark(stepper.scaler, "unscale_", "norm and clipping")
    mark(stepper.optimizer, "step", "optimizer, the rest")
    mark(muon, "orthogonalize", "orthogonalizing")
    mark(group, "all_gather", "gathering of updates")


def kernels(events):
    """Yield (phase, name, microseconds) for each kernel in the events of a Chrome trace."""
    marks = [event for event in events if event.get("cat") == "user_annotation" and event["name"].startswith(MARK)]
    launches = {
        event["args"]["correlation"]: event for event in events if event.get("cat") in ("cuda_runtime", "cuda_driver")
    }
    main_thread = marks[0]["tid"]
    for event in events:
        if event.get("cat") not in ("kernel", "gpu_memcpy", "gpu_memset"):
            continue
        launch = launches.get(event["args"]["correlation"], event)
        around = [
            mark
            for mark in marks
            if mark["tid"] == launch["tid"] and mark["ts"] <= launch["ts"] <= mark["ts"] + mark["dur"]
        ]
        if around:
            phase = min(around, key=lambda mark: mark["dur"])["name"].removeprefix(MARK)  # the innermost
        else:
            phase = "forward" if launch["tid"] == main_thread else "backward"
        yield phase, event["name"], event["dur"]


def kind_of(name):
    return next(kind for kind, words in KINDS.items() if re.search(words, name.lower()))


def table(found, steps):
    """Lines: milliseconds of a step by phase and kind, and how many kernels. found: of `kernels`."""
    times, counts, names = Counter(), Counter(), Counter()
    for phase, name, microseconds in found:
        times[phase, kind_of(name)] += microseconds / 1000 / steps
        counts[phase] += 1 / steps
        names[name] += microseconds / 1000 / steps
    yield f"{'ms of a step':22}" + "".join(f"{kind:>17}" for kind in KINDS) + f"{'all':>9}{'kernels':>9}"
    for phase in [*dict.fromkeys(phase for phase, _ in times), None]:
        of_kind = [sum(ms for (p, k), ms in times.items() if k == kind and phase in (p, None)) for kind in KINDS]
        number = sum(count for p, count in counts.items() if phase in (p, None))
        yield f"{phase or 'all':22}" + "".join(f"{ms:17.3f}" for ms in of_kind) + f"{sum(of_kind):9.3f}{number:9.0f}"
    yield f"\nthe longest of {len(names)} kernels, ms of a step"
    yield from (f"{ms:9.3f}  {name[:100]}" for name, ms in names.most_common(LONGEST))


def main():
    if asks_for_help(__doc__):
        return
    config, set_by = merge_config(*command_line_layers(sys.argv[1:]))
    config.check()
    with contextlib.redirect_stdout(sys.stderr):
        group = join_processes(config)
        bench = Bench(config, set_by, None, group)
        if bench.device.type != "cuda":
            raise UserError("a profile of the kernels needs a CUDA device")
        setup, stepper, numbers = bench.setup, bench.stepper, itertools.count(step=config.sequences_per_step)
        seconds = bench.seconds(lambda: stepper.run(setup.batches[next(numbers)]))
        stepper.close()
        mark_phases(stepper, group)
        options = stepper.model, stepper.optimizer, stepper.scaler, stepper.micro_batch, config.grad_clip

        def step():
            train_step(setup.batches[next(numbers)], *options, setup.dtype, group)

        for _ in range(3):
            step()
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
            for _ in range(STEPS):
                step()
            torch.cuda.synchronize()
    if group.is_main:
        with tempfile.TemporaryDirectory() as folder:
            profiler.export_chrome_trace(f"{folder}/trace.json")
            events = json.loads(Path(folder, "trace.json").read_text())["traceEvents"]
        print(*table(kernels(events), STEPS), sep="\n")
        print(f"\nthe captured step on {group.world_size}: {1000 * seconds:.3f} ms", flush=True)
    group.close()


if __name__ == "__main__":
    run_script(main)
