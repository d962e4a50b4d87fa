"""sample.py: what it prints where, and what its options promise."""

import argparse
import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import (
    PATIENCE,
    ROOT,
    Output,
    assert_mistake,
    call,
    call_on_terminal,
    environment,
    start,
    start_command,
    wait_until,
)

import sample
from slm.errors import UserError, printable
from slm.models import checkpoint, load
from slm.models.generation import generate
from slm.text import tokenizer


@pytest.fixture
def at_run(workshop, monkeypatch):
    monkeypatch.chdir(workshop.path)
    return workshop.path


def test_standard_output_is_the_story_alone(at_run):
    result = call(
        "sample.py", "--prompt", "Once upon a time", "--seed", "1", "--max_new_tokens", "20", "--dtype", "float32"
    )
    assert result.status == 0, result.err
    assert result.out.startswith("Once upon a time") and result.out.endswith("\n")
    loaded = load.load_model("out/small")
    encoding = loaded.encoding
    (story,) = generate(
        loaded.model,
        [[encoding.eot_token, *encoding.encode_ordinary("Once upon a time")]],
        20,
        temperature=0.8,
        top_k=200,
        stop_token=encoding.eot_token,
        generator=torch.Generator().manual_seed(1),
    )
    assert result.out == "Once upon a time" + printable(encoding.decode(story)) + "\n"
    assert "out/small/best.pt" in result.err and "seed 1" in result.err


def test_seeds_and_greed(at_run):
    def story(*options):
        return call("sample.py", "--max_new_tokens", "30", *options).out

    assert story("--seed", "1") == story("--seed", "1") != story("--seed", "2")
    assert story("--temperature", "0", "--seed", "1") == story("--temperature", "0", "--seed", "2")
    assert story("--top_k", "1", "--seed", "3") == story("--temperature", "0")


def test_several_stories(at_run):
    result = call("sample.py", "--prompt", "Tom", "--num_samples", "3", "--seed", "1", "--max_new_tokens", "15")
    stories = result.out.split("\n---------------\n")
    assert len(stories) == 3 and all(story.startswith("Tom") for story in stories) and len(set(stories)) == 3


def test_prompts_in_every_form(at_run):
    """Positional, by option, before and after other options, with dashes in front: a story for each, in order."""
    options = ["--max_new_tokens", "8", "--temperature", "0"]

    def stories(*arguments):
        result = call("sample.py", *arguments)
        assert result.status == 0, result.err
        return result.out.split("\n---------------\n")

    assert stories("Tom had", *options) == stories("--prompt=Tom had", *options) == stories(*options, "Tom had")
    assert len(stories("Tom had", *options)) == 1
    for arguments in (
        ["Tom", *options, "Lily"],
        ["--prompt", "Tom", *options, "--prompt=Lily"],
        ["Tom", "Lily", *options],
    ):
        first, second = stories(*arguments)
        assert first.startswith("Tom") and second.startswith("Lily"), arguments
    four = stories("Tom", "Lily", "--num_samples=2", "--seed=1", "--max_new_tokens=8")
    assert [story[:3] for story in four] == ["Tom", "Tom", "Lil", "Lil"] and four[0] != four[1]
    for prompt in ("--Hello", "-Hello", "--", "--help me"):
        assert stories("--prompt", prompt, *options)[0].startswith(prompt)
    assert stories(*options, "--", "--Hello")[0].startswith("--Hello")


def test_a_file_of_prompts(at_run, tmp_path, monkeypatch):
    """A story for each line, in order, after those of the command line; however many are written at once."""
    (tmp_path / "some.txt").write_bytes(b"\xef\xbb\xbfTom had\r\n\r\nLily\r\n")
    options = ["--max_new_tokens=8", "--seed=3", "--dtype=float32"]
    result = call("sample.py", "Once", "--prompts", tmp_path / "some.txt", *options)
    assert result.status == 0, result.err
    stories = result.out.removesuffix("\n").split(f"\n{sample.SEPARATOR}\n")
    starts = ("Once", "Tom had", "", "Lily")
    assert all(story.startswith(start) for story, start in zip(stories, starts, strict=True))
    assert re.search(r"^\d+ tokens, ", result.err, re.M)
    source = Path(sample.__file__).read_text()
    few = source.replace("STORIES_AT_ONCE = 32", "STORIES_AT_ONCE = 4")
    assert few != source
    (tmp_path / "sample.py").write_text(few)
    again = call(tmp_path / "sample.py", "Once", "--prompts", tmp_path / "some.txt", "--num_samples=2", *options)
    stories = again.out.removesuffix("\n").split(f"\n{sample.SEPARATOR}\n")
    starts = ("Once", "Once", "Tom had", "Tom had", "", "", "Lily", "Lily")
    assert [story.startswith(start) for story, start in zip(stories, starts, strict=True)] == [True] * 8
    assert again.out == call("sample.py", "Once", "--prompts", tmp_path / "some.txt", "--num_samples=2", *options).out


