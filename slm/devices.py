"""The machine: which device and precision to use, its memory, its peak speed, and CUDA graphs."""

import contextlib
import ctypes
import platform
import re

import torch

from slm.errors import UserError, counted

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# Dense 16-bit tensor-core peak in TFLOP/s, from the makers' datasheets; the first name that matches counts.
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

    A CUDA device with a number becomes the current one: a CUDA graph captures only the current device's kernels.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"unknown device {name!r}: give auto, cpu, cuda, cuda:N or mps") from error
    if device.type not in ("cpu", "cuda", "mps") or (device.index and device.type != "cuda"):
        raise UserError(f"device {name!r} is not supported: give auto, cpu, cuda, cuda:N or mps")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device {name!r} is not here: this machine has {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("device 'mps' is not here: it takes a Mac with Apple silicon")
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device


def pick_dtype(name, device):
    """The torch.dtype of the forward pass. Raises UserError.

    "auto" is bfloat16 where the device has it in hardware; else float16 on CUDA and float32 on a CPU or MPS.
    """
    if name == "auto":
        if device.type == "cuda":
            # emulated bfloat16 counts as support by default, and is many times slower than float16 on a T4
            return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
        return torch.bfloat16 if device.type == "cpu" and cpu_has_bfloat16() else torch.float32
    if name not in DTYPES:
        raise UserError(f"unknown dtype {name!r}: give auto, {', '.join(DTYPES)}")
    if name == "float16" and device.type == "cpu":
        raise UserError("float16 needs a GPU: give --dtype=float32 or bfloat16 on a CPU")
    return DTYPES[name]


def cpu_has_bfloat16():
    """Whether the processor multiplies bfloat16 matrices in hardware (AVX-512 BF16 or AMX)."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private: torch has no public question
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


def autocast(device, dtype):
    """The context of the forward pass: mixed precision for the 16-bit types, nothing for float32."""
    return contextlib.nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def synchronize(device):
    """Wait for the device's work."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def dtype_name(dtype):
    return str(dtype).removeprefix("torch.")


def describe(device):
    """A device's name, for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU (MPS)"
    return f"CPU ({platform.machine()}, {counted(torch.get_num_threads(), 'thread')})"


def peak_flops(device, dtype):
    """The device's peak in FLOP/s for 16-bit matrix products, or None where it is not known."""
    if device.type != "cuda" or dtype == torch.float32:
        return None
    name = torch.cuda.get_device_name(device)
    return next((1e12 * tflops for part, tflops in PEAK_TFLOPS.items() if re.search(rf"\b{part}\b", name)), None)


def free_memory(device):
    """The free memory of a GPU, in bytes, that this process may use. A Mac's GPU shares the computer's memory."""
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    free, total = torch.cuda.mem_get_info(device)
    return min(free, total * torch.cuda.get_per_process_memory_fraction(device.index))


def is_out_of_memory(error):
    """Whether an exception means that the device's memory is full; only CUDA has a type for that."""
    words = ("out of memory", "can't allocate memory")  # MPS's, the CPU's
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error).lower() for word in words)


def keep_freed_memory(device):
    """Let a CPU's process keep the memory that a step frees. Then the next step takes it again without page faults.

    By default glibc returns a step's activations to the system: of two layers of 192 11,400 pages, see
    experiments/log.md. Other C libraries have no mallopt, and keep their defaults.
    """
    m_trim_threshold, m_mmap_threshold, largest = -1, -3, 2**25  # glibc's malloc.h; it accepts no larger threshold
    if device.type == "cpu" and platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(m_trim_threshold, 2**31 - 1)
        mallopt(m_mmap_threshold, largest)


def empty_cache(device):
    """Return the memory that PyTorch keeps for reuse to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def capture_cuda_graph(function):
    """Record the kernels that `function` launches: a function that replays them on the same memory."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # another thread may pin memory meanwhile
        function()
    return graph.replay
