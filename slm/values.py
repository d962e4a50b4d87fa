"""Values that a file holds: their types, their ranges, and how a sentence shows one."""

import reprlib

from slm.errors import UserError, first_line

LARGEST = 2**64  # of whole numbers: a seed comes near it


def is_valid(value, kind, at_least=None, above=None, below=None):
    """Whether a value has the type `kind`, an int being a fine float, and is within the bounds; NaN is within none."""
    fits = abs(value) < LARGEST if type(value) is int and kind in (int, float) else type(value) is kind
    return (
        fits
        and (at_least is None or value >= at_least)
        and (above is None or value > above)
        and (below is None or value < below)
    )


def check_bounds(name, value, at_least=None, above=None, below=None, at_most=None):
    """Raise UserError where a number is not within the bounds of its option; NaN is within none."""
    if at_least is not None and not value >= at_least:
        raise UserError(f"{name} must be {'above 0' if at_least == 1 else f'{at_least} or above'}, not {value}")
    if above is not None and not value > above:
        raise UserError(f"{name} must be above {above}, not {value}")
    if below is not None and not value < below:
        raise UserError(f"{name} must be below {below:,}, not {value}")
    if at_most is not None and not value <= at_most:
        raise UserError(f"{name} must be {at_most} or below, not {value}")


def check_values(values, table, where):
    """Raise UserError, which begins with `where`, unless `values` is a dict whose values are as `table` says.

    table: {key: arguments of `is_valid` after the value}. Other keys are as they are; one that is missing is an error.
    """
    if not isinstance(values, dict):
        raise UserError(f"{where} are damaged ({shown(values)} in their place): use another file")
    for name, expected in table.items():
        if name not in values:
            raise UserError(f"{where} are damaged (no {name}): use another file")
        if not is_valid(values[name], *expected):
            raise UserError(f"{where} are damaged ({name} is {shown(values[name])}): use another file")


def shown(value):
    """A value from a file as short text in one line."""
    try:
        return first_line(reprlib.repr(value), 60)
    except (ValueError, RecursionError):  # Python writes no whole number of more than 4,300 digits
        return f"a huge {type(value).__name__}"
