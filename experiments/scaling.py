"""Measure the speed on 1, 2, 4, ... GPUs of this machine, and keep it in experiments/scaling.csv and scaling.png.

    python -m experiments.scaling                                           two recipes, on up to all GPUs
    python -m experiments.scaling config/tinystories_8k.py --processes 1,8
    python -m experiments.scaling config/sample.py --device cpu             processes of a CPU, over gloo
    python -m experiments.scaling --draw                                    only the table and the picture again

For each number of processes bench.py measures two steps: the recipe's own, cut up, and one that grows with the
processes. train.py takes the first steps of the recipe's run, and their losses are compared. Each measurement adds a
line to the table; a run that fails prints why, and the rest go on.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from experiments.runs import add, produced_by, read_table, save
from slm import devices
from slm.config import merge_config
from slm.config_parser import command_line_layers
from slm.errors import UserError, run_script
from slm.files import ROOT
from slm.options import OptionParser
from slm.text.corpus import Corpus
from slm.training.log import read_log
from slm.training.run_folder import describe_run

TABLE, PLOT = ROOT / "experiments" / "scaling.csv", ROOT / "experiments" / "scaling.png"
FIELDS = "recipe,processes,step,tokens_per_step,tokens_per_second,sum_mb,sum_ms,loss_steps,train_loss"
FIELDS = f"{FIELDS},device,torch,commit,date".split(",")
RECIPES = ["config/tinystories_8k.py", "config/tinystories_30m.py"]
CUT, GROWING = "cut up", "growing"


def launch(script, processes, *arguments):
    """What a script prints under torchrun, or None where it failed and this has printed why."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    done = subprocess.run(
        [*launcher, str(ROOT / script), *arguments],
        env={"OMP_NUM_THREADS": "1"} | os.environ,  # torchrun's default for several processes, here for one too
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode == 0:
        return done.stdout
    sentences = [line for line in done.stderr.splitlines() if line.startswith(f"{script}: ")]
    why = sentences[0] if sentences else done.stderr
    print(f"failed on {processes}: {script} {' '.join(arguments)}\n{why}", file=sys.stderr, flush=True)
    return None


def measure_loss(recipe, processes, steps, machine):
    """The loss of the last of so many steps of train.py; None where it failed."""
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--max_iters={steps}", f"--eval_interval={steps}", "--eval_iters=1", "--log_interval=1"]
        options += [f"--out_dir={folder}/run", "--sample_prompt=", *machine]
        if launch("train.py", processes, recipe, *options) is None:
            return None
        return read_log(Path(folder) / "run" / "log.csv")[-1]["train_loss"]


def measure_speed(recipe, processes, batch_size, machine):
    """bench.py's figures, {what: figure}; None where it failed."""
    output = launch("bench.py", processes, "train", recipe, f"--batch_size={batch_size}", "--json", *machine)
    return output and {figure["what"]: figure for figure in map(json.loads, output.splitlines())}


def measure(recipe, config, code, processes, steps, machine):
    """Yield a line of the table for each step that could be measured on so many processes; code: of `describe_run`."""
    loss = measure_loss(recipe, processes, steps, machine)
    for step in (CUT, GROWING) if processes > 1 else (CUT,):
        growth = processes if step == GROWING else 1
        figures = measure_speed(recipe, processes, growth * config.batch_size, machine)
        if not figures:
            continue
        what, speed = next((what, figure) for what, figure in figures.items() if what.startswith("tokens/s"))
        sums = {name: figures.get(f"sum of gradients, {unit}") for name, unit in (("sum_mb", "MB"), ("sum_ms", "ms"))}
        print(f"{recipe} on {processes}, {step}: {what} {speed['value']:,.0f}", flush=True)
        yield {
            "recipe": recipe,
            "processes": processes,
            "step": step,
            "tokens_per_step": growth * config.tokens_per_step,
            "tokens_per_second": round(speed["value"]),
            **{name: f"{figure['value']:.4g}" for name, figure in sums.items() if figure},
            **({"loss_steps": steps, "train_loss": loss} if loss and step == CUT else {}),
            **produced_by(code | {"device": speed["device"], "versions": {"torch": speed["torch"]}}),
        }


# -- what the table says ----------------------------------------------------------------------------------------------


def newest(rows):
    """{recipe: {(processes, step): row}}: the newest row of each, on the device of the last row."""
    recipes = {}
    for row in rows:
        if row["device"] == rows[-1]["device"]:
            recipes.setdefault(row["recipe"], {})[int(row["processes"]), row["step"]] = row
    return recipes


