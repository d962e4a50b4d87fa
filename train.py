"""Train a GPT from scratch on prepared stories: out/NAME/{best.pt, last.pt, log.csv, loss.png, config.json}.

    python train.py config/tinystories.py                        the recipe, on whatever this machine has
    python train.py config/tinystories.py --learning_rate=5e-4   any option of the recipe can be given
    python train.py config/tinystories.py --init_from=resume     go on where a run stopped
    python train.py --eval_only --out_dir=out/tinystories        the validation numbers of a checkpoint
    python train.py config/finetune.py --init_from=gpt2          fine-tune GPT-2, or a model of one's own
    torchrun --standalone --nproc_per_node=4 train.py config/tinystories.py                          several GPUs
    torchrun --nnodes=2 --nproc_per_node=8 --rdzv_backend=c10d --rdzv_endpoint=HOST:29500 train.py config/tinystories.py

One optimizer step is batch_size x gradient_accumulation_steps sequences, however many processes and micro-batches they
are cut into: the gradient is the mean over every token of the step. All that a step draws at random depends on the
seed and the step alone, so a run that was stopped and resumed goes the way of one that never was.
"""

import contextlib
import json
import math
import os
import platform
import shlex
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

import checkpoint
import configuration
import devices
import tokenizer
from batches import Corpus, TrainBatches, validation_batches
from configuration import UserError, run
from model import GPT, GPTConfig, capture
from records import LOG_FIELDS, Log, move_aside, provenance, replacing, start_trackers

SHAPE = ["n_layer", "n_head", "n_embd", "block_size", "bias"]  # options that a checkpoint has decided
NOT_INHERITED = {"init_from", "out_dir", "eval_only", "device", "dtype", "compile", "backend"}  # by a resumed run
CAPTURED = 1.5  # times the memory: a captured step keeps its own, and a validation needs some too; at most, as seen
BAD_STEPS_IN_A_ROW = 10  # so many gradients that are not finite, and the run has gone wrong


# -- the pieces of a run ----------------------------------------------------------------------------------------------


def lr_factor(config):
    """The schedule as a function from the step (0, 1, ...) to a factor of learning_rate, for LambdaLR.

    Linear warm-up over warmup_iters steps, none of which is 0, then half a cosine (Loshchilov and Hutter 2017, arXiv
    1608.03983) to min_lr at step lr_decay_iters, then flat.
    """

    def factor(step):
        if step < config.warmup_iters:
            return (step + 1) / config.warmup_iters
        if not config.decay_lr:
            return 1.0
        floor = config.min_lr / config.learning_rate
        progress = (step - config.warmup_iters) / max(1, config.decay_steps - config.warmup_iters)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return factor


def make_optimizer(model, config, device):
    """AdamW with decay on matrices only, in one fused kernel where there is one (CUDA, CPU)."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    cuda, betas = device.type == "cuda", (config.beta1, config.beta2)
    lr = torch.tensor(config.learning_rate, device=device) if cuda else config.learning_rate  # a captured step reads it
    return torch.optim.AdamW(groups, lr=lr, betas=betas, fused=device.type != "mps", capturable=cuda)


def compiled_model(model):
    """torch.compile for shapes that stay as they are."""
    # torch 2.11 fuses the two kinds of sums in LayerNorm's backward pass, which makes that four times slower, and a
    # step of config/tinystories.py 7 % (measured on an H200)
    options = {"triton.mix_order_reduction": False}
    known = torch._inductor.list_options()
    return torch.compile(model, dynamic=False, options={name: options[name] for name in options if name in known})


def micro_batch_sizes(model, share, device, compiled):
    """Micro-batches to try, the likeliest to be fastest first: divisors of this process's `share` of a step."""
    # more tokens at once keep a GPU busier, up to a point; on a CPU they only fall out of its caches
    most = {"cuda": 131072, "mps": 16384, "cpu": 4096}[device.type] // model.config.block_size
    sizes = [size for size in range(min(most, share), 1, -1) if share % size == 0]
    if device.type == "cuda":
        sizes = [size for size in sizes if model.training_bytes(size, compiled) < 0.9 * devices.memory_bytes(device)]
    tries = []
    for size in [*sizes, 1]:
        if not tries or size <= tries[-1] // 2:
            tries.append(size)
    return tries


