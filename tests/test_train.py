"""train.py: the schedule, the batches, the numbers, what it keeps, and what a user's mistakes get."""

import csv
import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT, SMALL_RUN, assert_mistake, call, environment, start

import checkpoint
import tokenizer
from batches import TrainBatches, validation_batches
from configuration import TrainConfig, combine, read_command_line, read_file
from train import Trainer, lr_factor, make_optimizer

CPU = torch.device("cpu")


def log_of(folder):
    with open(Path(folder) / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def same_tensors(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def without_clock(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


# -- batches


@pytest.fixture
def token_file(tmp_path):
    """1,003 tokens that are their own numbers."""
    path = tmp_path / "t.bin"
    np.arange(1003, dtype=np.uint16).tofile(path)
    return path


def test_each_token_is_trained_on_once_an_epoch(token_file):
    """100 windows of 10: each of the 1,003 tokens but the 3 at the cut is a target once, in a fresh order and cut."""
    batches = TrainBatches(token_file, 10, 20, seed=1, device=CPU)
    epochs = []
    for epoch in range(2):
        steps = torch.cat([batches[step] for step in range(5 * epoch, 5 * epoch + 5)])
        assert steps.shape == (100, 11)
        assert torch.equal(steps[:, 1:], (steps[:, :-1] + 1) % 1003), "a window is not a piece of the text"
        targets = steps[:, 1:].flatten().tolist()
        assert len(set(targets)) == len(targets) == 1000
        epochs.append(steps[:, 0].tolist())
    assert epochs[0] != epochs[1] and {start % 10 for start in epochs[0]} != {start % 10 for start in epochs[1]}


def test_a_batch_depends_on_seed_and_step_alone(token_file):
    """Also across the end of an epoch (100 windows, 24 a step), in any order, and however many processes share it."""
    first = TrainBatches(token_file, 10, 24, seed=1, device=CPU)
    expected = [first[step] for step in range(10)]
    again = TrainBatches(token_file, 10, 24, seed=1, device=CPU)
    for step in (9, 4, 5, 0):
        assert torch.equal(again[step], expected[step])
    assert not torch.equal(TrainBatches(token_file, 10, 24, seed=2, device=CPU)[0], expected[0])
    shares = [TrainBatches(token_file, 10, 24, 1, CPU, rank, 3) for rank in range(3)]
    assert torch.equal(torch.cat([share[4] for share in shares]), expected[4])


@pytest.mark.parametrize("world", [1, 2])
def test_validation_predicts_each_token_once(token_file, world):
    seen = []
    for rank in range(world):
        for idx, targets, count in validation_batches(token_file, 10, 8, 0, CPU, rank, world):
            assert idx.shape == targets.shape == (8, 10)
            predicted = targets >= 0
            assert count == predicted.sum()
            assert torch.equal((idx[predicted] + 1) % 1003, targets[predicted])
            seen += targets[predicted].tolist()
    assert sorted(seen) == list(range(1003))


# -- schedule and optimizer


def test_schedule():
    config = TrainConfig(learning_rate=1.0, min_lr=0.1, warmup_iters=10, max_iters=110, lr_decay_iters=90)
    rate = [lr_factor(config)(step) for step in range(110)]
    assert rate[0] == 0.1 and rate[9] == rate[10] == 1.0
    assert rate[50] == pytest.approx(0.55)
    assert sorted(rate[10:90], reverse=True) == rate[10:90]
    assert rate[90:] == pytest.approx([0.1] * 20)
    config.decay_lr = False
    assert lr_factor(config)(100) == 1.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_captured_step_does_what_a_launched_one_does(here, dtype):
    def after_steps(capturing):
        cuda = ["--device=cuda", f"--dtype={dtype}", "--micro_batch_size=4", "--compile=False"]
        trainer = Trainer(*combine(("a test", read_command_line([*SMALL_RUN, *cuda])[1])))
        trainer.settle()
        trainer.start()
        trainer.raw_model.train()
        trainer.capturing = capturing
        for _ in range(8):
            trainer.optimizer_step()
        assert bool(trainer.replay) == capturing
        return [*trainer.meters.tolist(), trainer.norm.item()], list(trainer.raw_model.parameters())

    meters, parameters = after_steps(capturing=False)
    assert meters[1] > 0
    again, replayed = after_steps(capturing=True)
    assert again == pytest.approx(meters, rel=1e-4)
    assert all(torch.allclose(*pair, atol=1e-4) for pair in zip(parameters, replayed, strict=True))


def test_decay_is_for_matrices():
    from model import GPT, GPTConfig

    model = GPT(GPTConfig(vocab_size=64, n_layer=1, n_head=1, n_embd=8))
    decayed, others = make_optimizer(model, TrainConfig(), CPU).param_groups
    assert {p.dim() for p in decayed["params"]} == {2} and decayed["weight_decay"] == 0.1
    assert {p.dim() for p in others["params"]} == {1} and others["weight_decay"] == 0
    assert len(decayed["params"]) + len(others["params"]) == len(list(model.parameters()))


# -- a run and what it keeps


def test_what_a_run_keeps(workshop):
    out = workshop.path / "out/small"
    assert {path.name for path in out.iterdir()} == {"best.pt", "last.pt", "log.csv", "loss.png", "config.json"}
    rows = log_of(out)
    header = "step,tokens,seconds,train_loss,val_loss,val_bpb,lr,grad_norm"
    assert (out / "log.csv").read_text().startswith(header + "\n")
    assert [int(row["step"]) for row in rows] == [2, 4, 6, 8, 10, 12]
    assert [int(row["tokens"]) for row in rows] == [256 * step for step in (2, 4, 6, 8, 10, 12)]
    assert [row["step"] for row in rows if row["val_loss"]] == ["6", "12"]
    assert all(row["train_loss"] and row["lr"] and row["grad_norm"] for row in rows)
    assert float(rows[0]["train_loss"]) == pytest.approx(math.log(512), abs=0.3)
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((out / "config.json").read_text())
    assert config["options"]["max_iters"] == {"value": 12, "from": "command line"}
    assert config["options"]["beta1"] == {"value": 0.9, "from": "default"}
    assert config["corpus"]["tokenizer_sha256"] and config["versions"]["torch"] == torch.__version__
    assert "train.py" in config["command"] and "git_dirty" in config and "git_commit" in config
    for word in ("CPU", "M parameters", "epochs", "GiB of memory", "bits per byte", "sample.py"):
        assert word in workshop.trained.out, word


def test_best_is_lean_and_last_is_whole(workshop):
    best, last = (checkpoint.load(workshop.path / "out/small" / name) for name in ("best.pt", "last.pt"))
    assert "optimizer" not in best and {"optimizer", "scaler", "progress"} <= last.keys()
    scores = [float(row["val_loss"]) for row in log_of(workshop.path / "out/small") if row["val_loss"]]
    assert best["val_loss"] == pytest.approx(min(scores))
    assert not [name for name in best["model"] if name.startswith(("_orig_mod", "module"))]
    assert "transformer.h.0.attn.c_attn.weight" in best["model"]
    assert "/" not in json.dumps(best["config"]["dataset"])


def test_validation_numbers(workshop, monkeypatch):
    """Nats a token, perplexity and bits per byte are those of a plain loop over the split, whatever the micro-batch."""
    monkeypatch.chdir(workshop.path)
    saved = checkpoint.load("out/small/best.pt")
    model = checkpoint.build_model(saved).eval()
    tokens = torch.from_numpy(np.fromfile("data/small/validation.bin", np.uint16).astype(np.int64))
    nats = 0.0
    with torch.no_grad():
        for begin in range(0, len(tokens), 32):
            targets = tokens[begin : begin + 32]
            idx = torch.cat([tokens[begin - 1 : begin] if begin else tokens[-1:], targets[:-1]])
            nats += F.cross_entropy(model(idx[None], targets[None])[0][0], targets, reduction="sum").item()
    meta = json.loads(Path("data/small/meta.json").read_text())["splits"]["validation"]
    for micro_batch in (1, 7, 64):
        result = call("train.py", "--out_dir=out/small", "--eval_only", f"--micro_batch_size={micro_batch}")
        assert result.status == 0, result.err
        loss, bpb = re.search(r"validation ([\d.]+) nats.* ([\d.]+) bits per byte", result.out).groups()
        assert float(loss) == pytest.approx(nats / len(tokens), abs=1e-4)
        assert float(bpb) == pytest.approx(nats / math.log(2) / meta["text_bytes"], abs=1e-4)


def test_one_command_twice_is_the_same_to_the_bit(here):
    for name in ("a", "b"):
        assert call("train.py", *SMALL_RUN, f"--out_dir=out/{name}").status == 0
    a, b = (checkpoint.load(f"out/{name}/last.pt") for name in "ab")
    assert same_tensors(a["model"], b["model"])
    assert without_clock(log_of("out/a")) == without_clock(log_of("out/b"))
    assert call("train.py", *SMALL_RUN, "--out_dir=out/c", "--seed=2").status == 0
    assert not same_tensors(a["model"], checkpoint.load("out/c/last.pt")["model"])


def test_micro_batches_change_nothing(here):
    """8 sequences at once, 1 at a time, or 3, 3 and 2: the same losses up to rounding."""
    losses = []
    for size in (8, 1, 3):
        options = [*SMALL_RUN, "--dropout=0", f"--micro_batch_size={size}", f"--out_dir=out/{size}"]
        assert call("train.py", *options).status == 0
        losses.append([float(row[name]) for row in log_of(f"out/{size}") for name in ("train_loss", "grad_norm")])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[2] == pytest.approx(losses[0], rel=1e-4)


def test_golden_losses(tmp_path, monkeypatch):
    """The first 20 losses of the sample's recipe, at a tenth of its warm-up."""
    monkeypatch.chdir(tmp_path)
    assert call("prepare.py", "--dataset", "sample").status == 0
    options = ["--max_iters=20", "--warmup_iters=5", "--log_interval=1", "--eval_iters=1", "--sample_prompt="]
    assert call("train.py", ROOT / "config/sample.py", *options, "--device=cpu").status == 0
    losses = [float(row["train_loss"]) for row in log_of("out/sample")]
    assert losses == pytest.approx(GOLDEN_LOSSES, abs=1e-3)


GOLDEN_LOSSES = [
    *(7.795053, 7.122583, 6.706682, 6.406544, 6.105831, 5.730272, 5.696417, 5.694454, 5.467110, 7.298185),
    *(5.662233, 5.475347, 5.557930, 5.464451, 5.379524, 5.393400, 5.293079, 5.218329, 5.471907, 5.233709),
]


def test_an_earlier_run_is_kept(here):
    assert call("train.py", *SMALL_RUN).status == 0
    before = (here / "out/small/best.pt").read_bytes()
    result = call("train.py", *SMALL_RUN, "--seed=2")
    assert result.status == 0 and "out/small.1" in result.out
    assert (here / "out/small.1/best.pt").read_bytes() == before != (here / "out/small/best.pt").read_bytes()


def test_out_itself_can_be_the_folder(here):
    """nanoGPT's default out_dir: a second run there leaves the runs inside it alone, and sample.py finds it."""
    assert call("train.py", *SMALL_RUN, "--out_dir=out").status == 0
    assert call("train.py", *SMALL_RUN, "--out_dir=out/other").status == 0
    assert call("train.py", *SMALL_RUN, "--out_dir=out").status == 0
    assert (here / "out.1/best.pt").exists() and (here / "out/other/best.pt").exists()
    assert "out/best.pt" in call("sample.py", "--max_new_tokens", "1").err


def test_a_console_that_lacks_a_character(here):
    """The story shown at a validation may hold any character; a console of another encoding must not end the run."""
    environ = environment(PYTHONIOENCODING="ascii")
    command = [sys.executable, str(ROOT / "train.py"), *SMALL_RUN, "--sample_prompt=\u00e9\u4e2d"]
    result = subprocess.run(command, cwd=here, capture_output=True, text=True, env=environ)
    assert result.returncode == 0, result.stderr


def test_wandb(here, monkeypatch):
    """The log goes to Weights & Biases too, line by line; without the package, one sentence and nothing is written."""
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert_mistake(call("train.py", *SMALL_RUN, "--wandb_log"), "pip install wandb")
    assert not list(here.glob("out/*"))
    sent, started = [], {}
    run = SimpleNamespace(log=lambda line, step: sent.append((step, line)))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **options: started.update(options) or run))
    assert call("train.py", *SMALL_RUN, "--wandb_log", "--wandb_project=p").status == 0
    assert started["project"] == "p" and started["config"]["max_iters"] == 12
    rows = log_of("out/small")
    assert [step for step, _ in sent] == [int(row["step"]) for row in rows]
    assert [line["train_loss"] for _, line in sent] == pytest.approx([float(row["train_loss"]) for row in rows])


def test_tensorboard(here, monkeypatch):
    """The same log for TensorBoard, and the same sentence without its package."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert_mistake(call("train.py", *SMALL_RUN, "--tensorboard_log"), "pip install tensorboard")
    assert not list(here.glob("out/*"))
    sent, folders = [], []

    def writer(folder):
        folders.append(folder)
        return SimpleNamespace(add_scalar=lambda *scalar: sent.append(scalar), flush=lambda: None)

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=writer))
    assert call("train.py", *SMALL_RUN, "--tensorboard_log").status == 0
    assert len(folders) == 1 and folders[0].startswith("out/small/tensorboard/")
    losses = [(int(row["step"]), float(row["train_loss"])) for row in log_of("out/small")]
    assert [(step, value) for name, value, step in sent if name == "train_loss"] == [
        (step, pytest.approx(loss)) for step, loss in losses
    ]
    assert {name for name, _, _ in sent} > {"val_loss", "val_bpb", "lr", "grad_norm"}


def test_fine_tuning_from_a_checkpoint(here, workshop):
    path = workshop.path / "out/small/best.pt"
    options = ["--dataset=small", f"--init_from={path}", "--max_iters=2", "--warmup_iters=0", "--sample_prompt="]
    result = call("train.py", *options, "--batch_size=4", "--gradient_accumulation_steps=1", "--out_dir=out/f")
    assert result.status == 0, result.err
    assert checkpoint.load("out/f/best.pt")["model_config"]["n_embd"] == 32, "the checkpoint decides the shape"
    assert float(log_of("out/f")[0]["train_loss"]) < 6.1  # a new model's is ln 512 = 6.24


# -- resume


def resume_options(steps, out):
    return [*SMALL_RUN, f"--max_iters={steps}", "--lr_decay_iters=12", f"--out_dir=out/{out}"]


def test_resume_is_exact(here):
    """12 steps, or 7 and then on to 12: losses, parameters, optimizer and log are the same to the bit."""
    assert call("train.py", *resume_options(12, "whole")).status == 0
    assert call("train.py", *resume_options(7, "halves"), "--micro_batch_size=8").status == 0
    result = call("train.py", *resume_options(12, "halves"), "--init_from=resume")
    assert result.status == 0, result.err
    assert "max_iters: 7 -> 12" in result.out
    whole, halves = (checkpoint.load(f"out/{name}/last.pt") for name in ("whole", "halves"))
    assert same_tensors(whole["model"], halves["model"])
    for one, other in zip(whole["optimizer"].values(), halves["optimizer"].values(), strict=True):
        assert same_tensors(one, other)
    rows = without_clock(log_of("out/halves"))
    assert [row for row in rows if row["step"] != "7"][-2:] == without_clock(log_of("out/whole"))[-2:]
    assert [row["step"] for row in rows] == ["2", "4", "6", "7", "8", "10", "12"]
    assert json.loads((here / "out/halves/config.json").read_text())["resumed"]["step"] == 7


def test_resume_needs_no_options(here):
    """A run's own options are the defaults of what goes on."""
    assert call("train.py", *resume_options(6, "r")).status == 0
    result = call("train.py", "--init_from=resume", "--out_dir=out/r", "--max_iters=8")
    assert result.status == 0, result.err
    last = checkpoint.load("out/r/last.pt")
    assert last["step"] == 8 and last["config"]["batch_size"] == 8


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_keep_everything(here, number):
    """A signal ends a run after the step in hand, with 128 + its number; resumed, it goes an undisturbed one's way."""
    steps = ["--max_iters=400", "--warmup_iters=3", "--eval_interval=100", "--log_interval=1"]
    process = start("train.py", *SMALL_RUN, *steps, cwd=here)
    log = here / "out/small/log.csv"
    while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 5):
        pass
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, out + err
    assert "--init_from=resume" in out
    stopped = checkpoint.load("out/small/last.pt")["step"]
    assert 5 <= stopped < 400
    end = f"--max_iters={stopped + 5}"
    assert call("train.py", *SMALL_RUN, *steps, "--lr_decay_iters=400", end, "--init_from=resume").status == 0
    assert call("train.py", *SMALL_RUN, *steps, "--lr_decay_iters=400", end, "--out_dir=out/whole").status == 0
    one, other = (checkpoint.load(f"out/{name}/last.pt") for name in ("small", "whole"))
    assert same_tensors(one["model"], other["model"])
    assert without_clock(log_of("out/small")) == without_clock(log_of("out/whole"))


