"""A mistake that the user can fix, and how a script ends after one: one sentence, exit status 2, no traceback."""

import difflib
import os
import sys
from pathlib import Path


class UserError(Exception):
    """A mistake the user can fix. Its text is one sentence that names the thing and the fix."""


def run_script(main):
    """Call `main()`; a `UserError` becomes one line on standard error and exit status 2. A bug keeps its traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that lacks a character must not end a run or a story
    try:
        main()
    except UserError as error:
        print(printable(f"{Path(sys.argv[0]).name}: {error}"), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe (`| head`) is gone: that is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


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


def printable(text):
    """`text` with escape sequences, line ends and other controls spelled out: `\\x1b` is four letters.

    Names, headers and stories come from strangers, and a terminal obeys what it is sent.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def first_line(error, length=160):
    """The first line of an exception's text in printable letters, cut between words, or its type where it has none."""
    text = str(error).strip()
    if not text:
        return type(error).__name__
    line = "".join(letter if letter.isprintable() else " " for letter in text.splitlines()[0])
    return line if len(line) <= length else line[:length].rsplit(" ", 1)[0] + " ..."
