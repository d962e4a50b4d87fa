"""The pictures of the study of sense: ability over training, and ability over parameters."""

import math
import statistics

import numpy as np

from experiments.tables import save
from slm.errors import UserError
from slm.evaluation.sense import ITEMS, PAIRS, SENSE_NAMES, STORY_CHANCE, TEMPLATE_CHANCE, wilson
from slm.evaluation.story_pairs import CHANGES
from slm.files import ROOT

PICTURES = ROOT / "docs" / "pictures"
SIZES = {  # n_layer, n_head, n_embd; millions of parameters with a vocabulary of 8,192 and a context of 256
    "30M": (8, 8, 512),
    "14M": (6, 6, 384),
    "10M": (6, 5, 320),
    "5M": (4, 4, 256),
    "2.5M": (2, 3, 192),
    "1M": (2, 3, 96),
}


def means(rows, x):
    """[(x, {name: mean share over the seeds})] of rows of one size, by the number in the field x.

    A name that no row of an x has is left out there.
    """
    groups = {}
    for row in rows:
        groups.setdefault(float(row[x]), []).append(row)
    return [
        (
            value,
            {
                name: statistics.mean(float(row[name]) for row in group if row[name])
                for name in SENSE_NAMES
                if any(row[name] for row in group)
            },
        )
        for value, group in sorted(groups.items())
    ]


def of_name(points, name):
    """(xs, shares) of one name in the points of `means`."""
    there = [(x, shares[name]) for x, shares in points if name in shares]
    return [x for x, _ in there], [share for _, share in there]


def last_points(rows):
    """The last row of each run."""
    runs = {}
    for row in rows:
        key = row["budget"], row["size"], row["seed"]
        if key not in runs or int(row["step"]) > int(runs[key]["step"]):
            runs[key] = row
    return list(runs.values())


def panels(names, title):
    """(figure, {name: axes}), a small panel per name, with the lines of chance."""
    from matplotlib import pyplot

    columns = 6
    lines = math.ceil(len(names) / columns)
    figure, grid = pyplot.subplots(lines, columns, figsize=(13, 2.1 * lines + 0.8), sharex=True, sharey=True)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    there = dict(zip(names, grid.flat, strict=False))
    for name, axes in there.items():
        axes.axhline(STORY_CHANCE if name in CHANGES else TEMPLATE_CHANCE, color="grey", linewidth=0.8, linestyle=":")
        axes.set_title(name, fontsize=10)
        axes.set(ylim=(-0.03, 1.03), xscale="log")
        axes.grid(alpha=0.25)
    figure.suptitle(title)
    return figure, there


def draw(rows, corpus):
    """docs/pictures/sense_training_CORPUS.png and sense_size_CORPUS.png. Raises UserError where no row is of it."""
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not installed, so no picture is drawn")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in rows if row["corpus"] == corpus]
    counts = {row["size"]: row for row in rows if row["budget"] == "counts"}
    equal_tokens = [row for row in rows if row["budget"] == "tokens"]
    if not equal_tokens:
        raise UserError(f"the table has no run of equal tokens on {corpus}")
    names = [name for name in SENSE_NAMES if any(row[name] for row in equal_tokens)]
    sizes = [size for size in reversed(SIZES) if any(row["size"] == size for row in equal_tokens)]
    colors = pyplot.get_cmap("viridis")(np.linspace(0.9, 0, len(sizes)))

    def finish(figure, there, label, path):
        for name, axes in there.items():
            low, high = axes.get_xlim()
            ticks = [millions for millions in (1, 3, 10, 30, 100, 300, 1000) if low <= 1e6 * millions <= high]
            axes.set_xticks([1e6 * millions for millions in ticks], [f"{millions} M" for millions in ticks])
            axes.minorticks_off()
            if "bigram" in counts and counts["bigram"][name]:
                axes.axhline(float(counts["bigram"][name]), color="tab:red", linewidth=0.8, linestyle="--")
        figure.supxlabel(f"{label}; dotted: chance, dashed: a bigram model", fontsize=10)
        figure.supylabel("share of pairs that are right", fontsize=10)
        handles, labels = next(iter(there.values())).get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper right", ncols=len(labels), fontsize=9, frameon=False)
        figure.tight_layout()
        save(figure, path)

    figure, there = panels(names, "what it learns, and when")
    for size, color in zip(sizes, colors, strict=True):
        points = means([row for row in equal_tokens if row["size"] == size and int(row["step"])], "tokens")
        for name, axes in there.items():
            axes.plot(*of_name(points, name), color=color, linewidth=1.4, label=size)
    finish(figure, there, f"tokens seen, by size, trained on {corpus}", PICTURES / f"sense_training_{corpus}.png")

    figure, there = panels(names, "what a size can learn")
    for budget, color in (("tokens", "tab:blue"), ("seconds", "tab:orange")):
        points = means(last_points([row for row in rows if row["budget"] == budget]), "parameters")
        for name, axes in there.items():
            xs, shares = of_name(points, name)
            if xs:
                n = PAIRS if name in CHANGES else ITEMS
                bounds = list(zip(*(wilson(share, n) for share in shares), strict=True))
                axes.plot(xs, shares, "o-", color=color, markersize=3, label=f"equal {budget}")
                axes.fill_between(xs, *bounds, color=color, alpha=0.12, linewidth=0)
    finish(figure, there, f"parameters, trained on {corpus}", PICTURES / f"sense_size_{corpus}.png")
