"""A folder of token files that another program made: nanoGPT's train.bin and val.bin, taken as GPT-2's tokens."""

import contextlib
import json
import os

import numpy as np

from slm.errors import UserError, print_note
from slm.files import NEW, atomic_write, read_json
from slm.text import tokenizer
from slm.values import check_values

OTHER_PROGRAM = "another program"  # the source of a corpus without meta.json


def is_from_another_program(folder):
    """Whether a folder holds token files of nanoGPT or the tutorial: train.bin, val.bin or validation.bin, no more."""
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    ours = {"meta.json", "tokenizer.tiktoken", NEW}
    return "train.bin" in there and bool(there & {"val.bin", "validation.bin"}) and not there & ours


def describe_gpt2_tokens(folder, files):
    """(meta.json, the tokenizer's text) of the token files of another program, taken as GPT-2's tokens.

    files: {split: TokenFile}. What was counted is kept in `.counts.json`, since that takes a second per GB. Raises
    UserError where they cannot be that.
    """
    if (folder / "meta.pkl").exists():
        raise UserError(f"{folder}/meta.pkl says that the tokens are characters: only GPT-2's tokens can be used")
    if {"val.bin", "validation.bin"} <= {path.name for path in folder.iterdir()}:
        print_note(f"{folder} has a val.bin and a validation.bin: the latter is read; move the one that is not yours")
    encoding, kept = tokenizer.gpt2(), folder / ".counts.json"
    stats = {name: os.fstat(file.file.fileno()) for name, file in files.items()}
    identity = {name: [stat.st_size, stat.st_mtime_ns, stat.st_ino] for name, stat in stats.items()}
    splits = None
    with contextlib.suppress(OSError, ValueError, UserError):
        splits = kept_counts(read_json(kept), identity, files)
    if not splits:
        splits = {name: count_tokens(file, encoding) for name, file in files.items()}
        with contextlib.suppress(UserError), atomic_write(kept) as file:
            file.write(json.dumps({"identity": identity, "splits": splits}).encode())
    text = tokenizer.to_text(encoding)
    return {
        "source": OTHER_PROGRAM,
        "splits": splits,
        "vocab_size": encoding.n_vocab,
        "dtype": "uint16",
        "end_of_text": encoding.eot_token,
        "tokenizer_sha256": tokenizer.sha256(text),
    }, text


def kept_counts(contents, identity, files):
    """The splits in the contents of `.counts.json`, None where they are of other files. Raises UserError for damage."""
    check_values(contents, {"identity": (dict,), "splits": (dict,)}, "")
    splits = contents["splits"]
    for name in files:
        check_values(splits.get(name), {"stories": (int, 0), "tokens": (int, 0), "text_bytes": (int, 0)}, "")
    is_theirs = all(splits[name]["tokens"] == file.tokens for name, file in files.items())
    return splits if is_theirs and contents["identity"] == identity else None


def count_tokens(file, encoding):
    """The stories, tokens and bytes of text of a TokenFile, as in meta.json.

    Raises UserError where it has other ids than those of `encoding`, or holds wider numbers than uint16.
    """
    lengths = np.array([len(encoding.decode_single_token_bytes(i)) for i in range(encoding.n_vocab)])
    lengths[encoding.eot_token] = 0
    counts, upper_half = np.zeros(2**16, np.int64), 0
    for part in file.parts():
        counts += np.bincount(part, minlength=2**16)
        upper_half = max(upper_half, int(part[1::2].max(initial=0)))
    # the upper half of a number below 2**18; no text has one of the first four tokens at each second place
    if file.tokens >= 8 and upper_half <= 3:
        raise UserError(f"{file.path} holds ids of 32 or 64 bits, and this program reads uint16: write it as uint16")
    if file.size % 2 or not file.tokens:
        raise UserError(f"{file.path} is no flat array of uint16 ids: prepare the text again")
    file.check_ids(encoding.n_vocab)
    if not counts[256:].any():
        raise UserError(f"{file.path} holds characters or bytes (no id is above 255): only GPT-2's tokens can be used")
    return {
        "stories": int(counts[encoding.eot_token]),
        "tokens": file.tokens,
        "text_bytes": int(counts[: encoding.n_vocab] @ lengths),
    }
