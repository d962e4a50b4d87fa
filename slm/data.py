"""Prepared tokens as batches: which sequences make a step, and how they reach the device.

The corpus is a ring: its last end-of-text is followed by its first story. An epoch cuts the ring into windows of
block_size tokens at a random offset and visits them in a random order, so every token is trained on once, except the
fewer than block_size tokens left over at the cut. Which sequences make a step depends on the seed and the step alone.
"""

import functools
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from slm import tokenizer
from slm.errors import UserError

OTHER_PROGRAM = "another program"  # the source of a corpus without meta.json


class TokenFile:
    """A file of uint16 token ids, open for as long as the object lives: a run reads what it began with."""

    def __init__(self, path):
        self.path = Path(path)
        self.file = open(path, "rb")  # noqa: SIM115 - stays open
        self.tokens = os.fstat(self.file.fileno()).st_size // 2

    def read_windows(self, starts, length):
        """`length` tokens from each of `starts`, the file taken as a ring: (len(starts), length) int64.

        Every call maps the file again: pages that were read count as resident memory until they are unmapped. Raises
        UserError where the file has become shorter.
        """
        try:
            tokens = np.memmap(self.file, np.uint16, "r", shape=(self.tokens,))
        except (OSError, ValueError) as error:  # no map is longer than its file
            raise UserError(
                f"{self.path} has become shorter while it was read: prepare it again, then resume the run"
            ) from error
        positions = np.asarray(starts)[:, None] + np.arange(length)
        return tokens.take(positions, mode="wrap").astype(np.int64)


class Corpus:
    """A prepared folder, checked: `.meta`, the tokenizer's `.tokenizer_text`, and the paths of its token files.

    Raises UserError where the folder is missing or damaged; `prepare_with` is then the command to run.
    """

    def __init__(self, folder, prepare_with="python prepare.py"):
        self.folder = Path(folder)
        try:
            if is_from_another_program(self.folder):
                self.meta, text = describe_gpt2_tokens(self.folder)
            else:
                self.meta = json.loads((self.folder / "meta.json").read_text(encoding="utf-8"))
                text = (self.folder / self.meta["tokenizer"]).read_text()
            self.vocab_size = self.meta["vocab_size"]
            splits, sha256 = self.meta["splits"], self.meta["tokenizer_sha256"]
            self.tokens = {name: splits[name]["tokens"] for name in ("train", "validation")}
            self.text_bytes = splits["validation"]["text_bytes"]
        except (FileNotFoundError, NotADirectoryError) as error:
            prepared = sorted(meta.parent.name for meta in self.folder.parent.glob("*/meta.json"))
            others = f" (prepared: {', '.join(prepared)})" if prepared else ""
            raise UserError(f"no prepared data in {self.folder}{others}: run `{prepare_with}` first") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.folder}/meta.json is damaged ({error}): run `{prepare_with} --force`") from error
        if tokenizer.sha256(text) != sha256:
            raise UserError(f"{self.folder}: the tokenizer is not the one that made the tokens: prepare it again")
        self.tokenizer_text = text
        for name, tokens in self.tokens.items():
            size = self.path(name).stat().st_size if self.path(name).exists() else 0
            if size != 2 * tokens:
                raise UserError(
                    f"{self.path(name)} has {size:,} bytes where meta.json says {2 * tokens:,}: prepare it again"
                )

    def path(self, split):
        path, nanogpts = self.folder / f"{split}.bin", self.folder / "val.bin"
        return nanogpts if split == "validation" and nanogpts.exists() and not path.exists() else path

    def stories(self, split):
        """Yield the token ids of each story of a split, without its end-of-text: uint16 arrays."""
        tokens = np.memmap(self.path(split), np.uint16, "r")
        start = 0
        for end in np.flatnonzero(tokens == self.meta["end_of_text"]):
            yield tokens[start:end]
            start = end + 1

    def fingerprint(self):
        """A hash of the tokenizer, the counts, and samples of both token files: equal for equal corpora."""
        digest = hashlib.sha256(json.dumps([self.meta["tokenizer_sha256"], self.tokens, self.text_bytes]).encode())
        for name, tokens in self.tokens.items():
            with open(self.path(name), "rb") as file:
                for place in np.linspace(0, 2 * tokens, 64, endpoint=False).astype(int):
                    file.seek(place)
                    digest.update(file.read(4096))
        return digest.hexdigest()

    def check_length(self, block_size):
        """Raise UserError where a split is shorter than one window of `block_size` tokens."""
        for name, tokens in self.tokens.items():
            if tokens < block_size:
                raise UserError(
                    f"the {name} split of {self.folder} has {tokens} tokens, fewer than one window of block_size"
                    f" {block_size}: give more text, a smaller --block_size, or prepare it with a larger"
                    " --validation_fraction"
                )


def is_from_another_program(folder):
    """Whether a folder holds token files of nanoGPT or the tutorial: train.bin, val.bin or validation.bin, no more."""
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    ours = {"meta.json", "tokenizer.tiktoken"}
    return "train.bin" in there and bool(there & {"val.bin", "validation.bin"}) and not there & ours


