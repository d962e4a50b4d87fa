"""Train a vocabulary on stories: byte-pair encoding, in a size that fits them."""

import itertools
import math
import re
import threading
from concurrent.futures import Future

from slm.errors import wait_for
from slm.text import tokenizer

# the time to train a vocabulary grows with the square of a word's length; whitespace may be one, too
LONG_WORD = re.compile(r"\S{1000}|\s{1000}")
SAMPLE_BYTES = 2**25  # of text that a vocabulary is trained on
PIECE = 2**20  # letters of a story that are sampled together
FITTING_VOCAB_SIZES = (512, 8192)  # the bounds of `fitting_vocab_size`


def fitting_vocab_size(text_bytes):
    """The size of a vocabulary for so many bytes of text: the largest power of two up to sqrt(20 text_bytes).

    The different words of a text grow with about the square root of its length (Heaps' law). docs/recipes.md has the
    measurements.
    """
    smallest, largest = FITTING_VOCAB_SIZES
    return min(max(smallest, 2 ** math.isqrt(20 * text_bytes).bit_length() // 2), largest)


def train_vocabulary(stories, vocab_size=None):
    """(encoding, reason): a vocabulary that is trained on stories, and a phrase that says why it has its size.

    vocab_size: how many tokens; None takes what fits the text, and so do stories with too few words for so many. The
    reason is "" where there are as many.
    """
    sample, text_bytes = spread_sample(stories)
    fitting = fitting_vocab_size(text_bytes)
    encoding = train_bpe(sample, vocab_size or fitting)
    if not vocab_size:
        fits = "which fits" if encoding.n_vocab == fitting else "which are all in"
        return encoding, f"{fits} {text_bytes:,} bytes of text (--vocab_size takes another number)"
    if encoding.n_vocab == vocab_size:
        return encoding, ""
    reason = f"which fits {text_bytes:,} bytes of text: they have {encoding.n_vocab:,} at most, not {vocab_size:,}"
    return first_tokens(encoding, fitting), reason


def train_bpe(stories, vocab_size):
    """The encoding of `vocab_size` tokens that byte-pair encoding learns from stories (Sennrich et al. 2016).

    Bytes are the alphabet and GPT-2's pattern cuts text into words, so any text round-trips, and the same stories give
    the same tokens. Hugging Face's tokenizers does the work. Where the stories have too few different words for so
    many tokens, the encoding has fewer.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = cut
    alphabet = sorted(cut.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=vocab_size - 1, initial_alphabet=alphabet, show_progress=False)
    pieces = itertools.chain.from_iterable(map(without_long_words, stories))
    interruptible(lambda: bpe.train_from_iterator(pieces, trainer))
    return tokenizer.from_vocabulary(bpe.get_vocab())


def first_tokens(encoding, vocab_size):
    """The encoding that training with a smaller `vocab_size` would have given: its merges are the first ones."""
    return tokenizer.from_ranks(
        {token: rank for token, rank in encoding._mergeable_ranks.items() if rank < vocab_size - 1}
    )


def interruptible(function):
    """Call a function that does not hear Ctrl-C, so that Ctrl-C still ends the process."""
    future = Future()

    def run():
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_for([thread])
    return future.result()


def without_long_words(story):
    """The pieces of a story, which is cut within words and whitespace of 1,000 letters and more."""
    start = 0
    for word in LONG_WORD.finditer(story) if len(story) >= 1000 else ():
        yield story[start : word.end()]
        start = word.end()
    yield story[start:]


def spread_sample(stories, most_bytes=SAMPLE_BYTES, piece=PIECE):
    """(sample, text_bytes): every n-th story, n the smallest power of two that leaves at most `most_bytes` of text, and
    the bytes of all stories. A story of more than `piece` letters counts as several: a novel must not fill the memory.
    """
    sample, size, step, text_bytes = [], 0, 1, 0
    pieces = (story[i : i + piece] for story in stories for i in range(0, len(story), piece))
    for number, story in enumerate(pieces):
        story_bytes = len(story if story.isascii() else story.encode())
        text_bytes += story_bytes
        if number % step == 0:
            sample.append(story)
            size += story_bytes
            while size > most_bytes and len(sample) > 1:
                sample, step = sample[::2], 2 * step
                size = sum(len(story.encode()) for story in sample)
    return sample, text_bytes
