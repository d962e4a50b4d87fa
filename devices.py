"""What the machine is: which device to use, in which precision, and how fast it could be at best."""

import contextlib
import os
import platform
import re
import signal
import sys

import torch
import torch.distributed as dist

from configuration import UserError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# Dense 16-bit tensor-core peak in TFLOP/s, from the makers' datasheets; the first name that fits is taken.
PEAK_TFLOPS = {
    "B200": 2250,
    "H200": 989,
    "H100 PCIe": 756,
    "H100 NVL": 835,
    "H100": 989,
    "GH200": 989,
    "A100": 312,
    "A10G": 70,
    "A10": 125,
    "A40": 150,
    "A6000": 155,
    "L40S": 362,
    "L40": 181,
    "L4": 121,
    "V100": 125,
    "T4": 65,
    "RTX 5090": 210,
    "RTX 5080": 113,
    "RTX 4090": 165,
    "RTX 4080": 97,
    "RTX 4070": 58,
    "RTX 3090": 71,
    "RTX 3080": 60,
    "RTX 3070": 41,
    "RTX 3060": 26,
}


def pick_device(name="auto"):
    """The torch.device of `name`; "auto" is CUDA, else Apple's MPS, else the CPU. Raises UserError.

    A CUDA device with a number becomes the current one, whose kernels a CUDA graph captures.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"unknown device {name!r}: give auto, cpu, cuda, cuda:N or mps") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise UserError(f"device {name!r} is not supported: give auto, cpu, cuda, cuda:N or mps")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device {name!r} is not here: this machine has {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("device 'mps' is not here: it takes a Mac with Apple silicon")
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device


def pick_dtype(name, device):
    """The torch.dtype to compute in. "auto": on CUDA bfloat16 where the GPU has it in hardware, else float16; elsewhere
    float32. Raises UserError."""
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        # emulated bfloat16 counts as support unless asked so, and is many times slower than float16 on a T4
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if name not in DTYPES:
        raise UserError(f"unknown dtype {name!r}: give auto, {', '.join(DTYPES)}")
    if name == "float16" and device.type == "cpu":
        raise UserError("float16 needs a GPU: give --dtype=float32 or bfloat16 on a CPU")
    return DTYPES[name]


def autocast(device, dtype):
    """The context in which the forward pass runs: mixed precision for the 16-bit types, nothing for float32."""
    return contextlib.nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def dtype_name(dtype):
    return str(dtype).removeprefix("torch.")


def describe(device):
    """A device's name for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU (MPS)"
    return f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)"


def peak_flops(device, dtype):
    """The device's peak in FLOP/s for 16-bit matrix products, or None where it is not known."""
    if device.type != "cuda" or dtype == torch.float32:
        return None
    name = torch.cuda.get_device_name(device)
    return next((1e12 * tflops for part, tflops in PEAK_TFLOPS.items() if re.search(rf"\b{part}\b", name)), None)


def memory_bytes(device):
    """The memory of a CUDA device, in bytes, that this process may take."""
    free, total = torch.cuda.mem_get_info(device)
    return min(free, total * torch.cuda.get_per_process_memory_fraction(device.index))


def out_of_memory(error):
    """Whether an exception says that the device's memory is full; MPS has no type of its own for that."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower()


def empty_cache(device):
    """Give memory that PyTorch keeps for reuse back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


class Signals:
    """Notes SIGINT and SIGTERM in `.received` so that the step in hand can end well; the second one stops at once."""

    def __init__(self):
        self.received = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.note)

    def note(self, number, _frame):
        self.received = number
        print(f"\n{signal.Signals(number).name}: finishing the step (again: stop at once)", file=sys.stderr)
        for again in (signal.SIGINT, signal.SIGTERM):
            signal.signal(again, lambda number, _frame: os._exit(128 + number))


def restarts():
    """How often torchrun has started this run again after a process of it died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


class Processes:
    """The processes of one run, one a GPU, as `torchrun` starts them; just this one without it.

    rank and world say which of how many; `first` is the one that writes and prints. Small numbers travel over gloo on
    the CPU, which no GPU waits for; gradients are DDP's own business.
    """

    def __init__(self, device_type, backend="auto"):
        self.rank, self.local_rank, self.world = (
            int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1))
        )
        self.first = self.rank == 0
        if self.world > 1:
            if backend not in ("auto", "nccl", "gloo"):
                raise UserError(f"unknown backend {backend!r}: give auto, nccl or gloo")
            if backend == "auto":
                backend = "nccl" if device_type == "cuda" and dist.is_nccl_available() else "gloo"
            # torchrun keeps one store for all of its restarts; without a name of its own, a process would read there
            # where those that have died were to be reached
            store, _, _ = next(dist.rendezvous("env://"))
            store = dist.PrefixStore(f"start {restarts()}", store)
            backends = f"cpu:gloo,cuda:{backend}" if device_type == "cuda" else "gloo"
            dist.init_process_group(backends, store=store, rank=self.rank, world_size=self.world)

    def reduce(self, values, op=dist.ReduceOp.SUM):
        """A list of numbers, each summed (or as `op` says) over all processes."""
        if self.world == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64)
        with self.alive():
            dist.all_reduce(numbers, op)
        return numbers.tolist()

    def any(self, flag):
        """Whether `flag` is true in any process, so that all of them do the same."""
        return bool(self.reduce([bool(flag)], dist.ReduceOp.MAX)[0])

    @contextlib.contextmanager
    def alive(self):
        """Say in a sentence when, in here, another process has gone. It is torchrun that says which, and why."""
        try:
            yield
        except RuntimeError as error:
            lost = ("connection", "peer", "timed out", "nccl", "gloo")
            if self.world > 1 and any(word in str(error).lower() for word in lost):
                raise UserError(
                    f"process {self.rank} of {self.world} stops: another one has gone"
                    f" ({str(error).strip().splitlines()[0][:120]}); --init_from=resume goes on from last.pt"
                ) from error
            raise

    def close(self):
        if self.world > 1:
            dist.destroy_process_group()
