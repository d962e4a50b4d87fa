"""What a run prints: its header, a line or a bar as it goes, stories, and how it ended."""

import contextlib
import math
import os
import sys
import time

import torch
from tqdm import tqdm

from slm import devices
from slm.config import SHORTENED_WARMUP
from slm.errors import counted, printable
from slm.models.generation import generate, prompt_tokens
from slm.terminal import fill, terminal_columns
from slm.text.nanogpt_corpus import OTHER_PROGRAM
from slm.training import compilation, micro_batch

SECONDS_BETWEEN_LINES = 10  # where no terminal shows a bar
SECONDS_BETWEEN_DRAWINGS = 0.2  # of the bar
SECONDS_OF_AVERAGE = 180  # over which the speed is averaged for the time that is left
LEAST_FIRST = ("lr", "MFU", "bar", "speed", "loss", "left")  # what a narrow terminal does without
SHORTEST_BAR, LONGEST_BAR = 5, 40  # columns
BUSY = 1.25  # times the number of cores; training alone has a load of the number of cores
STORY_TOKENS = 120
MANY_EPOCHS = 100


def format_count(number):
    """1,234 or 5.67 M or 8.90 G, for people."""
    if number < 1e6:
        return f"{number:,}"
    return f"{number / 1e6:.2f} M" if number < 1e9 else f"{number / 1e9:.2f} G"


def run_header(config, set_by, setup, state):
    """Lines that say what a run will do."""
    model, corpus, processes = setup.model, setup.corpus, setup.group.world_size
    shape, tokens_per_step = model.config, setup.batches.tokens_per_step
    steps = max(config.max_iters, state.step)  # a run may be resumed after the last step
    tokens = state.tokens + (steps - state.step) * tokens_per_step
    epochs = tokens / corpus.tokens["train"]
    warning = ", enough to learn the corpus by heart" if epochs > MANY_EPOCHS else ""
    count = f"{processes} x " if processes > 1 else ""
    more = ""
    if set_by["warmup_iters"] == SHORTENED_WARMUP:
        count_steps = f"{counted(config.warmup_iters, 'step')}, {SHORTENED_WARMUP}"
        more += f"\nwarm-up  {count_steps if config.warmup_iters else 'none, the run is too short for one'}"
    if config.ema:
        more += f"\naverage  of the weights over the last {100 * config.ema:.3g} % of the steps, validated and kept"
    foreign = (
        ", made by another program and read as GPT-2's tokens" if corpus.meta.get("source") == OTHER_PROGRAM else ""
    )
    return (
        f"device   {count}{devices.describe(setup.device)}, {devices.dtype_name(setup.dtype)}\n"
        f"model    {format_count(model.num_params())} parameters, without embeddings"
        f" {format_count(model.num_params(embeddings=False))}: {counted(shape.n_layer, 'layer')},"
        f" {counted(shape.n_head, 'head')}, {shape.n_embd} wide, context {shape.block_size}\n"
        f"corpus   {corpus.folder}: {corpus.tokens['train']:,} tokens to train on,"
        f" {corpus.tokens['validation']:,} to validate on, vocabulary {corpus.vocab_size:,}{foreign}\n"
        f"run      {counted(steps, 'step')} of {tokens_per_step:,} tokens = {format_count(tokens)} tokens ="
        f" {epochs:,.2f} epochs{warning}, into {config.out_dir}{more}"
    )


def step_header(config, setup, stepper):
    """A line that says how a step uses the device."""
    compiled, captured = stepper.model is not setup.model, isinstance(stepper.run, compilation.CapturedStep)
    memory = micro_batch.memory_estimate(setup.model, stepper.micro_batch, compiled)
    memory *= compilation.CAPTURED_MEMORY if captured else 1
    memory += stepper.average.nbytes
    return (
        f"step     {counted(config.sequences_per_step, 'sequence')}, in micro-batches of {stepper.micro_batch}; about"
        f" {memory / 2**30:.1f} GiB of memory"
        + (f", compiled in {stepper.setup_seconds:.0f} s" if compiled else "")
        + (", captured as a CUDA graph" if captured else "")
    )


