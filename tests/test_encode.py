"""slm/text/encode.py: batches, token ids in order, and the spot check against tiktoken."""

import sys
import zlib

import numpy as np
import pytest

from data.sample_stories import stories
from slm.errors import UserError
from slm.text import encode, tokenizer


@pytest.fixture
def without_gigatoken(monkeypatch):
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    encode.has_gigatoken.cache_clear()
    yield
    encode.has_gigatoken.cache_clear()


def joined(texts, threads=2):
    return np.concatenate([batch.ids for batch in encode.encode(texts, tokenizer.gpt2(), threads)])


def test_a_batch_ends_after_so_many_stories_or_so_much_text(monkeypatch):
    monkeypatch.setattr(encode, "BATCH_STORIES", 3)
    monkeypatch.setattr(encode, "BATCH_CHARACTERS", 10)
    texts = ["a", "b", "c", "d", "e" * 9, "f", "g" * 30, "h"]
    assert list(encode.batches(texts)) == [["a", "b", "c"], ["d", "e" * 9], ["f", "g" * 30], ["h"]]
    assert list(encode.batches([])) == []


def test_each_story_is_followed_by_end_of_text(monkeypatch):
    monkeypatch.setattr(encode, "BATCH_STORIES", 7)
    texts = [f"Story {i} <|endoftext|> of many." for i in range(100)]
    encoding = tokenizer.gpt2()
    expected = [id for text in texts for id in (*encoding.encode_ordinary(text), encoding.eot_token)]
    assert joined(texts).tolist() == expected


def test_tiktoken_gives_the_same_ids(without_gigatoken, monkeypatch, capsys):
    monkeypatch.setattr(encode, "BATCH_STORIES", 50)
    texts = list(stories(700))
    slow = joined(texts, threads=3)
    joined(texts[:10])
    assert capsys.readouterr().out.count("gigatoken is not installed") == 1
    encode.has_gigatoken.cache_clear()
    monkeypatch.undo()
    assert np.array_equal(slow, joined(texts))


def test_a_split_is_counted(tmp_path):
    texts = ["One two.", "Three", "Drei süße Äpfel."]
    counts = encode.encode_split("counting", texts, 3, tokenizer.gpt2(), 1, tmp_path / "t.bin")
    lengths = [len(tokenizer.gpt2().encode_ordinary(text)) for text in texts]
    assert counts == {
        "stories": 3,
        "tokens": sum(lengths) + 3,
        "text_bytes": sum(len(text.encode()) for text in texts),
        "longest_story": max(lengths),
        "crc32": zlib.crc32((tmp_path / "t.bin").read_bytes()),
    }
    assert len(np.fromfile(tmp_path / "t.bin", np.uint16)) == counts["tokens"]


def test_the_spot_check_is_a_uniform_sample():
    """Each of 50 stories is in a sample of 10 a fifth of the time, whatever its batch."""
    times = np.zeros(50)
    for _ in range(600):
        check = encode.SpotCheck(10)
        for start in range(0, 50, 25):
            check.add([str(i) for i in range(start, start + 25)], np.arange(1, 26))
        assert len(check.sample) == 10
        for text, start, length in check.sample.values():
            assert (start, length) == (2 * int(text), 1)
            times[int(text)] += 1
    assert abs(times / 600 - 0.2).max() < 0.08  # five standard deviations


def test_ids_that_are_not_tiktokens_stop_it(monkeypatch, tmp_path):
    """They are noticed wherever they begin: here in the last batch of three."""

    def wrong_from_the_third_batch_on(encoding, threads):
        right, batches = tokenizer.tiktoken_encoder(encoding), []

        def encoder(batch):
            batches.append(batch)
            ids, ends = right(batch)
            if len(batches) < 3:
                return ids, ends
            letters = [np.frombuffer(text.encode(), np.uint8) for text in batch]  # right, but not tiktoken's
            single = np.array([encoding.encode_single_token(bytes([byte])) for byte in range(256)], np.uint16)
            return np.concatenate([single[part] for part in letters]), np.cumsum([len(part) for part in letters])

        return encoder

    monkeypatch.setattr(tokenizer, "gigatoken_encoder", wrong_from_the_third_batch_on)
    with pytest.raises(UserError, match="pip uninstall gigatoken"):
        encode.encode_split("", list(stories(5000)), 5000, tokenizer.gpt2(), 2, tmp_path / "t.bin")


@pytest.mark.parametrize("wrong", ["a text", "an end-of-text", "the order"])
def test_a_file_that_is_not_the_source_is_a_bug(monkeypatch, tmp_path, wrong):
    """It keeps its traceback: no user can fix that."""
    encoding, write = tokenizer.gpt2(), encode.encode

    def encode_wrongly(*arguments):
        for batch in write(*arguments):
            ids = batch.ids.copy()
            ends = np.flatnonzero(ids == encoding.eot_token)
            if wrong == "a text":
                ids[ends - 1] = 7
            elif wrong == "an end-of-text":
                ids[ends] = 7
            else:
                ids = np.roll(ids, 1)
            yield batch._replace(ids=ids)

    monkeypatch.setattr(encode, "encode", encode_wrongly)
    with pytest.raises(RuntimeError, match=r"t\.bin has another text at token"):
        encode.encode_split("", list(stories(50)), 50, encoding, 2, tmp_path / "t.bin")
