"""Does it tell stories? Figures of a model's stories, beside those of the real ones it learned from.

    python -m experiments.report                                   the newest run under out/
    python -m experiments.report --out_dir out/tinystories --num_samples 500

The model continues the openings of real stories of the validation split, up to the first name in them (a word with a
capital inside a sentence), to the end. The real stories are the other column:

    end by themselves     share of stories that reach end-of-text within --max_new_tokens
    tokens                their median length
    distinct 4-grams      share of different ones among all 4-grams of words: low where stories repeat themselves
    copied 13-grams       share of 13-grams of tokens that the train split contains, without the given opening
    longest copy          tokens of the longest run that the train split contains
    the name comes back   share of stories that mention the name in the opening again

A model that copied its corpus would have 100 % of copied 13-grams.
"""

import re
import statistics
from pathlib import Path

import numpy as np
import torch

from slm import checkpoint, devices, tokenizer
from slm.data import Corpus
from slm.errors import UserError, run_script
from slm.options import OptionParser, add_sampling_options, sampling_arguments

CHUNK = 2**22  # tokens of the train split in one look-up
BATCH = 64  # stories generated at once
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
    """For each story (a list of ids) whether the token file at `path` has each of its n-grams: bool arrays."""
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
    """The length in tokens of the longest run of a story that the token file at `path` contains."""
    low, high = 0, max(map(len, stories), default=0)
    while low < high:  # a file that contains a run contains its parts
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


def figures(openings, endings, generated, path):
    """The rows of the report; openings: (text, name), endings: the text after it and whether it ended by itself."""
    texts = [ending for ending, _ in endings]
    grams = [tuple(words[i : i + 4]) for words in (text.split() for text in texts) for i in range(len(words) - 3)]
    there = np.concatenate(copied(generated, path, 13))
    back = [bool(re.search(rf"\b{name}\b", text)) for (_, name), text in zip(openings, texts, strict=True)]
    return {
        "end by themselves": f"{statistics.mean(ended for _, ended in endings):.0%}",
        "tokens": f"{statistics.median(map(len, generated)):.0f}",
        "distinct 4-grams": f"{len(set(grams)) / max(1, len(grams)):.1%}",
        "copied 13-grams": f"{there.mean() if len(there) else 0:.1%}",
        "longest copy": f"{longest_copy(generated, path)}",
        "the name comes back": f"{statistics.mean(back):.0%}",
    }


def main():
    parser = OptionParser(__doc__)
    parser.option("--out_dir", None, "the run, or a checkpoint file (default: the newest run under out/)")
    parser.option("--dataset", None, "the prepared corpus, a folder under data/ (default: the run's own)")
    add_sampling_options(parser, num_samples=200, seed=1337)
    parser.option("--device", "auto", "auto, cpu, cuda, cuda:N or mps")
    options = parser.parse()
    sampling = sampling_arguments(options)

    path = checkpoint.find_checkpoint(options.out_dir or checkpoint.newest_run())
    loaded = checkpoint.load_checkpoint(path)
    corpus = Corpus(Path("data") / (options.dataset or loaded["config"].get("dataset", "")))
    encoding = tokenizer.from_text(loaded["tokenizer"])
    if tokenizer.sha256(loaded["tokenizer"]) != corpus.meta["tokenizer_sha256"]:
        raise UserError(f"{path} was trained on another vocabulary than that of {corpus.folder}: give --dataset")
    device = devices.pick_device(options.device)
    model = checkpoint.build_model(loaded).to(device, devices.pick_dtype("auto", device))

    real = list(corpus.stories("validation"))
    texts = (encoding.decode(real[i].tolist()) for i in np.random.default_rng(options.seed).permutation(len(real)))
    chosen = [(text, found) for text in texts if (found := opening(text))][: options.num_samples]
    if not chosen:
        raise UserError(f"no story of {corpus.path('validation')} opens with a name")
    openings = [found for _, found in chosen]

    generator = torch.Generator(device).manual_seed(options.seed)
    generated = []
    for first in range(0, len(openings), BATCH):
        prompts = [[encoding.eot_token, *encoding.encode_ordinary(text)] for text, _ in openings[first : first + BATCH]]
        generated += model.generate(
            prompts, options.max_new_tokens, stop_token=encoding.eot_token, generator=generator, **sampling
        )
    endings = [(encoding.decode(story), len(story) < options.max_new_tokens) for story in generated]
    real_endings = [(text[len(start) :], True) for text, (start, _) in chosen]
    real_generated = [encoding.encode_ordinary(ending) for ending, _ in real_endings]

    rows = figures(openings, endings, generated, corpus.path("train"))
    real_rows = figures(openings, real_endings, real_generated, corpus.path("train"))
    if "val_loss" in loaded:
        print(f"{path}: {loaded['val_loss']:.4f} nats a token, {loaded['val_bpb']:.4f} bits per byte, ", end="")
    print(f"{len(generated)} stories from {corpus.folder}, temperature {options.temperature}\n")
    print(f"{'':22}{'the model':>12}{'real stories':>14}")
    for name in rows:
        print(f"{name:22}{rows[name]:>12}{real_rows[name]:>14}")


if __name__ == "__main__":
    run_script(main)