# -- a run ------------------------------------------------------------------------------------------------------------


def initial_model(config, corpus, saved):
    """A new model, or that of the loaded checkpoint `saved`, which decides the shape. Raises UserError by name.

    Of the shape block_size alone may be given smaller; what a checkpoint knows of positions past it is then cut off.
    """
    if saved is None:
        torch.manual_seed(config.seed)
        shape = {name: getattr(config, name) for name in SHAPE}
        return GPT(GPTConfig(corpus.vocab_size, dropout=config.dropout, init_std=config.init_std, **shape))
    shape = saved["model_config"]
    cropped = config.init_from != "resume" and config.block_size < shape["block_size"]
    wrong = [
        f"{name} {shape[name]}, not {getattr(config, name)}"
        for name in SHAPE
        if getattr(config, name) != shape[name] and not (name == "block_size" and cropped)
    ]
    if wrong:
        raise UserError(f"the checkpoint is of another shape: it has {', '.join(wrong)}")
    if tokenizer.sha256(saved["tokenizer"]) != corpus.meta["tokenizer_sha256"]:
        raise UserError(
            f"the checkpoint was trained on another vocabulary than that of {corpus.folder}: prepare that with"
            " --vocab_of"
        )
    return checkpoint.build_model(saved, dropout=config.dropout, block_size=config.block_size)


@dataclass
class Progress:
    """How far a run has come: what an exact resume needs besides parameters, optimizer and scaler."""

    step: int = 0  # optimizer steps done
    logged: int = 0  # the step of the last line in log.csv
    seconds: float = 0.0  # spent in optimizer steps
    best: float = math.inf  # validation loss of best.pt, nats a token
    losses: float = 0.0  # steps with a finite gradient since the last line
    loss_sum: float = 0.0  # and the sum of their losses
    skipped: float = 0.0  # steps not applied because their gradient was not finite
    skipped_in_a_row: float = 0.0
    grad_norm: float = 0.0  # of the last step


METERS = ["losses", "loss_sum", "skipped", "skipped_in_a_row"]  # the part of Progress that the device counts


