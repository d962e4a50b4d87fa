"""Try levers on a recipe: each changes one thing of a run, and the table says how many tokens it saves.

    python -m experiments.levers --corpus small --levers base,base@0.94,cautious,ema=0.1+floor=0.2
    python -m experiments.levers --table                                     only the table again

experiments/changes.py has the levers. `NAME=VALUE` gives one a value, `+` joins two, and `@0.94` takes 94 % of the
steps, with a schedule that ends there. `base` changes nothing, so it is train.py's own run.

First `base` runs with every seed, then each lever in turn with the first seed, and then those that are ahead of the
base with the other seeds, the best first. Runs go side by side, one per GPU, in one process per GPU, whose later runs
find everything compiled. --minutes begins no run that would end later; the same command goes on from there. Each result
is a line of experiments/levers.csv. More of train.py's arguments for all runs: `--arguments="--max_iters=1000"`, with
the equals sign.

What a lever saves is counted in tokens: runs of `base` of at least two lengths say how many tokens the base needs to
reach the lever's loss. The error is one standard error of the difference, with one standard deviation for all levers.
"""

import contextlib
import gc
import io
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

import train
from experiments import changes
from experiments.cells import COUNT, LOSS, NAME, PRODUCED_BY, SECONDS, SEED, TEXT
from experiments.tables import add, options_of, produced_by, read_table, split_arguments
from slm.config import merge_config
from slm.config_parser import command_line_layers
from slm.errors import UserError, counted, run_script, wait_for
from slm.files import ROOT
from slm.options import OptionParser, whole_numbers
from slm.training import compilation
from slm.training.log import read_log
from slm.training.run_folder import read_description

TABLE = ROOT / "experiments" / "levers.csv"
SETTING = ["corpus", "recipe", "arguments"]  # what the runs of a table have in common
FIELDS = {"corpus": NAME, "recipe": NAME, "arguments": TEXT, "lever": NAME, "seed": SEED, "val_loss": LOSS}
FIELDS |= {"val_bpb": LOSS, "tokens": COUNT, "seconds": SECONDS, "options": TEXT, **PRODUCED_BY}

# -- one run ----------------------------------------------------------------------------------------------------------


def read_config(setting, seed, *more):
    """(TrainConfig, what set its options) of a run in a setting, {field of SETTING: text}. Raises UserError."""
    arguments = [setting["recipe"], f"--dataset={setting['corpus']}", f"--seed={seed}", "--sample_prompt=", *more]
    return merge_config(*command_line_layers([*arguments, *split_arguments(setting["arguments"])]))


def train_with(setting, lever, seed, device="auto"):
    """Train with a lever in this process; the line of the table. Raises UserError."""
    torch._dynamo.reset()  # after eight models it would stop to compile
    output = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        config, set_by = read_config(setting, seed, f"--out_dir={folder}/run", f"--device={device}")
        with changes.pull(lever, config), contextlib.redirect_stdout(output):
            config.check()
            if train.train(config, set_by):
                raise UserError(f"{lever}, seed {seed}, was stopped")
        described, last = read_description(config.out_dir), read_log(Path(config.out_dir) / "log.csv")[-1]
    gc.collect()  # the run's memory
    return {
        **setting,
        **{"lever": lever, "seed": seed},
        **{name: last[name] for name in ("val_loss", "val_bpb", "tokens")},
        **{"seconds": f"{float(last['seconds']):.1f}", "options": options_of(described)},
        **produced_by(described),
    }


# -- all runs ---------------------------------------------------------------------------------------------------------


def next_run(levers, seeds, losses, taken):
    """The next (lever, seed), or None; losses: {lever: {seed: loss}}; taken: the pairs that have begun or ended."""
    runs = [(lever, seed) for lever in levers for seed in (seeds if lever == "base" else seeds[:1])]
    means = {lever: statistics.mean(of_seeds.values()) for lever, of_seeds in losses.items()}
    better = [lever for lever in levers if means.get(lever, 1e9) < means.get("base", -1e9) and "@" not in lever]
    runs += [(lever, seed) for lever in sorted(better, key=means.get) for seed in seeds[1:]]
    return next((run for run in runs if run not in taken), None)


