"""What a run survives: being killed at any moment, losing a process, and many steps."""

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import (
    PATIENCE,
    ROOT,
    SMALL_RUN,
    call,
    environment,
    log_of,
    same_tensors,
    small_config,
    start_command,
    start_forked,
    torchrun_command,
    wait_until,
    without_clock,
)

from slm.models.checkpoint import load_checkpoint
from slm.text.corpus import TokenFile
from slm.training.batches import TrainBatches

STEPS = ["--max_iters=600", "--warmup_iters=10", "--eval_interval=5", "--eval_iters=1", "--log_interval=1"]


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from Linux's /proc")
def test_memory_stays_flat(tmp_path):
    """Resident memory after 2,000 batches is that after 200, on a corpus of 1 GB of which 4 % is touched."""
    path = tmp_path / "t.bin"
    with open(path, "wb") as file:
        file.truncate(2**30)  # zeros, which take memory when they are read and no time to write
    config, _ = small_config("--block_size=128", "--batch_size=64")
    batches = TrainBatches(TokenFile(path), config, torch.device("cpu"))
    resident = []
    for step in range(2_000):
        batches[64 * step]
        if step + 1 in (200, 2_000):
            batches.next_batch.result()  # what is being read is mapped, and counts until it has been read
            resident.append(resident_bytes())
    print(f"resident after 200 batches {resident[0] / 2**20:.0f} MiB, after 2,000 {resident[1] / 2**20:.0f} MiB")
    assert resident[1] - resident[0] < 20 * 2**20


@pytest.mark.slow
def test_kill_9_at_twenty_moments(here):
    """A run killed at 20 random moments and resumed each time ends as an undisturbed one: nothing is lost."""
    moments = random.Random(3)
    out = here / "out/small"
    steps = [*STEPS, "--max_iters=5000"]  # more than there is time for
    for kill in range(20):
        first = not (out / "last.pt").exists()
        process = start_forked("train.py", *SMALL_RUN, *steps, *([] if first else ["--init_from=resume"]), cwd=here)
        wait_until((out / "config.json").exists, process)
        time.sleep(moments.uniform(0.0, 1.5) + 3 * (not first))
        assert process.poll() is None, "the run has ended by itself"
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        for name in ("best.pt", "last.pt"):
            if (out / name).exists():
                load_checkpoint(out / name)
        done = load_checkpoint(out / "last.pt")["step"] if (out / "last.pt").exists() else 0
        print(f"kill {kill + 1}: last.pt holds step {done}")
    end = f"--max_iters={done + 5}", "--lr_decay_iters=5000"
    assert call("train.py", *SMALL_RUN, *STEPS, *end, "--init_from=resume").status == 0
    assert call("train.py", *SMALL_RUN, *STEPS, *end, "--out_dir=out/whole").status == 0
    one, other = (load_checkpoint(f"out/{name}/last.pt") for name in ("small", "whole"))
    assert same_tensors(one["model"], other["model"])
    assert without_clock(log_of("out/small")) == without_clock(log_of("out/whole"))


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def start_several(here, *options, processes, out_dir="out/small"):
    """torchrun's process, which trains 400 steps."""
    run = [*SMALL_RUN, *STEPS, "--max_iters=400", f"--out_dir={out_dir}"]
    command = torchrun_command(*options, ROOT / "train.py", *run, processes=processes)
    return start_command(command, cwd=here, env=environment(OMP_NUM_THREADS="1"))


def start_and_lose_one(here, *options, processes):
    """torchrun's process, whose second process is killed once there is a last.pt."""
    process = start_several(here, *options, processes=processes)
    wait_until((here / "out/small/last.pt").exists, process)
    os.kill(children(process.pid)[1], signal.SIGKILL)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 8])
@pytest.mark.skipif(sys.platform != "linux", reason="finds its processes in Linux's /proc")
def test_a_process_that_dies_ends_the_others(here, processes):
    process = start_and_lose_one(here, processes=processes)
    _, err = process.communicate(timeout=PATIENCE)  # half an hour is torch's own limit
    assert process.returncode != 0
    assert "lost another one" in err or "Signal 9" in err
    load_checkpoint(here / "out/small/last.pt")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds its processes in Linux's /proc")
def test_torchrun_restarts_before_the_run_begins(here):
    """The last.pt of an earlier run is not continued: that run moves aside."""
    assert call("train.py", *SMALL_RUN, *STEPS, "--max_iters=500").status == 0
    process = start_several(here, "--max-restarts=1", processes=2)
    wait_until(lambda: len(children(process.pid)) == 2, process)
    os.kill(children(process.pid)[1], signal.SIGKILL)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "moved    the earlier run" in out and "resume   " not in out
    assert load_checkpoint("out/small/last.pt")["step"] == 400
    assert load_checkpoint("out/small.1/last.pt")["step"] == 500


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 8])
@pytest.mark.skipif(sys.platform != "linux", reason="finds its processes in Linux's /proc")
def test_torchrun_restarts_and_the_run_continues(here, processes):
    """The killed processes hold no lock: the restarted ones have the folder. They end as an undisturbed run does."""
    process = start_and_lose_one(here, "--max-restarts=1", processes=processes)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "resume   out/small after step" in out
    assert [int(row["step"]) for row in log_of("out/small")] == list(range(1, 401))
    assert not (here / "out/small.1").exists()
    undisturbed = start_several(here, processes=processes, out_dir="out/whole")
    _, err = undisturbed.communicate(timeout=PATIENCE)
    assert undisturbed.returncode == 0, err
    assert without_clock(log_of("out/small")) == without_clock(log_of("out/whole"))
