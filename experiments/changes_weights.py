"""Levers of the weights: their decay, their averages, and what happens to them between two steps. See changes.py."""

import torch

import train

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


# -- between two steps ------------------------------------------------------------------------------------------------


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
