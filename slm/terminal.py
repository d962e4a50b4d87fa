"""The terminal: lines that break between words, at any width, and keys that do not appear in a story.

`WordWrap` is the one door through which the scripts write on a terminal; slm/errors.py opens it.
"""

import contextlib
import io
import os
import re
import shutil
import sys
import unicodedata

TAB = 8  # columns
COMMAND = re.compile(r"( *(next: )?|`)(python|torchrun) [^`]*$")  # at the end of a line: a command that goes on
LABEL = re.compile(r" *(next: |\S+ {2,})?")  # before the text of a line; the next line begins below the text


def terminal_columns(stream):
    """How many columns the terminal of a stream has now; 80 where it is none and COLUMNS says nothing else."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (AttributeError, OSError, ValueError):
        columns = 0  # no terminal
    return columns or shutil.get_terminal_size().columns


def is_wide(letter):
    """Whether a letter takes two columns, as Chinese ones and most pictures do."""
    return unicodedata.east_asian_width(letter) in "WF"


def text_columns(text):
    """How many columns a text takes. A mark that is put on another letter takes none."""
    if text.isascii():
        return len(text)
    widths = (0 if unicodedata.category(letter) in ("Mn", "Me", "Cf") else 1 + is_wide(letter) for letter in text)
    return sum(widths)


def fill(text, columns):
    """`text` in lines of at most so many columns, broken between words."""
    lines = WordWrap(io.StringIO(), columns)
    lines.write(text)
    lines.flush()
    return lines.stream.getvalue()


def open_command(line):
    """The match of a command at a line's end that goes on, None where there is none.

    It begins with the line or at the last backtick: no other place is searched, since a line may be a whole book.
    """
    return COMMAND.match(line, max(line.rfind("`"), 0))


@contextlib.contextmanager
def no_echo():
    """Keys that are pressed during the block do not appear on the terminal; the next `input` gets them.

    The terminal returns to what it was, also after SIGTERM and SIGHUP, which `run_script` makes exceptions.
    """
    try:
        import termios
    except ImportError:  # Windows
        termios = None
    if not termios or not sys.stdin or not sys.stdin.isatty():
        yield
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    quiet = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    try:
        termios.tcsetattr(terminal, termios.TCSANOW, quiet)
        yield
    finally:
        with contextlib.suppress(termios.error):  # a terminal that is gone
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


class WordWrap:
    """A terminal's stream, on which a line goes on below rather than in the middle of a word.

    A word appears once its end is known, or as soon as it fills a line. A command goes on behind a backslash, so that
    it can still be copied and pasted. columns: None takes the terminal's, which may change.
    """

    def __init__(self, stream, columns=None):
        self.stream, self.columns = stream, columns
        self.begin_line()

    def begin_line(self):
        self.line, self.column = "", 0  # its text so far, and where the next letter goes
        self.gap = self.word = ""  # what is not shown yet: spaces, and the word behind them

    def write(self, text):
        if "\r" in text or "\x1b" in text:  # a progress bar, which knows the width
            self.flush()
            self.begin_line()
            return self.stream.write(text)
        columns = self.columns or terminal_columns(self.stream)
        shown = "".join(self.add(letter, columns) for letter in text)
        if shown:
            self.stream.write(shown)
            self.stream.flush()
        return len(text)

    def add(self, letter, columns):
        """Take a letter; returns what the terminal gets now."""
        if letter not in " \t\n" or (letter == " " and self.is_quoted()):
            self.word += letter
            return self.end_word(columns) if is_wide(letter) or text_columns(self.word) >= columns else ""
        shown = self.end_word(columns)
        if letter == "\n":
            self.begin_line()
            return shown + "\n"
        self.gap += " " if letter == " " else " " * (TAB - (self.column + len(self.gap)) % TAB)
        return shown

    def end_word(self, columns):
        """What shows the word, behind the gap or on the next line."""
        if not self.word:
            return ""
        command, size = open_command(self.line + self.gap), text_columns(self.word)
        lead, end = self.gap, self.column + len(self.gap) + size + 2 * bool(command)
        if end > columns and self.may_break(command):
            self.column = LABEL.match(self.line).end() + 4 * bool(command)
            self.column *= self.column < columns // 2
            lead = " \\" * bool(command) + "\n" + " " * self.column
        else:
            self.column += len(self.gap)
        end = self.column + size
        self.column = end and (end - 1) % columns + 1  # the terminal breaks a word that is longer than a line
        self.line += self.gap + self.word
        shown, self.gap, self.word = lead + self.word, "", ""
        return shown

    def may_break(self, command):
        """Whether a line end may come before the word: after a space, or beside a wide letter."""
        is_mark = not text_columns(self.word[0])  # it belongs to the letter before it
        beside_wide = not command and self.line and (is_wide(self.word[0]) or is_wide(self.line[-1])) and not is_mark
        return bool((self.line and self.gap) or beside_wide)

    def is_quoted(self):
        """Whether the next letter is within the quotation marks of a command."""
        command = open_command(self.line + self.gap + self.word)
        return bool(command) and command[0].count("'") % 2 == 1

    def flush(self):
        """Show everything, also a word whose end is not known yet."""
        shown = self.end_word(self.columns or terminal_columns(self.stream)) + self.gap
        self.line, self.column, self.gap = self.line + self.gap, self.column + len(self.gap), ""
        self.stream.write(shown)
        self.stream.flush()

    def __getattr__(self, name):
        return getattr(self.stream, name)