BAD_FILES = {
    "none": (None, "No such file"),
    "empty": (b"", "is empty: write one prompt per line"),
    "not text": (b"caf\xe9\n", "is not UTF-8"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_without_prompts(at_run, tmp_path, kind):
    contents, words = BAD_FILES[kind]
    if contents is not None:
        (tmp_path / "bad.txt").write_bytes(contents)
    assert_mistake(call("sample.py", "--prompts", tmp_path / "bad.txt"), "bad.txt", words)
    assert_mistake(call("sample.py", "--prompts", tmp_path), "no regular file")
    assert_mistake(call("sample.py", "--prompts", ""), "--prompts")


def test_control_characters_are_not_printed(at_run):
    """Whether the prompt or the model writes them: an escape sequence would command the terminal."""
    result = call("sample.py", "red \x1b[31m\x9b2J\r\x07\tend\nnew", "--max_new_tokens", "1", "--seed", "1")
    assert result.status == 0 and result.out.startswith("red \\x1b[31m\\x9b2J\\r\\x07\tend\nnew")
    encoding = load.load_model("out/small").encoding
    printer = sample.StoryPrinter(encoding, [""])
    with contextlib.redirect_stdout(io.StringIO()) as out:
        for token in [*encoding.encode_ordinary("a\x1b]0;title\x07"), encoding.eot_token]:
            printer.add([token])
    assert out.getvalue() == "a\\x1b]0;title\\x07\n"
    result = call("sample.py", "--model", "out/\x1b[2Jx")
    assert_mistake(result, "out/\\x1b[2Jx")


def test_spaces_and_joiners_of_other_languages_are_printed(at_run):
    """They command nothing, and a text without them is another one."""
    prompt = "Bonjour\xa0! 从前\u3000有 👩\u200d👩 می\u200cکنم, 10\u202f000"
    result = call("sample.py", prompt, "--max_new_tokens", "1", "--seed", "1")
    assert result.status == 0 and result.out.startswith(prompt)
    assert call("sample.py", "a\u202eb", "--max_new_tokens", "1").out.startswith(r"a\u202eb")  # it would turn the text


def test_the_old_name_of_the_model_option(at_run):
    options = ["--max_new_tokens=5", "--seed=1"]
    old, new = (call("sample.py", name, "out/small", *options) for name in ("--out_dir", "--model"))
    assert old.status == 0 and old.out == new.out


def test_prompt_from_standard_input(at_run):
    result = call("sample.py", "--prompt", "-", "--max_new_tokens", "5", stdin="A frog named Tilly\n")
    assert result.status == 0 and result.out.startswith("A frog named Tilly")


@pytest.mark.parametrize("text", ["\ufeffTom had\na cat", "Tom had\r\na cat\r\n", "\ufeffTom had\r\na cat\r\n\r\n"])
def test_standard_input_from_windows(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert sample.read_prompt("-") == "Tom had\na cat"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    prompts = []
    sample.for_each_prompt(prompts.append)
    assert prompts[:2] == ["Tom had", "a cat"]


def test_the_first_story_of_a_seed(at_run):
    """More stories leave the first ones as they are."""
    options = ["Once", "--seed=7", "--max_new_tokens=40", "--dtype=float32"]
    one, four = (call("sample.py", *options, f"--num_samples={number}").out for number in (1, 4))
    assert four.startswith(one) and len(set(four.split("\n---------------\n"))) == 4


def test_out_of_memory(at_run, monkeypatch):
    def full(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(sample, "stream", full)
    with pytest.raises(UserError, match="out of memory: give a smaller --num_samples than 300"):
        sample.tell_stories(
            load.load_model("out/small"), [""], argparse.Namespace(num_samples=300, max_new_tokens=9), {}, None
        )


def test_interactive(at_run):
    """A line a prompt, a story each, until the input ends; an empty line is an empty prompt."""
    options = ["--interactive", "--max_new_tokens", "10", "--seed", "1"]
    result = call("sample.py", *options, stdin="Once upon a time\n\nTom")
    assert result.status == 0, result.err
    stories = result.out.split("\n---------------\n")
    assert len(stories) == 3 and stories[0].startswith("Once upon a time") and stories[2].startswith("Tom")
    first = call("sample.py", "--prompt", "Once upon a time", *options[1:])
    assert first.out == stories[0] + "\n"
    windows = call("sample.py", *options, stdin="\ufeffOnce upon a time\r\n\r\nTom\r\n")
    assert windows.out == result.out
    nothing = call("sample.py", "--interactive")
    assert (nothing.status, nothing.out) == (0, "")


def test_prompts_that_are_not_utf8(monkeypatch):
    for read in (lambda: sample.for_each_prompt(print), lambda: sample.read_prompt("-")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), "utf-8", "surrogateescape"))
        with pytest.raises(UserError, match="the prompt on standard input is not UTF-8"):
            read()


def test_no_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    for read in (lambda: sample.for_each_prompt(print), lambda: sample.read_prompt("-")):
        with pytest.raises(UserError, match="the prompt comes from standard input, which is closed"):
            read()


def test_a_standard_input_that_cannot_be_read(monkeypatch):
    class Folder(io.BytesIO):
        def read(self, *_):
            raise IsADirectoryError(21, "Is a directory")

        read1 = readinto = read

    for read in (lambda: sample.for_each_prompt(print), lambda: sample.read_prompt("-")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Folder(), "utf-8"))
        with pytest.raises(UserError, match="cannot read the prompt from standard input: Is a directory"):
            read()


@pytest.fixture
def endless(at_run, tmp_path):
    """A checkpoint whose model writes one letter without an end at temperature 0."""
    saved = checkpoint.load_checkpoint("out/small/best.pt")
    letter = tokenizer.from_text(saved["tokenizer"]).encode_ordinary("z")[0]
    saved["model"]["transformer.ln_f.weight"].zero_()
    saved["model"]["transformer.ln_f.bias"].copy_(100 * saved["model"]["lm_head.weight"][letter].sign())
    checkpoint.save_checkpoint(tmp_path / "endless.pt", saved)
    return ["--interactive", "--model", tmp_path / "endless.pt", "--temperature", "0", "--max_new_tokens", "10000000"]


@pytest.mark.skipif(sys.platform == "win32", reason="a signal to another process is Unix's")
def test_an_interrupt_stops_the_story_and_not_the_program(at_run, endless):
    process = start("sample.py", *endless, cwd=at_run, stdin=subprocess.PIPE)
    output = Output(process.stdout.fileno())
    for prompt in ("Tom", "Lily"):
        process.stdin.write(f"{prompt}\n")
        process.stdin.flush()
        output.wait_for(f"{prompt}zzzzz")
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)  # which closes its input
    assert process.returncode == 0, err
    out = output.text + out
    assert set(out) <= set("z\n") and out.endswith("\n") and "Traceback" not in err


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
def test_keys_on_a_terminal(at_run, endless):
    """Ctrl-C stops the story, and at the prompt asks again; the arrow brings the last prompt back; Ctrl-D leaves.

    A signal before readline waits for a key again counts only with the next one: the last keys are pressed until they
    do something.
    """
    import pty

    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        command = [sys.executable, str(ROOT / "sample.py"), *map(str, endless)]
        os.execve(sys.executable, command, environment(TERM="dumb"))
    output = Output(terminal)
    wait_for = output.wait_for
    status = None

    def has_ended():
        nonlocal status
        pid, status = os.waitpid(child, os.WNOHANG)
        return pid == child

    try:
        for keys, answer in ((b"Tom\n", "Tomzzz"), (b"\x1b[A\n", "Tomzzz")):
            wait_for("> ")
            os.write(terminal, keys)
            wait_for(answer)
            os.write(terminal, b"\x03")
        wait_for("> ")
        os.write(terminal, b"Lil")
        wait_for("Lil")
        wait_until(lambda: os.write(terminal, b"\x03") and output.has("> ", seconds=10))
        wait_until(lambda: os.write(terminal, b"\x04") and has_ended(), pause=0.2)
        assert os.waitstatus_to_exitcode(status) == 0
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
def test_a_story_on_a_terminal(at_run):
    """It breaks between words; in a pipe it has no line ends but its own."""
    options = ["Once upon a time", "--seed=1", "--max_new_tokens=60", "--dtype=float32", "--device=cpu"]
    piped = call("sample.py", *options).out
    text = call_on_terminal("sample.py", *options, cwd=at_run, columns=40)
    story = re.search(r"Once upon.*(?=\n\d+ tokens, )", text, re.DOTALL)[0]
    assert max(map(len, text.splitlines())) <= 40 and story.split() == piped.split()
    assert len(story.splitlines()) > len(piped.splitlines()) and max(map(len, piped.splitlines())) > 80


