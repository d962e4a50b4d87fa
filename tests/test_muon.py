"""slm/training/muon.py: the orthogonal update, which parameters get it, skipped steps, and a resume."""

import pytest
import torch
from conftest import SMALL_RUN, assert_mistake, call, same_tensors, small_config

import train
from model import GPT, GPTConfig
from slm.models import checkpoint
from slm.text.corpus import TokenFile
from slm.training.batches import TrainBatches
from slm.training.distributed import ProcessGroup
from slm.training.muon import Muon, orthogonalize, share

CPU = torch.device("cpu")


def small_model():
    torch.manual_seed(3)
    return GPT(GPTConfig(vocab_size=512, block_size=32, n_layer=2, n_head=2, n_embd=32, dropout=0.0))


def configure(model):
    config, _ = small_config("--optimizer=muon", "--dtype=float32", "--dropout=0")
    return train.configure_optimizer(model, config, CPU), config


@pytest.mark.parametrize("shape", [(3, 96, 32), (1, 32, 32), (2, 32, 128)], ids=["tall", "square", "wide"])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_orthogonal(shape, scale):
    """The singular vectors stay, the singular values come near 1, whatever the size of the gradient."""
    rank = min(shape[1:])
    u, _, vh = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    values = torch.linspace(0.1, 1, rank) * scale
    turned = u.mT @ orthogonalize(u * values @ vh, torch.float32) @ vh.mT
    near_one = turned.diagonal(dim1=1, dim2=2)
    assert near_one.min() > 0.6 and near_one.max() < 1.25
    assert (turned - torch.diag_embed(near_one)).abs().max() < 1e-3


def test_a_matrix_of_zeros_stays_one():
    assert not orthogonalize(torch.zeros(1, 4, 8), torch.float32).any()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon is newer than this PyTorch")
def test_steps_are_those_of_pytorchs_muon():
    """PyTorch's works a matrix at a time in bfloat16; AdamW beside it for what is no matrix of a block.

    PyTorch's is given queries, keys and values as the three matrices that they are.
    """
    ours, plain = small_model(), small_model()
    others, pieces = [], []
    for whole in plain.parameters():
        if whole.dim() != 2 or all(whole is not block for block in plain.transformer.h.parameters()):
            others.append(whole)
            continue
        parts = whole.detach().chunk(3 if len(whole) == 3 * whole.size(1) else 1)
        pieces += [(whole, number, torch.nn.Parameter(part)) for number, part in enumerate(parts)]
    optimizers = [
        torch.optim.Muon([piece for *_, piece in pieces], lr=0.02, weight_decay=0.3, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=0.02, weight_decay=0.3),
    ]
    groups = [{"params": list(ours.parameters()), "weight_decay": 0.3}]
    muon_and_adamw = Muon(groups, ours.transformer.h, torch.bfloat16, lr=0.02, fused=True)
    before = [p.detach().clone() for p in ours.parameters()]
    for _ in range(6):
        for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
            one.grad, other.grad = 2 * [torch.randn(one.shape)]
        for whole, number, piece in pieces:
            piece.grad = whole.grad[number * len(piece) : (number + 1) * len(piece)]
        for optimizer in (muon_and_adamw, *optimizers):
            optimizer.step()
    for start, a, b in zip(before, ours.parameters(), plain.parameters(), strict=True):
        assert (a - b).norm() < 0.03 * (a - start).norm()  # it rounds more to bfloat16


