"""slm/terminal.py: lines break between words on a terminal of any width, and nowhere else."""

import io
import itertools
import os
import subprocess
import sys
import time

import pytest
from conftest import call_on_terminal, resize_terminal

from slm import terminal
from slm.errors import by_words
from slm.terminal import WordWrap, fill, text_columns

WIDTHS = [12, 40, 80, 200]
TEXT = "A butterfly came to the big red barn, and Lily (who was kind) said hello to it. " * 4


@pytest.mark.parametrize("width", WIDTHS)
def test_lines_break_between_words(width):
    lines = fill(TEXT, width).splitlines()
    assert " ".join(lines).split() == TEXT.split() and max(map(len, lines)) <= width
    for line, following in itertools.pairwise(lines):
        assert len(f"{line.rstrip()} {following.split()[0]}") > width, "a word that fits stays on its line"


@pytest.mark.parametrize("width", WIDTHS)
def test_letters_that_come_one_by_one(width):
    """As a model writes them: the lines are the same, and a word is there as soon as its end is known."""
    screen = WordWrap(io.StringIO(), width)
    for number, letter in enumerate(TEXT, 1):
        screen.write(letter)
        assert screen.stream.getvalue().split() == TEXT[:number].rpartition(" ")[0].split()
    screen.flush()
    assert screen.stream.getvalue() == fill(TEXT, width)


def test_a_word_longer_than_the_line():
    """It begins on its own line, is shown once it fills it, and is broken by the terminal, so that it can be copied."""
    screen = WordWrap(io.StringIO(), 10)
    screen.write("See ")
    for letter in "/home/lily/stories":
        screen.write(letter)
    assert screen.stream.getvalue() == "See\n/home/lily"
    screen.write(" x\n")
    assert screen.stream.getvalue() == "See\n/home/lily/stories x\n", "the last line has the 8 letters and the x"
    screen.write("/home/lily/stories ab\n")
    assert screen.stream.getvalue().endswith("/stories\nab\n")


def test_wide_letters_take_two_columns():
    assert [text_columns(text) for text in ("cat", "日本", "🦊x", "e\u0301", "")] == [3, 4, 3, 1, 0]
    assert fill("むかしむかし、ある所に", 9) == "むかしむ\nかし、あ\nる所に", "they have no spaces to break at"
    assert fill("Tom 猫 cats 🦊🦊", 11) == "Tom 猫 cats\n🦊🦊"


@pytest.mark.parametrize(("text", "columns"), [("\u0301 one two", 8), ("\u304b\u3099" * 9, 7), ("👩\u200d👩" * 3, 2)])
def test_a_mark_takes_no_column_and_stays_with_its_letter(text, columns):
    lines = fill(text, columns).splitlines()
    assert max(map(text_columns, lines)) <= max(columns, 4)
    assert not any(line[0] in "\u3099\u200d" for line in lines)
    assert lines[0] != "\u0301", "the words behind a mark fit on its line"


def test_a_line_of_any_length_takes_time_in_proportion():
    def seconds(count):
        begin = time.process_time()
        fill("a word " * count, 80)
        return time.process_time() - begin

    assert seconds(8000) < 40 * max(seconds(800), 0.005)


def test_the_next_line_begins_below_the_text():
    header = "model    1.32 M parameters: 2 layers, 3 heads"
    assert fill(header, 30) == "model    1.32 M parameters: 2\n         layers, 3 heads"
    assert fill(header, 14).splitlines()[1] == "M parameters:", "not where half the line would be empty"
    assert fill("  Once upon a time", 12) == "  Once upon\n  a time"
    assert fill("a\n\nb\n", 12) == "a\n\nb\n"


@pytest.mark.parametrize("width", [24, 40, 60])
@pytest.mark.parametrize("before", ["", "next: ", "prepare.py: there is no such corpus: use `"])
def test_a_command_can_still_be_pasted(width, before):
    """A shell reads it as the one command that it is."""
    arguments = ["config/sample.py", "--dataset=mine", "--out_dir=out/my own stories of cats", "--block_size=128"]
    command = "python train.py config/sample.py --dataset=mine '--out_dir=out/my own stories of cats' --block_size=128"
    shown = fill(before + command + ("` first" if "`" in before else ""), width)
    assert len(shown.splitlines()) > 2
    pasted = shown[shown.index("python") :].partition("`")[0]
    script = f"python() {{ printf '%s\\n' \"$@\"; }}\n{pasted}"
    result = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["train.py", *arguments]


def test_a_progress_bar_passes():
    screen = WordWrap(io.StringIO(), 10)
    for text in ("\rstep 1/20 of a long bar", "\r                       \r", "a line\n", "\x1b[A\x1b[2K"):
        screen.write(text)
    assert screen.stream.getvalue() == "\rstep 1/20 of a long bar\r                       \ra line\n\x1b[A\x1b[2K"


def test_a_question_without_a_line_end():
    screen = WordWrap(io.StringIO(), 10)
    screen.write("go on? y/n")
    screen.flush()
    assert screen.stream.getvalue().split() == ["go", "on?", "y/n"]
    screen = WordWrap(io.StringIO(), 10)
    screen.write("> ")
    screen.flush()
    assert screen.stream.getvalue() == "> "


def test_a_pipe_stays_as_it_is(tmp_path):
    with open(tmp_path / "file", "w") as file:
        assert by_words(file) is file


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
@pytest.mark.parametrize("width", [40, 80])
def test_a_script_on_a_terminal(tmp_path, width):
    """Its help, and the sentence of a mistake, fit a terminal that says how wide it is."""
    for argument, words in (("--help", "--vocab_size N"), ("--vocab_sise=3", "did you mean --vocab_size?")):
        text = call_on_terminal("prepare.py", argument, cwd=tmp_path, columns=width)
        assert words in " ".join(text.split())
        assert max(map(len, text.splitlines())) <= width


def test_the_width_is_the_terminals(monkeypatch):
    monkeypatch.setenv("COLUMNS", "61")
    assert terminal.terminal_columns(io.StringIO()) == 61
    if sys.platform != "win32":
        master, slave = os.openpty()
        with open(slave, "w") as stream:
            assert terminal.terminal_columns(stream) == 61, "a terminal that does not say"
            resize_terminal(slave, 47)
            assert terminal.terminal_columns(stream) == 47, "a number in the environment may be old"
        os.close(master)