def test_a_prompt_longer_than_the_context_is_cut(at_run):
    result = call("sample.py", "--prompt", "word " * 300, "--max_new_tokens", "5")
    assert result.status == 0 and "warning" in result.err and "context" in result.err
    assert result.out.startswith("word " * 300)


@pytest.mark.parametrize(
    ("prompt", "warns"), [("Tom had a ", True), ("Tom had a", False), ("", False), ("A.\n", False)]
)
def test_a_prompt_that_ends_in_a_space(at_run, prompt, warns):
    """Words bring their space along: after one more, the model continues with a double space or a wrong word."""
    result = call("sample.py", "--prompt", prompt, "--max_new_tokens", "3", "--seed", "1")
    assert result.status == 0 and result.out.startswith(prompt)
    assert ("the prompt ends in a space" in result.err) == warns


def test_it_stops_at_end_of_text(at_run, tmp_path):
    """A model that always writes end-of-text writes an empty story."""
    saved = checkpoint.load_checkpoint("out/small/best.pt")
    eot = tokenizer.from_text(saved["tokenizer"]).eot_token
    saved["model"]["transformer.ln_f.weight"].zero_()
    saved["model"]["transformer.ln_f.bias"].copy_(100 * saved["model"]["lm_head.weight"][eot].sign())
    checkpoint.save_checkpoint(tmp_path / "end.pt", saved)
    result = call("sample.py", "--prompt", "Hello", "--model", tmp_path / "end.pt", "--temperature", "0")
    assert result.out == "Hello\n"


