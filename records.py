"""What a run leaves on disk besides its checkpoints: log.csv, loss.png and config.json, and files that are whole."""

import contextlib
import csv
import functools
import os
import shlex
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from configuration import OPTIONS, ROOT, UserError

RUN_FILES = ["best.pt", "last.pt", "log.csv", "loss.png", "config.json", "tensorboard"]
LOG_FIELDS = ["step", "tokens", "seconds", "train_loss", "val_loss", "val_bpb", "lr", "grad_norm"]


@contextlib.contextmanager
def replacing(path):
    """Open `path` for binary writing so that, whenever the machine stops, its name holds all the old or all the new.

    The bytes go to `path` + `.partial`, reach the disk, and only then take the name. An error removes them and leaves
    the old file as it was; a full disk is a UserError.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error
        raise


class Log:
    """log.csv: a line every log_interval steps and at each validation; a field that was not measured is empty."""

    def __init__(self, path, last_step):
        """Open the file; of an earlier run's lines those up to `last_step` stay."""
        self.path = path
        self.rows = [row for row in read_log(path) if int(row["step"]) <= last_step] if last_step else []
        with replacing(path) as file:
            lines = [",".join(LOG_FIELDS), *(",".join(row[name] for name in LOG_FIELDS) for row in self.rows)]
            file.write(("\n".join(lines) + "\n").encode())

    def add(self, line):
        """Append a line, {field: number}."""
        exact = {name: str(line[name]) for name in ("step", "tokens")}
        row = {name: f"{line[name]:.7g}" if name in line else "" for name in LOG_FIELDS} | exact
        self.rows.append(row)
        try:
            with open(self.path, "a", newline="") as file:
                file.write(",".join(row.values()) + "\n")
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error

    def draw(self, path):
        """Draw the losses over the steps as a PNG."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(8, 5))
        for name, style in (("train_loss", "-"), ("val_loss", "o-")):
            points = [(int(row["step"]), float(row[name])) for row in self.rows if row[name]]
            if points:
                axes.plot(*zip(*points, strict=True), style, label=name.replace("_", " "), markersize=4, linewidth=1.2)
        axes.set(xlabel="optimizer step", ylabel="loss, nats a token", title=str(path.parent))
        axes.grid(alpha=0.3)
        axes.legend()
        with replacing(path) as file:
            figure.savefig(file, dpi=120, format="png")
        pyplot.close(figure)


def read_log(path):
    """The rows of a log.csv, as dicts of text; lines that a crash cut off are left out."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if None not in row.values() and row.get("step", "").isdigit()]


def provenance(config, origins, **more):
    """What produced a run, for config.json: options and where they are from, command, code, time, and `more`."""

    def git(*arguments):
        try:
            return subprocess.check_output(["git", *arguments], cwd=ROOT, text=True, stderr=subprocess.DEVNULL).strip()
        except (OSError, subprocess.CalledProcessError):
            return None

    changes = git("status", "--porcelain", "--untracked-files=no")
    return {
        "options": {name: {"value": getattr(config, name), "from": origins[name]} for name in OPTIONS},
        "command": shlex.join(["python", *sys.argv]),
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **more,
    }


def move_aside(folder):
    """Keep an earlier run: move its files from `folder` to the first free NAME.1, NAME.2, ... and say so."""
    if any((folder / name).exists() for name in ("best.pt", "last.pt")):
        number = next(n for n in range(1, sys.maxsize) if not folder.with_name(f"{folder.name}.{n}").exists())
        kept = folder.with_name(f"{folder.name}.{number}")
        kept.mkdir()
        for name in RUN_FILES:
            if (folder / name).exists():
                (folder / name).rename(kept / name)
        print(f"{folder} held a run: it is now in {kept}")


def start_trackers(config):
    """Where the log goes besides log.csv, as `config` asks: objects with `log({name: number}, step)`."""
    wanted = ((config.wandb_log, start_wandb), (config.tensorboard_log, TensorBoard))
    return [start(config) for asked, start in wanted if asked]


def start_wandb(config):
    try:
        import wandb
    except ImportError as error:
        raise UserError("wandb_log needs the package wandb: pip install wandb") from error
    return wandb.init(project=config.wandb_project, name=config.wandb_run_name or config.out_dir, config=asdict(config))


class TensorBoard:
    """The log as TensorBoard shows it, a folder under out_dir/tensorboard for each start of the run."""

    def __init__(self, config):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError("tensorboard_log needs the package tensorboard: pip install tensorboard") from error
        self.make, self.folder = SummaryWriter, f"{config.out_dir}/tensorboard/{time.strftime('%Y-%m-%d_%H-%M-%S')}"

    @functools.cached_property
    def writer(self):
        """Made with the first line, when an earlier run's files have moved aside."""
        return self.make(self.folder)

    def log(self, line, step):
        for name, value in line.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()
