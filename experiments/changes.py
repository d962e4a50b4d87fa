"""Levers: changes to a training run from outside, a few lines each, to find out whether one deserves code.

A lever is a function (patch, config, value). It may change the options, and it replaces functions of the training by
patch(owner, name, make), where make(the function so far) returns the new one. `LEVERS` names all of them, and the value
of each where none is given. All work with a captured step: rates are read from tensors, what the optimizer does is
captured with it, and what happens between two steps is launched behind the graph.
"""

import contextlib
import functools
import math
from dataclasses import replace

import numpy as np
import torch

import train
from slm import devices
from slm.errors import UserError, did_you_mean
from slm.training.batches import TrainBatches

# -- the learning rate ------------------------------------------------------------------------------------------------


def rate(patch, config, value):
    """The peak of the learning rate, times `value`."""
    config.learning_rate *= value


def floor(patch, config, value):
    """A decay that ends at this share of the peak."""
    config.min_lr = value * config.learning_rate


def shaped(step, config, shape):
    """The rate of a schedule that falls as shape(progress), from 1 to 0, after train.py's warm-up."""
    progress = (step - config.warmup_iters) / max(1, config.decay_steps - config.warmup_iters)
    if progress < 0:
        return config.learning_rate * (step + 1) / config.warmup_iters
    return config.min_lr + (config.learning_rate - config.min_lr) * shape(min(1.0, progress))


def linear(patch, config, value):
    """Linear decay in place of the cosine (Bergsma et al. 2025, arXiv 2502.15938)."""
    power(patch, config, 1)


def power(patch, config, value):
    """A decay 1 - progress ** value, which falls fast and then slowly where the value is below 1."""
    patch(train, "get_lr", lambda _: lambda step, config, start=0: shaped(step, config, lambda p: 1 - p**value))


def constant(patch, config, value):
    """A constant rate that falls to the floor, linearly, over the last `value` of the run."""
    patch(train, "get_lr", lambda _: lambda step, config, start=0: shaped(step, config, falling_at_the_end(value)))


def falling_at_the_end(share):
    return lambda progress: min(1.0, (1 - progress) / share)


# -- rates for each kind of parameter ---------------------------------------------------------------------------------


def kind_of(name, parameter, group):
    """What a parameter is to the levers."""
    if parameter.dim() < 2:
        return "vector"
    tables = {"transformer.wte.weight": "embedding", "transformer.wpe.weight": "positions"}
    return tables.get(name, "muon" if group.get("muon") else "matrix")


def with_kinds(patch, change):
    """Split the optimizer's groups by kind, each with its own rate, and let change(group) change each."""

    def make(configure_optimizer):
        def configure(model, *arguments):
            optimizer = configure_optimizer(model, *arguments)
            names, split = {parameter: name for name, parameter in model.named_parameters()}, {}
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    kind = kind_of(names[parameter], parameter, group)
                    split.setdefault(kind, {**group, "kind": kind, "params": []})["params"].append(parameter)
            for group in split.values():  # one tensor for all groups would have one rate
                group["lr"] = group["lr"].clone() if isinstance(group["lr"], torch.Tensor) else group["lr"]
                change(group)
            optimizer.param_groups[:] = split.values()
            return optimizer

        return configure

    patch(train, "configure_optimizer", make)


def rates(patch, factor):
    """The schedule's rate times factor(kind, step, rate) for each kind of parameter."""
    now = {}

    def note_step(get_lr):
        def get(step, config, start=0):
            now["step"] = step
            return get_lr(step, config, start)

        return get

    def scale(set_lr):
        def set_all(optimizer, lr):
            set_lr(optimizer, lr)
            for group in optimizer.param_groups:
                group["lr"] *= factor(group["kind"], now["step"], lr)  # in place where it is a tensor

        return set_all

    with_kinds(patch, lambda group: None)
    patch(train, "get_lr", note_step)
    patch(train, "set_lr", scale)


def kind_rate(wanted, patch, config, value):
    """The rate of one kind of parameter, times `value`."""
    rates(patch, lambda kind, step, lr: value if kind == wanted else 1.0)


