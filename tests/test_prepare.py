"""prepare.py, mostly through its command line."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import REAL_STORIES, ROOT, assert_mistake, call, environment, read_meta, start

import prepare
import tokenizer
from data.sample_stories import stories

HARD_TEXTS = [
    "",
    " ",
    "The story says <|endoftext|> in its text.",
    "Ünïcödé, naïve café — “quotes” … 🦊🐰👩‍👩‍👧 e\u0301 \u202etfel",
    "tabs\t\tand\n\n\n\nnewlines   and      spaces  \r\n end ",
    "numbers 1234567890 3.14159 and don't we'll I'm they've IT'S",
    "日本語のお話。 한국어 이야기 русская сказка العربية",
    "\x00\x01\x7f\x80 control",
    "a" * 3000 + " " * 500 + "!" * 300,
]


def tokens_of(folder, split):
    """The stories of a prepared split, as lists of ids, cut at end-of-text."""
    ids = np.fromfile(f"{folder}/{split}.bin", np.uint16)
    ends = np.flatnonzero(ids == read_meta(folder)["end_of_text"])
    assert ends[-1] == len(ids) - 1, "the last story has no end-of-text"
    return [part[:-1].tolist() for part in np.split(ids, ends + 1)[:-1]]


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_parquet(path, texts, column="text", **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({column: pa.array(texts, pa.string()), **columns}), path)


def test_sample_is_whole_and_split(empty):
    result = call("prepare.py", "--dataset", "sample")
    assert result.status == 0, result.err
    meta = read_meta("data/sample")
    assert meta["vocab_size"] == 2048
    assert meta["splits"]["train"]["stories"] + meta["splits"]["validation"]["stories"] == 20_000
    encoding = tokenizer.from_text((empty / "data/sample/tokenizer.tiktoken").read_text())
    train, validation = (map(encoding.decode, tokens_of("data/sample", split)) for split in ("train", "validation"))
    train, validation = set(train), set(validation)
    assert not train & validation
    assert train | validation == set(stories())
    assert result.out.endswith("next: python train.py config/sample.py\n")


def test_it_says_which_recipe_comes_next():
    def recipe(name, text_bytes, vocab_of=None):
        return prepare.recipe_for(Path("data") / name, {"splits": {"train": {"text_bytes": text_bytes}}}, vocab_of)

    assert recipe("tinystories_8k", 4_000_000) == "config/tinystories_8k.py"
    assert recipe("mine", 300_000) == "config/sample.py --dataset=mine"
    assert recipe("mine", 40_000_000) == "config/small_corpus.py --dataset=mine"
    assert recipe("mine", 400_000_000) == "config/tinystories_8k.py --dataset=mine"
    assert recipe("finetune", 40_000_000) == "config/small_corpus.py --dataset=finetune"
    assert recipe("mine", 4_000, "out/sample") == "config/finetune.py --init_from=out/sample --dataset=mine"


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "txt", "blank lines"])
def test_tokens_are_tiktokens(empty, kind):
    texts = HARD_TEXTS + [f"Story {i} of many. It was a fine day." for i in range(50)]
    if kind == "parquet":
        write_parquet(empty / "f.parquet", [*texts, None])
        texts = [*texts, ""]
    elif kind == "jsonl":
        (empty / "f.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in [*texts, None]))
        texts = [*texts, ""]
    else:
        # what a .txt can hold: no line of its own that separates, no space around
        texts = [text.strip() for text in texts if text.strip() and "\r" not in text]
        if kind == "blank lines":
            texts = [text.replace("\n\n\n\n", "\n") for text in texts]
        separator = "\n\n\n" if kind == "blank lines" else "\n<|endoftext|>\n"
        (empty / "f.txt").write_bytes(separator.join(texts).encode())
    path = f"f.{kind if kind != 'blank lines' else 'txt'}"
    result = call("prepare.py", "--dataset", path, "--validation_fraction", "0.2", "--num_proc", "2")
    assert result.status == 0, result.err
    expected = sorted(tokenizer.gpt2().encode_ordinary(text) for text in texts)
    assert sorted(tokens_of("data/f", "train") + tokens_of("data/f", "validation")) == expected
    meta = read_meta("data/f")
    assert meta["vocab_size"] == 50257
    assert meta["splits"]["validation"]["stories"] == round(0.2 * len(texts))
    assert sum(split["text_bytes"] for split in meta["splits"].values()) == sum(len(text.encode()) for text in texts)


def test_folder_as_the_hub_lays_it_out(empty):
    write_parquet(empty / "d/data/train-00000-of-00002.parquet", ["one"])
    write_parquet(empty / "d/data/train-00001-of-00002.parquet", ["two", "three"])
    write_parquet(empty / "d/data/validation-00000-of-00001.parquet", ["four"])
    assert call("prepare.py", "--dataset", "d", "--name", "x").status == 0
    encoding = tokenizer.gpt2()
    assert [encoding.decode(ids) for ids in tokens_of("data/x", "train")] == ["one", "two", "three"]
    assert [encoding.decode(ids) for ids in tokens_of("data/x", "validation")] == ["four"]


def test_splits_as_folders(empty):
    write_parquet(empty / "d/default/train/0000.parquet", ["one", "two"])
    write_parquet(empty / "d/default/validation/0000.parquet", ["three"])
    write_parquet(empty / "d/default/test/0000.parquet", ["four"])
    assert call("prepare.py", "--dataset", "d").status == 0
    encoding = tokenizer.gpt2()
    assert [encoding.decode(ids) for ids in tokens_of("data/d", "train")] == ["one", "two"]
    assert [encoding.decode(ids) for ids in tokens_of("data/d", "validation")] == ["three"]


@pytest.mark.skipif(not REAL_STORIES.exists(), reason="the real stories are not here (../shared/tinystories)")
def test_real_stories(empty):
    assert call("prepare.py", "--dataset", REAL_STORIES).status == 0
    splits = read_meta("data/tinystories")["splits"]
    assert splits["train"] == {"stories": 23_465, "tokens": 4_774_279, "text_bytes": 19_281_808}
    assert splits["validation"] == {"stories": 2_636, "tokens": 513_552, "text_bytes": 2_118_798}
    for split in splits:
        (file,) = (REAL_STORIES / "data").glob(f"{split}-*.parquet")
        texts = pq.read_table(file)["text"].to_pylist()
        assert tokens_of("data/tinystories", split) == tokenizer.gpt2().encode_ordinary_batch(texts)


def test_pruned_vocabulary(empty):
    """Any text round-trips, and a word whose GPT-2 tokens are all kept has exactly those."""
    texts = list(stories(400))
    (empty / "f.txt").write_text("\n<|endoftext|>\n".join(texts))
    assert call("prepare.py", "--dataset", "f.txt", "--vocab_size", "1000").status == 0
    pruned = tokenizer.from_text((empty / "data/f/tokenizer.tiktoken").read_text())
    assert pruned.n_vocab == 1000
    whole = tokenizer.gpt2()
    for text in HARD_TEXTS + texts:
        assert pruned.decode(pruned.encode_ordinary(text)) == text
    kept = {whole.encode_single_token(pruned.decode_single_token_bytes(i)): i for i in range(999)}
    assert list(kept.values()) == sorted(kept.values()) and len(kept) == 999, "not GPT-2's order"
    words = {f" {word}" for text in texts for word in text.split()}
    same = [word for word in words if all(token in kept for token in whole.encode_ordinary(word))]
    assert len(same) > 500
    for word in same:
        assert pruned.encode_ordinary(word) == [kept[token] for token in whole.encode_ordinary(word)]
    counts = np.bincount(np.concatenate([whole.encode_ordinary(text) for text in texts]), minlength=50257)
    frequent = np.argsort(-counts, kind="stable")[:300]
    assert set(frequent.tolist()) <= kept.keys(), "a frequent token is missing"


def hard_texts():
    """HARD_TEXTS, and 5,000 short mixtures of letters, spaces, contractions, controls, marks, scripts and emoji."""
    random_letters = random.Random(0)
    letters = [
        *map(chr, [*range(0x250), *range(0x300, 0x370), *range(0x2000, 0x2070)]),
        *"一あ😀👨\u200d\ufe0f\u0660Ⅷ½ะัक्𐍈ǅʰ〇",
    ]
    plain = "  \n'tsldremvTS09a"
    return HARD_TEXTS + [
        "".join(
            random_letters.choice(random_letters.choice((letters, plain))) for _ in range(random_letters.randrange(40))
        )
        for _ in range(5_000)
    ]


@pytest.mark.parametrize("vocab_size", [tokenizer.GPT2_VOCAB_SIZE, 1024])
def test_gigatoken_is_tiktoken(vocab_size):
    encoding = tokenizer.gpt2()
    if vocab_size < encoding.n_vocab:
        counts = np.bincount(tokenizer.tiktoken_encoder(encoding)(hard_texts()[:2000])[0], minlength=50257)
        encoding = tokenizer.prune(encoding, counts, vocab_size)
    ids, ends = tokenizer.gigatoken_encoder(encoding, threads=2)(hard_texts())
    expected, expected_ends = tokenizer.tiktoken_encoder(encoding)(hard_texts())
    assert np.array_equal(ids, expected) and np.array_equal(ends, expected_ends)
    assert [ids[:end].tolist() for end in ends[:3]] == [[], encoding.encode_ordinary(" "), [*expected[: ends[2]]]]


def test_without_gigatoken(empty, monkeypatch):
    """tiktoken then makes the same bytes, and one line says so."""
    (empty / "f.txt").write_text("\n<|endoftext|>\n".join(stories(3000)))
    assert call("prepare.py", "--dataset", "f.txt", "--name", "fast", "--vocab_size", "600").status == 0
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    result = call("prepare.py", "--dataset", "f.txt", "--name", "slow", "--vocab_size", "600")
    assert result.status == 0, result.err
    assert result.out.count("gigatoken is not here") == 1
    for name in ("train.bin", "validation.bin", "tokenizer.tiktoken"):
        assert (empty / "data/fast" / name).read_bytes() == (empty / "data/slow" / name).read_bytes()
    assert "gigatoken" in read_meta("data/fast")["versions"] and "gigatoken" not in read_meta("data/slow")["versions"]


def test_tokens_that_are_not_tiktokens_stop_it(empty, monkeypatch):
    """Stories drawn from all over a split are compared with tiktoken's tokens."""
    (empty / "f.txt").write_text("\n<|endoftext|>\n".join(stories(5000)))

    def wrong_from_the_last_batch_on(encoding, threads):
        encode, batches = tokenizer.tiktoken_encoder(encoding), []

        def wrong(batch):
            batches.append(batch)
            ids, ends = encode(batch)
            return (ids, ends) if len(batches) < 3 else (ids[::-1], ends)

        return wrong

    monkeypatch.setattr(tokenizer, "gigatoken_encoder", wrong_from_the_last_batch_on)
    assert_mistake(call("prepare.py", "--dataset", "f.txt"), "gigatoken", "tiktoken", "pip uninstall")
    assert not (empty / "data/f/meta.json").exists()


