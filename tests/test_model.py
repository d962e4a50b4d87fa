"""model.py: GPT-2's numbers, the loss, and the plain loop that generates."""

import pytest
import torch
import torch.nn.functional as F

import model as model_module
from model import GPT, GPTConfig, linear_cross_entropy

TINY = {"vocab_size": 100, "block_size": 16, "n_layer": 3, "n_head": 4, "n_embd": 32, "dropout": 0.0}


def make_model(spread=8.0, **changes):
    """A small model whose weights are large enough that its predictions differ from place to place."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(**(TINY | changes)))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter *= spread
    return model.eval()


def test_logits_are_hugging_faces():
    """The same random weights under the same names give GPT2LMHeadModel's logits and loss."""
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=100, n_positions=16, n_embd=32, n_layer=3, n_head=4, bos_token_id=None, eos_token_id=None
    )
    torch.manual_seed(1)
    theirs = transformers.GPT2LMHeadModel(config).eval()
    ours = make_model()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.normal_(std=0.3)
            mine = ours.get_parameter(name)
            if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
                mine.copy_(parameter.t())  # GPT-2 keeps these as in x @ W, nn.Linear as in x @ W.T
            else:
                mine[: len(parameter)].copy_(parameter)
    assert {name for name, _ in theirs.named_parameters()} == {name for name, _ in ours.named_parameters()}
    idx = torch.randint(100, (2, 16))
    logits, loss = ours(idx, idx)
    expected = theirs(idx)
    assert logits.shape == (2, 16, 100)
    torch.testing.assert_close(logits, expected.logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(loss, F.cross_entropy(expected.logits.flatten(0, 1), idx.flatten()))


def test_without_targets_the_last_position_alone():
    model = make_model()
    idx = torch.randint(100, (2, 9))
    logits, loss = model(idx)
    assert loss is None and logits.shape == (2, 1, 100)
    torch.testing.assert_close(logits[:, 0], model(idx, idx)[0][:, -1])


def test_initial_weights():
    model = GPT(GPTConfig(vocab_size=1000, n_layer=8, n_embd=128, n_head=4))
    block = model.transformer.h[0]
    assert block.attn.c_attn.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.mlp.c_proj.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)  # sqrt(2 x 8 layers)
    assert not any(parameter.any() for name, parameter in model.named_parameters() if name.endswith("bias"))
    logits, _ = model(torch.zeros(1, 1, dtype=torch.long))
    assert logits.abs().max() < 2, "a new model should know nothing"


def test_bias_can_be_left_out():
    assert not [name for name, _ in make_model(bias=False).named_parameters() if name.endswith("bias")]


def test_the_tutorials_model():
    model = GPT(GPTConfig())
    assert model.lm_head.weight.shape == (50304, 384)
    assert model.num_params() == 50257 * 384 + 128 * 384 + model.num_params(embeddings=False)
    assert model.num_params(embeddings=False) == 6 * (12 * 384**2 + 13 * 384) + 2 * 384
    assert model.flops_per_token() == 6 * (model.num_params() - 128 * 384) + 12 * 6 * 384 * 128


@pytest.mark.parametrize("chunk", [100, 10_000, 1_000_000], ids=["many chunks", "few chunks", "all at once"])
def test_the_loss_without_logits(monkeypatch, chunk):
    """The loss without logits, and its gradients, are those of the loss with them; -1 is no target."""
    monkeypatch.setattr(model_module, "LOGITS_CHUNK", chunk)
    model = make_model(spread=4.0)
    with torch.no_grad():
        model.lm_head.weight[100:] = 3.0  # the padding must not count
    idx, targets = torch.randint(100, (20, 16)), torch.randint(-1, 100, (20, 16))
    targets[0] = -1
    expected = model(idx, targets)[1]
    (2 * expected).backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    logits, loss = model(idx, targets, with_logits=False)
    (2 * loss).backward()
    assert logits is None
    torch.testing.assert_close(loss, expected)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-6, rtol=1e-4, msg=name)
    with torch.no_grad():
        torch.testing.assert_close(model(idx, targets, with_logits=False)[1], expected)


@pytest.fixture(params=[False, True], ids=["launched", "compiled"])
def way(request, monkeypatch):
    """Both ways of linear_cross_entropy's gradient: the second is for compiled code, and gives the same without."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: request.param)


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
def test_linear_cross_entropy(monkeypatch, way, rows):
    """PyTorch's cross-entropy of a linear head and its gradients, however many rows a chunk has."""
    monkeypatch.setattr(model_module, "LOGITS_CHUNK", rows * 12)
    monkeypatch.setattr(model_module, "LOGITS_CHUNK_COMPILED", rows * 12)
    torch.manual_seed(1)
    x, weight = torch.randn(7, 5, requires_grad=True), torch.randn(12, 5, requires_grad=True)
    targets = torch.tensor([0, 9, -1, 3, 3, -1, 7])
    expected = F.cross_entropy(x @ weight[:10].t(), targets, ignore_index=-1)
    gradients = torch.autograd.grad(3 * expected, (x, weight))
    loss = linear_cross_entropy(x, weight, targets, 10)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(3 * loss, (x, weight)), gradients)
    with torch.no_grad():
        torch.testing.assert_close(linear_cross_entropy(x, weight, targets, 10), expected)