def test_whole_characters_as_they_come(at_run, monkeypatch):
    """A character of several bytes is printed once its last byte is there, and never in parts."""
    encoding = tokenizer.from_text(checkpoint.load_checkpoint("out/small/best.pt")["tokenizer"])
    text = "café 🦊 日本"
    tokens = encoding.encode_ordinary(text)
    assert len(tokens) > len(text), "the vocabulary has whole characters for this"
    written = []
    monkeypatch.setattr(sample.sys.stdout, "write", written.append)
    printer = sample.StoryPrinter(encoding, [""])
    for token in tokens:
        printer.add([token])
    printer.add([encoding.eot_token])
    monkeypatch.undo()
    assert "".join(written) == text + "\n"
    assert len([part for part in written if part]) > 8 and not any("\ufffd" in part for part in written)


def test_stories_at_once_in_their_order(at_run, monkeypatch, capsys):
    """The first story appears as it is written; the second one, written meanwhile, once the first has ended."""
    encoding = tokenizer.from_text(checkpoint.load_checkpoint("out/small/best.pt")["tokenizer"])
    a, b = (encoding.encode_ordinary(letter)[0] for letter in "ab")
    printer = sample.StoryPrinter(encoding, ["P", "P"])
    printed = []
    for new_tokens in ([a, b], [a, encoding.eot_token], [encoding.eot_token, None]):
        printer.add(new_tokens)
        printed.append(capsys.readouterr().out)
    assert printed == ["Pa", "a", f"\n{sample.SEPARATOR}\nPb\n"]


