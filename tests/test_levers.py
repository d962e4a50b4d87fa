"""experiments/changes*.py: each lever does what it says. experiments/levers.py: which runs, and what the table says."""

import csv
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import SMALL_RUN, assert_mistake, call, log_of, same_tensors, small_config

import train
from experiments import changes, levers
from experiments.tables import read_table
from model import GPT, GPTConfig
from slm.config import TrainConfig
from slm.config_parser import parse_command_line
from slm.errors import UserError
from slm.models.checkpoint import load_checkpoint
from slm.text.corpus import TokenFile
from slm.training.batches import TrainBatches

CPU = torch.device("cpu")
MUON = ["--optimizer=muon", "--weight_decay=0.5", "--learning_rate=0.01", "--min_lr=0"]


@pytest.fixture
def recipe(here):
    """`here` with a recipe tiny.py."""
    options = {name: value for name, value in parse_command_line([*SMALL_RUN, *MUON])[1].items() if name != "dataset"}
    (here / "tiny.py").write_text("".join(f"{name} = {value!r}\n" for name, value in options.items()))
    return here


SETTING = {"corpus": "small", "recipe": "tiny.py", "arguments": "--max_iters=6 --eval_interval=6"}


def test_the_base_is_train_py(recipe):
    """To the bit, also after a lever, which leaves nothing behind."""
    command = ["tiny.py", "--dataset=small", "--seed=5", "--max_iters=6", "--eval_interval=6", "--out_dir=plain"]
    assert call("train.py", *command).status == 0
    before = {name: getattr(train, name) for name in ("get_lr", "set_lr", "take_step", "configure_optimizer")}
    changed = levers.train_with(SETTING, "embedding+cautious+ema=0.5+linear+reshuffle", 5)
    assert before == {name: getattr(train, name) for name in before}
    row = levers.train_with(SETTING, "base", 5)
    last = log_of("plain")[-1]
    assert [row[name] for name in ("val_loss", "val_bpb", "tokens")] == [
        last[name] for name in ("val_loss", "val_bpb", "tokens")
    ]
    assert changed["val_loss"] != row["val_loss"] and changed["tokens"] == row["tokens"]
    assert "--optimizer=muon" in row["options"] and row["torch"] == torch.__version__


def test_the_levers_of_the_table_are_there():
    """A row of levers.csv says what can be run again."""
    tried = {row["lever"] for row in read_table(levers.TABLE, levers.FIELDS)}
    assert tried and all(map(changes.parse, tried))


# -- the learning rate ------------------------------------------------------------------------------------------------


def rates_of(lever, *more):
    """The rate of each of 13 steps, of which 3 are of the warm-up, with a peak of 1 and a floor of 0."""
    config, _ = small_config("--learning_rate=1", "--min_lr=0", "--max_iters=13", "--warmup_iters=3", *more)
    with changes.pull(lever, config):
        return [round(train.get_lr(step, config), 6) for step in range(config.max_iters + 1)]


def test_schedules():
    warmup, rest = [0.333333, 0.666667, 1.0], np.arange(11) / 10
    assert rates_of("linear")[2:] == pytest.approx([1.0, *(1 - rest)])
    assert rates_of("linear")[:3] == warmup and rates_of("power")[:3] == warmup
    assert rates_of("power=0.5")[3:] == pytest.approx(1 - rest**0.5, abs=1e-6)
    assert rates_of("constant=0.5")[3:] == pytest.approx([1] * 6 + [0.8, 0.6, 0.4, 0.2, 0.0])
    assert rates_of("rate=2")[3:] == pytest.approx(2 * np.array(rates_of("base")[3:]), abs=1e-5)
    assert rates_of("floor=0.25")[-1] == 0.25 and rates_of("base")[-1] == 0
    assert rates_of("linear+floor=0.5")[-2:] == pytest.approx([0.55, 0.5])
    assert len(rates_of("base@0.5")) == 7 and rates_of("base@0.5")[-1] == 0  # round(6.5) steps
    assert rates_of("base@0.5", "--lr_decay_iters=13") == rates_of("base@0.5")


def small_optimizer(*arguments):
    """(a small model, its optimizer)."""
    config, _ = small_config(*MUON, *arguments)
    torch.manual_seed(3)
    model = GPT(GPTConfig(vocab_size=64, block_size=8, n_layer=1, n_head=2, n_embd=8, init_std=0.1))
    return model, train.configure_optimizer(model, config, CPU)


