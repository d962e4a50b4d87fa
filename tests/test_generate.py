"""experiments/generate.py: stories sampled side by side are those of the model, whole, and kept when a run stops."""

import json
import signal
from collections import defaultdict

import numpy as np
import pytest
import torch
from conftest import PATIENCE, SMALL_RUN, assert_mistake, call, start_forked, wait_until

from experiments import generate
from model import GPT, GPTConfig
from slm.errors import UserError
from slm.models import generation
from slm.models.checkpoint import load_checkpoint, save_checkpoint
from slm.text.corpus import Corpus
from slm.text.tokenizer import from_text


def small_model(**shape):
    torch.manual_seed(0)
    shape = {"block_size": 32, "n_layer": 2, "n_head": 2, "n_embd": 32, "dropout": 0.0, "init_std": 0.3} | shape
    return GPT(GPTConfig(64, **shape)).eval()


@pytest.mark.parametrize("block_size", [1, 5, 16, 32])
def test_each_row_tells_what_the_model_tells(block_size):
    """Greedily, one story after another, and beyond the context: the rule for a full one is that of generation.py."""
    model = small_model(block_size=block_size)
    stories = generation.generate(model, [[token] for token in range(64)], 150, temperature=0)
    lengths = [story.index(first) if first in story else 150 for first, story in enumerate(stories)]
    for length in {min(lengths), *[n for n in lengths if block_size < n < 150][:1], 150} & set(lengths):
        end_of_text = lengths.index(length)
        batch = generate.ContinuousBatch(model, 2, end_of_text, temperature=0)
        tokens = np.concatenate([batch.stride() for _ in range(30)], axis=1)
        expected = stories[end_of_text] if length == 150 else [*stories[end_of_text][:length], end_of_text] * 480
        for row in tokens:
            sampled = row[row >= 0].tolist()
            count = min(len(sampled), len(expected))
            assert count >= 30 and sampled[:count] == expected[:count]


def test_rows_of_several_lengths():
    """Each row's tokens are likely after those before them in the row, whatever the other rows do meanwhile."""
    model, end_of_text = small_model(), 3
    generator = torch.Generator().manual_seed(2)
    batch = generate.ContinuousBatch(model, 40, end_of_text, top_k=2, generator=generator)
    tokens = np.concatenate([batch.stride() for _ in range(20)], axis=1)
    cases = defaultdict(list)  # {length: [a context and the token after it]}: one forward pass for each length
    for row in tokens:
        context = [end_of_text]
        for token in row[row >= 0].tolist():
            context = generation.newer_half(context, 32)
            cases[len(context)].append([*context, token])
            context = [end_of_text] if token == end_of_text else [*context, token]
    for same_length in map(torch.tensor, cases.values()):
        likely = model(same_length[:, :-1])[0][:, -1].topk(2).indices
        assert (likely == same_length[:, -1:]).any(dim=1).all()
    assert (tokens == end_of_text).sum() >= 5


class Coins:
    """In place of a model: in each slot every token ends its story with probability 1 / 50."""

    end_of_text, slots = 9, 64

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def run(self):
        while True:
            yield self.random.choice([1, 2, 9, -1], (64, 256), p=[0.4, 0.48, 0.02, 0.1])


def paths_in(folder):
    return {split: folder / f"{split}.bin" for split in ("train", "validation")}


def test_stories_are_neither_cut_nor_chosen_by_their_length(tmp_path):
    """The mean length is that of the coins: leaving out what is unfinished at the end would make it shorter."""
    lengths = []
    for seed in range(40):
        (tmp_path / str(seed)).mkdir()
        generate.generate(Coins(seed), paths_in(tmp_path / str(seed)), 12_000)
        tokens = np.fromfile(tmp_path / str(seed) / "train.bin", np.uint16)
        assert len(tokens) >= 12_000 and tokens[-1] == 9 and set(tokens) == {1, 2, 9}
        lengths.append(np.diff(np.flatnonzero(tokens == 9), prepend=-1))
    lengths = np.concatenate(lengths)
    mean = 0.9 / 0.02  # of the tokens that are sampled
    assert abs(lengths.mean() - mean) < 4 * lengths.std() / np.sqrt(len(lengths)) + 0.5
    validation = np.fromfile(tmp_path / "0" / "validation.bin", np.uint16)
    assert 0 < len(validation) < 12_000 / 20 and validation[-1] == 9


@pytest.mark.parametrize(("slot", "left_out"), [(3, "left out: 1"), (0, None)])
def test_a_story_without_an_end_ends_the_corpus_all_the_same(tmp_path, monkeypatch, capsys, slot, left_out):
    class OneNeverEnds(Coins):
        def run(self):
            for tokens in super().run():
                tokens[slot] = 1
                yield tokens

    monkeypatch.setattr(generate, "HOPELESS", 3)
    if left_out:
        generate.generate(OneNeverEnds(1), paths_in(tmp_path), 12_000)
        assert f"did not end within 768 tokens, {left_out}\n" in capsys.readouterr().out
        assert all(np.fromfile(path, np.uint16)[-1] == 9 for path in paths_in(tmp_path).values())
    else:
        with pytest.raises(UserError, match="no story of validation has ended"):
            generate.generate(OneNeverEnds(1), paths_in(tmp_path), 12_000)


