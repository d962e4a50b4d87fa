"""What the tables of experiments share: how a row is read, added and described, and how a picture is saved.

`read_table` is the one door: a table is {column: Cell of cells.py}, and behind it each cell is what its column says.
"""

import csv
import io
import shlex
import time

from slm.config import OPTIONS
from slm.errors import UserError, counted, first_line
from slm.files import atomic_write, make_folder, read_regular

LARGEST_TABLE = 2**26  # bytes
# options that no table lists: the seed has its column, and the others change nothing that is learned
NOT_LISTED = {"seed", "out_dir", "eval_interval", "log_interval", "sample_prompt"}


def split_arguments(text):
    """A text of train.py's arguments, split as a shell does. Raises UserError."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(f"{text!r} are no arguments of train.py: {error}") from error


def as_arguments(options):
    """{name: value} as train.py's arguments, those of NOT_LISTED and the defaults left out."""
    listed = {name: value for name, value in options.items() if name not in NOT_LISTED}
    return shlex.join(f"--{name}={value}" for name, value in listed.items() if value != OPTIONS[name].default)


def options_of(described):
    """The column `options` of a table, from what config.json says of a run."""
    return as_arguments({name: option["value"] for name, option in described["options"].items()})


def produced_by(described):
    """The last columns of a table, from what config.json says of a run."""
    return {
        "device": described["device"],
        "torch": described["versions"]["torch"],
        "commit": (described["git_commit"] or "")[:9] + ("+" if described["git_dirty"] else ""),
        "date": time.strftime("%Y-%m-%d"),
    }


def read_table(path, columns):
    """The rows of a table as dicts of text, [] where there is none. columns: {name: Cell of cells.py}.

    Raises UserError, which names the line and the column, where a spreadsheet, or a crash, has left something else.
    """
    if not path.exists():
        return []
    rows = []
    try:
        text = read_regular(path, LARGEST_TABLE).decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        if next(lines, []) != list(columns):
            raise ValueError(f"its first line is not {','.join(columns)}")
        for cells in lines:
            if len(cells) != len(columns):
                raise ValueError(f"line {lines.line_num} has {counted(len(cells), 'cell')}, not {len(columns)}")
            rows.append(dict(zip(columns, (cell if cell.strip() else "" for cell in cells), strict=True)))
            for name, cell in columns.items():
                cell.check(rows[-1], name, f"{name} in line {lines.line_num}")
    except (OSError, ValueError, csv.Error, UserError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UserError(f"{path} is not as this program wrote it ({reason}): undo the change, or move it") from error
    return rows


def add(path, columns, *rows):
    """Add rows, {column: value}, to a table, which is whole at any time, also where two programs add to it."""
    try:
        make_folder(path.parent, "give another name")
        with atomic_write(path) as file:  # locked from here to its name
            text = io.StringIO()
            writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows([*read_table(path, columns), *rows])
            file.write(text.getvalue().encode())
    except UserError as error:
        raise UserError(f"{error}; so this is not in it: {rows}") from error


def save(figure, path):
    """Write a pyplot figure as a PNG, and close it."""
    from matplotlib import pyplot

    with atomic_write(path) as file:
        figure.savefig(file, dpi=120, format="png")
    pyplot.close(figure)
