"""A mistake that the user can fix, and how a script ends after one: one sentence, exit status 2, no traceback."""

import contextlib
import difflib
import os
import signal
import sys
from pathlib import Path

from slm import interrupt
from slm.terminal import WordWrap


class UserError(Exception):
    """A mistake that the user can fix. Its text is one sentence that names the thing and the fix."""


class Report:
    """A stream for reports, which are cosmetic: once it is full, closed or its reader is gone, it drops what comes."""

    def __init__(self, stream):
        self.stream = by_words(stream or open(os.devnull, "w"))  # noqa: SIM115 - closed streams (`>&-`) are None
        if hasattr(self.stream, "reconfigure"):
            self.stream.reconfigure(errors="replace")  # a console that lacks a character must not end a run

    def write(self, text):
        self.attempt(self.stream.write, text)
        return len(text)

    def flush(self):
        self.attempt(self.stream.flush)

    def attempt(self, function, *arguments):
        try:
            function(*arguments)
        except (OSError, ValueError):
            silence(self.stream)

    def __getattr__(self, name):
        return getattr(self.stream, name)


class Result(Report):
    """A stream for what a script is for: once it is full the script ends with a sentence; without a reader, quietly."""

    def attempt(self, function, *arguments):
        try:
            function(*arguments)
        except BrokenPipeError:
            silence(self.stream)
            sys.exit(141)
        except OSError as error:
            silence(self.stream)
            raise UserError(f"cannot write to standard output: {error.strerror or error}") from error


def by_words(stream):
    """A stream whose lines break between words where it is a terminal; any other stream as it is."""
    return WordWrap(stream) if stream.isatty() else stream


def silence(stream):
    """Let whatever a stream still holds go nowhere, at the latest when Python ends and flushes it."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def run_script(main, stdout_is_result=False):
    """Call `main()`; a `UserError` becomes one line on standard error and exit status 2. A bug keeps its traceback.

    `kill` and a terminal that closes end a script as Ctrl-C does: what it has half written goes. A second one ends it
    at once.

    What a script prints is a report, whose loss ends nothing. stdout_is_result: standard output is what the script is
    for; where it is full the script ends with a sentence, and where its reader is gone (`| head`) it ends quietly.
    """
    out = Result(sys.stdout) if stdout_is_result else Report(sys.stdout)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(Report(sys.stderr)):
        try:
            interrupt.end_of_imports()
            catch_stops()
            main()
            out.flush()
        except UserError as error:
            print(f"{Path(sys.argv[0]).name}: {printable(error)}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            sys.exit(130)


def catch_stops():
    """Let SIGTERM and SIGHUP raise SystemExit, so that what is to be done at the end is done."""

    def stop(number, _frame):
        signal.signal(number, signal.SIG_DFL)
        sys.exit(128 + number)

    if "RANK" in os.environ:
        return  # one of torchrun's would not end while it waits for the others
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) == signal.SIG_DFL:  # `nohup` ignores SIGHUP
            signal.signal(number, stop)


def wait_for(threads):
    """Wait until threads have ended, or Ctrl-C, which a wait without an end does not hear on Windows."""
    for thread in threads:
        while thread.is_alive():
            thread.join(0.1)


def did_you_mean(name, names, cutoff=0.4):
    """`"; did you mean X?"` for the member of `names` most like `name`, or "" where none is like it.

    cutoff: how much alike they must be, from 0 to 1 (equal).
    """
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else ""


def print_note(text):
    """Print a line on standard error; of several processes, the first one alone does."""
    if os.environ.get("RANK", "0") == "0":
        print(printable(text), file=sys.stderr)


def say(text):
    """Print one line on standard output; names and texts in it may hold anything."""
    print(printable(text), flush=True)


def counted(number, one, many=None):
    """A number and what it counts, as in "1 story" and "1,234 stories"; many: where it is not `one` and an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def printable(text, keep=""):
    """`text` with escape sequences, line ends and other controls spelled out: `\\x1b` is four letters.

    Names, headers and stories come from strangers, and a terminal obeys what it is sent. keep: controls that stay.
    """
    text = str(text)
    if text.isprintable():
        return text
    shown = (letter if letter.isprintable() or letter in keep else spelled(letter) for letter in text)
    return "".join(shown)


def spelled(letter):
    return letter.encode("unicode_escape").decode()


def first_line(error, length=160):
    """The first line of an exception's text in printable letters, cut between words, or its type where it has none."""
    text = str(error).strip()
    if not text:
        return type(error).__name__
    line = "".join(letter if letter.isprintable() else " " for letter in text.splitlines()[0])
    return line if len(line) <= length else line[:length].rsplit(" ", 1)[0] + " ..."
