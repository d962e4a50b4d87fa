"""slm/training/distributed.py: several processes give one process's numbers."""

import datetime
import os
import re
import signal
import socket
from types import SimpleNamespace

import pytest
import torch
from conftest import (
    PATIENCE,
    ROOT,
    SMALL_RUN,
    call,
    environment,
    log_of,
    signal_in_step,
    small_config,
    start_command,
    start_forked,
    torchrun_command,
    wait_until,
)

from slm.errors import UserError
from slm.models.checkpoint import load_checkpoint, save_checkpoint
from slm.training import distributed
from slm.training.distributed import ProcessGroup, adopt_slurm, read_ranks, restart_count
from slm.training.setup import set_up

SEVERAL = [2, *(pytest.param(processes, marks=pytest.mark.slow) for processes in (4, 8))]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def start_each(here, script, *arguments, processes=2):
    """The processes as torchrun starts them, without torchrun, which takes as long to start as they do."""
    together = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    together |= {"LOCAL_WORLD_SIZE": str(processes), "PYTHONPATH": str(ROOT)}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
    return [start_forked(script, *arguments, cwd=here, env=environment(**together, **rank)) for rank in ranks]


def run_each(here, script, *arguments, processes=2):
    """The standard output of all of them together."""
    started = start_each(here, script, *arguments, processes=processes)
    ended = [(process, *process.communicate(timeout=PATIENCE)) for process in started]
    assert not any(process.returncode for process, *_ in ended), ended
    return "".join(out for _, out, _ in ended)


def torchrun(here, *arguments, processes=2, script=ROOT / "train.py", status=0):
    """(standard output, standard error) of a script under torchrun."""
    command = torchrun_command(script, *arguments, processes=processes)
    process = start_command(command, cwd=here, env=environment(PYTHONPATH=str(ROOT)))
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, err
    return out, err


def assert_same_losses(one, other, names=("train_loss", "val_loss", "val_bpb", "grad_norm")):
    one, other = log_of(one), log_of(other)
    assert [row["step"] for row in one] == [row["step"] for row in other]
    for name in names:
        expected = [float(row[name]) for row in one if row[name]]
        assert [float(row[name]) for row in other if row[name]] == pytest.approx(expected, abs=1e-5), name


# -- alone ------------------------------------------------------------------------------------------------------------


def test_a_process_alone(monkeypatch):
    """Without torchrun nothing is sent, and nothing changes."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    group = ProcessGroup("cpu")
    assert (group.rank, group.world_size, group.is_main) == (0, 1, True)
    assert group.all_reduce([1, 2.5]) == [1, 2.5]
    assert group.any(1) is True and group.any(0) is False and group.all(3) is True and group.all([]) is False
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.full((2,), 3.0)
    group.sum_gradients([parameter])
    assert parameter.grad.tolist() == [3, 3]
    assert [gathered.tolist() for gathered in group.all_gather([parameter.grad])] == [[[3, 3]]]
    group.close()


def test_an_unknown_backend():
    with pytest.raises(UserError, match="unknown backend 'mpi': give auto, nccl or gloo"):
        ProcessGroup("cpu", "mpi")


def test_how_often_torchrun_has_restarted(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RESTART_COUNT", raising=False)
    assert restart_count() == 0
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "2")
    assert restart_count() == 2


LOST = [
    "[/some/gloo/transport/pair.cc:598] Connection closed by peer [127.0.0.1]:1",
    "NCCL error: remote process exited",
]


@pytest.mark.parametrize("text", LOST)
def test_a_lost_process_is_a_sentence(monkeypatch, text):
    """And no promise of a checkpoint that may not be there."""
    group = ProcessGroup("cpu")
    group.rank, group.world_size = 1, 4
    with pytest.raises(UserError) as raised, group.lost_process():
        raise RuntimeError(text)
    assert "process 1 of 4 lost another one (" in str(raised.value) and ".cc" not in str(raised.value)
    assert "where out_dir has a last.pt, --init_from=resume continues" in str(raised.value)


def test_a_bug_is_no_lost_process():
    group = ProcessGroup("cpu")
    group.world_size = 4
    with pytest.raises(RuntimeError, match="shape"), group.lost_process():
        raise RuntimeError("the shape is wrong")
    group.world_size = 1
    with pytest.raises(RuntimeError, match="Connection"), group.lost_process():
        raise RuntimeError("Connection to something else")


# -- several processes ------------------------------------------------------------------------------------------------

TOGETHER = """
import sys, torch
from slm.training.distributed import ProcessGroup
group = ProcessGroup("cpu")
rank, n = group.rank, group.world_size
total = n * (n + 1) // 2
assert n == int(sys.argv[1]) and group.is_main == (rank == 0)
assert group.all_reduce([1 + rank, 0.5]) == [total, n / 2]
assert group.all_reduce([1 + rank], torch.distributed.ReduceOp.MIN) == [1]
assert group.any(rank == 1) and not group.any(False) and not group.all(rank == 1) and group.all(True)
parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((2, 3), (4,), ())]
for number, parameter in enumerate(parameters):
    parameter.grad = torch.full_like(parameter, 10.0 ** number * (1 + rank))
