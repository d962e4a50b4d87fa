"""train.py as a whole: runs with options drawn at random are what a plain loop computes from the same token files."""

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import call, log_of, read_meta

from model import GPT, GPTConfig
from slm.config import TrainConfig
from slm.models.checkpoint import load_checkpoint
from slm.training.muon import orthogonalize

SEEDS = range(8)
CPU = ["--device=cpu", "--dtype=float32", "--sample_prompt="]


def draw(seed):
    """Options of a tiny run without dropout."""
    pick = random.Random(seed).choice
    steps, heads = pick([1, 3, 7, 10]), pick([1, 2])
    return TrainConfig(
        **{"dataset": "small", "out_dir": "out/r", "seed": pick([0, 1337, 2**63 - 1]), "dropout": 0.0},
        **{"n_layer": pick([1, 2]), "n_head": heads, "n_embd": 8 * heads, "bias": pick([True, False])},
        **{"block_size": pick([2, 9, 32]), "init_std": pick([0.02, 0.1]), "micro_batch_size": pick([0, 1, 3])},
        **{"batch_size": pick([1, 3, 5]), "gradient_accumulation_steps": pick([1, 4])},
        **{"optimizer": pick(["adamw", "muon"]), "learning_rate": pick([1e-3, 1e-2]), "min_lr": pick([0.0, 1e-3])},
        **{"weight_decay": pick([0.0, 1.0]), "beta1": pick([0.0, 0.9]), "beta2": pick([0.95, 0.99])},
        **{"ema": pick([0.0, 0.5]), "grad_clip": pick([0.0, 0.1, 1.0]), "decay_lr": pick([True, True, False])},
        **{"max_iters": steps, "warmup_iters": pick([0, 1, steps]), "lr_decay_iters": pick([0, steps, 2 * steps])},
        **{"eval_interval": pick([1, 3, 100]), "eval_iters": 2, "log_interval": pick([1, 2, 100])},
    )


