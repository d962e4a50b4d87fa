"""The page that tells stories, in a real browser: it computes what model.py does, and draws what it says."""

import base64
import codecs
import dataclasses
import json
import shutil
import subprocess

import pytest
import tiktoken
import torch
from page_helpers import browser, one_thread, random_model, save_page, small_encoding

from slm.errors import UserError
from slm.models.generation import newer_half, prompt_tokens, sample_token, stream, uniforms
from slm.models.to_page import dequantize, describe_measured, pack, quantize, read_part, save_story_page
from slm.training.log import read_sense

__all__ = ["browser", "one_thread"]  # fixtures

# whitespace in Rust, or in JavaScript, or in neither
SPACES = "\x85\x1c\x1d\x1e\x1f\ufeff\u180e\xa0\u2028\u3000\u200b\0"
HARD_TEXTS = [
    *["", "Once upon a time", " two  spaces,   three\n\n\nlines\t\tand a space ", "the end<|endoftext|>and on"],
    "I'll we'RE don't 'tis ''s o'clock rock'n'roll 1234 ½²Ⅷ٣ $€%…!!!???",
    "naïve Straße \u017fK İstanbul e\u0301 हिन्दी বাংলা ខ្មែរ 한국어 日本語 العربية 😀👨\u200d👩\u200d👧🏽🇩🇪",
    *[f"a{space}b {space}c{space}{space}d  {space}" for space in SPACES],
    " " * 3000 + "x" * 3000 + "\n" * 300,
]


