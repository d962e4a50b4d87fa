"""Rows of a table: one that cannot be read, a column that is missing, a value that is no text."""

import re
from typing import NamedTuple

from slm.errors import UserError

LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half of a character, which JSON can spell and UTF-8 cannot
LONGEST_NAME = 64  # letters of a column's name; a longer one is a row
NAMES_SHOWN = 12
MESSAGES = "holds lists, such as the messages of a chat, not text: write each as one text into a column first"


class BadRow(NamedTuple):
    """A row without a text that can be read: skipped, counted, and named if it is the first."""

    where: str
    reason: str


def check_column(column, columns, where):
    """Raise UserError where `column` is not exactly one of `columns`."""
    found = list(columns).count(column)
    if not found:
        fix = f"give --text_column one of {listed(columns)}" if columns else "it has none"
        raise UserError(f"{where} has no column {column!r}: {fix}")
    if found > 1:
        raise UserError(f"{where} has {found} columns named {column!r}: rename all but one")


def listed(names):
    """The first names of a list, for a line."""
    names = [str(name) if len(str(name)) <= LONGEST_NAME else str(name)[:LONGEST_NAME] + "..." for name in names]
    return ", ".join(names[:NAMES_SHOWN]) + (
        f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    )


def not_a_text(text):
    """Why a value is no text, or None: a str that UTF-8 can write, or a missing value."""
    if text is None:
        return None
    if not isinstance(text, str):
        kinds = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
        return f"{kinds.get(type(text), type(text).__name__)}, not text"
    if text.isascii() or not LONE_SURROGATE.search(text):
        return None
    return "not UTF-8, or has half of a surrogate pair in it"
