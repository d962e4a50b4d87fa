"""prepare.py where something is prepared already: again, at the same time, after a failure or a kill."""

import gzip
import json
import random
import signal
import sys
import time

import pyarrow as pa
import pytest
from conftest import PATIENCE, ROOT, assert_mistake, call, environment, read_meta, start, start_command
from prepare_helpers import prepared, stories_of, tokens_of

from data.sample_stories import stories
from slm.text import encode, sources
from slm.text.prepared_folder import partial_folder


def test_run_again(empty):
    (empty / "f.txt").write_text("One.\n\nTwo.\n\nThree.")
    prepared("--dataset", "f.txt")
    made = (empty / "data/f/train.bin").stat().st_mtime_ns
    assert "already" in prepared("--dataset", "f.txt")
    assert (empty / "data/f/train.bin").stat().st_mtime_ns == made
    assert_mistake(call("prepare.py", "--dataset", "f.txt", "--vocab_size", "258"), "vocab_size", "--force")
    assert (empty / "data/f/train.bin").stat().st_mtime_ns == made
    prepared("--dataset", "f.txt", "--vocab_size", "258", "--force")
    assert read_meta("data/f")["vocab_size"] == 258
    (empty / "f.txt").write_text("One.\n\nTwo.\n\nThree.\n\nFour.")
    assert_mistake(call("prepare.py", "--dataset", "f.txt", "--vocab_size", "258"), "source", "--force")
    with open(empty / "data/f/train.bin", "ab") as file:  # a damaged folder is prepared again without a question
        file.write(b"!")
    prepared("--dataset", "f.txt")
    assert len(tokens_of("data/f", "train")) == 3
    (empty / "data/f/tokenizer.tiktoken").unlink()
    prepared("--dataset", "f.txt")
    assert (empty / "data/f/tokenizer.tiktoken").exists()
    assert sorted(path.name for path in (empty / "data/f").iterdir()) == [
        ".lock",
        "meta.json",
        "tokenizer.tiktoken",
        "train.bin",
        "validation.bin",
    ]


def test_options_that_are_in_the_recipe_where_they_are_given(empty):
    """A folder of another choice is named; one that was prepared before these options is as good as ever."""
    (empty / "d").mkdir()
    for i in range(30):
        (empty / f"d/{i}.txt").write_text(f"Story {i}.\n\nIts end.")
    assert "each of 30 files is a story (--blank_lines" in prepared("--dataset", "d", "--name", "whole")
    both = call("prepare.py", "--dataset", "d", "--file_is_story", "--blank_lines")
    assert_mistake(both, "--file_is_story", "--blank_lines", "contradict")
    prepared("--dataset", "d", "--name", "lines", "--blank_lines")
    assert read_meta("data/lines")["blank_lines"] is True
    assert [
        sum(split["stories"] for split in read_meta(f"data/{name}")["splits"].values()) for name in ("whole", "lines")
    ] == [30, 60]
    assert_mistake(call("prepare.py", "--dataset", "d", "--name", "lines"), "made with blank_lines True", "--force")
    prepared("--dataset", "d")
    assert not {"config", "max_stories", "file_is_story", "blank_lines"} & set(read_meta("data/d"))
    again = call("prepare.py", "--dataset", "d", "--file_is_story")
    assert_mistake(again, "made without --file_is_story", "--force")
    prepared("--dataset", "d", "--file_is_story", "--max_stories", "20", "--force")
    meta = read_meta("data/d")
    assert (meta["file_is_story"], meta["max_stories"]) == (True, 20)
    assert sum(split["stories"] for split in meta["splits"].values()) == 20
    assert "Its end." in stories_of("data/d", "train")[0]
    assert "already" in prepared("--dataset", "d", "--file_is_story", "--max_stories", "20")
    assert_mistake(call("prepare.py", "--dataset", "d", "--file_is_story"), "made with max_stories 20")
    assert_mistake(
        call("prepare.py", "--dataset", "d", "--max_stories", "0"), "--max_stories must be 1 or above, not 0"
    )


