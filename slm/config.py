"""The options of a training run: defaults, a configuration file, a command line; the last one wins.

A configuration file is `name = value` lines with comments. Values are literals and arithmetic on numbers: the file is
parsed and never executed, so a stranger's file can do no harm. nanoGPT's configuration files load too.
"""

import ast
import operator
import os
from dataclasses import dataclass, field, fields
from pathlib import Path

from slm import commands
from slm.errors import UserError, did_you_mean, print_note
from slm.files import ROOT


def option(default, help):
    return field(default=default, metadata={"help": help})


@dataclass
class TrainConfig:
    """Every option of train.py. The names are nanoGPT's wherever it has the option."""

    # input and output
    dataset: str = option("tinystories", "the prepared corpus, a folder under data/")
    out_dir: str = option("", "the run's folder; empty: out/ and the dataset's name")
    init_from: str = option(
        "scratch", "scratch, resume (out_dir/last.pt), or what to fine-tune: a run, a checkpoint, a GPT-2 of the hub"
    )
    seed: int = option(1337, "the one source of randomness")
    # the model
    n_layer: int = option(6, "blocks")
    n_head: int = option(6, "attention heads a block")
    n_embd: int = option(384, "width of the residual stream")
    block_size: int = option(128, "context, in tokens")
    dropout: float = option(0.1, "share of activations dropped in training")
    bias: bool = option(True, "biases in linear layers and LayerNorms, as in GPT-2")
    init_std: float = option(0.02, "standard deviation of new weights; narrow models learn sooner with more than 0.02")
    # one optimizer step
    batch_size: int = option(32, "sequences; times gradient_accumulation_steps is one step, over all GPUs together")
    gradient_accumulation_steps: int = option(32, "see batch_size")
    micro_batch_size: int = option(0, "sequences in one forward pass; 0: the largest that fits and is fast")
    optimizer: str = option("adamw", "adamw, or muon: Muon for the matrices of the blocks, AdamW for the rest")
    learning_rate: float = option(1e-3, "peak of the schedule")
    weight_decay: float = option(0.1, "on matrices only")
    beta1: float = option(0.9, "AdamW's")
    beta2: float = option(0.95, "AdamW's")
    grad_clip: float = option(1.0, "largest norm of the gradient; 0: no clipping")
    # the schedule, in optimizer steps
    max_iters: int = option(600, "optimizer steps of the run")
    warmup_iters: int = option(100, "steps of linear warm-up")
    decay_lr: bool = option(True, "cosine decay to min_lr after the warm-up; False: a constant rate")
    lr_decay_iters: int = option(0, "step at which the decay reaches min_lr; 0: max_iters")
    min_lr: float = option(1e-4, "learning rate at the end of the decay")
    # validation, logs, checkpoints
    eval_interval: int = option(200, "steps between validations; each saves last.pt and, if it is the best, best.pt")
    eval_iters: int = option(0, "batches of batch_size in a validation; 0: the whole split")
    eval_only: bool = option(False, "print the validation numbers of a checkpoint and exit")
    log_interval: int = option(10, "steps between lines of log.csv")
    sample_prompt: str = option("Once upon a time", "start of the story shown at each validation; empty: no story")
    wandb_log: bool = option(False, "send the log to Weights & Biases too (pip install wandb)")
    wandb_project: str = option("tinystories", "W&B project")
    wandb_run_name: str = option("", "W&B run name; empty: out_dir")
    tensorboard_log: bool = option(False, "write the log for TensorBoard too (pip install tensorboard)")
    # the machine
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps")
    dtype: str = option("auto", "auto, float32, bfloat16 or float16")
    compile: bool = option(True, "torch.compile, where there is a CUDA GPU; elsewhere only if it is given")
    cuda_graph: bool = option(True, "capture a step as a CUDA graph, where there is a CUDA GPU with room for it")
    backend: str = option("auto", "torch.distributed's: auto, nccl or gloo")

    def check(self):
        """Raise UserError where the values contradict each other."""
        positive = ["n_layer", "n_head", "n_embd", "block_size", "batch_size", "gradient_accumulation_steps"]
        for name in [*positive, "init_std", "learning_rate", "max_iters", "eval_interval", "log_interval"]:
            if getattr(self, name) <= 0:
                raise UserError(f"{name} must be above 0, not {getattr(self, name)}")
        not_negative = ["micro_batch_size", "weight_decay", "grad_clip", "warmup_iters", "lr_decay_iters", "min_lr"]
        for name in [*not_negative, "eval_iters", "seed"]:
            if getattr(self, name) < 0:
                raise UserError(f"{name} must be 0 or above, not {getattr(self, name)}")
        for name in ("dropout", "beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}")
        if self.optimizer not in ("adamw", "muon"):
            raise UserError(f"unknown optimizer {self.optimizer!r}: give adamw or muon")
        if self.n_embd % self.n_head:
            raise UserError(f"n_embd {self.n_embd} is not divisible by n_head {self.n_head}")
        steps = min(self.decay_steps, self.max_iters)
        if self.warmup_iters > steps:
            raise UserError(f"warmup_iters {self.warmup_iters} is longer than the run of {steps} steps: give fewer")
        if self.seed >= 2**63:
            raise UserError(f"seed {self.seed} is too large: it must be below 2**63")
        if self.decay_lr and self.min_lr > self.learning_rate:
            raise UserError(f"min_lr {self.min_lr} is above learning_rate {self.learning_rate}: the decay would climb")

    @property
    def decay_steps(self):
        return self.lr_decay_iters or self.max_iters

    @property
    def sequences_per_step(self):
        return self.batch_size * self.gradient_accumulation_steps

    @property
    def tokens_per_step(self):
        return self.sequences_per_step * self.block_size

    @property
    def prepare_command(self):
        """The command that prepares `dataset`."""
        return commands.prepare_command(self.dataset)