for tensor, gathered in zip(parameters, group.all_gather([p.grad for p in parameters]), strict=True):
    assert gathered.shape == (n, *tensor.shape)
    assert all(torch.equal((1 + other) * gathered[0], gathered[other]) for other in range(n)), gathered
group.sum_gradients(parameters)
for number, parameter in enumerate(parameters):
    assert torch.equal(parameter.grad, torch.full_like(parameter, total * 10.0 ** number)), parameter.grad
group.compare(lambda: {"a": "1", "b": "2"})
assert group.together(lambda: 7 + rank) == 7 + rank
from slm.errors import UserError
def fail_in_one():
    if rank == 1:
        raise UserError("no file here")
for wrong in (lambda: group.together(fail_in_one), lambda: group.compare(lambda: {"a": str(min(rank, 1))})):
    try:
        wrong()
    except UserError as error:
        assert "no file here" in str(error) or f"a is 1 in process {max(rank, 1)} on " in str(error), error
    else:
        raise AssertionError("no error")
group.close()
print("well done")
"""


@pytest.mark.parametrize("processes", SEVERAL)
def test_sums_over_processes(tmp_path, processes):
    (tmp_path / "together.py").write_text(TOGETHER)
    out, _ = torchrun(tmp_path, processes, script=tmp_path / "together.py", processes=processes)
    assert out.count("well done") == processes


MUON = """
import torch
from model import GPT, GPTConfig
from slm.training import muon, snapshot
from slm.training.distributed import ProcessGroup

group = ProcessGroup("cpu")
worked_on = []
orthogonalize = muon.orthogonalize
muon.orthogonalize = lambda matrices, dtype: (worked_on.append(len(matrices)), orthogonalize(matrices, dtype))[1]


def after_steps(dtype, processes):
    torch.manual_seed(3)
    model = GPT(GPTConfig(vocab_size=64, block_size=8, n_layer=2, n_head=2, n_embd=32))
    groups = [{"params": list(model.parameters()), "weight_decay": 0.1}]
    optimizer = muon.Muon(groups, model.transformer.h, dtype, processes, lr=0.02, fused=True)
    for step in range(5):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape)
        optimizer.found_inf = torch.tensor(float(step == 2))  # that step is skipped
        optimizer.step()
    return {"parameters": model.state_dict(), "state": optimizer.state_dict()["state"]}