@pytest.mark.parametrize("tensor", [False, True], ids=["a number", "a tensor, as a captured step has it"])
def test_rates_of_kinds(tensor, monkeypatch):
    if tensor:
        configure = train.configure_optimizer

        def with_a_tensor(model, config, device):
            optimizer, one = configure(model, config, device), torch.tensor(0.0)
            for group in optimizer.param_groups:
                group["lr"] = one
            return optimizer

        monkeypatch.setattr(train, "configure_optimizer", with_a_tensor)
    lever = "embedding=0.5+vectors=2+positions=3+cooldown=0.25"
    config, _ = small_config(*MUON, "--max_iters=103", "--warmup_iters=3")
    with changes.pull(lever, config):
        _, optimizer = small_optimizer()
        sizes = {group["kind"]: len(group["params"]) for group in optimizer.param_groups}
        assert sizes == {"embedding": 1, "positions": 1, "muon": 4, "vector": 10}
        for step in (0, 1, 53, 90, 100):
            train.set_lr(optimizer, train.get_lr(step, config))
            rates = {group["kind"]: float(group["lr"]) for group in optimizer.param_groups}
            cosine = 0.01 * 0.5 * (1 + math.cos(math.pi * (step - 3) / 100)) if step > 3 else 0.01 * (step + 1) / 3
            late = 0.01 * min(1, (103 - step) / 25) if step > 3 else cosine
            wanted = {"muon": cosine, "embedding": 0.5 * late, "vector": 2 * late, "positions": 3 * late}
            assert rates == pytest.approx(wanted, rel=1e-5)


def test_beta2_of_vectors():
    with changes.pull("vector_beta2=0.9", small_config()[0]):
        _, optimizer = small_optimizer()
    betas = {group["kind"]: group["betas"] for group in optimizer.param_groups}
    assert betas["vector"] == (0.9, 0.9) and betas["embedding"] == betas["muon"] == (0.9, 0.95)


# -- weight decay -----------------------------------------------------------------------------------------------------


def after_a_step(lever, decay, lr):
    """{name: (weights before, weights after)} of a step with random gradients."""
    config, _ = small_config(*MUON)
    with changes.pull(lever, config):
        model, optimizer = small_optimizer(f"--weight_decay={decay}")
        train.set_lr(optimizer, lr)
        torch.manual_seed(4)
        before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return {name: (before[name], parameter.detach()) for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("lever, share", [("cautious=2", 2), ("falling=3", 1.5)])
def test_decay(lever, share):
    """Of the matrices alone, beside a step without decay: towards 0 where the step goes there, or by the rate."""
    decayed, plain = after_a_step(lever, 0.5, lr=0.005), after_a_step("base", 0.0, lr=0.005)
    usual = after_a_step("base", 0.5, lr=0.005)
    moved = 0
    for name, (old, new) in plain.items():
        there = (new - old) * old < 0 if lever.startswith("cautious") else torch.ones_like(old)
        amount = 0.005 * 0.5 * share * there * old * (old.dim() == 2)
        torch.testing.assert_close(decayed[name][1], new - amount, rtol=1e-5, atol=1e-7)
        moved += int((amount != 0).sum())
        torch.testing.assert_close(usual[name][1], new - 0.005 * 0.5 * old * (old.dim() == 2), rtol=1e-5, atol=1e-7)
    assert moved > 300


# -- between two steps ------------------------------------------------------------------------------------------------


def walk(lever, steps, monkeypatch, start=0.0):
    """The weight after each step, of a model of one weight that each step moves by 1."""
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, start)
    config, _ = small_config(f"--max_iters={steps}", "--learning_rate=1", "--decay_lr=False", "--warmup_iters=0")
    state = SimpleNamespace(step=0, schedule_start=0)
    run = SimpleNamespace(setup=SimpleNamespace(model=model), state=state, config=config)

    def take_step(run):
        assert torch.is_grad_enabled()
        with torch.no_grad():
            model.weight += 1
        run.state.step += 1

    monkeypatch.setattr(train, "take_step", take_step)
    path = []
    with changes.pull(lever, config):
        for _ in range(config.max_iters):
            train.take_step(run)
            path.append(model.weight.item())
    return path


def test_averages(monkeypatch):
    """Training goes on from its own weights; only the model at the end is an average."""
    path = walk("average=0.3", 10, monkeypatch)
    assert path[:9] == list(range(1, 10)) and path[-1] == pytest.approx((8 + 9 + 10) / 3)


def test_an_average_of_the_training():
    config = TrainConfig()
    with changes.pull("ema=0.4", config):
        assert config.ema == 0.4
    with changes.pull("average=0.3", config):
        assert config.ema == 0, "a recipe's average would hide this one"


def test_an_average_counts_what_a_lever_does_after_a_step(here):
    """Here it is of the last step alone, so it is the weights."""
    config, set_by = small_config("--ema=1e-9", "--max_iters=4", "--warmup_iters=0", "--out_dir=out/run")
    with changes.pull("outer=2", config):
        train.train(config, set_by)
    saved = load_checkpoint("out/run/last.pt")
    assert same_tensors(saved["weights"], {name: saved["model"][name] for name in saved["weights"]})