def test_every_merge_of_gpt2_is_known():
    """`parents` finds the two tokens of each of the 50,000 merges as GPT-2's own list has them."""
    encoding = tokenizer.gpt2()
    ranks = encoding._mergeable_ranks
    letters = {chr(byte): byte for byte in range(256) if chr(byte).isprintable() and chr(byte) != " "}
    letters |= {chr(256 + i): byte for i, byte in enumerate(b for b in range(256) if b not in letters.values())}
    merges = (tokenizer.ROOT / "data" / "6d1cbeee0f20b3d9449abfede4726ed8212e3aee").read_text(encoding="utf-8")
    lines = merges.split("\n")[1:-1]
    assert len(lines) == 50_000
    for line in random.Random(0).sample(lines, 5_000):
        first, second = (bytes(letters[letter] for letter in part) for part in line.split())
        assert tokenizer.parents(first + second, ranks) == (first, second)


def test_the_vocabulary_of_a_run(here, workshop):
    """--vocab_of takes a checkpoint's vocabulary as it is, whatever the new stories would have made of theirs."""
    (here / "new.txt").write_text("\n\n".join(f"Zebras number {i} zigzag.\nQuickly!" for i in range(50)))
    run = workshop.path / "out/small"
    result = call("prepare.py", "--dataset", "new.txt", "--vocab_of", run)
    assert result.status == 0, result.err
    text = (workshop.path / "data/small/tokenizer.tiktoken").read_text()
    assert (here / "data/new/tokenizer.tiktoken").read_text() == text and read_meta("data/new")["vocab_size"] == 512
    encoding = tokenizer.from_text(text)
    assert {encoding.decode(ids) for ids in tokens_of("data/new", "train")} < {
        f"Zebras number {i} zigzag.\nQuickly!" for i in range(50)
    }
    assert "already" in call("prepare.py", "--dataset", "new.txt", "--vocab_of", run / "last.pt").out
    assert_mistake(call("prepare.py", "--dataset", "new.txt", "--vocab_size", "512"), "data/new", "vocab_of")
    both = call("prepare.py", "--dataset", "new.txt", "--vocab_of", run, "--vocab_size", "512")
    assert_mistake(both, "--vocab_of", "--vocab_size")
    assert_mistake(call("prepare.py", "--dataset", "new.txt", "--vocab_of", "out/nothing"), "out/nothing")