def test_a_signal_during_validation(here, monkeypatch):
    """The validation that a signal cut short is made up for: the resumed run's log is an undisturbed one's."""
    import train

    def cut_short(self, stopping=None):
        os.kill(os.getpid(), signal.SIGTERM)
        return None

    with monkeypatch.context() as patch:
        patch.setattr(train.Trainer, "validate", cut_short)
        patch.setattr(sys, "argv", ["train.py", *SMALL_RUN, "--out_dir=out/cut"])
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        with pytest.raises(SystemExit) as leaving:
            train.main()
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
    assert leaving.value.code == 128 + signal.SIGTERM
    assert checkpoint.load("out/cut/last.pt")["step"] == 6 and [row["step"] for row in log_of("out/cut")] == ["2", "4"]
    result = call("train.py", *SMALL_RUN, "--out_dir=out/cut", "--init_from=resume")
    assert result.status == 0, result.err
    assert call("train.py", *SMALL_RUN, "--out_dir=out/whole").status == 0
    assert without_clock(log_of("out/cut")) == without_clock(log_of("out/whole"))


def test_the_command_to_go_on_goes_on(here):
    """What a stopped run prints is a command that resumes it, however its options were written."""
    process = start("train.py", *SMALL_RUN, "--max_iters", "4000", "--init_from", "scratch", cwd=here)
    while process.poll() is None and not (here / "out/small/log.csv").exists():
        pass
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    command = shlex.split(next(line for line in out.splitlines() if line.startswith("python train.py")))
    step = checkpoint.load("out/small/last.pt")["step"]
    assert call(*command[1:], f"--max_iters={step + 2}", "--warmup_iters=0").status == 0
    assert checkpoint.load("out/small/last.pt")["step"] == step + 2


