"""A browser for the tests of the page that tells stories, and small models for it.

The browser is the Chromium that CHROMIUM names, or one of the usual names on PATH; Playwright drives it. Where either
is missing, the tests are skipped.
"""

import os
import shutil
import time

import pytest
import torch

from model import GPT, GPTConfig
from slm.models.to_page import dequantize, quantize, save_story_page
from slm.text import tokenizer

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"]


class Browser:
    """One window. `run` evaluates JavaScript in it, `wait` waits until an expression holds."""

    def __init__(self, chromium):
        self.chromium, self.page, self.messages = chromium, None, []

    def open(self, path, link="", until="!button.disabled", **window):
        """Open a page in a new window; window: Playwright's options, such as viewport and color_scheme."""
        self.close()
        self.messages = []  # what the page complains about
        self.page = self.chromium.new_page(**window)
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.goto(path.as_uri() + ("#" + link if link else ""))
        self.wait(until)

    def close(self):
        if self.page:
            self.page.close()

    def run(self, expression, argument=None):
        return self.page.evaluate(expression, argument)

    def wait(self, expression):  # Playwright's own waits evaluate text, which the page forbids
        deadline = time.monotonic() + 60
        while not self.run(expression):
            assert time.monotonic() < deadline, (expression, self.run("document.body.innerText"), self.messages)
            time.sleep(0.02)

    def begin(self, prompt, **fields):
        """Fill the form and press the button; fields: temperature, top_k, top_p, seed."""
        script = """values => {
            for (const name in values) fields[name].value = values[name];
            status.textContent = ""; button.click(); }"""
        self.run(script, {"prompt": prompt, "temperature": 0, "top_k": 0, "top_p": 1} | fields)

    def tell(self, prompt, **fields):
        """The whole story on the page, without the sign of its end, and the status above it."""
        self.begin(prompt, **fields)
        self.wait("status.textContent.includes(' after ')")
        return self.run("[story.textContent.replace('∎', ''), status.textContent]")

    def choose(self, place):
        """Choose a token and wait for its alternatives: [[name, share as shown], ...]."""
        self.run("place => spanOf(place).focus()", place)
        self.wait("!answering")
        return self.run("[...choiceList.querySelectorAll('li:not([hidden])')].map(li => li.innerText.split('\\n'))")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: pip install playwright")
    executable = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not executable:
        pytest.skip("there is no Chromium: install one, or name it by CHROMIUM=/path/to/chromium")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield Browser(chromium)
        chromium.close()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """For models this small, threads that wait for each other cost far more than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


def save_page(model, encoding, folder, title="page", measured=""):
    """Write the model's page; `model` gets the weights that the page computes with. The path of the page."""
    path = folder / "page.html"
    save_story_page(model, encoding, path, title, measured)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.copy_(dequantize(*quantize(parameter)))
    return path
