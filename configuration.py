"""What a user asks for: options on command lines and in configuration files, and mistakes that one sentence mends.

A configuration file is `name = value` lines with comments. Values are literals and arithmetic on numbers: the file is
parsed, never executed, so a file from a stranger can do no harm. What comes later wins: defaults, file, command line.
"""

import argparse
import ast
import difflib
import math
import operator
import os
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path

ROOT = Path(__file__).resolve().parent


class UserError(Exception):
    """A mistake the user can mend. Its text is one sentence that names the thing and the mend."""


def run(main):
    """Call `main()`; a `UserError` becomes one line on standard error and exit status 2, a bug keeps its traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that lacks a character must not end a run or a story
    try:
        main()
    except UserError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe (`| head`) has gone: nothing is wrong, and nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def nearest(name, names):
    """`"; did you mean X?"` for the member of `names` most like `name`, or nothing where none is like it."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.4)
    return f"; did you mean {close[0]}?" if close else ""


class OptionParser(argparse.ArgumentParser):
    """argparse in this project's manner: a mistake is a `UserError` that names the nearest right option."""

    def __init__(self, doc):
        super().__init__(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)

    def option(self, name, default, help, type=str):
        """Add `name` with its default, which its help shows unless it is None; a flag where the default is False."""
        if default is False:
            self.add_argument(name, action="store_true", help=help)
        else:
            help += "" if default in (None, "") else f" (default: {default})"
            self.add_argument(name, default=default, type=type, help=help, metavar=name.strip("-")[0].upper())

    def parse(self):
        """The options of the command line. Raises UserError."""
        options, unknown = self.parse_known_args()
        if unknown:
            known = [string for action in self._actions for string in action.option_strings]
            if not unknown[0].startswith("-"):
                raise UserError(
                    f"{unknown[0]!r} stands alone: the name of an option comes before its value; see --help"
                )
            raise UserError(f"unknown option {unknown[0]}{nearest(unknown[0].split('=')[0], known)}")
        return options

    def error(self, message):
        raise UserError(message)


def drawing_options(parser, num_samples, top_k, seed):
    """Add the options of how stories are drawn, with these defaults; see `check_drawing`."""
    parser.option("--num_samples", num_samples, "how many stories", int)
    parser.option("--max_new_tokens", 500, "where a story is cut that does not end by itself", int)
    parser.option("--temperature", 0.8, "below 1 safer, above 1 wilder; 0: always the likeliest token", float)
    parser.option("--top_k", top_k, "draw from the k likeliest tokens; 0: from all", int)
    parser.option("--top_p", 1.0, "draw from the likeliest tokens that together reach probability p", float)
    fresh = " (default: a fresh one, which is said)" if seed is None else ""
    parser.option("--seed", seed, f"the same seed tells the same stories{fresh}", int)


def check_drawing(options):
    """Raise UserError where the options of how stories are drawn are out of bounds."""
    for name, valid, wanted in (
        ("num_samples", options.num_samples >= 1, "at least 1"),
        ("max_new_tokens", options.max_new_tokens >= 1, "at least 1"),
        ("temperature", 0 <= options.temperature < math.inf, "0 (always the likeliest token) or above"),
        ("top_k", options.top_k >= 0, "0 (all tokens) or above"),
        ("top_p", 0 < options.top_p <= 1, "above 0 and at most 1"),
        ("seed", options.seed is None or 0 <= options.seed < 2**63, "at least 0 and below 2**63"),
    ):
        if not valid:
            raise UserError(f"--{name} must be {wanted}, not {getattr(options, name)}")


# -- train.py: defaults, a file, a command line -----------------------------------------------------------------------


def option(default, help):
    return field(default=default, metadata={"help": help})


