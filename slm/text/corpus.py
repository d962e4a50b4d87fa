"""A prepared folder, data/NAME, as it is read: its description, its vocabulary, its token files."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from slm.errors import UserError
from slm.text import tokenizer

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
