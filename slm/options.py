"""Options of a script's command line, and the options that every script which generates stories shares."""

import argparse
import math

from slm.errors import UserError, did_you_mean


class OptionParser(argparse.ArgumentParser):
    """argparse whose errors are a `UserError` that names the nearest right option."""

    def __init__(self, doc):
        super().__init__(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)

    def option(self, name, default, help, type=str, aliases=()):
        """Add `name` with its default, which its help shows unless it is None; a flag where the default is False."""
        if default is False:
            self.add_argument(name, action="store_true", help=help)
        else:
            help += "" if default in (None, "") else f" (default: {default})"
            self.add_argument(name, *aliases, default=default, type=type, help=help, metavar=name.strip("-")[0].upper())

    def parse(self):
        """The options of the command line. Raises UserError."""
        options, unknown = self.parse_known_args()
        if unknown:
            known = [string for action in self._actions for string in action.option_strings]
            if not unknown[0].startswith("-"):
                raise UserError(f"{unknown[0]!r} has no option name in front of it: see --help")
            raise UserError(f"unknown option {unknown[0]}{did_you_mean(unknown[0].split('=')[0], known)}")
        return options

    def error(self, message):
        raise UserError(message)


def add_sampling_options(parser, num_samples=1, seed=None):
    """Add the options of sampling stories; `sampling_arguments` checks them."""
    parser.option("--num_samples", num_samples, "how many stories", int)
    parser.option("--max_new_tokens", 500, "the length at which a story without an end is cut, in tokens", int)
    parser.option("--temperature", 0.8, "below 1 safer, above 1 wilder; 0: always the likeliest token", float)
    parser.option("--top_k", 200, "sample from the k likeliest tokens; 0: from all", int)
    parser.option("--top_p", 1.0, "sample from the likeliest tokens that together reach probability p", float)
    random = " (default: a random one, printed)" if seed is None else ""
    parser.option("--seed", seed, f"the same seed gives the same stories{random}", int)


def sampling_arguments(options):
    """{temperature, top_k, top_p}, the arguments of `model.generate`. Raises UserError for a value out of bounds."""
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
    return {name: getattr(options, name) for name in ("temperature", "top_k", "top_p")}
