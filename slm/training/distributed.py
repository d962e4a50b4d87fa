"""The processes of one run, one for each GPU, as `torchrun` or SLURM's `srun` starts them; else this process alone.

Each process computes its share of a step's sequences and holds the whole model. Gradients are summed over the processes
once per step, in one message, inside the step: a captured step captures that too. Muon shares its work in the same way
(slm/training/muon.py). Small numbers travel over gloo on the CPU, so no GPU waits for them. Processes compare what they
start from before the first step.
"""

import contextlib
import datetime
import json
import os
import re
import socket

import torch
import torch.distributed as dist

from slm.errors import UserError, first_line

# How long to wait for another process. Compiling and telling a story take less; a user waits no longer.
LOST_AFTER = datetime.timedelta(minutes=3)


def restart_count():
    """How often torchrun has restarted this run after one of its processes died."""
    return environment_number("TORCHELASTIC_RESTART_COUNT", 0)


def torchrun_id():
    """torchrun's name for this run, which a restart keeps: its --rdzv_id, or a new one; None without torchrun."""
    return os.environ.get("TORCHELASTIC_RUN_ID")


def environment_number(name, default):
    """The whole number in an environment variable. Raises UserError where it holds something else."""
    text = os.environ.get(name, str(default))
    if not re.fullmatch(r"\d{1,9}", text):
        raise UserError(
            f"the environment variable {name} must be a whole number, not {text!r}: unset it, or use torchrun"
        )
    return int(text)


def adopt_slurm():
    """Set torchrun's variables where `srun` started several processes without torchrun. Raises UserError."""
    tasks = environment_number("SLURM_STEP_NUM_TASKS", 1)
    if tasks == 1 or "WORLD_SIZE" in os.environ:
        return
    hosts = os.environ.get("SLURM_STEP_NODELIST", "localhost")
    first_host = re.match(r"([^,\[]+)(?:\[(\d+)[^\]]*\])?([^,\[]*)", hosts)  # of node01,node02 or node[01-02]
    variables = {
        "RANK": environment_number("SLURM_PROCID", 0),
        "LOCAL_RANK": environment_number("SLURM_LOCALID", 0),
        "WORLD_SIZE": tasks,
        "MASTER_ADDR": "".join(filter(None, first_host.groups())),
        "MASTER_PORT": 15000 + environment_number("SLURM_JOB_ID", 0) % 20000,
    }
    for name, value in variables.items():
        os.environ.setdefault(name, str(value))


def read_ranks():
    """(rank, local_rank, world_size) of this process. Raises UserError where the environment contradicts itself."""
    rank, local_rank, world_size = map(environment_number, ("RANK", "LOCAL_RANK", "WORLD_SIZE"), (0, 0, 1))
    if not rank < max(1, world_size) or (world_size > 1 and "RANK" not in os.environ):
        raise UserError(f"WORLD_SIZE is {world_size} and RANK is {os.environ.get('RANK', 'missing')}: use torchrun")
    if world_size > 1:
        for name in ("MASTER_ADDR", "MASTER_PORT"):
            if not os.environ.get(name):
                raise UserError(f"WORLD_SIZE is {world_size} and {name} is missing: use torchrun")
        environment_number("MASTER_PORT", 0)
    return rank, local_rank, world_size


