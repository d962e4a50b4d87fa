"""The page that tells stories, in a real browser: Chromium, driven through chromedriver's WebDriver protocol."""

import codecs
import http.client
import json
import math
import shutil
import socket
import subprocess
import time

import pytest
import tiktoken
import torch

from model import GPT, GPTConfig
from slm.errors import UserError
from slm.models.generation import prompt_tokens, stream
from slm.models.to_page import dequantize, quantize, save_story_page
from slm.text import tokenizer

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync""".split()
# whitespace in Rust, or in JavaScript, or in neither
SPACES = "\x85\x1c\x1d\x1e\x1f\ufeff\u180e\xa0\u2028\u3000\u200b\0"
HARD_TEXTS = [
    *["", "Once upon a time", " two  spaces,   three\n\n\nlines\t\tand a space ", "the end<|endoftext|>and on"],
    "I'll we'RE don't 'tis ''s o'clock rock'n'roll 1234 ½²Ⅷ٣ $€%…!!!???",
    "naïve Straße \u017fK İstanbul e\u0301 हिन्दी বাংলা ខ្មែរ 한국어 日本語 العربية 😀👨\u200d👩\u200d👧🏽🇩🇪",
    *[f"a{space}b {space}c{space}{space}d  {space}" for space in SPACES],
    " " * 3000 + "x" * 3000 + "\n" * 300,
]


class Browser:
    """One browser window. `run` evaluates JavaScript in it, `wait` waits until an expression holds."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        quiet = subprocess.DEVNULL
        self.driver = subprocess.Popen(["chromedriver", f"--port={self.port}"], stdout=quiet, stderr=quiet)
        self.session = ""

    def start(self, folder):
        deadline = time.monotonic() + 30
        while True:
            try:
                self.call("GET", "/status")
                break
            except ConnectionError:
                assert time.monotonic() < deadline, "chromedriver does not start"
                time.sleep(0.1)
        options = {"binary": shutil.which("chromium"), "args": [*FLAGS, f"--user-data-dir={folder}"]}
        capabilities = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        created = self.call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self.session = f"/session/{created['sessionId']}"

    def close(self):
        try:
            if self.session:
                self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(timeout=30)

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, self.session + path, json.dumps(body) if body is not None else None)
        value = json.loads(connection.getresponse().read())["value"]
        assert not (isinstance(value, dict) and "error" in value), value
        return value

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": arguments})

    def wait(self, expression):
        deadline = time.monotonic() + 30
        while not self.run(f"return {expression}"):
            assert time.monotonic() < deadline, (expression, self.run("return document.body.innerText"))
            time.sleep(0.02)

    def open(self, path, until="!button.disabled"):
        self.call("POST", "/url", {"url": path.as_uri()})
        self.wait(until)

    def begin(self, prompt, temperature=0):
        self.run("[prompt.value, temperature.value] = arguments; button.click()", prompt, temperature)

    def tell(self, prompt):
        """The whole greedy story on the page, and the status under it."""
        self.begin(prompt)
        self.wait("!telling")
        return self.run("return [story.textContent, status.textContent]")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """For models this small, threads that wait for each other cost far more than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("there is no chromium with its chromedriver: apt-get install chromium chromium-driver")
    browser = Browser()
    try:
        browser.start(tmp_path_factory.mktemp("chromium"))
        yield browser
    finally:
        browser.close()


def small_encoding(size=700):
    """The first tokens of GPT-2's vocabulary, which are a byte-pair encoding by themselves, and end-of-text."""
    ranks = tokenizer.gpt2()._mergeable_ranks
    return tokenizer.from_ranks({token: rank for token, rank in ranks.items() if rank < size})


def random_model(encoding, seed=0, **shape):
    """A GPT whose every parameter is random, LayerNorms and biases too; 4 does not divide its widths."""
    shape = dict(block_size=16, n_layer=2, n_head=3, n_embd=18) | shape
    model = GPT(GPTConfig(encoding.n_vocab, **shape)).eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mean = 1 if ".ln_" in name and name.endswith("weight") else 0
            parameter.copy_(mean + torch.randn(parameter.shape) * (0.4 if parameter.dim() == 2 else 0.2))
        model.lm_head.weight[encoding.eot_token] *= 2  # so that some stories end
    return model


def open_page(browser, model, encoding, folder, title="page"):
    """Write the model's page and open it; `model` gets the weights that the page computes with."""
    save_story_page(model, encoding, folder / "page.html", title)
    browser.open(folder / "page.html")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.copy_(dequantize(*quantize(parameter)))


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
    open_page(browser, random_model(encoding), encoding, tmp_path)
    ids = browser.run("return arguments[0].map(text => new Tokenizer(data.tokens).encode(text))", HARD_TEXTS)
    assert ids == [encoding.encode_ordinary(text) for text in HARD_TEXTS]


@pytest.mark.parametrize("bias", [True, False])
def test_greedy_stories_are_those_of_the_model(browser, tmp_path, bias):
    encoding = small_encoding()
    endings = set()
    for seed in range(2):
        model = random_model(encoding, seed, bias=bias)
        open_page(browser, model, encoding, tmp_path)
        for prompt in ["", "The 😀 said", "a long way to go, " * 20]:
            story, count = greedy_story(model, encoding, prompt)
            text, status = browser.tell(prompt)
            assert text == story
            ending = "Cut off" if count == 500 else "The end"
            endings.add(ending)
            assert status.startswith(f"{ending} after {count} token")
            assert ("the model sees the end of it" in status) == (len(prompt) > 100)
    assert len(endings) == 2
    assert browser.call("POST", "/se/log", {"type": "browser"}) == []


