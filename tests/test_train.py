"""train.py: the learning rate, one optimizer step, a run from its command to its files, and what a mistake gets."""

import copy
import json
import math
import re
import sys

import pytest
import torch
import torch.nn.functional as F
from conftest import (
    ROOT,
    SMALL_RUN,
    assert_mistake,
    call,
    log_of,
    same_tensors,
    small_config,
    without_clock,
)

import train
from model import GPT, GPTConfig
from slm.config import TrainConfig
from slm.models import checkpoint
from slm.text import tokenizer
from slm.text.corpus import TokenFile
from slm.training.batches import TrainBatches
from slm.training.distributed import ProcessGroup

CPU = torch.device("cpu")


# -- one step, in plain PyTorch ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "micro_batch", [8, 4, 3, 1], ids=["one micro-batch", "two", "three, the last one filled up", "eight"]
)
def test_a_step_is_a_step_of_plain_pytorch(workshop, micro_batch):
    """The page to learn from: forward, backward, clip, AdamW. All that train_step does besides changes no number."""
    config = TrainConfig(batch_size=8, gradient_accumulation_steps=1, block_size=32, max_iters=3, warmup_iters=2)
    config.grad_clip = 0.25
    ours = GPT(GPTConfig(vocab_size=512, block_size=32, n_layer=2, n_head=2, n_embd=32, dropout=0.0, bias=False))
    plain = copy.deepcopy(ours)
    batches = TrainBatches(TokenFile(workshop.path / "data/small/train.bin"), config, CPU)

    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in plain.parameters() if p.dim() == 2], "weight_decay": 0.1},
            {"params": [p for p in plain.parameters() if p.dim() == 1], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.95),
    )
    expected = []
    for step in range(3):
        batch = batches[8 * step]  # (8, 33): 8 sequences of 32 tokens and the token after each
        logits, _ = plain(batch[:, :-1], batch[:, 1:])
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        grad_norm = torch.nn.utils.clip_grad_norm_(plain.parameters(), max_norm=0.25)
        for group in optimizer.param_groups:
            group["lr"] = [0.5e-3, 1e-3, 1e-3][step]  # two steps of warm-up, then the cosine begins
        optimizer.step()
        expected.append((loss.item(), grad_norm.item()))
    assert expected[0][1] > 0.25, "the gradient is small: nothing was clipped"

    optimizer = train.configure_optimizer(ours, config, CPU)
    scaler = train.configure_scaler(CPU, torch.float32)
    group = ProcessGroup("cpu")
    for step in range(3):
        train.set_lr(optimizer, train.get_lr(step, config))
        metrics, grad_norm, _ = train.train_step(
            batches[8 * step], ours, optimizer, scaler, micro_batch, config.grad_clip, torch.float32, group
        )
        assert (metrics["train_loss"].item(), grad_norm.item()) == pytest.approx(expected[step], rel=1e-5)
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter, plain.get_parameter(name), atol=1e-6, rtol=1e-5, msg=name)


def test_no_clipping(workshop):
    """grad_clip 0 leaves the gradient's length: SGD's step is then the gradient itself."""
    torch.manual_seed(0)
    config = TrainConfig(batch_size=4, gradient_accumulation_steps=1, block_size=32)
    model = GPT(GPTConfig(vocab_size=512, block_size=32, n_layer=1, n_head=2, n_embd=32, dropout=0.0, init_std=0.05))
    before = copy.deepcopy(model)
    optimizer, scaler = torch.optim.SGD(model.parameters(), lr=1.0), train.configure_scaler(CPU, torch.float32)
    batch = TrainBatches(TokenFile(workshop.path / "data/small/train.bin"), config, CPU)[0]
    _, grad_norm, _ = train.train_step(batch, model, optimizer, scaler, 4, 0.0, torch.float32, ProcessGroup("cpu"))
    change = torch.cat([(a - b).flatten() for a, b in zip(model.parameters(), before.parameters(), strict=True)])
    assert grad_norm > 1 and change.norm().item() == pytest.approx(grad_norm.item(), rel=1e-4)