# -- numbers that go wrong


def test_steps_that_are_not_finite(here, monkeypatch):
    """Such a step is not applied, is counted and is said; ten in a row end the run, the checkpoint intact."""
    bad, calls = {3}, iter(range(1000))
    unscale = torch.amp.GradScaler.unscale_

    def spoil(self, optimizer):
        if next(calls) in bad:
            optimizer.param_groups[0]["params"][0].grad[0] = math.nan
        return unscale(self, optimizer)

    monkeypatch.setattr(torch.amp.GradScaler, "unscale_", spoil)
    result = call("train.py", *SMALL_RUN, "--out_dir=out/one")
    assert result.status == 0, result.err
    assert "1 step" in result.out and "not finite" in result.out
    saved = checkpoint.load("out/one/last.pt")
    assert saved["progress"]["skipped"] == 1
    assert all(tensor.isfinite().all() for tensor in saved["model"].values())
    calls, bad = iter(range(1000)), set(range(8, 1000))
    result = call("train.py", *SMALL_RUN, "--max_iters=60", "--out_dir=out/many")
    assert_mistake(result, "in a row", "not finite")
    saved = checkpoint.load("out/many/last.pt")
    assert saved["step"] == 12 and all(tensor.isfinite().all() for tensor in saved["model"].values())


