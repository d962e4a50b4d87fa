"""How fast each stage is on this machine, beside plain ways to do the same: a table, or JSON lines.

    python bench.py                                       all stages, on the corpus that was prepared last
    python bench.py config/tinystories_8k.py              the same with a recipe's model and prepared corpus
    python bench.py train sample config/tinystories.py    some of them: prepare, loader, train, eval, sample, start
    python bench.py train config/tinystories.py --block_size=256 --micro_batch_size=64      options as train.py's
    python bench.py prepare config/sample.py --json       a line of JSON for each figure
    torchrun --standalone --nproc_per_node=2 bench.py train config/tinystories_8k.py        several GPUs, no baselines

Figures are medians over repeats after a warm-up, and include the device's work. Two baselines run in the same process:
"plain" is what nanoGPT and the tutorial do as they are configured (datasets.map with tiktoken and 1,024 shards; an
array copy per sequence; micro-batches of batch_size; random evaluation batches; generation without a cache), "tuned" is
the same with micro-batches as large as a GPU likes. A ratio says how many times better this program is. What a
measurement leaves out, its name says. Of train.py's options, init_from and eval_only have no meaning here.
"""

import slm.interrupt  # noqa: F401 - first: Ctrl-C during the other imports is a line

# isort: split

import contextlib
import json
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

import torch

from experiments.stages import STAGES, Bench
from slm import commands, devices
from slm.config import OPTIONS, merge_config
from slm.config_parser import command_line_layers
from slm.errors import UserError, did_you_mean, print_note, run_script
from slm.options import asks_for_help
from slm.terminal import terminal_columns
from slm.text.corpus import Corpus

HEADER = f"{'':55}{'here':>10} {'plain':>10}{'ratio':>6}{'tuned':>11}{'ratio':>6}"


def number(value):
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table_line(stage, figure):
    """The line of a figure in the table; see HEADER."""
    ratios = [value and figure.value / value for value in (figure.plain, figure.tuned)]
    cells = [number(figure.plain), number(ratios[0]), number(figure.tuned), number(ratios[1])]
    return f"{stage:8}{figure.what:47}{number(figure.value):>10} {cells[0]:>10}{cells[1]:>6}{cells[2]:>11}{cells[3]:>6}"


def narrow_lines(stage, figure):
    """The same for a terminal that is narrower than the table."""
    cells = [number(figure.value)]
    for name, value in (("plain", figure.plain), ("tuned", figure.tuned)):
        cells += [f"{name} {number(value)}, ratio {number(figure.value / value)}"] if value else []
    return f"{stage:8}{figure.what}\n{'':8}{'; '.join(cells)}"


def fitting_options(folders="data"):
    """The recipe and the options that fit the corpus that was prepared last. Raises UserError where none is."""
    times = {path.parent: path.stat().st_mtime for path in Path(folders).glob("*/meta.json")}
    if not times:
        raise UserError(
            f"no corpus is prepared under {folders}/: run `python prepare.py --dataset sample` first, or name a recipe"
        )
    newest = max(times, key=times.get)
    corpus = Corpus(newest)
    options = shlex.split(commands.train_command(newest, corpus.meta))[2:]
    print_note(f"measuring {' '.join(options)}: {newest} was prepared last")
    return options


def read_arguments(arguments):
    """(stages, as_json, config, set_by) of the command line. Raises UserError."""
    stages = [argument for argument in arguments if argument in STAGES] or list(STAGES)
    for first in arguments[:1]:
        if not first.startswith("--") and not first.endswith(".py") and first not in STAGES:
            raise UserError(f"no stage {first}{did_you_mean(first, STAGES)}; there are {', '.join(STAGES)}")
    options = [argument for argument in arguments if argument not in STAGES and argument != "--json"]
    layers = command_line_layers(options)
    if len(layers) == 1 and "dataset" not in layers[0][1]:  # neither a recipe nor a corpus is named
        layers = command_line_layers([*fitting_options(), *options])
    config, set_by = merge_config(*layers)
    if config.init_from != "scratch" or config.eval_only:
        raise UserError("bench.py measures a new model: leave init_from and eval_only out")
    config.check()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and stages != ["train"]:
        raise UserError("under torchrun bench.py measures one stage: give `train`")
    return stages, "--json" in arguments, config, set_by


def main():
    names = ", ".join(name for name in OPTIONS if name not in ("init_from", "eval_only"))
    if asks_for_help(f"{__doc__}\noptions:\n\n  --json      a line of JSON for each figure\n  train.py's  {names}"):
        return
    stages, as_json, config, set_by = read_arguments(sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/cache"  # an empty cache: compiling is measured
        with contextlib.redirect_stdout(sys.stderr):
            bench = Bench(config, set_by, Path(folder))
        device, precision, group = devices.describe(bench.device), devices.dtype_name(bench.dtype), bench.setup.group
        fits = not sys.stdout.isatty() or terminal_columns(sys.stdout) >= len(HEADER)
        if not as_json and group.is_main:
            print(f"{device}, {precision}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}\n")
            if fits:
                print(HEADER)
        for stage in stages:
            with contextlib.redirect_stdout(sys.stderr):
                figures = list(STAGES[stage](bench))
            for figure in figures if group.is_main else []:
                where = {"device": device, "dtype": precision, "torch": torch.__version__}
                row = {"stage": stage, **figure._asdict(), **where}
                line = table_line if fits else narrow_lines
                print(json.dumps(row) if as_json else line(stage, figure), flush=True)
        group.close()


if __name__ == "__main__":
    run_script(main, stdout_is_result=True)