def test_run_again(empty):
    (empty / "f.txt").write_text("One.\n\nTwo.\n\nThree.")
    assert call("prepare.py", "--dataset", "f.txt").status == 0
    made = (empty / "data/f/train.bin").stat().st_mtime_ns
    again = call("prepare.py", "--dataset", "f.txt")
    assert again.status == 0 and "already" in again.out
    assert (empty / "data/f/train.bin").stat().st_mtime_ns == made
    assert_mistake(call("prepare.py", "--dataset", "f.txt", "--vocab_size", "300"), "vocab_size", "--force")
    assert (empty / "data/f/train.bin").stat().st_mtime_ns == made
    assert call("prepare.py", "--dataset", "f.txt", "--vocab_size", "300", "--force").status == 0
    assert read_meta("data/f")["vocab_size"] == 300
    (empty / "f.txt").write_text("One.\n\nTwo.\n\nThree.\n\nFour.")
    assert_mistake(call("prepare.py", "--dataset", "f.txt", "--vocab_size", "300"), "source", "--force")
    with open(empty / "data/f/train.bin", "ab") as file:  # damaged: it is made anew without being asked
        file.write(b"!")
    assert call("prepare.py", "--dataset", "f.txt").status == 0
    assert len(tokens_of("data/f", "train")) == 3
    (empty / "data/f/tokenizer.tiktoken").unlink()
    again = call("prepare.py", "--dataset", "f.txt")
    assert again.status == 0 and (empty / "data/f/tokenizer.tiktoken").exists()