# -- configuration


def test_precedence_and_arithmetic(tmp_path):
    path = tmp_path / "c.py"
    lines = [
        '"""A recipe."""',
        "batch_size = 4 * 8  # comment",
        "learning_rate = 1",
        "min_lr = 1e-3 / 2",
        'dataset = "x"',
    ]
    path.write_text("\n".join(lines))
    values = read_file(path)
    assert values == {"batch_size": 32, "learning_rate": 1.0, "min_lr": 5e-4, "dataset": "x"}
    config, origins = combine(("file", values), ("command line", {"batch_size": 2}))
    assert (config.batch_size, config.learning_rate, config.max_iters) == (2, 1.0, TrainConfig.max_iters)
    assert (origins["batch_size"], origins["min_lr"], origins["seed"]) == ("command line", "file", "default")


def test_a_configuration_file_is_never_executed(here):
    for line in ('__import__("os").mkdir("harm")', 'dataset = open("harm", "w")', "import os", "x: int = 1", "f()"):
        (here / "c.py").write_text(f"max_iters = 3\n{line}\n")
        assert_mistake(call("train.py", "c.py"), "c.py, line 2")
    assert not (here / "harm").exists()


def test_a_nanogpt_configuration(here, monkeypatch):
    """Its habits (quotes, comments, arithmetic, no space) are read; a key that means nothing here gets one line."""
    (here / "nano.py").write_text(
        "# a small one, as nanoGPT's are written\n"
        "out_dir = 'out-nano'\n"
        "eval_interval = 5 # often\n"
        "eval_iters = 2\n"
        "log_interval = 1\n"
        "always_save_checkpoint = False\n"
        "wandb_log = False # override via the command line\n"
        "wandb_project = 'nano'\n"
        "wandb_run_name='mini'\n"
        "dataset = 'small'\n"
        "gradient_accumulation_steps = 1 * 2\n"
        "batch_size = 4\nblock_size = 32\nn_layer = 1\nn_head = 2\nn_embd = 16\ndropout = 0.0\nbias = False\n"
        "learning_rate = 1e-3\nmax_iters = 5\nlr_decay_iters = 5\nmin_lr = 1e-4\nbeta2 = 0.99\nwarmup_iters = 2\n"
        "weight_decay = 1e-1\ngrad_clip = 1.0\ndecay_lr = True\ninit_from = 'scratch'\nbackend = 'nccl'\n"
        "# on macbook also add\n"
        "# device = 'cuda'\n"
        "device = 'cpu'  # run on cpu only\n"
        "compile = False # do not torch compile the model\n"
    )
    result = call("train.py", "nano.py", "--sample_prompt=")
    assert result.status == 0, result.err
    assert [line for line in result.err.splitlines() if "nano.py" in line] == [
        "nano.py: always_save_checkpoint means nothing here and is left out"
    ]
    saved = checkpoint.load("out-nano/best.pt")
    assert saved["config"]["gradient_accumulation_steps"] == 2 and saved["model_config"]["bias"] is False
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(sys, "stderr", None)  # of several processes only the first says it
    assert read_file("nano.py")["wandb_run_name"] == "mini"


