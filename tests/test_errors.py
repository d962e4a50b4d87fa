"""slm/errors.py and slm/interrupt.py: streams that are closed, full or gone, and Ctrl-C at any time."""

import io
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import PATIENCE, ROOT, environment, start_command

from slm import interrupt
from slm.errors import counted, run_script

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="file descriptors and signals are Unix's")


class Broken(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, *text):
        raise self.error

    flush = write


ERRORS = [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device"), ValueError("closed file")]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_report_that_cannot_be_written_is_dropped(monkeypatch, error):
    monkeypatch.setattr(sys, "stdout", Broken(error))
    run_script(lambda: [print("a line") for _ in range(3)])


def test_a_closed_stream(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    run_script(lambda: (print("a line"), print("another", file=sys.stderr)))


@pytest.mark.parametrize(("error", "status"), list(zip(ERRORS[:2], (141, 2), strict=True)), ids=["gone", "full"])
def test_a_result_that_cannot_be_written_ends_the_script(monkeypatch, capsys, error, status):
    monkeypatch.setattr(sys, "stdout", Broken(error))
    with pytest.raises(SystemExit) as raised:
        run_script(lambda: print("a story"), stdout_is_result=True)
    assert raised.value.code == status
    assert ("cannot write to standard output: No space left on device" in capsys.readouterr().err) == (status == 2)


@pytest.mark.parametrize("error", [OSError("719 requested and 400 written"), BrokenPipeError(32, "Broken pipe")])
def test_another_error_is_not_blamed_on_standard_output(monkeypatch, error):
    def main():
        raise error

    with pytest.raises(type(error)):
        run_script(main, stdout_is_result=True)


def test_a_count_and_its_noun():
    assert [counted(number, "step") for number in (0, 1, 2, 12345)] == ["0 steps", "1 step", "2 steps", "12,345 steps"]
    assert [counted(number, "story", "stories") for number in (1, 2)] == ["1 story", "2 stories"]


STREAMS = {
    "a full standard output": "> /dev/full",
    "a full standard error": "2> /dev/full",
    "a closed standard output": ">&-",
    "a closed standard error": "2>&-",
    "a reader that is gone": "| true",
}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
@pytest.mark.parametrize("stream", STREAMS)
def test_a_command_with_a_broken_stream(tmp_path, stream):
    (tmp_path / "stories.txt").write_text("\n\n".join(f"Story {number} of a cat." for number in range(40)))
    command = f"set -o pipefail; {sys.executable} {ROOT}/prepare.py --dataset stories.txt {STREAMS[stream]}"
    process = start_command(["bash", "-c", command], cwd=tmp_path)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and not err, err
    assert (tmp_path / "data/stories/meta.json").exists()


WAIT = "import time; print('importing', flush=True); time.sleep(60)"
IMPORTS = {
    "plain": WAIT,
    "in a finalizer, where an exception is lost": f"class Library:\n def __del__(self): {WAIT}\nLibrary(); {WAIT}",
    "what catches everything": f"try:\n {WAIT}\nexcept BaseException:\n {WAIT}",
}


@pytest.mark.parametrize("code", IMPORTS.values(), ids=IMPORTS)
def test_ctrl_c_while_packages_are_imported(tmp_path, code):
    """One line, and no traceback; the process ends by the signal."""
    (tmp_path / "torch.py").write_text(code)
    process = start_command(
        [sys.executable, str(ROOT / "train.py")],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        env=environment(PYTHONPATH=str(tmp_path)),
    )
    assert process.stdout.readline() == "importing\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert err == "stopped\n" and process.returncode in (-signal.SIGINT, 130)


def test_another_program_keeps_its_ctrl_c(tmp_path):
    """A notebook or a shell that imports a module of ours goes on after it."""
    code = "import signal, sys, slm.interrupt, slm.errors\n"
    code += "assert signal.getsignal(signal.SIGINT) == signal.default_int_handler\n"
    code += "assert sys.excepthook == sys.__excepthook__\n"
    process = start_command([sys.executable, "-c", code], cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT)))
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err


def test_after_the_imports_ctrl_c_cleans_up(capsys):
    def main():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            print("cleaned up")

    signal.signal(signal.SIGINT, interrupt.stop)
    with pytest.raises(SystemExit) as leaving:
        run_script(main)
    assert leaving.value.code == 130 and capsys.readouterr() == ("cleaned up\n", "stopped\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_script_that_is_killed_leaves_nothing_half_written(tmp_path, number):
    code = "import time; from slm.errors import run_script; from slm.files import atomic_write, atomic_folder\n"
    code += "def main():\n with atomic_write('f') as file, atomic_folder('g'):\n"
    code += "  file.write(b'half'); print('writing', flush=True); time.sleep(60)\n"
    process = start_command(
        [sys.executable, "-c", code + "run_script(main)"], cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT))
    )
    assert process.stdout.readline() == "writing\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number and not err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", ["prepare.py", "train.py", "sample.py", "evaluate.py", "export.py", "bench.py"])
def test_a_missing_package(script, tmp_path):
    """As before the first `pip install`: one sentence, which names the package and the command."""
    command = [sys.executable, "-S", str(ROOT / script)]  # without site-packages
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 2 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and "is not installed: run `python -m pip install" in result.stderr
