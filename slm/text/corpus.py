"""A prepared folder, data/NAME, as it is read: its description, its vocabulary, its token files."""

import errno
import functools
import hashlib
import json
import os
import zlib
from pathlib import Path

import numpy as np

from slm.commands import prepare_command
from slm.errors import UserError, first_line, print_note
from slm.files import current
from slm.text.nanogpt_corpus import describe_gpt2_tokens, is_from_another_program
from slm.text.prepared_folder import is_tokenizer_of, read_meta

PART_TOKENS = 2**24
LARGEST_TOKENIZER = 2**24  # bytes; GPT-2's has 0.8 million
OPENINGS = 5  # of a folder that prepare.py replaces at that moment


class TokenFile:
    """A file of uint16 token ids, open for as long as the object lives: a run reads what it began with."""

    def __init__(self, path):
        self.path = Path(path)
        if not self.path.is_file():  # a FIFO never ends
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        self.file = open(path, "rb")  # noqa: SIM115 - stays open
        self.size = os.fstat(self.file.fileno()).st_size
        self.tokens = self.size // 2

    def is_at(self, path):
        """Whether the open file is the one that has the name `path` now."""
        return os.path.samestat(os.fstat(self.file.fileno()), os.stat(path))

    def map(self):
        """The tokens as an array over the file: (tokens,) uint16. Raises UserError where it has become shorter."""
        if not self.tokens:
            return np.zeros(0, np.uint16)
        try:
            return np.memmap(self.file, np.uint16, "r", shape=(self.tokens,))
        except (OSError, ValueError) as error:  # no map is longer than its file
            raise UserError(
                f"{self.path} has become shorter while it was read: prepare it again, then resume the run"
            ) from error

    def parts(self):
        """Yield the tokens in arrays of at most PART_TOKENS, each mapped by itself, which bounds the memory."""
        for start in range(0, self.tokens, PART_TOKENS):
            yield self.map()[start : start + PART_TOKENS]

    def crc32(self):
        """The checksum of the tokens, as in meta.json."""
        return functools.reduce(lambda crc32, part: zlib.crc32(part, crc32), self.parts(), 0)

    def check_ids(self, vocab_size):
        """Raise UserError, which names the place, where an id is beyond the vocabulary."""
        start = 0
        for part in self.parts():
            if part.max() >= vocab_size:
                place = int(np.argmax(part >= vocab_size))
                raise UserError(
                    f"{self.path} is no flat array of uint16 ids below {vocab_size:,}: token {start + place:,} is"
                    f" {part[place]}; prepare the text again"
                )
            start += len(part)

    def read_windows(self, starts, length):
        """`length` tokens from each of `starts`, the file taken as a ring: (len(starts), length) int64.

        Every call maps the file again: pages that were read count as resident memory until they are unmapped.
        """
        positions = np.asarray(starts)[:, None] + np.arange(length)
        return self.map().take(positions, mode="wrap").astype(np.int64)


class TokenArray(TokenFile):
    """Token ids in memory, (tokens,) uint16, which are read as those of a file are."""

    def __init__(self, ids):
        self.ids, self.tokens = ids, len(ids)

    def map(self):
        return self.ids


