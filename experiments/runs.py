"""Train recipes one after another, and keep what each reached in experiments/runs.csv and runs.png.

    python -m experiments.runs experiments/recipes.txt     a run per line: what it is, a colon, and train.py's arguments
    python -m experiments.runs                             only draw the plot again

    rate 1e-3: config/tinystories_8k.py --learning_rate=1e-3 --max_iters=2000
    rate 2e-3: config/tinystories_8k.py --learning_rate=2e-3 --max_iters=2000

A run that ends adds its line to the table; its checkpoints stay if its arguments name an --out_dir. Bits per byte are
those of the last validation and of the best one; seconds are those of training, with compiling beside them. A line
lists every option that differs from train.py's defaults, so it stays true when a recipe changes.
"""

import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.cells import COUNT, LOSS, NAME, PRODUCED_BY, SECONDS, SEED, TEXT
from experiments.tables import add, options_of, produced_by, read_table, save
from slm.config_parser import parse_command_line
from slm.errors import UserError, run_script
from slm.files import ROOT
from slm.options import OptionParser
from slm.training.log import read_log

TABLE, PLOT = ROOT / "experiments" / "runs.csv", ROOT / "experiments" / "runs.png"
FIELDS = {"what": NAME, "val_bpb": LOSS, "best_bpb": LOSS.or_empty(), "val_loss": LOSS, "seconds": SECONDS.or_empty()}
FIELDS |= {"compiling": SECONDS.or_empty(), "tokens": COUNT, "seed": SEED, "options": TEXT, "corpus_tokens": COUNT}
FIELDS |= PRODUCED_BY
PANEL_TITLES = {
    "8k": "many passes over a hundredth of TinyStories, vocabulary 8,192",
    "50k": "many passes, GPT-2's vocabulary of 50,257",
    "once": "a pass and a half over the hundredth, vocabulary 8,192",
    "generated": "a pass and a half over 60 M generated tokens, vocabulary 8,192",
    "200M": "a pass over 200 M generated tokens, vocabulary 8,192",
    "60M": "a pass and a half over the first 60 M of 299 M generated tokens, vocabulary 8,192",
    "60M-50k": "the same stories, GPT-2's vocabulary",
    "708M": "the whole recipe over those 299 M tokens: 708 M tokens, vocabulary 8,192",
    "sample": "the sample: the earlier model of config/sample.py, two layers, one CPU core",
    "laptop": "the same model on the hundredth, vocabulary 8,192, one CPU core",
}


def read_runs(path):
    """[(what, arguments)] of a file of runs; empty lines and those that begin with # are comments."""
    runs = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            what, _, arguments = line.partition(":")
            try:
                runs.append((what.strip(), shlex.split(arguments)))
                parse_command_line(runs[-1][1])
            except (ValueError, UserError) as error:
                raise UserError(f"{path}, line {number}: {error}") from error
            if not what.strip() or not runs[-1][1]:
                raise UserError(f"{path}, line {number}: not `what it is: arguments of train.py`")
    return runs


def train(what, arguments):
    """Train; the line of the table, or None where train.py failed and printed why."""
    with tempfile.TemporaryDirectory() as folder:
        out_dir = Path(parse_command_line(arguments)[1].get("out_dir", f"{folder}/run"))
        command = [sys.executable, str(ROOT / "train.py"), *arguments, f"--out_dir={out_dir}", "--sample_prompt="]
        print(f"\n{what}: {shlex.join(arguments)}", flush=True)
        if subprocess.run(command).returncode:
            return None
        described = json.loads((out_dir / "config.json").read_text())
        rows = [row for row in read_log(out_dir / "log.csv") if row["val_bpb"]]
    return {
        "what": what,
        **{name: rows[-1][name] for name in ("val_bpb", "val_loss", "tokens")},
        "best_bpb": min((row["val_bpb"] for row in rows), key=float),
        "seconds": round(float(rows[-1]["seconds"]), 1),
        "compiling": described["setup_seconds"],
        "seed": described["options"]["seed"]["value"],
        "options": options_of(described),
        "corpus_tokens": described["corpus"]["splits"]["train"]["tokens"],
        **produced_by(described),
    }


def draw(rows):
    """Bits per byte and seconds of training by what was tried, a panel for each first word of `what`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = {word: [] for word in PANEL_TITLES if any(row["what"].split()[0] == word for row in rows)}
    for row in sorted(rows, key=lambda row: float(row["val_bpb"]), reverse=True):
        panels.setdefault(row["what"].split()[0], []).append(row)
    counts = [len({row["what"] for row in panel}) for panel in panels.values()]
    figure, all_axes = pyplot.subplots(
        len(panels), squeeze=False, figsize=(12, 2 + 0.28 * sum(counts)), height_ratios=[1 + count for count in counts]
    )
    for axes, (word, panel) in zip(all_axes[:, 0], panels.items(), strict=True):
        labels = {row["what"]: row["what"] for row in panel}  # seeds share one
        for what in labels:
            if seconds := [float(row["seconds"]) for row in panel if row["what"] == what and row["seconds"]]:
                labels[what] += f"  ({statistics.mean(seconds):.0f} s)"
        axes.plot([float(row["val_bpb"]) for row in panel], [labels[row["what"]] for row in panel], "o", markersize=4)
        axes.set_title(PANEL_TITLES.get(word, word), fontsize=10, loc="left")
        axes.margins(y=0.6 / len(labels))
        axes.grid(alpha=0.3)
    all_axes[-1, 0].set_xlabel("bits per byte of validation text (in brackets: seconds of training)")
    figure.tight_layout()
    save(figure, PLOT)


def main():
    parser = OptionParser(__doc__)
    parser.add_argument("file", nargs="?", metavar="FILE", help="the runs, one per line")
    options = parser.parse()
    if options.file and not Path(options.file).is_file():
        raise UserError(f"no file {options.file}: write one run per line, `what it is: arguments of train.py`")
    read_table(TABLE, FIELDS)  # a table that no row can be added to is one sentence, before any run
    for what, arguments in read_runs(options.file) if options.file else []:
        row = train(what, arguments)
        if row:
            add(TABLE, FIELDS, row)
            draw(read_table(TABLE, FIELDS))
    rows = read_table(TABLE, FIELDS)
    if not rows:
        raise UserError(f"{TABLE} has no runs yet: name a file of them")
    draw(rows)


if __name__ == "__main__":
    run_script(main)
