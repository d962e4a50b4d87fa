"""slm/options.py: the options of sample.py and of the other scripts that argparse reads."""

import argparse

import pytest

from slm.errors import UserError
from slm.options import OptionParser, add_sampling_options, sampling_arguments


def parse(monkeypatch, *arguments, **defaults):
    monkeypatch.setattr("sys.argv", ["script.py", *arguments])
    parser = OptionParser("A script.")
    parser.option("--name", "x", "a name")
    parser.option("--loud", False, "a flag")
    add_sampling_options(parser, **defaults)
    return parser.parse()


def test_defaults_and_types(monkeypatch):
    options = parse(monkeypatch)
    assert (options.name, options.loud, options.num_samples, options.seed) == ("x", False, 1, None)
    assert sampling_arguments(options) == {"temperature": 0.8, "top_k": 200, "top_p": 1.0}
    options = parse(monkeypatch, "--loud", "--top_k", "0", "--top_p=0.5", "--name", "y")
    assert (options.name, options.loud, options.top_k, options.top_p) == ("y", True, 0, 0.5)
    options = parse(monkeypatch, num_samples=20, seed=7)
    assert (options.num_samples, options.seed) == (20, 7)


def test_help_shows_the_defaults(monkeypatch, capsys):
    with pytest.raises(SystemExit) as leaving:
        parse(monkeypatch, "--help")
    out = " ".join(capsys.readouterr().out.split())
    assert leaving.value.code == 0 and "A script." in out
    assert "a name (default: x)" in out and "(default: 200)" in out and "a flag (" not in out


MISTAKES = {
    "--nmae=y": "unknown option --nmae=y; did you mean --name?",
    "--top_k=few": "few",
    "--nam=y": "did you mean --name?",  # an option's beginning is not the option
    "Once upon a time": "'Once upon a time' has no option name in front of it",
    "--seed": "expected one argument",
}


@pytest.mark.parametrize("argument", MISTAKES)
def test_mistakes(monkeypatch, argument):
    with pytest.raises(UserError) as raised:
        parse(monkeypatch, argument)
    assert MISTAKES[argument] in str(raised.value)


BOUNDS = {
    "num_samples": ([1, 100], [0, -3]),
    "max_new_tokens": ([1], [0]),
    "temperature": ([0.0, 0.5, 9.0], [-0.1, float("inf"), float("nan")]),
    "top_k": ([0, 1], [-1]),
    "top_p": ([0.01, 1.0], [0.0, 1.01, float("nan")]),
    "seed": ([None, 0, 2**63 - 1], [-1, 2**63]),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds(name):
    sound = dict(num_samples=1, max_new_tokens=1, temperature=0.8, top_k=0, top_p=1.0, seed=None)
    good, bad = BOUNDS[name]
    for value in good:
        sampling_arguments(argparse.Namespace(**sound | {name: value}))
    for value in bad:
        with pytest.raises(UserError, match=f"--{name} must be .*, not"):
            sampling_arguments(argparse.Namespace(**sound | {name: value}))