@pytest.mark.parametrize("name", ["My Tales.CSV.gz", "My Tales.jsonl.ZST", "My Tales.json"])
def test_the_name_of_a_file_is_the_folders(empty, name):
    texts = [f"Story {i}." for i in range(9)]
    if "CSV" in name:
        contents = gzip.compress("\n".join(["text", *texts]).encode())
    elif "ZST" in name:
        lines = "\n".join(json.dumps({"text": text}) for text in texts)
        contents = pa.Codec("zstd").compress(lines.encode(), asbytes=True)
    else:
        contents = json.dumps(texts).encode()
    (empty / name).write_bytes(contents)
    prepared("--dataset", name)
    assert sorted(stories_of("data/my_tales", "train") + stories_of("data/my_tales", "validation")) == texts


def test_a_folder_of_format_1(empty):
    """It has no record of each file: one sentence says so; a source that is not local counts as prepared."""
    (empty / "f.txt").write_text("One.\n\nTwo.")
    few = ["--max_stories", "100"]
    for source in ("f.txt", "sample"):
        prepared("--dataset", source, *few)
        meta = read_meta(f"data/{source.split('.')[0]}")
        del meta["format"]
        for counts in meta["splits"].values():
            del counts["crc32"], counts["longest_story"]
        meta["source_stamp"] = [10, 1234567890] if source == "f.txt" else None
        (empty / f"data/{source.split('.')[0]}/meta.json").write_text(json.dumps(meta))
    mistake = call("prepare.py", "--dataset", "f.txt", *few)
    assert_mistake(mistake, "an earlier version", "no record of each file", "--force")
    out = prepared("--dataset", "sample", *few)
    assert "already prepared" in out and "next: python" in out


def test_what_a_killed_process_left_goes(empty):
    """Also where the corpus is whole and nothing is prepared again: it may be gigabytes."""
    (empty / "f.txt").write_text("One.\n\nTwo.")
    prepared("--dataset", "f.txt")
    (empty / "data/f/.partial").mkdir()
    (empty / "data/f/.partial/train.bin").write_bytes(b"half")
    assert "already" in prepared("--dataset", "f.txt")
    assert not (empty / "data/f/.partial").exists()


def test_the_source_may_be_in_the_prepared_folder(empty):
    (empty / "data/mine").mkdir(parents=True)
    (empty / "data/mine/stories.txt").write_text("One.\n\nTwo.\n\nThree.")
    prepared("--dataset", "data/mine")
    assert "already" in prepared("--dataset", "data/mine")
    prepared("--dataset", "data/mine", "--force")
    out = prepared("--dataset", "data/mine")
    assert "already" in out and "train.bin" not in out
    prepared("--dataset", "data/mine/stories.txt", "--name", "mine", "--force")
    assert "already" in prepared("--dataset", "data/mine/stories.txt", "--name", "mine")
    assert (empty / "data/mine/stories.txt").read_text() == "One.\n\nTwo.\n\nThree."
    (empty / "data/mine/stories.txt").write_text("One.\n\nTwo.\n\nThree.\n\nFour.")
    assert_mistake(call("prepare.py", "--dataset", "data/mine/stories.txt", "--name", "mine"), "source has changed")


@pytest.mark.parametrize("name", ["train.bin", "validation.bin", "meta.json"])
def test_another_programs_file_is_not_overwritten(empty, name):
    (empty / "data/f").mkdir(parents=True)
    (empty / "data/f" / name).write_text('{"another": "program"}')
    (empty / "f.txt").write_text("One.\n\nTwo.")
    assert_mistake(call("prepare.py", "--dataset", "f.txt"), f"data/f has a {name}", "did not write", "--force")
    assert [path.name for path in (empty / "data/f").iterdir()] == [name]
    assert (empty / "data/f" / name).read_text() == '{"another": "program"}'
    prepared("--dataset", "f.txt", "--force")
    assert "already" in prepared("--dataset", "f.txt")


def test_a_prepared_folder_that_is_a_link(empty):
    (empty / "f.txt").write_text("One.\n\nTwo.")
    (empty / "data").mkdir()
    (empty / "elsewhere").mkdir()
    (empty / "data/f").symlink_to(empty / "elsewhere")
    prepared("--dataset", "f.txt")
    prepared("--dataset", "f.txt", "--force", "--vocab_size", "258")
    assert (empty / "data/f").is_symlink() and read_meta("elsewhere")["vocab_size"] == 258


