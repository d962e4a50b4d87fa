"""Draw two pictures of the docs into docs/pictures/.

    python -m docs.draw_pictures     batch.png: how stories become batches; values.png: what the recipes' values change

batch.png shows the batches that slm/training/batches.py makes of 26 tokens; values.png shows experiments/runs.csv.
"""

import csv
import math
import shlex
import tempfile
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import torch

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.patches import Rectangle, Wedge

from experiments.tables import save
from slm.config import TrainConfig
from slm.config_parser import parse_command_line
from slm.errors import run_script
from slm.files import ROOT
from slm.text.corpus import TokenFile
from slm.training.batches import TrainBatches

PICTURES = ROOT / "docs" / "pictures"
STORIES = ["Tom had a kite .", "The sun was hot .", "Mia saw a frog . It sang .", "A dog ran ."]
END = "■"
COLOURS = ["#cfe3f7", "#fde2c4", "#d8efd3", "#ecd9f2"]
BOX = 1.2  # the width of a token's box
BATCH_OPTIONS = SimpleNamespace(block_size=4, sequences_per_step=3, seed=1)


# -- stories, ring, windows, steps ------------------------------------------------------------------------------------


def draw_batch(path):
    """Stories, the ring with an epoch's windows, and the steps of that epoch, as TrainBatches gives them."""
    words = [[*story.split(), END] for story in STORIES]
    tokens = [word for story in words for word in story]
    colours = [colour for story, colour in zip(words, COLOURS, strict=True) for _ in story]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.bin"
        np.arange(len(tokens), dtype=np.uint16).tofile(file)  # the id of a token is its place
        batches = TrainBatches(TokenFile(file), BATCH_OPTIONS, torch.device("cpu"))
        starts = range(0, batches.windows, BATCH_OPTIONS.sequences_per_step)
        steps = [batches.read(first).tolist() for first in starts]
        batches.file.file.close()
    windows = sorted(row[0] for rows in steps for row in rows)  # where each one starts

    figure = pyplot.figure(figsize=(10, 7.3))
    axes = figure.add_axes((0.01, 0, 0.98, 1))
    axes.set(xlim=(0, 20), ylim=(0, 14.6), aspect="equal")
    axes.axis("off")

    def heading(x, y, text):
        axes.text(x, y, text, weight="bold", va="top")

    def box(x, y, place):
        axes.add_patch(Rectangle((x, y), BOX, 0.7, facecolor=colours[place], edgecolor="white"))
        axes.text(x + BOX / 2, y + 0.33, tokens[place], ha="center", va="center", fontsize=9)

    heading(0, 14.5, f"1  Stories. A token is a word here, and {END} is the end-of-text token.")
    places = iter(range(len(tokens)))
    for number, story in enumerate(words):
        x, y = (0, 11)[number % 2], 13.0 - 0.9 * (number // 2)
        for column in range(len(story)):
            box(x + BOX * column, y, next(places))
    heading(0, 11.4, "2  The ring. Each epoch cuts it into windows\n    at another random offset.")
    draw_ring(axes, (5, 4.9), tokens, colours, windows)
    heading(11, 11.4, "3  The windows, shuffled. A step takes\n    the next ones.")
    y = 9.6
    for step, rows in enumerate(steps):
        axes.text(11, y, f"step {step}")
        for row in rows:
            y -= 0.9
            axes.text(11, y + 0.33, f"window {windows.index(row[0]) + 1}", va="center", fontsize=9)
            for column, place in enumerate(row):
                box(13.2 + BOX * column, y, place)
        length = BOX * BATCH_OPTIONS.block_size
        for line, x, text in ((1, 13.2, "inputs"), (2, 13.2 + BOX, "targets: one token later")):
            axes.plot([x + 0.05, x + length - 0.05], [y - 0.45 * line + 0.3] * 2, color="black", linewidth=1)
            axes.text(13.1, y - 0.45 * line + 0.3, text.split(":")[0], fontsize=8, va="center", ha="right")
        y -= 1.9
    save(figure, path)


def draw_ring(axes, centre, tokens, colours, windows):
    """The tokens clockwise from the top, and around them the windows that start at `windows`, numbered."""
    angle, outer = 360 / len(tokens), 4.0

    def put(text, radius, degrees, **style):
        x, y = (radius * function(math.radians(degrees)) for function in (math.cos, math.sin))
        axes.text(centre[0] + x, centre[1] + y, text, ha="center", va="center", **style)

    for place, token in enumerate(tokens):
        middle = 90 - angle * (place + 0.5)
        ends = middle - angle / 2, middle + angle / 2
        axes.add_patch(Wedge(centre, outer, *ends, width=1.5, facecolor=colours[place], edgecolor="white"))
        put(token, outer - 0.75, middle, fontsize=9, rotation=middle + (180 if middle < -90 else 0))
    size = BATCH_OPTIONS.block_size
    left_over = (windows[-1] + size) % len(tokens), len(tokens) - size * len(windows)
    arcs = [(start, size, str(number), "black") for number, start in enumerate(windows, 1)]
    for start, length, label, colour in [*arcs, (*left_over, "left over", "grey")]:
        ends = 90 - angle * (start + length) + 1.5, 90 - angle * start - 1.5
        axes.add_patch(Wedge(centre, outer + 0.25, *ends, width=0.12, facecolor=colour))
        put(label, outer + 0.65, sum(ends) / 2, color=colour)


# -- the values of the recipes ----------------------------------------------------------------------------------------

VALUES = {
    "learning_rate": "learning rate (peak)",
    "floor": "min_lr / learning rate",
    "weight_decay": "weight decay",
    "dropout": "dropout",
    "tokens_per_step": "tokens per step",
    "block_size": "context, in tokens",
    "beta2": "beta2 of AdamW",
    "init_std": "init_std of new weights",
}
HIGHEST = 0.07  # of the vertical axis, bits per byte
STYLES = {
    "many passes": {"color": "tab:blue", "marker": "o"},
    "a pass and a half": {"color": "tab:orange", "marker": "s"},
    "generated stories": {"color": "tab:green", "marker": "^"},
}
MEANINGS = {  # of the names above, in the legend
    "many passes": "a hundredth of TinyStories, many passes",
    "a pass and a half": "the same, at most two passes",
    "generated stories": "stories that a model wrote",
}
HOW_TO_READ = (
    "A line joins runs that differ in one value alone. The best of them is at 0, and a run that is higher is worse by"
    " so many bits per byte\nof validation text. Runs that differ in the seed alone lie within 0.0012. A number at the"
    " upper edge is the height of a run above it."
)
LONG_WARMUP = 300  # steps; such runs would have a second difference, and shorter warm-ups follow the other values


def read_run(row):
    """{value: number} of a row of runs.csv, with the options that belong together as one value."""
    config = TrainConfig()
    for name, value in parse_command_line(shlex.split(row["options"]))[1].items():
        setattr(config, name, value)
    values = {name: getattr(config, name) for name in VALUES if hasattr(config, name)}
    tokens_per_step = config.sequences_per_step * config.block_size
    values |= {"floor": config.min_lr / config.learning_rate, "tokens_per_step": tokens_per_step}
    values |= {"optimizer": config.optimizer, "n_embd": config.n_embd, "warmup_iters": config.warmup_iters}
    return values | {"tokens": round(int(row["tokens"]), -6), "corpus": (config.dataset, int(row["corpus_tokens"]))}


def read_lines(path, name):
    """[(kind, [(value, bits per byte)])]: lines of runs that differ in the value `name` alone; kind: of STYLES."""
    lines = defaultdict(lambda: defaultdict(list))
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values = read_run(row)
            is_small = values["n_embd"] != TrainConfig.n_embd  # the model of config/sample.py, which is another recipe
            warmup_iters = values.pop("warmup_iters")
            if is_small or warmup_iters >= LONG_WARMUP:
                continue
            corpus, tokens = values["corpus"]
            if corpus.startswith("generated"):
                kind = "generated stories"
            else:
                kind = "many passes" if values["tokens"] / tokens > 2 else "a pass and a half"
            value = values.pop(name)
            lines[kind, tuple(values.items())][value].append(float(row["val_bpb"]))
    return [
        (kind, sorted((value, sum(bpb) / len(bpb)) for value, bpb in line.items()))
        for (kind, _), line in lines.items()
        if len(line) > 1
    ]


def draw_values(path, table):
    """A panel a value: how many bits per byte worse than the best of its line each run is."""
    figure, all_axes = pyplot.subplots(2, 4, figsize=(10, 6.2), sharey=True)
    figure.suptitle("How much worse a model is with another value of an option", fontsize=12)
    for axes, (name, title) in zip(all_axes.flat, VALUES.items(), strict=True):
        lines = read_lines(table, name)
        ticks = sorted({value for _, line in lines for value, _ in line})
        for kind, line in lines:
            best = min(bpb for _, bpb in line)
            worse = [bpb - best for _, bpb in line]
            x, y = [ticks.index(value) for value, _ in line], [min(value, HIGHEST) for value in worse]
            axes.plot(x, y, markersize=4, linewidth=1.2, label=kind, **STYLES[kind])
            for place, value in zip(x, worse, strict=True):
                if value > HIGHEST:
                    axes.annotate(f"+{value:.2f}", (place, HIGHEST), (-10, 5), textcoords="offset points", fontsize=8)
        axes.set_title(title, fontsize=10)
        axes.set_xticks(
            range(len(ticks)), [f"{value / 1000:.0f} K" if value > 999 else f"{value:g}" for value in ticks]
        )
        axes.tick_params(labelsize=8)
        axes.margins(x=0.15)
        axes.grid(alpha=0.3)
    for axes in all_axes[:, 0]:
        axes.set_ylabel("worse than the best of\nthe line, bits per byte", fontsize=9)
        axes.set_ylim(-0.004, HIGHEST + 0.009)
    handles, labels = all_axes[0, 0].get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    names = [MEANINGS[label] for label in by_label]
    figure.legend(
        by_label.values(), names, loc="lower center", bbox_to_anchor=(0.5, 0.06), ncols=3, frameon=False, fontsize=9
    )
    figure.text(0.5, 0.015, HOW_TO_READ, ha="center", fontsize=8.5)
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    save(figure, path)


def main():
    draw_batch(PICTURES / "batch.png")
    draw_values(PICTURES / "values.png", ROOT / "experiments" / "runs.csv")


if __name__ == "__main__":
    run_script(main)
