"""How fast each stage is on this machine, beside plain ways to do the same: a table, or JSON lines.

    python bench.py                                       all stages, on the corpus that was prepared last
    python bench.py config/tinystories_8k.py              the same with a recipe's model and prepared corpus
    python bench.py train sample config/tinystories.py    some of them: prepare, loader, train, eval, sample, start
    python bench.py train config/tinystories.py --block_size=256 --micro_batch_size=64      options as train.py's
    python bench.py prepare config/sample.py --json       a line of JSON for each figure
    torchrun --standalone --nproc_per_node=2 bench.py train config/tinystories_8k.py        several GPUs, no baselines

Figures are medians over repeats after a warm-up, and include the device's work. Two baselines run in the same process:
"plain" is what nanoGPT and the tutorial do as they are configured (datasets.map with tiktoken and 1,024 shards; an
array copy a sequence; micro-batches of batch_size; random evaluation batches; generation without a cache), "tuned" is
the same with micro-batches as large as a GPU likes. A ratio says how many times better this program is. What a
measurement leaves out, its name says. Of train.py's options, init_from and eval_only have no meaning here.
"""

import slm.interrupt  # noqa: F401 - first: Ctrl-C during the other imports is a line

# isort: split

import contextlib
import functools
import itertools
import json
import math
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from experiments import baselines
from slm import commands, devices
from slm.config import OPTIONS, merge_config
from slm.config_parser import command_line_layers
from slm.errors import UserError, did_you_mean, print_note, run_script
from slm.files import ROOT
from slm.models import checkpoint, load
from slm.models.generation import generate, prompt_tokens, stream
from slm.options import terminal_width, wrap_doc
from slm.terminal import terminal_columns
from slm.text import tokenizer
from slm.text.corpus import Corpus
from slm.training import compilation, snapshot
from slm.training.setup import set_up
from slm.training.train_state import TrainState
from train import configure_optimizer, configure_scaler, make_stepper

REPEATS = 5
STARTS = 3  # of a process whose start is measured
SECONDS = 2.0  # that one measurement takes, about
TEXT_BYTES = 2**26  # of the corpus's stories that are prepared again
STORY_TOKENS = 200
TUNED_TOKENS = 65536  # of a micro-batch of the tuned baseline
PREPARE_AND_PRINT_PEAK = (
    "import prepare; prepare.main(); print(*[l for l in open('/proc/self/status') if l.startswith('VmHWM')])"
)


class Figure(NamedTuple):
    """One line of the table; plain, tuned: the baselines' values, None where there is none."""

    what: str
    value: float
    plain: float | None = None
    tuned: float | None = None


class Bench:
    """What the stages share: the model and corpus of a recipe, and a stopwatch."""

    def __init__(self, config, set_by, folder, group=None):
        self.config, self.set_by, self.folder = config, set_by, folder
        self.setup = set_up(config, set_by, None, group)
        self.device, self.dtype, self.corpus = self.setup.device, self.setup.dtype, self.setup.corpus

    @functools.cached_property
    def stepper(self):
        stepper = make_stepper(self.config, self.setup, TrainState(), print)
        self.setup.model.train()
        return stepper

    def seconds(self, work):
        """The median seconds of `work()`, repeated often enough to measure."""

        def timed(times):
            devices.synchronize(self.device)
            begin = time.perf_counter()
            for _ in range(times):
                work()
            devices.synchronize(self.device)
            return (time.perf_counter() - begin) / times

        timed(1)  # it may compile
        # all processes repeat as often as the slowest
        once = self.setup.group.all_reduce([timed(1)], torch.distributed.ReduceOp.MAX)[0]
        times = max(1, round(SECONDS / REPEATS / once))
        return once if once > 4 * SECONDS else statistics.median(timed(times) for _ in range(REPEATS))


# -- the stages -------------------------------------------------------------------------------------------------------


def write_stories(corpus, path, text_bytes):
    """Write stories of a prepared corpus to a parquet file, at most so many bytes of text; how many it got."""
    import pyarrow
    import pyarrow.parquet

    encoding = tokenizer.from_text(corpus.tokenizer_text)
    stories, size = [], 0
    for ids in corpus.stories("train"):
        text = encoding.decode(ids.tolist())
        more = len(text.encode())
        if stories and size + more > text_bytes:
            break
        stories.append(text)
        size += more
    pyarrow.parquet.write_table(pyarrow.table({"text": stories}), path)
    return size