OPTIONS = {option.name: option for option in fields(TrainConfig)}
SHORTENED = "a tenth of the run"  # what set a warm-up that was longer than a shortened run
NANOGPT_ONLY = {"always_save_checkpoint"}  # means nothing here: last.pt and best.pt are both kept
OTHER_NAMES = {  # what other programs call an option
    **dict.fromkeys(["lr", "rate", "max_lr"], "learning_rate"),
    **dict.fromkeys(["epochs", "num_epochs", "steps", "num_steps", "max_steps", "iters", "iterations"], "max_iters"),
    **dict.fromkeys(["batch", "bs", "train_batch_size", "per_device_train_batch_size"], "batch_size"),
    **dict.fromkeys(["ctx", "context", "context_length", "seq_len", "max_seq_len", "n_ctx"], "block_size"),
    **dict.fromkeys(["layers", "num_layers", "depth"], "n_layer"),
    **dict.fromkeys(["heads", "num_heads", "n_heads"], "n_head"),
    **dict.fromkeys(["dim", "width", "hidden_size", "d_model", "n_embed"], "n_embd"),
    **dict.fromkeys(["wd", "decay"], "weight_decay"),
    **dict.fromkeys(["warmup", "warmup_steps", "num_warmup_steps"], "warmup_iters"),
    **dict.fromkeys(["grad_accum", "accumulation_steps", "accum"], "gradient_accumulation_steps"),
    **dict.fromkeys(["clip", "max_grad_norm"], "grad_clip"),
    **dict.fromkeys(["optim", "opt"], "optimizer"),
    **dict.fromkeys(["data", "corpus"], "dataset"),
    **dict.fromkeys(["out", "output", "output_dir"], "out_dir"),
    **dict.fromkeys(["resume", "from"], "init_from"),
    **dict.fromkeys(["precision", "amp"], "dtype"),
}
ARITHMETIC = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
TYPE_NAMES = {bool: "True or False", int: "a whole number", float: "a number", str: "text in quotes"}


def check_name(name, before=""):
    """Raise UserError with the likeliest right name where `name` is no option. before: how the sentence begins."""
    if name not in OPTIONS:
        other = OTHER_NAMES.get(name.lower())
        hint = f"; here it is {other}" if other else did_you_mean(name, OPTIONS)
        raise UserError(f"{before}{name}{hint}")


