"""What is read back is checked at its door: a damaged file gives one sentence, never a traceback, a hang or a guess.

Each door is a function that reads a file and returns what the program would use. It is attacked with seeded damages:
cuts, flips, and values of other types and sizes.
"""

import contextlib
import copy
import dataclasses
import errno
import io
import json
import os
import random
import re
import shutil
import signal
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import SMALL_RUN, small_config
from safetensors.torch import load_file
from test_from_huggingface import save_shards

import train
from model import GPT, GPTConfig
from slm.config import OPTIONS
from slm.config_parser import read_config_file
from slm.errors import UserError
from slm.files import atomic_folder
from slm.models import checkpoint, from_huggingface, load, to_huggingface
from slm.text.corpus import Corpus
from slm.training import log, resume, run_folder, snapshot
from slm.training.optimizers import load_state
from slm.training.train_state import TrainState

resource = pytest.importorskip("resource", reason="alarms and limits of memory are Unix's")
SECONDS, MEMORY = 10, 2**30


# -- the doors: each reads the file and what the program reads with it ------------------------------------------------


USED = {*checkpoint.KEYS, "val_loss", "val_bpb", "optimizer", "scaler", "progress"}


def used(contents):
    """What the program uses of a checkpoint: what another version may have added means nothing."""
    options = {name: contents["config"].get(name) for name in OPTIONS}
    return {name: contents[name] for name in USED & contents.keys()} | {"config": options}


def read_best(path):
    contents, _ = load.read_model(path)
    load.build_model(contents)
    return used(contents)


def read_last(path):
    config, _ = small_config("--init_from=resume", f"--out_dir={path.parent}")
    loaded, _ = resume.load_initial_checkpoint(config)
    optimizer = train.configure_optimizer(load.build_model(loaded), config, torch.device("cpu"))
    load_state(optimizer, loaded["optimizer"], loaded["progress"].step, "the optimizer's state")
    train.configure_scaler(torch.device("cpu"), torch.float32).load_state_dict(loaded["scaler"])
    return used(loaded | {"progress": dataclasses.asdict(loaded["progress"])})


def read_folder(path):
    contents = from_huggingface.load_hugging_face(path.parent)
    load.build_model(contents)
    return used(contents)


def read_log(path):
    printed = []
    rows = log.Log(path, 12, printed.append).rows
    if printed:
        raise UserError(printed[0])  # the run keeps a copy or says what is missing
    return rows


def read_description(path):
    description = run_folder.read_description(path.parent)
    if not description:
        raise UserError("it is damaged")  # the run keeps it under another name, and says so
    return {name: description.get(name) for name in ("resumes", "torchrun_id", "wandb_id")}


def read_corpus(path):
    corpus = Corpus(path.parent)
    corpus.verify()
    return {"meta": {name: corpus.meta[name] for name in ("vocab_size", "splits", "tokenizer_sha256", "end_of_text")}}


DOORS = {  # name: (the file, its reader)
    "best.pt": ("run/best.pt", read_best),
    "last.pt": ("run/last.pt", read_last),
    "nanoGPT's ckpt.pt": ("nano/ckpt.pt", read_best),
    "model.safetensors": ("folder/model.safetensors", read_folder),
    "a folder's config.json": ("folder/config.json", read_folder),
    "tokenizer.json": ("folder/tokenizer.json", read_folder),
    "tokenizer_config.json": ("folder/tokenizer_config.json", read_folder),
    "an index": ("several/model.safetensors.index.json", read_folder),
    "a run's config.json": ("run/config.json", read_description),
    "log.csv": ("run/log.csv", read_log),
    "tokenizer.tiktoken": ("data/tokenizer.tiktoken", read_corpus),
    "meta.json": ("data/meta.json", read_corpus),
    "train.bin": ("data/train.bin", read_corpus),
    "a configuration file": ("config.py", read_config_file),
}


