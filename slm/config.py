"""The options of a training run, their bounds, and the layers that set them: the last one wins."""

from dataclasses import dataclass, field, fields

from slm.errors import UserError, counted
from slm.files import user_path
from slm.values import check_bounds


def option(default, help, at_least=None, above=None, below=None, may_be_empty=False):
    """A field of TrainConfig; at_least, above, below: the bounds of a number; may_be_empty: of a text."""
    metadata = {"help": help, "bounds": (at_least, above, below), "may_be_empty": may_be_empty or default == ""}
    return field(default=default, metadata=metadata)


@dataclass
class TrainConfig:
    """Every option of train.py. The names are nanoGPT's wherever it has the option."""

    # input and output
    dataset: str = option("tinystories", "the prepared corpus, a folder under data/")
    out_dir: str = option("", "the run's folder; empty: out/ and the dataset's name")
    init_from: str = option("scratch", "scratch, resume (out_dir/last.pt), or a MODEL to fine-tune: see sample.py")
    seed: int = option(1337, "the one source of randomness", at_least=0, below=2**63)
    # the model
    n_layer: int = option(6, "blocks", at_least=1, below=2**10)
    n_head: int = option(6, "attention heads per block", at_least=1, below=2**10)
    n_embd: int = option(384, "width of the residual stream", at_least=1, below=2**16)
    block_size: int = option(128, "context, in tokens", at_least=1, below=2**20)
    dropout: float = option(0.1, "share of activations dropped in training", at_least=0, below=1)
    bias: bool = option(True, "biases in linear layers and LayerNorms, as in GPT-2")
    init_std: float = option(
        0.02, "standard deviation of new weights; narrow models learn sooner with more than 0.02", above=0, below=100
    )
    # one optimizer step
    batch_size: int = option(
        32, "sequences; times gradient_accumulation_steps is one step, over all GPUs together", at_least=1, below=2**24
    )
    gradient_accumulation_steps: int = option(32, "see batch_size", at_least=1, below=2**24)
    micro_batch_size: int = option(
        0, "sequences in one forward pass; 0: the largest that fits and is fast", at_least=0, below=2**24
    )
    optimizer: str = option("adamw", "adamw, or muon: Muon for the matrices of the blocks, AdamW for the rest")
    learning_rate: float = option(1e-3, "peak of the schedule", above=0, below=1e6)
    weight_decay: float = option(0.1, "on matrices only", at_least=0, below=1e6)
    beta1: float = option(0.9, "AdamW's", at_least=0, below=1)
    beta2: float = option(0.95, "AdamW's", at_least=0, below=1)
    ema: float = option(
        0.0, "validate and keep an average of the weights, over this share of the steps; 0: none", at_least=0, below=1
    )
    grad_clip: float = option(1.0, "largest norm of the gradient; 0: no clipping", at_least=0, below=1e20)
    # the schedule, in optimizer steps
    max_iters: int = option(600, "optimizer steps of the run", at_least=1, below=2**40)
    warmup_iters: int = option(100, "steps of linear warm-up", at_least=0, below=2**40)
    decay_lr: bool = option(True, "cosine decay to min_lr after the warm-up; False: a constant rate")
    lr_decay_iters: int = option(0, "step at which the decay reaches min_lr; 0: max_iters", at_least=0, below=2**40)
    min_lr: float = option(1e-4, "learning rate at the end of the decay", at_least=0, below=1e6)
    warm_restart: bool = option(False, "with --init_from=resume: begin the schedule again, from this step to max_iters")
    # validation, logs, checkpoints
    eval_interval: int = option(
        200, "steps between validations; each saves last.pt and, if it is the best, best.pt", at_least=1, below=2**40
    )
    eval_iters: int = option(0, "batches of batch_size in a validation; 0: the whole split", at_least=0, below=2**40)
    patience: int = option(
        0, "end the run after so many validations in a row without a better one; 0: never", at_least=0, below=2**40
    )
    eval_only: bool = option(False, "print the validation numbers of a checkpoint and exit")
    log_interval: int = option(10, "steps between lines of log.csv", at_least=1, below=2**40)
    sense: bool = option(False, "ask at each validation whether the model makes sense, into log.csv and loss.png")
    sample_prompt: str = option(
        "Once upon a time", "start of the story shown at each validation; empty: no story", may_be_empty=True
    )
    wandb_log: bool = option(False, "send the log to Weights & Biases too (pip install wandb)")
    wandb_project: str = option("tinystories", "project at W&B and in trackio")
    wandb_run_name: str = option("", "name of the run there; empty: out_dir")
    trackio_log: bool = option(False, "write the log for trackio too, on this machine (pip install trackio)")
    tensorboard_log: bool = option(False, "write the log for TensorBoard too (pip install tensorboard)")
    # the machine
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps")
    dtype: str = option("auto", "auto, float32, bfloat16 or float16")
    compile: bool = option(True, "torch.compile, where there is a CUDA GPU; elsewhere only if it is given")
    compile_cache: str = option(
        "", "a folder of yours that keeps compiled code, for machines that are new each time; it is executed"
    )
    cuda_graph: bool = option(True, "capture a step as a CUDA graph, where there is a CUDA GPU with room for it")
    backend: str = option("auto", "torch.distributed's: auto, nccl or gloo")

    def check(self):
        """Raise UserError where a value is out of its bounds, or where two contradict each other."""
        for name in OPTIONS:
            check_bounds(name, getattr(self, name), *OPTIONS[name].metadata["bounds"])
        if (tokens := self.sequences_per_step * self.block_size) >= 2**32:
            raise UserError(f"a step of {tokens:,} tokens is too large: give a smaller --batch_size")
        if self.n_embd % self.n_head:
            raise UserError(f"n_embd {self.n_embd} is not divisible by n_head {self.n_head}")
        if self.warmup_iters > self.schedule_steps:
            steps = counted(self.schedule_steps, "step")
            raise UserError(f"warmup_iters {self.warmup_iters} is longer than the run of {steps}: give fewer")
        if self.warm_restart and self.init_from != "resume":  # a new run would move the one that was meant aside
            raise UserError("warm_restart continues a run: give --init_from=resume too, or leave it out")
        if self.decay_lr and self.min_lr > self.learning_rate:
            raise UserError(f"min_lr {self.min_lr} is above learning_rate {self.learning_rate}: the decay would climb")

    @property
    def decay_steps(self):
        return self.lr_decay_iters or self.max_iters

    @property
    def schedule_steps(self):
        """Steps after which the rate changes no more, or the run is over: the warm-up has to fit in them."""
        return min(self.decay_steps, self.max_iters) if self.decay_lr else self.max_iters

    @property
    def sequences_per_step(self):
        return self.batch_size * self.gradient_accumulation_steps


