"""Scripts in processes that have PyTorch already: a server of multiprocessing imports it once and forks for each.

A script that trains imports for 8 seconds of processor time. The server runs nothing else, so what it forks has no
threads and no state of a test.
"""

import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from multiprocessing import forkserver
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
PRELOADED = ["torch._dynamo", "matplotlib.pyplot", "train"]  # the optimizer imports the first, loss.png the second


class ForkedProcess:
    """`python ARGUMENTS` in a process of the server, with the methods of subprocess.Popen that tests use.

    Standard input is empty. The variables of `env` that Python or PyTorch reads when it starts are the server's.
    """

    def __init__(self, arguments, cwd, env):
        with mock.patch.dict(os.environ, env, PYTHONPATH=str(ROOT)):  # the server starts with the first process
            forkserver.set_forkserver_preload(PRELOADED)
            forkserver.ensure_running()
        self.folder = tempfile.TemporaryDirectory(prefix="tests-output-")
        self.outputs = [Path(self.folder.name, name) for name in ("out", "err")]
        context = multiprocessing.get_context("forkserver")
        self.process = context.Process(target=run_script, args=(arguments, str(cwd), env, self.outputs))
        self.process.start()
        self.pid = self.process.pid

    @property
    def returncode(self):
        return self.process.exitcode

    poll = returncode.fget

    def wait(self, timeout=None):
        self.process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.process.name, timeout)
        return self.returncode

    def communicate(self, timeout=None):
        self.wait(timeout)
        texts = tuple(path.read_text() if path.exists() else "" for path in self.outputs)
        self.folder.cleanup()
        return texts

    def send_signal(self, number):
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def run_script(arguments, cwd, env, outputs):
    """What `python ARGUMENTS` does, in a process of the server."""
    for descriptor, path in zip((1, 2), outputs, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = list(arguments)
    runpy.run_path(sys.argv[0], run_name="__main__")