def evaluate_literal(node):
    """The value of a literal, or of arithmetic on numbers. Raises ValueError for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
        return node.value
    if isinstance(node, ast.UnaryOp | ast.BinOp) and type(node.op) in ARITHMETIC:
        nodes = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
        operands = [evaluate_literal(operand) for operand in nodes]
        small = not isinstance(node.op, ast.Pow) or abs(operands[-1]) <= 64  # or 9**9**9 would never end
        if small and all(isinstance(operand, int | float) for operand in operands):
            return ARITHMETIC[type(node.op)](*operands)
    if isinstance(node, ast.Name):
        raise ValueError(f"text needs quotes: {node.id!r}")
    raise ValueError("a value is a literal or arithmetic on numbers")


def check_type(name, value, where):
    """`value` in the type of option `name`; an int is a fine float. Raises UserError."""
    wanted = OPTIONS[name].type
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise UserError(f"{where}: {name} must be {TYPE_NAMES[wanted]}, not {value!r}")
    return value


def read_config_file(path):
    """{name: value} of a configuration file, nanoGPT's among them. Raises UserError that names the wrong line."""
    path = Path(path)
    if not path.is_file():
        folder = Path("config") if Path("config").is_dir() else ROOT / "config"
        others = ", ".join(sorted(str(other) for other in folder.glob("*.py")))
        raise UserError(f"no configuration file {path}" + (f"; there are {others}" if others else ""))
    try:
        lines = ast.parse(path.read_text(encoding="utf-8-sig"), str(path)).body
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path}, line {getattr(error, 'lineno', '?')}: not a `name = value` line ({error})") from error
    values, ignored = {}, []
    for line in lines:
        where = f"{path}, line {line.lineno}"
        if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
            continue  # a docstring
        if not (isinstance(line, ast.Assign) and len(line.targets) == 1 and isinstance(line.targets[0], ast.Name)):
            raise UserError(f"{where}: not a `name = value` line")
        name = line.targets[0].id
        if name in NANOGPT_ONLY:
            ignored.append(name)
            continue
        check_name(name, f"{where}: unknown option ")
        try:
            values[name] = check_type(name, evaluate_literal(line.value), where)
        except (ValueError, ArithmeticError) as error:
            raise UserError(f"{where}: {name}: {error}") from error
    if ignored:
        print_note(f"{path}: ignored {', '.join(ignored)}, which has no meaning here")
    return values


def parse_value(name, text):
    """The value that `text` on a command line gives option `name`. Raises UserError."""
    if OPTIONS[name].type is str:
        return text
    try:
        value = evaluate_literal(
            ast.parse({"true": "True", "false": "False"}.get(text.lower(), text), mode="eval").body
        )
    except (SyntaxError, ValueError, ArithmeticError):
        value = text
    return check_type(name, value, "command line")


def parse_command_line(arguments):
    """(path of the configuration file or None, {name: value}) of train.py's arguments. Raises UserError."""
    path, values = None, {}
    arguments = list(arguments)
    while arguments:
        argument = arguments.pop(0)
        if not argument.startswith("--"):
            if argument.lstrip("-").partition("=")[0] in OPTIONS:
                raise UserError(f"an option begins with two dashes: --{argument.lstrip('-')}, not {argument}")
            if argument.startswith("-"):
                raise UserError(f"unknown option {argument}: an option is --name=value, see --help")
            if path is not None:
                raise UserError(f"give one configuration file, not two: {path} and {argument}")
            path = argument
            continue
        name, equals, text = argument[2:].partition("=")
        check_name(name, "unknown option --")
        if not equals:
            is_flag = OPTIONS[name].type is bool
            if arguments and not (is_flag and arguments[0].lower() not in ("true", "false")):
                text = arguments.pop(0)
            elif is_flag:
                text = "True"
            else:
                raise UserError(f"--{name} needs a value")
        values[name] = parse_value(name, text)
    return path, values


def command_line_layers(arguments):
    """train.py's arguments as layers of `merge_config`: the configuration file, if there is one, then the options."""
    path, values = parse_command_line(arguments)
    return [*([(path, read_config_file(path))] if path else []), ("command line", values)]


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
    config.out_dir = os.path.expanduser(config.out_dir or f"out/{config.dataset}")
    order = ["default", *(source for source, _ in layers)]
    steps = min(config.decay_steps, config.max_iters)
    shortened_by = max((set_by["max_iters"], set_by["lr_decay_iters"]), key=order.index)
    if config.warmup_iters > steps > 0 and order.index(set_by["warmup_iters"]) < order.index(shortened_by):
        config.warmup_iters, set_by["warmup_iters"] = steps // 10, SHORTENED
    return config, set_by


def config_help():
    """The options and their defaults as text, a line each."""
    options = {f"--{name}={option.default!r}": option.metadata["help"] for name, option in OPTIONS.items()}
    lines = [f"  {option:34} {text}" for option, text in options.items()]
    return "\n".join(["options and their defaults; a recipe in config/ sets most of them:", *lines])