def begin_process(gpu):
    """Let this process see one GPU, by its number, or none, and end it with the process that started it."""
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu if gpu.isdecimal() else ""
    compilation.dismiss_compiler = lambda: None  # the next run needs it

    def follow():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


class Runs:
    """The runs of a setting that the table lacks, taken one by one by a thread for each GPU."""

    def __init__(self, setting, levers, seeds, deadline):
        self.setting, self.levers, self.seeds, self.deadline = setting, levers, seeds, deadline
        self.lock, self.losses, self.taken, self.failures = threading.Lock(), {}, set(), []
        self.longest = 0.0  # seconds of a run, from its start to its line
        for row in read_table(TABLE, FIELDS):
            if all(row[name] == setting[name] for name in SETTING):
                self.keep(row)

    def keep(self, row):
        lever, seed = row["lever"], int(row["seed"])
        self.taken.add((lever, seed))
        self.losses.setdefault(lever, {})[seed] = figure(row, "val_loss")

    def work(self, gpu):
        """Take runs until there is none, or until the next would end after the deadline."""
        context, device, compiled = multiprocessing.get_context("spawn"), "auto" if gpu.isdecimal() else gpu, False
        with ProcessPoolExecutor(1, context, initializer=begin_process, initargs=(gpu,)) as process:
            while time.monotonic() + self.longest < self.deadline and (run := self.take()):
                start = time.monotonic()
                try:
                    row = process.submit(train_with, self.setting, *run, device).result()
                except Exception as error:
                    self.failures.append(f"{run[0]}, seed {run[1]}: {type(error).__name__}: {error}")
                    print(self.failures[-1], file=sys.stderr, flush=True)
                    if isinstance(error, BrokenExecutor):
                        return
                    continue
                seconds = time.monotonic() - start
                with self.lock:
                    add(TABLE, FIELDS, row)
                    self.keep(row)
                    self.longest = max(self.longest, seconds if compiled else 0)
                compiled = True
                print(f"{run[0]}, seed {run[1]}: {float(row['val_loss']):.4f} nats, {seconds:.0f} s", flush=True)

    def take(self):
        with self.lock:
            if run := next_run(self.levers, self.seeds, self.losses, self.taken):
                self.taken.add(run)
            return run


def try_levers(options):
    """Run what the command line asks for and the table lacks. Raises UserError."""
    setting = {name: getattr(options, name) for name in SETTING}
    levers = [lever for lever in options.levers.split(",") if lever]
    seeds = options.seeds
    for lever in levers:
        with changes.pull(lever, config := read_config(setting, seeds[0])[0]):
            config.check()
    gpus = options.gpus or ",".join(map(str, range(torch.cuda.device_count()))) or "cpu"
    runs = Runs(setting, levers, seeds, time.monotonic() + 60 * options.minutes)
    threads = [threading.Thread(target=runs.work, args=(gpu.strip(),)) for gpu in gpus.split(",")]
    try:
        for thread in threads:
            thread.start()
        wait_for(threads)
    except BaseException:  # Ctrl-C or `kill`: begin no other run, and end those that run
        runs.deadline = 0
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    if runs.failures:
        raise UserError(f"{counted(len(runs.failures), 'run')} failed, the first is {runs.failures[0]}")


# -- what the table says ----------------------------------------------------------------------------------------------


def figure(row, name):
    """A number of a row; NaN where it is not finite: the run has diverged."""
    value = float(row[name])
    return value if np.isfinite(value) else np.nan


def slope(rows):
    """Nats per unit of the logarithm of the tokens, of the runs of `base` of all lengths; None of one length."""
    base = [row for row in rows if row["lever"].partition("@")[0] == "base"]
    runs = [(int(row["tokens"]), loss) for row in base if np.isfinite(loss := figure(row, "val_loss"))]
    tokens, losses = np.array(runs).T if runs else ([], [])
    return np.polyfit(np.log(tokens), losses, 1)[0] if len(set(tokens)) > 1 else None