def greedy_story(model, encoding, prompt):
    """sample.py's story at temperature 0, and its number of tokens."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    eot, story, count = encoding.eot_token, prompt, 0
    for [token] in stream(model, [prompt_tokens(encoding, prompt)], 500, temperature=0, stop_token=eot):
        count += 1
        story += "" if token == eot else decoder.decode(encoding.decode_single_token_bytes(token))
    return story, count


def test_quantize_is_close():
    matrix = torch.randn(50, 300) * torch.logspace(-6, 3, 50)[:, None]
    matrix[7] = 0
    error = (dequantize(*quantize(matrix)) - matrix).abs()
    largest = matrix.abs().amax(1)
    assert (error.amax(1) <= largest / 127 * 1.001).all()
    assert (error.pow(2).sum(1).sqrt() <= 0.0075 * matrix.norm(dim=1)).all()  # equal steps: 0.009 and more
    assert (dequantize(*quantize(matrix)).abs().amax(1) == largest).all()


@pytest.mark.parametrize("size", [700, 50256])
def test_ids_are_tiktokens(browser, tmp_path, size):
    encoding = small_encoding(size)
    browser.open(save_page(random_model(encoding), encoding, tmp_path))
    ids = browser.run("texts => texts.map(text => new Tokenizer(data.tokens).encode(text))", HARD_TEXTS)
    assert ids == [encoding.encode_ordinary(text) for text in HARD_TEXTS]


def test_the_webassembly_program_is_valid_and_gives_the_sum(browser, tmp_path):
    """Every byte, against the levels that to_page.py has; and the loop for browsers without SIMD instructions."""
    encoding = small_encoding()
    browser.open(save_page(random_model(encoding), encoding, tmp_path))
    script = """([row, x, without]) => {
        const Memory = WebAssembly.Memory;
        if (without) WebAssembly.Memory = undefined;
        const {buffer, dot} = newArithmetic(4 * x.length + row.length);
        WebAssembly.Memory = Memory;
        new Float32Array(buffer, 0, x.length).set(x);
        new Uint8Array(buffer).set(row, 4 * x.length);
        return [WebAssembly.validate(dotProgram()), String(dot).includes("native code"),
                dot(4 * x.length, x.length) * UNIT];
    }"""
    torch.manual_seed(1)
    for length in (8, 256, 1536):
        row, x = torch.randint(255, (length,)), torch.randn(length)
        wanted = float(dequantize(row, torch.ones(length, 1)[0]).double() @ x.double())
        for without in (False, True):
            valid, native, result = browser.run(script, [row.tolist(), x.tolist(), without])
            assert valid and native == (not without)
            assert result == pytest.approx(wanted, abs=1e-5 * length**0.5)


@pytest.mark.parametrize("bias", [True, False])
def test_greedy_stories_are_those_of_the_model(browser, tmp_path, bias):
    encoding = small_encoding()
    endings = set()
    for seed in range(2):
        model = random_model(encoding, seed, bias=bias)
        browser.open(save_page(model, encoding, tmp_path))
        for prompt in ["", "The 😀 said", "a long way to go, " * 20]:
            story, count = greedy_story(model, encoding, prompt)
            text, status = browser.tell(prompt)
            assert text == story
            ending = "Cut off" if count == 500 else "The end"
            endings.add(ending)
            assert status.startswith(f"{ending} after {count} token")
            assert ("the model sees the end of it" in status) == (len(prompt) > 100)
    assert len(endings) == 2
    assert browser.messages == []


TELL_IN_NODE = """
const given = JSON.parse(require("fs").readFileSync(0));
const model = new Model(given.config, readTensors(given.tensors, given.weights));
const story = new Story(model, given.endOfText, given.story), steps = [];
while (steps.length < 60) {
  const step = story.step();
  if (step) steps.push([step.id, [...model.logitsOf(step.state)]]);
}
console.log(JSON.stringify(steps));
"""


@pytest.mark.skipif(not shutil.which("node"), reason="there is no Node.js")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("prompt", ["Tom", "a long way to go, " * 20])
def test_logits_and_draws_in_node(tmp_path, bias, prompt):
    """The page's own code without a browser: each number of 60 tokens, also past the context of 16."""
    encoding = small_encoding()
    model = random_model(encoding, bias=bias)
    ids, (tensors, weights) = prompt_tokens(encoding, prompt), pack(model)
    given = {"config": dataclasses.asdict(model.config), "tensors": tensors, "endOfText": encoding.eot_token}
    given["weights"] = base64.b64encode(weights).decode()
    given["story"] = {"ids": ids, "promptLength": len(ids), "known": len(ids), "seed": 5}
    given["story"] |= {"temperature": 0.8, "topK": 0, "topP": 1}
    code = "".join(map(read_part, ["arithmetic.js", "model.js", "story.js"])) + TELL_IN_NODE
    result = subprocess.run(["node", "-e", code], input=json.dumps(given), capture_output=True, text=True)
    assert not result.returncode, result.stderr
    save_page(model, encoding, tmp_path)  # the model gets the page's weights
    numbers, context = uniforms(torch.tensor([5]), 0, 60)[0], ids[-16:]
    for number, (token, logits) in zip(numbers, json.loads(result.stdout), strict=True):
        context = newer_half(context, 16)
        with torch.no_grad():
            wanted = model(torch.tensor([context]))[0][:, -1]
        torch.testing.assert_close(torch.tensor([logits]), wanted, atol=3e-5, rtol=0)
        assert token == sample_token(wanted, number[None], temperature=0.8)[0]
        context.append(token)


def test_random_numbers_are_those_of_generation(browser, tmp_path):
    encoding = small_encoding()
    browser.open(save_page(random_model(encoding), encoding, tmp_path))
    for seed in (0, 7, 999_999_999):
        numbers = browser.run("seed => Array.from({length: 50}, (_, place) => uniform(seed, place))", seed)
        assert numbers == uniforms(torch.tensor([seed]), 0, 50)[0].tolist()


def test_a_seed_draws_what_sample_token_draws(browser, tmp_path):
    encoding = small_encoding()
    model = random_model(encoding, block_size=128)
    browser.open(save_page(model, encoding, tmp_path))
    browser.begin("Tom", temperature=0.8, top_k=0, top_p=1, seed=5)
    browser.wait("shown && (shown.tokens.length > 60 || shown.ended)")
    numbers, given = uniforms(torch.tensor([5]), 0, 100), prompt_tokens(encoding, "Tom")
    ids = list(given)
    while len(ids) < 60 and (len(ids) == len(given) or ids[-1] != encoding.eot_token):
        with torch.no_grad():
            logits = model(torch.tensor([ids]))[0][:, -1]
        ids.append(int(sample_token(logits, numbers[:, len(ids) - len(given)], temperature=0.8)[0]))
    assert len(ids) > 20
    assert browser.run("shown.ids")[: len(ids)] == ids


