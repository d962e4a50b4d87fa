"""log.csv, a run's measurements, and loss.png, the curve that is drawn from it."""

import codecs
import csv
import math
import warnings

from slm.errors import UserError, counted
from slm.files import atomic_write, free_name, read_regular

LARGEST_LOG = 2**28  # bytes; three million lines

LOG_FIELDS = ["step", "tokens", "seconds", "train_loss", "val_loss", "val_bpb", "lr", "grad_norm"]


class Log:
    """log.csv: a line every log_interval steps and at each validation; a field without a measurement is empty."""

    def __init__(self, path, last_step, print_line=print):
        """Of an earlier run's lines those up to `last_step` stay, with all their fields.

        Where the file holds something else, such as a note that somebody added, a copy of the whole stays too.
        """
        self.path = path
        rows, unreadable = parse_log(path) if last_step else ([], 0)
        if unreadable:
            kept = free_name(path)
            path.rename(kept)
            lines = counted(unreadable, "of its lines is", "of its lines are")
            print_line(f"kept     {path} as {kept}: {lines} not this program's")
        self.rows = [row for row in rows if int(row["step"]) <= last_step]
        if last_step and int(self.rows[-1]["step"] if self.rows else 0) < last_step:
            print_line(f"missing  lines of {path}: the run has logged up to step {last_step:,}")
        self.fields = list(dict.fromkeys([*LOG_FIELDS, *(name for row in self.rows[:1] for name in row)]))
        self.unwritten = 0  # how many of the last rows are not in the file yet
        self.rewrite = True  # whether the next write is of the whole file
        self.flush()

    def add(self, line):
        """Add a line, {field: number}, which `flush` writes. A field that is new becomes one more column."""
        row = {name: str(line[name]) if isinstance(line[name], int) else f"{line[name]:.7g}" for name in line}
        new_fields = [name for name in row if name not in self.fields]
        self.fields += new_fields
        self.rewrite |= bool(new_fields)
        self.rows.append(row)
        self.unwritten += 1

    def flush(self):
        """Append the newest line; with a new field, or after a failure, write the whole file. Raises OSError."""
        if self.rewrite:
            with atomic_write(self.path) as file:
                file.write((",".join(self.fields) + "\n" + self.as_text(self.rows)).encode())
        else:
            self.rewrite = True  # a failure may cut the line off
            with open(self.path, "a", newline="") as file:
                file.write(self.as_text(self.rows[-1:]))
        self.rewrite, self.unwritten = False, 0

    def as_text(self, rows):
        return "".join(",".join(row.get(name, "") for name in self.fields) + "\n" for row in rows)


def read_log(path):
    """The rows of a log.csv as dicts of text, [] where there is none; what is no row of numbers is left out."""
    return parse_log(path)[0]


def read_sense(path, step):
    """{name: share of pairs} that `train.py --sense` wrote into a log.csv at `step`, {} where it wrote none."""
    rows = [row for row in read_log(path) if int(row["step"]) == step]
    return {
        name.removeprefix("sense_"): float(value)
        for row in rows
        for name, value in row.items()
        if name.startswith("sense_") and value
    }


def parse_log(path):
    """(rows, unreadable) of a log.csv; unreadable: how many of its lines are no rows of numbers.

    A crash may have cut the last line off: it counts only where it is a row and has its end. A spreadsheet may have
    saved the file: with a byte order mark, semicolons and commas in numbers, or in another encoding than UTF-8.
    """
    if not path.is_file():
        return [], 0
    try:
        contents = read_regular(path, LARGEST_LOG)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): change its permissions") from error
    except ValueError:
        return [], 1
    utf16 = contents.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = contents.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")
    lines = text.splitlines()[: None if text.endswith(("\n", "\r")) else -1]  # half a number is a number too
    header = lines[0] if lines else ""
    delimiter = max(",;\t", key=header.count)
    fields = [name.strip().strip('"') for name in header.split(delimiter)]
    rows, unreadable = [], 0
    for number, line in enumerate(lines[1:], 2):
        cells = [cell.strip().replace(",", ".") for cell in read_cells(line, delimiter)]
        row = dict(zip(fields, cells, strict=False))
        if len(cells) == len(fields) and is_step(row.get("step", "")) and all(map(is_number, cells)):
            rows.append(row)
        elif any(cells) and number < len(lines):
            unreadable += 1
    return rows, unreadable + ("step" not in fields and bool(lines))


def read_cells(line, delimiter):
    """The cells of a line, of which none goes on in the next line."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # longer than any cell of a table
        return [line]


def is_step(text):
    return text.isdecimal() and len(text) < 19  # Python makes no number of more than 4,300 digits


def is_number(text):
    """Whether a cell is empty or a number."""
    try:
        return not text or isinstance(float(text), float)
    except ValueError:
        return False


def draw_losses(rows, path, title):
    """Draw the losses of log.csv's rows over the steps as a PNG, without the fall of the first steps.

    Where the rows have the shares of --sense, they are a second panel.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    senses = sorted({name for row in rows for name in row if name.startswith("sense_") and row[name]})
    figure, panels = pyplot.subplots(1 + bool(senses), figsize=(8, 10 if senses else 5), squeeze=False)
    axes = panels[0, 0]
    shown = []
    for name, style, first in (("train_loss", "-", 0.03), ("val_loss", "o-", 0)):
        points = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=name.replace("_", " "), markersize=4, linewidth=1.2)
        shown += [loss for _, loss in points[int(first * len(points)) :] if math.isfinite(loss)]
    if shown:  # the first steps fall so far that they would leave the rest a flat line
        margin = 0.05 * (max(shown) - min(shown)) or 0.1
        axes.set_ylim(min(shown) - margin, max(shown) + margin)
    axes.set(xlabel="optimizer step", ylabel="loss, nats per token")
    axes.set_title(title, parse_math=False)
    axes.grid(alpha=0.3)
    axes.legend()
    for number, name in enumerate(senses):
        points = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
        style = ("-", "--", ":")[number // 10 % 3]  # ten colours
        panels[1, 0].plot(*zip(*points, strict=True), style, label=name.removeprefix("sense_"), linewidth=1.2)
    if senses:
        panels[1, 0].set(xlabel="optimizer step", ylabel="share of pairs that are right", ylim=(-0.03, 1.03))
        panels[1, 0].grid(alpha=0.3)
        panels[1, 0].legend(ncols=2, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
        figure.tight_layout()
    with warnings.catch_warnings(), atomic_write(path) as file:
        warnings.simplefilter("ignore")  # a letter of the title that the font lacks
        figure.savefig(file, dpi=120, format="png")
    pyplot.close(figure)
