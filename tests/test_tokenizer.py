"""slm/text/tokenizer.py: texts become token ids, by tiktoken and by gigatoken; the files of a vocabulary."""

import base64
import random
import shutil
import socket
import time

import numpy as np
import pytest
import tiktoken
from conftest import ROOT

from data.sample_stories import stories
from slm.errors import UserError
from slm.text import tokenizer
from slm.text.vocabulary import train_bpe

MERGES = ROOT / "tests" / "gpt2_merges.txt"  # OpenAI's vocab.bpe
GPT2_MERGES_NAME = "6d1cbeee0f20b3d9449abfede4726ed8212e3aee"
HARD_TEXTS = [
    "",
    " ",
    "The story says <|endoftext|> in its text.",
    "Ünïcödé, naïve café — “quotes” … 🦊🐰👩‍👩‍👧 e\u0301 \u202etfel",
    "tabs\t\tand\n\n\n\nnewlines   and      spaces  \r\n end ",
    "numbers 1234567890 3.14159 and don't we'll I'm they've IT'S",
    "日本語のお話。 한국어 이야기 русская сказка العربية",
    "\x00\x01\x7f\x80 control",
    "a" * 3000 + " " * 500 + "!" * 300,
]


def hard_texts():
    """HARD_TEXTS, and 5,000 short mixtures of letters, spaces, contractions, controls, marks, scripts and emoji."""
    choose = random.Random(0)
    letters = [
        *map(chr, [*range(0x250), *range(0x300, 0x370), *range(0x2000, 0x2070)]),
        *"一あ😀👨\u200d\ufe0f\u0660Ⅷ½ะัक्𐍈ǅʰ〇",
    ]
    plain = "  \n'tsldremvTS09a"
    return HARD_TEXTS + [
        "".join(choose.choice(choose.choice((letters, plain))) for _ in range(choose.randrange(40)))
        for _ in range(5_000)
    ]


def test_gpt2_is_tiktokens_own(monkeypatch, tmp_path):
    ours = tokenizer.gpt2()
    for name, file in {
        "6c7ea1a7e38e3a7f062df639a5b80947f075ffe6": tokenizer.GPT2_FILE,
        GPT2_MERGES_NAME: MERGES,
    }.items():
        shutil.copy(file, tmp_path / name)  # tiktoken names a file by the sha1 of its address
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    theirs = tiktoken.get_encoding("gpt2")
    assert ours._mergeable_ranks == theirs._mergeable_ranks
    assert (ours._pat_str, ours._special_tokens, ours.n_vocab) == (theirs._pat_str, theirs._special_tokens, 50257)


def test_gpt2_needs_neither_network_nor_cache(monkeypatch, tmp_path):
    def no_network(*_arguments, **_more):
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert tokenizer.gpt2.__wrapped__().encode_ordinary("Once upon a time") == [7454, 2402, 257, 640]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("contents", [None, b"{}"])
def test_a_damaged_vocabulary_is_one_sentence(monkeypatch, tmp_path, contents):
    if contents is not None:
        (tmp_path / "vocabulary").write_bytes(contents)
    monkeypatch.setattr(tokenizer, "GPT2_FILE", tmp_path / "vocabulary")
    with pytest.raises(UserError, match="vocabulary"):
        tokenizer.gpt2.__wrapped__()


def test_every_merge_of_gpt2_is_known():
    """`merge_pair` finds the two tokens of the merges that GPT-2's own list has: 5,000 of its 50,000."""
    ranks = tokenizer.gpt2()._mergeable_ranks
    letters = {chr(byte): byte for byte in range(256) if chr(byte).isprintable() and chr(byte) != " "}
    letters |= {chr(256 + i): byte for i, byte in enumerate(b for b in range(256) if b not in letters.values())}
    merges = MERGES.read_text(encoding="utf-8")
    lines = merges.split("\n")[1:-1]
    assert len(lines) == 50_000
    for line in random.Random(0).sample(lines, 5_000):
        first, second = (bytes(letters[letter] for letter in part) for part in line.split())
        assert tokenizer.merge_pair(first + second, ranks) == (first, second)


@pytest.mark.parametrize("vocab_size", [tokenizer.GPT2_VOCAB_SIZE, 1024])
def test_gigatoken_is_tiktoken(vocab_size):
    whole = vocab_size == tokenizer.GPT2_VOCAB_SIZE
    encoding = tokenizer.gpt2() if whole else train_bpe(hard_texts()[:2000], vocab_size)
    ids, ends = tokenizer.gigatoken_encoder(encoding, threads=2)(hard_texts())
    expected, expected_ends = tokenizer.tiktoken_encoder(encoding)(hard_texts())
    assert np.array_equal(ids, expected) and np.array_equal(ends, expected_ends)
    assert [ids[:end].tolist() for end in ends[:3]] == [[], encoding.encode_ordinary(" "), [*expected[: ends[2]]]]


