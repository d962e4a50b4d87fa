"""experiments/start.py: the seconds of a command's parts."""

import importlib
import operator
from types import SimpleNamespace

import pytest
from conftest import SMALL_RUN, assert_mistake, call

from experiments import start


def test_parts_contain_each_other(monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr(start.time, "time", lambda: next(now))
    clock = start.Clock(0)
    things = SimpleNamespace(inner=lambda x: x + 1, outer=lambda x: things.inner(x) + things.inner(x))
    clock.watch(things, "inner", "in")
    clock.watch(things, "outer", "out")
    assert things.outer(1) == 4
    assert things.inner(1) == 2
    assert clock.parts == {("out",): [5, 1], ("out", "in"): [2, 2], ("in",): [1, 1]}


def test_mistakes(here):
    assert_mistake(call("experiments/start.py", "--maxiters=3"), "--maxiters", "max_iters")
    assert_mistake(call("experiments/start.py", "no.py"), "no.py")


def test_a_part_that_fails_is_counted_and_its_error_raised():
    clock = start.Clock(0)
    things = SimpleNamespace(broken=lambda: 1 / 0)
    clock.watch(things, "broken", "a part")
    with pytest.raises(ZeroDivisionError):
        things.broken()
    assert clock.parts["a part",][1] == 1 and clock.path == ()


def test_the_parts_are_functions_of_the_program():
    for module, functions in start.PARTS.items():
        for name in functions:
            assert callable(operator.attrgetter(name)(importlib.import_module(module)))


@pytest.mark.slow
def test_a_table_of_two_runs(here, monkeypatch, capfd):
    """The parts of a run happen within it, and both runs have the same."""
    monkeypatch.setattr("sys.argv", ["start.py", *[option for option in SMALL_RUN if "out_dir" not in option]])
    start.main()
    lines = capfd.readouterr().out.splitlines()
    rows = {line[:46].strip(): [float(cell) for cell in line[46:].split()] for line in lines[2:]}
    assert all(len(cells) == 2 for cells in rows.values())
    for run in (0, 1):
        whole, first = rows["THE PROMPT IS BACK"][run], rows["FIRST STEP DONE"][run]
        assert rows["PYTHON BEGAN"][run] + rows["import torch"][run] + rows["make the steps"][run] < first < whole
    assert "validation" in "".join(rows)