def count_tokens(paths, encoding):
    """{split: its stories, tokens and bytes of text}, as in meta.json. paths: {split: its token file}.

    Raises UserError where a file has other ids than those of `encoding`.
    """
    lengths = np.array([len(encoding.decode_single_token_bytes(i)) for i in range(encoding.n_vocab)])
    lengths[encoding.eot_token] = 0
    splits = {}
    for split, path in paths.items():
        size = path.stat().st_size
        tokens = np.memmap(path, np.uint16, "r") if size and size % 2 == 0 else np.zeros(0, np.uint16)
        parts = np.array_split(tokens, 1 + len(tokens) // 2**24)  # which bounds the memory
        counts = sum(np.bincount(part, minlength=2**16) for part in parts)  # of each id
        if not len(tokens) or counts[encoding.n_vocab :].any():
            raise UserError(f"{path} is no flat array of uint16 ids below {encoding.n_vocab:,}: prepare the text again")
        splits[split] = {
            "stories": int(counts[encoding.eot_token]),
            "tokens": len(tokens),
            "text_bytes": int(counts[: encoding.n_vocab] @ lengths),
        }
    return splits


def describe_gpt2_tokens(folder):
    """(meta.json, the tokenizer's text) of a folder with the token files of another program, taken as GPT-2's tokens.

    Raises UserError where they cannot be that.
    """
    if (folder / "meta.pkl").exists():
        raise UserError(f"{folder}/meta.pkl says that the tokens are characters: only GPT-2's tokens can be used")
    encoding, paths = tokenizer.gpt2(), {}
    for split, name in (("train", "train.bin"), ("validation", "validation.bin"), ("validation", "val.bin")):
        if (folder / name).exists():
            paths.setdefault(split, folder / name)
    text = tokenizer.to_text(encoding)
    return {
        "source": OTHER_PROGRAM,
        "splits": count_tokens(paths, encoding),
        "vocab_size": encoding.n_vocab,
        "dtype": "uint16",
        "end_of_text": encoding.eot_token,
        "tokenizer_sha256": tokenizer.sha256(text),
    }, text


class TrainBatches:
    """The sequences of each step: `batches[step]` is a (sequences, block_size + 1) int64 tensor on the device.

    config: its block_size, sequences_per_step and seed. Of a step's sequences process `rank` of `world_size` gets its
    share, in order. While the device computes a step, a thread reads the next one into pinned memory.
    """

    def __init__(self, path, config, device, rank=0, world_size=1):
        self.file, self.block_size, self.sequences = TokenFile(path), config.block_size, config.sequences_per_step
        self.seed, self.device, sequences = config.seed, device, config.sequences_per_step
        self.windows = self.file.tokens // self.block_size  # in an epoch
        self.share = slice(rank * sequences // world_size, (rank + 1) * sequences // world_size)
        self.thread = ThreadPoolExecutor(1, "batches")
        self.next_step, self.next_batch = None, None  # the step that the thread reads, and its future

    @functools.lru_cache(maxsize=2)  # noqa: B019 - a step may span two epochs; one object lives as long as the run
    def epoch_starts(self, epoch):
        """Where each window of an epoch starts, in training order: (windows,) int64."""
        random = np.random.default_rng((self.seed, epoch))
        offset = random.integers(self.block_size)
        return offset + self.block_size * random.permutation(self.windows)

    def starts(self, step):
        """Where each sequence of a step starts, of all processes together: (sequences,) int64."""
        numbers = np.arange(step * self.sequences, (step + 1) * self.sequences)
        epochs, places = numbers // self.windows, numbers % self.windows
        return np.concatenate([self.epoch_starts(epoch)[places[epochs == epoch]] for epoch in np.unique(epochs)])

    def read(self, step):
        batch = torch.from_numpy(self.file.read_windows(self.starts(step)[self.share], self.block_size + 1))
        return batch.pin_memory() if self.device.type == "cuda" else batch

    def __getitem__(self, step):
        batch = self.next_batch.result() if self.next_step == step else self.read(step)
        self.next_step, self.next_batch = step + 1, self.thread.submit(self.read, step + 1)
        return batch.to(self.device, non_blocking=True)


def validation_batches(file, block_size, batch_size, max_windows, device, rank=0, world_size=1):
    """Yield (idx, targets, count): windows over a TokenFile, in order, that predict each of its tokens once.

    idx, targets: (batch_size, block_size); targets past the end of the file are -1, count is how many are not.
    max_windows: 0 for all windows, else how many, spread evenly over the file. Processes take turns.
    """
    windows = np.arange(-(-file.tokens // block_size))
    if 0 < max_windows < len(windows):
        windows = np.linspace(0, len(windows) - 1, max_windows).round().astype(np.int64)
    for first in range(rank * batch_size, len(windows), world_size * batch_size):
        starts = windows[first : first + batch_size] * block_size
        batch = file.read_windows(starts - 1, block_size + 1)  # end-of-text predicts the first token of a story
        batch[:, 1:][starts[:, None] + np.arange(block_size) >= file.tokens] = -1
        count = int((batch[:, 1:] >= 0).sum())
        filled = np.full((batch_size, block_size + 1), -1)  # always one shape: compiled code needs it
        filled[: len(batch)] = batch
        idx, targets = filled[:, :-1].clip(0), filled[:, 1:]
        yield torch.from_numpy(idx).to(device), torch.from_numpy(targets).to(device), count
