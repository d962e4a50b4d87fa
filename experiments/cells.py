"""What the columns of the tables of experiments hold."""

from typing import NamedTuple

from slm.values import LARGEST, check_bounds, shown

WORDS = {int: "a whole number", float: "a number"}


class Cell(NamedTuple):
    """What a column of a table holds: text or a number within bounds.

    bounds: arguments of `check_bounds`; a number without them may be NaN. needed: whether it may not be empty, a
    function of the row.
    """

    kind: type = str
    bounds: dict = {}  # noqa: RUF012 - nobody changes it
    needed: object = lambda row: True

    def check(self, row, name, where):
        """Raise ValueError or UserError, which begins with `where`, unless row[name] is such a cell."""
        cell = row[name]
        if not cell:
            if self.needed(row):
                raise ValueError(f"{where} is empty")
            return
        try:
            value = self.kind(cell)
        except ValueError as error:
            raise ValueError(f"{where} must be {WORDS[self.kind]}, not {shown(cell)}") from error
        check_bounds(where, value, **self.bounds)

    def needed_where(self, needed):
        """The same, needed in the rows for which needed(row) is true."""
        return self._replace(needed=needed)

    def or_empty(self):
        return self.needed_where(lambda row: False)


NAME = Cell()
TEXT = NAME.or_empty()
COUNT = Cell(int, {"above": 0, "below": LARGEST})
SEED = Cell(int, {"at_least": 0, "below": LARGEST})
SECONDS = Cell(float, {"at_least": 0})
SHARE = Cell(float, {"at_least": 0, "at_most": 1})
LOSS = Cell(float)  # NaN where a run has diverged
PRODUCED_BY = dict.fromkeys(("device", "torch", "commit", "date"), TEXT)