class Trainer:
    """One run: `Trainer(config, origins).train()`. Raises UserError."""

    def __init__(self, config, origins, saved=None):
        """saved: the loaded checkpoint that init_from names, None for scratch."""
        self.config, self.origins, self.saved = config, origins, saved
        self.out_dir = Path(config.out_dir)
        self.begun_from = saved["config"]["init_from"] if config.init_from == "resume" else config.init_from
        self.device = devices.pick_device(config.device)
        self.processes = processes = devices.Processes(self.device.type, config.backend)
        if processes.world > 1 and self.device.type == "cuda":
            self.device = devices.pick_device(f"cuda:{processes.local_rank}")
        self.dtype = devices.pick_dtype(config.dtype, self.device)
        torch.set_float32_matmul_precision("high")  # TF32 for the float32 products that remain

        self.corpus = Corpus(Path("data") / config.dataset)
        self.encoding = tokenizer.from_text(self.corpus.tokenizer_text)
        self.raw_model = initial_model(config, self.corpus, saved).to(self.device)
        self.model_config = self.raw_model.config
        self.corpus.check_windows(config.block_size)

        self.share = config.sequences_per_step // processes.world
        if config.sequences_per_step % processes.world:
            raise UserError(
                f"{config.sequences_per_step} sequences a step do not divide among {processes.world} processes: give"
                " another batch_size"
            )
        self.batches = TrainBatches(
            self.corpus.path("train"),
            config.block_size,
            config.sequences_per_step,
            config.seed,
            self.device,
            processes.rank,
            processes.world,
        )
        # on a CPU compiling seldom pays for itself, so there it takes an explicit --compile
        asked = self.device.type == "cuda" or origins["compile"] != "default"
        self.compile = config.compile and asked and not config.eval_only
        if config.micro_batch_size:
            self.sizes = [min(config.micro_batch_size, self.share)]
        else:
            self.sizes = micro_batch_sizes(self.raw_model, self.share, self.device, self.compile)
        self.micro_batch = self.sizes[0]
        self.model = compiled_model(self.raw_model) if self.compile else self.raw_model
        # float16 needs the scaler to keep small gradients; all types need it to hold back a step that is not finite
        self.half = self.dtype == torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type, init_scale=65536.0 if self.half else 1.0)
        self.progress = Progress()
        self.skipped_said = 0
        self.meters = torch.zeros(len(METERS), device=self.device)  # counted on the device, read when logged
        self.norm = torch.zeros((), device=self.device)
        self.replay = None  # does a captured step anew

    def say(self, text):
        if self.processes.first:
            tqdm.write(text)

    def context(self):
        return devices.autocast(self.device, self.dtype)

    # -- before the first step

    def announce(self):
        """Say what will happen."""
        config, shape, corpus = self.config, self.model_config, self.corpus
        step_tokens = config.sequences_per_step * config.block_size
        tokens = config.max_iters * step_tokens
        count = f"{self.processes.world} x " if self.processes.world > 1 else ""
        self.say(
            f"device   {count}{devices.describe(self.device)}, {devices.dtype_name(self.dtype)}\n"
            f"model    {self.raw_model.num_params() / 1e6:.2f} M parameters, without embeddings"
            f" {self.raw_model.num_params(embeddings=False) / 1e6:.2f} M: {shape.n_layer} layers, {shape.n_head} heads,"
            f" {shape.n_embd} wide, context {shape.block_size}\n"
            f"corpus   {corpus.folder}: {corpus.tokens['train']:,} tokens to train on,"
            f" {corpus.tokens['validation']:,} to validate on, vocabulary {corpus.vocab_size:,}\n"
            f"run      {config.max_iters:,} steps of {step_tokens:,} tokens = {tokens / 1e6:.1f} M tokens ="
            f" {tokens / corpus.tokens['train']:.2f} epochs, into {self.out_dir}"
        )

    def settle(self):
        """Find the micro-batch, compile, and make ready for several processes."""
        start = time.perf_counter()
        if self.device.type != "cpu" or self.compile:
            self.find_micro_batch()
        self.micro_batch = int(self.processes.reduce([self.micro_batch], torch.distributed.ReduceOp.MIN)[0])
        self.seconds_to_settle = round(time.perf_counter() - start, 1)
        devices.empty_cache(self.device)
        memory = self.raw_model.training_bytes(self.micro_batch, self.compile)
        self.capturing = self.can_capture(CAPTURED * memory)
        memory *= CAPTURED if self.capturing else 1
        compiled = f", compiled in {self.seconds_to_settle:.0f} s" if self.model is not self.raw_model else ""
        captured = ", captured as a CUDA graph" if self.capturing else ""
        self.say(
            f"step     {self.config.sequences_per_step:,} sequences, in micro-batches of {self.micro_batch}; about"
            f" {memory / 2**30:.1f} GiB of memory{compiled}{captured}"
        )
        if self.processes.world > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            self.model = DistributedDataParallel(self.model, device_ids=ids)

    def find_micro_batch(self):
        """Take the first of `sizes` that a forward and a backward pass survive; the pass also compiles.

        Where compiling fails, a line says so and the model goes on as it is.
        """
        batch = self.batches[self.progress.step]
        while True:
            self.micro_batch = self.sizes[0]
            failed = None
            try:
                with self.context():
                    idx, targets = batch[: self.micro_batch, :-1], batch[: self.micro_batch, 1:]
                    loss = self.model(idx.contiguous(), targets.contiguous(), with_logits=False)[1]
                self.scaler.scale(loss).backward()
                loss.item()
            except Exception as error:
                if self.model is self.raw_model and not devices.out_of_memory(error):
                    raise
                failed = error
            loss = None
            self.raw_model.zero_grad(set_to_none=True)
            if failed is None:
                return
            if devices.out_of_memory(failed):
                failed = None  # it holds on to the memory
                devices.empty_cache(self.device)
                if self.micro_batch == 1:
                    raise UserError("not even one sequence fits in memory: give a smaller model or --block_size")
                self.sizes = self.sizes[1:] or [self.micro_batch // 2]
            else:
                reason = (str(failed).strip() or type(failed).__name__).splitlines()[0][:160]
                self.say(f"torch.compile does not work here ({reason}): going on without it")
                self.model, self.compile = self.raw_model, False

    def can_capture(self, memory):
        """Whether a step is to be captured as a CUDA graph: on a single GPU with so many bytes of memory.

        On an H100 config/small_corpus.py's step of 32,768 tokens is 1.2 times as fast so, one of 16,384 2.2 times; a
        GPU on which it does not fit is too slow to wait for the launching of kernels.
        """
        alone = self.device.type == "cuda" and self.processes.world == 1
        return alone and self.config.compile and memory < devices.memory_bytes(self.device)

    def start(self):
        """Optimizer and schedule, an earlier run's state where one is resumed, and the files of this run."""
        config, progress = self.config, self.progress
        self.optimizer = make_optimizer(self.raw_model, config, self.device)
        resuming = config.init_from == "resume"
        if resuming:
            groups = self.optimizer.state_dict()["param_groups"]  # the options of now, the state of then
            self.optimizer.load_state_dict({"state": self.saved["optimizer"], "param_groups": groups})
            if self.half and self.saved["scaler"]["scale"] > 1:
                self.scaler.load_state_dict(self.saved["scaler"])
            self.progress = progress = Progress(**self.saved["progress"])
            self.meters += torch.tensor([getattr(progress, name) for name in METERS]).to(self.device)
            self.norm += progress.grad_norm
            self.say(f"resume   {self.out_dir} after step {progress.step:,}")
            for name, was in self.saved["config"].items():
                if name != "init_from" and getattr(config, name, was) != was:
                    self.say(f"changed  {name}: {was} -> {getattr(config, name)}")
        self.saved = None  # its memory is needed
        for group in self.optimizer.param_groups:
            group["initial_lr"] = config.learning_rate
        self.scheduler = LambdaLR(self.optimizer, lr_factor(config), last_epoch=progress.step - 1)

        self.trackers = start_trackers(config) if self.processes.first else []
        if not self.processes.first:
            return
        described = provenance(
            config,
            self.origins,
            versions={"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda},
            device=devices.describe(self.device),
            dtype=devices.dtype_name(self.dtype),
            processes=self.processes.world,
            seconds_to_settle=self.seconds_to_settle,  # to find the micro-batch, and to compile where that is done
            corpus=self.corpus.meta,
        )
        if resuming:
            with contextlib.suppress(OSError, ValueError):
                described["resumed"] = {
                    "step": progress.step,
                    "run": json.loads((self.out_dir / "config.json").read_text()),
                }
        else:
            move_aside(self.out_dir)
        try:
            self.out_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot make the folder {self.out_dir} ({error.strerror}): give another --out_dir"
            ) from error
        with replacing(self.out_dir / "config.json") as file:
            file.write(json.dumps(described, indent=2).encode())
        self.log = Log(self.out_dir / "log.csv", progress.logged)

    # -- the loop

    def train(self):
        """Train until max_iters; a signal ends the run well, with exit status 128 + its number."""
        config = self.config
        self.announce()
        self.settle()
        signals = devices.Signals()
        self.start()
        progress, interactive = self.progress, sys.stderr.isatty()
        bar = tqdm(
            total=config.max_iters,
            initial=progress.step,
            bar_format="{n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]",  # as much as 80 columns hold
            disable=not (self.processes.first and interactive),
        )
        self.raw_model.train()
        self.since, self.since_step = time.perf_counter(), progress.step  # where the steps not yet timed began
        said = self.since
        while True:
            step = progress.step
            last = step == config.max_iters
            due = last or step % config.eval_interval == 0
            if step > progress.logged and (due or step % config.log_interval == 0):
                line = self.measure()
                score = self.validate(lambda: signals.received and self.processes.world == 1) if due else None
                if score:
                    line["val_loss"], line["val_bpb"] = score
                if score or not due:  # a validation that a signal cut short is made up for by the resumed run
                    self.write(line)
                    status = self.status(line)
                    bar.set_postfix_str(status, refresh=False)
                    if not interactive and (due or time.perf_counter() - said > 10):
                        left = tqdm.format_interval((config.max_iters - step) / self.speed if self.speed else 0)
                        self.say(f"step {step:,}/{config.max_iters:,}  {status}  {left} left")
                        said = time.perf_counter()
                if score:
                    self.keep(line)
                self.since = time.perf_counter()
            if self.processes.any(signals.received):
                bar.close()
                self.stop(signals.received)
            if step >= config.max_iters:
                break
            self.optimizer_step()
            bar.update()
        bar.close()
        peak = torch.cuda.max_memory_reserved(self.device) / 2**30 if self.device.type == "cuda" else 0
        self.say(f"{progress.seconds:.0f} s of training" + (f", at most {peak:.1f} GiB of GPU memory" if peak else ""))
        self.say(f"done: the best model is in {self.out_dir}: python sample.py --out_dir={self.out_dir}")
        self.processes.close()

    def optimizer_step(self):
        """One step of AdamW on the mean gradient over every token of the step. Nothing in here waits for the device.

        On one GPU the step is captured once, as a CUDA graph, and then replayed: where a step is small, launching its
        hundreds of kernels one by one takes longer than running them.
        """
        progress = self.progress
        # dropout's draws, too, depend on the seed and the step alone
        entropy = np.random.SeedSequence((self.config.seed, progress.step, self.processes.rank))
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))
        batch = self.batches[progress.step]
        if self.replay:
            self.batch.copy_(batch)
            self.replay()
        else:
            self.update(batch)
            if self.capturing:
                self.capture_step(batch)
        self.scheduler.step()
        progress.step += 1

    def capture_step(self, batch):
        """Note the kernels of a step for `replay`, without running them. Raises UserError where that is impossible."""
        self.batch = batch
        try:
            self.replay = capture(lambda: self.update(self.batch))
        except RuntimeError as error:
            if devices.out_of_memory(error):
                raise
            reason = str(error).strip().splitlines()[0][:160]
            raise UserError(f"no step can be captured as a CUDA graph here ({reason}): give --compile=False") from error

    def update(self, batch):
        """The part of a step that is done on the device: its sequences are `batch` (share, block_size + 1)."""
        micro_batch = self.micro_batch
        idx, targets = batch[:, :-1].contiguous(), batch[:, 1:].contiguous()
        step_loss = torch.zeros((), device=self.device)
        for first in range(0, self.share, micro_batch):
            part = slice(first, first + micro_batch)
            last = first + micro_batch >= self.share
            # DDP averages gradients over the processes in the backward pass, which need happen but once a step; it
            # decides so in the forward pass
            waiting = contextlib.nullcontext() if last or self.processes.world == 1 else self.model.no_sync()
            with waiting, self.processes.alive():
                with self.context():
                    loss = self.model(idx[part], targets[part], with_logits=False)[1] * (len(idx[part]) / self.share)
                self.scaler.scale(loss).backward()
            step_loss += loss.detach()
        self.scaler.unscale_(self.optimizer)
        limit = self.config.grad_clip or math.inf
        self.norm.copy_(torch.nn.utils.clip_grad_norm_(self.raw_model.parameters(), limit))
        # a norm that is not finite: the scaler leaves such a step out. While float16's scale is still finding its
        # level that is no error, and at scale 1, as bfloat16 and float32 have it always, it is
        finite = self.norm.isfinite()
        wrong = ~finite & (self.scaler.scale(torch.ones_like(self.norm)) <= 1)
        self.scaler.step(self.optimizer)
        self.scaler.update(None if self.half else 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        losses, loss_sum, skipped, in_a_row = self.meters
        loss_sum = torch.where(finite, loss_sum + step_loss, loss_sum)
        self.meters.copy_(torch.stack([losses + finite, loss_sum, skipped + wrong, (in_a_row + wrong) * wrong]))

    # -- what is said and kept on the way

    def read_meters(self):
        """Bring the meters and the clock into `progress`. Waits for the device."""
        progress = self.progress
        for name, value in zip(METERS, self.meters.tolist(), strict=True):
            setattr(progress, name, value)
        progress.grad_norm = self.norm.item()
        now = time.perf_counter()
        progress.seconds += now - self.since
        self.speed = (progress.step - self.since_step) / (now - self.since)  # steps a second, 0 right after resuming
        self.since, self.since_step = now, progress.step

    def measure(self):
        """The line of log.csv for the steps since the last one. Waits for the device; raises UserError on a bad run."""
        progress = self.progress
        self.read_meters()
        loss_sum, losses = self.processes.reduce([progress.loss_sum, progress.losses])
        if progress.skipped > self.skipped_said:
            self.say(f"step {progress.step:,}: {progress.skipped:.0f} steps left out so far, their gradient not finite")
            self.skipped_said = progress.skipped
        if progress.skipped_in_a_row >= BAD_STEPS_IN_A_ROW:
            raise UserError(
                f"{progress.skipped_in_a_row:.0f} steps in a row had a gradient that is not finite: try a lower"
                f" --learning_rate or --dtype=float32; the last good checkpoint in {self.out_dir} is as it was"
            )
        return {
            "step": progress.step,
            "tokens": progress.step * self.config.sequences_per_step * self.config.block_size,
            "seconds": progress.seconds,
            "train_loss": loss_sum / losses if losses else math.nan,
            "lr": self.config.learning_rate * lr_factor(self.config)(progress.step - 1),
            "grad_norm": progress.grad_norm,
        }

    def write(self, line):
        """Put a line into log.csv, and begin to collect the next."""
        progress = self.progress
        progress.logged, progress.losses, progress.loss_sum = progress.step, 0.0, 0.0
        self.meters[:2] = 0.0
        if self.processes.first:
            self.log.add(line)
        for tracker in self.trackers:
            tracker.log({name: line[name] for name in LOG_FIELDS if name in line}, step=progress.step)

    def status(self, line):
        """The state of the run in a few words: what the progress bar shows."""
        speed = self.speed * self.config.sequences_per_step * self.config.block_size
        peak = devices.peak_flops(self.device, self.dtype)
        return f"loss {line['train_loss']:.3f}  lr {line['lr']:.2e}  {speed / 1e3:,.0f} K tokens/s" + (
            f"  MFU {100 * speed * self.raw_model.flops_per_token() / peak / self.processes.world:.0f} %"
            if peak
            else ""
        )

    @torch.no_grad()
    def validate(self, stopping=lambda: False):
        """(nats a token, bits per byte of text) over the validation split, or None where `stopping()` came true.

        Processes take turns with the batches. Each token is predicted once, the end-of-texts among them.
        """
        config, corpus, processes = self.config, self.corpus, self.processes
        model = self.model.module if isinstance(self.model, DistributedDataParallel) else self.model
        batches = validation_batches(
            corpus.path("validation"),
            config.block_size,
            self.micro_batch,
            config.eval_iters * config.batch_size,
            self.device,
            processes.rank,
            processes.world,
        )
        total, count = 0.0, 0
        nats = torch.zeros((), device=self.device)
        model.eval()
        for number, (idx, targets, predicted) in enumerate(batches, 1):
            if stopping():
                model.train()
                return None
            with self.context():
                nats += model(idx, targets, with_logits=False)[1] * predicted
            count += predicted
            if number % 64 == 0:  # a long sum in float32 would round
                total += nats.item()
                nats.zero_()
        model.train()
        total, count = processes.reduce([total + nats.item(), count])
        loss = total / count
        return loss, loss / math.log(2) * corpus.tokens["validation"] / corpus.text_bytes

    def keep(self, line):
        """After a validation: last.pt, best.pt if this is the best so far, the curve, and a story for the eye."""
        progress, loss = self.progress, line["val_loss"]
        best = loss < progress.best
        progress.best = min(loss, progress.best)
        self.say(f"step {line['step']:,}: {describe_score(loss, line['val_bpb'])}{', the best so far' if best else ''}")
        if not self.processes.first:
            return
        if best:
            score = {"val_loss": loss, "val_bpb": line["val_bpb"]}
            checkpoint.save(self.out_dir / "best.pt", self.snapshot() | score)
        self.save_last()
        self.log.draw(self.out_dir / "loss.png")
        if self.config.sample_prompt:
            self.say(f"  {self.story()}\n")

    def story(self):
        """One short story from the model so far."""
        prompt = [self.encoding.eot_token, *self.encoding.encode_ordinary(self.config.sample_prompt)]
        generator = torch.Generator(self.device).manual_seed(self.config.seed)
        with self.context():
            (story,) = self.raw_model.generate(
                [prompt], 120, temperature=0.8, top_k=50, stop_token=self.encoding.eot_token, generator=generator
            )
        return " ".join(self.encoding.decode(prompt[1:] + story).split())

    def snapshot(self):
        """What best.pt and last.pt have in common."""
        return {
            "model": self.raw_model.state_dict(),
            "model_config": asdict(self.model_config),
            "config": asdict(self.config) | {"init_from": self.begun_from},
            "tokenizer": self.corpus.tokenizer_text,
            "step": self.progress.step,
        }

    def save_last(self):
        state = {
            "optimizer": self.optimizer.state_dict()["state"],
            "scaler": self.scaler.state_dict(),
            "progress": asdict(self.progress),
        }
        checkpoint.save(self.out_dir / "last.pt", self.snapshot() | state)

    def stop(self, number):
        """End at a signal: keep everything, say how to go on, and exit with 128 + the signal's number."""
        progress = self.progress
        self.read_meters()
        if self.processes.first:
            self.save_last()
            self.say(f"stopped after step {progress.step:,}, all of it kept in {self.out_dir}/last.pt; to go on:")
            self.say(self.command_to_go_on())
        self.processes.close()
        sys.exit(128 + (number or signal.SIGTERM))

    def command_to_go_on(self):
        """The command that resumes this run with the options it was given."""
        launcher = ["python"]
        if self.processes.world > 1:
            launcher = ["torchrun", f"--nproc_per_node={os.environ.get('LOCAL_WORLD_SIZE', self.processes.world)}"]
        file = [origin for origin in dict.fromkeys(self.origins.values()) if origin.endswith(".py")]
        given = [
            f"--{name}={getattr(self.config, name)}"
            for name, origin in self.origins.items()
            if origin == "command line" and name != "init_from"
        ]
        return shlex.join([*launcher, "train.py", *file, *given, "--init_from=resume"])


def describe_score(loss, bpb):
    return f"validation {loss:.4f} nats a token, perplexity {math.exp(min(loss, 99)):.2f}, {bpb:.4f} bits per byte"


def checkpoint_to_start_from(config):
    """The checkpoint that init_from names, loaded, and its path; (None, None) for scratch. Raises UserError."""
    out_dir = Path(config.out_dir)
    if config.init_from == "scratch" and not config.eval_only:
        return None, None
    if config.init_from == "resume":
        path = out_dir / "last.pt"
    else:
        path = checkpoint.find(out_dir if config.init_from == "scratch" else config.init_from)
    saved = checkpoint.load(path)
    if config.init_from == "resume" and "optimizer" not in saved:
        raise UserError(f"{path} holds a model alone and cannot be resumed: --init_from={path} fine-tunes it")
    return saved, path


def main():
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(f"{__doc__}\n{configuration.help_text()}")
        return
    path, chosen = configuration.read_command_line(sys.argv[1:])
    layers = [(path, configuration.read_file(path))] if path else []
    layers.append(("command line", chosen))
    config, origins = configuration.combine(*layers)
    if devices.restarts() and (Path(config.out_dir) / "last.pt").exists():
        layers.append(("torchrun's restart", {"init_from": "resume"}))
        config, origins = configuration.combine(*layers)
    saved, path = checkpoint_to_start_from(config)
    if saved:  # what the checkpoint was trained with are the defaults of what comes: its shape, or all of its options
        whole = config.eval_only or config.init_from == "resume"
        inherited = set(saved["config"]) - NOT_INHERITED if whole else set(SHAPE)
        defaults = {name: saved["config"][name] for name in inherited & set(configuration.OPTIONS)}
        config, origins = configuration.combine((str(path), defaults), *layers)
    config.check()
    trainer = Trainer(config, origins, saved)
    if config.eval_only:
        trainer.say(f"{path}: {describe_score(*trainer.validate())}")
        trainer.processes.close()
        return
    try:
        trainer.train()
    except RuntimeError as error:
        if devices.out_of_memory(error):
            raise UserError(f"out of memory: give a --micro_batch_size below {trainer.micro_batch}") from error
        raise


if __name__ == "__main__":
    run(main)
