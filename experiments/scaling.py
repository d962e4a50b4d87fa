"""Measure the speed on 1, 2, 4, ... GPUs of this machine: experiments/scaling.csv and docs/pictures/scaling.png.

    python -m experiments.scaling                                           two recipes, on up to all GPUs
    python -m experiments.scaling config/tinystories_8k.py --processes 1,8
    python -m experiments.scaling config/sample.py --device cpu             processes of a CPU, over gloo
    python -m experiments.scaling --draw                                    only the table and the picture again

For each number of processes, one start (experiments/scaling_process.py) measures two steps: the recipe's own, cut up,
and one that grows with the processes. It also takes the first steps of the recipe's run, and their losses are compared.
Each measurement adds a line to the table; one that fails prints why, and the rest go on.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from experiments.cells import COUNT, LOSS, NAME, PRODUCED_BY, SECONDS, TEXT
from experiments.scaling_process import CUT, GROWING
from experiments.tables import add, produced_by, read_table, save
from slm import devices
from slm.config import merge_config
from slm.config_parser import command_line_layers
from slm.errors import UserError, run_script
from slm.files import ROOT
from slm.options import OptionParser, whole_numbers
from slm.text.corpus import Corpus
from slm.training.run_folder import describe_run

TABLE, PLOT = ROOT / "experiments" / "scaling.csv", ROOT / "docs" / "pictures" / "scaling.png"
FIELDS = {"recipe": NAME, "processes": COUNT, "step": NAME, "tokens_per_step": COUNT, "tokens_per_second": COUNT}
FIELDS |= {"sum_mb": TEXT, "sum_ms": SECONDS.or_empty(), "loss_steps": TEXT, "train_loss": LOSS.or_empty()}
FIELDS |= PRODUCED_BY
RECIPES = ["config/tinystories_8k.py", "config/tinystories_30m.py"]


def launch(processes, *arguments):
    """Yield the lines that the processes print, parsed, while they run. Where they fail, print why."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command = [*launcher, "-m", "experiments.scaling_process", *arguments]
    paths = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    # one thread is torchrun's default for several processes, here it is for one too
    env = {"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    yield json.loads(line)
            status = process.wait()
        except BaseException:
            process.terminate()  # and torchrun ends the others
            raise
        if status:
            errors.seek(0)
            text = errors.read()
            sentences = [line for line in text.splitlines() if line.startswith("scaling_process.py: ")]
            print(f"failed on {processes}: {(sentences or [text])[0]}", file=sys.stderr, flush=True)


def measure(recipe, code, processes, steps, machine):
    """Yield a line of the table for each step that could be measured on so many processes; code: of `describe_run`."""
    print(f"{recipe} on {processes}: starting", flush=True)
    for line in launch(processes, str(steps), recipe, *machine):
        place = f"{recipe} on {processes}, {line['step']}"
        if "says" in line:
            print(f"{place}: {line['says']}", flush=True)
            continue
        figures = {figure["what"]: figure["value"] for figure in line["figures"]}
        what, speed = next((what, value) for what, value in figures.items() if what.startswith("tokens/s"))
        sums = {name: figures.get(f"sum of gradients, {unit}") for name, unit in (("sum_mb", "MB"), ("sum_ms", "ms"))}
        print(f"{place}: {what} {speed:,.0f}", flush=True)
        yield {
            "recipe": recipe,
            "processes": processes,
            "step": line["step"],
            "tokens_per_step": line["tokens_per_step"],
            "tokens_per_second": round(speed),
            **{name: f"{value:.4g}" for name, value in sums.items() if value},
            **({"loss_steps": steps, "train_loss": line["loss"]} if line["loss"] else {}),
            **produced_by(code | {"device": line["device"], "versions": {"torch": torch.__version__}}),
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


def check_processes(numbers, device):
    """The numbers of processes in order, or the powers of two up to what `device` has. Raises UserError."""
    gpus = torch.cuda.device_count() if device.type == "cuda" else None
    if not numbers:
        return [2**power for power in range((gpus or os.cpu_count()).bit_length())]
    numbers = sorted(set(numbers))
    if gpus and numbers[-1] > gpus:
        raise UserError(
            f"--processes {numbers[-1]} needs as many GPUs, and this machine has {gpus}: give at most {gpus}"
        )
    return numbers


def measure_all(options):
    """Measure what the command line asks for, and add it to the table. Raises UserError."""
    processes = check_processes(options.processes, devices.pick_device(options.device))
    configs = {recipe: merge_config(*command_line_layers([recipe])) for recipe in options.recipes}
    for config, _ in configs.values():
        Corpus(Path("data") / config.dataset)
    code = describe_run(*next(iter(configs.values())))  # now: a line more in the table is a change to what git has
    machine, measured = [f"--device={options.device}", f"--backend={options.backend}"], 0
    for recipe in configs:
        for number in processes:
            for row in measure(recipe, code, number, options.steps, machine):
                add(TABLE, FIELDS, row)
                measured += 1
    if not measured:
        raise UserError("nothing could be measured: the lines above say why")


def main():
    parser = OptionParser(__doc__)
    parser.add_argument("recipes", nargs="*", default=RECIPES, metavar="RECIPE", help=f"default: {' '.join(RECIPES)}")
    about_processes = "how many, as in 1,2,4,8 (default: the powers of two up to the number of GPUs)"
    parser.option("--processes", None, about_processes, whole_numbers, "N,N", at_least=1)
    parser.option("--steps", 50, "how many steps of the recipe's run, for the losses", int, at_least=1)
    parser.option("--device", "auto", "auto, cpu or cuda")
    parser.option("--backend", "auto", "torch.distributed's: auto, nccl or gloo")
    parser.option("--draw", False, "measure nothing")
    options = parser.parse()
    read_table(TABLE, FIELDS)  # a damaged one is one sentence, before any measurement
    if not options.draw:
        measure_all(options)
    rows = read_table(TABLE, FIELDS)
    if not rows:
        raise UserError(f"{TABLE} has no measurement, so no picture is drawn")
    recipes = newest(rows)
    for recipe in recipes:
        print(*lines(recipe, recipes[recipe]), sep="\n")
    draw(recipes)


if __name__ == "__main__":
    run_script(main)
