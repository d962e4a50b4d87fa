"""Does it tell stories? Figures of a model's stories, beside those of the real ones it was to learn from.

    python -m experiments.report                                   the newest run under out/
    python -m experiments.report --out_dir out/tinystories --num_samples 500

The model is given the openings of real stories of the validation split, up to the first name in them (a word with a
capital inside a sentence), and tells each to its end; the real stories themselves are the other column:

    end by themselves     share of stories that reach end-of-text within --max_new_tokens
    tokens                their median length
    distinct 4-grams      of all 4-grams of words, the share that differ: low where stories say the same again
    copied 13-grams       share of 13-grams of tokens that stand in the train split, the given opening left out
    longest copy          tokens of the longest run that stands there
    the name comes back   share of stories in which the name in the opening is told of again

Of the last, real stories say how many do. A model that copied its corpus would be at 100 % of copied 13-grams.
"""

import re
import statistics
from pathlib import Path

import numpy as np
import torch

import checkpoint
import devices
import tokenizer
from batches import Corpus
from configuration import OptionParser, UserError, check_drawing, drawing_options, run

CHUNK = 2**22  # tokens of the train split that are looked at together
BATCH = 64  # stories that are told together
NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+\b")


def hashes(ids, n):
    """A 64-bit hash of each n-gram of ids (N,): (N - n + 1,) uint64, built from those of half its length."""
    if n == 1:
        return (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    half = hashes(ids, n // 2)
    both = half[: len(half) - n // 2] * np.uint64(pow(0xD1342543DE82EF95, n // 2, 2**64)) + half[n // 2 :]
    if n % 2 == 0:
        return both
    last = hashes(ids[n - 1 :], 1)
    return both[: len(last)] * np.uint64(0xD1342543DE82EF95) + last


def copied(stories, path, n):
    """For each story (a list of ids) whether each of its n-grams stands in the token file at `path`: bool arrays."""
    grams = [hashes(np.array(story), n) if len(story) >= n else np.empty(0, np.uint64) for story in stories]
    wanted = np.unique(np.concatenate(grams))
    if not len(wanted):
        return [gram.astype(bool) for gram in grams]
    found = np.zeros(len(wanted), bool)
    tokens = np.memmap(path, np.uint16, "r")
    for first in range(0, len(tokens), CHUNK):
        there = hashes(tokens[first : first + CHUNK + n - 1], n) if len(tokens) - first >= n else wanted[:0]
        places = np.searchsorted(wanted, there).clip(max=len(wanted) - 1)
        found[places[wanted[places] == there]] = True
    return [found[np.searchsorted(wanted, gram)] for gram in grams]


def longest_copy(stories, path):
    """The length in tokens of the longest run of a story that stands in the token file at `path`."""
    low, high = 0, max(map(len, stories), default=0)
    while low < high:  # what stands there, stands there in part
        middle = (low + high + 1) // 2
        if any(gram.any() for gram in copied(stories, path, middle)):
            low = middle
        else:
            high = middle - 1
    return low


def opening(text):
    """(the story up to its first name and with it, the name), or None where no name is in its first 200 letters."""
    name = NAME.search(text)
    return (text[: name.end()], name.group()) if name and name.start() < 200 else None


def figures(openings, endings, told, path):
    """The rows of the report; openings: (text, name), endings: the text after it and whether it ended by itself."""
    texts = [ending for ending, _ in endings]
    grams = [tuple(words[i : i + 4]) for words in (text.split() for text in texts) for i in range(len(words) - 3)]
    there = np.concatenate(copied(told, path, 13))
    back = [bool(re.search(rf"\b{name}\b", text)) for (_, name), text in zip(openings, texts, strict=True)]
    return {
        "end by themselves": f"{statistics.mean(ended for _, ended in endings):.0%}",
        "tokens": f"{statistics.median(map(len, told)):.0f}",
        "distinct 4-grams": f"{len(set(grams)) / max(1, len(grams)):.1%}",
        "copied 13-grams": f"{there.mean() if len(there) else 0:.1%}",
        "longest copy": f"{longest_copy(told, path)}",
        "the name comes back": f"{statistics.mean(back):.0%}",
    }


def main():
    parser = OptionParser(__doc__)
    parser.option("--out_dir", None, "the run, or a checkpoint file (default: the newest run under out/)")
    parser.option("--dataset", None, "the prepared corpus, a folder under data/ (default: the run's own)")
    drawing_options(parser, num_samples=200, top_k=0, seed=1337)
    parser.option("--device", "auto", "auto, cpu, cuda, cuda:N or mps")
    options = parser.parse()
    check_drawing(options)

    path = checkpoint.find(options.out_dir or checkpoint.newest_run())
    saved = checkpoint.load(path)
    corpus = Corpus(Path("data") / (options.dataset or saved["config"].get("dataset", "")))
    encoding = tokenizer.from_text(saved["tokenizer"])
    if tokenizer.sha256(saved["tokenizer"]) != corpus.meta["tokenizer_sha256"]:
        raise UserError(f"{path} was trained on another vocabulary than that of {corpus.folder}: give --dataset")
    device = devices.pick_device(options.device)
    model = checkpoint.build_model(saved).to(device, devices.pick_dtype("auto", device))

    real = list(corpus.stories("validation"))
    texts = (encoding.decode(real[i].tolist()) for i in np.random.default_rng(options.seed).permutation(len(real)))
    chosen = [(text, found) for text in texts if (found := opening(text))][: options.num_samples]
    if not chosen:
        raise UserError(f"no story of {corpus.path('validation')} opens with a name")
    openings = [found for _, found in chosen]

    generator = torch.Generator(device).manual_seed(options.seed)
    drawing = {name: getattr(options, name) for name in ("temperature", "top_k", "top_p")}
    told = []
    for first in range(0, len(openings), BATCH):
        prompts = [[encoding.eot_token, *encoding.encode_ordinary(text)] for text, _ in openings[first : first + BATCH]]
        told += model.generate(
            prompts, options.max_new_tokens, stop_token=encoding.eot_token, generator=generator, **drawing
        )
    endings = [(encoding.decode(story), len(story) < options.max_new_tokens) for story in told]
    real_endings = [(text[len(start) :], True) for text, (start, _) in chosen]
    real_told = [encoding.encode_ordinary(ending) for ending, _ in real_endings]

    rows = figures(openings, endings, told, corpus.path("train"))
    real_rows = figures(openings, real_endings, real_told, corpus.path("train"))
    if "val_loss" in saved:
        print(f"{path}: {saved['val_loss']:.4f} nats a token, {saved['val_bpb']:.4f} bits per byte, ", end="")
    print(f"{len(told)} stories from {corpus.folder}, temperature {options.temperature}\n")
    print(f"{'':22}{'the model':>12}{'real stories':>14}")
    for name in rows:
        print(f"{name:22}{rows[name]:>12}{real_rows[name]:>14}")


if __name__ == "__main__":
    run(main)
