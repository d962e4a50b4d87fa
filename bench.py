"""How fast each stage is on this machine, beside a plain way to do the same: a table, or JSON lines.

    python bench.py config/tinystories_8k.py              all stages, with the recipe's model and prepared corpus
    python bench.py train sample config/tinystories.py    some of them: prepare, loader, train, eval, sample, start
    python bench.py train config/tinystories.py --block_size=256 --micro_batch_size=64      options as train.py's
    python bench.py prepare config/sample.py --json       a line of JSON for each figure

Figures are medians over repeats after a warm-up, with the device's work waited for. The reference of each stage is what
nanoGPT and the tutorial do, short and plain, run in the same process: `datasets.map` with tiktoken and 1,024 shards;
one array copy a sequence; micro-batches of batch_size, whose logits are all there at once; an evaluation of random
batches; generation that computes the whole context for each token. A figure's ratio says how many times better it is.

What was tried and did not pay (config/tinystories.py on an H200, torch 2.11): a residual stream in bfloat16, +1 %;
log_softmax in place of logsumexp in HeadLoss, -3 %; base-2 exponentials there, +2 %; max_autotune_pointwise, +0 %;
max-autotune, minutes of compiling for the same kernels. In a decoding step: attention written as two products, 20 %
slower; the memory-efficient kernel, 3 to 25 % slower; index_put for scatter, the same; going on to the next token while
the last is on its way to the CPU, +5 %.
"""

import contextlib
import functools
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

import checkpoint
import configuration
import devices
import prepare
import tokenizer
from batches import TrainBatches
from configuration import ROOT, UserError, run
from train import Trainer, compiled_model, make_optimizer

REPEATS = 5
SECONDS = 2.0  # that one measurement takes, about
TEXT_BYTES = 2**28  # of the corpus's stories that are prepared again
REFERENCE_TEXT_BYTES = 2**24  # of those that the reference prepares
STORY_TOKENS = 200
PREPARE_AND_SAY_PEAK = (
    "import prepare; prepare.main(); print(*[l for l in open('/proc/self/status') if l.startswith('VmHWM')])"
)


class Bench:
    """What the stages measure with: a recipe's trainer, made ready when a stage first needs it."""

    def __init__(self, config, origins, folder):
        self.folder = folder
        config.out_dir = str(folder / "run")
        self.trainer = Trainer(config, origins)
        self.config, self.origins, self.device = config, origins, self.trainer.device

    @functools.cached_property
    def running(self):
        """The trainer, compiled and with its optimizer, as it is before its first step."""
        self.trainer.settle()
        self.trainer.start()
        self.trainer.raw_model.train()
        return self.trainer

    def seconds(self, work, *arguments):
        """The median seconds of `work(*arguments)`, done often enough to measure."""

        def timed(times):
            self.wait()
            begin = time.perf_counter()
            for _ in range(times):
                work(*arguments)
            self.wait()
            return (time.perf_counter() - begin) / times

        timed(1)  # it may compile
        once = timed(1)
        times = max(1, round(SECONDS / REPEATS / once))
        return once if once > 4 * SECONDS else statistics.median(timed(times) for _ in range(REPEATS))

    def wait(self):
        if self.device.type != "cpu":
            getattr(torch, self.device.type).synchronize()


# -- preparing --------------------------------------------------------------------------------------------------------


def write_stories(corpus, path, text_bytes):
    """Write stories of a prepared corpus to a parquet file, so many bytes of text at most; how many bytes it got."""
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