class Corpus:
    """A prepared folder, checked: `.meta`, the tokenizer's `.tokenizer_text`, and the open token files `.files`.

    The files are open before they are described, so that what is described is what is read, also where prepare.py
    replaces the folder meanwhile. Raises UserError, which names the command to run, where the folder is missing or
    damaged.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        prepare_with = prepare_command(self.folder.name)
        try:
            for _ in range(OPENINGS):
                self.open()
                if all(file.is_at(self.path(name)) for name, file in self.files.items()):
                    break
        except (FileNotFoundError, NotADirectoryError) as error:
            if (path := current(self.folder, "meta.json")).exists():
                missing = Path(error.filename or path).name
                raise UserError(f"{path.parent} is damaged (no {missing}): run `{prepare_with} --force`") from error
            prepared = sorted(meta.parent.name for meta in self.folder.parent.glob("*/meta.json"))
            others = f" (prepared: {', '.join(prepared)})" if prepared else ""
            raise UserError(f"no prepared data in {self.folder}{others}: run `{prepare_with}` first") from error
        except PermissionError as error:
            raise UserError(f"cannot read {error.filename} ({error.strerror}): change its permissions") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or first_line(error)
            raise UserError(f"{self.folder}/meta.json is damaged ({reason}): run `{prepare_with} --force`") from error
        if not is_tokenizer_of(self.tokenizer_text, self.meta):
            raise UserError(f"{self.folder}: the tokenizer is not the one that made the tokens: prepare it again")
        self.vocab_size, splits = self.meta["vocab_size"], self.meta["splits"]
        self.tokens = {name: splits[name]["tokens"] for name in self.files}
        self.text_bytes = splits["validation"]["text_bytes"]
        for name, tokens in self.tokens.items():
            if not tokens or not splits[name]["text_bytes"]:
                raise UserError(f"the {name} split of {self.folder} has no text: prepare it with some")
            if self.files[name].size != 2 * tokens:
                raise UserError(
                    f"{self.path(name)} has {self.files[name].size:,} bytes where meta.json says {2 * tokens:,}:"
                    " prepare it again"
                )

    def open(self):
        foreign = is_from_another_program(self.folder)
        if not foreign:
            read_meta(self.folder)  # a folder without one is no prepared folder, whatever else is in it
        self.files = {name: TokenFile(self.path(name)) for name in ("train", "validation")}
        if foreign:
            self.meta, self.tokenizer_text = describe_gpt2_tokens(self.folder, self.files)
        else:
            self.meta = read_meta(self.folder)
            self.tokenizer_text = read_text(current(self.folder, self.meta["tokenizer"]))

    def verify(self):
        """Read all tokens, about a second per GB, and raise UserError where they are not those that were written.

        The checksum is compared where meta.json has one (format 2), and each id with the vocabulary.
        """
        for name, file in self.files.items():
            file.check_ids(self.vocab_size)
            crc32 = file.crc32()
            if crc32 != self.meta["splits"][name].get("crc32", crc32):
                raise UserError(f"{file.path} is damaged (another checksum than in meta.json): prepare it again")

    def path(self, split):
        path = current(self.folder, f"{split}.bin")
        if split == "validation" and not path.exists() and is_from_another_program(self.folder):
            return self.folder / "val.bin"
        return path

    def stories(self, split):
        """Yield the token ids of each story of a split, without its end-of-text: uint16 arrays."""
        tokens = self.files[split].map()
        start = 0
        for end in np.flatnonzero(tokens == self.meta["end_of_text"]):
            yield tokens[start:end]
            start = end + 1

    def fingerprint(self):
        """A hash of the tokenizer, the counts, and samples of both token files: equal for equal corpora."""
        digest = hashlib.sha256(json.dumps([self.meta["tokenizer_sha256"], self.tokens, self.text_bytes]).encode())
        for name, tokens in self.tokens.items():
            contents = self.files[name].map().view(np.uint8)
            for place in np.linspace(0, 2 * tokens, 64, endpoint=False).astype(int):
                digest.update(contents[place : place + 4096])
        return digest.hexdigest()

    def compare(self, fingerprint, model):
        """Print a line where `model`, by its name, was trained on tokens with another fingerprint; None: not known."""
        if fingerprint not in (None, self.fingerprint()):
            print_note(f"{model} was trained on other tokens than those that are in {self.folder} now")


def read_text(path):
    """The text of a tokenizer's file. Raises OSError or ValueError where it is none."""
    if not path.is_file() or path.stat().st_size > LARGEST_TOKENIZER:
        raise ValueError(f"{path.name} is no file of at most {LARGEST_TOKENIZER:,} bytes")
    return path.read_text()
