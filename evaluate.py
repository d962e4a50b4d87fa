"""How good is a model? Its loss, whether it makes sense, and the figures of the stories it tells.

    python evaluate.py                                       the newest run under out/, on the corpus it was trained on
    python evaluate.py --model out/tinystories_8k            a run, a checkpoint, an exported folder, a GPT-2 of the hub
    python evaluate.py --model gpt2 --data tinystories_8k    another vocabulary: the stories are tokenized again
    python evaluate.py --json > figures.json                 the same figures for a program

Loss: over the whole validation split, each token predicted once. Sense: the share of pairs in which the model finds a
real story likelier than a changed copy, and the right answer likelier than the wrong one; beside it what counts of
single tokens and of pairs of tokens reach. Stories: 100 openings of real stories, continued. docs/sense.md says more.
"""

import slm.interrupt  # noqa: F401 - first: Ctrl-C during the other imports is a line

# isort: split

import json
import math
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from slm import devices
from slm.errors import UserError, counted, run_script, say
from slm.evaluation import report
from slm.evaluation.copies import known_texts
from slm.evaluation.likelihood import COUNTED_TOKENS, ModelScorer, NgramScorer
from slm.evaluation.sense import PAIRS, SEED, make_questions, measure, story_texts
from slm.evaluation.story_figures import compare_stories, continue_stories, draw_openings
from slm.models.load import load_model
from slm.options import OptionParser, add_model_option, add_sampling_options, sampling_arguments
from slm.text import tokenizer
from slm.text.corpus import Corpus, TokenArray
from slm.training.distributed import ProcessGroup
from slm.training.evaluation import Evaluator, Score


def encode_stories(texts, encoding, most_tokens=math.inf):
    """The tokens of stories with an end-of-text after each: (N,) uint16, N at most a story above `most_tokens`."""
    ids, count = [], 0
    for text in texts:
        ids.append(np.append(tokenizer.encode_ordinary(encoding, text), encoding.eot_token).astype(np.uint16))
        count += len(ids[-1])
        if count >= most_tokens:
            break
    return np.concatenate(ids)


def same_tokens(loaded, corpus):
    """Whether a model has the vocabulary of a corpus."""
    return tokenizer.sha256(loaded.contents["tokenizer"]) == corpus.meta["tokenizer_sha256"]


def validation_loss(loaded, corpus, texts, device, dtype):
    """(Score, tokens) of the whole validation split, which is tokenized again for a model of another vocabulary."""
    file = corpus.files["validation"]
    if not same_tokens(loaded, corpus):
        file = TokenArray(encode_stories(texts, loaded.encoding))
    block_size, group = loaded.model.config.block_size, ProcessGroup(device.type, "auto")
    evaluate = Evaluator(file, corpus.text_bytes, block_size, 0, device, dtype, group)
    with tqdm(total=file.tokens, desc="loss", unit=" tokens", unit_scale=True, leave=False, disable=None) as bar:
        score = evaluate(loaded.model, evaluate.micro_batch(loaded.model), count_tokens=bar.update)
    return score, file.tokens