def test_outer_steps(monkeypatch):
    """Each 2 steps change 2: Nesterov's momentum makes 0.7 x (2 + 0.5 x 2), then 0.7 x (2 + 0.5 x 3) of them."""
    assert walk("outer=2", 5, monkeypatch) == pytest.approx([1, 2.1, 3.1, 4.55, 5.55])


def test_lookahead(monkeypatch):
    path, weight, mean, wanted = walk("lookahead=0.5", 100, monkeypatch), 0.0, 0.0, []
    for step in range(100):
        change = 1 + (0.5 * mean if 15 <= step < 76 else 0)
        mean += (change - mean) / 3
        weight += change
        wanted.append(weight)
    assert path == pytest.approx(wanted) and path[14] == 15 and path[-1] > 150


# -- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_that_grows(recipe, monkeypatch):
    """The same sequences in the same order, first in half the batch; the schedule follows the tokens."""
    steps, rates, get, set_lr = [], [], TrainBatches.__getitem__, train.set_lr

    def noted(self, first):
        steps.append((first, len(get(self, first))))
        return get(self, first)

    monkeypatch.setattr(TrainBatches, "__getitem__", noted)
    monkeypatch.setattr(train, "set_lr", lambda optimizer, lr: (rates.append(lr), set_lr(optimizer, lr)))
    row = levers.train_with(SETTING | {"arguments": "--max_iters=6 --warmup_iters=2"}, "grow=0.5", 1)
    taken = steps[1:]  # the first call tries a micro-batch
    assert taken == [(0, 4), (4, 4), (8, 4), (12, 4), (16, 4), (20, 4), (24, 8), (32, 8), (40, 8)]
    assert int(row["tokens"]) == 6 * 8 * 32
    config, _ = small_config(*MUON, "--max_iters=6", "--warmup_iters=2")
    assert rates == pytest.approx([train.get_lr(step, config) for step in (0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5)])