def kill_in_the_middle(empty, moment):
    """Start a prepare, kill -9 it after `moment` seconds; whether it was still running."""
    process = start("prepare.py", "--dataset", "f.jsonl", "--force", cwd=empty)
    time.sleep(moment)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return running


def test_kill_leaves_nothing_half_written(empty, moments=(0.4, 0.8, 1.2, 1.6, 2.0)):
    sample = list(stories(3000))
    with open(empty / "f.jsonl", "w") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in sample * 10)
    killed = 0
    for moment in moments:
        killed += kill_in_the_middle(empty, moment)
        folder = empty / "data/f"
        if (folder / "meta.json").exists():
            for split, counts in read_meta(folder)["splits"].items():
                assert (folder / f"{split}.bin").stat().st_size == 2 * counts["tokens"]
    assert killed >= 2, "every run ended before it was killed: make the moments shorter"
    assert call("prepare.py", "--dataset", "f.jsonl").status == 0
    total = sum(split["stories"] for split in read_meta("data/f")["splits"].values())
    assert total == 30_000
    assert sorted(path.name for path in (empty / "data").iterdir()) == ["f"], "a temporary folder was left"


@pytest.mark.slow
def test_kill_at_twenty_moments(empty):
    test_kill_leaves_nothing_half_written(empty, [random.Random(1).uniform(0.2, 4.0) for _ in range(20)])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads its peak memory in Linux's /proc")
def test_memory_does_not_grow_with_the_source(empty):
    """Less than 1 GiB for a source of 380 MB, which as Python strings and lists of ids would take several."""
    sample = "\n<|endoftext|>\n".join(stories(20_000)) + "\n<|endoftext|>\n"
    with open(empty / "f.txt", "w") as file:
        for _ in range(30):
            file.write(sample)
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__');"
        "print('peak', open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    command = [sys.executable, "-c", code, str(ROOT / "prepare.py"), "--dataset", "f.txt"]
    environ = environment(PYTHONPATH=str(ROOT))
    out = subprocess.run(command, cwd=empty, capture_output=True, text=True, env=environ, check=True).stdout
    peak = int(out.split("peak ")[1])
    print(f"peak {peak / 1024:.0f} MiB")
    assert peak < 2**20  # KiB


