"""slm/text/corpus.py: a prepared folder, checked. slm/text/nanogpt_corpus.py: another program's."""

import json
import os
import shutil
import zlib

import numpy as np
import pytest

from slm.errors import UserError
from slm.text import corpus as corpus_module
from slm.text import nanogpt_corpus, tokenizer
from slm.text.corpus import Corpus, TokenFile

# -- a prepared folder ------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(workshop, tmp_path):
    """data/small as a copy that a test may damage."""
    shutil.copytree(workshop.path / "data/small", tmp_path / "data/small")
    return tmp_path / "data/small"


def test_stories(folder):
    corpus = Corpus(folder)
    stories = list(corpus.stories("validation"))
    assert len(stories) == corpus.meta["splits"]["validation"]["stories"]
    end = corpus.meta["end_of_text"]
    assert (
        np.concatenate([[*story, end] for story in stories]).tolist()
        == TokenFile(corpus.path("validation")).read_windows([0], corpus.tokens["validation"])[0].tolist()
    )


def change_meta(folder, **changes):
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | changes))


def change_split(folder, name, **changes):
    meta = json.loads((folder / "meta.json").read_text())
    change_meta(folder, splits=meta["splits"] | {name: meta["splits"][name] | changes})


def link(path, target):
    path.unlink()
    path.symlink_to(target)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


