"""Does it tell stories? Figures of a model's stories, beside those of the real ones it learned from.

    python -m experiments.report                                   the newest run under out/
    python -m experiments.report --model out/tinystories --num_samples 500

The model continues the openings of real stories of the validation split, up to the first name in them (a word with a
capital inside a sentence), to the end. The real stories are the other column:

    end by themselves     share of stories that reach end-of-text within --max_new_tokens
    tokens                their median length
    distinct 4-grams      share of different ones among all 4-grams of words: low where stories repeat themselves
    copied 13-grams       share of 13-grams of tokens that the train split contains, without the given opening
    longest copy          tokens of the longest run that the train split contains, 0 where it is below 13
    the name comes back   share of stories that mention the name in the opening again

A model that copied its corpus would have 100 % of copied 13-grams.
"""

import re
import statistics
from pathlib import Path

import numpy as np
import torch

from slm import devices
from slm.errors import UserError, run_script
from slm.models.generation import generate, prompt_tokens
from slm.models.load import load_model
from slm.options import OptionParser, add_model_option, add_sampling_options, sampling_arguments
from slm.text import tokenizer
from slm.text.corpus import Corpus

COPY = 13  # tokens of a run that counts as copied
CHUNK = 2**18  # tokens of the train split in one look-up: they stay in a CPU's cache
FIRST_BITS = 24  # of a hash, for the first look
TOKEN_FACTOR, PLACE_FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1342543DE82EF95)
BATCH = 64  # stories generated at once
NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+\b")


