"""What a run prints: its header, a line or a bar as it goes, stories, and how it ended."""

import shutil
import sys
import textwrap
import time

import torch
from tqdm import tqdm

from slm import devices
from slm.config import SHORTENED_WARMUP
from slm.errors import printable
from slm.models.generation import generate, prompt_tokens
from slm.text.corpus import OTHER_PROGRAM
from slm.training import compilation, micro_batch

SECONDS_BETWEEN_LINES = 10  # where no terminal shows a bar
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
    sequences = state.sequences + (config.max_iters - state.step) * config.sequences_per_step
    shape, tokens = model.config, sequences * config.block_size
    epochs = tokens / corpus.tokens["train"]
    warning = ", enough to learn the corpus by heart" if epochs > MANY_EPOCHS else ""
    count = f"{processes} x " if processes > 1 else ""
    is_shortened = set_by["warmup_iters"] == SHORTENED_WARMUP
    shortened = f"warm-up  {config.warmup_iters} steps, {SHORTENED_WARMUP}" if is_shortened else ""
    foreign = (
        ", made by another program and read as GPT-2's tokens" if corpus.meta.get("source") == OTHER_PROGRAM else ""
    )
    return (
        f"device   {count}{devices.describe(setup.device)}, {devices.dtype_name(setup.dtype)}\n"
        f"model    {format_count(model.num_params())} parameters, without embeddings"
        f" {format_count(model.num_params(embeddings=False))}: {shape.n_layer} layers, {shape.n_head} heads,"
        f" {shape.n_embd} wide, context {shape.block_size}\n"
        f"corpus   {corpus.folder}: {corpus.tokens['train']:,} tokens to train on,"
        f" {corpus.tokens['validation']:,} to validate on, vocabulary {corpus.vocab_size:,}{foreign}\n"
        f"run      {config.max_iters:,} steps of {config.tokens_per_step:,} tokens = {format_count(tokens)} tokens ="
        f" {epochs:,.2f} epochs{warning}, into {config.out_dir}" + (f"\n{shortened}" if shortened else "")
    )


def step_header(config, setup, stepper):
    """A line that says how a step uses the device."""
    compiled, captured = stepper.model is not setup.model, isinstance(stepper.run, compilation.CapturedStep)
    memory = micro_batch.memory_estimate(setup.model, stepper.micro_batch, compiled)
    memory *= compilation.CAPTURED_MEMORY if captured else 1
    return (
        f"step     {config.sequences_per_step:,} sequences, in micro-batches of {stepper.micro_batch}; about"
        f" {memory / 2**30:.1f} GiB of memory"
        + (f", compiled in {stepper.setup_seconds:.0f} s" if compiled else "")
        + (", captured as a CUDA graph" if captured else "")
    )


class Progress:
    """A bar on a terminal, a line every few seconds elsewhere. Only the main process prints."""

    def __init__(self, config, is_main):
        self.config, self.is_main = config, is_main
        self.bar = None
        self.speed = 0.0  # steps a second
        self.pause_seconds = 0.0  # that the last validation took, with all that follows it
        self.clock, self.clock_step = time.perf_counter(), 0
        self.last_line = time.perf_counter()

    def print(self, text):
        if self.is_main:
            tqdm.write(text)

    def start(self, step):
        """Show the bar, and start the clock at `step`."""
        show = self.is_main and sys.stderr.isatty()
        layout = "{n_fmt}/{total_fmt} [{elapsed}{postfix}]"  # 80 columns hold no more
        self.bar = tqdm(total=self.config.max_iters, initial=step, bar_format=layout, disable=not show)
        self.clock, self.clock_step = time.perf_counter(), step

    def step(self, step):
        """Count a step. The first of a slow run tell how long it takes, before there is a line to show."""
        self.bar.update()
        seconds = time.perf_counter() - self.clock
        if not self.speed and seconds > SECONDS_BETWEEN_LINES:
            self.speed = (step - self.clock_step) / seconds
            left = f"{tqdm.format_interval(self.time_left(step))} left"
            if self.bar.disable:
                self.print(f"step {step:,}/{self.config.max_iters:,}  {left}")
            self.bar.set_postfix_str(left)

    def close(self):
        if self.bar is not None:
            self.bar.close()

    def lap(self, step):
        """Seconds of training since the last lap or pause; `speed` is then that of these steps."""
        now = time.perf_counter()
        seconds, steps = now - self.clock, step - self.clock_step
        if steps:
            self.speed = steps / seconds
        self.clock, self.clock_step = now, step
        return seconds

    def restart_clock(self, was_validation):
        """The time since the last lap was no training."""
        now = time.perf_counter()
        if was_validation:
            self.pause_seconds = now - self.clock
        self.clock = now

    def time_left(self, step):
        """Seconds to the end of the run, validations included."""
        if not self.speed:
            return 0.0
        interval, last = self.config.eval_interval, self.config.max_iters
        validations = -(-last // interval) - step // interval
        return (last - step) / self.speed + validations * self.pause_seconds

    def show(self, line, setup, force):
        """Show `line` of the log; force: print it even where one was printed just now."""
        tokens, peak = self.speed * self.config.tokens_per_step, devices.peak_flops(setup.device, setup.dtype)
        status = f"loss {line['train_loss']:.3f}  lr {line['lr']:.2e}  {tokens / 1e3:,.0f} K tokens/s"
        if peak:
            status += f"  MFU {100 * tokens * setup.model.flops_per_token() / peak / setup.group.world_size:.0f} %"
        left = f"{tqdm.format_interval(self.time_left(line['step']))} left"
        if not self.bar.disable:
            self.bar.set_postfix_str(f"{left}  {status}", refresh=False)
        elif force or time.perf_counter() - self.last_line > SECONDS_BETWEEN_LINES:
            self.print(f"step {line['step']:,}/{self.config.max_iters:,}  {status}  {left}")
            self.last_line = time.perf_counter()

    def story(self, text):
        """Print a story, wrapped to the terminal."""
        width = min(100, shutil.get_terminal_size().columns)
        self.print(textwrap.fill(text, width, initial_indent="  ", subsequent_indent="  ") + "\n")


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