@pytest.fixture
def teacher(workshop, tmp_path):
    """The workshop's run, which now ends a story after some ten tokens."""
    saved = load_checkpoint(workshop.path / "out/small/best.pt")
    end_of_text = saved["model"]["lm_head.weight"][from_text(saved["tokenizer"]).eot_token]
    saved["model"]["transformer.ln_f.bias"] += 4 * end_of_text / end_of_text.square().sum()
    (tmp_path / "teacher").mkdir()
    save_checkpoint(tmp_path / "teacher/best.pt", saved)
    return str(tmp_path / "teacher")


def test_a_corpus_of_a_run_is_trained_on(here, teacher):
    options = ["--model", teacher, "--name", "new", "--slots", 3, "--device", "cpu"]
    result = call("experiments/generate.py", *options, "--tokens", 600)
    assert result.status == 0, result.err
    corpus = Corpus("data/new")
    counts = corpus.meta["splits"]["train"]
    assert counts["tokens"] >= 600 and f"{counts['tokens']:,} tokens" in result.out
    assert len(list(corpus.stories("train"))) == counts["stories"] > 0
    assert corpus.meta["teacher"]["val_loss"] > 0 and teacher in corpus.meta["source"]
    assert sorted(path.name for path in (here / "data/new").iterdir()) == [
        *(".lock", "meta.json", "tokenizer.tiktoken", "train.bin", "validation.bin")
    ]
    run = [option for option in SMALL_RUN if option != "--dataset=small"]
    assert call("train.py", *run, "--dataset=new").status == 0
    assert_mistake(call("experiments/generate.py", *options), "data/new has a tokenizer.tiktoken already")


def test_a_run_that_was_killed_goes_on(here, workshop, teacher):
    """Its whole stories stay, half a story goes, and the new ones are not the old ones again."""
    options = ["--model", teacher, "--name", "new", "--slots", 3, "--device", "cpu"]
    process = start_forked("experiments/generate.py", *options, cwd=here)
    path = here / "data/new/.generated/train.bin"
    wait_until(lambda: path.exists() and path.stat().st_size > 1000, process)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    end_of_text = Corpus(workshop.path / "data/small").meta["end_of_text"]
    with open(path, "ab") as file:
        np.array([1, 2, 3], np.uint16).tofile(file)
    before = np.fromfile(path, np.uint16)[:-3]
    assert before[-1] == end_of_text

    assert_mistake(call("experiments/generate.py", *options, "--seed", 5), "another command", "--name")
    wanted = 2 * len(before)
    result = call("experiments/generate.py", *options, "--tokens", wanted)
    assert result.status == 0 and f"{len(before):,} tokens of an earlier run" in result.out, result.err
    tokens = np.fromfile(here / "data/new/train.bin", np.uint16)
    assert len(tokens) >= wanted and np.array_equal(tokens[: len(before)], before)
    assert not np.array_equal(tokens[len(before) : len(before) + 50], before[:50])
    assert json.loads((here / "data/new/meta.json").read_text())["seed"] == 1337


@pytest.mark.parametrize("name", ["train.bin", "val.bin"])
def test_another_corpus_is_left_alone(here, workshop, name):
    """A folder of nanoGPT's, without a meta.json."""
    (here / "data/theirs").mkdir()
    for file in {"train.bin", name}:
        (here / "data/theirs" / file).write_bytes(b"theirs")
    result = call("experiments/generate.py", "--model", workshop.path / "out/small", "--name", "theirs")
    assert_mistake(result, "data/theirs has a train.bin already", "--name")
    assert (here / "data/theirs/train.bin").read_bytes() == b"theirs"
    assert not (here / "data/theirs/.generated").exists()


def test_a_command_that_generated_nothing_is_no_obstacle(here, teacher, monkeypatch):
    """Memory is short, and the same command is given with fewer slots and another seed."""
    command = ["experiments/generate.py", "--model", teacher, "--name", "new", "--tokens", 100]

    def allocate(model, rows):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")

    with monkeypatch.context() as patch:
        patch.setattr(generation, "new_kv_cache", allocate)
        assert_mistake(call(*command), "out of memory: give fewer --slots than 4,096")
    assert call(*command, "--slots", 2, "--seed", 2).status == 0


def test_a_teacher_that_never_ends_a_story(tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "HOPELESS", 3)
    coins = Coins(0)
    coins.end_of_text = 7
    with pytest.raises(UserError, match="no story ended within 768 tokens"):
        generate.generate(coins, paths_in(tmp_path), 1000)


@pytest.mark.gpu
def test_captured_steps_are_launched_ones(monkeypatch):
    model = small_model().cuda()
    captured = next(generate.ContinuousBatch(model, 5, 3, temperature=0).run())
    monkeypatch.setattr(generation, "capture_cuda_graph", lambda function: function)
    launched = next(generate.ContinuousBatch(model, 5, 3, temperature=0).run())
    assert (captured == launched).mean() > 0.9  # a tie may go either way


BAD = ["--tokens=0", "--tokens=inf", "--slots=1", "--seed=-1", "--name=../x", "--name=a/b", "--name="]


@pytest.mark.parametrize("option", BAD)
def test_mistakes(here, option):
    name, value = option.split("=")
    assert_mistake(call("experiments/generate.py", name, value), name)
