"""Where the time goes from train.py's command to the prompt: the seconds of each part, with nothing compiled and again.

    python -m experiments.start config/tinystories_8k.py --max_iters=60       any arguments of train.py but out_dir

The first run finds an empty compile cache, the second one the cache that the first one left. train.py runs as a user
runs it; the parts are functions of it that this script wraps. What the compiler did are its own counters, of which one
may contain another. The folder that the runs write is temporary. The disk may have read PyTorch before: the first line
says what `import torch` alone takes.
"""

import contextlib
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from slm.config import merge_config
from slm.config_parser import command_line_layers
from slm.errors import UserError, run_script
from slm.files import ROOT
from slm.options import asks_for_help

COMMAND_BEGAN = "START_COMMAND_BEGAN"  # the environment variable with the time at which the parent started a run
FIRST_STEP = "first step done"
PARTS = {  # module: {function: what the table calls it}, in which order they happen
    "train": {
        "join_processes": "join the processes",
        "set_up": "set up",
        "Recorder": "lock the folder, print the header",
        "make_stepper": "make the steps",
        "report": "report",
        "finish": "wait for the files",
    },
    "slm.training.setup": {"Corpus": "open the corpus"},
    "slm.text.corpus": {"Corpus.verify": "read all tokens"},
    "slm.training.resume": {"initial_model": "make the model"},
    "slm.training.compilation": {"import_compiler": "import the compiler", "capture_cuda_graph": "capture"},
    "slm.training.micro_batch": {"find": "compile, and find the micro-batch"},
    "slm.training.evaluation": {"Evaluator.__call__": "validation"},
    "slm.training.recorder": {"Recorder.validation": "checkpoints, curve, story", "Recorder.begin": "open the folder"},
}
COUNTERS = {
    "bytecode_tracing": "Dynamo",
    "aot_trace_joint_graph": "joint graph",
    "compile_fx.<locals>.fw_compiler_base": "Inductor, forward",
    "compile_fx.<locals>.bw_compiler": "Inductor, backward",
}


class Clock:
    """Seconds of parts, which may contain each other: `parts` is {path of names: [seconds, calls]}."""

    def __init__(self, began):
        self.began, self.parts, self.path = began, {}, ()

    @contextlib.contextmanager
    def part(self, name):
        self.path, begin = (*self.path, name), time.time()
        entry = self.parts.setdefault(self.path, [0.0, 0])
        try:
            yield
        finally:
            entry[0] += time.time() - begin
            entry[1] += 1
            self.path = self.path[:-1]

    def mark(self, name):
        """The seconds from the command to now."""
        self.parts[(name,)] = [time.time() - self.began, 0]

    def watch(self, owner, name, title):
        """Count what a function of a module, or a method, takes."""
        *classes, name = name.split(".")
        for class_name in classes:
            owner = getattr(owner, class_name)
        function = getattr(owner, name)

        @functools.wraps(function, updated=())
        def timed(*arguments, **options):
            with self.part(title):
                return function(*arguments, **options)

        setattr(owner, name, timed)


def child(path, *arguments):
    """In another process: train.py with these arguments, then its parts as JSON into a file."""
    clock = Clock(float(os.environ[COMMAND_BEGAN]))
    clock.mark("Python began")
    with clock.part("import torch"):
        import torch
    with clock.part("import train.py"):
        import train
    for module, functions in PARTS.items():
        for name, title in functions.items():
            clock.watch(importlib.import_module(module), name, title)
    take_step = train.take_step

    def first_step(run):
        with clock.part("first step"):
            take_step(run)
            if run.setup.device.type == "cuda":
                torch.cuda.synchronize()
        clock.mark(FIRST_STEP)
        train.take_step = take_step

    train.take_step = first_step
    sys.argv = ["train.py", *arguments]
    run_script(train.main)
    clock.mark("train.py ends")
    counted = getattr(sys.modules.get("torch._dynamo.utils"), "compilation_time_metrics", {})
    for name, title in COUNTERS.items():
        if name in counted:
            clock.parts["the compiler's counters", title] = [sum(counted[name]), len(counted[name])]
    Path(path).write_text(json.dumps([[*names, *entry] for names, entry in clock.parts.items()]))


def measure(arguments, cache):
    """{path of names: (seconds, calls)} of one command, with its compiled code in the folder `cache`."""
    with tempfile.TemporaryDirectory() as folder:
        caches = {"TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor", "TRITON_CACHE_DIR": f"{cache}/triton"}
        code = "import sys; sys.path[0] = sys.argv[1]; from experiments.start import child; child(*sys.argv[2:])"
        began = time.time()
        result = subprocess.run(
            [sys.executable, "-c", code, str(ROOT), f"{folder}/parts.json", *arguments, f"--out_dir={folder}/out"],
            env=os.environ | caches | {COMMAND_BEGAN: str(began)},
            stdout=subprocess.DEVNULL,
        )
        if result.returncode:
            raise UserError(f"train.py failed with status {result.returncode}, so nothing is measured")
        rows = json.loads(Path(folder, "parts.json").read_text())
        rows.append(["the prompt is back", time.time() - began, 0])
    return {tuple(names): (seconds, calls) for *names, seconds, calls in rows}


def main():
    if asks_for_help(__doc__):
        return
    merge_config(*command_line_layers(sys.argv[1:]))[0].check()
    begin = time.time()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    print(f"import torch alone {time.time() - begin:.1f} s", flush=True)
    with tempfile.TemporaryDirectory() as cache:
        runs = {what: measure(sys.argv[1:], cache) for what in ("empty cache", "full cache")}
    print(f"{'':46}" + "".join(f"{what:>14}" for what in runs))
    for path in dict.fromkeys(path for run in runs.values() for path in run):
        cells = [f"{run[path][0]:14.2f}" if path in run else " " * 14 for run in runs.values()]
        calls = next(run[path][1] for run in runs.values() if path in run)
        name = "  " * len(path[:-1]) + path[-1] + (f", {calls} times" if calls > 1 else "")
        print(f"{name if calls else name.upper():46}" + "".join(cells))


if __name__ == "__main__":
    run_script(main)
