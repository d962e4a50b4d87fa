"""slm/devices.py: what `auto` chooses; and the one machine that the tests see, wherever they run."""

import platform
import shutil
import sys

import pytest
import torch
from conftest import PATIENCE, ROOT, environment, start_command

from slm import devices
from slm.errors import UserError

CPU = torch.device("cpu")


def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch):
    assert devices.pick_dtype("auto", CPU) == torch.float32
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: True)
    assert devices.pick_dtype("auto", CPU) == torch.bfloat16
    assert devices.pick_dtype("float32", CPU) == torch.float32


def test_one_machine():
    """In this process and in those that tests start: a change of the environment after torch has loaded is too late."""
    code = "import torch; print(torch.get_num_threads(), torch.cuda.is_available())"
    process = start_command([sys.executable, "-c", code], cwd=ROOT, env=environment())
    out, err = process.communicate(timeout=PATIENCE)
    assert out.split() == ["1", "False"], err
    assert torch.get_num_threads() == 1 and devices.pick_device() == CPU
    assert environment()["GOMP_SPINCOUNT"] == "0" and not {"RANK", "WORLD_SIZE", "HF_TOKEN"} & environment().keys()
    assert shutil.get_terminal_size().columns == 80


@pytest.mark.parametrize("name", ["cpu:7", "mps:1", "meta", "nonsense"])
def test_a_device_that_is_none(name):
    """A processor has no number that anything would obey."""
    with pytest.raises(UserError, match=f"device '{name}'.*give auto, cpu, cuda, cuda:N or mps"):
        devices.pick_device(name)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_freed_memory_is_kept():
    """Steps that take the same memory soon cause no page faults."""
    code = """if True:
        import numpy, resource, torch
        from slm import devices
        def faults_of_a_step():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            activations = [numpy.ones(2**21) for _ in range(4)]  # 64 MiB, 16,384 pages
            del activations
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        devices.keep_freed_memory(torch.device("cpu"))
        print(*[faults_of_a_step() for _ in range(6)])
    """
    process = start_command([sys.executable, "-c", code], cwd=ROOT, env=environment())
    out, err = process.communicate(timeout=PATIENCE)
    assert sum(map(int, out.split()[2:])) < 1000, err or out


@pytest.mark.gpu
def test_auto_is_the_gpu():
    assert devices.pick_device().type == "cuda"
    assert devices.pick_dtype("auto", torch.device("cuda")) in (torch.bfloat16, torch.float16)
