"""One line for what ends a script while packages are still imported: Ctrl-C (PyTorch takes seconds), or one is missing.

Each script imports this first.
"""

import os
import re
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent.parent / "requirements.txt"


def say_stopped(kind, error, trace):
    if issubclass(kind, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
    elif issubclass(kind, ModuleNotFoundError) and error.name in required_packages():
        name, script = error.name, os.path.basename(sys.argv[0])
        print(f"{script}: {name} is not installed: run `python -m pip install -r requirements.txt`", file=sys.stderr)
        sys.stderr.flush()
        os._exit(2)  # a hook cannot choose the status in another way
    else:
        sys.__excepthook__(kind, error, trace)


def required_packages():
    """The names in requirements.txt; none where it is not there."""
    return re.findall(r"^\w+", REQUIREMENTS.read_text(), re.MULTILINE) if REQUIREMENTS.exists() else []


sys.excepthook = say_stopped