def bench_prepare(bench):
    source = bench.folder / "stories"
    source.mkdir()
    size = write_stories(bench.corpus, source / "train.parquet", TEXT_BYTES)
    write_stories(bench.corpus, source / "validation.parquet", 2**16)
    (bench.folder / "data").mkdir()
    command = [sys.executable, str(ROOT / "prepare.py"), "--dataset", str(source), "--name", "bench", "--force"]
    command += ["--vocab_size", "gpt2"]  # which the baseline takes
    run = functools.partial(subprocess.run, cwd=bench.folder, check=True, capture_output=True)
    seconds = bench.seconds(lambda: run(command))
    plain = None
    with contextlib.suppress(ImportError):
        begin = time.perf_counter()
        baselines.prepare_with_datasets(source / "train.parquet", bench.folder / "plain.bin")
        plain = size / 1e6 / (time.perf_counter() - begin)
        ours, theirs = (np.fromfile(bench.folder / p, np.uint16) for p in ("data/bench/train.bin", "plain.bin"))
        if not np.array_equal(ours, theirs):
            raise AssertionError("prepare.py and the baseline disagree")
    yield Figure(f"the whole command on {size / 1e6:.0f} MB, MB/s", size / 1e6 / seconds, plain)
    if Path("/proc/self/status").exists():  # Linux; `getrusage` counts what this process had before it started one
        peak = run([sys.executable, "-c", PREPARE_AND_PRINT_PEAK, *command[2:]], env=os.environ | {"PYTHONPATH": ROOT})
        yield Figure("peak memory, MiB", int(peak.stdout.split()[-2]) / 2**10)


def bench_loader(bench):
    config, batches, path = bench.config, bench.setup.batches, bench.corpus.path("train")
    sequences, tokens = config.sequences_per_step, batches.tokens_per_step
    numbers = itertools.count(step=sequences)
    seconds = bench.seconds(lambda: batches[next(numbers)])
    plain = bench.seconds(lambda: baselines.random_batch(path, sequences, config.block_size, bench.device))
    yield Figure("tokens/s", tokens / seconds, tokens / plain)