def share_of(matrices):
    return -(-matrices // group.world_size)


for dtype in (torch.float32, torch.bfloat16):
    worked_on.clear()
    shared = after_steps(dtype, group)
    assert worked_on == 5 * [share_of(8), share_of(4)], worked_on  # 8 square matrices and 4 of 32 x 128
    group.compare(lambda: {"what Muon leaves": snapshot.digest(shared)})
    alone = after_steps(dtype, None)
    torch.testing.assert_close(shared, alone, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-3)
    print(f"{dtype}: {'the same' if snapshot.digest(shared) == snapshot.digest(alone) else 'rounded otherwise'}")
group.close()
print("well done")
"""


@pytest.mark.parametrize("processes", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4, 6))])
def test_muons_work_is_shared(tmp_path, processes):
    """Each process works on its share, none repeats all; what they leave is the same in all, and as of one alone."""
    (tmp_path / "muon.py").write_text(MUON)
    out = run_each(tmp_path, tmp_path / "muon.py", processes=processes)
    assert out.count("well done") == processes


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("processes", SEVERAL)
def test_several_processes_are_as_one(here, processes, optimizer):
    """The losses of one process within 1e-5; one of them writes and prints, and one lock is enough for all."""
    options = [*SMALL_RUN, "--dropout=0", "--micro_batch_size=2", "--dtype=float32", f"--optimizer={optimizer}"]
    assert call("train.py", *options, "--out_dir=out/one").status == 0
    out = run_each(here, "train.py", *options, "--out_dir=out/several", processes=processes)
    assert f"device   {processes} x CPU" in out
    assert out.count("step 12: validation") == 1 and out.count("done:") == 1
    assert_same_losses("out/one", "out/several")
    assert not (here / "out/several.1").exists()


def test_two_processes_continue_what_one_began(here):
    """In the middle of a line of the log, which begins with the sum so far, and in other micro-batches."""
    options = [*SMALL_RUN, "--dropout=0", "--log_interval=4", "--dtype=float32"]
    assert call("train.py", *options, "--out_dir=out/whole").status == 0
    with signal_in_step(7):
        assert call("train.py", *options, "--micro_batch_size=8", "--out_dir=out/halves").status
    assert load_checkpoint("out/halves/last.pt")["progress"]["counted"] == 1
    run_each(here, "train.py", *options, "--micro_batch_size=2", "--out_dir=out/halves", "--init_from=resume")
    assert_same_losses("out/whole", "out/halves")


OWN_FOLDER = """
import os, sys
import train

sys.argv.append(f"--out_dir=out/{os.environ['RANK']}")  # a disk of each host
train.main()
"""


def test_a_file_that_fits_the_run_of_one_host_alone(here):
    """Each process says so at once: without the agreement the first would wait three minutes for the other."""
    for rank in (0, 1):
        assert call("train.py", *SMALL_RUN, "--ema=0.5", f"--out_dir=out/{rank}").status == 0
    saved = load_checkpoint("out/1/last.pt")
    saved["weights"].popitem()
    save_checkpoint("out/1/last.pt", saved)
    (here / "own_folder.py").write_text(OWN_FOLDER)
    resume = [*SMALL_RUN, "--ema=0.5", "--init_from=resume", "--max_iters=20"]
    for process in start_each(here, here / "own_folder.py", *resume):
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode and "out/1/last.pt are not those of this model: use another file" in err, err


VALIDATE = """
import os, sys
import train

rank, change = int(os.environ["RANK"]), float(sys.argv.pop(1))
train.micro_batch.candidates = lambda *_: [(7, 3)[rank]]  # as GPUs with more and with less free memory choose
set_up = train.set_up


def set_up_another_model(*arguments):
    setup = set_up(*arguments)
    setup.model.lm_head.weight.data += rank * change
    return setup


train.set_up = set_up_another_model
train.main()
"""
EVAL_ONLY = ["--init_from=out/small/best.pt", "--eval_only", "--dtype=float32"]


@pytest.fixture
def validate(here, workshop):
    """A script that validates; its first argument is what differs in the model of the second process."""
    (here / "out").mkdir()
    (here / "out/small").symlink_to(workshop.path / "out/small")
    (here / "validate.py").write_text(VALIDATE)
    return here / "validate.py"


def test_processes_validate_in_one_micro_batch(here, validate):
    """Where one has less memory than another, both take the smaller one, or tokens would count twice and never."""
    alone = call("train.py", *EVAL_ONLY).out
    assert "nats per token" in alone and run_each(here, validate, 0, *EVAL_ONLY) == alone


def test_processes_validate_one_model(here, validate):
    for process in start_each(here, validate, 0.001, *EVAL_ONLY):
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode and not out and "the model is " in err


def test_a_batch_that_does_not_divide(here):
    config, set_by = small_config()
    group = SimpleNamespace(world_size=3, rank=0, local_rank=0, together=lambda function: function())
    with pytest.raises(UserError, match="8 sequences per step do not divide among 3 processes"):
        set_up(config, set_by, None, group)
    config.eval_only = True  # a validation takes no step
    assert set_up(config, set_by, None, group).evaluate.windows


# -- the environment --------------------------------------------------------------------------------------------------

ALL = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
WRONG_ENVIRONMENTS = {
    "RANK must be a whole number, not 'abc'": ALL | {"RANK": "abc"},
    "WORLD_SIZE must be a whole number, not '-2'": ALL | {"WORLD_SIZE": "-2"},
    "WORLD_SIZE is 2 and RANK is missing": {"WORLD_SIZE": "2"},
    "WORLD_SIZE is 2 and RANK is 2": ALL | {"RANK": "2"},
    "MASTER_ADDR is missing": {"WORLD_SIZE": "2", "RANK": "0"},
    "MASTER_PORT must be a whole number": ALL | {"MASTER_PORT": "http"},
    "process 1 of 2 cannot meet the others at no-such-host.invalid:29500": ALL
    | {"RANK": "1", "MASTER_ADDR": "no-such-host.invalid"},
    "cannot meet the others at 127.0.0.1:99999999": ALL | {"MASTER_PORT": "99999999"},
    "TORCHELASTIC_RESTART_COUNT must be a whole number": ALL | {"TORCHELASTIC_RESTART_COUNT": "x"},
}


@pytest.mark.parametrize("words", WRONG_ENVIRONMENTS)
def test_a_wrong_environment(monkeypatch, words):
    monkeypatch.setattr(distributed, "LOST_AFTER", datetime.timedelta(seconds=2))
    for name, value in WRONG_ENVIRONMENTS[words].items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=re.escape(words)):
        ProcessGroup("cpu")


def test_a_port_in_use(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        for name, value in (ALL | {"MASTER_PORT": str(server.getsockname()[1])}).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match="take another MASTER_PORT"):
            ProcessGroup("cpu")


@pytest.mark.parametrize(
    ("hosts", "first"), [("node[07-09,12]", "node07"), ("a1,a2", "a1"), ("gpu-3", "gpu-3"), ("c[1,5]-ib", "c1-ib")]
)
def test_sruns_variables_are_read(monkeypatch, hosts, first):
    """`srun --ntasks=4 python train.py` is one run of four processes."""
    for name in (*ALL, "LOCAL_RANK"):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    slurm = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "123456"}
    for name, value in (slurm | {"SLURM_STEP_NODELIST": hosts}).items():
        monkeypatch.setenv(name, value)
    adopt_slurm()
    assert read_ranks() == (3, 1, 4)
    assert os.environ["MASTER_ADDR"] == first and 15000 <= int(os.environ["MASTER_PORT"]) < 35000


@pytest.mark.slow
def test_processes_that_do_not_divide_a_batch(here):
    """Each of them refuses; torchrun's report comes after it."""
    for script in (["train.py"], ["bench.py", "train"]):
        _, err = torchrun(here, *script[1:], *SMALL_RUN, processes=5, script=ROOT / script[0], status=1)
        sentences = [line for line in err.splitlines() if line.startswith(f"{script[0]}: ")]
        assert set(sentences) == {
            f"{script[0]}: 8 sequences per step do not divide among 5 processes: give another batch_size"
        }
        assert not (here / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [5, 0], ids=["one", "the main one"])
def test_each_process_says_that_it_lost_another(here, victim):
    """Eight without torchrun, which would end the others before they notice: each ends, with a sentence."""
    processes = start_each(here, "train.py", *SMALL_RUN, "--max_iters=5000", "--eval_iters=1", processes=8)
    wait_until((here / "out/small/last.pt").exists, processes[0])
    os.kill(processes[victim].pid, signal.SIGKILL)
    for rank, process in enumerate(processes):
        _, err = process.communicate(timeout=PATIENCE)
        if rank != victim:
            assert process.returncode == 2, err
            (line,) = err.strip().splitlines()
            assert line.startswith(f"train.py: process {rank} of 8 lost another one (")
    load_checkpoint("out/small/last.pt")