def test_a_failure_keeps_what_is_prepared(empty):
    (empty / "f.jsonl").write_text('{"text": "One."}\n{"text": "Two."}\n')
    prepared("--dataset", "f.jsonl")
    before = {path.name: path.read_bytes() for path in (empty / "data/f").iterdir()}
    (empty / "f.jsonl").write_text('{"text": "One."}\n{"text": "Two."\n')
    assert_mistake(call("prepare.py", "--dataset", "f.jsonl", "--force"), "line 2", "not JSON")
    assert {path.name: path.read_bytes() for path in (empty / "data/f").iterdir()} == before


@pytest.mark.parametrize("module, name", [(encode, "encode_split"), (sources, "understand")])
def test_a_source_that_changes_while_it_is_read(empty, monkeypatch, module, name):
    """While its tokens are written, or behind the first look, which says what separates its stories."""
    (empty / "f.txt").write_text("One.\n\nTwo.")
    function = getattr(module, name)

    def change(*arguments):
        result = function(*arguments)
        (empty / "f.txt").write_text("One.\n\nTwo.\n\nThree.")
        return result

    monkeypatch.setattr(module, name, change)
    assert_mistake(call("prepare.py", "--dataset", "f.txt"), "f.txt changed while it was read", "again")
    assert not list(empty.glob("data/*"))


def test_a_second_process_of_one_name_is_refused(empty):
    (empty / "f.txt").write_text("One.\n\nTwo.")
    with partial_folder(empty / "data/f"):
        assert_mistake(call("prepare.py", "--dataset", "f.txt"), "another prepare.py is writing data/f", "--name")
        prepared("--dataset", "f.txt", "--name", "g")
    prepared("--dataset", "f.txt")
    with partial_folder(empty / "data/f"):
        assert "already" in prepared("--dataset", "f.txt")


KILLED = """
import os, runpy, signal, sys

left = int(sys.argv.pop(1))


def kill_at_the_last(event, arguments):
    global left
    if event in ("open", "os.mkdir", "os.rename", "os.remove") and str(arguments[0]).startswith(("data", "f.jsonl")):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


sys.addaudithook(kill_at_the_last)
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
print(-left)
"""


def kill_at(empty, step):
    """Start a prepare and kill -9 it before its `step`th step on a file; the number of steps where 0 lets it end."""
    command = [sys.executable, "-c", KILLED, str(step), str(ROOT / "prepare.py"), "--dataset", "f.jsonl", "--force"]
    process = start_command(command, cwd=empty, env=environment(PYTHONPATH=str(ROOT)))
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == (-signal.SIGKILL if step else 0), err
    return None if step else int(out.split()[-1])


def write_stories(empty):
    with open(empty / "f.jsonl", "w") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in stories(200))


def assert_nothing_is_half_written(folder):
    if (folder / "meta.json").exists():
        for split, counts in read_meta(folder)["splits"].items():
            assert (folder / f"{split}.bin").stat().st_size == 2 * counts["tokens"]


def assert_it_is_prepared_again(empty, count):
    prepared("--dataset", "f.jsonl", "--force")
    assert sum(split["stories"] for split in read_meta("data/f")["splits"].values()) == count
    assert [path.name for path in (empty / "data").iterdir()] == ["f"]
    assert not (empty / "data/f/.partial").exists()


def test_kill_leaves_nothing_half_written(empty, every=15):
    """Before a step on a file: the same steps on every machine."""
    write_stories(empty)
    steps = kill_at(empty, 0)
    assert steps > 10
    for step in range(1, steps + 1, every):
        kill_at(empty, step)
        assert_nothing_is_half_written(empty / "data/f")
    assert_it_is_prepared_again(empty, 200)


@pytest.mark.slow
def test_kill_at_each_step(empty):
    test_kill_leaves_nothing_half_written(empty, every=1)


@pytest.mark.slow
def test_kill_at_twenty_moments(empty):
    sample = list(stories(3000))
    with open(empty / "f.jsonl", "w") as file:
        file.writelines(json.dumps({"text": f"{i} {text}"}) + "\n" for i in range(10) for text in sample)
    moments = random.Random(1)
    for _ in range(20):
        process = start("prepare.py", "--dataset", "f.jsonl", "--force", cwd=empty)
        time.sleep(moments.uniform(0.2, 4.0))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        assert_nothing_is_half_written(empty / "data/f")
    assert_it_is_prepared_again(empty, 30_000)