def test_a_character_appears_whole_and_end_of_text_ends(browser, tmp_path):
    encoding = small_encoding()
    open_page(browser, random_model(encoding), encoding, tmp_path)
    ids = [*encoding.encode_ordinary("\ufeffé 👩🏽!"), encoding.eot_token]
    script = """
        let wanted;
        const predict = () => Array.from({length: data.endOfText + 1}, (_, id) => Number(id === wanted));
        const model = {config: {block_size: 64}, step() {}, predict};
        const story = new Story(model, new Tokenizer(data.tokens), data.endOfText, {prompt: "", temperature: 0});
        return arguments[0].map(id => { wanted = id; return story.next(); });
    """
    answers = browser.run(script, ids)
    assert [answer["text"] for answer in answers if answer["text"]] == ["\ufeff", "é", " ", "👩", "🏽", "!"]
    assert [answer["ended"] for answer in answers] == [False] * (len(ids) - 1) + [True]


def test_draws_follow_temperature_and_top_k(browser, tmp_path):
    encoding = small_encoding()
    open_page(browser, random_model(encoding), encoding, tmp_path)
    logits = [1.0, -0.5, 2.5, 0.3, 2.0]
    draws = "return Array.from({length: 4000}, () => draw(Float64Array.from(arguments[0]), arguments[1], arguments[2]))"
    for temperature, top_k in ((1, 0), (0.5, 3), (1.5, 99), (1, 1), (0, 0)):
        ids = browser.run(draws, logits, temperature, top_k)
        kept = sorted(range(5), key=lambda i: -logits[i])[: top_k or 5 if temperature else 1]
        weights = {i: math.exp((logits[i] - 2.5) / (temperature or 1)) for i in kept}
        for i in range(5):
            probability = weights.get(i, 0) / sum(weights.values())
            spread = math.sqrt(probability * (1 - probability) / 4000)
            assert abs(ids.count(i) / 4000 - probability) <= 6 * spread, (temperature, top_k, i)


def test_stop_start_and_wrong_settings(browser, tmp_path):
    encoding = small_encoding()
    model = random_model(encoding, block_size=64, n_layer=4, n_embd=96)
    with torch.no_grad():
        model.lm_head.weight[encoding.eot_token] *= 0  # stories do not end by themselves
    open_page(browser, model, encoding, tmp_path, "<b>Tom & Mia</b>")
    assert browser.run("return [document.title, document.querySelector('h1').textContent]") == ["<b>Tom & Mia</b>"] * 2

    browser.begin("First", temperature=1)
    browser.wait("story.textContent.length > 20 && button.textContent === 'Stop'")
    state = "return [telling, status.textContent, story.textContent]"
    stopped = browser.run("topK.value = 'x'; button.click();" + state)  # a wrong setting does not keep it from stopping
    assert stopped[:2] == [None, "Stopped."]
    browser.begin("Second", temperature=1)  # ... but from starting
    time.sleep(0.2)
    assert browser.run(state) == stopped

    browser.run("topK.value = 5; for (let i = 0; i < 9; i++) button.click()")  # start, stop, ..., start
    browser.wait("story.textContent.length > 20")
    browser.run("window.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    assert browser.run("return [telling, status.textContent]") == [None, "Stopped."]
    text, _ = browser.tell("Third")
    assert text == greedy_story(model, encoding, "Third")[0]


def test_page_that_is_not_whole_says_so(browser, tmp_path):
    encoding = small_encoding()
    save_story_page(random_model(encoding), encoding, tmp_path / "page.html", "cut")
    page = (tmp_path / "page.html").read_bytes()
    for share in (0.999, 0.7):
        (tmp_path / "cut.html").write_bytes(page[: int(len(page) * share)])
        browser.open(tmp_path / "cut.html", until="status.textContent.includes('not whole')")
        assert browser.run("return button.disabled")


def test_page_stays_off_the_network(browser, tmp_path):
    encoding = small_encoding()
    open_page(browser, random_model(encoding), encoding, tmp_path)
    browser.tell("Tom")
    assert browser.run("return performance.getEntriesByType('resource').filter(r => !r.name.startsWith('blob:'))") == []
    browser.run("addEventListener('securitypolicyviolation', event => { window.refused = event.blockedURI; })")
    browser.run("fetch('http://127.0.0.1:9/').catch(() => {})")
    browser.wait("window.refused")


def test_mistakes_and_foreign_encodings(tmp_path):
    encoding = small_encoding()
    model = random_model(encoding)
    with pytest.raises(UserError, match="cannot write"):
        save_story_page(model, encoding, tmp_path / "no folder" / "page.html", "x")
    other = tiktoken.Encoding("other", pat_str=r"\S+|\s+", mergeable_ranks=encoding._mergeable_ranks, special_tokens={})
    with pytest.raises(ValueError, match="as GPT-2 does"):
        save_story_page(model, other, tmp_path / "page.html", "x")
