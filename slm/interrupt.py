"""Ctrl-C while packages are still imported is one line. Each script imports this first: PyTorch takes seconds."""

import sys


def say_stopped(kind, error, trace):
    if issubclass(kind, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = say_stopped