def test_the_matrices_of_the_blocks_are_muons():
    model = small_model()
    optimizer, config = configure(model)
    name_of = {parameter: name for name, parameter in model.named_parameters()}
    groups = [({name_of[p] for p in group["params"]}, group) for group in optimizer.param_groups]
    names = [f"transformer.h.{n}.{m}.weight" for n in (0, 1) for m in ("attn.c_attn", "attn.c_proj", "mlp.c_fc")]
    names += [f"transformer.h.{n}.mlp.c_proj.weight" for n in (0, 1)]
    ((for_muon, group),) = [(found, group) for found, group in groups if group.get("muon")]
    assert for_muon == set(names) and group["weight_decay"] == config.weight_decay
    assert sum(len(found) for found, _ in groups) == len(name_of)
    assert all(group["weight_decay"] == 0 for found, group in groups if any("ln_" in name for name in found))
    optimizer = train.configure_optimizer(model, small_config()[0], CPU)
    assert type(optimizer) is torch.optim.AdamW


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_leaves_nothing_behind(workshop, monkeypatch, bad):
    """One number of one gradient is wrong: no parameter, momentum or moment changes; the next step is as without."""

    def spoil(parameters):
        matrices = [parameter for parameter in parameters if parameter.dim() == 2]
        matrices[-1].grad[3, 5] = bad

    def after_steps(spoiled):
        model = small_model()
        optimizer, config = configure(model)
        scaler = train.configure_scaler(CPU, torch.float32)
        batches = TrainBatches(TokenFile(workshop.path / "data/small/train.bin"), config, CPU)
        for step in range(4 if spoiled else 3):
            group = ProcessGroup("cpu")
            if spoiled and step == 1:
                group.sum_gradients = spoil
            batch = batches[8 * (step if not spoiled or step < 2 else step - 1)]
            train.train_step(batch, model, optimizer, scaler, 8, 1.0, torch.float32, group)
        state = optimizer.state_dict()["state"]
        return dict(model.named_parameters()), [v for s in state.values() for k, v in sorted(s.items()) if k != "step"]

    parameters, state = after_steps(spoiled=False)
    again, state_again = after_steps(spoiled=True)
    assert same_tensors(parameters, again)
    assert all(torch.equal(*pair) for pair in zip(state, state_again, strict=True))


def test_the_rate_may_be_a_tensor():
    """As on CUDA, where a captured step reads it."""
    models = [small_model(), small_model()]
    for model, lr in zip(models, (0.01, torch.tensor(0.01)), strict=True):
        groups = [{"params": list(model.transformer.h.parameters()), "weight_decay": 0.1}]
        optimizer = Muon(groups, model.transformer.h, torch.float32, lr=lr)
        for parameter in model.transformer.h.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    for a, b in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("world_size", range(1, 9))
def test_shares_are_equal_and_cover_all(world_size):
    for matrices in range(1, 40):
        slices = [share(matrices, rank, world_size) for rank in range(world_size)]
        numbers = [list(range(matrices))[slice] for slice in slices]
        assert {len(part) for part in numbers} == {-(-matrices // world_size)}
        assert {number for part in numbers for number in part} == set(range(matrices))


def test_a_run_is_resumed_with_its_momentum(here):
    run = [*SMALL_RUN, "--optimizer=muon", "--lr_decay_iters=12"]
    assert call("train.py", *run, "--max_iters=12", "--out_dir=out/whole").status == 0
    assert call("train.py", *run, "--max_iters=7", "--out_dir=out/halves").status == 0
    result = call("train.py", *run, "--max_iters=12", "--out_dir=out/halves", "--init_from=resume")
    assert result.status == 0, result.err
    whole, halves = (checkpoint.load_checkpoint(f"out/{name}/last.pt") for name in ("whole", "halves"))
    assert same_tensors(whole["model"], halves["model"])
    assert any("momentum" in state for state in whole["optimizer"].values())
    for one, other in zip(whole["optimizer"].values(), halves["optimizer"].values(), strict=True):
        assert same_tensors(one, other)


def test_a_run_of_another_optimizer_is_refused(here):
    assert call("train.py", *SMALL_RUN).status == 0
    before = (here / "out/small/last.pt").read_bytes()
    result = call("train.py", *SMALL_RUN, "--optimizer=muon", "--max_iters=20", "--init_from=resume")
    assert_mistake(result, "adamw", "--optimizer=adamw")
    evaluation = call("train.py", *SMALL_RUN, "--optimizer=muon", "--init_from=resume", "--eval_only")
    assert evaluation.status == 0, "an evaluation needs no optimizer"
    assert (here / "out/small/last.pt").read_bytes() == before
    assert_mistake(call("train.py", *SMALL_RUN, "--optimizer=sgd"), "sgd", "adamw or muon")


def test_five_steps_in_a_type_of_sixteen_bits():
    """A T4 has no bfloat16, so float16 is used there: neither overflows, and both are near float32."""
    matrix = torch.randn(1, 192, 768)
    exact = orthogonalize(matrix, torch.float32)
    for dtype in (torch.bfloat16, torch.float16):
        assert (orthogonalize(matrix, dtype) - exact).norm() < 0.03 * exact.norm(), dtype
