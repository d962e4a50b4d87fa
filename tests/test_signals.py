"""slm/training/signals.py: a run ends well when the system asks it to, and at once when it asks twice."""

import os
import signal
import subprocess
import sys

import pytest
from conftest import (
    PATIENCE,
    SIGNALS,
    SMALL_RUN,
    call,
    read_log_steps,
    signal_in_step,
    start_command,
    start_forked,
    wait_until,
)

from slm.files import ROOT
from slm.models.checkpoint import load_checkpoint
from slm.training.signals import STOP_SIGNALS, StopSignals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals to a process are Unix's")


@pytest.fixture(autouse=True)
def handlers_stay():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        if before[number] == signal.SIG_IGN:  # `nohup pytest` ignores SIGHUP
            signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_is_noted(number, capsys):
    signals = StopSignals()
    assert signals.received == 0
    os.kill(os.getpid(), number)
    assert signals.received == number
    assert f"{signal.Signals(number).name}: finishing the step (again: stop at once)" in capsys.readouterr().err


def test_a_closed_terminal_counts_as_kill():
    assert set(SIGNALS) == set(STOP_SIGNALS) and len(SIGNALS) == 6


def test_a_terminal_that_is_gone(monkeypatch):
    """SIGHUP says that the terminal is closed: the message then has nowhere to go."""

    class Gone:
        def write(self, text):
            raise OSError("Input/output error")

        flush = write

    signals = StopSignals()
    monkeypatch.setattr(sys, "stderr", Gone())
    os.kill(os.getpid(), signal.SIGHUP)
    assert signals.received == signal.SIGHUP


def test_nohup():
    """`nohup` ignores SIGHUP, and so does the run; other signals count."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals = StopSignals()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signals.received == 0
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.received == signal.SIGTERM


def test_a_second_signal_ends_at_once():
    code = (
        "import os, signal; from slm.training.signals import StopSignals; signals = StopSignals();"
        "os.kill(os.getpid(), signal.SIGTERM); print(signals.received, flush=True);"
        "os.kill(os.getpid(), signal.SIGTERM); signals.time -= 2;"
        "os.kill(os.getpid(), signal.SIGINT); print('still there')"
    )
    process = start_command([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.DEVNULL)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGINT and out == f"{int(signal.SIGTERM)}\n"


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_run_keeps_everything(here, number):
    """It ends after the step in hand, with 128 + the signal's number, and last.pt holds that step."""
    with signal_in_step(7, number):
        result = call("train.py", *SMALL_RUN)
    assert result.status == 128 + number, result.err
    assert load_checkpoint("out/small/last.pt")["step"] == 7 and "stopped after step 7" in result.out


def test_another_process_is_stopped(here):
    """The same from outside, as `kill` and a job's time limit do it."""
    process = start_forked("train.py", *SMALL_RUN, "--max_iters=100000", "--log_interval=1", cwd=here)
    wait_until(lambda: len(read_log_steps("out/small")) > 5, process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert "--init_from=resume" in out and "Traceback" not in err
    saved = load_checkpoint("out/small/last.pt")
    assert saved["step"] >= 5 and saved["progress"]["logged"] == read_log_steps("out/small")[-1]
