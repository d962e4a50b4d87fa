"""A run ends well when the system asks it to: Ctrl-C, `kill`, a closed terminal, a job's time limit."""

import contextlib
import os
import signal
import sys

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class StopSignals:
    """Notes a signal's number in `.received`, so that the run finishes its step; a second signal ends it at once."""

    def __init__(self):
        self.received = 0
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP:  # `nohup` ignores SIGHUP
                signal.signal(number, self.note)

    def note(self, number, _frame):
        self.received = number
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(f"\n{signal.Signals(number).name}: finishing the step (again: stop at once)", file=sys.stderr)
        for again in STOP_SIGNALS:
            signal.signal(again, lambda number, _frame: os._exit(128 + number))