@pytest.mark.parametrize("grad_clip", [0.0, 1.0])
@pytest.mark.parametrize("gradient", [math.nan, math.inf, 1e25], ids=["nan", "infinite", "finite, its norm is not"])
@pytest.mark.parametrize(
    ("dtype", "is_failure"), [(torch.float32, True), (torch.bfloat16, True), (torch.float16, False)]
)
def test_a_step_that_is_not_finite_is_skipped(workshop, monkeypatch, dtype, is_failure, gradient, grad_clip):
    """In float16 it is no failure as long as the scale can fall; in other types it is one at once."""
    config, _ = small_config()
    model = GPT(GPTConfig(vocab_size=512, block_size=32, n_layer=1, n_head=2, n_embd=32, dropout=0.0))
    optimizer, scaler = train.configure_optimizer(model, config, CPU), train.configure_scaler(CPU, dtype)
    batch = TrainBatches(TokenFile(workshop.path / "data/small/train.bin"), config, CPU)[0]
    group = ProcessGroup("cpu")
    arguments = batch, model, optimizer, scaler, 8, grad_clip, dtype, group
    before = copy.deepcopy(dict(model.named_parameters()))
    with monkeypatch.context() as patch:
        patch.setattr(group, "sum_gradients", lambda parameters: [p.grad.fill_(gradient) for p in parameters])
        _, grad_norm, failed = train.train_step(*arguments)
    assert not grad_norm.isfinite() and failed.item() == is_failure
    assert same_tensors(dict(model.named_parameters()), before)
    assert scaler.get_scale() == (32768 if dtype == torch.float16 else 1)
    _, grad_norm, _ = train.train_step(*arguments)
    assert grad_norm.isfinite() and not same_tensors(dict(model.named_parameters()), before)


def test_decay_is_for_matrices():
    model = GPT(GPTConfig(vocab_size=64, n_layer=1, n_head=1, n_embd=8))
    decayed, others = train.configure_optimizer(model, TrainConfig(), CPU).param_groups
    assert {p.dim() for p in decayed["params"]} == {2} and decayed["weight_decay"] == 0.1
    assert {p.dim() for p in others["params"]} == {1} and others["weight_decay"] == 0
    assert len(decayed["params"]) + len(others["params"]) == len(list(model.parameters()))


# -- the learning rate ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warmup", [2, 10, 37])
def test_the_learning_rate_is_that_of_pytorchs_schedulers(warmup):
    """LinearLR, then CosineAnnealingLR, at every step of a run."""
    config = TrainConfig(learning_rate=2e-3, min_lr=3e-4, warmup_iters=warmup, max_iters=150)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=150 - warmup, eta_min=config.min_lr),
        ],
        milestones=[warmup],
    )
    for step in range(150):
        assert train.get_lr(step, config) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9), step
        optimizer.step()
        schedule.step()


def test_the_learning_rate_by_hand():
    config = TrainConfig(learning_rate=1.0, min_lr=0.1, warmup_iters=10, max_iters=110, lr_decay_iters=90)
    lr = [train.get_lr(step, config) for step in range(110)]
    assert lr[0] == 0.1 and lr[9] == lr[10] == 1.0
    assert lr[50] == pytest.approx(0.55)
    assert sorted(lr[10:90], reverse=True) == lr[10:90]
    assert lr[90:] == pytest.approx([0.1] * 20)
    config.decay_lr = False
    assert train.get_lr(100, config) == 1.0
    config.warmup_iters = 0
    assert train.get_lr(0, config) == 1.0
    assert train.get_lr(0, TrainConfig(warmup_iters=0)) == TrainConfig.learning_rate
    assert train.get_lr(9, TrainConfig(warmup_iters=10, max_iters=10)) == TrainConfig.learning_rate