def cooldown(patch, config, value):
    """AdamW's parameters keep their rate until the last `value` of the run, Muon's follow the schedule."""

    whole = replace(config)  # which `grow` leaves alone

    def factor(kind, step, lr):
        return shaped(step, whole, falling_at_the_end(value)) / lr if kind != "muon" and lr else 1.0

    rates(patch, factor)


def vector_beta2(patch, config, value):
    """AdamW's second average over more steps for biases and LayerNorms."""

    def change(group):
        if group["kind"] == "vector":
            group["betas"] = (group["betas"][0], value)

    with_kinds(patch, change)


# -- weight decay -----------------------------------------------------------------------------------------------------


def decay(patch, share):
    """Decay by share(weights, change, group) of the usual decay; change: what the step did to the weights.

    A step that is skipped changes nothing, so only decay that asks for a change leaves its weights alone.
    """

    def make(configure_optimizer):
        def configure(*arguments):
            optimizer = configure_optimizer(*arguments)
            groups = [group for group in optimizer.param_groups if group["weight_decay"]]
            strengths = [group["weight_decay"] for group in groups]
            for group in groups:
                group["weight_decay"] = 0.0
            step = optimizer.step

            @torch.no_grad()
            def step_and_decay():
                before = [[parameter.clone() for parameter in group["params"]] for group in groups]
                step()
                for group, strength, weights in zip(groups, strengths, before, strict=True):
                    for parameter, old in zip(group["params"], weights, strict=True):
                        parameter -= group["lr"] * strength * share(old, parameter - old, group) * old

            optimizer.step = step_and_decay
            return optimizer

        return configure

    patch(train, "configure_optimizer", make)


def cautious(patch, config, value):
    """Decay only where the step moves a weight towards 0 (Chen et al. 2025, arXiv 2510.12402); value: how strong."""
    decay(patch, lambda old, change, group: value * (change * old < 0))


def falling(patch, config, value):
    """Weight decay that falls as the rate does: rate x decay x rate / peak; value: how strong."""
    peak = config.learning_rate
    decay(patch, lambda old, change, group: value * group["lr"] / peak)


# -- averages of the weights ------------------------------------------------------------------------------------------


def between_steps(patch, before, after):
    """Call before(parameters, run) and after(parameters, run) around each step. They are not captured."""

    def make(take_step):
        @torch.no_grad()
        def take(run):
            parameters = list(run.setup.model.parameters())
            before(parameters, run)
            with torch.enable_grad():
                take_step(run)
            after(parameters, run)

        return take

    patch(train, "take_step", make)


def nothing(parameters, run):
    pass


def average(patch, config, value):
    """The model at the end is the mean of the weights after each of the last `value` of the steps, without `--ema`."""
    mean, config.ema = [], 0.0

    def after(parameters, run):
        step, steps = run.state.step, run.config.max_iters
        if not mean:
            mean.extend(parameter.clone() for parameter in parameters)
        torch._foreach_lerp_(mean, parameters, 1 / max(1, step - round((1 - value) * steps)))
        if step == steps:
            torch._foreach_copy_(parameters, mean)

    between_steps(patch, nothing, after)


def ema(patch, config, value):
    """`--ema`: an average of the weights over the last `value` of the steps."""
    config.ema = value


def outer(patch, config, value):
    """Every `value` steps, a step of Nesterov's momentum along what these steps changed.

    The outer optimizer of one DiLoCo worker (Therien et al. 2025, arXiv 2505.23725), with its rate and momentum.
    """
    slow = []

    def start(parameters, run):
        if not slow:
            slow.extend(parameter.clone() for parameter in parameters)
            slow.append(torch.optim.SGD(list(slow), lr=0.7, momentum=0.5, nesterov=True))

    def step(parameters, run):
        if run.state.step % value:
            return
        *weights, optimizer = slow
        for weight, parameter in zip(weights, parameters, strict=True):
            weight.grad = weight - parameter
        optimizer.step()
        torch._foreach_copy_(parameters, weights)

    between_steps(patch, start, step)