def prepare_as_nanogpt_does(source, target):
    """Tokenize with datasets.map, and write the ids to a memory map in 1,024 shards."""
    import datasets

    encoding = tokenizer.gpt2()

    def encode(row):
        ids = [*encoding.encode_ordinary(row["text"]), encoding.eot_token]
        return {"ids": ids, "len": len(ids)}

    datasets.disable_progress_bars()
    rows = datasets.load_dataset("parquet", data_files=str(source), split="train", cache_dir=target.parent / "cache")
    rows = rows.map(encode, remove_columns=["text"], num_proc=os.cpu_count())
    tokens = np.memmap(target, np.uint16, "w+", shape=(sum(rows["len"]),))
    shards, place = min(1024, len(rows)), 0
    for shard in range(shards):
        batch = rows.shard(num_shards=shards, index=shard, contiguous=True).with_format("numpy")
        ids = np.concatenate(batch["ids"])
        tokens[place : place + len(ids)] = ids
        place += len(ids)
    tokens.flush()


def bench_prepare(bench):
    folder = bench.folder / "stories"
    folder.mkdir()
    size = write_stories(bench.trainer.corpus, folder / "train.parquet", TEXT_BYTES)
    write_stories(bench.trainer.corpus, folder / "validation.parquet", 2**16)
    recipe = {"source": str(folder), "text_column": "text", "vocab_size": tokenizer.GPT2_VOCAB_SIZE}
    threads = os.cpu_count()
    speed = size / 1e6 / bench.seconds(prepare.prepare, recipe, bench.folder / "prepared", threads)

    reference = None
    with contextlib.suppress(ImportError):
        part = bench.folder / "part.parquet"
        part_size = write_stories(bench.trainer.corpus, part, REFERENCE_TEXT_BYTES)
        begin = time.perf_counter()
        prepare_as_nanogpt_does(part, bench.folder / "reference.bin")
        reference = part_size / 1e6 / (time.perf_counter() - begin)
        ours = np.fromfile(bench.folder / "prepared" / "train.bin", np.uint16)
        theirs = np.fromfile(bench.folder / "reference.bin", np.uint16)
        if not np.array_equal(ours[: len(theirs)], theirs):
            raise AssertionError("prepare.py and the reference disagree")
    yield "text, MB/s", speed, reference

    if Path("/proc/self/status").exists():  # Linux's; `getrusage` counts what this process had before it started one
        (bench.folder / "data").mkdir()
        command = [sys.executable, "-c", PREPARE_AND_SAY_PEAK, "--dataset", str(folder), "--name", "bench"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        said = subprocess.check_output(command, cwd=bench.folder, env=environment, text=True, stderr=subprocess.DEVNULL)
        yield "peak memory, MiB", int(said.split()[-2]) / 2**10, None


# -- loading and training ---------------------------------------------------------------------------------------------


def one_copy_a_sequence(path, sequences, block_size, device):
    """A random batch as nanoGPT makes it."""
    tokens = np.memmap(path, np.uint16, "r")
    starts = torch.randint(len(tokens) - block_size, (sequences,))
    idx = torch.stack([torch.from_numpy(tokens[i : i + block_size].astype(np.int64)) for i in starts])
    targets = torch.stack([torch.from_numpy(tokens[i + 1 : i + 1 + block_size].astype(np.int64)) for i in starts])
    if device.type == "cuda":
        return idx.pin_memory().to(device, non_blocking=True), targets.pin_memory().to(device, non_blocking=True)
    return idx.to(device), targets.to(device)


def bench_loader(bench):
    trainer, config = bench.trainer, bench.config
    path, sequences = trainer.corpus.path("train"), config.sequences_per_step
    batches = TrainBatches(path, config.block_size, sequences, config.seed, trainer.device)
    numbers = iter(range(10**9))
    tokens = sequences * config.block_size
    seconds = bench.seconds(lambda: batches[next(numbers)])
    reference = bench.seconds(one_copy_a_sequence, path, sequences, config.block_size, trainer.device)
    yield "tokens/s", tokens / seconds, tokens / reference


def bench_train(bench):
    trainer, config, cuda = bench.running, bench.config, bench.device.type == "cuda"
    tokens = config.sequences_per_step * config.block_size
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    speed = tokens / bench.seconds(trainer.optimizer_step)
    peak = torch.cuda.max_memory_reserved() / 2**30 if cuda else None
    flops, ceiling = speed * trainer.raw_model.flops_per_token(), devices.peak_flops(trainer.device, trainer.dtype)

    # the plain loop on the same parameters
    model = compiled_model(trainer.raw_model) if trainer.compile else trainer.raw_model
    optimizer = make_optimizer(trainer.raw_model, config, trainer.device)
    scaler = torch.amp.GradScaler(trainer.device.type, enabled=trainer.half)

    def plain_step():
        for _ in range(config.gradient_accumulation_steps):
            batch = trainer.corpus.path("train"), config.batch_size, config.block_size, trainer.device
            idx, targets = one_copy_a_sequence(*batch)
            with trainer.context():
                logits, _ = model(idx, targets)
                loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten()) / config.gradient_accumulation_steps
            scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(trainer.raw_model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    if cuda:
        trainer.replay = None  # and with it the memory that a captured step keeps
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    reference = tokens / bench.seconds(plain_step)
    yield f"tokens/s, micro-batch {trainer.micro_batch}", speed, reference
    yield "TFLOP/s", flops / 1e12, None
    if ceiling:
        yield "MFU, %", 100 * flops / ceiling, None
    if cuda:
        yield "peak memory, GiB", peak, torch.cuda.max_memory_reserved() / 2**30
    if trainer.compile:
        yield "compiling, s", trainer.seconds_to_settle, None


@torch.no_grad()
def bench_eval(bench):
    trainer, config = bench.running, bench.config
    windows = config.eval_iters * config.batch_size * config.block_size  # 0: the whole split
    tokens = min(windows or math.inf, trainer.corpus.tokens["validation"])
    speed = tokens / bench.seconds(trainer.validate)
    model, batches = trainer.model, 20
    batch = trainer.corpus.path("validation"), config.batch_size, config.block_size, trainer.device

    def random_batches():
        for _ in range(batches):
            with trainer.context():
                idx, targets = one_copy_a_sequence(*batch)
                logits, _ = model(idx, targets)
                F.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()

    model.eval()
    seconds = bench.seconds(random_batches)
    model.train()
    yield "tokens/s", speed, batches * config.batch_size * config.block_size / seconds


# -- sampling and starting --------------------------------------------------------------------------------------------


@torch.inference_mode()
def generate_without_a_cache(model, prompts, count):
    idx = prompts
    for _ in range(count):
        logits, _ = model(idx[:, -model.config.block_size :])
        logits = logits[:, -1] / 0.8
        logits[logits < logits.topk(min(200, logits.size(-1))).values[:, -1:]] = -torch.inf
        idx = torch.cat([idx, torch.multinomial(logits.float().softmax(-1), 1)], dim=1)
    return idx.tolist()


def seconds_between_tokens(stream):
    """The median seconds between two steps of `stream()`, done REPEATS times."""
    times = [[time.perf_counter() for _ in stream()] for _ in range(REPEATS)]
    return statistics.median(after - before for told in times for before, after in itertools.pairwise(told))


def bench_sample(bench):
    trainer, device = bench.trainer, bench.trainer.device
    contents = {"model_config": vars(trainer.model_config), "model": trainer.raw_model.state_dict()}
    model = checkpoint.build_model(contents).to(device, trainer.dtype).eval()
    prompt = [trainer.encoding.eot_token, *trainer.encoding.encode_ordinary("Once upon a time")]
    generator = torch.Generator(device)
    for stories in (1, 8, 64):
        told = {"prompts": [prompt] * stories, "max_new_tokens": STORY_TOKENS, "temperature": 0.8, "top_k": 200}
        ours = bench.seconds(functools.partial(model.generate, generator=generator, **told))
        streaming = seconds_between_tokens(functools.partial(model.stream, generator=generator, **told))
        prompts = torch.tensor([prompt] * stories, device=device)
        plain = stories * STORY_TOKENS / bench.seconds(generate_without_a_cache, model, prompts, STORY_TOKENS)
        name = "a story" if stories == 1 else f"{stories} stories at once"
        yield f"tokens/s, {name}, from prompt to end", stories * STORY_TOKENS / ours, plain
        yield f"tokens/s, {name}, while streaming", stories / streaming, None


def seconds_until(text, command, folder):
    """Seconds from the start of a process until its standard output contains `text`."""
    begin = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        said = b""
        while text not in said:
            part = os.read(process.stdout.fileno(), 4096)
            if not part:
                raise RuntimeError(f"{' '.join(command)} ended without saying {text!r}: {said!r}")
            said += part
        seconds = time.perf_counter() - begin
        process.kill()
    return seconds


def bench_start(bench):
    trainer = bench.trainer
    trainer.out_dir.mkdir(exist_ok=True)
    checkpoint.save(trainer.out_dir / "best.pt", trainer.snapshot())
    sample = [sys.executable, str(ROOT / "sample.py"), "--out_dir", str(trainer.out_dir), "--prompt"]
    torch_alone = statistics.median(
        seconds_until(b"x", [sys.executable, "-c", "import torch; print('x')"], ROOT) for _ in range(3)
    )
    # the prompt is printed with the first token
    first_token = statistics.median(seconds_until(b"Once", [*sample, "Once"], ROOT) for _ in range(3))
    yield "sample.py to its first token, s (reference: import torch)", first_token, torch_alone
    options = {name: getattr(bench.config, name) for name, origin in bench.origins.items() if origin != "default"}
    options |= {
        "max_iters": 1,
        "warmup_iters": 1,
        "lr_decay_iters": 0,
        "eval_iters": 1,
        "out_dir": bench.folder / "start",
    }
    train = [sys.executable, str(ROOT / "train.py"), *(f"--{name}={value}" for name, value in options.items())]
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(bench.folder / "another cache")
    yield "train.py ready for its first step, compiled, s", seconds_until(b"\nstep ", train, Path.cwd()), None


STAGES = {
    "prepare": bench_prepare,
    "loader": bench_loader,
    "train": bench_train,
    "eval": bench_eval,
    "sample": bench_sample,
    "start": bench_start,
}


def number(value):
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main():
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print(f"{__doc__}\n{configuration.help_text()}")
        return
    stages = [argument for argument in arguments if argument in STAGES] or list(STAGES)
    as_json = "--json" in arguments
    first = arguments[0] if arguments else "--"
    if not first.startswith("--") and not first.endswith(".py") and first not in STAGES:
        raise UserError(f"no stage {first}{configuration.nearest(first, STAGES)}; there are {', '.join(STAGES)}")
    path, chosen = configuration.read_command_line([a for a in arguments if a not in STAGES and a != "--json"])
    layers = [(path, configuration.read_file(path))] if path else []
    config, origins = configuration.combine(*layers, ("command line", chosen))
    if config.init_from != "scratch" or config.eval_only:
        raise UserError("bench.py measures a new model: leave init_from and eval_only out")
    config.check()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("bench.py measures one process: start it without torchrun")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/cache"  # compiling is measured, so nothing may be there yet
        with contextlib.redirect_stdout(sys.stderr):
            bench = Bench(config, origins, Path(folder))
            device = devices.describe(bench.trainer.device)
            precision = devices.dtype_name(bench.trainer.dtype)
        if not as_json:
            print(f"{device}, {precision}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}\n")
            print(f"{'':9}{'':58}{'here':>12}{'reference':>12}{'ratio':>8}")
        for stage in stages:
            with contextlib.redirect_stdout(sys.stderr):
                figures = list(STAGES[stage](bench))
            for what, value, reference in figures:
                ratio = value / reference if reference else None
                if as_json:
                    where = {"device": device, "dtype": precision, "torch": torch.__version__}
                    figure = {"stage": stage, "what": what, "value": value, "reference": reference, "ratio": ratio}
                    print(json.dumps(figure | where), flush=True)
                else:
                    print(f"{stage:9}{what:58}{number(value):>12}{number(reference):>12}{number(ratio):>8}", flush=True)


if __name__ == "__main__":
    run(main)