@pytest.mark.parametrize("temperature, top_k, top_p", [(1, 0, 1), (0.5, 3, 1), (1.5, 99, 0.7), (1, 4, 0.6), (0, 0, 1)])
def test_shares_are_those_that_sample_token_draws_from(browser, tmp_path, temperature, top_k, top_p):
    encoding = small_encoding()
    browser.open(save_page(random_model(encoding), encoding, tmp_path))
    logits = torch.tensor([1.0, -0.5, 2.5, 0.3, 2.0])
    options = {"temperature": temperature, "topK": top_k, "topP": top_p}
    script = "([logits, options]) => [...sharesOf(Float64Array.from(logits), options)]"
    shares = torch.tensor(browser.run(script, [logits.tolist(), options]), dtype=torch.float32)
    steps = torch.arange(20_000) / 20_000  # every number that may be drawn, evenly
    ids = sample_token(logits.expand(20_000, 5), steps, temperature=temperature, top_k=top_k, top_p=top_p)
    counts = torch.bincount(ids, minlength=5) / 20_000
    assert torch.allclose(shares, counts, atol=2e-4)
    draws = "([shares, steps]) => steps.map(random => draw(Float64Array.from(shares), random))"
    drawn = torch.tensor(browser.run(draws, [shares.tolist(), steps[::10].tolist()]))
    assert torch.allclose(torch.bincount(drawn, minlength=5) / 2000, shares, atol=2e-3)


def test_a_character_appears_whole_and_end_of_text_ends(browser, tmp_path):
    encoding = small_encoding()
    ids = [*encoding.encode_ordinary("\ufeffé 👩🏽!"), encoding.eot_token]
    path = save_page(random_model(encoding, block_size=64), encoding, tmp_path)
    browser.open(path, "prompt=&seed=1&then=" + ".".join(map(str, ids)))
    browser.wait("shown && shown.ended")
    texts = browser.run("[...story.children].map(span => span.textContent)")
    assert len(texts) == len(ids)
    assert [text for text in texts if text] == ["\ufeff", "é", " ", "👩", "🏽", "!", "∎"]


def test_what_was_measured_is_a_line(tmp_path):
    log = "step,tokens,seconds,train_loss,val_loss,val_bpb,lr,grad_norm,sense_order,sense_who\n"
    log += "5,1,1,,3,1,,,0.5,0.25\n10,1,1,,2,1,,,0.955,0.5\n15,1,1,2,,,,,,\n"
    (tmp_path / "log.csv").write_text(log)
    assert read_sense(tmp_path / "log.csv", 10) == {"order": 0.955, "who": 0.5}
    assert read_sense(tmp_path / "log.csv", 15) == read_sense(tmp_path / "none.csv", 10) == {}
    assert describe_measured(None, None, {}) == ""
    line = describe_measured(1.234, 0.567, {"order": 0.955, "who": 0.5})
    assert line.startswith("Validation loss: 1.23 nats per token, 0.57 bits per byte. ")
    assert line.endswith("likelier: order 96%, who 50%.")


def test_mistakes_and_foreign_encodings(tmp_path):
    encoding = small_encoding()
    model = random_model(encoding)
    with pytest.raises(UserError, match="cannot write"):
        save_story_page(model, encoding, tmp_path / "no folder" / "page.html", "x")
    other = tiktoken.Encoding("other", pat_str=r"\S+|\s+", mergeable_ranks=encoding._mergeable_ranks, special_tokens={})
    with pytest.raises(ValueError, match="as GPT-2 does"):
        save_story_page(model, other, tmp_path / "page.html", "x")
