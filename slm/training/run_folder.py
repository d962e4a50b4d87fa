"""The folder of a run: config.json, log.csv, loss.png, best.pt, last.pt. One process writes it, one run at a time.

Checkpoints and the plot are written by a thread, from copies, in order; `wait` waits for them. A checkpoint that cannot
be written ends the run; a log or a plot that cannot is reported once and tried again.
"""

import contextlib
import glob
import json
import math
import os
import shlex
import subprocess
import sys
import time
from concurrent import futures
from pathlib import Path

from slm.config import OPTIONS
from slm.errors import UserError, counted, first_line
from slm.files import ROOT, atomic_write, free_name, lock_folder, make_folder, read_json
from slm.models import checkpoint
from slm.training.log import Log, draw_losses
from slm.values import check_values

RUN_FILES = ["best.pt", "log.csv", "loss.png", "config.json", "tensorboard", "last.pt"]
# in config.json: of the first command, and of each resume
BEGAN = ("started", "command", "git_commit", "git_dirty", "versions", "device", "dtype", "processes")
MOVING = ".moving"  # the end of the name of a folder that an earlier run is being moved to


class RunFolder:
    """The folder at `path`, made and locked. Raises UserError where that is impossible."""

    def __init__(self, path, print_line=print):
        self.path, self.print_line = Path(path), print_line
        make_folder(self.path, "give another --out_dir")
        self.lock = lock_folder(self.path, f"another run writes into {self.path}: give another --out_dir, or stop it")
        move_back(self.path)
        self.writer = futures.ThreadPoolExecutor(1, "run folder")
        self.pending = []
        self.log = None
        self.reported = set()

    def begin(self, description, resumed=None):
        """Write config.json and open log.csv; resumed: the TrainState to continue from.

        A new run first moves an earlier one aside. A resumed run keeps a best.pt to which its losses do not compare.
        """
        description = description | {"resumes": []}
        if resumed:
            earlier = read_description(self.path)
            if "options" not in earlier and os.path.lexists(path := self.path / "config.json"):
                path.rename(kept := free_name(path))
                self.print_line(f"kept     {path} as {kept}: no run wrote it, or it is damaged")
                earlier = {}
            description = continue_description(earlier, description, resumed.step)
            if resumed.best == math.inf and (best := self.path / "best.pt").exists():
                best.rename(kept := free_name(best))
                self.print_line(f"kept     {best} as {kept}")
        else:
            self.move_earlier_run()
        with atomic_write(self.path / "config.json") as file:
            file.write(json.dumps(description, indent=2).encode())
        self.log = Log(self.path / "log.csv", resumed.logged if resumed else 0, self.print_line)

    def move_earlier_run(self):
        """Move an earlier run to NAME.1, NAME.2, ... beside the folder, or inside it where that is impossible.

        Of a run that never came to a checkpoint nothing is moved. Raises UserError where another program's files have
        the names of a run's.
        """
        there = [name for name in RUN_FILES if os.path.lexists(self.path / name)]
        if not {"best.pt", "last.pt"} & set(there):
            if there and "options" not in read_description(self.path):
                raise UserError(f"{self.path} holds a {there[0]} that no run wrote: give another --out_dir, or move it")
            return
        beside = self.path.name not in ("", "..") and same_writable_disk(self.path.absolute().parent, self.path)
        for first in [self.path, self.path / "run"] if beside else [self.path / "run"]:
            target, moved = free_name(first), []
            moving = target.with_name(target.name + MOVING)
            make_folder(moving, f"{self.path} holds a run that has no place to move to: give another --out_dir")
            try:
                for name in RUN_FILES:
                    if (self.path / name).exists():
                        (self.path / name).rename(moving / name)
                        moved.append(name)
                os.rename(moving, target)
            except OSError as error:
                move_back(self.path)
                if first is self.path and not moved:  # the folder is a mount point that looks like none
                    continue
                reason = error.strerror or error
                raise UserError(f"cannot move the run in {self.path} to {target}: {reason}") from error
            self.print_line(f"moved    the earlier run in {self.path} to {target}")
            return

    def save(self, name, contents):
        """Write the checkpoint `name` in the background. Nothing may change `contents` afterwards."""
        self.submit(self.save_here, self.path / name, contents)

    def save_here(self, path, contents):
        self.check_place()
        checkpoint.save_checkpoint(path, contents)

    def check_place(self):
        """Raise UserError where the folder's name is now that of another folder, or of none."""
        try:
            if not self.lock or os.path.samestat(os.fstat(self.lock.fileno()), os.stat(self.path / ".lock")):
                return
        except OSError:
            pass
        raise UserError(
            f"{self.path} was moved or removed while the run wrote into it, so the run ends: resume it from the last.pt"
            " in the folder that was moved"
        )

    def add_line(self, line):
        """Add a line, {field: number}, to log.csv."""
        self.raise_failure()
        self.check_place()
        self.log.add(line)
        self.try_to(self.log.flush)

    def draw(self):
        """Draw loss.png in the background."""
        self.submit(self.try_to, draw_losses, list(self.log.rows), self.path / "loss.png", str(self.path))

    def submit(self, function, *arguments):
        self.raise_failure()
        self.pending.append(self.writer.submit(function, *arguments))

    def raise_failure(self):
        """Raise the UserError of a write that failed in the background, once the thread has stopped writing."""
        while self.pending and self.pending[0].done():
            if error := self.pending.pop(0).exception():
                self.writer.shutdown(cancel_futures=True)
                raise error

    def wait(self):
        """Wait until everything is on disk."""
        while self.pending:
            futures.wait(self.pending[:1])
            self.raise_failure()
        if self.log and self.log.unwritten:
            self.try_to(self.log.flush)
        if self.log and self.log.unwritten:
            self.print_line(f"warning: {self.log.path} lacks its last {counted(self.log.unwritten, 'line')}")

    def close(self):
        """Wait until everything is on disk, and unlock the folder."""
        self.wait()
        self.writer.shutdown()
        if self.lock:
            self.lock.close()

    def try_to(self, function, *arguments):
        """Call what must not end a run; its first failure is one line."""
        try:
            function(*arguments)
        except Exception as error:
            name = getattr(function, "__qualname__", function)
            if name not in self.reported:
                self.reported.add(name)
                self.print_line(f"warning: {first_line(error)}; the run goes on and tries again")