class ProcessGroup:
    """rank of world_size processes; `is_main` is the one that writes files and prints. Raises UserError."""

    def __init__(self, device_type, backend="auto"):
        adopt_slurm()
        self.rank, self.local_rank, self.world_size = read_ranks()
        self.is_main, self.agreements = self.rank == 0, 0
        if backend not in ("auto", "nccl", "gloo"):
            raise UserError(f"unknown backend {backend!r}: give auto, nccl or gloo")
        if self.world_size > 1:
            if backend == "auto":
                backend = "nccl" if device_type == "cuda" and dist.is_nccl_available() else "gloo"
            backends = f"cpu:gloo,cuda:{backend}" if device_type == "cuda" else "gloo"
            with self.lost_process():
                self.store = self.join()
                dist.init_process_group(
                    backends, store=self.store, rank=self.rank, world_size=self.world_size, timeout=LOST_AFTER
                )

    def join(self):
        """The store through which the processes find each other. Raises UserError where they cannot."""
        address, start = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}", restart_count()
        try:
            store, _, _ = next(dist.rendezvous("env://", timeout=LOST_AFTER))
        except (dist.DistError, RuntimeError, ValueError, OSError) as error:
            raise UserError(
                f"process {self.rank} of {self.world_size} cannot meet the others at {address}"
                f" ({first_line(error)}): check MASTER_ADDR, take another MASTER_PORT where that one is in use, and"
                " start all processes within three minutes"
            ) from error
        store.set_timeout(LOST_AFTER)
        # torchrun keeps one store for all its restarts; without a prefix a restarted process would find the addresses
        # of dead ones in it
        return dist.PrefixStore(f"start {start}", store)

    def together(self, function):
        """function() in every process. Where it raises UserError in one of them, it does in all, and names the host."""
        if self.world_size == 1:
            return function()
        result, failure = None, None
        try:
            result = function()
        except UserError as error:
            failure = error
        self.agreements += 1
        with self.lost_process():
            name = f"agreement {self.agreements}, process "
            self.store.set(f"{name}{self.rank}", f"{socket.gethostname()}: {failure}" if failure else "")
            failures = [self.store.get(f"{name}{rank}").decode() for rank in range(self.world_size)]
            self.store.set(f"{name}{self.rank} has read", "")
            for rank in range(self.world_size) if self.is_main else []:  # the store may end with it
                self.store.get(f"{name}{rank} has read")
        if failure:
            raise failure
        for rank, text in enumerate(failures):
            if text:
                raise UserError(f"process {rank} of {self.world_size} on {text}; every host needs the same files")
        return result

    def compare(self, describe):
        """Raise UserError, in every process, where the {name: text} of describe() differs from that of process 0.

        One process alone describes nothing: hashing a model takes time.
        """
        if self.world_size == 1:
            return
        things = describe()
        self.agreements += 1
        key = f"comparison {self.agreements}"
        if self.is_main:
            self.store.set(key, json.dumps([socket.gethostname(), things]))

        def check():
            host, expected = json.loads(self.store.get(key))
            for name in sorted(expected.keys() | things.keys()):
                here, there = things.get(name, "missing"), expected.get(name, "missing")
                if here != there:
                    raise UserError(
                        f"{name} is {here} in process {self.rank} on {socket.gethostname()} and {there} in process 0 on"
                        f" {host}: every host needs the same command, data and out_dir"
                    )

        self.together(check)

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

    def smallest(self, number):
        """The smallest of a whole number over all processes."""
        return int(self.all_reduce([number], dist.ReduceOp.MIN)[0])

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

    def all_gather(self, tensors):
        """Each tensor beside those of the other processes, (world_size, *shape): one message, which can be captured.

        The tensors have one type, and the same shapes in every process.
        """
        if self.world_size == 1:
            return [tensor[None] for tensor in tensors]
        message = torch.cat([tensor.flatten() for tensor in tensors])
        gathered = message.new_empty(self.world_size * len(message))
        with self.lost_process():
            # its new name since torch 2.13, whose old one warns
            getattr(dist, "all_gather_single", dist.all_gather_into_tensor)(gathered, message)
        parts = gathered.view(self.world_size, -1).split([tensor.numel() for tensor in tensors], dim=1)
        return [part.view(self.world_size, *tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

    @contextlib.contextmanager
    def lost_process(self):
        """Turn the error of a lost process into a sentence. torchrun itself reports which one died, and why."""
        try:
            yield
        except RuntimeError as error:  # dist.DistError is one
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