def test_no_network(empty, monkeypatch):
    """The hub out of reach is one sentence that offers what works; nothing else is prepared in its place."""
    import datasets

    def refuse(*_args, **_more):
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    assert_mistake(call("prepare.py"), "roneneldan/TinyStories", "hub", "--dataset sample", "local")
    assert not (empty / "data").exists()


def test_hub_data_set(empty, monkeypatch):
    """What comes from the hub is read in arrow batches; a missing text is an empty story."""
    import datasets

    train = datasets.Dataset.from_dict({"text": ["one", None, "three"] * 700})
    validation = datasets.Dataset.from_dict({"text": ["four"]})
    monkeypatch.setattr(datasets, "load_dataset", lambda name: datasets.DatasetDict(train=train, validation=validation))
    assert call("prepare.py", "--name", "x").status == 0
    assert tokens_of("data/x", "train") == [tokenizer.gpt2().encode_ordinary(t) for t in ["one", "", "three"] * 700]


MISTAKES = {
    "misspelled option": (["--vocabsize", "3"], ["--vocabsize", "--vocab_size"]),
    "wrong type": (["--vocab_size", "many"], ["--vocab_size", "many"]),
    "vocabulary too small": (["--dataset", "good.txt", "--vocab_size", "256"], ["257"]),
    "no such file": (["--dataset", "nothing.txt"], ["nothing.txt", "does not exist"]),
    "no text column": (["--dataset", "other.parquet"], ["'text'", "story", "--text_column"]),
    "a column that is not text": (["--dataset", "other.parquet", "--text_column", "number"], ["number", "int64"]),
    "no text key": (["--dataset", "other.jsonl"], ["line 2", "'text'", "body"]),
    "not JSON": (["--dataset", "broken.jsonl"], ["broken.jsonl", "line 2"]),
    "a number for a text": (["--dataset", "zero.jsonl"], ["zero.jsonl", "line 2", "not text"]),
    "half a character": (["--dataset", "half.jsonl"], ["half.jsonl", "line 1", "surrogate"]),
    "damaged parquet": (["--dataset", "pages.parquet"], ["cannot read pages.parquet"]),
    "not parquet": (["--dataset", "broken.parquet"], ["broken.parquet"]),
    "an empty file": (["--dataset", "empty.txt"], ["0 stories"]),
    "empty stories": (["--dataset", "hollow.jsonl"], ["empty"]),
    "an empty folder": (["--dataset", "nothing"], ["nothing", ".parquet"]),
    "not UTF-8": (["--dataset", "latin.txt"], ["latin.txt", "line 3", "UTF-8"]),
    "name that leaves the folder": (["--dataset", "good.txt", "--name", "../x"], ["../x"]),
    "impossible fraction": (["--dataset", "good.txt", "--validation_fraction", "1.5"], ["1.5"]),
    "no threads": (["--dataset", "good.txt", "--num_proc", "0"], ["--num_proc"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(empty, mistake):
    (empty / "good.txt").write_text("One.\n\nTwo.")
    (empty / "empty.txt").write_text("")
    (empty / "hollow.jsonl").write_text('{"text": ""}\n{"text": null}\n')
    (empty / "latin.txt").write_bytes("One.\n\ncafé\n".encode("latin-1"))
    (empty / "other.jsonl").write_text('{"text": "one"}\n{"body": "two"}\n')
    (empty / "broken.jsonl").write_text('{"text": "one"}\n{"text": \n')
    (empty / "broken.parquet").write_bytes(b"PAR1 no")
    (empty / "half.jsonl").write_text('{"text": "\\ud83d"}\n{"text": "two"}\n')
    (empty / "zero.jsonl").write_text('{"text": "one"}\n{"text": 0}\n')
    (empty / "nothing").mkdir()
    write_parquet(empty / "pages.parquet", [f"{i} {i * i}" for i in range(2000)])
    contents = bytearray((empty / "pages.parquet").read_bytes())
    contents[50 : len(contents) // 2] = b"x" * (len(contents) // 2 - 50)
    (empty / "pages.parquet").write_bytes(contents)
    write_parquet(empty / "other.parquet", ["one", "two"], "story", number=[1, 2])
    arguments, words = MISTAKES[mistake]
    assert_mistake(call("prepare.py", *arguments), *words)
    assert not list(empty.glob("data/*")), "something was written"