def test_help_names_every_option():
    result = call("train.py", "--help")
    assert result.status == 0
    for name, option in TrainConfig.__dataclass_fields__.items():
        assert re.search(rf"--{name}=.* {re.escape(option.metadata['help'])}", result.out), name


@pytest.mark.parametrize("recipe", sorted(path.name for path in (ROOT / "config").glob("*.py")))
def test_recipes_are_sound(recipe):
    config, _ = combine((recipe, read_file(ROOT / "config" / recipe)))
    config.check()
    assert config.out_dir in (f"out/{config.dataset}", f"out/{recipe.removesuffix('.py')}")
    assert config.max_iters % config.eval_interval == 0, "the last validation comes right after another"


MISTAKES = {
    "misspelled option": (["--learning_rat=1"], ["--learning_rat", "did you mean learning_rate"]),
    "wrong type": (["--batch_size=many"], ["batch_size", "whole number", "many"]),
    "float for int": (["--max_iters=1.5"], ["max_iters", "whole number", "1.5"]),
    "no value": (["--batch_size"], ["--batch_size needs a value"]),
    "no such file": (["config/nothing.py"], ["config/nothing.py"]),
    "no dashes": (["learning_rate=1e-3"], ["--learning_rate=1e-3"]),
    "a file as folder": (["--out_dir=data/small/meta.json"], ["meta.json", "--out_dir"]),
    "heads": (["--n_embd=30", "--n_head=4"], ["n_embd 30", "n_head 4"]),
    "warm-up": (["--warmup_iters=13"], ["warmup_iters 13", "12 steps"]),
    "a climb": (["--learning_rate=1e-4", "--min_lr=5e-4"], ["min_lr 0.0005", "learning_rate 0.0001"]),
    "dropout": (["--dropout=1.5"], ["dropout", "1.5"]),
    "negative": (["--weight_decay=-1"], ["weight_decay"]),
    "zero": (["--batch_size=0"], ["batch_size", "above 0"]),
    "warm-up of a longer decay": (["--warmup_iters=50", "--lr_decay_iters=100"], ["warmup_iters 50", "12 steps"]),
    "seed": (["--seed=99999999999999999999"], ["seed"]),
    "no data": (["--dataset=nothing"], ["data/nothing", "python prepare.py"]),
    "short corpus": (["--block_size=100000"], ["100000", "window"]),
    "device": (["--device=toaster"], ["toaster"]),
    "no such GPU": (["--device=cuda:99"], ["cuda:99"]),
    "dtype": (["--dtype=float8"], ["float8", "bfloat16"]),
    "nothing to resume": (["--init_from=resume"], ["last.pt"]),
    "no checkpoint": (["--init_from=nothing.pt"], ["nothing.pt"]),
    "nothing to evaluate": (["--eval_only"], ["no checkpoint", "out/small"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(here, mistake):
    arguments, words = MISTAKES[mistake]
    assert_mistake(call("train.py", *SMALL_RUN, *arguments), *words)
    assert not list(here.glob("out/*")), "something was written"


@pytest.fixture
def own_data(here, workshop):
    """data/small as a copy that a test may damage."""
    (here / "data/small").unlink()
    shutil.copytree(workshop.path / "data/small", here / "data/small")
    return here / "data/small"


def test_damaged_data(own_data):
    with open(own_data / "train.bin", "ab") as file:
        file.write(b"xx")
    assert_mistake(call("train.py", *SMALL_RUN), "train.bin", "meta.json")
    (own_data / "tokenizer.tiktoken").write_text("IQ== 0\n")
    assert_mistake(call("train.py", *SMALL_RUN), "tokenizer")
    (own_data / "meta.json").write_text("{")
    assert_mistake(call("train.py", *SMALL_RUN), "meta.json")


# -- checkpoints that are not what they should be


class Harm:
    def __reduce__(self):
        return (Path.touch, (Path("harm"),))


def damage(path, kind, workshop):
    contents = bytearray((workshop.path / "out/small/best.pt").read_bytes())
    if kind == "truncated":
        path.write_bytes(contents[: len(contents) // 2])
    elif kind == "one bit":
        contents[len(contents) // 3] ^= 1
        path.write_bytes(contents)
    elif kind == "another program's":
        torch.save({"state_dict": {"w": torch.zeros(3)}}, path)
    elif kind == "no zip":
        path.write_text("hello")
    elif kind == "hostile":
        saved = torch.load(workshop.path / "out/small/best.pt", weights_only=True)
        torch.save(saved | {"step": Harm()}, path)


@pytest.mark.parametrize("kind", ["truncated", "one bit", "another program's", "no zip", "hostile"])
def test_bad_checkpoints(here, workshop, kind):
    """One sentence each, from every script that reads one; and no code in a checkpoint is ever run."""
    damage(here / "bad.pt", kind, workshop)
    for script, arguments in (
        ("sample.py", ["--out_dir", "bad.pt"]),
        ("train.py", [*SMALL_RUN, "--init_from=bad.pt"]),
        ("train.py", [*SMALL_RUN, "--eval_only", "--init_from=bad.pt"]),
    ):
        assert_mistake(call(script, *arguments), "bad.pt")
    assert not (here / "harm").exists(), "code from a checkpoint was run"


def test_another_vocabulary(here, workshop):
    (here / "other.txt").write_text((workshop.path / "small.txt").read_text()[:20_000])
    assert call("prepare.py", "--dataset", "other.txt", "--vocab_size", "300").status == 0
    options = ["--dataset=other", f"--init_from={workshop.path}/out/small", "--device=cpu"]
    assert_mistake(call("train.py", *options), "vocabulary", "data/other")


def test_fine_tuning_on_another_text(here, workshop):
    """config/finetune.py as its head says, in the vocabulary of the run: the loss on the new text falls."""
    (here / "my_text.txt").write_text("The old lamp was lit again. It saw a small boat go out to sea.\n\n" * 200)
    run = f"{workshop.path}/out/small"
    assert call("prepare.py", "--dataset", "my_text.txt", "--vocab_of", run).status == 0
    options = [f"--init_from={run}", "--dataset=my_text", "--max_iters=40", "--eval_interval=20", "--device=cpu"]
    result = call("train.py", ROOT / "config/finetune.py", *options, "--learning_rate=1e-2", "--sample_prompt=")
    assert result.status == 0, result.err
    losses = [float(row["val_loss"]) for row in log_of("out/my_text") if row["val_loss"]]
    assert len(losses) == 2 and losses[1] < losses[0]
    assert checkpoint.load("out/my_text/best.pt")["model_config"]["n_embd"] == 32


def test_another_shape(here, workshop):
    options = [*SMALL_RUN, f"--init_from={workshop.path}/out/small", "--n_layer=3", "--bias=False"]
    assert_mistake(call("train.py", *options), "n_layer 2, not 3", "bias True, not False")


# -- a full disk


@pytest.mark.skipif(sys.platform == "win32", reason="file-size limits are Unix's")
def test_a_full_disk_is_one_sentence(here):
    """The disk takes no more in the middle of a checkpoint (a file-size limit): what was kept before is intact."""
    assert call("train.py", *SMALL_RUN).status == 0
    before = (here / "out/small/last.pt").read_bytes()
    code = (
        "import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) // 2}, -1));"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", code, str(ROOT / "train.py"), *SMALL_RUN, "--max_iters=20", "--init_from=resume"]
    result = subprocess.run(command, cwd=here, capture_output=True, text=True, env=environment(PYTHONPATH=str(ROOT)))
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1 and "cannot write" in result.stderr
    assert (here / "out/small/last.pt").read_bytes() == before
    assert not list(here.glob("out/small/*.partial"))


# -- several processes


def torchrun_command(*arguments, processes=2):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return [*launcher, *arguments]


def test_two_processes_are_as_one(here):
    """Two gloo processes give one process's losses within 1e-5; only the first writes and prints."""
    options = [*SMALL_RUN, "--dropout=0", "--micro_batch_size=2"]
    assert call("train.py", *options, "--out_dir=out/one").status == 0
    command = torchrun_command(str(ROOT / "train.py"), *options, "--out_dir=out/two")
    environ = environment(OMP_NUM_THREADS="1")
    result = subprocess.run(command, cwd=here, capture_output=True, text=True, env=environ, timeout=180)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("step 12: validation") == 1
    one, two = log_of("out/one"), log_of("out/two")
    assert [row["step"] for row in one] == [row["step"] for row in two]
    for name in ("train_loss", "val_loss", "val_bpb", "grad_norm"):
        expected = [float(row[name]) for row in one if row[name]]
        assert [float(row[name]) for row in two if row[name]] == pytest.approx(expected, abs=1e-5)
    assert not (here / "out/two.1").exists()


def test_resume_with_other_micro_batches_and_processes(here):
    """A run's second half may be cut up otherwise, and done by another number of processes."""
    options = [*SMALL_RUN, "--dropout=0", "--lr_decay_iters=12"]
    assert call("train.py", *options, "--out_dir=out/whole").status == 0
    assert call("train.py", *options, "--max_iters=6", "--micro_batch_size=8", "--out_dir=out/halves").status == 0
    command = torchrun_command(str(ROOT / "train.py"), *options, "--micro_batch_size=2", "--out_dir=out/halves")
    environ = environment(OMP_NUM_THREADS="1")
    command.append("--init_from=resume")
    result = subprocess.run(command, cwd=here, capture_output=True, text=True, env=environ, timeout=180)
    assert result.returncode == 0, result.stderr
    whole, halves = log_of("out/whole"), log_of("out/halves")
    assert [row["step"] for row in whole] == [row["step"] for row in halves]
    for name in ("train_loss", "val_loss", "grad_norm"):
        expected = [float(row[name]) for row in whole if row[name]]
        assert [float(row[name]) for row in halves if row[name]] == pytest.approx(expected, abs=1e-5)


def test_tokenizer_travels_with_the_checkpoint(workshop):
    saved = checkpoint.load(workshop.path / "out/small/best.pt")
    assert tokenizer.from_text(saved["tokenizer"]).n_vocab == 512
