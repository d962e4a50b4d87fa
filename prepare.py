"""Turn stories into tokens: data/NAME/{train.bin, validation.bin, meta.json, tokenizer.tiktoken}.

    python prepare.py                                   TinyStories from the Hugging Face hub, GPT-2's vocabulary
    python prepare.py --vocab_size 8192                 ... and a vocabulary pruned to what the stories use
    python prepare.py --dataset sample                  the embedded sample: no network, a few seconds
    python prepare.py --dataset my_stories.txt          a .txt, .jsonl or .parquet file, or a folder of them
    python prepare.py --dataset my_stories.txt --vocab_of out/tinystories      ... to fine-tune that run on

A .bin is a flat array of uint16 token ids, one end-of-text after each story; meta.json beside it says the rest. The
stories stream through in batches, so memory does not grow with the corpus. Everything is written in a folder of its
own and takes its final name only when all of it is whole; meta.json comes last, so where it stands the rest does too.
"""

import functools
import itertools
import json
import os
import platform
import re
import shlex
import shutil
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
from tqdm import tqdm

import tokenizer
from configuration import ROOT, OptionParser, UserError, read_file, run
from records import replacing

BATCH = 2048  # stories that travel together: enough to keep all cores busy, few enough to stay small
SPOT_CHECKS = 1000  # stories of a split whose tokens are compared with tiktoken's
SAMPLE_VOCAB_SIZE = 2048
SPLIT_SEED = 1234
SMALL_CORPUS, SMALLEST_CORPUS = 50_000_000, 5_000_000  # bytes of text; fewer ask for many passes, or a smaller model
SUFFIXES = (".parquet", ".jsonl", ".txt")
HALF_A_PAIR = re.compile("[\ud800-\udfff]")  # a lone surrogate, which JSON can spell and UTF-8 cannot


# -- where stories come from: each source is a function that returns a fresh iterator of stories (str) ----------------


def open_source(dataset, column):
    """The splits of a data set: {"train": (open, rows), ...}, plus "validation" where the source has one.

    `open()` gives a fresh iterator over the split's stories; `rows` is their number, or None where only reading tells.
    dataset: "sample", a local file or folder, or the name of a data set on the Hugging Face hub.
    Raises UserError where there is no such thing, or no text in it.
    """
    if dataset == "sample":
        from data.sample_stories import stories

        sample = list(stories())
        return {"train": (lambda: iter(sample), len(sample))}
    path = Path(dataset).expanduser()
    if path.exists():
        return open_local(path, column)
    if path.suffix in SUFFIXES or dataset.startswith((".", "/", "~")):
        raise UserError(f"{dataset} does not exist: --dataset takes a file, a folder, `sample` or a name on the hub")
    return open_hub(dataset, column)


def open_hub(dataset, column):
    try:
        from datasets import load_dataset

        splits = load_dataset(dataset)
    except Exception as error:
        reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
        raise UserError(
            f"cannot load {dataset} from the Hugging Face hub ({reason}): check the name and the network, or use"
            " --dataset sample (embedded, no network) or --dataset with a local .parquet, .jsonl or .txt file or folder"
        ) from error

    def reader(rows):
        def read():
            for batch in rows.select_columns(column).with_format("arrow").iter(BATCH):
                yield from texts(batch.column(0), dataset, column)

        return read

    for name, rows in splits.items():
        check_column(column, rows.column_names, f"{dataset} ({name})")
    if "train" not in splits:
        raise UserError(f"{dataset} has no split named train; it has {', '.join(splits)}")
    return {name: (reader(splits[name]), len(splits[name])) for name in ("train", "validation") if name in splits}