def hashes(ids, n):
    """A 64-bit hash of each n-gram of ids (N,): (N - n + 1,) uint64, built from those of half its length."""
    if len(ids) < n:
        return np.empty(0, np.uint64)
    if n == 1:
        return (ids.astype(np.uint64) + np.uint64(1)) * TOKEN_FACTOR
    half = hashes(ids, n // 2)
    both = half[: len(half) - n // 2] * np.uint64(pow(int(PLACE_FACTOR), n // 2, 2**64)) + half[n // 2 :]
    if n % 2 == 0:
        return both
    return longer(both[: len(ids) - n + 1], ids[n - 1 :])


def longer(grams, ids):
    """The hashes of n-grams (N,) that a token each, ids (N,), makes longer."""
    return grams * PLACE_FACTOR + hashes(ids, 1)


def find_copies(stories, tokens, n):
    """(places, grams): where `tokens` (N,) has an n-gram of the stories, arrays of ids, and the hash of that n-gram."""
    wanted = np.unique(np.concatenate([np.empty(0, np.uint64), *(hashes(story, n) for story in stories)]))
    shift = np.uint64(64 - FIRST_BITS)
    likely = np.zeros(2**FIRST_BITS, bool)  # rules out most others at one look
    likely[wanted >> shift] = True
    places, grams = [np.empty(0, np.int64)], [wanted[:0]]
    for first in range(0, len(tokens) - n + 1, CHUNK):
        there = hashes(tokens[first : first + CHUNK + n - 1], n)
        found = np.flatnonzero(likely[there >> shift])
        nearest = np.searchsorted(wanted, there[found]).clip(max=len(wanted) - 1)
        found = found[wanted[nearest] == there[found]]
        places.append(first + found)
        grams.append(there[found])
    return np.concatenate(places), np.concatenate(grams)


def longest_copy(stories, tokens, places, grams, n):
    """The length of the longest run of a story that `tokens` has, 0 where it is below n.

    places, grams: what find_copies found for n.
    """
    length = 0
    while True:
        of_stories = [hashes(story, n) for story in stories]
        is_copy = np.isin(grams, np.concatenate([grams[:0], *of_stories]))
        if not is_copy.any():
            return length
        stories = [story for story, own in zip(stories, of_stories, strict=True) if np.isin(own, grams).any()]
        length, n = n, n + 1
        is_copy &= places + n <= len(tokens)
        places, grams = places[is_copy], grams[is_copy]
        grams = longer(grams, tokens[places + n - 1])


def opening(text):
    """(the story up to its first name and with it, the name), or None where no name is in its first 200 letters."""
    name = NAME.search(text)
    return (text[: name.end()], name.group()) if name and name.start() < 200 else None


def figures(openings, endings, stories, tokens, places, grams):
    """The rows of the report.

    openings: (text, name). endings: the text after it and whether it ended by itself. stories: its ids, an array each.
    tokens: the train split; places, grams: of find_copies.
    """
    texts = [ending for ending, _ in endings]
    fours = [tuple(words[i : i + 4]) for words in (text.split() for text in texts) for i in range(len(words) - 3)]
    copied = np.isin(np.concatenate([hashes(story, COPY) for story in stories]), grams)
    back = [bool(re.search(rf"\b{name}\b", text)) for (_, name), text in zip(openings, texts, strict=True)]
    return {
        "end by themselves": f"{statistics.mean(ended for _, ended in endings):.0%}",
        "tokens": f"{statistics.median(map(len, stories)):.0f}",
        "distinct 4-grams": f"{len(set(fours)) / max(1, len(fours)):.1%}",
        "copied 13-grams": f"{copied.mean() if len(copied) else 0:.1%}",
        "longest copy": f"{longest_copy(stories, tokens, places, grams, COPY)}",
        "the name comes back": f"{statistics.mean(back):.0%}",
    }


def main():
    parser = OptionParser(__doc__)
    add_model_option(parser)
    parser.option("--dataset", None, "the prepared corpus, a folder under data/ (default: the run's own)")
    add_sampling_options(parser, num_samples=200, seed=1337)
    parser.option("--device", "auto", "auto, cpu, cuda, cuda:N or mps")
    options = parser.parse()
    sampling = sampling_arguments(options)

    device = devices.pick_device(options.device)
    loaded = load_model(options.model, device, devices.pick_dtype("auto", device))
    encoding = loaded.encoding
    corpus = Corpus(Path("data") / (options.dataset or loaded.config.get("dataset", "")))
    if tokenizer.sha256(tokenizer.to_text(encoding)) != corpus.meta["tokenizer_sha256"]:
        raise UserError(f"{loaded.path} was trained on another vocabulary than that of {corpus.folder}: give --dataset")

    real = list(corpus.stories("validation"))
    texts = (encoding.decode(real[i].tolist()) for i in np.random.default_rng(options.seed).permutation(len(real)))
    chosen = [(text, found) for text in texts if (found := opening(text))][: options.num_samples]
    if not chosen:
        raise UserError(f"no story of {corpus.path('validation')} opens with a name")
    openings = [found for _, found in chosen]

    generator = torch.Generator().manual_seed(options.seed)
    generated = []
    for first in range(0, len(openings), BATCH):
        prompts = [prompt_tokens(encoding, text) for text, _ in openings[first : first + BATCH]]
        sampled = {"stop_token": encoding.eot_token, "generator": generator, **sampling}
        generated += generate(loaded.model, prompts, options.max_new_tokens, **sampled)
    endings = [(encoding.decode(story), len(story) < options.max_new_tokens) for story in generated]
    real_endings = [(text[len(start) :], True) for text, (start, _) in chosen]

    generated = [np.array(story, np.int64) for story in generated]
    real = [np.array(encoding.encode_ordinary(ending), np.int64) for ending, _ in real_endings]
    tokens = np.memmap(corpus.path("train"), np.uint16, "r")
    found = find_copies([*generated, *real], tokens, COPY)
    rows = figures(openings, endings, generated, tokens, *found)
    real_rows = figures(openings, real_endings, real, tokens, *found)
    if loaded.val_loss is not None:
        print(f"{loaded.path}: {loaded.val_loss:.4f} nats a token, {loaded.val_bpb:.4f} bits per byte, ", end="")
    print(f"{len(generated)} stories from {corpus.folder}, temperature {options.temperature}\n")
    print(f"{'':22}{'the model':>12}{'real stories':>14}")
    for name in rows:
        print(f"{name:22}{rows[name]:>12}{real_rows[name]:>14}")


if __name__ == "__main__":
    run_script(main)