@dataclass
class TrainConfig:
    # what to read and write
    dataset: str = option("tinystories", "the prepared corpus, a folder under data/")
    out_dir: str = option("", "the run's folder; empty: out/ and the dataset's name")
    init_from: str = option(
        "scratch", "scratch, resume (go on from out_dir/last.pt), or what to fine-tune: a checkpoint, gpt2"
    )
    seed: int = option(1337, "all randomness comes from it")
    # the model
    n_layer: int = option(6, "blocks")
    n_head: int = option(6, "attention heads a block")
    n_embd: int = option(384, "width of the residual stream")
    block_size: int = option(128, "context, in tokens")
    dropout: float = option(0.1, "share of activations dropped in training")
    bias: bool = option(True, "biases in linear layers and LayerNorms, as GPT-2 has them")
    init_std: float = option(0.02, "spread of new weights: 0.02 is GPT-2's; a narrow model learns sooner with more")
    # one optimizer step
    batch_size: int = option(32, "sequences; times gradient_accumulation_steps makes one step, over all GPUs together")
    gradient_accumulation_steps: int = option(32, "see batch_size")
    micro_batch_size: int = option(0, "sequences that go through the device at once; 0: found by itself")
    learning_rate: float = option(1e-3, "peak of the schedule")
    weight_decay: float = option(0.1, "AdamW's, on matrices only")
    beta1: float = option(0.9, "AdamW's")
    beta2: float = option(0.95, "AdamW's")
    grad_clip: float = option(1.0, "largest norm of the gradient; 0: no clipping")
    # the schedule, in optimizer steps
    max_iters: int = option(600, "optimizer steps of the run")
    warmup_iters: int = option(100, "steps of linear warm-up")
    decay_lr: bool = option(True, "cosine decay to min_lr after the warm-up; False: the rate stays")
    lr_decay_iters: int = option(0, "step at which min_lr is reached; 0: max_iters")
    min_lr: float = option(1e-4, "where the decay ends")
    # what is said and kept on the way
    eval_interval: int = option(200, "steps between validations, each of which keeps last.pt and, if it leads, best.pt")
    eval_iters: int = option(0, "batches of batch_size that a validation takes; 0: the whole split")
    eval_only: bool = option(False, "print the validation numbers of a checkpoint and stop")
    log_interval: int = option(10, "steps between lines of log.csv")
    sample_prompt: str = option("Once upon a time", "opens the story shown at each validation; empty: none is shown")
    wandb_log: bool = option(False, "send the log to Weights & Biases too (pip install wandb)")
    wandb_project: str = option("tinystories", "its project there")
    wandb_run_name: str = option("", "its name there; empty: the folder's")
    tensorboard_log: bool = option(False, "write the log for TensorBoard too (pip install tensorboard)")
    # the machine
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps")
    dtype: str = option("auto", "auto, float32, bfloat16 or float16")
    compile: bool = option(True, "torch.compile and steps replayed as CUDA graphs, where there is a GPU for it")
    backend: str = option("auto", "of torch.distributed: auto, nccl or gloo")

    def check(self):
        """Raise UserError where the values contradict each other."""
        positive = ["n_layer", "n_head", "n_embd", "block_size", "batch_size", "gradient_accumulation_steps"]
        for name in [*positive, "init_std", "learning_rate", "max_iters", "eval_interval", "log_interval"]:
            if getattr(self, name) <= 0:
                raise UserError(f"{name} must be above 0, not {getattr(self, name)}")
        not_negative = ["micro_batch_size", "weight_decay", "grad_clip", "warmup_iters", "lr_decay_iters", "min_lr"]
        for name in [*not_negative, "eval_iters", "seed"]:
            if getattr(self, name) < 0:
                raise UserError(f"{name} must not be negative, as {getattr(self, name)} is")
        for name in ("dropout", "beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}")
        if self.n_embd % self.n_head:
            raise UserError(f"n_embd {self.n_embd} is not divisible by n_head {self.n_head}")
        steps = min(self.decay_steps, self.max_iters)
        if self.warmup_iters > steps:
            raise UserError(
                f"warmup_iters {self.warmup_iters} is longer than the run of {steps} steps: give a smaller one"
            )
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


OPTIONS = {option.name: option for option in fields(TrainConfig)}
# nanoGPT's options that mean nothing here, where last.pt and best.pt are both kept
NANOGPT_ONLY = {"always_save_checkpoint"}
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


