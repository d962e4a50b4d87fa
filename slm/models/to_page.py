"""A model as one HTML file that tells stories in a browser, with no network, no server and nothing to install.

The folder page/ has what the page is made of; this module joins it into one file, with the model, at 8 bits per weight,
and its tokenizer. The page computes what model.py computes, with the weights that `quantize` leaves.

    page.html      what is on the page                page.css       how it looks
    tokenizer.js   text to token ids                  arithmetic.js  the product that takes the time, in WebAssembly
    model.js       GPT-2, a token at a time           story.js       shares, draws, the worker's side
    page.js        links, telling, the story          glass.js       a token: alternatives, attention
"""

import base64
import dataclasses
import html
import json
import re
from pathlib import Path

import torch
from tiktoken_ext.openai_public import r50k_pat_str

from slm.errors import UserError, counted
from slm.files import atomic_write

FOLDER = Path(__file__).with_name("page")
LONGEST_STRING = 2**29 - 24  # characters that a string in Chromium holds: V8's String::kMaxLength


# What a byte means, in units of the scale of its row: from -1 to 1, finer near 0, where most weights are. Equal steps
# leave an error of 0.83 % in the matrices of a trained model, these leave 0.65 %.
STEPS = torch.arange(-127, 128) / 127
LEVELS = (STEPS + STEPS**3) / 2


def quantize(matrix):
    """A matrix (rows, columns) in 8 bits: uint8 (rows, columns) and float32 scales (rows,), the largest of each row.

    `dequantize` is the way back. Each number becomes the nearest of LEVELS, which are not equally far apart: that is
    the idea of Lloyd 1982, "Least squares quantization in PCM".
    """
    scales = matrix.abs().amax(1)
    between = (LEVELS[1:] + LEVELS[:-1]) / 2
    return torch.bucketize(matrix / scales.clamp_min(1e-30)[:, None], between).to(torch.uint8), scales


def dequantize(integers, scales):
    """The matrix (rows, columns), float32, that the page computes with."""
    return LEVELS[integers.long()] * scales[:, None]


def pack(model):
    """The parameters of a model.GPT as (tensors, bytes): the page's `readTensors` is the inverse.

    tensors: [[name, shape], ...]. bytes: first all float32 numbers, little-endian, in that order (the scales of a
    matrix, a vector whole), then all 8-bit numbers, row by row. The tied head and the vocabulary's padding stay out.
    """
    tensors, floats, integers = [], [], []
    for name, parameter in model.named_parameters():
        values = parameter.detach().float().cpu()
        if name == "transformer.wte.weight":
            values = values[: model.config.vocab_size]
        tensors.append([name, list(values.shape)])
        if values.dim() == 2:
            quantized, values = quantize(values)
            integers.append(quantized.numpy().tobytes())
        floats.append(values.numpy().astype("<f4").tobytes())
    return tensors, b"".join(floats + integers)


def describe_measured(loss, bpb, sense):
    """A line on what a model reaches, "" where nothing is known.

    loss: nats per token or None. bpb: bits per byte or None. sense: {name: share of pairs, from 0 to 1}.
    """
    words = []
    if loss is not None:
        words.append(f"Validation loss: {loss:.2f} nats per token" + (f", {bpb:.2f} bits per byte." if bpb else "."))
    if sense:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in sense.items())
        words.append(f"Pairs of texts of which it finds the right one likelier: {shares}.")
    return " ".join(words)


def read_part(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def save_story_page(model, encoding, path, title, measured=""):
    """Write the page that tells stories with `model`, a model.GPT, to `path`.

    encoding: the model's tiktoken.Encoding. title: the model's name; measured: see `describe_measured`; both are
    plain text. The file has 4/3 bytes per parameter. Raises UserError where the file cannot be written or no browser
    could open it.
    """
    if encoding._pat_str != r50k_pat_str:
        raise ValueError("the page cuts text into words as GPT-2 does, and this encoding does not")
    tensors, weights = pack(model)
    weights = base64.b64encode(weights).decode()
    if len(weights) > LONGEST_STRING:
        millions = model.num_params() / 1e6
        raise UserError(f"a model of {millions:,.0f} M parameters is too large for a page, which holds about 400 M")
    ranks = encoding._mergeable_ranks
    data = {
        "config": dataclasses.asdict(model.config),
        "tensors": tensors,
        "tokens": [token.decode("latin-1") for token in sorted(ranks, key=ranks.get)],  # one character per byte
        "endOfText": encoding.eot_token,
    }
    config = model.config
    shape = (
        f"{model.num_params() / 1e6:,.1f} million parameters: {counted(config.n_layer, 'layer')} of"
        f" {counted(config.n_head, 'head')}, a vocabulary of {config.vocab_size:,} tokens"
    )
    parts = {
        "TITLE": html.escape(title),
        "SHAPE": shape,
        "MEASURED": html.escape(measured),
        "STYLE": read_part("page.css"),
        "MODEL": "\n".join(map(read_part, ["tokenizer.js", "arithmetic.js", "model.js", "story.js"])),
        "PAGE": "\n".join(map(read_part, ["page.js", "glass.js"])),
        "DATA": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),  # no token can close the <script>
        "WEIGHTS": weights,
    }
    page = re.sub("__([A-Z]+)__", lambda match: parts[match[1]], read_part("page.html"))
    with atomic_write(path) as file:
        file.write(page.encode())
