"""Where the options of a run are read: a configuration file, and the command line of train.py.

A configuration file is `name = value` lines with comments. Values are literals and arithmetic on numbers: the file is
parsed and never executed, so a stranger's file can do no harm. nanoGPT's configuration files load too.
"""

import ast
import codecs
import math
import operator
from pathlib import Path

from slm.config import OPTIONS
from slm.errors import UserError, did_you_mean, first_line, print_note
from slm.files import ROOT

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
LARGEST_FILE = 2**20  # bytes of a configuration file
NOT_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)  # what ast.parse raises for text that is none
TYPE_NAMES = {bool: "True or False", int: "a whole number", float: "a number", str: "text in quotes"}


def check_option_name(name, before=""):
    """Raise UserError with the likeliest right name where `name` is no option. before: how the sentence begins."""
    if name not in OPTIONS:
        other = OTHER_NAMES.get(name.lower())
        hint = f"; here it is {other}" if other else did_you_mean(name, OPTIONS)
        raise UserError(f"{before}{name}{hint}")


def evaluate_literal(node):
    """The value of a literal, or of arithmetic on numbers. Raises ValueError for anything else, or a huge number."""
    value = None
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
        value = node.value
    elif isinstance(node, ast.UnaryOp | ast.BinOp) and type(node.op) in ARITHMETIC:
        nodes = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
        operands = [evaluate_literal(operand) for operand in nodes]
        if isinstance(node.op, ast.Pow) and isinstance(operands[1], int | float) and abs(operands[1]) > 64:
            raise ValueError("an exponent is at most 64")  # 9**9**9 would never end
        if all(isinstance(operand, int | float) for operand in operands):
            value = ARITHMETIC[type(node.op)](*operands)
    if (isinstance(value, int) and value.bit_length() > 128) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("the number is too large")
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(node, ast.Name) and node.id in OPTIONS:
        raise ValueError(f"a value cannot name another option: write the value of {node.id}")
    if isinstance(node, ast.Name):
        raise ValueError(f"text needs quotes: {node.id!r}")
    raise ValueError("a value is a literal or arithmetic on numbers")


def check_type(name, value, where):
    """`value` in the type of option `name`: 1 is a fine float and 1e4 a fine int. Raises UserError."""
    wanted = OPTIONS[name].type
    if wanted is float and type(value) is int:
        return float(value)
    if wanted is int and type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if type(value) is not wanted:
        raise UserError(f"{where}: {name} must be {TYPE_NAMES[wanted]}, not {value!r}")
    if value == "" and not OPTIONS[name].metadata["may_be_empty"]:  # a variable of the shell that is not set
        raise UserError(f"{where}: {name} needs a value, and what is given is empty")
    return value


def read_text(path):
    """The text of a configuration file: UTF-8, or UTF-16 with its mark, as PowerShell writes it. Raises UserError."""
    try:
        with open(path, "rb") as file:
            contents = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if len(contents) > LARGEST_FILE:
        raise UserError(f"{path} has more than {LARGEST_FILE:,} bytes: no configuration file is so large")
    try:
        return contents.decode("utf-16" if contents[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from error


def read_config_file(path):
    """{name: value} of a configuration file, nanoGPT's among them. Raises UserError that names the wrong line."""
    path = Path(path)
    if not path.is_file():
        folder = Path("config") if Path("config").is_dir() else ROOT / "config"
        others = ", ".join(sorted(str(other) for other in folder.glob("*.py")))
        raise UserError(f"no configuration file {path}" + (f"; there are {others}" if others else ""))
    try:
        lines = ast.parse(read_text(path), str(path)).body
    except NOT_PYTHON as error:
        line = f", line {error.lineno}" if getattr(error, "lineno", None) else ""
        raise UserError(f"{path}{line}: not a `name = value` line ({first_line(error)})") from error
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
        check_option_name(name, f"{where}: unknown option ")
        try:
            values[name] = check_type(name, evaluate_literal(line.value), where)
        except (ValueError, ArithmeticError, RecursionError) as error:
            raise UserError(f"{where}: {name}: {error}") from error
    if ignored:
        print_note(f"{path}: ignored {', '.join(ignored)}, which has no meaning here")
    return values


def parse_value(name, text):
    """The value that `text` on a command line gives option `name`. Raises UserError."""
    if OPTIONS[name].type is str:
        return check_type(name, text, "command line")
    try:
        value = evaluate_literal(
            ast.parse({"true": "True", "false": "False"}.get(text.lower(), text), mode="eval").body
        )
    except (*NOT_PYTHON, ArithmeticError):
        value = text if len(text) < 80 else f"{text[:80]} ..."
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
        check_option_name(name, "unknown option --")
        if not equals:
            is_flag = OPTIONS[name].type is bool
            is_value = arguments and not arguments[0].startswith("--")
            if is_value and not (is_flag and arguments[0].lower() not in ("true", "false")):
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
