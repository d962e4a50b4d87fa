"""slm/training/compilation.py: a captured step does what a launched one does; a capture that fails costs only speed."""

import functools
import shutil
import sys

import pytest
import torch
from conftest import SMALL_RUN, call, log_of, same_tensors, small_config, without_clock

from model import GPT, GPTConfig
from slm.training import compilation
from slm.training.compilation import CapturedStep
from slm.training.train_state import TrainState
from train import get_lr, make_stepper, seed_dropout, set_lr, set_up

CPU = torch.device("cpu")


class Steps:
    """A step that adds its batch up."""

    def __init__(self):
        self.total, self.launched = 0, 0

    def __call__(self, batch):
        self.total, self.launched = self.total + batch.sum().item(), self.launched + 1


def captured_step(monkeypatch, capture, agree=bool):
    monkeypatch.setattr(compilation, "capture_cuda_graph", capture)
    step, recovered, lines = Steps(), [], []
    return CapturedStep(step, agree, lambda: recovered.append(True), lines.append), step, recovered, lines


def batches(count=4):
    return [torch.full((2, 3), float(number)) for number in range(1, count + 1)]


def test_a_captured_step_is_replayed_on_each_batch(monkeypatch):
    """The first step runs, and is then recorded without running; the graph reads the batches from one place."""
    recorded = []
    run, step, recovered, lines = captured_step(monkeypatch, lambda function: recorded.append(function) or function)
    for batch in batches():
        run(batch)
    assert step.total == 6 * (1 + 2 + 3 + 4) and len(recorded) == 1
    assert not recovered and not lines
    run.close()
    assert run.replay is None and run.batch is None


def fail_with(error):
    def fail(*_):
        raise error

    return fail


