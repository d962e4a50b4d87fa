"""One line for what ends a script while packages are still imported: Ctrl-C (PyTorch takes seconds), or one is missing.

Each script imports this first. In any other program it changes nothing.
"""

import os
import signal
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ROOT, os.path.join(ROOT, "experiments")  # of the scripts
REQUIREMENTS = os.path.join(ROOT, "requirements.txt")


def stop(number, _frame):
    """End at once. A KeyboardInterrupt would be lost in a finalizer, and where C++ code imports, PyTorch aborts."""
    try:
        os.write(2, b"stopped\n")
    finally:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def end_of_imports():
    """From here on Ctrl-C is a KeyboardInterrupt again, which lets a script clean up."""
    if signal.getsignal(signal.SIGINT) == stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def say_missing(kind, error, trace):
    if not issubclass(kind, ModuleNotFoundError) or error.name not in required_packages():
        sys.__excepthook__(kind, error, trace)
        return
    name, script = error.name, os.path.basename(sys.argv[0])
    print(f"{script}: {name} is not installed: run `python -m pip install -r requirements.txt`", file=sys.stderr)
    sys.stderr.flush()
    os._exit(2)  # a hook cannot choose the status in another way


def required_packages():
    """The names in requirements.txt; none where it is not there."""
    import re  # here: until this module is imported, Ctrl-C is an exception

    if not os.path.exists(REQUIREMENTS):
        return []
    with open(REQUIREMENTS, encoding="utf-8") as file:
        return re.findall(r"^\w+", file.read(), re.MULTILINE)


def is_script():
    """Whether this process runs one of the repository's scripts."""
    path = getattr(sys.modules["__main__"], "__file__", None)
    return bool(path) and os.path.dirname(os.path.abspath(path)) in FOLDERS


if is_script():
    sys.excepthook = say_missing
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # `nohup` ignores it
        signal.signal(signal.SIGINT, stop)
