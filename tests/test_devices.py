"""slm/devices.py: what `auto` chooses; and the one machine that the tests see, wherever they run."""

import shutil
import sys

import pytest
import torch
from conftest import PATIENCE, ROOT, environment, start_command

from slm import devices

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


@pytest.mark.gpu
def test_auto_is_the_gpu():
    assert devices.pick_device().type == "cuda"
    assert devices.pick_dtype("auto", torch.device("cuda")) in (torch.bfloat16, torch.float16)