DAMAGE = {
    "no folder": (
        lambda folder: shutil.rmtree(folder),
        "no prepared data in .*small: run `python prepare.py .*--name small` first",
    ),
    "no meta.json": (lambda folder: (folder / "meta.json").unlink(), "no prepared data"),
    "half a meta.json": (
        lambda folder: (folder / "meta.json").write_text("{"),
        "damaged .*: run `python prepare.py .*--name small --force",
    ),
    "a list": (lambda folder: (folder / "meta.json").write_text("[]"), "meta.json is damaged"),
    "a field is missing": (lambda folder: change_meta(folder, splits={}), "meta.json is damaged .*the train split"),
    "too long": (lambda folder: os.truncate(folder / "train.bin", 10**6), "train.bin has 1,000,000 bytes where"),
    "no tokens": (lambda folder: (folder / "validation.bin").unlink(), r"is damaged \(no validation\.bin\)"),
    "another format": (lambda folder: change_meta(folder, format=99), "unknown format 99"),
    "a format that is none": (lambda folder: change_meta(folder, format=[2]), "unknown format"),
    "a text for a number": (lambda folder: change_meta(folder, vocab_size="512"), "damaged .*vocab_size is '512'"),
    "a number out of range": (lambda folder: change_meta(folder, vocab_size=10**9), "damaged .*vocab_size"),
    "a true": (lambda folder: change_meta(folder, end_of_text=True), "damaged .*end_of_text"),
    "a way out": (lambda folder: change_meta(folder, tokenizer="../../secret"), "damaged .*tokenizer is"),
    "another dtype": (lambda folder: change_meta(folder, dtype="uint32"), "damaged .*dtype"),
    "nesting": (lambda folder: (folder / "meta.json").write_text("[" * 100_000), "damaged .*nested too deeply"),
    "a huge number": (lambda folder: (folder / "meta.json").write_text("1" * 10_000), "meta.json is damaged"),
    "a device": (lambda folder: link(folder / "meta.json", "/dev/zero"), "damaged .*no regular file"),
    "a device for tokens": (lambda folder: link(folder / "train.bin", "/dev/zero"), "damaged .*train.bin"),
    "a device for a tokenizer": (lambda folder: link(folder / "tokenizer.tiktoken", "/dev/zero"), "no file of at most"),
    "a pipe": (lambda folder: pipe(folder / "meta.json"), "damaged .*no regular file"),
    "a pipe for tokens": (lambda folder: pipe(folder / "validation.bin"), "damaged .*validation.bin"),
    "a vocabulary of another size": (
        lambda folder: change_meta(folder, vocab_size=600, end_of_text=599),
        "the tokenizer is not",
    ),
    "no text": (lambda folder: change_split(folder, "validation", text_bytes=0), "validation split of .* has no text"),
    "no stories": (lambda folder: change_split(folder, "train", stories=None), "damaged .*stories of train is None"),
    "a text for a count": (lambda folder: change_meta(folder, bad_rows="3"), "damaged .*bad_rows is '3'"),
    "nanoGPT's name": (
        lambda folder: (folder / "validation.bin").rename(folder / "val.bin"),
        r"is damaged \(no validation\.bin\)",
    ),
    "another tokenizer": (
        lambda folder: (folder / "tokenizer.tiktoken").write_text("IQ== 0\n"),
        "the tokenizer is not",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage(folder, kind):
    damage, words = DAMAGE[kind]
    damage(folder)
    with pytest.raises(UserError, match=words):
        Corpus(folder)


def test_a_corpus_of_format_1(folder):
    """Without a format's number and checksums, as commit e13cb00 wrote it."""
    meta = json.loads((folder / "meta.json").read_text())
    del meta["format"]
    for split in meta["splits"].values():
        del split["crc32"]
    (folder / "meta.json").write_text(json.dumps(meta))
    corpus = Corpus(folder)
    corpus.verify()
    assert corpus.tokens["train"] == meta["splits"]["train"]["tokens"]


def test_a_changed_token_is_found(folder):
    """By its checksum; in format 1 by its place, where no vocabulary has it."""
    Corpus(folder).verify()
    tokens = np.fromfile(folder / "train.bin", np.uint16)
    tokens[777] ^= 1
    tokens.tofile(folder / "train.bin")
    with pytest.raises(UserError, match=r"train\.bin is damaged .*checksum"):
        Corpus(folder).verify()
    tokens[777] = 60_000
    tokens.tofile(folder / "train.bin")
    with pytest.raises(UserError, match=r"train\.bin .*below 512: token 777 is 60000"):
        Corpus(folder).verify()


def test_what_is_open_is_what_is_described(folder, monkeypatch):
    """prepare.py --force replaces the folder after its token files were opened: the new one is read, whole."""
    other = folder.with_name("other")
    shutil.copytree(folder, other)
    tokens = np.fromfile(other / "train.bin", np.uint16)
    tokens[0] ^= 1
    tokens.tofile(other / "train.bin")
    meta = json.loads((other / "meta.json").read_text())
    meta["splits"]["train"]["crc32"] = zlib.crc32(tokens)
    (other / "meta.json").write_text(json.dumps(meta))
    read, reads = corpus_module.read_text, []

    def replace_before(path):
        if not reads:
            for name in ("train.bin", "meta.json"):
                os.replace(other / name, folder / name)
        reads.append(path)
        return read(path)

    monkeypatch.setattr(corpus_module, "read_text", replace_before)
    corpus = Corpus(folder)
    assert len(reads) == 2 and corpus.meta == meta
    corpus.verify()


def test_a_change_that_was_not_finished(folder):
    """prepare.py was killed between two renames: the corpus is the new one, whole."""
    tokens = np.fromfile(folder / "train.bin", np.uint16)
    (folder / ".new").mkdir()
    os.replace(folder / "train.bin", folder / ".new/train.bin")
    tokens[::-1].tofile(folder / "train.bin")
    corpus = Corpus(folder)
    corpus.verify()
    assert np.array_equal(corpus.files["train"].map(), tokens)


def test_what_is_prepared_beside(folder):
    with pytest.raises(UserError, match=r"no prepared data in .*other \(prepared: small\)"):
        Corpus(folder.with_name("other"))


def test_a_fingerprint_tells_corpora_apart(folder):
    fingerprint = Corpus(folder).fingerprint()
    assert Corpus(folder).fingerprint() == fingerprint
    change_meta(folder, created="another day")
    assert Corpus(folder).fingerprint() == fingerprint, "the same tokens, prepared twice, are one corpus"
    for name in ("train.bin", "validation.bin"):
        tokens = np.fromfile(folder / name, np.uint16)
        np.roll(tokens, 1).tofile(folder / name)
        assert Corpus(folder).fingerprint() != fingerprint, name
        tokens.tofile(folder / name)
    assert Corpus(folder).fingerprint() == fingerprint


# -- nanoGPT's and the tutorial's folders -----------------------------------------------------------------------------


@pytest.fixture
def foreign(tmp_path):
    """A folder as nanoGPT's prepare.py leaves it: GPT-2's tokens of two splits and nothing about them."""
    (tmp_path / "owt").mkdir()
    for name, text in (("train", "Once upon a time. " * 20), ("val", "The end was caf\u00e9. " * 5)):
        encoding = tokenizer.gpt2()
        tokens = [*encoding.encode_ordinary(text), encoding.eot_token]
        np.array(tokens, np.uint16).tofile(tmp_path / "owt" / f"{name}.bin")
    return tmp_path / "owt"


def test_a_folder_of_another_program(foreign):
    corpus = Corpus(foreign)
    assert corpus.vocab_size == 50257 and corpus.path("validation").name == "val.bin"
    assert corpus.text_bytes == 5 * len("The end was caf\u00e9. ".encode())
    encoding = tokenizer.from_text(corpus.tokenizer_text)
    assert [encoding.decode(story.tolist()) for story in corpus.stories("train")] == ["Once upon a time. " * 20]
    assert len(corpus.fingerprint()) == 64
    (foreign / "val.bin").rename(foreign / "validation.bin")  # the tutorial's name
    assert Corpus(foreign).tokens == corpus.tokens


def test_another_programs_tokens_are_counted_once(foreign, monkeypatch):
    counts = Corpus(foreign).meta["splits"]
    with monkeypatch.context() as patch:
        patch.setattr(nanogpt_corpus, "count_tokens", lambda *_: pytest.fail("counted again"))
        assert Corpus(foreign).meta["splits"] == counts
    np.array([700] * 50, np.uint16).tofile(foreign / "val.bin")
    counts = Corpus(foreign).meta["splits"]
    assert counts["validation"]["tokens"] == 50
    kept = json.loads((foreign / ".counts.json").read_text())
    wrong = {"stories": 1, "tokens": 7, "text_bytes": 9}
    for splits in (None, 5, [1], {}, {"train": 5}, {"train": wrong, "validation": wrong}, {"train": counts["train"]}):
        (foreign / ".counts.json").write_text(json.dumps(kept | {"splits": splits}))
        assert Corpus(foreign).meta["splits"] == counts
    (foreign / ".counts.json").write_text("{")
    assert Corpus(foreign).meta["splits"] == counts


def test_a_folder_of_another_program_with_both_names(foreign, capsys):
    shutil.copy(foreign / "val.bin", foreign / "validation.bin")
    assert Corpus(foreign).path("validation").name == "validation.bin"
    assert "a val.bin and a validation.bin: the latter is read" in capsys.readouterr().err


def test_a_folder_of_another_program_that_does_not_fit(foreign):
    (foreign / "meta.pkl").touch()
    with pytest.raises(UserError, match=r"meta\.pkl says that the tokens are characters"):
        Corpus(foreign)
    (foreign / "meta.pkl").unlink()
    ids, end = np.array([*range(100, 130), 50257, 3], np.uint16), tokenizer.gpt2().eot_token
    for content, words in (
        (ids.tobytes(), r"below 50,257: token 30 is 50257"),
        (b"odd", "no flat array of uint16 ids"),
        (b"", "no flat array of uint16 ids"),
        (ids.astype(np.uint32).tobytes(), "ids of 32 or 64 bits"),
        (ids.astype(np.int64).tobytes(), "ids of 32 or 64 bits"),
        (ids.astype(np.uint32).tobytes() + ids[:1].tobytes(), "ids of 32 or 64 bits"),  # and cut
        ((np.arange(500) % 65).astype(np.uint16).tobytes(), "holds characters or bytes"),  # without its meta.pkl
        ((ids.astype(np.uint32) + 2**17).tobytes(), "ids of 32 or 64 bits"),
    ):
        (foreign / "val.bin").write_bytes(content)
        with pytest.raises(UserError, match=rf"val\.bin .*{words}"):
            Corpus(foreign)
    (foreign / "val.bin").write_bytes(np.array([end] * 40, np.uint16).tobytes())
    with pytest.raises(UserError, match=r"validation split of .* has no text"):
        Corpus(foreign)
    (foreign / "val.bin").unlink()
    with pytest.raises(UserError, match="no prepared data"):
        Corpus(foreign)
