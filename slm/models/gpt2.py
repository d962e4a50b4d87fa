"""GPT-2 as other programs know it: its parameters, the logits that they give, and the way of both into a checkpoint.

model.py has GPT-2's parameter names. It differs in three things: it pads the embedding, may leave out the biases, and
keeps each matrix transposed, as nn.Linear does.
"""

from dataclasses import asdict

import torch
import torch.nn.functional as F

from slm.errors import UserError
from slm.models.checkpoint import parse_config
from slm.text import tokenizer
from slm.values import is_valid, shown

EMBEDDING, HEAD, POSITIONS = "transformer.wte.weight", "lm_head.weight", "transformer.wpe.weight"
MATRICES = {"attn.c_attn": (3, 1), "attn.c_proj": (1, 1), "mlp.c_fc": (4, 1), "mlp.c_proj": (1, 4)}  # in n_embd


def transpose_matrices(parameters):
    """{name: tensor} with each block's four matrices transposed: from x @ W.T (nn.Linear) to x @ W (GPT-2) and back."""
    names = tuple(f".{matrix}.weight" for matrix in MATRICES)
    matrices = {name for name, tensor in parameters.items() if name.endswith(names) and tensor.dim() == 2}
    return {name: tensor.t().contiguous() if name in matrices else tensor for name, tensor in parameters.items()}


def gpt2_shapes(config):
    """{name: shape} of GPT-2's parameters, matrices as nn.Linear keeps them."""
    width = config.n_embd
    shapes = {EMBEDDING: (config.vocab_size, width), POSITIONS: (config.block_size, width)}
    layers = {"transformer.ln_f": (width,)}
    for i in range(config.n_layer):
        layers |= {f"transformer.h.{i}.{layer}": (width,) for layer in ("ln_1", "ln_2")}
        layers |= {f"transformer.h.{i}.{layer}": (m * width, n * width) for layer, (m, n) in MATRICES.items()}
    for layer, shape in layers.items():
        shapes |= {f"{layer}.weight": shape, f"{layer}.bias": shape[:1]}
    return shapes


def gpt2_parameters(model):
    """{name: float32 tensor} of a GPT: no padding, the tied head once, biases of 0 where it has none.

    Matrices stay as nn.Linear keeps them. Raises UserError where the model's parameters are not GPT-2's.
    """
    shapes = gpt2_shapes(model.config)
    parameters = {name: tensor.detach().float().contiguous() for name, tensor in model.named_parameters()}
    if EMBEDDING in parameters:
        parameters[EMBEDDING] = parameters[EMBEDDING][: model.config.vocab_size]
    if not model.config.bias:
        parameters |= {name: torch.zeros(shape) for name, shape in shapes.items() if name.endswith(".bias")}
    for name in sorted(shapes.keys() | parameters.keys()):
        if name not in parameters or shapes.get(name) != tuple(parameters[name].shape):
            raise UserError(f"model.py is not GPT-2 any more (see {name}), and only GPT-2 can be exported")
    return parameters


def gpt2_logits(parameters, n_head, idx):
    """The logits (B, T, V) of `gpt2_parameters` for token ids idx (B, T), by GPT-2's definition in plain operations."""

    def linear(x, name):
        return F.linear(x, parameters[f"{name}.weight"], parameters[f"{name}.bias"])

    def layer_norm(x, name):
        return F.layer_norm(x, x.shape[-1:], parameters[f"{name}.weight"], parameters[f"{name}.bias"], eps=1e-5)

    T = idx.size(1)
    x = parameters[EMBEDDING][idx] + parameters[POSITIONS][:T]
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    for i in range(sum(name.endswith(".ln_1.weight") for name in parameters)):
        block = f"transformer.h.{i}"
        heads = linear(layer_norm(x, f"{block}.ln_1"), f"{block}.attn.c_attn").chunk(3, -1)
        q, k, v = (part.unflatten(-1, (n_head, -1)).transpose(1, 2) for part in heads)  # (B, n_head, T, head size)
        scores = (q @ k.transpose(-1, -2) / q.size(-1) ** 0.5).masked_fill(future, -torch.inf)
        x = x + linear((scores.softmax(-1) @ v).transpose(1, 2).flatten(2), f"{block}.attn.c_proj")
        hidden = linear(layer_norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
        x = x + linear(F.gelu(hidden, approximate="tanh"), f"{block}.mlp.c_proj")
    return layer_norm(x, "transformer.ln_f") @ parameters[EMBEDDING].t()


@torch.no_grad()
def check_logits(model, parameters):
    """Raise UserError where GPT-2 with these parameters gives other logits than the model, on a whole random context.

    Then someone has changed what model.py computes, and no other program would give this model's stories.
    """
    config, generator = model.config, torch.Generator().manual_seed(0)
    idx = torch.randint(config.vocab_size, (1, config.block_size), generator=generator)
    was_training = model.training
    expected = model.eval()(idx, idx)[0].float()
    model.train(was_training)
    difference = (gpt2_logits(parameters, config.n_head, idx) - expected).abs().max().item()
    if not difference <= 1e-5 * expected.abs().max().item():  # rounding gives a tenth of that; NaN is not below it
        raise UserError(
            f"model.py does not compute what GPT-2 does any more (logits differ by up to {difference:.2g}), and only"
            " GPT-2 can be exported"
        )


# -- another program's GPT-2 as ours ----------------------------------------------------------------------------------


def as_checkpoint(parameters, shape, encoding, token_ids, where):
    """Another program's GPT-2 as the contents of a checkpoint of ours, trained for 0 steps.

    parameters: {GPT-2's name: tensor} of `by_name`, which has checked them; matrices as nn.Linear keeps them. shape:
    n_layer, n_head, n_embd, block_size and bias. token_ids: for each id of `encoding`, the row of the embedding that it
    has in the other program; other rows, such as padding, stay behind. Raises UserError, which names `where`.
    """
    for name in (EMBEDDING, POSITIONS):
        if name not in parameters or parameters[name].dim() != 2:
            raise UserError(f"{where} is no whole GPT-2: it lacks {name}")
    embedding = parameters[EMBEDDING]
    if not all(is_valid(token, int, 0, below=embedding.size(0)) for token in token_ids):
        raise UserError(f"{where} does not fit its tokenizer: it embeds {embedding.size(0):,} tokens only")
    config = parse_config(shape | {"vocab_size": encoding.n_vocab, "dropout": 0.0}, where)
    padded = torch.zeros(config.padded_vocab_size, embedding.size(1))
    padded[: config.vocab_size] = embedding[list(token_ids)]
    return {
        "model": parameters | {EMBEDDING: padded, HEAD: padded},
        "model_config": asdict(config),
        "config": shape,
        "tokenizer": tokenizer.to_text(encoding),
        "step": 0,
    }


def gpt2_tokenizer(vocab_size, where):
    """GPT-2's (encoding, token_ids), for a model without a tokenizer. Raises UserError where its size excludes them."""
    if vocab_size not in (tokenizer.GPT2_VOCAB_SIZE, 50304):  # nanoGPT pads it to a multiple of 64
        raise UserError(
            f"{where} comes without a tokenizer, and only GPT-2's (50,257 tokens, or 50,304 with padding) is known"
            f" without one: this model has {shown(vocab_size)}"
        )
    return tokenizer.gpt2(), range(tokenizer.GPT2_VOCAB_SIZE)