@pytest.fixture(scope="module")
def whole(workshop, tmp_path_factory):
    """A folder with an undamaged file for each door."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(workshop.path / "out/small", folder / "run")
    shutil.copytree(workshop.path / "data/small", folder / "data")
    (folder / "folder").mkdir()
    loaded = load.load_model(folder / "run")
    to_huggingface.save_huggingface(loaded.model, loaded.encoding, folder / "folder")
    shutil.copytree(folder / "folder", folder / "several")
    (folder / "several/model.safetensors").unlink()
    save_shards(load_file(folder / "folder/model.safetensors"), folder / "several", ["a.safetensors", "b.safetensors"])
    model = GPT(GPTConfig(50257, block_size=8, n_layer=1, n_head=1, n_embd=4, bias=False))
    arguments = {"n_layer": 1, "n_head": 1, "n_embd": 4, "block_size": 8, "vocab_size": 50304, "bias": False}
    (folder / "nano").mkdir()
    torch.save({"model": model.state_dict(), "model_args": arguments, "iter_num": 5}, folder / "nano/ckpt.pt")
    lines = [option[2:].replace("=", " = ", 1) for option in SMALL_RUN if option[2:].split("=")[1].isdecimal()]
    (folder / "config.py").write_text("\n".join(["# a recipe", "learning_rate = 1e-3", *lines]) + "\n")
    return folder


# -- the damages ------------------------------------------------------------------------------------------------------

VALUES = [None, True, -1, 0, 1, 3, 2**31, 10**7, 2**63, 10**400, 10**5000, 0.5, -0.0, 5.0, 1e-320, 1e300]
VALUES += [float("nan"), float("inf"), -float("inf"), "", "x", "\0", "\x1b[31m", "../../x", "é" * 300, "1" * 100_000]
VALUES += [[], {}, [None], [[0]], {"x": 1}, {0: 1}, [{"step": 1}], (1, 2), b"bytes", 1j]
TENSORS = [
    lambda t: t.to(torch.float64),
    lambda t: t.to(torch.int64),
    lambda t: t.to(torch.bool),
    lambda t: t.to(torch.float8_e4m3fn),
    lambda t: t.to(torch.complex64),
    lambda t: t.to_sparse(),
    lambda t: t.to("meta"),
    lambda t: t.flatten()[:1],
    lambda t: t.flatten()[0],
    lambda t: t.flatten()[:0],
    lambda t: t[None],
    lambda t: torch.zeros(1).expand(2**20, 2**20),
    lambda t: torch.full_like(t, float("nan")),
    lambda t: torch.full_like(t, float("inf")),
    lambda t: torch.cat([t.flatten(), t.flatten()]),
    lambda t: torch.nn.Parameter(t.flatten()[:2].clone()),
    lambda t: t.new_zeros(1).expand(t.shape) if t.numel() > 1 else t.to(torch.int32),
]


def damage_values(tree, chance):
    """Change one place of nested dicts and lists, and return where and how."""
    tree, path = copy.copy(tree), []
    node = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = chance.choice(keys)
        path.append(str(key))
        child = node[key]
        if isinstance(child, dict | list) and child and chance.random() < 0.8:
            node[key] = node = copy.copy(child)
            continue
        kind = chance.randrange(8)
        if kind == 0:
            del node[key]
            path.append("gone")
        elif kind == 1 and isinstance(node, dict):
            node[chance.choice(["x", 7, "step ", (1,)])] = child
            path.append("twice")
        elif kind == 2 and isinstance(node, dict):
            other = chance.choice(keys)
            node[key], node[other] = node[other], node[key]
            path.append(f"exchanged with {other}")
        elif isinstance(child, torch.Tensor) and kind < 7:
            number = chance.randrange(len(TENSORS))
            node[key] = TENSORS[number](child.detach())
            path.append(f"tensor {number}")
        else:
            node[key] = copy.copy(chance.choice(VALUES))
            path.append(f"{type(node[key]).__name__}")
        return tree, " ".join(path)


def damage_bytes(contents, chance):
    place = chance.randrange(len(contents))
    size = chance.choice([1, 1, 2, 8, 100])
    kind = chance.randrange(6)
    middle = {
        0: lambda: (contents[:place], "cut"),
        1: lambda: (contents[place:], "without its start"),
        2: lambda: (contents[:place] + chance.randbytes(size) + contents[place + size :], "overwritten"),
        3: lambda: (contents[:place] + contents[place + size :], "taken out"),
        4: lambda: (contents[:place] + contents[place : place + size] * 2 + contents[place + size :], "twice"),
        5: lambda: (
            contents[:place] + bytes([contents[place] ^ 1 << chance.randrange(8)]) + contents[place + 1 :],
            "a bit",
        ),
    }
    return middle[kind]()


WHOLE_FILES = {
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(4096)),
    "deep": lambda path: path.write_bytes(b"[" * 100_000),
    "deep objects": lambda path: path.write_bytes(b'{"a":' * 100_000),
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "a FIFO": lambda path: os.mkfifo(path),
    "a folder": lambda path: path.mkdir(),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "gone": lambda path: None,
}


def attack(path, number, undamaged, original):
    """Damage the file at `path`; returns a description of what was done."""
    chance = random.Random(number)
    path.unlink()
    if number < len(WHOLE_FILES):
        kind = list(WHOLE_FILES)[number]
        WHOLE_FILES[kind](path)
        return kind
    if original is not None and number % 4:
        tree, how = damage_values(original, chance)
        if path.suffix == ".pt":
            torch.save(tree, path)
        else:
            with contextlib.suppress(TypeError, ValueError):
                path.write_text(json.dumps(tree))
        return how
    contents, how = damage_bytes(undamaged, chance)
    path.write_bytes(contents)
    return how


def same(value):
    def plain(value):
        if isinstance(value, dict):
            return {repr(key): plain(value[key]) for key in sorted(value, key=repr)}
        return {str(i): plain(item) for i, item in enumerate(value)} if isinstance(value, list | tuple) else value

    return snapshot.digest({"all": plain(value)})


def outcome(read, path, expected):
    """What became of reading the file at `path`: "refused", "the same", or how the door failed."""

    def too_long(number, frame):
        raise TimeoutError

    before, handler = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            result = read(path)
        other = "reported" if printed.getvalue() else "accepted in silence"
        verdict = "the same" if same(result) == expected else other
    except UserError as error:
        verdict = "refused" if str(error) and "\n" not in str(error) else f"no sentence: {error!r}"
    except TimeoutError:
        verdict = "a hang"
    except BaseException as error:  # a panic of Rust is no Exception
        verdict = f"a traceback: {type(error).__name__} {str(error)[:100]}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return "too much memory" if 1024 * (after - before) > MEMORY else verdict


# what nothing can tell: another valid value in the place of one, where no checksum is beside it. Each is a pattern of
# the description of the attack
OTHER_BYTES = "^(cut|overwritten|taken out|twice|a bit)$"
EXCHANGED = "^(model|optimizer|config) .*exchanged with"
KNOWN = {
    # shown only, or another valid number or text; tensors of one shape
    "best.pt": [r"^(val_loss|val_bpb|step|tokens|config|model_config (dropout|init_std|n_head))\b", EXCHANGED],
    "last.pt": [r"^(config|progress|scaler|model_config (dropout|init_std|n_head))\b", EXCHANGED],
    "nanoGPT's ckpt.pt": ["^iter_num ", "n_head", EXCHANGED],  # shown only; other programs keep other things there
    "model.safetensors": ["^(overwritten|a bit)$"],  # the format has no checksum of the weights
    "tokenizer.json": [OTHER_BYTES, "^added_tokens .* content"],  # the name of a special token
    "log.csv": [OTHER_BYTES],  # another digit, or a line less
    "a configuration file": ["^(empty|without its start)$", OTHER_BYTES],  # a comment, another digit, a line less
    "train.bin": [OTHER_BYTES],  # another valid token, in a corpus without checksums
    "meta.json": [OTHER_BYTES, r"^(splits \w+ (stories|text_bytes)|text_bytes)\b"],
    "a run's config.json": [OTHER_BYTES, "^(torchrun_id|wandb_id|resumes) ", "exchanged with (torchrun_id|wandb_id)"],
    "a folder's config.json": [OTHER_BYTES, "n_head"],
}


def fallen(door, whole, folder, numbers):
    """[(number, how, verdict)] of the attacks that got past a door."""
    name, read = DOORS[door]
    for top in {Path(name).parts[0]}:
        source = whole / top
        if source.is_dir():
            shutil.copytree(source, folder / top, symlinks=True)
        else:
            shutil.copy(source, folder / top)
    path = folder / name
    undamaged = path.read_bytes()
    original = None
    if path.suffix == ".pt":
        original = torch.load(path, weights_only=True)
    elif path.suffix == ".json":
        original = json.loads(undamaged)
    expected, falls = same(read(path)), []
    for number in numbers:
        how = attack(path, number, undamaged, original)
        verdict = outcome(read, path, expected)
        if verdict not in ("refused", "the same", "reported") and not any(
            verdict == "accepted in silence" and re.search(words, how) for words in KNOWN.get(door, [])
        ):
            falls.append((number, how, verdict))
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        path.write_bytes(undamaged)
    return falls


@pytest.mark.parametrize("door", DOORS)
def test_thirty_damages(whole, tmp_path, door):
    assert not fallen(door, whole, tmp_path, range(30))


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_a_thousand_damages(whole, tmp_path, door):
    assert not fallen(door, whole, tmp_path, range(1000))


# -- kills at every rename, and a folder that moves while a run writes into it ----------------------------------------

FILES = ["best.pt", "last.pt", "log.csv", "config.json"]


class Killed(BaseException):
    """The process ends here."""


@contextlib.contextmanager
def killed_at(number):
    """The process is killed just before its rename `number`, counted from 0. Yields what it did: [(from, to)]."""
    done, real = [], {name: getattr(os, name) for name in ("rename", "replace")}

    def hook(name):
        def rename(old, new, **more):
            if len(done) >= number:
                raise Killed  # and nothing later happens either
            real[name](old, new, **more)
            done.append((str(old), str(new)))

        return rename

    with pytest.MonkeyPatch.context() as patch:
        for name in real:
            patch.setattr(os, name, hook(name))
        yield done


@pytest.mark.parametrize("number", range(len(FILES) + 3))
def test_a_kill_while_an_earlier_run_moves(tmp_path, number):
    """The next command finds all of it under its name, or all of it moved, and is not blocked."""
    path, printed = tmp_path / "x", []
    path.mkdir()
    for name in FILES:
        (path / name).write_text("old")
    folder = run_folder.RunFolder(path, printed.append)
    with killed_at(number), contextlib.suppress(Killed):
        folder.begin({"started": "", "command": "", "git_commit": ""})
    folder.lock.close()
    run_folder.RunFolder(path, printed.append).close()
    places = [place for place in (path, tmp_path / "x.1") if (place / "last.pt").exists()]
    assert len(places) == 1
    assert all((places[0] / name).read_text() == "old" for name in FILES)
    assert not list(tmp_path.glob("*.moving"))


@pytest.mark.parametrize("number", range(3))
def test_a_kill_while_a_folder_is_published(tmp_path, number):
    with killed_at(number), contextlib.suppress(Killed), atomic_folder(tmp_path / "made") as partial:
        (partial / "a").write_text("a")
        (partial / "b").write_text("b")
    there = sorted(path.name for path in (tmp_path / "made").glob("*")) if (tmp_path / "made").exists() else None
    assert there in ([None] if number < 2 else [["a", "b"]])


def test_a_kill_while_a_checkpoint_is_saved(tmp_path):
    checkpoint.save_checkpoint(tmp_path / "best.pt", {"step": 1})
    with killed_at(0), contextlib.suppress(Killed):
        checkpoint.save_checkpoint(tmp_path / "best.pt", {"step": 2})
    assert torch.load(tmp_path / "best.pt")["step"] == 1


@pytest.mark.parametrize("then", ["nothing", "another run"])
def test_a_folder_that_is_moved_while_a_run_writes(tmp_path, then):
    """The run notices and stops; what another run wrote under the name stays."""
    first = run_folder.RunFolder(tmp_path / "x", print)
    first.begin({"started": "", "command": "", "git_commit": ""})
    (tmp_path / "x").rename(tmp_path / "elsewhere")
    if then == "another run":
        second = run_folder.RunFolder(tmp_path / "x", print)
        second.save("last.pt", {"step": 2})
        second.wait()
    first.save("last.pt", {"step": 1})
    with pytest.raises(UserError, match="was moved or removed"):
        first.wait()
    with pytest.raises(UserError, match="was moved or removed"):
        first.add_line({"step": 2})
    if then == "another run":
        assert torch.load(tmp_path / "x/last.pt")["step"] == 2
        second.close()
    else:
        assert not (tmp_path / "x").exists()


def test_a_damaged_description_is_kept(tmp_path):
    """The resumes that it lists are not lost in silence."""
    printed = []
    (tmp_path / "config.json").write_text('{"resumes": [{"step": 3}], "torchrun_id": 7}')
    folder = run_folder.RunFolder(tmp_path, printed.append)
    folder.begin({"started": "", "command": "", "git_commit": ""}, TrainState(step=4))
    folder.close()
    assert json.loads((tmp_path / "config.json.1").read_text())["resumes"] == [{"step": 3}]
    assert any("config.json.1" in line for line in printed)


def test_a_full_disk_is_named(tmp_path):
    """torch says only that its writer failed."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))
    try:
        with pytest.raises(UserError, match=os.strerror(errno.EFBIG)):
            checkpoint.save_checkpoint(tmp_path / "best.pt", {"w": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def test_compressed_checkpoints(tmp_path):
    """A zip of torch's files, compressed, would unfold to a thousand times its size."""
    torch.save({"w": torch.zeros(10**6)}, tmp_path / "whole.pt")
    with zipfile.ZipFile(tmp_path / "whole.pt") as old, zipfile.ZipFile(tmp_path / "x.pt", "w", 8) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(UserError, match="compressed"):
        load.read_model(tmp_path / "x.pt")


UNREADABLE = ["best.pt", "a folder's config.json", "tokenizer.json", "a run's config.json", "log.csv"]


@pytest.mark.parametrize("door", UNREADABLE)
def test_a_file_without_permission_is_named(whole, monkeypatch, door):
    """It is not damaged. The tests may run as root, who can read everything."""
    name, read = DOORS[door]
    real = open

    def no_permission(path, *arguments, **options):
        if str(path) == str(whole / name):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr("builtins.open", no_permission)
    with pytest.raises(UserError, match=f"cannot read .*{re.escape(os.strerror(errno.EACCES))}") as raised:
        read(whole / name)
    assert "damaged" not in str(raised.value)
