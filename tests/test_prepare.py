"""prepare.py: from a command line to a prepared folder, its summary and the command that comes next."""

import json
import os
import random
import re
import shlex
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import PATIENCE, REAL_STORIES, ROOT, assert_mistake, call, environment, log_of, read_meta
from prepare_helpers import prepared, stories_of, tokens_of

from data.sample_stories import stories
from slm.models import checkpoint
from slm.text import encode, tokenizer, vocabulary

# -- what is written --------------------------------------------------------------------------------------------------


def test_sample_is_whole_and_split(empty, sample_stories, monkeypatch):
    monkeypatch.setattr("data.sample_stories.stories", lambda: iter(sample_stories))  # which take 4 s to write again
    out = prepared("--dataset", "sample")
    meta = read_meta("data/sample")
    assert meta["vocab_size"] == 2048 and meta["repeated_stories"] == meta["empty_rows"] == 0
    assert meta["splits"]["train"]["stories"] == 19_600 and meta["splits"]["validation"]["stories"] == 400
    train, validation = set(stories_of("data/sample", "train")), set(stories_of("data/sample", "validation"))
    assert not train & validation
    assert train | validation == set(sample_stories)
    assert out.endswith(f"next: python {ROOT}/train.py {ROOT}/config/sample.py\n")
    assert "empty" not in out and "equal" not in out


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "parquet"])
def test_tokens_are_tiktokens(empty, suffix):
    texts = [f"Story {i} of many: “Ünïcödé”, don't, 🦊.\n\n  It was a   fine day <|x|>." for i in range(50)]
    if suffix == "parquet":
        pq.write_table(pa.table({"text": pa.array([*texts, None])}), "f.parquet")
    elif suffix == "jsonl":
        (empty / "f.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in [*texts, None]))
    else:
        (empty / "f.txt").write_text("<|endoftext|>".join(texts))
    options = ["--validation_fraction", "0.2", "--vocab_size", "gpt2", "--num_proc", "2"]
    out = prepared("--dataset", f"f.{suffix}", *options)
    expected = sorted(tokenizer.gpt2().encode_ordinary(text) for text in texts)
    assert sorted(tokens_of("data/f", "train") + tokens_of("data/f", "validation")) == expected
    meta = read_meta("data/f")
    assert meta["vocab_size"] == 50257
    assert [split["stories"] for split in meta["splits"].values()] == [40, 10]
    assert sum(split["text_bytes"] for split in meta["splits"].values()) == sum(len(text.encode()) for text in texts)
    assert meta["splits"]["train"]["longest_story"] == max(map(len, expected))
    assert meta["empty_rows"] == (suffix != "txt") and ("empty rows, left out: 1\n" in out) == (suffix != "txt")


@pytest.mark.skipif(not REAL_STORIES.exists(), reason="the real stories are not here (../shared/tinystories)")
def test_real_stories(empty):
    prepared("--dataset", REAL_STORIES)
    splits = read_meta("data/tinystories")["splits"]
    for split, *numbers in ("train", 23_465, 4_774_279, 19_281_808), ("validation", 2_636, 513_552, 2_118_798):
        assert [splits[split][key] for key in ("stories", "tokens", "text_bytes")] == numbers
        (file,) = (REAL_STORIES / "data").glob(f"{split}-*.parquet")
        texts = pq.read_table(file)["text"].to_pylist()
        some = slice(None, None, len(texts) // 2500)  # of train every ninth, of validation each
        expected = tokenizer.gpt2().encode_ordinary_batch(texts[some])
        assert tokens_of("data/tinystories", split)[some] == expected


def test_without_gigatoken_the_bytes_are_the_same(empty, monkeypatch):
    (empty / "f.txt").write_text("\n<|endoftext|>\n".join(stories(3000)))
    prepared("--dataset", "f.txt", "--name", "fast", "--vocab_size", "600")
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    encode.has_gigatoken.cache_clear()
    try:
        out = prepared("--dataset", "f.txt", "--name", "slow", "--vocab_size", "600")
    finally:
        encode.has_gigatoken.cache_clear()
    assert out.count("gigatoken is not installed") == 1
    assert "vocabulary: 600 tokens, trained on the stories\n" in out
    for name in ("train.bin", "validation.bin", "tokenizer.tiktoken"):
        assert (empty / "data/fast" / name).read_bytes() == (empty / "data/slow" / name).read_bytes()
    assert read_meta("data/fast")["vocab_size"] == 600
    names = ["python", "numpy", "tiktoken", "gigatoken", "tokenizers"]  # the last one trained the vocabulary
    assert list(read_meta("data/fast")["versions"]) == names
    names.remove("gigatoken")
    assert list(read_meta("data/slow")["versions"]) == names


def test_the_vocabulary_of_a_run(empty):
    """--vocab_of takes a checkpoint's vocabulary, whatever vocabulary the new stories would get."""
    from model import GPT, GPTConfig

    (empty / "old.txt").write_text("\n\n".join(story.replace("\n", " ") for story in stories(200)))
    prepared("--dataset", "old.txt", "--vocab_size", "300")
    text = (empty / "data/old/tokenizer.tiktoken").read_text()
    shape = {"vocab_size": 300, "block_size": 64, "n_layer": 1, "n_head": 1, "n_embd": 8, "dropout": 0.0, "bias": True}
    model = GPT(GPTConfig(**shape)).state_dict()
    contents = {"model": model, "model_config": shape, "config": {}, "tokenizer": text, "step": 0}
    (empty / "out/old run").mkdir(parents=True)
    checkpoint.save_checkpoint(empty / "out/old run/best.pt", contents)

    zebras = [f"Zebras number {i} zigzag.\nQuickly!" for i in range(9)]
    (empty / "new.txt").write_text("\n\n".join(zebras))
    out = prepared("--dataset", "new.txt", "--vocab_of", "out/old run")
    assert (empty / "data/new/tokenizer.tiktoken").read_text() == text and read_meta("data/new")["vocab_size"] == 300
    assert set(stories_of("data/new", "train")) < set(zebras)
    assert read_meta("data/new")["splits"]["validation"]["tokens"] < 64, "the text is shorter than the context"
    options = ["--init_from=out/old run", "--dataset=new"]
    assert shlex.split(out.splitlines()[-1])[3:] == [f"{ROOT}/config/finetune.py", *options]
    assert "already" in prepared("--dataset", "new.txt", "--vocab_of", "out/old run/best.pt")
    assert_mistake(call("prepare.py", "--dataset", "new.txt", "--vocab_size", "300"), "data/new", "vocab_of")
    both = call("prepare.py", "--dataset", "new.txt", "--vocab_of", "out/old run", "--vocab_size", "300")
    assert_mistake(both, "--vocab_of", "--vocab_size")
    assert_mistake(call("prepare.py", "--dataset", "new.txt", "--vocab_of", "out/nothing"), "out/nothing")


# -- what it prints ---------------------------------------------------------------------------------------------------


def test_nothing_is_lost_in_silence(empty):
    """Every file, row and repetition is in the output."""
    (empty / "d/.ipynb_checkpoints").mkdir(parents=True)
    rows = [
        "One.",
        "",
        None,
        " \n",
        "Two <|endoftext|> two.",
        "Three.",
        "One.",
        "One.",
        "A longer story than the others.",
    ]
    (empty / "d/tales.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
    for name in ("test.jsonl", ".ipynb_checkpoints/tales-checkpoint.jsonl", "LICENCE"):
        (empty / "d" / name).write_text('{"text": "Left aside."}\n')
    out = prepared("--dataset", "d", "--validation_fraction", "0.2", "--vocab_size", "gpt2")
    kinds = ".parquet, .arrow, .jsonl, .json, .csv, .tsv or .txt"
    left_aside = f".ipynb_checkpoints (hidden), LICENCE (not {kinds})"
    assert f"train: tales.jsonl; test: test.jsonl; left aside: {left_aside}; not used: test\n" in out
    assert "format: jsonl, a row on each line (2 files); the texts are in column 'text'\n" not in out
    assert "the first story begins: One.\n" in out and "the last story begins: A longer story than" in out
    assert "empty rows, left out: 3\n" in out
    assert "equal to an earlier one, kept (equal stories are in one split): 2\n" in out
    assert "<|endoftext|> inside (it is read as text): 1\n" in out
    assert "7 tokens" in out and "longest story" in out
    meta = read_meta("data/d")
    assert (meta["empty_rows"], meta["repeated_stories"], meta["marked_stories"]) == (3, 2, 1)
    assert sum(split["stories"] for split in meta["splits"].values()) == 6


def test_one_is_not_a_plural(empty):
    (empty / "f.txt").write_text("One\n\nTwo")
    out = prepared("--dataset", "f.txt", "--vocab_size", "gpt2")
    assert out.count(" 1 token\n") == 2 and "1 tokens" not in out
    assert "blank lines separate the stories" in out


def test_an_option_that_means_nothing_is_named(empty):
    (empty / "d").mkdir()
    for name in ("train", "valid"):
        (empty / f"d/{name}.txt").write_text(f"{name} one.\n\n{name} two.")
    out = prepared("--dataset", "d", "--text_column", "story", "--validation_fraction", "0.5")
    assert "--text_column means nothing" in out and "--validation_fraction means nothing" in out
    assert "means nothing" not in prepared("--dataset", "d", "--name", "plain")


def test_a_source_by_several_names_and_copies(empty):
    """A slash at the end is no difference; files that were swapped are one, whatever their times."""
    (empty / "my").mkdir()
    for name in ("a", "b"):
        (empty / f"my/{name}.txt").write_text(f"Story {name} one.\n\nStory {name} two.")
        os.utime(empty / f"my/{name}.txt", (1000, 1000))
    prepared("--dataset", "my/")
    for name in ("my", "./my", "my//"):
        assert "already" in prepared("--dataset", name)
    (empty / "my/a.txt").rename(empty / "my/c.txt")
    (empty / "my/b.txt").rename(empty / "my/a.txt")
    (empty / "my/c.txt").rename(empty / "my/b.txt")
    assert_mistake(call("prepare.py", "--dataset", "my"), "its source has changed", "--force")


def test_bad_rows(empty):
    """Few are left out and named; many end it, unless they are allowed."""
    rows = [json.dumps({"text": f"Story {i}."}) for i in range(300)]
    rows[7], rows[200] = "not JSON", '{"id": 5}'
    (empty / "f.jsonl").write_text("\n".join(rows))
    out = prepared("--dataset", "f.jsonl")
    assert "cannot be read, left out (the first: f.jsonl, line 8: it is not JSON (Expecting value)): 2\n" in out
    meta = read_meta("data/f")
    assert meta["bad_rows"] == 2 and sum(split["stories"] for split in meta["splits"].values()) == 298
    (empty / "f.jsonl").write_text("\n".join(rows[:150]))
    assert "left out" in prepared("--dataset", "f.jsonl", "--force")
    (empty / "f.jsonl").write_text("\n".join(rows[:99]))
    assert_mistake(call("prepare.py", "--dataset", "f.jsonl", "--force"), "1 of 99 rows", "line 8", "--allow_bad_rows")
    prepared("--dataset", "f.jsonl", "--force", "--allow_bad_rows")
    assert "already" in prepared("--dataset", "f.jsonl")


def test_stories_that_are_in_both_splits(empty):
    (empty / "d").mkdir()
    (empty / "d/train.txt").write_text("\n\n".join(f"Story {i}." for i in range(100)))
    (empty / "d/valid.txt").write_text("Story 5.\n\nNew one.\n\nStory 5.\n\nNew two.")
    out = prepared("--dataset", "d")
    assert "3 stories" not in out and "2 stories of validation are in train too (one begins: Story 5.)" in out
    assert "--drop_leaks leaves them out" in out and read_meta("data/d")["leaked_stories"] == 2
    assert stories_of("data/d", "validation") == ["Story 5.", "New one.", "Story 5.", "New two."]
    assert_mistake(call("prepare.py", "--dataset", "d", "--drop_leaks"), "made without --drop_leaks")
    assert "left out of validation" in prepared("--dataset", "d", "--drop_leaks", "--force")
    assert stories_of("data/d", "validation") == ["New one.", "New two."]
    (empty / "d/valid.txt").write_text("Story 5.\n\nStory 6.")
    result = call("prepare.py", "--dataset", "d", "--drop_leaks", "--force")
    assert_mistake(result, "validation split of d has no stories", "--drop_leaks leaves 2 out", "leave the split out")
    assert stories_of("data/d", "validation") == ["New one.", "New two."]


def test_nothing_of_a_source_reaches_the_terminal_raw(empty):
    """Names, headers, keys and stories may hold what a terminal obeys."""
    evil = "\x1b[2J\x07\u202e"
    name = f"a{evil}b\nc.jsonl"
    (empty / name).write_text(json.dumps({"text": f"One {evil}."}) + "\n" + json.dumps({"text": "Two."}))
    results = [call("prepare.py", "--dataset", name, "--name", "x")]
    assert results[0].status == 0 and "One \\x1b[2J\\x07\\u202e." in results[0].out
    (empty / name).write_text(json.dumps({f"te{evil}xt": "One."}) + "\n{}")
    (empty / "b.csv").write_text(f"te{evil}xt,id\nOne.,1\n")
    for dataset in (name, "b.csv"):
        results.append(call("prepare.py", "--dataset", dataset, "--name", "y"))
        assert_mistake(results[-1], "no column 'text'", "\\x1b[2J")
    for result in results:
        assert not {"\x1b", "\x07", "\u202e"} & set(result.out + result.err)


# -- what comes next --------------------------------------------------------------------------------------------------


def test_the_recipe_without_a_gpu(empty):
    """It follows where the recipe that fits is larger."""
    for name, times in {"short": 5, "long": 500}.items():
        stories = [f"Story {i} of a text. " * times for i in range(600)]
        (empty / f"{name}.txt").write_text("\n\n".join(stories))
    assert "without a GPU" not in prepared("--dataset", "short.txt")
    out = prepared("--dataset", "long.txt")
    assert f"next: python {ROOT}/train.py {ROOT}/config/small_corpus.py --dataset=long\n" in out
    assert out.endswith(f"without a GPU: python {ROOT}/train.py {ROOT}/config/sample.py --dataset=long\n")


@pytest.mark.parametrize("count", [2, 80])
def test_the_command_for_a_small_text_works(empty, count):
    """Two stories are shorter than the recipe's context, and train with it."""
    (empty / "few.txt").write_text("\n\n".join(f"Story number {i} of a very small text." for i in range(count)))
    out = prepared("--dataset", "few.txt")
    assert (sum(split["tokens"] for split in read_meta("data/few")["splits"].values()) < 256) == (count == 2)
    words = shlex.split(out.splitlines()[-1].removeprefix("next: "))
    assert words[1:] == [f"{ROOT}/train.py", f"{ROOT}/config/sample.py", "--dataset=few"]
    quick = ["--max_iters=2", "--batch_size=2", "--sample_prompt=", "--device=cpu"]
    result = call("train.py", *words[2:], *quick)
    assert result.status == 0 and "context 256" in result.out, result.err
    losses = [float(row["val_loss"]) for row in log_of("out/few") if row["val_loss"]]
    assert losses and all(0 < loss < 20 for loss in losses)


def test_one_continuous_text_trains(empty):
    """A play: blank lines separate its speeches, and its last tenth validates."""
    speeches = [f"{name}:\nIt is hour {i}, and the ship sails on." for i in range(150) for name in ("CAPTAIN", "COOK")]
    (empty / "play.txt").write_text("\n\n".join(speeches))
    out = prepared("--dataset", "play.txt")
    assert "300 begin as speech" in out and "the file is one text" in out
    train, validation = stories_of("data/play", "train") + stories_of("data/play", "validation")
    assert train + validation == "\n\n".join(speeches) and validation.startswith(("CAPTAIN:", "COOK:"))
    assert f"one continuous text: its last {len(validation):,} letters are for validation\n" in out
    assert "the last story" not in out, "there is one"
    assert 0.08 < len(validation) / len(train) < 0.12
    result = call("train.py", f"{ROOT}/config/sample.py", "--dataset=play", "--max_iters=2", "--sample_prompt=")
    assert result.status == 0, result.err


# -- the vocabulary ---------------------------------------------------------------------------------------------------


def many_words(count):
    """So many stories of 30 words from 20,000 different ones."""
    choose = random.Random(7)
    words = ["".join(choose.choices("aeiou") * 2 + choose.choices("bdfgklmnprst", k=5)) for _ in range(20_000)]
    return "\n<|endoftext|>\n".join(" ".join(choose.choices(words, k=30)) for _ in range(count))


def test_the_vocabulary_that_fits(empty):
    """It grows with the text, and a line says why; what is there serves until another one is asked for."""
    for name, count in {"short": 100, "long": 3000}.items():
        (empty / f"{name}.txt").write_text(many_words(count))
    sizes = []
    for name in ("short", "long"):
        out = prepared("--dataset", f"{name}.txt")
        meta = read_meta(f"data/{name}")
        size = meta["splits"]["train"]["text_bytes"]
        line = re.search(rf"^vocabulary: ([\d,]+) tokens, .*which fits {size:,} bytes of text", out, re.M)
        assert int(line[1].replace(",", "")) == meta["vocab_size"]
        assert f"vocabulary {meta['vocab_size']:,} in data/{name}\n" in out
        sizes.append(meta["vocab_size"])
    assert sizes[0] < sizes[1] < 8193
    assert "already" in prepared("--dataset", "short.txt")
    assert_mistake(call("prepare.py", "--dataset", "short.txt", "--vocab_size", "gpt2"), "vocab_size", "--force")
    prepared("--dataset", "short.txt", "--vocab_size", "gpt2", "--force")
    assert read_meta("data/short")["vocab_size"] == 50257
    assert "already" in prepared("--dataset", "short.txt"), "no size is asked for"


def test_a_vocabulary_larger_than_the_text(empty):
    """What fits is taken, in one line; the same command again finds it prepared."""
    (empty / "f.txt").write_text(many_words(100))
    prepared("--dataset", "f.txt")
    fitting = read_meta("data/f")["vocab_size"]
    out = prepared("--dataset", "f.txt", "--vocab_size", "8192", "--force")
    line = re.search(rf"^vocabulary: {fitting} tokens, .* they have ([\d,]+) at most, not 8,192$", out, re.M)
    assert fitting < int(line[1].replace(",", "")) < 8192
    assert read_meta("data/f")["vocab_size"] == fitting
    for again in ([], ["--vocab_size", "8192"], ["--vocab_size", str(fitting)]):
        assert "already" in prepared("--dataset", "f.txt", *again)
    assert_mistake(call("prepare.py", "--dataset", "f.txt", "--vocab_size", "8191"), "vocab_size")


@pytest.mark.parametrize(("name", "size"), [("tinystories", 50257), ("tinystories_8k", 8192), ("sample", 2048)])
def test_the_vocabulary_of_a_recipes_data_set(empty, monkeypatch, name, size):
    """By its name under data/, or by the data set's."""
    asked = []
    train = vocabulary.train_vocabulary
    monkeypatch.setattr(vocabulary, "train_vocabulary", lambda texts, size: asked.append(size) or train(texts, 300))
    (empty / "other.txt").write_text("\n\n".join(f"Story {i} of a few." for i in range(30)))
    (empty / f"{name}.txt").write_text("\n\n".join(f"Story {i} of a few." for i in range(30)))
    for command in (["other.txt", "--name", name], [f"{name}.txt", "--name", "another"]):
        prepared("--dataset", *command)
        if size == 50257:
            asked.append(read_meta(f"data/{command[-1]}")["vocab_size"])
    assert asked == [size, size]


# -- memory -----------------------------------------------------------------------------------------------------------


def peak_memory(*arguments):
    """The peak memory of a prepare.py, in MiB, from Linux's /proc."""
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__');"
        "print('peak', open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    command = [sys.executable, "-c", code, str(ROOT / "prepare.py"), *arguments]
    environ = environment(PYTHONPATH=str(ROOT))
    result = subprocess.run(command, capture_output=True, text=True, env=environ, check=True, timeout=PATIENCE)
    return int(result.stdout.split("peak ")[1]) / 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads its peak memory in Linux's /proc")
@pytest.mark.parametrize("separator", ["\n<|endoftext|>\n", "<|endoftext|>", "\n\n\n"])
def test_memory_does_not_grow_with_the_source(empty, separator):
    """Less than 1 GiB for a source of 380 MB, which as Python strings and lists of ids would take several."""
    sample = separator.join(story.replace("\n", " ") for story in stories(20_000)) + separator
    with open(empty / "f.txt", "w") as file:
        for i in range(30):
            file.write(f"Part {i}{separator}{sample}")
    peak = peak_memory("--dataset", "f.txt")
    print(f"peak {peak:.0f} MiB")
    assert peak < 1024


# -- mistakes ---------------------------------------------------------------------------------------------------------

MISTAKES = {
    "misspelled option": (["--vocabsize", "3"], ["--vocabsize", "--vocab_size"]),
    "wrong type": (["--vocab_size", "many"], ["--vocab_size", "many", "gpt2 or 257 to 50257"]),
    "vocabulary too small": (["--dataset", "good.txt", "--vocab_size", "256"], ["257"]),
    "no such file": (["--dataset", "nothing.txt"], ["nothing.txt", "does not exist"]),
    "no text column": (["--dataset", "other.parquet"], ["'text'", "story", "--text_column"]),
    "a column that is not text": (["--dataset", "other.parquet", "--text_column", "number"], ["number", "int64"]),
    "an empty file": (["--dataset", "empty.txt"], ["0 stories"]),
    "a pipe that nobody writes": (["--dataset", "pipe.txt"], ["pipe.txt", "neither a file nor a folder"]),
    "empty stories": (["--dataset", "hollow.jsonl"], ["0 stories", "empty rows: 2"]),
    "an empty split": (["--dataset", "half"], ["validation split of half", "empty rows: 1"]),
    "not UTF-8": (["--dataset", "latin.txt"], ["latin.txt", "line 3", "UTF-8"]),
    "name that leaves the folder": (["--dataset", "good.txt", "--name", "../x"], ["../x"]),
    "impossible fraction": (["--dataset", "good.txt", "--validation_fraction", "1.5"], ["1.5"]),
    "a fraction of nothing": (["--dataset", "good.txt", "--validation_fraction", "nan"], ["--validation_fraction"]),
    "a name that no folder can have": (["--dataset", "good.txt", "--name", "é" * 128], ["--name", "255 bytes"]),
    "a home folder of nobody": (["--dataset", "~nobody_here/good.txt"], ["~nobody_here/good.txt", "does not exist"]),
    "an empty variable": (["--dataset", "good.txt", "--vocab_of="], ["--vocab_of", "empty"]),
    "too many threads": (["--dataset", "good.txt", "--threads", "100000"], ["--threads", "100000"]),
    "no threads": (["--dataset", "good.txt", "--num_proc", "0"], ["--num_proc must be 1 or above, not 0"]),
    "a word without an option": (["good.txt"], ["good.txt"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(empty, mistake):
    (empty / "good.txt").write_text("One.\n\nTwo.")
    (empty / "empty.txt").write_text("")
    if hasattr(os, "mkfifo"):
        os.mkfifo(empty / "pipe.txt")
    elif "pipe" in mistake:
        pytest.skip("pipes with names are Unix's")
    (empty / "hollow.jsonl").write_text('{"text": ""}\n{"text": null}\n')
    (empty / "latin.txt").write_bytes("One.\n\ncafé\n".encode("latin-1"))
    (empty / "half").mkdir()
    (empty / "half/train.jsonl").write_text('{"text": "One."}')
    (empty / "half/validation.jsonl").write_text('{"text": ""}')
    pq.write_table(pa.table({"story": ["one", "two"], "number": [1, 2]}), "other.parquet")
    arguments, words = MISTAKES[mistake]
    assert_mistake(call("prepare.py", *arguments), *words)
    assert not list(empty.glob("data/*")), "something was written"


def test_no_network(empty, monkeypatch):
    """The hub out of reach is one sentence that offers what works; nothing else is prepared in its place."""
    import datasets

    def refuse(*_arguments, **_more):
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset_builder", refuse)
    result = call("prepare.py")
    assert_mistake(result, "roneneldan/TinyStories", "does not answer", "HF_ENDPOINT", "--dataset sample", "local")
    assert "waiting for https://huggingface.co" in result.out and "OFFLINE" not in result.out
    assert not (empty / "data").exists()


def test_data_that_is_a_file(empty):
    (empty / "data").write_text("")
    (empty / "f.txt").write_text("One.\n\nTwo.")
    assert_mistake(call("prepare.py", "--dataset", "f.txt"), "data/f", "a file has this name")


def test_a_home_folder_in_the_options(empty, monkeypatch):
    monkeypatch.setenv("HOME", str(empty))
    monkeypatch.setenv("USERPROFILE", str(empty))
    (empty / "My Stories.TXT").write_text("One.\n\nTwo.")
    prepared("--dataset", "~/My Stories.TXT")
    assert read_meta("data/my_stories")["source"] == "~/My Stories.TXT"
    assert_mistake(call("prepare.py", "--dataset", "sample", "--vocab_of", "~/nothing"), f"{empty}/nothing")
    assert not os.path.exists("~")
