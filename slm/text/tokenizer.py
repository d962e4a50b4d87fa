"""Texts become token ids: by GPT-2's byte-pair encoding, or by one that vocabulary.py trains on the stories.

A tokenizer is a `tiktoken.Encoding` and, on disk, the text of a `.tiktoken` file: one token per line, its bytes in
base64 and its rank. End-of-text is not in the file; it is always the last id, `encoding.eot_token`.
"""

import base64
import functools
import hashlib
import itertools
import json
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import tiktoken
from tiktoken_ext.openai_public import ENDOFTEXT, r50k_pat_str

from slm.errors import UserError, first_line
from slm.files import ROOT

GPT2_VOCAB_SIZE = 50257
GPT2_FILE = ROOT / "data" / "gpt2_vocabulary.json"  # OpenAI's encoder.json
GPT2_SHA256 = "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"
SMALLEST_VOCAB_SIZE = 257  # the 256 bytes, so that any text has an encoding, and end-of-text
LARGEST_VOCAB_SIZE = 2**16  # what uint16 can count
LONGEST_TOKENS = 2**24  # bytes of all tokens together; GPT-2's have 0.3 million
GIGATOKEN_BYTES = 2**28  # of text, after which gigatoken is rebuilt: its cache of words only grows (as of 0.10)
# Unicode's White_Space, which is what `\s` means to tiktoken; Python's `\s` has four more characters. About half a
# million of them before a word overflow the stack of tiktoken's regular expression (as of 0.14).
SPACE = r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
LONG_SPACE = re.compile(rf"(?<!{SPACE}){SPACE}{{10000,}}")


@functools.cache
def gpt2():
    """GPT-2's encoding, read from `data/`: neither the network nor tiktoken's cache is needed. Raises UserError."""
    try:
        contents = GPT2_FILE.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read GPT-2's vocabulary {GPT2_FILE} ({error.strerror}): clone again") from error
    if hashlib.sha256(contents).hexdigest() != GPT2_SHA256:
        raise UserError(f"GPT-2's vocabulary {GPT2_FILE} is damaged: `git checkout -- data` restores it")
    return from_vocabulary(json.loads(contents))


def encode_ordinary(encoding, text):
    """The token ids of `text` as an array. `<|endoftext|>` in it is text, and whitespace may be of any length.

    Long whitespace is encoded apart from the text around it. The ids are the same: GPT-2 splits text there too, except
    that the last space belongs to the word behind it.
    """
    if len(text) < 10000:  # the common case, which needs no search
        return encoding.encode_to_numpy(text, disallowed_special=())
    cuts = [0]
    for space in LONG_SPACE.finditer(text):
        cuts += [space.start(), space.end() if space.end() == len(text) else space.end() - 1]
    parts = [text[start:end] for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True)]
    return np.concatenate([encoding.encode_to_numpy(part, disallowed_special=()) for part in parts])


def tiktoken_encoder(encoding):
    """A function from a list of stories to (ids, ends): their tokens in one uint16 array, and where each story ends."""

    def encode(stories):
        arrays = [encode_ordinary(encoding, story) for story in stories]
        return np.concatenate(arrays).astype(np.uint16), np.cumsum([len(array) for array in arrays])

    return encode


def gigatoken_encoder(encoding, threads):
    """The same by gigatoken, many times faster, on `threads` cores. Raises ImportError where it is not installed."""
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))  # read when its threads start
    import awkward
    import gigatoken

    encoder, encoded = None, 0

    def encode(stories):
        nonlocal encoder, encoded
        if encoder is None or encoded > GIGATOKEN_BYTES:
            encoder, encoded = load_gigatoken(gigatoken, encoding), 0
        encoded += sum(map(len, stories))
        layout = awkward.to_packed(encoder.encode_batch(stories, parallel=threads > 1)).layout
        return np.asarray(layout.content.data).astype(np.uint16), np.asarray(layout.offsets)[1:]

    return encode


