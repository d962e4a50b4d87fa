"""Options of a script's command line, and the options that every script which generates stories shares."""

import argparse
import functools
import math
import re
import shutil
import sys

from slm.errors import UserError, did_you_mean
from slm.terminal import fill
from slm.values import check_bounds, shown

METAVARS = {int: "N", float: "N"}  # other values are named after their option
LARGEST = 2**63  # of whole numbers, where an option has no bound
WIDEST_HELP = 118  # columns


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """argparse's, with the script's docstring wrapped to the terminal's width."""

    def __init__(self, prog):
        super().__init__(prog, width=terminal_width())

    def _fill_text(self, text, width, indent):
        return wrap_doc(text, width)


def terminal_width():
    """How wide a help text is: two columns less than the terminal, as argparse has it, where lines stay readable."""
    return min(WIDEST_HELP, shutil.get_terminal_size().columns - 2)


def wrap_doc(text, width):
    """A docstring in lines of at most `width` characters: paragraphs filled, indented lines each for itself.

    Where an indented line is too long, the remarks of its block, behind two spaces or more, go to lines below the
    commands. A command that is longer goes on behind a backslash.
    """
    parts = []
    for block in re.split(r"\n\n+", text.strip()):
        lines = block.splitlines()
        if not lines[0].startswith(" "):
            lines = [fill(" ".join(block.split()), width)]
        elif max(map(len, lines)) > width:
            lines = [line for line in lines for line in wrap_command(line, width)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def wrap_command(line, width):
    """The lines of a command and of the remark behind it, or of a remark that goes on."""
    command, remark = re.fullmatch(r"( {1,8}\S+(?: \S+)*)?\s*(.*)", line).groups()
    return [fill(text, width) for text in (command, remark and " " * 8 + remark) if text]


def asks_for_help(text):
    """Whether the command line of a script without an `OptionParser` asks for help; `text` is then printed."""
    if not {"-h", "--help"} & set(sys.argv[1:]):
        return False
    print(wrap_doc(text, terminal_width()))
    return True


class OptionParser(argparse.ArgumentParser):
    """argparse whose errors are a `UserError` that names the nearest right option."""

    def __init__(self, doc):
        super().__init__(description=doc, formatter_class=HelpFormatter, allow_abbrev=False)
        self.text_name, self.texts = None, []

    def option(self, name, default, help, type=str, metavar=None, alias=None, **bounds):
        """Add `name` with its default, which its help shows unless it is None; a flag where the default is False.

        type: str, int, float, `whole_numbers`, or a function of the text that may raise UserError. alias: another name
        of it, which works and which the help does not list. bounds: of a number, as `check_bounds` takes them.
        """
        help += "" if default is False or default in (None, "") else f" (default: {default})"
        help = help.replace("%", "%%")
        if default is False:
            self.add_argument(name, action="store_true", help=help)
            return
        metavar = metavar or METAVARS.get(type, name.strip("-").upper())

        def add(spelling, **more):  # a sentence names the option as it was written
            read = functools.partial(read_value, spelling, type, may_be_empty=default == "", **bounds)
            self.add_argument(spelling, dest=name.strip("-"), type=read, **more)

        add(name, default=default, help=help, metavar=metavar)
        if alias:
            add(alias, default=argparse.SUPPRESS, help=argparse.SUPPRESS)

    def required(self, name, help):
        """Add an argument without an option's name, which has to be given; an empty text is a mistake."""
        read = functools.partial(read_value, name.upper(), str, may_be_empty=False)
        self.add_argument(name, type=read, help=help, metavar=name.upper())

    def texts_option(self, name, help):
        """Add `name`, which may be given several times: a list of texts, each of which may begin with a dash.

        What follows a `--` on the command line is such a text, too. A parser has one such option.
        """
        self.add_argument(name, action="append", help=help, metavar="TEXT")
        self.text_name, self.texts = name, []

    def parse(self):
        """The options of the command line. Raises UserError."""
        arguments = self.take_texts(sys.argv[1:])
        for name in self._option_string_actions:
            if f"{name}=--" in arguments:  # argparse would take the dashes away
                raise UserError(f"{name} needs a value, not --")
        options, unknown = self.parse_known_intermixed_args(arguments)
        if unknown:
            known = [string for action in self._actions for string in action.option_strings]
            if not unknown[0].startswith("-"):
                raise UserError(f"{unknown[0]!r} has no option name in front of it: see --help")
            raise UserError(f"unknown option {unknown[0]}{did_you_mean(unknown[0].split('=')[0], known)}")
        if self.text_name:
            setattr(options, self.text_name.strip("-"), self.texts)
        return options

    def take_texts(self, arguments):
        """Move the texts of a `texts_option` from the arguments to `self.texts`; returns the other arguments.

        argparse would refuse a value such as --Hello. A known option is no text: then the text is missing.
        """
        others, rest = [], list(arguments) if self.text_name else []
        while rest:
            argument = rest.pop(0)
            if argument == "--":
                self.texts, rest = self.texts + rest, []
            elif argument.startswith(f"{self.text_name}="):
                self.texts.append(argument.partition("=")[2])
            elif argument == self.text_name and rest and rest[0].split("=")[0] not in self._option_string_actions:
                self.texts.append(rest.pop(0))
            else:
                others.append(argument)
        return others if self.text_name else arguments

    def error(self, message):
        raise UserError(message)


def read_value(name, type, text, may_be_empty, **bounds):
    """The value that `text` gives the option `name`; see `OptionParser.option`. Raises UserError."""
    if not text and not may_be_empty:  # a variable of the shell that is not set
        raise UserError(f"{name} needs a value, and what is given is empty")
    if type not in (int, float, whole_numbers):
        return type(text)
    wanted = "a whole number" if type is int else "a number" if type is float else "whole numbers, as in 1,2,4"
    try:
        value = type(text)
        numbers = value if isinstance(value, list) else [value]
        if not all(map(math.isfinite, numbers)):
            raise ValueError("NaN and infinity")
    except (ValueError, OverflowError) as error:
        raise UserError(f"{name} must be {wanted}, not {shown(text)}") from error
    if type is not float:
        bounds = {"below": LARGEST} | bounds
    for number in numbers:
        check_bounds(name, number, **bounds)
    return value


def whole_numbers(text):
    """[1, 2, 4] of "1,2,4"."""
    return [int(number) for number in text.split(",")]


def add_model_option(parser):
    """Add --model, which --out_dir is an alias of; slm/models/load.py knows what it may name."""
    kinds = "a run, a checkpoint, a Hugging Face folder, or a GPT-2 of the hub"
    parser.option("--model", None, f"{kinds} (default: the newest run under out/)", alias="--out_dir")


def add_sampling_options(parser, num_samples=1, seed=None):
    """Add the options of sampling stories."""
    parser.option("--num_samples", num_samples, "how many stories", int, at_least=1, below=2**20)
    about_length = "the length at which a story without an end is cut, in tokens"
    parser.option("--max_new_tokens", 500, about_length, int, at_least=1)
    about_temperature = "below 1 safer, above 1 wilder; 0: always the likeliest token"
    parser.option("--temperature", 0.8, about_temperature, float, at_least=0)
    parser.option("--top_k", 200, "sample from the k likeliest tokens; 0: from all", int, at_least=0)
    about_top_p = "sample from the likeliest tokens that together have this probability"
    parser.option("--top_p", 1.0, about_top_p, float, "F", above=0, at_most=1)
    random = " (default: a random one, printed)" if seed is None else ""
    parser.option("--seed", seed, f"the same seed gives the same stories{random}", int, at_least=0)


def sampling_arguments(options):
    """{temperature, top_k, top_p}, the arguments of `generate`."""
    return {name: getattr(options, name) for name in ("temperature", "top_k", "top_p")}