def open_local(path, column):
    """The splits of a file, or of a folder as the hub lays it out: a path in it that says validation is validation."""
    import pyarrow

    readers = {".parquet": read_parquet, ".jsonl": read_jsonl, ".txt": read_txt}
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    suffix = next((suffix for suffix in SUFFIXES if any(file.suffix == suffix for file in files)), None)
    if suffix is None:
        raise UserError(f"{path} holds no {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file")
    splits = {"train": [], "validation": [], "test": []}
    for file in files:
        if file.suffix == suffix:
            # a single file is all there is, whatever its name
            name = file.relative_to(path).as_posix().lower() if path.is_dir() else ""
            word = re.search(r"(?<![a-z])(validation|valid|val|dev|test)(?![a-z])", name)
            splits["train" if not word else "test" if word[1] == "test" else "validation"].append(file)
    if not splits["train"]:
        raise UserError(f"{path} holds no train split, only {', '.join(file.name for file in files)}")

    def opener(files):
        def read():
            for file in files:
                try:
                    yield from readers[suffix](file, column)
                except (OSError, pyarrow.ArrowException) as error:
                    raise UserError(f"cannot read {file}: {error}") from error

        return read

    return {
        name: (opener(splits[name]), parquet_rows(splits[name]) if suffix == ".parquet" else None)
        for name in ("train", "validation")
        if splits[name]
    }


def check_column(column, columns, where):
    if column not in columns:
        raise UserError(f"{where} has no column {column!r}: give --text_column one of {', '.join(columns)}")


def texts(values, where, column):
    """The Python strings of an arrow column; a missing value is an empty story. Raises UserError for other types."""
    if str(values.type) not in ("string", "large_string", "string_view", "null"):
        raise UserError(f"column {column!r} of {where} holds {values.type}, not text")
    return (text or "" for text in values.to_pylist())


def parquet_rows(files):
    import pyarrow.parquet

    try:
        return sum(pyarrow.parquet.read_metadata(file).num_rows for file in files)
    except Exception as error:
        raise UserError(f"{', '.join(map(str, files))}: not a readable parquet file ({error})") from error


def read_parquet(file, column):
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(file) as parquet:
        check_column(column, parquet.schema_arrow.names, file)
        for batch in parquet.iter_batches(BATCH, columns=[column]):
            yield from texts(batch.column(0), file, column)


