"""slm/text/vocabulary.py: byte-pair encoding that is trained on stories, in a size that fits them."""

import random
import signal
import sys
import threading
import time

import pytest
import tokenizers
from test_tokenizer import hard_texts

from data.sample_stories import stories
from slm.text import tokenizer, vocabulary


def test_a_trained_vocabulary_is_a_byte_pair_encoding():
    """Any text round-trips, equal stories give equal tokens, and tokenizers itself gives the ids that tiktoken does."""
    texts = list(stories(400))
    encoding = vocabulary.train_bpe(texts, 1000)
    assert encoding.n_vocab == 1000 and encoding.eot_token == 999
    assert tokenizer.to_text(encoding) == tokenizer.to_text(vocabulary.train_bpe(iter(texts), 1000))
    letters, merges = tokenizer.to_vocabulary(encoding)
    del letters[tokenizer.ENDOFTEXT]
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=letters, merges=merges))
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    for text in hard_texts()[:1500] + texts:
        ids = encoding.encode_ordinary(text)
        assert encoding.decode(ids) == text and theirs.encode(text).ids == ids
    small, large = (vocabulary.train_bpe(texts, size) for size in (300, 1000))
    assert set(small._mergeable_ranks) < set(large._mergeable_ranks), "the first merges are the most frequent"
    count = sum(len(encoding.encode_ordinary(text)) for text in texts)
    assert count < 0.35 * sum(len(text.encode()) for text in texts), "its tokens are no words"


def test_the_size_that_fits():
    """It grows with the text, in powers of two between its bounds; what is asked for comes first, where it can be."""
    sizes = [vocabulary.fitting_vocab_size(2**power) for power in range(35)]
    smallest, largest = vocabulary.FITTING_VOCAB_SIZES
    assert sizes == sorted(sizes) and sizes[0] == smallest and sizes[-1] == largest
    assert all(size & (size - 1) == 0 for size in sizes) and len(set(sizes)) > 3
    texts = list(stories(300))
    size = sum(len(text.encode()) for text in texts)
    fitting = vocabulary.fitting_vocab_size(size)
    encoding, reason = vocabulary.train_vocabulary(iter(texts))
    assert encoding.n_vocab == fitting and f"fits {size:,} bytes" in reason
    asked, reason = vocabulary.train_vocabulary(iter(texts), 700)
    assert asked.n_vocab == 700 and reason == ""


def test_more_tokens_than_a_text_has():
    """What fits is taken, and the reason says both numbers; a text with fewer words than that gives all it has."""
    texts = list(stories(300))
    most = vocabulary.train_bpe(texts, 50_000).n_vocab
    encoding, reason = vocabulary.train_vocabulary(texts, most + 1)
    fitting, _ = vocabulary.train_vocabulary(texts)
    assert encoding.n_vocab < most and tokenizer.to_text(encoding) == tokenizer.to_text(fitting)
    assert f"{most:,} at most, not {most + 1:,}" in reason
    assert vocabulary.train_vocabulary(["aaa", "ab ab"], 400)[0].n_vocab == 261
    encoding, reason = vocabulary.train_vocabulary(["aaa", "ab ab"])
    assert encoding.n_vocab == 261 and reason.startswith("which are all in 8 bytes")


@pytest.mark.parametrize("most", [1, 100, 1000, 10**9])
def test_a_sample_is_spread_over_all_stories(most):
    """Every n-th story, however many there are, and no more text than asked for unless it is one story."""
    texts = [f"{number:010}" for number in range(137)]
    sample, text_bytes = vocabulary.spread_sample(iter(texts), most)
    assert text_bytes == 1370
    step = len(texts) if len(sample) == 1 else texts.index(sample[1])
    assert sample == texts[::step] and (step & (step - 1) == 0 or len(sample) == 1)
    assert len(sample) == 1 or 10 * len(sample) <= most
    assert step == 1 or len(sample) == 1 or 10 * len(texts[:: step // 2]) > most, "it could be larger"
    assert vocabulary.spread_sample(["".join(texts), ""], most, 10) == (sample, text_bytes), "one story in pieces"


def test_a_long_word_takes_no_time_and_changes_no_other_vocabulary():
    choose = random.Random(3)
    word = "".join(choose.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(100_000))
    start = time.perf_counter()
    assert vocabulary.train_bpe([*stories(300), word], 2000).n_vocab == 2000
    assert time.perf_counter() - start < 20
    assert list(vocabulary.without_long_words(word)) == [word[i : i + 1000] for i in range(0, 100_000, 1000)] + [""]
    assert list(map(len, vocabulary.without_long_words(f"a{' ' * 2500}b"))) == [1001, 1000, 501]
    for text in (" ".join([word[:999]] * 5), "short", "", f"a{' ' * 999}b"):
        assert list(vocabulary.without_long_words(text)) == [text]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_ctrl_c_is_heard_while_a_vocabulary_is_trained():
    threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGINT)).start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        vocabulary.interruptible(lambda: time.sleep(60))
    assert time.perf_counter() - start < 30
    with pytest.raises(ZeroDivisionError):
        vocabulary.interruptible(lambda: 1 / 0)
    assert vocabulary.interruptible(lambda: 7) == 7
