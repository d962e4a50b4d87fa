"""slm/training/micro_batch.py: which sizes are tried, what happens where one does not fit, and how a step is cut."""

import pytest
import torch

from model import GPT, GPTConfig
from slm import devices
from slm.errors import UserError
from slm.training import micro_batch

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def model():
    return GPT(GPTConfig(vocab_size=64, block_size=64, n_layer=1, n_head=1, n_embd=8))


# -- the parts of a step ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 4, 7, 8, 20])
def test_parts_hold_each_sequence_once(size):
    """Where the size does not divide the batch, the last part is filled up with sequences without targets."""
    batch = torch.arange(8 * 6).view(8, 6)
    parts = list(micro_batch.split(batch, size))
    assert {(idx.shape, targets.shape) for idx, targets, _ in parts} == {((size, 5), (size, 5))}
    assert sum(share for *_, share in parts) == pytest.approx(1)
    idx, targets = (torch.cat([part[i] for part in parts]) for i in (0, 1))
    assert torch.equal(idx[:8], batch[:, :-1]) and torch.equal(targets[:8], batch[:, 1:])
    assert (targets[8:] == -1).all() and len(targets) - 8 < size
    for idx, targets, share in parts:
        assert share * 8 == (targets >= 0).any(dim=1).sum()
        assert idx.is_contiguous() and targets.is_contiguous()


# -- sizes to try -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sequences", "most", "size"), [(8, 8, 8), (8, 100, 8), (8, 7, 4), (10, 4, 4), (9, 4, 3), (12, 5, 4), (5, 1, 1)]
)
def test_parts_are_few_and_equal(sequences, most, size):
    assert micro_batch.balanced(sequences, most) == size


def test_sizes_fall_until_one_sequence(model):
    assert micro_batch.candidates(model, 1000, CPU, False)[0] == 63, "4,096 tokens of 64, balanced over 1,000 sequences"
    assert micro_batch.candidates(model, 1000, CPU, False, most=8) == [8, 4, 2, 1]
    assert micro_batch.candidates(model, 6, CPU, False, most=5) == [3, 2, 1]
    assert micro_batch.candidates(model, 1, CPU, False) == [1]
    # a resumed run begins with the size it had
    for size in range(1, 30):
        assert micro_batch.candidates(model, 30, CPU, False, micro_batch.balanced(30, size))[0] == (
            micro_batch.balanced(30, size)
        )


def test_a_small_gpu_begins_with_less(model, monkeypatch):
    """The first size is one whose estimate fits in nine tenths of the free memory; a user's own size comes first."""
    monkeypatch.setattr(devices, "free_memory", lambda device: 2**40)
    sizes = micro_batch.candidates(model, 4096, CUDA, True)
    assert sizes[0] == 131072 // 64
    free = micro_batch.memory_estimate(model, 100, True) / 0.9 + 1
    monkeypatch.setattr(devices, "free_memory", lambda device: free)
    sizes = micro_batch.candidates(model, 4096, CUDA, True)
    assert 1 < sizes[0] <= 100 and sizes[-1] == 1
    assert micro_batch.candidates(model, 4096, CUDA, True, most=2048)[0] == 2048
    monkeypatch.setattr(devices, "free_memory", lambda device: 0)
    assert micro_batch.candidates(model, 4096, CUDA, True) == [1]


def test_more_memory_for_more(model):
    few, many = (micro_batch.memory_estimate(model, size, False) for size in (8, 16))
    assert 16 * model.num_params() < few < many < 2 * few
    assert micro_batch.memory_estimate(model, 8, True) < few, "fused kernels keep fewer activations"


# -- finding one ------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_full_collection(monkeypatch):
    """Each takes half a second in a process with many objects, and the passes here leave none."""
    monkeypatch.setattr(micro_batch.gc, "collect", lambda: None)


class Passes:
    """Stands for forward and backward passes: fails as a device does, and notes what was tried."""

    def __init__(self, failures):
        self.failures, self.tried = failures, []

    def __call__(self, model, size):
        self.tried.append((model, size))
        model.lm_head.weight.grad = torch.ones_like(model.lm_head.weight)  # a pass that failed may leave some
        for (at_model, most), error in self.failures.items():
            if model is at_model and size > most:
                raise error


def find(passes, model, compiled=None):
    lines = []
    return *micro_batch.find([16, 8, 4, 2, 1], passes, model, compiled or model, lines.append), lines


@pytest.fixture
def compiled(model):
    """Another object with the model's parameters, as torch.compile gives."""
    other = GPT(model.config)
    other.lm_head = model.lm_head
    return other


OUT_OF_MEMORY = [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("MPS backend out of memory (...)")]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["CUDA", "MPS"])
def test_the_first_size_that_fits(model, error):
    passes = Passes({(model, 5): error})
    assert find(passes, model) == (4, model, [])
    assert [size for _, size in passes.tried] == [16, 8, 4]
    assert model.lm_head.weight.grad is None, "gradients of the tries would count in the first step"


def test_nothing_fits(model):
    with pytest.raises(UserError, match="one sequence does not fit in memory: give a smaller model or --block_size"):
        find(Passes({(model, 0): torch.OutOfMemoryError()}), model)


def test_a_compiler_that_fails(model, compiled):
    """One line, and training goes on without it."""
    passes = Passes({(compiled, 0): RuntimeError("Cannot find a working triton installation\nand so on")})
    size, chosen, lines = find(passes, model, compiled)
    assert (size, chosen) == (16, model)
    (line,) = lines
    assert "torch.compile does not work here (Cannot find a working triton installation): " in line


def test_a_compiler_that_fails_after_memory_was_short(model, compiled):
    failures = {(compiled, 8): torch.OutOfMemoryError(), (compiled, 0): RuntimeError("no triton")}
    passes = Passes(failures | {(model, 2): torch.OutOfMemoryError()})
    size, chosen, lines = find(passes, model, compiled)
    assert (size, chosen, len(lines)) == (2, model, 1)
    assert [size for _, size in passes.tried] == [16, 8, 8, 4, 2]


def test_a_bug_is_raised_as_itself(model, compiled):
    """An error of the model's own code is no fault of the compiler."""
    bug = TypeError("a typing mistake in forward")
    with pytest.raises(TypeError) as raised:
        find(Passes({(compiled, 0): RuntimeError("graph break"), (model, 0): bug}), model, compiled)
    assert raised.value is bug
    with pytest.raises(TypeError):
        find(Passes({(model, 0): bug}), model)