OPTIONS = {option.name: option for option in fields(TrainConfig)}
SHORTENED_WARMUP = "a tenth of the run"  # what set a warm-up that was longer than a shortened run


def merge_config(*layers):
    """(TrainConfig, {option: what set it}) of `layers`, each (what sets them, {name: value}); the last one wins.

    A warm-up that only a lower layer knows, and that is longer than a run shortened by a higher one, becomes a tenth of
    the run.
    """
    config, set_by = TrainConfig(), dict.fromkeys(OPTIONS, "default")
    for source, values in layers:
        for name, value in values.items():
            setattr(config, name, value)
            set_by[name] = source
    config.out_dir = user_path(config.out_dir or f"out/{config.dataset}")
    config.compile_cache = user_path(config.compile_cache)
    order = ["default", *(source for source, _ in layers)]
    steps = config.schedule_steps
    shortened_by = max((set_by["max_iters"], set_by["lr_decay_iters"]), key=order.index)
    if config.warmup_iters > steps > 0 and order.index(set_by["warmup_iters"]) < order.index(shortened_by):
        config.warmup_iters, set_by["warmup_iters"] = steps // 10, SHORTENED_WARMUP
    return config, set_by


def config_help():
    """The options and their defaults as text, one per line."""
    options = {f"--{name}={option.default!r}": option.metadata["help"] for name, option in OPTIONS.items()}
    lines = [f"  {option:34}  {text}" for option, text in options.items()]
    return "\n".join(["options and their defaults; a recipe in config/ sets most of them:\n", *lines])