def read_lines(file):
    """(number, text) for each line of a UTF-8 file, its line end cut off. Raises UserError for a line that is not."""
    with open(file, "rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise UserError(f"{file}, line {number} is not UTF-8 ({error.reason}): save it as UTF-8") from error


def read_jsonl(file, column):
    for number, line in read_lines(file):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{file}, line {number} is not JSON ({error})") from error
        if not isinstance(row, dict):
            raise UserError(f"{file}, line {number} is not a JSON object with a text in it")
        check_column(column, row, f"{file}, line {number}")
        text = "" if row[column] is None else row[column]
        if not isinstance(text, str) or HALF_A_PAIR.search(text):
            raise UserError(f"{file}, line {number}: {column!r} is not text, or has half of a surrogate pair in it")
        yield text


def read_txt(file, column):
    """Stories between `<|endoftext|>` lines or, in a file with none of those, between blank lines."""
    separator = "<|endoftext|>" if any(line.strip() == "<|endoftext|>" for _, line in read_lines(file)) else ""
    story = []
    for _, line in read_lines(file):
        if line.strip() != separator:
            story.append(line)
        else:
            if text := "\n".join(story).strip():
                yield text
            story = []
    if text := "\n".join(story).strip():
        yield text


def cut_validation(open_train, rows, fraction):
    """Split a source that has no validation split: the same `fraction` of its stories every time, at least one."""
    if not 0 < fraction < 1:
        raise UserError(f"--validation_fraction must lie between 0 and 1, not {fraction}")
    if rows is None:
        rows = sum(1 for _ in tqdm(open_train(), "counting", unit=" stories", leave=False, disable=None))
    if rows < 2:
        raise UserError(
            f"the source has {rows} stories, and two are needed, one to train on and one to validate: in a .txt, blank"
            " lines or <|endoftext|> lines part them"
        )
    chosen = np.random.default_rng(SPLIT_SEED).permutation(rows)[: max(1, round(rows * fraction))]
    validation = np.zeros(rows, bool)
    validation[chosen] = True
    count = int(validation.sum())
    return {
        "train": (lambda: itertools.compress(open_train(), ~validation), rows - count),
        "validation": (lambda: itertools.compress(open_train(), validation), count),
    }


# -- from stories to tokens -------------------------------------------------------------------------------------------


@functools.cache
def has_gigatoken():
    """Whether gigatoken is here; where it is not, a line says so, once."""
    try:
        import gigatoken  # noqa: F401
    except ImportError:
        print("gigatoken is not here: tiktoken does the work, many times slower (pip install gigatoken)")
        return False
    return True


def encode(stories, encoding, threads):
    """Yield (ids, stories, text bytes) a batch of stories, in order: ids is uint16, one end-of-text after each story.

    gigatoken works on all of a batch's stories at once; tiktoken, where gigatoken is not installed, on a batch a
    thread. Both leave Python's lock while they work. At most two batches a thread are under way, which bounds memory.
    Raises UserError where the ids of a story, of SPOT_CHECKS drawn at random, are not tiktoken's.
    """
    fast = has_gigatoken()
    encoder = tokenizer.gigatoken_encoder(encoding, threads) if fast else tokenizer.tiktoken_encoder(encoding)
    threads = 1 if fast else threads
    random, seen, drawn = np.random.default_rng(), 0, {}

    def draw(batch, ids, ends):
        """Keep a random sample of the stories so far (reservoir sampling: Vitter 1985, algorithm R)."""
        nonlocal seen
        numbers = np.arange(seen, seen + len(batch))
        slots = np.where(numbers < SPOT_CHECKS, numbers, random.integers(0, numbers + 1))
        for i in np.flatnonzero(slots < SPOT_CHECKS):
            drawn[slots[i]] = batch[i], ids[ends[i - 1] if i else 0 : ends[i]].copy()
        seen += len(batch)

    def batches():
        stories_left = iter(stories)
        while batch := list(itertools.islice(stories_left, BATCH)):
            yield batch, pool.submit(encoder, batch)

    def finished(batch, future):
        ids, ends = future.result()
        if fast:
            draw(batch, ids, ends)
        return np.insert(ids, ends, encoding.eot_token), len(batch), sum(len(story.encode()) for story in batch)

    with ThreadPoolExecutor(threads) as pool:
        under_way = deque()
        for batch in batches():
            under_way.append(batch)
            if len(under_way) > 2 * threads:
                yield finished(*under_way.popleft())
        while under_way:
            yield finished(*under_way.popleft())
    if any(encoding.encode_ordinary(story) != ids.tolist() for story, ids in drawn.values()):
        raise UserError("gigatoken gives a story other tokens than tiktoken: `pip uninstall gigatoken`, then run again")


def encode_split(what, split, encoding, threads, consume):
    """Tokenize a split, hand each array of ids to `consume`, and return the split's counts for meta.json."""
    open_stories, rows = split
    counts = {"stories": 0, "tokens": 0, "text_bytes": 0}
    with tqdm(total=rows, desc=what, unit=" stories", unit_scale=True, disable=None) as bar:
        for ids, stories, text_bytes in encode(open_stories(), encoding, threads):
            consume(ids)
            for key, more in zip(counts, (stories, len(ids), text_bytes), strict=True):
                counts[key] += more
            bar.update(stories)
            bar.set_postfix_str(f"{counts['tokens'] / 1e6:.1f} M tokens", refresh=False)
    return counts


def pruned(splits, vocab_size, threads):
    """GPT-2's encoding pruned to `vocab_size`, by how often its tokens occur in the train split."""
    encoding = tokenizer.gpt2()
    counts = np.zeros(encoding.n_vocab, np.int64)

    def count(ids):
        np.add(counts, np.bincount(ids, minlength=len(counts)), out=counts)

    encode_split("counting tokens", splits["train"], encoding, threads, count)
    counts[encoding.eot_token] = 0  # kept in any case, and no merge makes it
    return tokenizer.prune(encoding, counts, vocab_size)


def vocabulary_of(name):
    """The encoding of a run, a checkpoint file or a Hugging Face folder. Raises UserError."""
    import checkpoint  # and with it PyTorch, which nothing else here needs

    if name in checkpoint.HUB:
        return tokenizer.gpt2()
    return tokenizer.from_text(checkpoint.load(checkpoint.find(name))["tokenizer"])


def source_stamp(dataset):
    """Size and newest change of a local source, so that a source that has changed is noticed; None for the others."""
    path = Path(dataset).expanduser()
    if not path.exists():
        return None
    stats = [file.stat() for file in ([path] if path.is_file() else sorted(path.rglob("*"))) if file.is_file()]
    return [sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)]


