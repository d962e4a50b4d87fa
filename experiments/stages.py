"""What bench.py measures: each stage of a story's way, beside the plain ways of baselines.py."""

import contextlib
import functools
import itertools
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch

from experiments import baselines
from slm import devices
from slm.files import ROOT
from slm.models import checkpoint, load
from slm.models.generation import generate, prompt_tokens, stream
from slm.text import tokenizer
from slm.training import compilation, snapshot
from slm.training.setup import set_up
from slm.training.train_state import TrainState
from train import Run, configure_optimizer, configure_scaler, make_stepper, take_step

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
    def run(self):
        """train.py's Run, which nobody records."""
        state, silent = TrainState(), SimpleNamespace(progress=SimpleNamespace(step=lambda step: None))
        stepper = make_stepper(self.config, self.setup, state, print)
        self.setup.model.train()
        return Run(self.config, self.setup, state, stepper, silent, None)

    @property
    def stepper(self):
        return self.run.stepper

    def step(self):
        """What train.py's loop does between two reports."""
        take_step(self.run)
        self.stepper.average.update(self.run.state.step)

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
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    speed = setup.batches.tokens_per_step / bench.seconds(bench.step)
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
    tokens = min(setup.evaluate.windows * config.block_size, bench.corpus.tokens["validation"])
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


STAGES = {
    "prepare": bench_prepare,
    "loader": bench_loader,
    "train": bench_train,
    "eval": bench_eval,
    "sample": bench_sample,
    "start": bench_start,
}