def evaluate_sense(loaded, corpus, texts, train, options):
    """({name: described share}, {name: why it is left out}); train: the tokens of the train split, in the corpus's."""
    own = corpus_encoding(corpus)
    encoding = loaded.encoding
    questions = make_questions(
        encoding,
        texts,
        loaded.model.config.block_size,
        options.seed,
        options.pairs,
        known=lambda texts: known_texts(texts, own, train),
    )
    if not questions.texts:
        return {}, questions.reasons
    shares = measure(ModelScorer(loaded.model, encoding.eot_token, progress=True), questions)
    if not same_tokens(loaded, corpus):
        stories = (own.decode(ids.tolist()) for ids in corpus.stories("train"))
        train = encode_stories(stories, encoding, COUNTED_TOKENS // 4)  # tiktoken takes seconds for these
    ngrams = [measure(NgramScorer(train, encoding.n_vocab, encoding.eot_token, n), questions) for n in (1, 2)]
    return report.describe_sense(shares, *ngrams, questions.cut), questions.reasons


def corpus_encoding(corpus):
    return tokenizer.from_text(corpus.tokenizer_text)


def evaluate(loaded, corpus, device, dtype, options, sampling):
    """All figures, as --json prints them."""
    own = corpus_encoding(corpus)
    texts, train = story_texts(corpus, own), corpus.files["train"].map()
    score, tokens = validation_loss(loaded, corpus, texts, device, dtype)
    described, left_out = evaluate_sense(loaded, corpus, texts, train, options)
    chosen = draw_openings(texts, options.num_samples, options.seed)
    columns = {}
    if chosen:
        model, openings = loaded.model.to(dtype), [start for _, (start, _) in chosen]
        endings = continue_stories(model, loaded.encoding, openings, options.max_new_tokens, options.seed, sampling)
        columns = dict(zip(("model", "real"), compare_stories(chosen, endings, own, train), strict=True))
    return {
        "model": str(loaded.path),
        "step": loaded.step,
        "parameters": loaded.model.num_params(),
        "data": str(corpus.folder),
        "seed": options.seed,
        "device": devices.describe(device),
        "validation": {
            "loss": score.loss,
            "perplexity": math.exp(min(score.loss, 700)),
            "bits_per_byte": score.bpb,
            "tokens": tokens,
        },
        "sense": described,
        "left_out": left_out,
        "stories": {"count": len(chosen), **sampling, **columns},
    }


def print_table(figures, block_size):
    step = f", step {figures['step']:,}" if figures["step"] else ""
    say(f"{figures['model']}{step}, {figures['parameters'] / 1e6:.1f} M parameters, on {figures['data']}")
    validation = figures["validation"]
    print(f"{Score(validation['loss'], validation['bits_per_byte'])}, {validation['tokens']:,} tokens\n")
    for line in report.sense_lines(figures["sense"], figures["left_out"], block_size):
        print(line)
    stories = figures["stories"]
    if "model" in stories:
        print(f"\n{counted(stories['count'], 'story', 'stories')}, temperature {stories['temperature']}")
        for line in report.story_lines(stories["model"], stories["real"]):
            print(line)
    else:
        print("\nno stories are compared: none of the validation split has a second sentence")


def corpus_of(loaded):
    """The Corpus that a model was trained on. Raises UserError."""
    dataset = loaded.config.get("dataset")
    if not dataset:
        raise UserError(f"{loaded.path} does not say what it was trained on: give --data NAME, a folder under data/")
    corpus = Corpus(Path("data") / dataset)
    corpus.compare(loaded.contents.get("corpus"), loaded.path)
    return corpus


def main():
    parser = OptionParser(__doc__)
    add_model_option(parser)
    about_data = "the prepared corpus, a folder under data/ (default: the run's own)"
    parser.option("--data", None, about_data, alias="--dataset")  # as train.py calls it
    parser.option("--pairs", PAIRS, "pairs for each sense from the stories, at most", int, at_least=1)
    add_sampling_options(parser, num_samples=100, seed=SEED)
    parser.option("--json", False, "print the figures as JSON")
    parser.option("--device", "auto", "auto, cpu, cuda, cuda:N or mps")
    parser.option("--dtype", "auto", "of the loss and the stories: auto, float32, bfloat16 or float16")
    options = parser.parse()
    sampling = sampling_arguments(options)
    device = devices.pick_device(options.device)
    dtype = devices.pick_dtype(options.dtype, device)
    corpus = Corpus(Path("data") / options.data) if options.data else None  # first: a model takes seconds to load
    loaded = load_model(options.model, device)
    corpus = corpus or corpus_of(loaded)
    figures = evaluate(loaded, corpus, device, dtype, options, sampling)
    if options.json:
        json.dump(figures, sys.stdout, indent=2)
        print()
    else:
        print_table(figures, loaded.model.config.block_size)


if __name__ == "__main__":
    run_script(main, stdout_is_result=True)