FAILURES = {
    "an operation that cannot be captured": (
        RuntimeError("operation not permitted\nwhen stream is capturing"),
        "not p",
    ),
    "memory": (torch.OutOfMemoryError("CUDA out of memory. Tried ..."), "memory is short"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_capture_that_fails(monkeypatch, kind):
    """One line, and each step is launched; it is not tried again."""
    error, words = FAILURES[kind]
    run, step, recovered, lines = captured_step(monkeypatch, fail_with(error))
    for batch in batches():
        run(batch)
    assert step.total == 6 * (1 + 2 + 3 + 4) and step.launched == 4
    assert recovered == [True]
    (line,) = lines
    assert line.startswith("no CUDA graph (") and words in line and "\n" not in line


def test_a_capture_that_fails_in_another_process(monkeypatch):
    """All processes replay or none: a graph with half of a message in it would never end."""
    asked = []
    run, step, recovered, lines = captured_step(
        monkeypatch, lambda function: function, lambda worked: asked.append(worked)
    )
    for batch in batches():
        run(batch)
    assert asked == [True] and recovered == [True] and step.launched == 4 and run.replay is None
    assert "another process failed" in lines[0]


def test_training_goes_on_after_a_capture_that_failed_in_mid_step(here, monkeypatch):
    """The recording runs part of a step, then fails: what it left in gradients and scaler does not count."""
    config, set_by = small_config("--dropout=0", "--micro_batch_size=4", "--dtype=float32")

    def after_steps(capture):
        setup, lines = set_up(config, set_by), []
        if capture:
            monkeypatch.setattr(compilation, "has_room", lambda device, memory: True)
            monkeypatch.setattr(compilation, "capture_cuda_graph", functools.partial(capture, setup))
        stepper = make_stepper(config, setup, TrainState(), lines.append)
        setup.model.train()
        for step in range(4):
            set_lr(stepper.optimizer, get_lr(step, config))
            stepper.run(setup.batches[8 * step])
        assert len(lines) == bool(capture)
        stepper.close()
        return dict(setup.model.named_parameters()), stepper.metrics.sums

    def before_the_norm(setup, function):
        with monkeypatch.context() as patch:
            patch.setattr(setup.group, "sum_gradients", fail_with(RuntimeError("cannot capture")))
            function()

    def after_the_norm(setup, function):
        with monkeypatch.context() as patch:
            patch.setattr(torch.amp.GradScaler, "step", fail_with(RuntimeError("cannot capture")))
            function()

    expected, sums = after_steps(None)
    for capture in (before_the_norm, after_the_norm):
        parameters, sums_again = after_steps(capture)
        assert same_tensors(parameters, expected) and torch.equal(sums, sums_again)


# -- torch.compile ----------------------------------------------------------------------------------------------------


class Broken(torch.nn.Module):
    """A compiled model whose compiler fails at the first pass."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *arguments, **options):
        raise RuntimeError("Cannot find a working triton installation.\nMore lines")


@pytest.mark.parametrize("missing", [None, "torch._inductor.compile_fx", "torch._inductor.async_compile"])
def test_a_run_whose_compiler_fails(here, workshop, monkeypatch, missing):
    """It says so and trains uncompiled, with the same numbers, also where the compiler cannot be imported."""
    monkeypatch.setattr(compilation, "compile_model", Broken)
    monkeypatch.setitem(sys.modules, missing or "no module", None)
    result = call("train.py", *SMALL_RUN, "--compile")
    assert result.status == 0, result.err
    (line,) = [line for line in result.out.splitlines() if "torch.compile" in line]
    assert line.startswith("torch.compile does not work here (Cannot find a working triton installation.)")
    assert "compiled in" not in result.out
    assert without_clock(log_of("out/small")) == without_clock(log_of(workshop.path / "out/small"))


def test_a_cpu_compiles_on_request_alone(here, monkeypatch):
    monkeypatch.setattr(compilation, "compile_model", lambda model: pytest.fail("compiled"))
    assert call("train.py", *SMALL_RUN).status == 0
    assert call("train.py", *SMALL_RUN, "--compile=False").status == 0


def model_and_pass(device, dropout, compile):
    """(compiled model, GPT, loss_of(model)) with the random numbers of one seed in each pass."""
    torch.manual_seed(0)
    shape = {"block_size": 16, "n_layer": 3, "n_head": 2, "n_embd": 32, "init_std": 0.2}
    gpt = GPT(GPTConfig(vocab_size=60, dropout=dropout, **shape)).to(device)
    tokens = torch.randint(60, (4, 17), device=device)
    targets = tokens[:, 1:].clone()
    targets[3] = -1  # as in a micro-batch that is filled up

    def loss_of(model):
        torch.manual_seed(1)
        return model(tokens[:, :-1], targets, with_logits=False)[1]

    return compile(gpt), gpt, loss_of


def slope(gpt, loss_of, model, size):
    """The loss's slope along its gradient, from two losses on both sides: the gradient's norm, if that is right."""
    gradients = [parameter.grad.clone() for parameter in gpt.parameters()]
    norm = torch.nn.utils.get_total_norm(gradients).item()
    losses = []
    for step in (size, -2 * size):
        with torch.no_grad():
            for parameter, gradient in zip(gpt.parameters(), gradients, strict=True):
                parameter += step / norm * gradient
        losses.append(loss_of(model).item())
    return (losses[0] - losses[1]) / (2 * size), norm


def check_compiled_model(device):
    """Loss and gradients are the model's. With dropout a gradient is the slope of the loss: backward drops the same."""
    compiled, gpt, loss_of = model_and_pass(device, 0.0, compilation.compile_model)
    losses, gradients = [], []
    for model in (compiled, gpt):
        gpt.zero_grad()
        losses.append(loss_of(model))
        losses[-1].backward()
        gradients.append({name: parameter.grad.clone() for name, parameter in gpt.named_parameters()})
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    for name, wanted in gradients[1].items():
        assert (gradients[0][name] - wanted).norm() < 1e-3 * wanted.norm(), name

    compiled, gpt, loss_of = model_and_pass(device, 0.3, compilation.compile_model)
    loss_of(compiled)  # compiling may draw random numbers
    loss_of(compiled).backward()
    seen, norm = slope(gpt, loss_of, compiled, 1e-2)
    assert seen == pytest.approx(norm, rel=0.02)


@pytest.mark.slow  # a minute and a half of compiling C++
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_model_has_the_models_gradients():
    check_compiled_model(CPU)


def test_a_model_can_be_wrapped_for_the_compiler():
    """With the options that this version of PyTorch knows; compiling itself waits for the first pass."""
    model = torch.nn.Linear(2, 2)
    assert list(compilation.compile_model(model).parameters()) == list(model.parameters())


# -- on a GPU ---------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
def test_a_compiled_model_has_the_models_gradients_on_a_gpu():
    check_compiled_model(torch.device("cuda"))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_captured_step_does_what_a_launched_one_does(here, dtype, optimizer):
    def after_steps(capturing):
        cuda = ["--device=cuda", f"--dtype={dtype}", "--micro_batch_size=4", "--compile=False"]
        config, set_by = small_config(*cuda, f"--optimizer={optimizer}", f"--cuda_graph={capturing}")
        setup = set_up(config, set_by)
        stepper = make_stepper(config, setup, TrainState(), print)
        setup.model.train()
        for step in range(8):
            set_lr(stepper.optimizer, get_lr(step, config))
            seed_dropout(config.seed, step, 0)
            stepper.run(setup.batches[8 * step])
        assert capturing == bool(getattr(stepper.run, "replay", None))
        measured = [*stepper.metrics.sums.tolist(), stepper.metrics.grad_norm.item()]
        stepper.close()
        return measured, list(setup.model.parameters())

    measured, parameters = after_steps(capturing=False)
    assert measured[1] > 0
    again, replayed = after_steps(capturing=True)
    assert again == pytest.approx(measured, rel=1e-4)
    assert all(torch.allclose(*pair, atol=1e-4) for pair in zip(parameters, replayed, strict=True))
