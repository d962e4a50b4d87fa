"""slm/options.py: the options of sample.py and of the other scripts that argparse reads."""

import math

import pytest
from conftest import call, parse_options, parser_of
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.errors import UserError, printable
from slm.options import (
    OptionParser,
    add_model_option,
    add_sampling_options,
    sampling_arguments,
    whole_numbers,
    wrap_doc,
)


def parse(monkeypatch, *arguments, **defaults):
    monkeypatch.setattr("sys.argv", ["script.py", *arguments])
    parser = OptionParser("A script.")
    parser.option("--name", "x", "a name")
    parser.option("--loud", False, "a flag, 100 % loud")
    parser.option("--list", "3,5", "numbers", whole_numbers, at_least=0)
    parser.option("--note", "", "may be empty")
    parser.texts_option("--text", "a text")
    add_model_option(parser)
    add_sampling_options(parser, **defaults)
    return parser.parse()


def test_defaults_and_types(monkeypatch):
    options = parse(monkeypatch)
    assert (options.name, options.loud, options.num_samples, options.seed) == ("x", False, 1, None)
    assert sampling_arguments(options) == {"temperature": 0.8, "top_k": 200, "top_p": 1.0}
    options = parse(monkeypatch, "--loud", "--top_k", "0", "--top_p=0.5", "--name", "y")
    assert (options.name, options.loud, options.top_k, options.top_p) == ("y", True, 0, 0.5)
    assert options.list == [3, 5] and parse(monkeypatch, "--list=8", "--note=").list == [8]
    options = parse(monkeypatch, num_samples=20, seed=7)
    assert (options.num_samples, options.seed) == (20, 7)


def test_help_shows_the_defaults(monkeypatch, capsys):
    with pytest.raises(SystemExit) as leaving:
        parse(monkeypatch, "--help")
    out = " ".join(capsys.readouterr().out.split())
    assert leaving.value.code == 0 and "A script." in out
    assert "a name (default: x)" in out and "(default: 200)" in out and "a flag, 100 % loud --list" in out


def test_texts_may_begin_with_a_dash(monkeypatch):
    options = parse(monkeypatch, "--text", "--not_an_option", "--text=a", "--name", "y", "--text", "-b")
    assert options.text == ["--not_an_option", "a", "-b"] and options.name == "y"
    assert parse(monkeypatch).text == [] == parse(monkeypatch).text
    with pytest.raises(UserError, match="expected one argument"):
        parse(monkeypatch, "--text", "--name", "y")


def test_an_alias(monkeypatch, capsys):
    assert parse(monkeypatch).model is None
    assert parse(monkeypatch, "--out_dir=x").model == parse(monkeypatch, "--model", "x").model == "x"
    with pytest.raises(SystemExit):
        parse(monkeypatch, "--help")
    assert "--out_dir" not in capsys.readouterr().out


def test_what_a_value_is_called(monkeypatch, capsys):
    """A number, a share, or what the option is called: no first letters."""
    with pytest.raises(SystemExit):
        parse(monkeypatch, "--help")
    out = capsys.readouterr().out
    for words in ("--name NAME", "--text TEXT", "--model MODEL", "--top_k N", "--top_p F", "--seed N"):
        assert f"  {words} " in out or f"  {words}\n" in out, words


DOC = """What it is, in a line.

    python script.py config/tinystories.py --learning_rate=5e-4   any option of the recipe can be overridden by you
    python script.py short                                        brief, and
                                                                  on a second line

A paragraph that is long enough to be wrapped at eighty columns, because it goes on and on, with a `--long-option`.
"""


@pytest.mark.parametrize("width", [40, 78, 118])
def test_docs_are_wrapped(width):
    wrapped = wrap_doc(DOC, width)
    assert wrapped.replace(" \\\n", "\n").split() == DOC.split()
    lines = wrapped.splitlines()
    assert max(map(len, lines)) <= width
    assert any(line == "    python script.py config/tinystories.py --learning_rate=5e-4" for line in lines) == (
        60 < width < 110
    )
    assert (width == 40) == ("    python script.py \\\n        config/tinystories.py \\\n        --learning" in wrapped)


WITHOUT_PARSER = ["train.py", "bench.py", *(f"experiments/{name}.py" for name in ("start", "step_profile"))]


