"""slm/config.py: what a configuration file and a command line may hold, which wins, and what a mistake gets."""

import re

import pytest
from conftest import ROOT

from slm.config import OPTIONS, SHORTENED_WARMUP, TrainConfig, config_help, merge_config
from slm.config_parser import parse_command_line, read_config_file
from slm.errors import UserError

RECIPES = sorted(path.name for path in (ROOT / "config").glob("*.py"))


@pytest.fixture
def config_file(tmp_path):
    """A function that writes a configuration file and returns its path."""

    def write(text, **options):
        (tmp_path / "c.py").write_text(text, **options)
        return tmp_path / "c.py"

    return write


# -- files ------------------------------------------------------------------------------------------------------------


def test_values_are_literals_and_arithmetic(config_file):
    lines = [
        '"""A recipe."""',
        "batch_size = 4 * 8  # comment",
        "learning_rate = 1",
        "min_lr = 1e-3 / 2",
        "max_iters = 2**10 - 7 % 4",
        "seed = -(-5) // 2",
        'dataset = "x"',
        "bias=False",
    ]
    assert read_config_file(config_file("\n".join(lines))) == {
        **{"batch_size": 32, "learning_rate": 1.0, "min_lr": 5e-4, "max_iters": 1021, "seed": 2, "dataset": "x"},
        "bias": False,
    }


@pytest.mark.parametrize(
    "line",
    ['__import__("os").mkdir("harm")', 'dataset = open("harm", "w")', "import os", "x: int = 1", "f()", "a = b = 1"],
)
def test_a_file_is_never_executed(config_file, monkeypatch, line):
    path = config_file(f"max_iters = 3\n{line}\n")
    monkeypatch.chdir(path.parent)
    with pytest.raises(UserError, match=r"c\.py, line 2"):
        read_config_file(path)
    assert not (path.parent / "harm").exists()


WRONG_LINES = {
    "max_iters = lr_decay_iters": "max_iters: a value cannot name another option: write the value of lr_decay_iters",
    "warmup_iters = max_iters // 10": "write the value of max_iters",
    "dataset = sample": "dataset: text needs quotes: 'sample'",
    "learning_rat = 1": "line 1: unknown option learning_rat; did you mean learning_rate?",
    "lr = 1e-3": "unknown option lr; here it is learning_rate",
    "max_iters = 1.5": "max_iters must be a whole number, not 1.5",
    "max_iters = '10'": "max_iters must be a whole number, not '10'",
    "max_iters = True": "max_iters must be a whole number, not True",
    "compile = 1": "compile must be True or False, not 1",
    "dataset = 3": "dataset must be text in quotes, not 3",
    "dataset = 'a' 'b' + 'c'": "dataset: a value is a literal or arithmetic on numbers",
    "learning_rate = 1 / 0": "learning_rate: division by zero",
    "max_iters = 9**9**9": "max_iters: an exponent is at most 64",
    "max_iters = 9**64": "max_iters: the number is too large",
    "learning_rate = 1e999": "learning_rate: the number is too large",
    "max_iters = (3": "line 1: not a `name = value` line",
    "max_iters\\0 = 3": "not a `name = value` line",
    "max_iters = 1\\\nif True: pass": "not a `name = value` line",
}


HARMFUL = [
    "9**64**64",
    "(" * 500 + "1" + ")" * 500,
    "+" * 5000 + "1",
    "1" + "+1" * 50000,
    "9" * 400,
    "2**64" + "**64" * 9,
    "'a' * 10**9",
]
HARMFUL += ["-" * 200000 + "1", "[" * 100000, "1e308*10", "(-8)**0.5", "10**60*10**60", "'\\ud800'"]


@pytest.mark.parametrize("value", HARMFUL, ids=range(len(HARMFUL)))
@pytest.mark.parametrize("name", ["max_iters", "learning_rate", "dataset"])
def test_a_strangers_file_can_do_no_harm(config_file, name, value):
    """Neither time nor memory nor a traceback: a sentence, or a harmless value."""
    try:
        read_config_file(config_file(f"{name} = {value}"))
    except UserError as error:
        assert "c.py" in str(error) and len(str(error)) < 1000


@pytest.mark.parametrize("line", WRONG_LINES)
def test_a_wrong_line(config_file, line):
    with pytest.raises(UserError) as raised:
        read_config_file(config_file(line.replace("\\0", "\0")))
    assert "c.py" in str(raised.value) and WRONG_LINES[line] in str(raised.value)


def test_files_of_other_editors(config_file):
    """A byte-order mark, Windows' line ends and UTF-16 are read; another encoding is one sentence."""
    assert read_config_file(config_file("max_iters = 5\r\nseed = 1\r\n", encoding="utf-8-sig")) == {
        "max_iters": 5,
        "seed": 1,
    }
    assert read_config_file(config_file("max_iters = 5", encoding="utf-16")) == {"max_iters": 5}  # PowerShell's `>`
    with pytest.raises(UserError, match=r"c\.py is not UTF-8 \(.* at byte 11\): save it as UTF-8"):
        read_config_file(config_file("dataset = '\u00e9'", encoding="latin-1"))