def lines(recipe, rows):
    """The printed table of a recipe; rows: {(processes, step): row}."""
    one = rows.get((1, CUT))
    yield f"\n{recipe}, {next(iter(rows.values()))['device']}"
    yield "processes  step     tokens/step    tokens/s  times  of ideal  sum, ms  of a step  loss"
    for (processes, step), row in sorted(rows.items()):
        speed, tokens = int(row["tokens_per_second"]), int(row["tokens_per_step"])
        times = speed / int(one["tokens_per_second"]) if one else None
        of_one = f"{times:7.2f}{times / processes:10.0%}" if times else " " * 17
        milliseconds = row["sum_ms"] and float(row["sum_ms"])
        share = f"{milliseconds:9.3g}{milliseconds * speed / tokens / 1000:11.1%}" if milliseconds else " " * 20
        loss = f"  {float(row['train_loss']):.6f} at step {row['loss_steps']}" if row["train_loss"] else ""
        yield f"{processes:9}  {step:8}{tokens:12,}{speed:12,}{of_one}{share}{loss}".rstrip()


def draw(recipes):
    """Tokens/s over processes, a panel for each recipe, with the line of the ideal where one process was measured."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, all_axes = pyplot.subplots(1, len(recipes), squeeze=False, figsize=(5 * len(recipes), 4))
    for axes, (recipe, rows) in zip(all_axes[0], recipes.items(), strict=True):
        counts = sorted({processes for processes, _ in rows})
        speeds = {place: int(row["tokens_per_second"]) for place, row in rows.items()}
        if (1, CUT) in speeds:
            axes.plot([1, counts[-1]], [speeds[1, CUT], counts[-1] * speeds[1, CUT]], "--", color="grey", label="ideal")
        for step in (GROWING, CUT):
            points = [(n, speeds[n, which]) for n in counts if (n, which := step if n > 1 else CUT) in speeds]
            if points:
                axes.plot(*zip(*points, strict=True), "o-", markersize=4, label=f"the step {step}")
        device = next(iter(rows.values()))["device"]
        axes.set(title=Path(recipe).stem, xlabel=f"processes, {device}", ylabel="tokens/s", xticks=counts, ylim=0)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.tight_layout()
    save(figure, PLOT)


def read_processes(text, device):
    """The numbers of processes in `text`, or the powers of two up to what `device` has. Raises UserError."""
    gpus = torch.cuda.device_count() if device.type == "cuda" else None
    if not text:
        return [2**power for power in range((gpus or os.cpu_count()).bit_length())]
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise UserError(f"--processes must be whole numbers above 0, as in 1,2,4,8, not {text!r}")
    numbers = sorted({int(part) for part in parts})
    if gpus and numbers[-1] > gpus:
        raise UserError(
            f"--processes {numbers[-1]} needs as many GPUs, and this machine has {gpus}: give at most {gpus}"
        )
    return numbers


def measure_all(options):
    """Measure what the command line asks for, and add it to the table. Raises UserError."""
    processes = read_processes(options.processes, devices.pick_device(options.device))
    if options.steps < 1:
        raise UserError(f"--steps must be at least 1, not {options.steps}")
    configs = {recipe: merge_config(*command_line_layers([recipe])) for recipe in options.recipes}
    for config, _ in configs.values():
        Corpus(Path("data") / config.dataset, config.prepare_command)
    code = describe_run(*next(iter(configs.values())))  # now: a line more in the table is a change to what git has
    machine, measured = [f"--device={options.device}", f"--backend={options.backend}"], 0
    for recipe, (config, _) in configs.items():
        for number in processes:
            for row in measure(recipe, config, code, number, options.steps, machine):
                add(TABLE, FIELDS, row)
                measured += 1
    if not measured:
        raise UserError("nothing could be measured: the lines above say why")


def main():
    parser = OptionParser(__doc__)
    parser.add_argument("recipes", nargs="*", default=RECIPES, metavar="RECIPE", help=f"default: {' '.join(RECIPES)}")
    parser.option("--processes", None, "how many, as in 1,2,4,8 (default: the powers of two up to the number of GPUs)")
    parser.option("--steps", 50, "how many steps train.py takes for the losses", int)
    parser.option("--device", "auto", "auto, cpu or cuda")
    parser.option("--backend", "auto", "torch.distributed's: auto, nccl or gloo")
    parser.option("--draw", False, "measure nothing")
    options = parser.parse()
    if not options.draw:
        measure_all(options)
    rows = read_table(TABLE)
    if not rows:
        raise UserError(f"{TABLE} has no measurement, so no picture is drawn")
    recipes = newest(rows)
    for recipe in recipes:
        print(*lines(recipe, recipes[recipe]), sep="\n")
    draw(recipes)


if __name__ == "__main__":
    run_script(main)