def test_a_learning_rate_in_a_tensor_is_filled():
    """A captured step reads the tensor's memory: the tensor must stay the same one."""
    parameter, lr = torch.zeros(1, requires_grad=True), torch.tensor(0.5)
    optimizer = torch.optim.AdamW([parameter], lr=lr)
    train.set_lr(optimizer, 0.25)
    assert lr.item() == 0.25 and optimizer.param_groups[0]["lr"] is lr
    optimizer = torch.optim.AdamW([parameter], lr=0.5)
    train.set_lr(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_dropout_depends_on_the_seed_the_step_and_the_process():
    def numbers(*arguments):
        train.seed_dropout(*arguments)
        return torch.rand(3).tolist()

    assert numbers(1, 2, 0) == numbers(1, 2, 0)
    assert len({tuple(numbers(*which)) for which in ((1, 2, 0), (2, 2, 0), (1, 3, 0), (1, 2, 1), (2**62, 2, 0))}) == 5


# -- a run ------------------------------------------------------------------------------------------------------------


def test_what_a_run_keeps(workshop):
    out = workshop.path / "out/small"
    names = {path.name for path in out.iterdir()}
    assert names == {"best.pt", "last.pt", "log.csv", "loss.png", "config.json", ".lock"}
    rows = log_of(out)
    assert [int(row["step"]) for row in rows] == [2, 4, 6, 8, 10, 12]
    assert [int(row["tokens"]) for row in rows] == [256 * step for step in (2, 4, 6, 8, 10, 12)]
    assert [row["step"] for row in rows if row["val_loss"]] == ["6", "12"]
    assert all(row["train_loss"] and row["lr"] and row["grad_norm"] for row in rows)
    assert float(rows[0]["train_loss"]) == pytest.approx(math.log(512), abs=0.3)
    assert sorted(float(row["seconds"]) for row in rows) == [float(row["seconds"]) for row in rows]
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((out / "config.json").read_text())
    assert config["options"]["max_iters"] == {"value": 12, "from": "command line"}
    assert config["options"]["beta1"] == {"value": 0.9, "from": "default"}
    assert config["corpus"]["tokenizer_sha256"] and config["versions"]["torch"] == torch.__version__
    assert "train.py" in config["command"] and "git_dirty" in config and "git_commit" in config
    assert config["resumes"] == []
    for word in ("CPU", "42,880 parameters", "epochs", "GiB of memory", "bits per byte", "done: best", "sample.py"):
        assert word in workshop.trained.out, word


def test_best_is_lean_and_last_is_whole(workshop):
    best, last = (checkpoint.load_checkpoint(workshop.path / "out/small" / name) for name in ("best.pt", "last.pt"))
    assert "optimizer" not in best and {"optimizer", "scaler", "progress"} <= last.keys()
    scores = [float(row["val_loss"]) for row in log_of(workshop.path / "out/small") if row["val_loss"]]
    assert best["val_loss"] == pytest.approx(min(scores))
    assert not [name for name in best["model"] if name.startswith(("_orig_mod", "module"))]
    assert "transformer.h.0.attn.c_attn.weight" in best["model"]
    assert "/" not in json.dumps(best["config"]["dataset"])
    assert tokenizer.from_text(best["tokenizer"]).n_vocab == 512
    progress = last["progress"]
    assert (progress["step"], progress["logged"], progress["best_step"]) == (12, 12, 12)
    assert progress["micro_batch"] == 8 and len(progress["corpus"]) == 64


def test_one_command_twice_is_the_same_to_the_bit(here):
    for name in ("a", "b"):
        assert call("train.py", *SMALL_RUN, f"--out_dir=out/{name}").status == 0
    a, b = (checkpoint.load_checkpoint(f"out/{name}/last.pt") for name in "ab")
    assert same_tensors(a["model"], b["model"])
    assert without_clock(log_of("out/a")) == without_clock(log_of("out/b"))
    assert call("train.py", *SMALL_RUN, "--out_dir=out/c", "--seed=2").status == 0
    assert not same_tensors(a["model"], checkpoint.load_checkpoint("out/c/last.pt")["model"])


def test_golden_losses(workshop, tmp_path, monkeypatch):
    """The first 20 losses of two layers of the sample's width in AdamW's steps of 8 sequences, with a token a byte."""
    monkeypatch.chdir(tmp_path)
    stories = workshop.path / "small.txt"
    assert call("prepare.py", "--dataset", stories, "--vocab_size", "257", "--name", "sample").status == 0
    options = ["--max_iters=20", "--warmup_iters=5", "--log_interval=1", "--eval_iters=1", "--sample_prompt="]
    options += ["--optimizer=adamw", "--beta1=0.9", "--learning_rate=4e-3"]
    options += ["--n_layer=2", "--batch_size=8", "--block_size=64"]
    assert call("train.py", ROOT / "config/sample.py", *options, "--device=cpu", "--dtype=float32").status == 0
    losses = [float(row["train_loss"]) for row in log_of("out/sample")]
    assert losses == pytest.approx(GOLDEN_LOSSES, abs=1e-3)


GOLDEN_LOSSES = [
    *(5.911935, 4.362313, 3.889405, 3.862674, 3.49251, 3.22566, 3.189508, 3.135192, 3.061764, 3.015919),
    *(2.910955, 2.969956, 2.874093, 2.872722, 2.873041, 2.875331, 2.796106, 2.773051, 2.701143, 2.77537),
]


def test_a_nanogpt_configuration(here):
    """A file as nanoGPT's are written trains a model of its shape."""
    (here / "nano.py").write_text(
        "out_dir = 'out-nano'\n"
        "eval_interval = 5 # often\n"
        "eval_iters = 2\n"
        "always_save_checkpoint = False\n"
        "dataset = 'small'\n"
        "gradient_accumulation_steps = 1 * 2\n"
        "batch_size = 4\nblock_size = 32\nn_layer = 1\nn_head = 2\nn_embd = 16\ndropout = 0.0\nbias = False\n"
        "max_iters = 5\nlr_decay_iters = 5\nwarmup_iters = 2\nbackend = 'nccl'\ndevice = 'cpu'\ncompile = False\n"
    )
    result = call("train.py", "nano.py", "--sample_prompt=")
    assert result.status == 0, result.err
    assert "ignored always_save_checkpoint" in result.err
    saved = checkpoint.load_checkpoint("out-nano/best.pt")
    assert saved["config"]["gradient_accumulation_steps"] == 2 and saved["model_config"]["bias"] is False


def test_a_warm_up_that_is_shortened_is_a_line(here):
    (here / "recipe.py").write_text("warmup_iters = 100\nmax_iters = 1000\n")
    small = [option for option in SMALL_RUN if "warmup" not in option]
    result = call("train.py", "recipe.py", *small, "--max_iters=4", "--eval_iters=1")
    assert result.status == 0, result.err
    assert [line for line in result.out.splitlines() if "warm-up" in line] == [
        "warm-up  none, the run is too short for one"
    ]
    assert json.loads((here / "out/small/config.json").read_text())["options"]["warmup_iters"]["value"] == 0
    assert not [line for line in call("train.py", *SMALL_RUN, "--max_iters=4").out.splitlines() if "warm-up" in line]


def test_help():
    result = call("train.py", "--help")
    assert result.status == 0 and "torchrun" in result.out
    assert re.search(r"--batch_size=32\s+sequences", result.out)


# -- numbers that go wrong --------------------------------------------------------------------------------------------


@pytest.fixture
def bad_steps(monkeypatch):
    """A set of numbers; the gradient of the optimizer steps in it, counted from 0, is not a number."""
    bad, numbers = set(), iter(range(10**6))

    def spoil(self, parameters):
        if next(numbers) in bad:
            next(iter(parameters)).grad[0] = math.nan

    monkeypatch.setattr(ProcessGroup, "sum_gradients", spoil)
    return bad


def test_a_step_that_is_not_finite_is_a_line(here, bad_steps):
    """It is not applied, counted, and printed once; the mean loss is that of the other steps."""
    bad_steps |= {3, 8, 9}
    result = call("train.py", *SMALL_RUN)
    assert result.status == 0, result.err
    lines = [line for line in result.out.splitlines() if "not finite" in line]
    assert lines == [
        "step 4: 1 step was skipped so far: the gradient was not finite",
        "step 10: 3 steps were skipped so far: the gradient was not finite",
    ]
    saved = checkpoint.load_checkpoint("out/small/last.pt")
    assert saved["progress"]["failed"] == 3
    assert all(tensor.isfinite().all() for tensor in saved["model"].values())
    assert [row["step"] for row in log_of("out/small") if row["train_loss"] == "nan"] == ["10"]


@pytest.mark.parametrize("log_interval", [2, 50])
def test_ten_bad_steps_in_a_row_end_a_run(here, bad_steps, log_interval):
    """Also between two lines of the log; the checkpoint of before is whole."""
    bad_steps |= set(range(7, 1000))
    options = ["--max_iters=100", f"--log_interval={log_interval}", "--lr_decay_iters=100"]
    result = call("train.py", *SMALL_RUN, *options, "--eval_interval=5")
    assert_mistake(result, "10 steps in a row", "not finite", "last.pt has the model from before them")
    assert "step 20" not in result.out
    saved = checkpoint.load_checkpoint("out/small/last.pt")
    assert saved["step"] == 15 and all(tensor.isfinite().all() for tensor in saved["model"].values())


def test_bad_steps_from_the_start(here, bad_steps):
    """No sentence speaks of a checkpoint that there is none of."""
    bad_steps |= set(range(1000))
    result = call("train.py", *SMALL_RUN, "--max_iters=60", "--eval_interval=30")
    assert_mistake(result, "10 steps in a row")
    assert "last.pt" not in result.err and not list(here.glob("out/small/*.pt"))


def test_a_run_that_diverges_is_not_the_best_so_far(here):
    """Finite numbers all the while, a loss far above guessing: no best.pt, and the sentences say so."""
    result = call("train.py", *SMALL_RUN, "--learning_rate=30", "--grad_clip=0", "--warmup_iters=0", "--beta2=0.5")
    assert result.status == 0, result.err
    assert float(log_of("out/small")[-1]["val_loss"]) > 2 * math.log(512)
    assert "the best so far" not in result.out and "best.pt" not in result.out.replace("worth a best.pt", "")
    assert "where guessing gives 6.24: try a lower --learning_rate" in result.out
    assert {path.name for path in here.glob("out/small/*.pt")} == {"last.pt"}
    assert call("sample.py", "--out_dir", "out/small", "--max_new_tokens", "1").status == 0


# -- mistakes ---------------------------------------------------------------------------------------------------------


MISTAKES = {
    "misspelled option": (["--learning_rat=1"], ["--learning_rat", "did you mean learning_rate"]),
    "no such file": (["config/nothing.py"], ["config/nothing.py"]),
    "a file as folder": (["--out_dir=data/small/meta.json"], ["meta.json", "--out_dir"]),
    "heads": (["--n_embd=30", "--n_head=4"], ["n_embd 30", "n_head 4"]),
    "warm-up": (["--warmup_iters=13"], ["warmup_iters 13", "12 steps"]),
    "no data": (["--dataset=nothing"], ["data/nothing", "(prepared: small)", "python prepare.py"]),
    "device": (["--device=toaster"], ["toaster"]),
    "another device": (["--device=meta"], ["meta"]),
    "no such GPU": (["--device=cuda:99"], ["cuda:99"]),
    "dtype": (["--dtype=float8"], ["float8", "bfloat16"]),
    "float16 on a CPU": (["--dtype=float16"], ["float16", "float32"]),
    "backend": (["--backend=mpi"], ["mpi", "gloo"]),
    "nothing to resume": (["--init_from=resume"], ["out/small/last.pt"]),
    "no checkpoint": (["--init_from=nothing.pt"], ["nothing.pt"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(here, mistake):
    arguments, words = MISTAKES[mistake]
    assert_mistake(call("train.py", *SMALL_RUN, *arguments), *words)
    assert not list(here.glob("out/*")), "something was written"


def test_the_command_for_a_recipes_corpus(tmp_path, monkeypatch):
    """`python prepare.py` alone would download two gigabytes of another corpus."""
    monkeypatch.chdir(tmp_path)
    assert_mistake(call("train.py", ROOT / "config/sample.py"), "run `python prepare.py --dataset sample` first")
    result = call("train.py", ROOT / "config/tinystories_8k.py")
    assert_mistake(result, "run `python prepare.py --vocab_size 8192 --name tinystories_8k` first")


def test_out_of_memory_is_a_sentence(here, monkeypatch):
    """In the search for the micro-batch, and later, in a validation."""
    from slm.training.evaluation import Evaluator

    def out_of_memory(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate ...")

    monkeypatch.setattr(Evaluator, "__call__", out_of_memory)
    assert_mistake(call("train.py", *SMALL_RUN), "out of memory: give a smaller --micro_batch_size")
    monkeypatch.setattr(GPT, "forward", out_of_memory)
    assert_mistake(call("train.py", *SMALL_RUN), "one sequence does not fit in memory: give a smaller model")


@pytest.mark.skipif(sys.platform == "win32", reason="file-size limits are Unix's")
def test_a_full_disk_is_one_sentence(here):
    """The disk takes no more in the middle of a checkpoint (a file-size limit): what was kept before is intact."""
    import resource

    assert call("train.py", *SMALL_RUN).status == 0
    before = (here / "out/small/last.pt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        result = call("train.py", *SMALL_RUN, "--max_iters=20", "--init_from=resume")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_mistake(result, "cannot write out/small/last.pt")
    assert (here / "out/small/last.pt").read_bytes() == before
    assert not list(here.glob("out/small/*.partial"))