def test_a_file_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no configuration file config/nothing.py; there are .*config/sample\.py"):
        read_config_file("config/nothing.py")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "mine.py").touch()
    with pytest.raises(UserError, match=r"there are config/mine\.py$"):
        read_config_file("config/nothing.py")


NANOGPT = """# train a miniature character-level shakespeare model
out_dir = 'out-nano'
eval_interval = 5 # often
eval_iters = 2
log_interval = 1

# we expect to overfit on this small dataset, so only save when val improves
always_save_checkpoint = False
wandb_log = False # override via command line if you like
wandb_project = 'nano'
wandb_run_name='mini'
dataset = 'small'
gradient_accumulation_steps = 5 * 8
batch_size = 4
beta2 = 0.99
backend = 'nccl'
# on macbook also add
# device = 'cpu'  # run on cpu only
compile = False # do not torch compile the model
"""


def test_a_nanogpt_file(config_file, capsys, monkeypatch):
    """Its habits (quotes, comments, arithmetic, no space) are read; a name without meaning here gets one line."""
    values = read_config_file(config_file(NANOGPT))
    assert values["gradient_accumulation_steps"] == 40 and values["wandb_run_name"] == "mini"
    assert values["compile"] is False and values["backend"] == "nccl"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("c.py: ignored always_save_checkpoint, which has no meaning here")
    monkeypatch.setenv("RANK", "1")  # of several processes, the first prints it
    assert read_config_file(config_file(NANOGPT)) == values and capsys.readouterr().err == ""


# -- the command line -------------------------------------------------------------------------------------------------


def test_ways_to_write_an_option():
    text = "--batch_size=4 c.py --learning_rate 1 --bias=false --dataset=12 --eval_only --max_iters 2*5"
    path, values = parse_command_line([*text.split(), "--compile", "False", "--wandb_log", "--seed=3"])
    assert path == "c.py"
    assert values == {
        **{"batch_size": 4, "learning_rate": 1.0, "bias": False, "dataset": "12", "eval_only": True, "max_iters": 10},
        **{"compile": False, "wandb_log": True, "seed": 3},
    }


def test_whole_numbers_of_another_spelling():
    assert parse_command_line(["--max_iters=1e4", "--batch_size=2.0"])[1] == {"max_iters": 10000, "batch_size": 2}


WRONG_ARGUMENTS = {
    ("--learning_rat=1",): "unknown option --learning_rat; did you mean learning_rate?",
    ("--n-layer=2",): "unknown option --n-layer; did you mean n_layer?",
    ("--batch_size=many",): "batch_size must be a whole number, not 'many'",
    ("--max_iters=1.5",): "max_iters must be a whole number, not 1.5",
    ("--bias=maybe",): "bias must be True or False, not 'maybe'",
    ("--learning_rate=1e",): "learning_rate must be a number, not '1e'",
    ("--batch_size",): "--batch_size needs a value",
    ("--out_dir", "--max_iters=3"): "--out_dir needs a value",
    ("--learning_rate=1e999",): "learning_rate must be a number, not '1e999'",
    ("--max_iters=" + "9" * 5000,): "max_iters must be a whole number, not '999",
    ("--max_iters=" + "-" * 50000 + "1",): "max_iters must be a whole number, not '---",
    ("learning_rate=1e-3",): "an option begins with two dashes: --learning_rate=1e-3",
    ("-n_layer=4",): "an option begins with two dashes: --n_layer=4, not -n_layer=4",
    ("-x",): "unknown option -x",
    ("a.py", "b.py"): "give one configuration file, not two: a.py and b.py",
}


@pytest.mark.parametrize("arguments", WRONG_ARGUMENTS, ids=" ".join)
def test_wrong_arguments(arguments):
    with pytest.raises(UserError) as raised:
        parse_command_line(arguments)
    assert WRONG_ARGUMENTS[arguments] in str(raised.value)


OTHER_NAMES = {
    "lr": "learning_rate",
    "LR": "learning_rate",
    "epochs": "max_iters",
    "steps": "max_iters",
    "batch": "batch_size",
    "ctx": "block_size",
    "layers": "n_layer",
    "heads": "n_head",
    "dim": "n_embd",
    "wd": "weight_decay",
    "warmup": "warmup_iters",
    "grad_accum": "gradient_accumulation_steps",
    "output_dir": "out_dir",
}


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_what_other_programs_call_it(name):
    with pytest.raises(UserError, match=f"unknown option --{name}; here it is {OTHER_NAMES[name]}"):
        parse_command_line([f"--{name}=3"])


def test_help_names_every_option():
    for name, option in OPTIONS.items():
        assert re.search(rf"--{name}=.* {re.escape(option.metadata['help'])}", config_help()), name


# -- together ---------------------------------------------------------------------------------------------------------


def test_the_last_layer_wins():
    config, set_by = merge_config(("file", {"batch_size": 32, "min_lr": 1e-5}), ("command line", {"batch_size": 2}))
    assert (config.batch_size, config.min_lr, config.max_iters) == (2, 1e-5, TrainConfig.max_iters)
    assert (set_by["batch_size"], set_by["min_lr"], set_by["seed"]) == ("command line", "file", "default")
    assert set_by.keys() == OPTIONS.keys()