def bench_train(bench):
    stepper, setup, config, cuda = bench.stepper, bench.setup, bench.config, bench.device.type == "cuda"
    numbers = itertools.count(step=config.sequences_per_step)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    speed = setup.batches.tokens_per_step / bench.seconds(lambda: stepper.run(setup.batches[next(numbers)]))
    memory = torch.cuda.max_memory_reserved() / 2**30 if cuda else None
    flops = speed * setup.model.flops_per_token() / setup.group.world_size
    ceiling = devices.peak_flops(bench.device, bench.dtype)

    def baseline(micro_batch):
        if torch.distributed.is_torchelastic_launched():
            return None
        model = compilation.compile_model(setup.model) if setup.compiled else setup.model
        optimizer = configure_optimizer(setup.model, config, bench.device)
        scaler = configure_scaler(bench.device, bench.dtype)
        path = bench.corpus.path("train")
        sequences = micro_batch * max(1, config.sequences_per_step // micro_batch)
        try:
            seconds = bench.seconds(
                lambda: baselines.plain_step(
                    model, optimizer, scaler, path, sequences, micro_batch, config.block_size, bench.dtype, bench.device
                )
            )
        except torch.OutOfMemoryError:
            return None
        return sequences * config.block_size / seconds

    stepper.close()  # and with it the memory that a captured step holds
    devices.empty_cache(bench.device)
    plain = baseline(min(config.batch_size, config.sequences_per_step))
    tuned = baseline(min(TUNED_TOKENS // config.block_size, config.sequences_per_step)) if cuda else None
    several = f", {setup.group.world_size} {'GPUs' if cuda else 'processes'}" if setup.group.world_size > 1 else ""
    yield Figure(f"tokens/s, micro-batch {stepper.micro_batch}{several}", speed, plain, tuned)
    yield Figure("TFLOP/s", flops / 1e12)
    if ceiling:
        yield Figure("MFU, %", 100 * flops / ceiling)
    if cuda:
        yield Figure("peak memory, GiB", memory)
    if setup.compiled:
        yield Figure("compiling, s", stepper.setup_seconds)
    if setup.group.world_size > 1:
        yield from sum_of_gradients(bench)


def sum_of_gradients(bench):
    """The sum over the processes that ends each step, alone; captured where a step is, so no launch is measured."""
    group, parameters = bench.setup.group, list(bench.setup.model.parameters())
    gradients = [torch.zeros_like(parameter) for parameter in parameters]  # a captured sum reads them in place

    def run(_):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        group.sum_gradients(parameters)

    captured = bench.config.cuda_graph and bench.device.type == "cuda"
    if captured:
        run = compilation.CapturedStep(run, group.all, lambda: None, print)
    nothing = torch.zeros((), device=bench.device)
    seconds = bench.seconds(lambda: run(nothing))
    if captured:
        run.close()
    bench.setup.model.zero_grad()
    size = sum(gradient.nbytes for gradient in gradients)
    yield Figure("sum of gradients, MB", size / 1e6)
    yield Figure("sum of gradients, ms", 1e3 * seconds)
    yield Figure("sum of gradients, GB/s", size / 1e9 / seconds)


def bench_eval(bench):
    config, stepper, setup = bench.config, bench.stepper, bench.setup
    windows = config.eval_iters * config.batch_size * config.block_size  # 0: the whole split
    tokens = min(windows or math.inf, bench.corpus.tokens["validation"])
    seconds = bench.seconds(lambda: setup.evaluate(setup.model, stepper.micro_batch))  # as train.py does, uncompiled
    path, batches = bench.corpus.path("validation"), 20

    def baseline(batch_size):
        work = functools.partial(
            baselines.random_evaluation,
            *(stepper.model, path, batches, batch_size, config.block_size, bench.dtype, bench.device),
        )
        return batches * batch_size * config.block_size / bench.seconds(work)

    setup.model.eval()
    plain = baseline(config.batch_size)
    tuned = baseline(TUNED_TOKENS // config.block_size) if bench.device.type == "cuda" else None
    setup.model.train()
    yield Figure("tokens/s", tokens / seconds, plain, tuned)


def bench_sample(bench):
    parameters = {name: tensor.cpu() for name, tensor in bench.setup.model.state_dict().items()}
    contents = {"model_config": vars(bench.setup.model.config), "model": parameters}
    model = load.build_model(contents).to(bench.device, bench.dtype).eval()
    encoding = tokenizer.from_text(bench.corpus.tokenizer_text)
    prompt = prompt_tokens(encoding, "Once upon a time")
    options = {"temperature": 0.8, "top_k": 200, "generator": torch.Generator()}
    for stories in (1, 8, 64):
        prompts = [prompt] * stories
        whole = bench.seconds(lambda prompts=prompts: generate(model, prompts, STORY_TOKENS, **options))
        runs = [stream(model, prompts, STORY_TOKENS, **options) for _ in range(REPEATS)]
        times = [[time.perf_counter() for _ in run] for run in runs]
        between = statistics.median(after - before for run in times for before, after in itertools.pairwise(run))
        idx = torch.tensor(prompts, device=bench.device)
        plain = bench.seconds(lambda idx=idx: model.generate(idx, STORY_TOKENS, temperature=0.8, top_k=200))
        name = "a story" if stories == 1 else f"{stories} stories at once"
        yield Figure(f"tokens/s, {name}, whole", stories * STORY_TOKENS / whole, stories * STORY_TOKENS / plain)
        yield Figure(f"tokens/s, {name}, between two tokens", stories / between)


def seconds_until(text, command, folder):
    """Seconds from the start of a process until its standard output contains `text`."""
    begin = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        output = b""
        while text not in output:
            part = os.read(process.stdout.fileno(), 4096)
            if not part:
                raise RuntimeError(f"{' '.join(command)} ended without printing {text!r}: {output!r}")
            output += part
        seconds = time.perf_counter() - begin
        process.kill()
    return seconds


def bench_start(bench):
    run = bench.folder / "run"
    run.mkdir()
    contents = snapshot.model_contents(bench.setup.model, bench.config, TrainState(), bench.corpus, "scratch")
    checkpoint.save_checkpoint(run / "best.pt", contents)
    sample = [sys.executable, str(ROOT / "sample.py"), "--model", str(run), "--prompt", "Once"]
    import_torch = [sys.executable, "-c", "import torch; print('x')"]
    torch_alone = statistics.median(seconds_until(b"x", import_torch, ROOT) for _ in range(STARTS))
    first_token = statistics.median(seconds_until(b"Once", sample, ROOT) for _ in range(STARTS))
    yield Figure("sample.py to its first token, s (plain: import torch)", first_token, torch_alone)
    options = {name: getattr(bench.config, name) for name, source in bench.set_by.items() if source != "default"}
    options |= {"max_iters": 1, "warmup_iters": 1, "lr_decay_iters": 0, "eval_iters": 1, "out_dir": run / "start"}
    train = [sys.executable, str(ROOT / "train.py"), *(f"--{name}={value}" for name, value in options.items())]
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(bench.folder / "another cache")
    yield Figure("train.py to its first step, compiled, s", seconds_until(b"\nstep ", train, Path.cwd()))


# -- the table --------------------------------------------------------------------------------------------------------

STAGES = {
    "prepare": bench_prepare,
    "loader": bench_loader,
    "train": bench_train,
    "eval": bench_eval,
    "sample": bench_sample,
    "start": bench_start,
}


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
    if {"-h", "--help"} & set(sys.argv[1:]):
        names = ", ".join(name for name in OPTIONS if name not in ("init_from", "eval_only"))
        text = f"{__doc__}\noptions:\n\n  --json      a line of JSON for each figure\n  train.py's  {names}"
        print(wrap_doc(text, terminal_width()))
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
    run_script(main)