def value_of(node):
    """The value of a literal, or of arithmetic on numbers. Raises ValueError for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
        return node.value
    if isinstance(node, ast.UnaryOp | ast.BinOp) and type(node.op) in ARITHMETIC:
        operands = (
            [value_of(node.operand)] if isinstance(node, ast.UnaryOp) else [value_of(node.left), value_of(node.right)]
        )
        small = not isinstance(node.op, ast.Pow) or abs(operands[-1]) <= 64  # or 9**9**9 would never end
        if small and all(isinstance(operand, int | float) for operand in operands):
            return ARITHMETIC[type(node.op)](*operands)
    raise ValueError("a value is a literal or arithmetic on numbers")


def typed(name, value, where):
    """`value` as the type of option `name`, for which an int is a fine float. Raises UserError."""
    if name not in OPTIONS:
        raise UserError(f"{where}: unknown option {name}{nearest(name, OPTIONS)}")
    wanted = OPTIONS[name].type
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        kinds = {bool: "True or False", int: "a whole number", float: "a number", str: "text in quotes"}
        raise UserError(f"{where}: {name} must be {kinds[wanted]}, not {value!r}")
    return value


def read_file(path):
    """{name: value} of a configuration file, nanoGPT's among them. Raises UserError with the line that is wrong."""
    path = Path(path)
    if not path.is_file():
        others = ", ".join(sorted(str(other) for other in Path("config").glob("*.py")))
        raise UserError(f"no configuration file {path}" + (f"; there are {others}" if others else ""))
    try:
        lines = ast.parse(path.read_text(encoding="utf-8"), str(path)).body
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
        try:
            values[name] = typed(name, value_of(line.value), where)
        except (ValueError, ArithmeticError) as error:
            raise UserError(f"{where}: {name}: {error}") from error
    if ignored and os.environ.get("RANK", "0") == "0":  # of several processes, one says it
        print(f"{path}: {', '.join(ignored)} means nothing here and is left out", file=sys.stderr)
    return values


def from_text(name, text):
    """The value that `text` on a command line means for option `name`. Raises UserError."""
    if name in OPTIONS and OPTIONS[name].type is str:
        return text
    try:
        value = value_of(ast.parse({"true": "True", "false": "False"}.get(text.lower(), text), mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError):
        value = text
    return typed(name, value, "command line")


def read_command_line(arguments):
    """(path of the configuration file or None, {name: value}) of train.py's arguments. Raises UserError."""
    path, values = None, {}
    arguments = list(arguments)
    while arguments:
        argument = arguments.pop(0)
        if not argument.startswith("--"):
            if argument.partition("=")[0] in OPTIONS:
                raise UserError(f"{argument} is no file: an option begins with two dashes, --{argument}")
            if path is not None:
                raise UserError(f"one configuration file is enough: {path} or {argument}")
            path = argument
            continue
        name, equals, text = argument[2:].partition("=")
        if name not in OPTIONS:
            raise UserError(f"unknown option --{name}{nearest(name, OPTIONS)}")
        if not equals:
            flag = OPTIONS[name].type is bool
            if arguments and not (flag and arguments[0].lower() not in ("true", "false")):
                text = arguments.pop(0)
            elif flag:
                text = "True"
            else:
                raise UserError(f"--{name} needs a value")
        values[name] = from_text(name, text)
    return path, values


def combine(*layers):
    """A TrainConfig and {option: where its value is from}; `layers` are (where, {name: value}), the last wins."""
    config, origins = TrainConfig(), dict.fromkeys(OPTIONS, "default")
    for where, values in layers:
        for name, value in values.items():
            setattr(config, name, value)
            origins[name] = where
    config.out_dir = config.out_dir or f"out/{config.dataset}"
    return config, origins


def help_text():
    options = {f"--{name}={option.default!r}": option.metadata["help"] for name, option in OPTIONS.items()}
    lines = [f"  {option:34} {text}" for option, text in options.items()]
    return "\n".join(["options, with their defaults, most of which a recipe in config/ sets anew:", *lines])