def test_the_folder_of_a_run(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert merge_config(("a test", {"dataset": "d"}))[0].out_dir == "out/d"
    assert merge_config(("a test", {"dataset": "d", "out_dir": "o"}))[0].out_dir == "o"
    assert merge_config(("a test", {"out_dir": "~/x"}))[0].out_dir == "/home/someone/x"


RECIPE = {"warmup_iters": 100, "max_iters": 1000}
WARM_UPS = {  # layers above the recipe: the warm-up that results
    "a shorter run": ([{"max_iters": 50}], 5),
    "a run of ten steps": ([{"max_iters": 10}], 1),
    "a run of three steps": ([{"max_iters": 3}], 0),
    "a shorter decay": ([{"lr_decay_iters": 80}], 8),
    "a run that is long enough": ([{"max_iters": 100}], 100),
    "a longer run": ([{"max_iters": 5000}], 100),
    "a warm-up in the same place": ([{"max_iters": 50, "warmup_iters": 40}], 40),
    "a warm-up above": ([{"max_iters": 50}, {"warmup_iters": 20}], 20),
}


@pytest.mark.parametrize("case", WARM_UPS)
def test_a_shortened_run_shortens_the_recipes_warm_up(case):
    layers, warm_up = WARM_UPS[case]
    layers = [(f"layer {number}", values) for number, values in enumerate([RECIPE, *layers])]
    config, set_by = merge_config(*layers)
    config.check()
    assert config.warmup_iters == warm_up
    given = any("warmup_iters" in values for _, values in layers[1:])
    assert (set_by["warmup_iters"] == SHORTENED_WARMUP) == (warm_up != 100 and not given)


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.type is str])
def test_a_text_that_is_empty(name, config_file):
    """A variable of the shell that is not set is a mistake, except where an empty text has a meaning."""
    has_meaning = name in ("out_dir", "sample_prompt", "wandb_run_name", "compile_cache")
    for read in (
        lambda: parse_command_line([f"--{name}="])[1],
        lambda: parse_command_line([f"--{name}", ""])[1],
        lambda: read_config_file(config_file(f"{name} = ''")),
    ):
        if has_meaning:
            assert read() == {name: ""}
        else:
            with pytest.raises(UserError, match=f"{name} needs a value, and what is given is empty"):
                read()


def test_the_end_of_a_decay_means_nothing_without_one():
    """A constant rate has its warm-up in the whole run."""
    layers = [("file", {"decay_lr": False, "max_iters": 20, "warmup_iters": 10}), ("line", {"lr_decay_iters": 5})]
    config, _ = merge_config(*layers)
    config.check()
    assert config.warmup_iters == 10


def test_a_warm_up_that_the_user_gives_is_never_shortened():
    config, _ = merge_config(("command line", {"max_iters": 50, "warmup_iters": 60}))
    with pytest.raises(UserError, match="warmup_iters 60 is longer than the run of 50 steps"):
        config.check()


CONTRADICTIONS = {
    "heads": ({"n_embd": 30, "n_head": 4}, "n_embd 30 is not divisible by n_head 4"),
    "a climb": ({"learning_rate": 1e-4, "min_lr": 5e-4}, "min_lr 0.0005 is above learning_rate 0.0001"),
    "dropout": ({"dropout": 1.5}, "dropout must be below 1, not 1.5"),
    "a restart of nothing": ({"warm_restart": True}, "warm_restart continues a run: give --init_from=resume too"),
    "negative": ({"weight_decay": -1.0}, "weight_decay must be 0 or above"),
    "zero": ({"batch_size": 0}, "batch_size must be 1 or above, not 0"),
    "warm-up of a longer decay": (
        {"max_iters": 12, "warmup_iters": 50, "lr_decay_iters": 100},
        "warmup_iters 50 is longer than the run of 12 steps",
    ),
    "seed": ({"seed": 10**20}, "seed must be below 9,223,372,036,854,775,808, not 100000000000000000000"),
}


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.type in (int, float)])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 10**30])
def test_every_number_has_bounds(name, value):
    config, _ = merge_config(("a test", {name: value}))
    with pytest.raises(UserError, match=f"^{name} must be "):
        config.check()


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions(case):
    values, words = CONTRADICTIONS[case]
    config, _ = merge_config(("a test", values))
    with pytest.raises(UserError) as raised:
        config.check()
    assert words in str(raised.value)


def test_a_constant_rate_may_lie_below_min_lr():
    merge_config(("a test", {"learning_rate": 1e-5, "decay_lr": False}))[0].check()


# -- recipes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_are_sound(recipe):
    config, _ = merge_config((recipe, read_config_file(ROOT / "config" / recipe)))
    config.check()
    assert config.out_dir in (f"out/{config.dataset}", f"out/{recipe.removesuffix('.py')}")
    assert config.max_iters % config.eval_interval == 0, "the last validation comes right after another"