def test_linear_cross_entropy_of_many_tokens(way):
    """Beyond a CPU's chunk, loss and gradients are those of float64 within float32's rounding."""
    torch.manual_seed(1)
    tokens = 2 * model_module.CPU_TOKENS + 300
    x, weight = torch.randn(tokens, 32), torch.randn(128, 32)
    targets = torch.randint(-1, 100, (tokens,))
    results = []
    for dtype in (torch.float32, torch.float64):
        leaves = [tensor.to(dtype).requires_grad_() for tensor in (x, weight)]
        if dtype == torch.float32:
            loss = linear_cross_entropy(*leaves, targets, 100)
        else:
            loss = F.cross_entropy(leaves[0] @ leaves[1][:100].t(), targets, ignore_index=-1)
        results.append([loss, *torch.autograd.grad(loss, leaves)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one.double(), other, atol=2e-6 * other.abs().max().item(), rtol=0)


def test_linear_cross_entropy_in_mixed_precision(monkeypatch, way):
    """bfloat16 products, a float32 loss, float32 gradients near those of float32."""
    monkeypatch.setattr(model_module, "LOGITS_CHUNK", 4 * 64)
    monkeypatch.setattr(model_module, "LOGITS_CHUNK_COMPILED", 4 * 64)
    torch.manual_seed(1)
    x, weight = torch.randn(40, 32, requires_grad=True), torch.randn(64, 32, requires_grad=True)
    targets = torch.randint(60, (40,))
    gradients = torch.autograd.grad(linear_cross_entropy(x, weight, targets, 60), (x, weight))
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(x, weight, targets, 60)
    assert loss.dtype == torch.float32
    mixed = torch.autograd.grad(loss, (x, weight))
    assert {gradient.dtype for gradient in mixed} == {torch.float32}
    for one, other in zip(mixed, gradients, strict=True):
        torch.testing.assert_close(one, other, atol=0.02 * other.abs().max().item(), rtol=0)


def test_padding_is_never_predicted():
    """100 tokens are padded to 128; whatever the padding's rows hold, no id past 99 comes out."""
    model = make_model()
    with torch.no_grad():
        model.lm_head.weight[100:] = 100 * model.lm_head.weight[:28]
    assert model(torch.zeros(1, 1, dtype=torch.long))[0].shape[-1] == 100
    assert model.generate(torch.ones(20, 1, dtype=torch.long), 40, temperature=5.0).max() < 100


class Rotary(GPT):
    """Somebody's change: no table of positions, and a head with other weights than the embedding."""

    def __init__(self, config, untied=False):
        super().__init__(config)
        self.transformer.wpe = torch.nn.Identity()
        if untied:
            self.lm_head.weight = torch.nn.Parameter(self.lm_head.weight.detach().clone())


def test_counts_follow_the_modules():
    """No table is subtracted that is not there, and a head that is not tied is multiplied and counted."""
    config = GPTConfig(**TINY)
    blocks = 3 * (12 * 32**2 + 13 * 32) + 2 * 32
    attention = 12 * 3 * 32 * 16
    model = Rotary(config)
    assert (model.num_params(), model.num_params(embeddings=False)) == (blocks + 100 * 32, blocks)
    assert model.flops_per_token() == 6 * (blocks + 100 * 32) + attention
    model = Rotary(config, untied=True)
    assert (model.num_params(), model.num_params(embeddings=False)) == (blocks + 200 * 32, blocks + 100 * 32)
    assert model.flops_per_token() == 6 * (blocks + 100 * 32) + attention


# -- the plain loop ---------------------------------------------------------------------------------------------------


def test_greedy_generation():
    """Each token is the likeliest after the last block_size ones."""
    model, idx = make_model(), torch.randint(100, (3, 5))
    whole = model.generate(idx, 30, temperature=0)
    assert whole.shape == (3, 35) and torch.equal(whole[:, :5], idx)
    for end in range(5, 35):
        window = whole[:, max(0, end - 16) : end]
        assert torch.equal(whole[:, end], model(window, window)[0][:, -1].argmax(-1))
    assert torch.equal(model.generate(idx, 30, top_k=1), whole)
    assert torch.equal(model.generate(idx, 0), idx)


def test_sampled_generation():
    """Tokens come as often as the model says, of the k likeliest alone."""
    model = make_model()
    idx = torch.tensor([[1, 2, 3]])
    probs = (model(idx)[0][0, -1] / 3).softmax(-1)
    torch.manual_seed(0)
    new = model.generate(idx.expand(20_000, -1), 1, temperature=3.0)[:, -1]
    torch.testing.assert_close(torch.bincount(new, minlength=100) / 20_000, probs, atol=0.015, rtol=0)
    new = model.generate(idx.expand(2_000, -1), 1, temperature=3.0, top_k=4)[:, -1]
    assert set(new.tolist()) == set(probs.topk(4).indices.tolist())
    assert model.generate(idx, 1, top_k=1000).shape == (1, 4)
