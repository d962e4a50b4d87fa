"""The processes of one run, one a GPU, as `torchrun` starts them; without torchrun this process alone.

Each process computes its share of a step's sequences and holds the whole model. Gradients are summed over the processes
once a step, in one message, inside the step: a captured step captures that too. Small numbers travel over gloo on the
CPU, so no GPU waits for them.
"""

import contextlib
import datetime
import os
import re

import torch
import torch.distributed as dist

from slm.errors import UserError, first_line

# How long to wait for another process: longer than one needs to compile or to tell a story, short enough to wait for.
LOST_AFTER = datetime.timedelta(minutes=3)


def restart_count():
    """How often torchrun has restarted this run after one of its processes died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def torchrun_id():
    """torchrun's name for this run, which a restart keeps: its --rdzv_id, or a new one; None without torchrun."""
    return os.environ.get("TORCHELASTIC_RUN_ID")


class ProcessGroup:
    """rank of world_size processes; `is_main` is the one that writes files and prints."""

    def __init__(self, device_type, backend="auto"):
        self.rank, self.local_rank, self.world_size = (
            int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1))
        )
        self.is_main = self.rank == 0
        if backend not in ("auto", "nccl", "gloo"):
            raise UserError(f"unknown backend {backend!r}: give auto, nccl or gloo")
        if self.world_size > 1:
            if backend == "auto":
                backend = "nccl" if device_type == "cuda" and dist.is_nccl_available() else "gloo"
            # torchrun keeps one store for all its restarts; without a prefix a restarted process would find the
            # addresses of dead ones in it
            store, _, _ = next(dist.rendezvous("env://"))
            store = dist.PrefixStore(f"start {restart_count()}", store)
            backends = f"cpu:gloo,cuda:{backend}" if device_type == "cuda" else "gloo"
            with self.lost_process():
                dist.init_process_group(
                    backends, store=store, rank=self.rank, world_size=self.world_size, timeout=LOST_AFTER
                )

    def all_reduce(self, values, op=dist.ReduceOp.SUM):
        """A list of numbers, each reduced over all processes."""
        if self.world_size == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64)
        with self.lost_process():
            dist.all_reduce(numbers, op)
        return numbers.tolist()

    def any(self, flag):
        """Whether `flag` is true in any process."""
        return bool(self.all_reduce([bool(flag)], dist.ReduceOp.MAX)[0])

    def all(self, flag):
        """Whether `flag` is true in every process."""
        return bool(self.all_reduce([bool(flag)], dist.ReduceOp.MIN)[0])

    def sum_gradients(self, parameters):
        """Replace each gradient by its sum over all processes: one message, which a CUDA graph can capture."""
        if self.world_size == 1:
            return
        parameters = [parameter for parameter in parameters if parameter.grad is not None]
        message = torch.cat([parameter.grad.flatten() for parameter in parameters])
        with self.lost_process():
            dist.all_reduce(message)
        for parameter, summed in zip(parameters, message.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = summed.view_as(parameter)

    @contextlib.contextmanager
    def lost_process(self):
        """Turn the error of a lost process into a sentence. torchrun itself reports which one died, and why."""
        try:
            yield
        except RuntimeError as error:
            words = ("connection", "peer", "timed out", "timeout", "nccl", "gloo", "broken pipe")
            if self.world_size > 1 and any(word in str(error).lower() for word in words):
                reason = re.sub(r"^\[\S*\] *", "", first_line(error, 200))  # without the place in gloo's code
                raise UserError(
                    f"process {self.rank} of {self.world_size} lost another one ({reason}):"
                    " where out_dir has a last.pt, --init_from=resume continues from it"
                ) from error
            raise

    def close(self):
        """Leave the group. A captured step must be gone by then: it holds the group's communicator."""
        if self.world_size > 1:
            dist.destroy_process_group()
