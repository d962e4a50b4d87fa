"""How prepare.py writes data/NAME: one process at a time, all files together, and never across file systems."""

import json
import re

from slm.errors import UserError, first_line
from slm.files import LONGEST_NAME, atomic_write, current, folder_transaction, read_json
from slm.text import tokenizer

PREPARED_FILES = ("tokenizer.tiktoken", "train.bin", "validation.bin", "meta.json")
FORMAT = 2  # of meta.json; 1, which has no number, lacks `crc32`, and its source_stamp is a sum
LEFT_OUT = ("empty_rows", "bad_rows", "repeated_stories", "marked_stories", "leaked_stories")  # counts, or null


def check_name(name):
    """Raise UserError where `name`, of a folder under data/, is no plain name."""
    if not re.fullmatch(r"[\w][\w.-]*", name) or len(name.encode()) > LONGEST_NAME:
        rule = f"letters, digits, '.', '_' and '-', at most {LONGEST_NAME} bytes"
        raise UserError(f"--name {first_line(repr(name), 60)} must be a plain folder name: {rule}")


def partial_folder(folder):
    """A folder for the files of `prepare.py`, which take their names in `folder` together, if the block ends well."""
    return folder_transaction(
        folder,
        f"another prepare.py is writing {folder}: wait for it, or give another --name",
        "give another --name, or start prepare.py where it can write",
    )


def write_description(partial, encoding, meta):
    """Write the tokenizer and meta.json beside the token files in `partial`, and return the contents of meta.json.

    meta: what meta.json says besides the tokenizer and the format.
    """
    text = tokenizer.to_text(encoding)
    with atomic_write(partial / "tokenizer.tiktoken") as file:
        file.write(text.encode())
    meta = (
        {"format": FORMAT}
        | meta
        | {
            "dtype": "uint16",
            "end_of_text": encoding.eot_token,
            "tokenizer": "tokenizer.tiktoken",
            "tokenizer_sha256": tokenizer.sha256(text),
        }
    )
    with atomic_write(partial / "meta.json") as file:
        file.write(json.dumps(meta, indent=2).encode())
    return meta


def read_meta(folder):
    """The contents of a folder's meta.json, checked. Raises OSError, ValueError, or UserError for an unknown format.

    splits: {name: {tokens, text_bytes, since format 2 stories and crc32, and others, all of them whole numbers}}.
    """
    at_least_0 = range(2**48).__contains__

    def check(name, value, kind, valid=lambda value: True):
        if type(value) is not kind or not valid(value):
            raise ValueError(f"{name} is {first_line(repr(value), 60)}")

    meta = read_json(current(folder, "meta.json"))
    check("it", meta, dict)
    if meta.get("format", 1) not in (1, FORMAT):
        number = first_line(repr(meta["format"]), 40)
        raise UserError(f"{folder} has the unknown format {number}: update this program, or prepare it with --force")
    check("dtype", meta.get("dtype"), str, lambda dtype: dtype == "uint16")
    check("vocab_size", meta.get("vocab_size"), int, lambda size: 257 <= size <= 2**16)
    check("end_of_text", meta.get("end_of_text"), int, lambda token: token == meta["vocab_size"] - 1)
    check("tokenizer", meta.get("tokenizer"), str, lambda name: name == "tokenizer.tiktoken")
    check("tokenizer_sha256", meta.get("tokenizer_sha256"), str)
    check("splits", meta.get("splits"), dict)
    for name in ("train", "validation"):
        split = meta["splits"].get(name)
        check(f"the {name} split", split, dict)
        for key in ("tokens", "text_bytes", *(["stories", "crc32"] if meta.get("format") else []), *split):
            check(f"{key} of {name}", split.get(key), int, at_least_0)
    for key in LEFT_OUT:
        if meta.get(key) is not None:
            check(key, meta[key], int, at_least_0)
    return meta


def is_tokenizer_of(text, meta):
    """Whether `text` is that of the tokenizer, a token on each line, that made the tokens which `meta` describes."""
    return tokenizer.sha256(text) == meta["tokenizer_sha256"] and len(text.splitlines()) == meta["vocab_size"] - 1


def prepared_already(folder, recipe, optional):
    """The contents of meta.json if `folder` is whole and `recipe` made it, or None where something is missing.

    optional: the keys that are in a recipe only where their options are given. Raises UserError where another recipe
    made it, or where it holds files that prepare.py did not write.
    """
    files = [name for name in PREPARED_FILES if current(folder, name).exists()]
    try:
        meta = read_meta(folder)
    except (OSError, ValueError):
        if files and "tokenizer.tiktoken" not in files:
            raise UserError(
                f"{folder} has a {files[0]} that prepare.py did not write: move it, give another --name, or overwrite"
                " it with --force"
            ) from None
        return None
    try:
        sizes = {name: current(folder, f"{name}.bin").stat().st_size for name in ("train", "validation")}
        whole = is_tokenizer_of(current(folder, meta["tokenizer"]).read_text(), meta)
    except (OSError, ValueError):
        return None
    if not whole or any(size != 2 * meta["splits"][name]["tokens"] for name, size in sizes.items()):
        return None
    for key in (*recipe, *(key for key in optional if key not in recipe)):
        if meta.get(key) == recipe.get(key):
            continue
        if key == "vocab_size" and meta.get("asked_vocab_size") == recipe[key]:
            continue  # it was more than the stories have
        if key == "source_stamp":
            was = "its source has changed"
            if "format" not in meta:
                was = "an earlier version of prepare.py did it, which kept no record of each file of the source"
        elif key in optional and key not in meta:
            was = f"it was made without --{key}"
        else:
            was = f"it was made with {key} {meta.get(key)}"
        raise UserError(f"{folder} is prepared already, but {was}: --force rebuilds it, --name puts this one beside it")
    return meta
