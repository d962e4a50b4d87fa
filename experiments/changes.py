"""Levers: changes to a training run from outside, a few lines each, to find out whether one deserves code.

A lever is a function (patch, config, value). It may change the options, and it replaces functions of the training by
patch(owner, name, make), where make(the function so far) returns the new one. `LEVERS` names all of them, and the value
of each where none is given. All work with a captured step: rates are read from tensors, what the optimizer does is
captured with it, and what happens between two steps is launched behind the graph.
"""

import contextlib
import functools
import math

from experiments import changes_batches as batches
from experiments import changes_rates as rates
from experiments import changes_weights as weights
from slm.errors import UserError, did_you_mean

LEVERS = {  # {name: (function, its value where none is given)}, in the order in which they are applied
    "rate": (rates.rate, 1.5),
    "floor": (rates.floor, 0.1),
    "linear": (rates.linear, 1.0),
    "power": (rates.power, 0.4),
    "constant": (rates.constant, 0.4),
    "embedding": (functools.partial(rates.kind_rate, "embedding"), 0.5),
    "positions": (functools.partial(rates.kind_rate, "positions"), 0.5),
    "vectors": (functools.partial(rates.kind_rate, "vector"), 0.5),
    "cooldown": (rates.cooldown, 0.4),
    "vector_beta2": (rates.vector_beta2, 0.99),
    "cautious": (weights.cautious, 1.0),
    "falling": (weights.falling, 4 / 3),  # with a cosine to 0 it decays as much as the usual decay, over the run
    "average": (weights.average, 0.2),
    "ema": (weights.ema, 0.05),
    "outer": (weights.outer, 20),
    "lookahead": (weights.lookahead, 0.6),
    "grow": (batches.grow, 0.5),
    "reshuffle": (batches.reshuffle, 1.0),
}


def parse(lever):
    """(share of the steps, [(function, value)]) of `NAME[=VALUE][+NAME[=VALUE]...][@SHARE]`. Raises UserError."""
    names, _, share = lever.partition("@")
    given = dict(part.partition("=")[::2] for part in names.split("+") if names != "base")
    for name in given.keys() - LEVERS.keys():
        raise UserError(f"no lever {name!r}{did_you_mean(name, [*LEVERS, 'base'])}")
    try:
        pulled = [
            (function, float(given[name] or value)) for name, (function, value) in LEVERS.items() if name in given
        ]
        share = float(share or 1)
    except ValueError as error:
        raise UserError(f"the lever {lever!r} needs numbers behind = and @: {error}") from error
    if not 0 < share < math.inf:
        raise UserError(f"the lever {lever!r} needs a share above 0 behind @")
    if not all(math.isfinite(value) for _, value in pulled):
        raise UserError(f"the lever {lever!r} needs finite numbers behind =")
    return share, pulled


@contextlib.contextmanager
def pull(lever, config):
    """Change `config`, and for the time of the context the training, as a lever says. Raises UserError."""
    share, pulled = parse(lever)
    config.max_iters = max(1, round(share * config.max_iters))
    config.lr_decay_iters = config.lr_decay_iters and max(1, round(share * config.lr_decay_iters))
    with contextlib.ExitStack() as stack:

        def patch(owner, name, make):
            before = getattr(owner, name)
            stack.callback(setattr, owner, name, before)
            setattr(owner, name, make(before))

        for function, value in pulled:
            function(patch, config, value)
        config.eval_interval = config.max_iters
        yield