def summary(rows):
    """The lines about the rows of one setting: {lever, runs, loss, deviation, bpb, seconds, difference, error, saved}.

    difference: nats to the base, below 0 where the lever is better. saved: the share of the tokens that the lever does
    without at an equal loss. error: the standard error of the difference.
    """
    by_lever, nats = {}, slope(rows)
    for row in rows:
        by_lever.setdefault(row["lever"], []).append(row)
    losses = {lever: [figure(row, "val_loss") for row in of_lever] for lever, of_lever in by_lever.items()}
    finite = [some for some in losses.values() if np.isfinite(some).all()]  # the others have diverged
    squares = sum(np.var(some) * len(some) for some in finite)
    freedom = sum(len(some) - 1 for some in finite)
    deviation, base = (squares / freedom) ** 0.5 if freedom else None, losses.get("base")
    means = {lever: np.mean(some) for lever, some in losses.items()}
    for lever in sorted(means, key=lambda lever: (np.isnan(means[lever]), means[lever])):
        mean, of_lever, runs = means[lever], by_lever[lever], len(by_lever[lever])
        line = {"lever": lever, "runs": runs, "loss": mean}
        line["deviation"] = np.std(losses[lever], ddof=1) if runs > 1 else None
        for name in ("val_bpb", "seconds"):
            line[name] = np.mean([figure(row, name) for row in of_lever])
        if base and lever != "base":
            line["difference"] = mean - means["base"]
            line["error"] = deviation and deviation * (1 / runs + 1 / len(base)) ** 0.5
            if nats and abs(line["difference"] / nats) < np.log(2):  # further off the line is not straight
                tokens = int(of_lever[0]["tokens"]) / int(by_lever["base"][0]["tokens"])
                line["saved"] = 1 - tokens / np.exp(line["difference"] / nats)
        yield line


COLUMNS = {  # of the printed table: {name in `summary`: (title, format)}
    "runs": ("runs", "4"),
    "loss": ("nats", "8.4f"),
    "deviation": ("sd", "7.4f"),
    "val_bpb": ("bits/byte", "10.4f"),
    "seconds": ("seconds", "8.1f"),
    "difference": ("to the base", "+12.4f"),
    "error": ("error", "7.4f"),
    "saved": ("tokens saved", "+13.1%"),
}


def print_table(rows):
    settings = {}
    for row in rows:
        settings.setdefault(tuple(row[name] for name in SETTING), []).append(row)
    for (corpus, recipe, arguments), of_setting in settings.items():
        nats = slope(of_setting)
        worth = f"; 3 % of the tokens are {-0.03 * nats:.4f} nats" if nats else ""
        print(f"\n{recipe} {arguments} on {corpus}, {of_setting[-1]['device']}{worth}")
        widths = {name: int(form.strip("+").rstrip("f%").partition(".")[0]) for name, (_, form) in COLUMNS.items()}
        print(f"{'lever':32}" + "".join(f"{COLUMNS[name][0]:>{width}}" for name, width in widths.items()))
        for line in summary(of_setting):
            cells = [
                " " * widths[name] if line.get(name) is None else f"{line[name]:{form}}"
                for name, (_, form) in COLUMNS.items()
            ]
            print(f"{line['lever']:32}{''.join(cells)}".rstrip())


def main():
    parser = OptionParser(__doc__)
    parser.option("--corpus", None, "the prepared corpus, a folder under data/")
    parser.option("--recipe", "config/small_corpus.py", "the recipe of the base")
    parser.option("--arguments", "", "more of train.py's arguments, for all runs")
    parser.option("--levers", "base", "what to try, in the order in which it is tried")
    about_seeds = "the first is every lever's, the others are for the best"
    parser.option("--seeds", "1337,1338,1339", about_seeds, whole_numbers, at_least=0)
    parser.option("--gpus", None, "their numbers, as in 0,1, or cpu (default: all)")
    parser.option("--minutes", 1e6, "begin no run that would end later", float, at_least=0)
    parser.option("--table", False, "run nothing")
    options = parser.parse()
    if not options.table and not options.corpus:
        raise UserError("which corpus? give --corpus NAME, a folder under data/")
    if not options.table:
        try_levers(options)
    rows = read_table(TABLE, FIELDS)
    if not rows:
        raise UserError(f"{TABLE} has no runs yet: give --corpus and --levers")
    print_table(rows)


if __name__ == "__main__":
    run_script(main)
