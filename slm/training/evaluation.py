"""The validation of a model: its score over the whole split, in order, each token predicted once, and its sense."""

import functools
import math
from typing import NamedTuple

import torch

from slm import devices
from slm.evaluation.likelihood import ModelScorer
from slm.evaluation.report import left_out_lines
from slm.evaluation.sense import make_questions, measure, story_texts
from slm.text import tokenizer
from slm.training import micro_batch
from slm.training.batches import validation_batches, validation_windows

BATCHES_BETWEEN_CHECKS = 16  # of each of several processes, which then ask each other for a signal


class Score(NamedTuple):
    """loss: nats per token. bpb: bits per byte of text, which also compares models with different tokenizers."""

    loss: float
    bpb: float

    def __str__(self):
        perplexity = math.exp(min(self.loss, 700))
        perplexity = f"{perplexity:.2f}" if perplexity < 1e6 else f"{perplexity:.1e}"
        return f"validation {self.loss:.4f} nats per token, perplexity {perplexity}, {self.bpb:.4f} bits per byte"


class Evaluator:
    """evaluate(model, micro_batch) -> Score of a validation split: `file`, a TokenFile or TokenArray, stays open.

    text_bytes: of the split's stories. most_windows: of block_size tokens, spread evenly; 0 for all. dtype: of the
    forward pass.
    """

    def __init__(self, file, text_bytes, block_size, most_windows, device, dtype, group):
        self.file, self.text_bytes, self.block_size, self.most_windows = file, text_bytes, block_size, most_windows
        self.device, self.dtype, self.group = device, dtype, group
        self.windows = len(validation_windows(file, block_size, most_windows))

    def micro_batch(self, model, most=0):
        """One that fits in every process; most: the user's own limit, 0 for none."""
        size, *_ = micro_batch.candidates(model, self.windows, self.device, False, most)
        return self.group.smallest(size)

    @torch.no_grad()
    def __call__(self, model, micro_batch, signals=None, count_tokens=lambda tokens: None):
        """The Score of `model`, on batches of micro_batch; None once a signal is received, in any process.

        Processes take turns with the batches, so all need the same micro_batch. End-of-text tokens count as tokens, and
        not as text. count_tokens: called with the tokens of each batch.
        """
        group = self.group
        batches = validation_batches(
            self.file, self.block_size, micro_batch, self.most_windows, self.device, group.rank, group.world_size
        )
        every = BATCHES_BETWEEN_CHECKS if group.world_size > 1 else 1
        # every process has so many whole batches; some have one more
        common = self.windows // (micro_batch * group.world_size)
        total, count = 0.0, 0
        nats = torch.zeros((), device=self.device)
        was_training = model.training
        model.eval()
        try:
            for number, (idx, targets, predicted) in enumerate(batches):
                is_check_due = signals and number % every == 0 and number < common
                if is_check_due and group.any(signals.received):
                    return None
                with devices.autocast(self.device, self.dtype):
                    nats += model(idx, targets, with_logits=False)[1] * predicted
                count += predicted
                count_tokens(predicted)
                if number % 64 == 63:  # a long sum in float32 would round
                    total += nats.item()
                    nats.zero_()
        finally:
            model.train(was_training)
        total, count = group.all_reduce([total + nats.item(), count])
        loss = total / count
        return Score(loss, loss / math.log(2) * self.file.tokens / self.text_bytes)


class SenseEvaluator:
    """evaluate(model) -> {name: Share} in the validation stories of a Corpus, in the same pairs each time: `--sense`.

    block_size: the model's context. print_line: called once with a line for each reason why something is not asked.
    """

    def __init__(self, corpus, block_size, print_line):
        self.corpus, self.block_size, self.print_line = corpus, block_size, print_line
        self.encoding = tokenizer.from_text(corpus.tokenizer_text)

    @functools.cached_property
    def questions(self):
        questions = make_questions(self.encoding, story_texts(self.corpus, self.encoding), self.block_size)
        for line in left_out_lines(questions.reasons):
            self.print_line(f"--sense  {line}")
        return questions

    def __call__(self, model):
        return measure(ModelScorer(model, self.encoding.eot_token), self.questions)

    def line(self, model):
        """The shares of a model, for people."""
        shares = [f"{name} {share.share:.0%}" for name, share in self(model).items()]
        return f"sense: {', '.join(shares) or 'nothing can be asked'}"
