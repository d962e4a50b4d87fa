"""slm/training/evaluation.py: the validation numbers are those of a plain loop."""

import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import assert_mistake, call, read_meta, small_config

from slm.evaluation.sense import SENSE_NAMES, sense
from slm.models import load
from slm.text import tokenizer
from slm.text.corpus import Corpus
from slm.training import evaluation
from slm.training.distributed import ProcessGroup
from slm.training.evaluation import Evaluator, Score

CPU = torch.device("cpu")


@pytest.fixture
def at_run(workshop, monkeypatch):
    monkeypatch.chdir(workshop.path)


@pytest.fixture
def model(at_run):
    return load.load_model("out/small").model


@pytest.fixture
def losses(model):
    """The loss of each validation token, nats, one window of 32 after another: what the tests compare with."""
    tokens = torch.from_numpy(np.fromfile("data/small/validation.bin", np.uint16).astype(np.int64))
    losses = []
    model.eval()
    with torch.no_grad():
        for start in range(0, len(tokens), 32):
            targets = tokens[start : start + 32]
            # end-of-text, the last token, predicts the first one
            idx = torch.cat([tokens[start - 1 : start] if start else tokens[-1:], targets[:-1]])
            losses.append(F.cross_entropy(model(idx[None], targets[None])[0][0], targets, reduction="none"))
    return losses


def evaluator(*options, dtype=torch.float32, group=None):
    config, _ = small_config(*options)
    corpus, most = Corpus("data/small"), config.eval_iters * config.batch_size
    file, text_bytes = corpus.files["validation"], corpus.text_bytes
    return Evaluator(file, text_bytes, config.block_size, most, CPU, dtype, group or ProcessGroup("cpu"))


@pytest.mark.parametrize("micro_batch", [1, 7, 64, 1000])
def test_the_numbers_of_a_plain_loop(model, losses, micro_batch):
    """Nats per token and bits per byte of the whole split, whatever the micro-batch."""
    score = evaluator()(model, micro_batch)
    nats = torch.cat(losses).sum().item()
    assert score.loss == pytest.approx(nats / len(torch.cat(losses)), rel=1e-5)
    text_bytes = read_meta("data/small")["splits"]["validation"]["text_bytes"]
    assert score.bpb == pytest.approx(nats / math.log(2) / text_bytes, rel=1e-5)


def test_part_of_the_split(model, losses):
    """eval_iters x batch_size windows, spread evenly; bits per byte as if the rest were like them."""
    score = evaluator("--eval_iters=2", "--batch_size=5")(model, 8)
    chosen = torch.cat([losses[i] for i in np.linspace(0, len(losses) - 1, 10).round().astype(int)])
    assert score.loss == pytest.approx(chosen.mean().item(), rel=1e-5)
    whole = evaluator()(model, 8)
    assert score.bpb / score.loss == pytest.approx(whole.bpb / whole.loss)


def test_processes_share_the_split(model, losses):
    """Two processes take turns with the batches: their sums together are the whole split's."""
    sums = []

    def all_reduce(values):
        sums.append(values)
        return values

    for rank in range(2):
        evaluator(group=SimpleNamespace(rank=rank, world_size=2, all_reduce=all_reduce))(model, 4)
    (nats, count), (more_nats, more) = sums
    assert count > 0 and more > 0 and count + more == len(torch.cat(losses))
    assert nats + more_nats == pytest.approx(torch.cat(losses).sum().item(), rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_and_the_model_stays_in_its_mode(model, training):
    evaluate = evaluator()
    model.transformer.drop.p = 0.9
    model.train(training)
    assert evaluate(model, 8) == evaluate(model, 8)
    assert model.training == training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_signal_ends_it(model):
    model.train()
    assert evaluator()(model, 8, SimpleNamespace(received=15)) is None
    assert model.training
    assert evaluator()(model, 8, SimpleNamespace(received=0)).loss > 0


@pytest.mark.parametrize("micro_batch", [1, 3, 7, 1000])
@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_processes_ask_each_other_equally_often(model, monkeypatch, micro_batch, world_size):
    """Or one would wait for an answer for ever. A signal in any process ends the validation in all."""
    monkeypatch.setattr(evaluation, "BATCHES_BETWEEN_CHECKS", 2)
    asked = []
    for rank in range(world_size):
        group = SimpleNamespace(rank=rank, world_size=world_size, all_reduce=lambda values: [1.0, 1.0])
        group.any = lambda flag, rank=rank: asked.append(rank)
        evaluator(group=group)(model, micro_batch, SimpleNamespace(received=0))
        group.any = lambda flag: True
        ended = evaluator(group=group)(model, micro_batch, SimpleNamespace(received=0)) is None
        assert ended == (rank in asked)
    assert len({asked.count(rank) for rank in range(world_size)}) == 1
    assert asked or micro_batch == 1000


def test_mixed_precision(model, losses):
    score = evaluator(dtype=torch.bfloat16)(model, 8)
    assert score.loss == pytest.approx(torch.cat(losses).mean().item(), rel=1e-2)


def test_a_score_for_people():
    assert str(Score(2.0, 0.81234)) == "validation 2.0000 nats per token, perplexity 7.39, 0.8123 bits per byte"
    assert "perplexity 5.2e+21," in str(Score(50.0, 1.0))
    for loss in (1256.0, math.inf, math.nan):
        assert len(str(Score(loss, 1.0))) < 100


# -- the command ------------------------------------------------------------------------------------------------------


def test_eval_only(at_run, losses):
    expected = torch.cat(losses).mean().item()
    for options in (["--out_dir=out/small"], ["--init_from=out/small/last.pt", "--micro_batch_size=3"]):
        result = call("train.py", *options, "--eval_only", "--dtype=float32", "--device=cpu")
        assert result.status == 0, result.err
        assert result.out.startswith("out/small/")
        assert float(re.search(r"validation ([\d.]+) nats", result.out)[1]) == pytest.approx(expected, abs=1e-4)


def test_eval_only_with_sense(at_run, model):
    """The shares of evaluate.py's story pairs, in a line below the score, and a line for what is not asked."""
    result = call("train.py", "--out_dir=out/small", "--eval_only", "--sense", "--dtype=float32", "--device=cpu")
    assert result.status == 0, result.err
    score, *left_out, line = result.out.splitlines()
    corpus = Corpus("data/small")
    shares = sense(model, tokenizer.from_text(corpus.tokenizer_text), corpus)
    assert "validation" in score and line == "sense: " + ", ".join(
        f"{name} {share.share:.0%}" for name, share in shares.items()
    )
    missing = ", ".join(line.removeprefix("--sense  left out: ").partition(":")[0] for line in left_out)
    assert {*shares, *missing.split(", ")} - {""} == set(SENSE_NAMES) and shares and left_out


def test_eval_only_without_a_checkpoint(here):
    assert_mistake(call("train.py", "--dataset=small", "--eval_only"), "no checkpoint", "out/small")
