"""A faster step on a GPU: kernels fused by torch.compile, and the launches of a whole step captured as a CUDA graph."""

import contextlib
import gc
import sys
import threading

import torch

from slm import devices
from slm.devices import capture_cuda_graph
from slm.errors import first_line

# A captured step keeps its memory, and a validation needs some beside it: at most this many times the estimate.
CAPTURED_MEMORY = 1.5


@contextlib.contextmanager
def without_garbage_collection():
    """Importing the compiler and compiling make millions of objects that stay: looking through them takes a fifth."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@without_garbage_collection()
def import_compiler():
    """Import what torch.compile imports at the first pass, some seconds of modules.

    An error is silent here: that pass raises it again, and the run goes on without the compiler.
    """
    with contextlib.suppress(Exception):
        import torch._inductor.compile_fx  # noqa: F401


def dismiss_compiler():
    """End the compiler's processes, in a thread. They may only be starting; the end of a run would wait for them.

    Nothing may be compiled until they have ended.
    """
    compiler = sys.modules.get("torch._inductor.async_compile")  # missing where it could not be imported
    if end := getattr(compiler, "shutdown_compile_workers", None):  # no public function does this
        threading.Thread(target=end, name="end of the compiler").start()


def compile_model(model):
    """torch.compile for fixed shapes.

    Not with torch.compiler.nested_compile_region, which compiles one block for all: in PyTorch 2.13 its gradients are
    wrong, since the blocks' backward passes write over what others still need (pytorch/pytorch, pull request 192840).
    """
    # torch 2.11 fuses the two kinds of sums in LayerNorm's backward pass, which makes that four times slower, and a
    # step of config/tinystories.py 7 % (measured on an H200)
    options = {"triton.mix_order_reduction": False}
    known = torch._inductor.list_options()
    return torch.compile(model, dynamic=False, options={name: options[name] for name in options if name in known})


class CapturedStep:
    """`step(batch)`, launched once, then captured as one CUDA graph and replayed.

    Where a step is small, launching its hundreds of kernels one by one takes longer than running them. agree(worked)
    tells whether the capture worked in every process; where it did not, `recover()` runs, a line says so, and each
    step is launched again. `close()` frees the graph.
    """

    def __init__(self, step, agree, recover, print_line):
        self.step, self.agree, self.recover, self.print_line = step, agree, recover, print_line
        self.batch = self.replay = None
        self.give_up = False

    def __call__(self, batch):
        if self.replay:
            self.batch.copy_(batch)
            self.replay()
            return
        self.step(batch)
        if not self.give_up:
            self.capture(batch)

    def capture(self, batch):
        """Record the kernels of a step without running them."""
        self.batch, failure = batch, None
        try:
            self.replay = capture_cuda_graph(lambda: self.step(self.batch))
        except Exception as error:
            failure = "memory is short" if devices.is_out_of_memory(error) else first_line(error)
        if not self.agree(failure is None):
            self.close()
            self.give_up = True
            self.recover()
            self.print_line(f"no CUDA graph ({failure or 'another process failed'}): each step launches its kernels")

    def close(self):
        self.batch = self.replay = None


def has_room(device, memory):
    """Whether `device` is a CUDA device on which a captured step fits; memory: of an uncaptured one, in bytes."""
    return device.type == "cuda" and CAPTURED_MEMORY * memory < devices.free_memory(device)
