"""A run ends well when the system asks it to: Ctrl-C, `kill`, a closed terminal, a job's time limit."""

import contextlib
import os
import signal
import sys
import time

# clusters send USR1, USR2 or XCPU before a time limit: SLURM with `#SBATCH --signal=USR1@120`
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
STOP_SIGNALS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]


class StopSignals:
    """Notes a signal's number in `.received`, so that the run finishes its step; a second signal ends it at once.

    Ctrl-C under torchrun arrives twice: from the terminal, and from torchrun. Signals within a second count as one.
    """

    def __init__(self):
        self.received, self.time = 0, 0.0
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP:  # `nohup` ignores SIGHUP
                signal.signal(number, self.note)

    def note(self, number, _frame):
        if self.received and time.monotonic() - self.time < 1:
            return
        if self.received:
            os._exit(128 + number)
        self.received, self.time = number, time.monotonic()
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(f"\n{signal.Signals(number).name}: finishing the step (again: stop at once)", file=sys.stderr)