def test_another_order_each_epoch(here):
    """Each epoch has each story once and whole, in an order that depends on the seed."""
    file = TokenFile("data/small/train.bin")
    tokens, block = np.array(file.map()), 16
    stories = sorted(map(tuple, np.split(tokens, np.flatnonzero(tokens == tokens[-1])[:-1] + 1)))
    assert len(stories) > 20

    def rings(seed):
        """The ring of two epochs, put together again from their windows."""
        config = SimpleNamespace(block_size=block, sequences_per_step=file.tokens // block, seed=seed)
        batches = TrainBatches(file, config, CPU)
        for epoch in range(2):
            windows = batches[epoch * config.sequences_per_step].numpy()
            starts = batches.epoch_starts(epoch)
            offset, order = starts.min(), np.argsort(starts)
            missing = file.tokens - len(starts) * block
            yield offset, windows[order][:, :-1].ravel(), missing

    with changes.pull("reshuffle", small_config()[0]):
        found = {(seed, epoch): ring for seed in (1, 2) for epoch, ring in enumerate(rings(seed))}
    with changes.pull("base", small_config()[0]):
        offset, ring, missing = next(rings(1))
    assert (ring == np.roll(tokens, -offset)[: len(ring)]).all()
    for _, ring, missing in found.values():
        ends = np.flatnonzero(ring == tokens[-1]) + 1
        whole = list(map(tuple, np.split(ring, ends)[1:-1]))  # all but what the cut hits
        assert len(whole) >= len(stories) - 2 - missing and set(whole) <= set(stories)
        assert sorted(whole) != whole
    first, *others = [list(ring) for _, ring, _ in found.values()]
    assert all(first != other for other in others)


# -- the runs and the table -------------------------------------------------------------------------------------------


def test_which_run_is_next():
    """base with all seeds, each lever with the first, then what is ahead with the others, the best first."""
    names, seeds = ["base", "base@0.9", "bad", "good", "best"], [1, 2, 3]
    loss = {"base": 2.0, "base@0.9": 1.0, "bad": 2.5, "good": 1.5, "best": 1.4}
    order, losses = [], {}
    while run := levers.next_run(names, seeds, losses, set(order)):
        order.append(run)
        losses.setdefault(run[0], {})[run[1]] = loss[run[0]]
    assert order[:3] == [("base", 1), ("base", 2), ("base", 3)]
    assert order[3:7] == [("base@0.9", 1), ("bad", 1), ("good", 1), ("best", 1)]
    assert order[7:] == [("best", 2), ("best", 3), ("good", 2), ("good", 3)]


def row(lever, seed, loss, tokens=10**6, seconds=10):
    return dict.fromkeys(levers.FIELDS, "x") | {
        "lever": lever,
        "seed": str(seed),
        "val_loss": str(loss),
        "val_bpb": str(float(loss) / 3),
        "tokens": str(tokens),
        "seconds": str(seconds),
    }


def test_the_table(capsys):
    """The base gains 0.1 nats where the logarithm of its tokens grows by 0.1, so 0.05 nats are 5 % of its tokens."""
    rows = [row("base", 1, 2.01), row("base", 2, 1.99), row("base@0.9", 1, 2.1, tokens=round(10**6 * math.exp(-0.1)))]
    rows += [row("good", 1, 1.95, seconds=20), row("good", 2, 1.95), row("few", 1, 2.0, tokens=500_000)]
    lines = {line["lever"]: line for line in levers.summary(rows)}
    assert next(iter(lines)) == "good" and lines["good"]["runs"] == 2 and lines["good"]["seconds"] == 15
    assert lines["good"]["difference"] == pytest.approx(-0.05)
    assert lines["good"]["saved"] == pytest.approx(1 - math.exp(-0.05), abs=1e-3)
    assert lines["few"]["saved"] == pytest.approx(0.5) and "saved" not in lines["base"]
    assert lines["base@0.9"]["saved"] == pytest.approx(0, abs=1e-3)
    deviation = (2 * 0.01**2 / 2) ** 0.5  # two runs of base, two of good: two degrees of freedom
    assert lines["good"]["error"] == pytest.approx(deviation) and lines["good"]["deviation"] == 0
    levers.print_table(rows)
    printed = capsys.readouterr().out
    assert "3 % of the tokens are 0.0300 nats" in printed
    assert "good 2 1.9500 0.0000" in " ".join(printed.split()) and "+4.9%" in printed


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("loss", ["nan", "inf", "-inf"])
def test_a_lever_that_diverges_hides_nothing_of_the_others(loss, capsys):
    rows = [row("base", 1, 2.01), row("base", 2, 1.99), row("base@0.9", 1, 2.1, tokens=round(10**6 * math.exp(-0.1)))]
    rows = [row("wild", 1, loss), row("wild", 2, 1.9), *rows, row("base@0.8", 1, loss, tokens=800_000)]
    lines = {line["lever"]: line for line in levers.summary(rows)}
    assert next(iter(lines)) == "base" and lines["base"]["deviation"] == pytest.approx(0.0002**0.5)
    assert math.isnan(lines["wild"]["loss"]) and lines["base@0.9"]["saved"] == pytest.approx(0, abs=1e-3)
    assert lines["base@0.9"]["error"] == pytest.approx(0.0002**0.5 * 1.5**0.5)
    levers.print_table(rows)
    assert "wild 2 nan nan" in " ".join(capsys.readouterr().out.split())


def test_a_table_without_a_curve(capsys):
    levers.print_table([row("base", 1, 2.0), row("good", 1, 1.9)])
    assert "-0.1000" in capsys.readouterr().out


@pytest.mark.slow
def test_runs_side_by_side(recipe, monkeypatch, capsys):
    """Two processes of a CPU; a second call adds what the first did not run, and a failure ends nothing."""
    monkeypatch.setattr(levers, "TABLE", recipe / "levers.csv")
    command = ["levers.py", "--corpus", "small", "--recipe", "tiny.py", "--gpus", "cpu,cpu", "--seeds", "1,2"]
    monkeypatch.setattr("sys.argv", [*command, "--arguments=--max_iters=6", "--levers=base,rate=1e-9"])
    levers.main()
    rows = list(csv.DictReader(levers.TABLE.open()))
    assert {(row["lever"], row["seed"]) for row in rows} == {("base", "1"), ("base", "2"), ("rate=1e-9", "1")}
    levers.main()
    assert list(csv.DictReader(levers.TABLE.open())) == rows
    assert "base" in capsys.readouterr().out


def test_mistakes(recipe):
    def mistake(*arguments):
        return call("experiments/levers.py", "--corpus=small", "--recipe=tiny.py", "--gpus=cpu", *arguments)

    assert_mistake(mistake("--levers=base,cautius"), "cautius", "cautious")
    assert_mistake(mistake("--levers=ema=much"), "ema=much")
    assert_mistake(mistake("--levers=floor=0.1+ema=nan"), "ema=nan", "finite")
    assert_mistake(mistake("--levers=base@0"), "base@0")
    assert_mistake(mistake("--minutes=nan"), "--minutes must be a number, not 'nan'")
    assert_mistake(mistake("--levers=base@x"), "base@x")
    assert_mistake(mistake("--seeds=1,-2"), "--seeds", "not -2")
    assert_mistake(mistake("--arguments=--max_iter=3"), "max_iter")
    assert_mistake(mistake("--arguments='"), "No closing quotation")
    assert_mistake(call("experiments/levers.py"), "--corpus")
    with pytest.raises(UserError, match="no lever 'bas'"):
        changes.parse("bas")