def lookahead(patch, config, value):
    """Before a step, go on by `value` times the average of the steps so far, less as the rate falls.

    EMA-Nesterov (arXiv 2605.25395) as in modded-nanogpt's track 3, PR 308: from 15 % to 76 % of the run, with an
    average over 3 % of it.
    """
    old, mean = [], []

    def before(parameters, run):
        if not mean:
            mean.extend(torch.zeros_like(parameter) for parameter in parameters)
        old[:] = [parameter.clone() for parameter in parameters]
        step, steps = run.state.step, run.config.max_iters
        if 0.15 * steps <= step < 0.76 * steps:
            lr = train.get_lr(step, run.config, run.state.schedule_start)
            torch._foreach_add_(parameters, mean, alpha=value * lr / run.config.learning_rate)

    def after(parameters, run):
        change = torch._foreach_sub(parameters, old)
        torch._foreach_lerp_(mean, change, 1 / max(1, 0.03 * run.config.max_iters))

    between_steps(patch, before, after)


# -- batches ----------------------------------------------------------------------------------------------------------


def grow(patch, config, value):
    """The first `value` of the tokens in steps of half the batch; the schedule follows the tokens."""
    whole = replace(config)
    small = round(2 * value * config.max_iters)  # steps of half a batch
    config.batch_size //= 2
    config.max_iters = small + round((1 - value) * config.max_iters)

    def by_tokens(get_lr):
        return lambda step, _, start=0: get_lr(min(step, small) / 2 + max(0, step - small), whole, start)

    def double(parameters, run):
        if run.state.step == small < run.config.max_iters:
            run.config.batch_size = whole.batch_size
            batches = run.setup.batches
            batches.sequences, batches.next_first = run.config.sequences_per_step, None
            batches.share = slice(0, batches.sequences)
            devices.synchronize(run.setup.device)
            run.stepper.run.replay = None  # a captured step has one shape: the next one is captured again

    patch(train, "get_lr", by_tokens)
    between_steps(patch, double, nothing)


def reshuffle(patch, config, value):
    """The stories of the ring in another order each epoch."""

    @functools.lru_cache(maxsize=2)  # a step may span two epochs
    def ring(file, seed, epoch):
        tokens = np.array(file.map())
        stories = np.split(tokens, np.flatnonzero(tokens == tokens[-1])[:-1] + 1)  # the last token ends a story
        order = np.random.default_rng((seed, epoch, 1)).permutation(len(stories))
        return np.concatenate([stories[number] for number in order])

    def read(self, first):
        rows = []
        for number in np.arange(first, first + self.sequences)[self.share]:
            epoch, place = divmod(int(number), self.windows)
            positions = self.epoch_starts(epoch)[place] + np.arange(self.block_size + 1)
            rows.append(ring(self.file, self.seed, epoch).take(positions, mode="wrap"))
        batch = torch.from_numpy(np.stack(rows).astype(np.int64))
        return batch.pin_memory() if self.device.type == "cuda" else batch

    patch(TrainBatches, "read", lambda _: read)


# -- by name ----------------------------------------------------------------------------------------------------------

LEVERS = {  # {name: (function, its value where none is given)}, in the order in which they are applied
    "rate": (rate, 1.5),
    "floor": (floor, 0.1),
    "linear": (linear, 1.0),
    "power": (power, 0.4),
    "constant": (constant, 0.4),
    "embedding": (functools.partial(kind_rate, "embedding"), 0.5),
    "positions": (functools.partial(kind_rate, "positions"), 0.5),
    "vectors": (functools.partial(kind_rate, "vector"), 0.5),
    "cooldown": (cooldown, 0.4),
    "vector_beta2": (vector_beta2, 0.99),
    "cautious": (cautious, 1.0),
    "falling": (falling, 4 / 3),  # with a cosine to 0 it decays as much as the usual decay, over the run
    "average": (average, 0.2),
    "ema": (ema, 0.05),
    "outer": (outer, 20),
    "lookahead": (lookahead, 0.6),
    "grow": (grow, 0.5),
    "reshuffle": (reshuffle, 1.0),
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