@pytest.mark.parametrize("script", ["sample.py", "export.py", "prepare.py", "evaluate.py", *WITHOUT_PARSER])
@pytest.mark.parametrize("width", [80, 500])
def test_help_fits_a_terminal(monkeypatch, script, width):
    monkeypatch.setenv("COLUMNS", str(width))
    result = call(script, "--help")
    assert result.status == 0 and max(map(len, result.out.splitlines())) <= min(width, 120)


MISTAKES = {
    "--nmae=y": "unknown option --nmae=y; did you mean --name?",
    "--top_k=few": "few",
    "--nam=y": "did you mean --name?",  # an option's beginning is not the option
    "Once upon a time": "'Once upon a time' has no option name in front of it",
    "--seed": "expected one argument",
    "--seed=--": "--seed needs a value, not --",
    "--sed=--": "unknown option --sed=--; did you mean --seed?",
    "--model=": "--model needs a value, and what is given is empty",
    "--seed=7.5": "--seed must be a whole number, not '7.5'",
    "--top_p=high": "--top_p must be a number, not 'high'",
    "--list=1,,2": "--list must be whole numbers, as in 1,2,4, not '1,,2'",
    "--list=1,-2": "--list must be 0 or above, not -2",
}


@pytest.mark.parametrize("argument", MISTAKES)
def test_mistakes(monkeypatch, argument):
    with pytest.raises(UserError) as raised:
        parse(monkeypatch, argument)
    assert MISTAKES[argument] in str(raised.value)


BOUNDS = {
    "num_samples": ([1, 100], [0, -3, 10**9]),
    "max_new_tokens": ([1], [0]),
    "temperature": ([0.0, 0.5, 9.0], [-0.1, "inf", "nan", "1e999"]),
    "top_k": ([0, 1], [-1]),
    "top_p": ([0.01, 1.0], [0.0, 1.01, "nan"]),
    "seed": ([0, 2**63 - 1], [-1, 2**63]),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds(monkeypatch, name):
    good, bad = BOUNDS[name]
    for value in good:
        assert getattr(parse(monkeypatch, f"--{name}={value}"), name) == value
    for value in bad:
        with pytest.raises(UserError, match=f"--{name} must be .*, not '?{value}"):
            parse(monkeypatch, f"--{name}={value}")


# -- any text as a value ----------------------------------------------------------------------------------------------

SCRIPTS = ["sample.py", "prepare.py", "evaluate.py", "export.py"]
SCRIPTS += [f"experiments/{name}.py" for name in ("generate", "levers", "runs", "scaling", "sense_study")]
NUMBERS = st.one_of(st.integers(), st.floats(), st.integers(-(2**70), 2**70), st.decimals()).map(str)
LISTS = st.lists(NUMBERS | st.just(""), max_size=3).map(",".join)
ODD = st.sampled_from(
    ["", " ", "--", "-", "=", "=--", "1e5", "1_0", "0x1", "\u0663", "\u00bd", "+1", "9" * 5000, "1e400"]
)


@settings(derandomize=True, max_examples=150, deadline=None, database=None)
@given(data=st.data(), text=NUMBERS | LISTS | ODD | st.text(max_size=9))
def test_any_text_as_the_value_of_any_option(data, text):
    """A sentence in one line, or a value that the option can mean: no NaN, no infinity, no empty text for a name."""
    script = data.draw(st.sampled_from(SCRIPTS))
    parser = parser_of(script)
    actions = [action for action in parser._actions if action.option_strings and action.nargs is None]
    if not actions:
        return
    action = data.draw(st.sampled_from(actions))
    positional = ["x"] * sum(not action.option_strings and action.nargs is None for action in parser._actions)
    try:
        value = getattr(parse_options(script, [f"{action.option_strings[0]}={text}", *positional]), action.dest)
    except UserError as error:
        assert len(printable(error)) < 300 and action.option_strings[0] in str(error)
        return
    if action.option_strings[0] == parser.text_name:
        assert value == [text]
        return
    assert value or value == 0 or action.default == ""
    for number in value if isinstance(value, list) else [value]:
        assert not isinstance(number, float) or math.isfinite(number)
        assert not isinstance(number, int) or abs(number) < 2**63
