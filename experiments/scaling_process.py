"""One of the processes that experiments/scaling.py starts: it measures both steps of a recipe in one start.

    torchrun --standalone --nproc_per_node=2 -m experiments.scaling_process 50 config/tinystories_8k.py

The first argument is the number of steps for the loss, the others are train.py's. The main process prints a line of
JSON before each measurement, {"step", "says"}, and one after it: {"step", "tokens_per_step", "loss", "device",
"figures"}. loss is that of the last of the recipe's first steps, as train.py takes them; null for the growing step.
"""

import contextlib
import gc
import json
import sys

import torch

from experiments.stages import Bench, bench_train
from slm import devices
from slm.config import merge_config
from slm.config_parser import command_line_layers
from slm.errors import UserError, run_script
from slm.options import asks_for_help
from slm.training.setup import join_processes

CUT, GROWING = "cut up", "growing"


def loss_of_step(bench, steps):
    """The loss of the last of the first `steps` steps."""
    metrics, state = bench.stepper.metrics, bench.run.state
    for _ in range(steps):
        metrics.start_line(state)
        bench.step()
    metrics.read(state)
    return state.sums["train_loss"] / state.counted if state.counted else None


def measure(step, arguments, steps, group):
    """What the second line of a measurement says. Raises UserError, in all processes or in none."""
    config, set_by = merge_config(*command_line_layers(arguments))
    if step == GROWING:
        more = [f"--batch_size={config.batch_size * group.world_size}"]
        config, set_by = merge_config(*command_line_layers([*arguments, *more]))
    bench = Bench(config, set_by, None, group)
    loss = loss_of_step(bench, steps) if step == CUT else None
    figures = [figure._asdict() for figure in bench_train(bench)]
    device = devices.describe(bench.device)
    return {"tokens_per_step": bench.setup.batches.tokens_per_step, "loss": loss, "device": device, "figures": figures}


def main():
    if asks_for_help(__doc__):
        return
    steps, *arguments = sys.argv[1:]
    output = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        group = join_processes(merge_config(*command_line_layers(arguments))[0])

        def say(**line):
            if group.is_main:
                print(json.dumps(line), file=output, flush=True)

        for step in (CUT, GROWING) if group.world_size > 1 else (CUT,):
            say(step=step, says="measuring")
            try:
                say(step=step, **measure(step, arguments, int(steps), group))
            except UserError as error:
                say(step=step, says=f"failed: {error}")
            torch._dynamo.reset()  # and with the compiled model its memory
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        group.close()


if __name__ == "__main__":
    run_script(main)
