"""slm/distributed.py: several processes give one process's numbers."""

import pytest
import torch
import torch.distributed as dist
from conftest import (
    PATIENCE,
    ROOT,
    SMALL_RUN,
    call,
    environment,
    log_of,
    signal_in_step,
    start_command,
    torchrun_command,
)

from slm.checkpoint import load_checkpoint
from slm.distributed import ProcessGroup, restart_count
from slm.errors import UserError


def torchrun(here, *arguments, processes=2):
    """(standard output, standard error) of train.py under torchrun."""
    command = torchrun_command(ROOT / "train.py", *arguments, processes=processes)
    process = start_command(command, cwd=here, env=environment(OMP_NUM_THREADS="1"))
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
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


# -- two processes ----------------------------------------------------------------------------------------------------

TWO = """
import sys, torch
from slm.distributed import ProcessGroup
group = ProcessGroup("cpu")
rank = group.rank
assert group.world_size == 2 and group.is_main == (rank == 0)
assert group.all_reduce([1 + rank, 0.5]) == [3, 1]
assert group.all_reduce([1 + rank], torch.distributed.ReduceOp.MIN) == [1]
assert group.any(rank == 1) and not group.any(False) and not group.all(rank == 1) and group.all(True)
parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((2, 3), (4,), ())]
for number, parameter in enumerate(parameters):
    parameter.grad = torch.full_like(parameter, 10.0 ** number * (1 + rank))
group.sum_gradients(parameters)
for number, parameter in enumerate(parameters):
    assert torch.equal(parameter.grad, torch.full_like(parameter, 3 * 10.0 ** number)), parameter.grad
group.close()
print("well done")
"""


def test_two_processes(tmp_path):
    (tmp_path / "two.py").write_text(TWO)
    environ = environment(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    process = start_command(torchrun_command(tmp_path / "two.py"), cwd=tmp_path, env=environ)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and out.count("well done") == 2, err


def test_two_processes_are_as_one(here):
    """The losses of one process within 1e-5; one of the two writes and prints, and one lock is enough for both."""
    options = [*SMALL_RUN, "--dropout=0", "--micro_batch_size=2", "--dtype=float32"]
    assert call("train.py", *options, "--out_dir=out/one").status == 0
    out, _ = torchrun(here, *options, "--out_dir=out/two")
    assert "device   2 x CPU" in out and out.count("step 12: validation") == 1 and out.count("done:") == 1
    assert_same_losses("out/one", "out/two")
    assert not (here / "out/two.1").exists()


def test_two_processes_continue_what_one_began(here):
    """In the middle of a line of the log, which begins with the sum so far, and in other micro-batches."""
    options = [*SMALL_RUN, "--dropout=0", "--log_interval=4", "--dtype=float32"]
    assert call("train.py", *options, "--out_dir=out/whole").status == 0
    with signal_in_step(7):
        assert call("train.py", *options, "--micro_batch_size=8", "--out_dir=out/halves").status
    assert load_checkpoint("out/halves/last.pt")["progress"]["losses"] == 1
    torchrun(here, *options, "--micro_batch_size=2", "--out_dir=out/halves", "--init_from=resume")
    assert_same_losses("out/whole", "out/halves")


def test_a_batch_that_does_not_divide(here, monkeypatch):
    """A sentence, before anything is sent."""
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setattr(dist, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(dist, "rendezvous", lambda url: iter([(dist.HashStore(), 0, 3)]))
    result = call("train.py", *SMALL_RUN)
    assert result.status == 2 and "8 sequences a step do not divide among 3 processes" in result.err