def prepare(recipe, folder, threads, encoding=None):
    """Write `folder` as `recipe` (the first entries of meta.json) says, and return the whole of meta.json as a dict.

    encoding: the vocabulary to use, if it is not to be made from the stories.

    Raises UserError; what stood in the folder before then stands there still.
    """
    splits = open_source(recipe["source"], recipe["text_column"])
    if "validation" not in splits:
        splits = cut_validation(*splits["train"], recipe["validation_fraction"])
    whole = recipe["vocab_size"] == tokenizer.GPT2_VOCAB_SIZE
    if encoding is None:
        encoding = tokenizer.gpt2() if whole else pruned(splits, recipe["vocab_size"], threads)
    tokenizer_text = tokenizer.to_text(encoding)

    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # what a killed run left
    try:
        partial.mkdir(parents=True)
        counts = {}
        for name, split in splits.items():
            with replacing(partial / f"{name}.bin") as file:
                counts[name] = encode_split(f"{name}: tokenizing and writing", split, encoding, threads, file.write)
            if not counts[name]["text_bytes"]:
                raise UserError(f"the {name} split of {recipe['source']} is empty")
        with replacing(partial / "tokenizer.tiktoken") as file:
            file.write(tokenizer_text.encode())
        packages = ["numpy", "tiktoken"] + ["gigatoken"] * has_gigatoken()
        meta = recipe | {
            "splits": counts,
            "dtype": "uint16",
            "end_of_text": encoding.eot_token,
            "tokenizer": "tokenizer.tiktoken",
            "tokenizer_sha256": tokenizer.sha256(tokenizer_text),
            "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        }
        with replacing(partial / "meta.json") as file:
            file.write(json.dumps(meta, indent=2).encode())
        folder.mkdir(exist_ok=True)
        (folder / "meta.json").unlink(missing_ok=True)  # until the new one stands, the folder counts as not prepared
        for name in (*(f"{split}.bin" for split in splits), "tokenizer.tiktoken", "meta.json"):
            os.replace(partial / name, folder / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return meta


def prepared_already(folder, recipe):
    """The meta.json of `folder` if it is whole and made by `recipe`, None if it is not whole.

    Raises UserError where it is whole and made otherwise.
    """
    try:
        meta = json.loads((folder / "meta.json").read_text())
        sizes = {name: (folder / f"{name}.bin").stat().st_size for name in meta["splits"]}
        if any(size != 2 * meta["splits"][name]["tokens"] for name, size in sizes.items()):
            return None
        if tokenizer.sha256((folder / meta["tokenizer"]).read_text()) != meta["tokenizer_sha256"]:
            return None
    except (OSError, ValueError, KeyError):
        return None
    for key, wanted in recipe.items():
        if meta.get(key) != wanted:
            was = "its source has changed" if key == "source_stamp" else f"it was made with {key} {meta.get(key)}"
            raise UserError(
                f"{folder} is prepared already, but {was}: --force rebuilds it, --name puts this one beside it"
            )
    return meta


def recipe_for(folder, meta, vocab_of):
    """The arguments of train.py for a prepared folder: the configuration file that is its own, or one that fits it."""
    dataset = f"--dataset={folder.name}"
    if vocab_of:
        return shlex.join(["config/finetune.py", f"--init_from={vocab_of}", dataset])
    own = ROOT / "config" / f"{folder.name}.py"
    if own.exists() and read_file(own).get("dataset") == folder.name:
        return f"config/{folder.name}.py"
    size = meta["splits"]["train"]["text_bytes"]
    recipe = "sample" if size < SMALLEST_CORPUS else "small_corpus" if size < SMALL_CORPUS else "tinystories_8k"
    return f"config/{recipe}.py {dataset}"


def summary(folder, meta, recipe):
    lines = [f"{'':12}{'stories':>12}{'tokens':>15}{'text bytes':>15}"]
    for name, counts in meta["splits"].items():
        lines.append(f"{name:12}{counts['stories']:>12,}{counts['tokens']:>15,}{counts['text_bytes']:>15,}")
    return "\n".join([*lines, f"vocabulary {meta['vocab_size']:,} in {folder}", f"next: python train.py {recipe}"])


def main():
    parser = OptionParser(__doc__)
    parser.option("--dataset", "roneneldan/TinyStories", "a data set on the hub, `sample`, or a local file or folder")
    parser.option("--name", None, "the folder under data/ (default: the last part of the dataset, in lower case)")
    parser.option("--vocab_size", None, "prune GPT-2's vocabulary to so many; 0: all (default: 0; sample: 2048)", int)
    parser.option("--vocab_of", None, "the vocabulary of a run, checkpoint or exported folder, to fine-tune it")
    parser.option("--text_column", "text", "the column that holds the stories")
    parser.option("--validation_fraction", 0.02, "share to validate on where the source has no such split", float)
    parser.option("--num_proc", os.cpu_count() or 1, "threads that tokenize", int)
    parser.option("--force", False, "prepare again, even if everything is in place")
    options = parser.parse()

    source_name = re.sub(r"\.(parquet|jsonl|txt)$", "", Path(options.dataset).resolve().name)
    name = options.name or re.sub(r"[^\w.-]+", "_", source_name).lower()
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise UserError(f"--name {name!r} must be a plain folder name: letters, digits, '.', '_' and '-'")
    vocab_size = options.vocab_size
    if vocab_size is None:
        vocab_size = SAMPLE_VOCAB_SIZE if options.dataset == "sample" else 0
    vocab_size = vocab_size or tokenizer.GPT2_VOCAB_SIZE
    encoding = None
    if options.vocab_of:
        if options.vocab_size is not None:
            raise UserError("--vocab_of brings its own vocabulary size: leave --vocab_size out")
        encoding = vocabulary_of(options.vocab_of)
        vocab_size = encoding.n_vocab
    if not tokenizer.SMALLEST_VOCAB_SIZE <= vocab_size <= tokenizer.GPT2_VOCAB_SIZE:
        bounds = f"{tokenizer.SMALLEST_VOCAB_SIZE} to {tokenizer.GPT2_VOCAB_SIZE}"
        raise UserError(f"--vocab_size must be 0 or {bounds}, not {vocab_size}")
    if options.num_proc < 1:
        raise UserError(f"--num_proc must be at least 1, not {options.num_proc}")
    folder = Path("data") / name
    recipe = {
        "source": options.dataset,
        "source_stamp": source_stamp(options.dataset),
        "text_column": options.text_column,
        "validation_fraction": options.validation_fraction,
        "vocab_size": vocab_size,
        "vocab_of": tokenizer.sha256(tokenizer.to_text(encoding)) if encoding else None,
    }
    start = time.perf_counter()
    meta = None if options.force else prepared_already(folder, recipe)
    if meta:
        print(f"{folder} is already prepared (--force rebuilds it)")
    else:
        meta = prepare(recipe, folder, options.num_proc, encoding)
        print(f"prepared in {time.perf_counter() - start:.1f} s")
    print(summary(folder, meta, recipe_for(folder, meta, options.vocab_of)))


if __name__ == "__main__":
    run(main)