def test_long_whitespace_has_the_same_ids():
    """Shorter than tiktoken's own limit, so that its ids are here to compare with."""
    encoding = tokenizer.gpt2()
    for space in (" " * 20_000, "\n" * 20_001, " \n\t\u3000" * 5_000, "\x1c" * 12_000):
        for text in (f"A word,{space}a word", f"!{space}", f"{space}'s", f"{space}7{space}\n{space}日 {space}"):
            assert tokenizer.encode_ordinary(encoding, text).tolist() == encoding.encode_ordinary(text)


@pytest.mark.parametrize("fast", [False, True])
def test_a_million_spaces_are_encoded(fast):
    encoding, text = tokenizer.gpt2(), "Once" + " " * 1_000_000 + "upon\n" + "\n" * 600_000 + "a time"
    encode = tokenizer.gigatoken_encoder(encoding, 2) if fast else tokenizer.tiktoken_encoder(encoding)
    ids, ends = encode(["before", text, "after"])
    assert encoding.decode(ids[ends[0] : ends[1]].tolist()) == text
    assert np.array_equal(ids[ends[0] : ends[1]], tokenizer.encode_ordinary(encoding, text))


def test_no_room_for_a_temporary_file_is_one_sentence(monkeypatch):
    def refuse(*_arguments, **_more):
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tokenizer.tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(UserError, match="TMPDIR"):
        tokenizer.gigatoken_encoder(tokenizer.gpt2(), threads=1)(["A story."])


def test_the_text_of_a_tokenizer_is_its_file():
    encoding = train_bpe(list(stories(20)), 400)
    again = tokenizer.from_text(tokenizer.to_text(encoding))
    assert again._mergeable_ranks == encoding._mergeable_ranks and again.eot_token == encoding.eot_token == 399


def bytes_and(*tokens):
    """The ranks of the 256 bytes and of more tokens."""
    return {token: rank for rank, token in enumerate([*(bytes([byte]) for byte in range(256)), *tokens])}


def text_of(ranks):
    return "".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items())


TOKENIZERS = {
    "no base64": "no base64 0",
    "no rank": "QQ==",
    "a word for a rank": text_of(bytes_and()).replace(" 7\n", " seven\n"),
    "a rank twice": text_of(bytes_and(b"ab") | {b"cd": 256}),
    "a token twice": text_of(bytes_and(b"ab")) + "YWI= 257\n",
    "a gap": text_of(bytes_and() | {b"ab": 300}),
    "a negative rank": text_of(bytes_and() | {b"ab": -1}),
    "a byte that is missing": text_of({token: rank for token, rank in bytes_and().items() if token != b"\xff"}),
    "other letters for a byte": text_of(bytes_and() | {b"\xff": 300}),
    "a rank beyond any": text_of(bytes_and() | {b"ab": 2**70}),
    "an empty token": text_of(bytes_and(b"")),
    "too many tokens": text_of(bytes_and(*(b"%06d" % i for i in range(70_000)))),
    "too long tokens": text_of(bytes_and(b"x" * (2**24 + 1))),
    "nothing": "",
}


@pytest.mark.parametrize("case", TOKENIZERS)
def test_a_tokenizer_that_is_none_is_one_sentence(case):
    """tiktoken would end the process at some of them, which no `except Exception` hears."""
    with pytest.raises(UserError, match="the tokenizer is damaged"):
        tokenizer.from_text(TOKENIZERS[case])


def test_tokens_that_double_take_no_time():
    """13 doublings took 48 s: the time grew with the cube of a token's length."""
    tokens = [b"a" * 2**power for power in range(1, 14)] + [bytes([97 + i % 26 for i in range(5000)])]
    ranks, start = bytes_and(*tokens), time.perf_counter()
    for token in tokens[:-1]:
        assert tokenizer.merge_pair(token, ranks) == (token[: len(token) // 2],) * 2
    assert b"".join(tokenizer.merge_pair(tokens[-1], ranks)) == tokens[-1]
    assert time.perf_counter() - start < 5


def test_hugging_faces_spelling_is_read_back():
    encoding = train_bpe(list(stories(20)), 400)
    vocabulary, merges = tokenizer.to_vocabulary(encoding)
    assert len(vocabulary) == 400 and len(merges) == 399 - 256
    assert tokenizer.from_vocabulary(vocabulary)._mergeable_ranks == encoding._mergeable_ranks
    for wrong in ({"a": 0}, vocabulary | {"Ġnew": 5000}, ["a"], vocabulary | {"two words": 399}):
        with pytest.raises(UserError, match="byte-level"):
            tokenizer.from_vocabulary(wrong)