def load_gigatoken(gigatoken, encoding):
    """gigatoken's tokenizer of an encoding, which it reads from a file. Raises UserError where none can be written."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "gpt2.tiktoken"
            path.write_text(to_text(encoding))
            return gigatoken.Tokenizer.from_tiktoken(path, pretokenizer="gpt2")
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write a temporary file ({reason}): set TMPDIR to a folder with room") from error


def from_ranks(ranks):
    """The encoding of `ranks`, a dict from a token's bytes to its id 0..n-1; end-of-text gets id n.

    Raises ValueError where they are none: tiktoken ends the process at some of these.
    """
    size = len(ranks) + 1
    if any(type(rank) is not int for rank in ranks.values()) or sorted(ranks.values()) != list(range(len(ranks))):
        raise ValueError("its ids have gaps, or one is there twice")
    if not {bytes([byte]) for byte in range(256)} <= ranks.keys():
        raise ValueError("a byte has no id")
    if size > LARGEST_VOCAB_SIZE or sum(map(len, ranks)) > LONGEST_TOKENS or b"" in ranks:
        raise ValueError(f"it has {size:,} tokens, or very long or empty ones")
    return tiktoken.Encoding(
        "gpt2" if size == GPT2_VOCAB_SIZE else f"bpe-{size}",
        pat_str=r50k_pat_str,
        mergeable_ranks=ranks,
        special_tokens={ENDOFTEXT: len(ranks)},
        explicit_n_vocab=size,
    )


def merge_pair(token, ranks):
    """The two tokens whose merge makes `token` (bytes), or () for a single byte.

    Byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909, section 3.2) leaves these two of the token's bytes after
    all merges that come before the token's.
    """
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        pairs = {(one, two): ranks.get(one + two, len(ranks)) for one, two in itertools.pairwise(parts)}
        best = min(pairs, key=pairs.get)
        if pairs[best] == len(ranks):  # no merges make this token
            return b"".join(parts[:-1]), parts[-1]
        merged, i = [], 0
        while i < len(parts):  # every place of the pair, from the left
            width = 2 if tuple(parts[i : i + 2]) == best else 1
            merged.append(b"".join(parts[i : i + width]))
            i += width
        parts = merged
    return tuple(parts) if len(parts) == 2 else ()


# GPT-2's vocabulary files spell a byte as a letter: printable Latin-1 as itself, the others from U+0100 on
PRINTABLE = [byte for byte in range(256) if chr(byte).isprintable() and chr(byte) != " "]
LETTERS = {byte: chr(byte) for byte in PRINTABLE} | {
    byte: chr(256 + i) for i, byte in enumerate(sorted(set(range(256)) - set(PRINTABLE)))
}
BYTES = {letter: byte for byte, letter in LETTERS.items()}


@functools.lru_cache(maxsize=1)  # two seconds for GPT-2's, and an export needs it more than once
def to_vocabulary(encoding):
    """The encoding as Hugging Face has it: ({token: id}, [(token, token), ...] merges in order), tokens in letters."""

    def spell(token):
        return "".join(LETTERS[byte] for byte in token)

    ranks = encoding._mergeable_ranks
    tokens = sorted(ranks, key=ranks.get)
    vocabulary = {spell(token): ranks[token] for token in tokens} | {ENDOFTEXT: encoding.eot_token}
    return vocabulary, [tuple(map(spell, merge_pair(token, ranks))) for token in tokens if len(token) > 1]


def from_vocabulary(vocabulary):
    """The encoding of a {token in letters: id} as Hugging Face has it, with or without end-of-text.

    Raises UserError where it is not a byte-level vocabulary. It does not say in which order the merges are made: where
    that is not the order of the ids, the encoding is another one.
    """
    try:
        ranks = {bytes(BYTES[letter] for letter in token): i for token, i in vocabulary.items() if token != ENDOFTEXT}
        return from_ranks(ranks)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"the vocabulary is not a byte-level one like GPT-2's ({error}): use a model with one"
        ) from error


def to_text(encoding):
    """The text of the encoding's `.tiktoken` file (ASCII)."""
    by_rank = sorted(encoding._mergeable_ranks.items(), key=lambda item: item[1])
    return "".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in by_rank)


def from_text(text):
    """The encoding of a `.tiktoken` file's text. Raises UserError where the text is damaged."""
    try:
        pairs = [line.split() for line in text.splitlines()]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in pairs}
        if len(ranks) != len(pairs):
            raise ValueError("a token is there twice")
        return from_ranks(ranks)
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"the tokenizer is damaged ({first_line(error)}): use another checkpoint, or prepare.py --force"
        ) from error


def sha256(text):
    """The identity of a tokenizer: the sha256, in hexadecimal, of its file's text."""
    return hashlib.sha256(text.encode()).hexdigest()
