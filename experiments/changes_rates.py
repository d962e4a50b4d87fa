"""Levers of the learning rate: its schedule, and the rates of single kinds of parameters. See changes.py."""

from dataclasses import replace

import torch

import train

# -- the schedule -----------------------------------------------------------------------------------------------------


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