def test_a_pipe_that_closes_is_no_error(at_run):
    command = f'"{sys.executable}" "{ROOT / "sample.py"}" --num_samples 50 --max_new_tokens 400 --seed 1 | head -c 5'
    process = start_command(["bash", "-c", command], cwd=at_run, text=False)  # head may cut a character in two
    out, err = process.communicate(timeout=PATIENCE)
    assert len(out) <= 5 and b"Traceback" not in err


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
@pytest.mark.parametrize("end", ["a story's", "SIGTERM"])
def test_keys_during_a_story_do_not_appear_in_it(at_run, endless, end):
    """They are the next prompt's; the terminal then echoes as before, also where the program is killed."""
    import termios

    master, slave = os.openpty()
    echoes = lambda: bool(termios.tcgetattr(slave)[3] & termios.ECHO)  # noqa: E731
    options = {"stdin": slave, "stdout": slave, "stderr": subprocess.PIPE, "env": environment(TERM="dumb")}
    process = start("sample.py", *endless, cwd=at_run, **options)
    output = Output(master)
    output.wait_for("> ")
    os.write(master, b"Tom\n")
    output.wait_for("Tomzzz")
    assert not echoes()
    os.write(master, b"Lily had")
    assert not output.has("Lily", seconds=1)
    if end == "SIGTERM":
        process.terminate()
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 128 + signal.SIGTERM
    else:
        process.send_signal(signal.SIGINT)
        output.wait_for("> Lily had")
        os.write(master, b" a cat\n")
        output.wait_for("catzzz")
        process.send_signal(signal.SIGINT)
        output.wait_for("> ")
        wait_until(lambda: os.write(master, b"\x04") and process.poll() is not None, pause=0.2)
    assert echoes()
    os.close(master)
    os.close(slave)


def test_the_newest_run_is_taken(workshop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for age, name in ((100, "old"), (0, "new"), (50, "middle")):
        shutil.copytree(workshop.path / "out/small", tmp_path / "out" / name)
        stamp = (tmp_path / "out" / name / "best.pt").stat().st_mtime - age
        os.utime(tmp_path / "out" / name / "best.pt", (stamp, stamp))
    (tmp_path / "out/half-written").mkdir()
    (tmp_path / "out/half-written/best.pt.partial").write_bytes(b"x")
    result = call("sample.py", "--max_new_tokens", "1")
    assert "out/new/best.pt" in result.err and "out/new is the newest of 3 runs under out/: --model" in result.err
    assert "newest" not in result.out and "newest" not in call("sample.py", "--model=out/old", "--seed=1").err


def test_a_run_that_was_stopped_before_its_first_validation_tells_stories(workshop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out/stopped").mkdir(parents=True)
    shutil.copy(workshop.path / "out/small/last.pt", tmp_path / "out/stopped")
    result = call("sample.py", "--model", "out/stopped", "--max_new_tokens", "1")
    assert result.status == 0 and "out/stopped/last.pt" in result.err


MISTAKES = {
    "temperature": (["--temperature", "-1"], ["temperature", "-1"]),
    "top_k": (["--top_k", "-1"], ["top_k", "-1"]),
    "top_p": (["--top_p", "0"], ["top_p"]),
    "two sources of prompts": (["--interactive", "--prompt", "Tom"], ["prompt", "--interactive"]),
    "a seed too large": (["--seed", "99999999999999999999"], ["seed"]),
    "no samples": (["--num_samples", "0"], ["num_samples"]),
    "no tokens": (["--max_new_tokens", "0"], ["max_new_tokens"]),
    "wrong type": (["--top_k", "few"], ["top_k", "few"]),
    "standard input twice": (["-", "--prompt", "-"], ["standard input", "once"]),
    "not UTF-8": ([os.fsdecode(b"caf\xe9")], ["caf", "not UTF-8"]),
    "no prompt": (["--prompt", "--seed", "1"], ["--prompt", "expected one argument"]),
    "two sources, one positional": (["--interactive", "Tom"], ["prompt", "--interactive"]),
    "misspelled": (["--promt", "x"], ["--promt", "did you mean --prompt?"]),
    "device": (["--device", "toaster"], ["toaster"]),
    "no checkpoint": (["--model", "out/nothing"], ["out/nothing"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(at_run, mistake):
    arguments, words = MISTAKES[mistake]
    result = call("sample.py", *arguments)
    assert_mistake(result, *words)
    assert result.out == ""


def test_no_run_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "ROOT", tmp_path)  # the repository may have runs by now
    assert_mistake(call("sample.py"), "no checkpoint", "python train.py")


def test_help(at_run):
    result = call("sample.py", "--help")
    assert result.status == 0
    options = "prompt prompts interactive model num_samples max_new_tokens temperature top_k top_p seed device dtype"
    assert set(re.findall(r"^  --(\w+)", result.out, re.M)) == set(options.split())