def peak_speed(setup):
    """The tokens/s at which the devices would reach their peak (an MFU of 100 %), None where that is not known."""
    peak = devices.peak_flops(setup.device, setup.dtype)
    return peak and peak * setup.group.world_size / setup.model.flops_per_token()


def format_speed(tokens):
    """Tokens per second, for people: 850, 1.2 K, 1,700 K."""
    return f"{tokens:,.0f}" if tokens < 1e3 else f"{tokens / 1e3:,.{int(tokens < 1e4)}f} K"


def busy_cpu(device):
    """A sentence for a CPU where other programs work too and OpenMP's idle threads take their time, else "".

    They wait for each other in a loop, which is fast on idle cores alone.
    """
    known = sys.platform == "linux" and device.type == "cpu" and torch.get_num_threads() > 1
    if not known or {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        return ""
    load, cores = 0.0, os.cpu_count()
    with contextlib.suppress(OSError):  # a system without /proc
        load = os.getloadavg()[0]
    if load < BUSY * cores:
        return ""
    return (
        f"busy     other programs use this CPU too (load {load:.1f}, {cores} cores): with GOMP_SPINCOUNT=0 in front of"
        " the command training can be 2 to 3 times as fast (Ctrl-C stops it, --init_from=resume continues)"
    )


def live_line(parts, share, columns):
    """The texts of `parts` with a bar behind the first, in so many columns: where it is full, the least go first.

    parts: {name: text}. share: of the bar, from 0 to 1.
    """
    (first, text), *others = parts.items()
    parts = {first: text, "bar": "[]", **dict(others)}
    for name in (None, *LEAST_FIRST):
        parts.pop(name, None)
        room = columns - len("  ".join(parts.values()))
        if room >= SHORTEST_BAR * ("bar" in parts):
            break
    if "bar" in parts:
        room = min(room, LONGEST_BAR)
        parts["bar"] = f"[{'=' * round(share * room):{room}}]"
    return "  ".join(parts.values())[:columns]


class Progress:
    """A bar on a terminal, a line every few seconds elsewhere. Only the main process prints.

    peak: the tokens/s of an MFU of 100 %, None where it is not known.
    """

    def __init__(self, config, is_main, tokens_per_step, peak=None):
        self.config, self.is_main, self.tokens_per_step, self.peak = config, is_main, tokens_per_step, peak
        self.bar = None
        self.loss, self.lr = math.nan, None  # of the last line
        self.read_loss = lambda: math.nan  # the mean since the last line; waits for the device
        self.speed = 0.0  # steps a second, of the last lap
        self.past = 0.0, 0.0  # steps and seconds, those of long ago with a small weight
        self.pause_seconds = 0.0  # that the last validation took, with all that follows it
        self.clock, self.clock_step = time.perf_counter(), 0
        self.last_line = self.last_drawing = time.perf_counter()

    def print(self, text):
        if self.is_main:
            tqdm.write(printable(text, keep="\n"))

    def start(self, step):
        """Show the bar, and start the clock at `step`."""
        show = self.is_main and sys.stderr.isatty()
        self.bar = tqdm(total=self.config.max_iters, initial=step, bar_format="{desc}", disable=not show)
        self.clock, self.clock_step = time.perf_counter(), step
        self.draw(step)

    def step(self, step):
        """Count a step. The first of a slow run tell how long it takes, before there is a line to show."""
        now = time.perf_counter()
        if not self.bar.disable and now - self.last_drawing > SECONDS_BETWEEN_DRAWINGS:
            self.look_early(step)
            self.draw(step)
        elif self.is_main and self.bar.disable and not self.speed and now - self.clock > SECONDS_BETWEEN_LINES:
            self.look_early(step)
            self.print("  ".join(self.parts(step).values()))
            self.last_line = now

    def look_early(self, step):
        """Before the first line: what the steps so far say."""
        if self.lr is None:
            self.loss = self.read_loss()
            self.speed = (step - self.clock_step) / (time.perf_counter() - self.clock)

    def draw(self, step):
        columns = terminal_columns(sys.stderr) - 1  # some terminals go to the next line behind the last column
        self.bar.set_description_str(live_line(self.parts(step), step / self.config.max_iters, columns))
        self.last_drawing = time.perf_counter()

    def close(self):
        if self.bar is not None:
            self.bar.close()

    def lap(self, step):
        """Seconds of training since the last lap or pause; `speed` is then that of these steps."""
        now = time.perf_counter()
        seconds, steps = now - self.clock, step - self.clock_step
        if steps:
            self.speed = steps / seconds
            weight = math.exp(-seconds / SECONDS_OF_AVERAGE)
            self.past = weight * self.past[0] + steps, weight * self.past[1] + seconds
        self.clock, self.clock_step = now, step
        return seconds

    def restart_clock(self, was_validation):
        """The time since the last lap was no training."""
        now = time.perf_counter()
        if was_validation:
            self.pause_seconds = now - self.clock
        self.clock = now

    def time_left(self, step):
        """Seconds to the end of the run, validations included; 0 where nothing is known yet.

        The speed is an exponential average, so that a busy minute of the machine does not change the time much.
        """
        steps, seconds = self.past if self.past[0] else (self.speed, 1.0)
        if not steps:
            return 0.0
        interval, last = self.config.eval_interval, self.config.max_iters
        validations = -(-last // interval) - step // interval
        return (last - step) * seconds / steps + validations * self.pause_seconds

    def parts(self, step):
        """{name: text} of what is known at a step, in the order of a line."""
        tokens = self.speed * self.tokens_per_step
        parts = {
            "step": f"step {step:,}/{self.config.max_iters:,}",
            "loss": "" if math.isnan(self.loss) and self.lr is None else f"loss {self.loss:.3f}",
            "lr": f"lr {self.lr:.2e}" if self.lr is not None else "",
            "speed": f"{format_speed(tokens)} tokens/s" if tokens else "",
            "MFU": f"MFU {100 * tokens / self.peak:.0f} %" if self.peak and tokens else "",
            "left": f"{tqdm.format_interval(self.time_left(step))} left" if tokens else "",
        }
        return {name: text for name, text in parts.items() if text}

    def show(self, line, force):
        """Show `line` of the log; force: print it even where one was printed just now."""
        self.loss, self.lr = line["train_loss"], line["lr"]
        if not self.bar.disable:
            self.draw(line["step"])
        elif force or time.perf_counter() - self.last_line > SECONDS_BETWEEN_LINES:
            self.print("  ".join(self.parts(line["step"]).values()))
            self.last_line = time.perf_counter()

    def story(self, text):
        """Print a story, wrapped to the terminal."""
        self.print(fill(f"  {text}\n", min(100, terminal_columns(sys.stdout))))


def sample_story(model, encoding, prompt, seed):
    """One short story of the model so far; " ..." ends it where it is cut."""
    tokens = prompt_tokens(encoding, prompt)
    generator = torch.Generator().manual_seed(seed)
    options = {"temperature": 0.8, "top_k": 200, "stop_token": encoding.eot_token, "generator": generator}
    (story,) = generate(model, [tokens], STORY_TOKENS, **options)
    cut = " ..." if len(story) == STORY_TOKENS else ""
    return printable(" ".join(encoding.decode(tokens[1:] + story).split())) + cut


def ending(out_dir, state, last_loss):
    """How a run ended: the best score, its step, and whether the loss has risen since."""
    if state.best == float("inf"):
        return f"done, without a validation loss that is worth a best.pt; the last model is {out_dir}/last.pt"
    at = f" at step {state.best_step:,}" if state.best_step else ""
    rising = last_loss is not None and last_loss > state.best
    since = f"; it has risen since, to {last_loss:.4f}" if rising else ""
    return f"done: best validation {state.best:.4f} nats per token{at}{since}; the model is {out_dir}/best.pt"