def windows(tokens, config, first):
    """The windows of a step, (idx, targets), each (B, block_size). Each epoch cuts the ring of tokens elsewhere."""
    size, per_epoch, rows = config.block_size, len(tokens) // config.block_size, []
    for number in range(first, first + config.sequences_per_step):
        random = np.random.default_rng((config.seed, number // per_epoch))
        offset, order = random.integers(size), random.permutation(per_epoch)
        start = offset + size * order[number % per_epoch]
        rows.append([int(tokens[(start + i) % len(tokens)]) for i in range(size + 1)])
    rows = torch.tensor(rows)
    return rows[:, :-1], rows[:, 1:]


def rate(step, config):
    if step < config.warmup_iters:
        return config.learning_rate * (step + 1) / config.warmup_iters
    end = config.lr_decay_iters or config.max_iters
    share = (step - config.warmup_iters) / max(1, end - config.warmup_iters) if config.decay_lr else 0
    return config.min_lr + (config.learning_rate - config.min_lr) * (1 + math.cos(math.pi * share)) / 2


def update(name, parameter, gradient, state, number, lr, config):
    parameter.mul_(1 - lr * config.weight_decay * (parameter.dim() == 2))
    if config.optimizer == "muon" and ".h." in name and parameter.dim() == 2:
        momentum = state.setdefault(name, torch.zeros_like(parameter)).lerp_(gradient, 0.05)
        parts, nesterov = 3 if "c_attn" in name else 1, gradient.lerp(momentum, 0.95)
        for part, direction in zip(parameter.chunk(parts), nesterov.chunk(parts), strict=True):
            wide = direction if direction.size(0) <= direction.size(1) else direction.T
            change = orthogonalize(wide[None], torch.float32)[0] * 0.2 * math.sqrt(max(part.shape))
            part.sub_(lr * (change if wide is direction else change.T))
        return
    mean, square = state.setdefault(name, [torch.zeros_like(parameter), torch.zeros_like(parameter)])
    mean.lerp_(gradient, 1 - config.beta1)
    square.lerp_(gradient**2, 1 - config.beta2)
    step = mean / (1 - config.beta1**number) / ((square / (1 - config.beta2**number)).sqrt() + 1e-8)
    parameter.sub_(lr * step)


@torch.no_grad()
def validate(model, tokens, config):
    """Nats per token over eval_iters x batch_size windows, spread evenly."""
    size, total, count = config.block_size, 0.0, 0
    starts = np.arange(0, len(tokens), size)
    most = config.eval_iters * config.batch_size
    for place in np.linspace(0, len(starts) - 1, min(most, len(starts))).round().astype(int):
        places = np.arange(starts[place] - 1, min(starts[place] + size, len(tokens)))
        here = torch.from_numpy(tokens[places].astype(int))
        logits, _ = model(here[None, :-1], here[None, 1:])
        total += F.cross_entropy(logits[0], here[1:], reduction="sum").item()
        count += len(here) - 1
    return total / count


def plain_run(config, vocab_size):
    """[{column of log.csv: value}], and the parameters that are kept."""
    train, held_out = (np.fromfile(f"data/small/{name}.bin", np.uint16) for name in ("train", "validation"))
    torch.manual_seed(config.seed)
    shape = {name: getattr(config, name) for name in ("block_size", "n_layer", "n_head", "n_embd", "bias", "init_std")}
    model, rows, losses, state = GPT(GPTConfig(vocab_size, dropout=0.0, **shape)), [], [], {}
    kept = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for step in range(config.max_iters):
        loss = model(*windows(train, config, step * config.sequences_per_step))[1]
        model.zero_grad()
        loss.backward()
        norm = torch.stack([parameter.grad.norm() for parameter in model.parameters()]).norm().item()
        losses.append(loss.item())
        average = 1 - 1 / max(1, config.ema * (step + 1))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                gradient = parameter.grad * (min(1, config.grad_clip / (norm + 1e-6)) if config.grad_clip else 1)
                update(name, parameter, gradient, state, step + 1, rate(step, config), config)
                kept[name].mul_(average).add_((1 - average) * parameter)
        validates = (step + 1) % config.eval_interval == 0 or step + 1 == config.max_iters
        if validates or (step + 1) % config.log_interval == 0:
            tokens = (step + 1) * config.sequences_per_step * config.block_size
            rows.append({"step": step + 1, "tokens": tokens, "train_loss": np.mean(losses), "lr": rate(step, config)})
            rows[-1]["grad_norm"], losses = norm, []
        if validates:
            trained = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
            model.load_state_dict(kept, strict=False)
            rows[-1]["val_loss"] = validate(model, held_out, config)
            model.load_state_dict(trained, strict=False)
    return rows, kept


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_is_what_a_plain_loop_computes(here, seed):
    config, meta = draw(seed), read_meta("data/small")
    given = [f"--{name}={value}" for name, value in vars(config).items() if f"--{name}=" not in "".join(CPU)]
    result = call("train.py", *given, *CPU)
    assert result.status == 0, result.err
    rows, kept = plain_run(config, meta["vocab_size"])
    log = log_of("out/r")
    assert [int(row["step"]) for row in log] == [row["step"] for row in rows]
    for row, expected in zip(log, rows, strict=True):
        assert {name for name in row if row[name]} - {"seconds", "val_bpb"} == set(expected)
        assert {name: float(row[name]) for name in expected} == pytest.approx(expected, rel=1e-3)
    model = load_checkpoint("out/r/last.pt")["model"]
    for name, parameter in kept.items():
        if "c_attn.bias" not in name:  # the keys' has no gradient but rounding, which AdamW makes a step of
            torch.testing.assert_close(model[name], parameter, rtol=0, atol=0.1 * config.learning_rate)
    losses = {float(row["val_loss"]): int(row["step"]) for row in log if row["val_loss"]}
    if Path("out/r/best.pt").exists():
        assert load_checkpoint("out/r/best.pt")["step"] == losses[min(losses)]


def test_the_options_that_are_drawn_reach_each_mechanism():
    drawn = [draw(seed) for seed in SEEDS]
    assert {config.optimizer for config in drawn} == {"adamw", "muon"}
    assert len({bool(config.ema) for config in drawn}) == len({bool(config.grad_clip) for config in drawn}) == 2
    assert len({config.decay_lr for config in drawn}) == len({config.bias for config in drawn}) == 2