def same_writable_disk(parent, folder):
    """Whether a file of `folder` can be renamed into a new folder in `parent`."""
    return os.access(parent, os.W_OK) and os.stat(parent).st_dev == os.stat(folder).st_dev


def move_back(folder):
    """Undo the move of an earlier run that was cut off, in a folder that this process has locked."""
    for parent, name in ((folder.absolute().parent, folder.name), (folder, "run")):
        for moving in parent.glob(f"{glob.escape(name)}.*{MOVING}"):
            with contextlib.suppress(OSError):
                for name in RUN_FILES:
                    if (moving / name).exists() and not (folder / name).exists():
                        (moving / name).rename(folder / name)
                moving.rmdir()


def read_description(folder):
    """The config.json of a run's folder, {} where there is none or a damaged one. Raises UserError."""
    try:
        description = read_json(Path(folder) / "config.json")
        check_values(description, {}, "")
        ids = {name: (str,) for name in ("torchrun_id", "wandb_id") if description.get(name) is not None}
        check_values({"resumes": [], "options": {}} | description, {"resumes": (list,), "options": (dict,)} | ids, "")
        for entry in [*description.get("resumes", []), *description.get("options", {}).values()]:
            check_values(entry, {}, "")
        return description
    except PermissionError as error:
        raise UserError(f"cannot read {folder}/config.json ({error.strerror}): change its permissions") from error
    except (OSError, ValueError, UserError):
        return {}


def continue_description(earlier, description, step):
    """config.json of a run that is resumed at `step`: how it began, what it has now, one more entry in `resumes`.

    earlier: its config.json so far. An option with the value that it had keeps what set it.
    """
    began = {name: earlier[name] for name in BEGAN if name in earlier}
    resume = {"step": step} | {name: description[name] for name in BEGAN if name in description}
    options, was = description.get("options", {}), earlier.get("options", {})
    kept = {
        name: was[name]
        for name, option in options.items()
        if name in was and (name == "init_from" or was[name].get("value") == option["value"])
    }
    return description | began | {"options": options | kept, "resumes": [*earlier.get("resumes", []), resume]}


def describe_run(config, set_by, **more):
    """What produced a run, for config.json: options and what set them, command, code, time, and `more`."""

    def git(*arguments):
        try:
            return subprocess.check_output(["git", *arguments], cwd=ROOT, text=True, stderr=subprocess.DEVNULL).strip()
        except (OSError, subprocess.CalledProcessError):
            return None

    changes = git("status", "--porcelain", "--untracked-files=no")
    return {
        "options": {name: {"value": getattr(config, name), "from": set_by[name]} for name in OPTIONS},
        "command": shlex.join(["python", *sys.argv]),
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **more,
    }
