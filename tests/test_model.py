"""model.py: GPT-2's numbers, the loss, and what generation promises."""

import math

import pytest
import torch
import torch.nn.functional as F

import model as model_module
from model import GPT, GPTConfig, linear_cross_entropy, sample_token

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


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
def test_linear_cross_entropy(monkeypatch, rows):
    """PyTorch's cross-entropy of a linear head and its gradients, however many rows a chunk has."""
    monkeypatch.setattr(model_module, "LOGITS_CHUNK", rows * 12)
    torch.manual_seed(1)
    x, weight = torch.randn(7, 5, requires_grad=True), torch.randn(12, 5, requires_grad=True)
    targets = torch.tensor([0, 9, -1, 3, 3, -1, 7])
    expected = F.cross_entropy(x @ weight[:10].t(), targets, ignore_index=-1)
    gradients = torch.autograd.grad(3 * expected, (x, weight))
    loss = linear_cross_entropy(x, weight, targets, 10)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(3 * loss, (x, weight)), gradients)


def test_linear_cross_entropy_in_mixed_precision(monkeypatch):
    """bfloat16 products, a float32 loss, float32 gradients near those of float32."""
    monkeypatch.setattr(model_module, "LOGITS_CHUNK", 4 * 64)
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
    generator = torch.Generator().manual_seed(0)
    stories = model.generate([[1]] * 20, 40, temperature=5.0, generator=generator)
    assert max(max(story) for story in stories) < 100


def uncached(model, prompt, count):
    """Greedy tokens, the whole context read again for each; a full context forgets its older half."""
    size = model.config.block_size
    context, story = prompt[-size:], []
    for _ in range(count):
        if len(context) > size:
            context = context[-(size // 2) :]
        story.append(model(torch.tensor([context]))[0][0, -1].argmax().item())
        context.append(story[-1])
    return story


def test_cache_changes_nothing():
    """Greedy tokens with the key-value cache, several prompts at once, also past block_size."""
    model = make_model()
    prompts = [[1, 2, 3], [7], list(range(16)), list(range(40)), [5] * 15]
    expected = [uncached(model, prompt, 50) for prompt in prompts]
    assert len({tuple(story) for story in expected}) == len(prompts), "all stories are one: the test shows nothing"
    assert model.generate(prompts, 50, temperature=0) == expected
    assert [model.generate([prompt], 50, temperature=0)[0] for prompt in prompts] == expected


def test_hidden_states_in_parts():
    """A prompt read in three parts through the caches has the hidden states of the prompt read at once."""
    model = make_model()
    idx = torch.randint(100, (2, 16))
    whole = model.hidden(idx)
    kv_caches, parts = model.new_kv_caches(2), []
    assert len(kv_caches) == 3 and kv_caches[0].shape == (2, 2, 4, 16, 8)
    for start, end in ((0, 5), (5, 6), (6, 16)):
        parts.append(model.hidden(idx[:, start:end], torch.arange(start, end).expand(2, -1), kv_caches))
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-4, rtol=1e-4)


def test_generation_stops():
    model = make_model()
    (free,) = model.generate([[1, 2, 3]], 30, temperature=0)
    stop = free[5]
    expected = free[: free.index(stop)]
    assert model.generate([[1, 2, 3]], 30, temperature=0, stop_token=stop) == [expected]
    steps = list(model.stream([[1, 2, 3], [4]], 30, temperature=0, stop_token=stop))
    assert [step[0] for step in steps][: len(expected) + 2] == [*expected, stop, None][: len(steps)]
    assert model.training is False
    model.train()
    model.generate([[1]], 2)
    assert model.training, "the model is left in another mode"


@pytest.mark.gpu
@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 0.8, "top_k": 20}, {"top_p": 0.9}])
def test_a_captured_graph_changes_nothing(monkeypatch, options):
    model = make_model().cuda()

    def stories():
        return model.generate([[1, 2, 3], [4]], 40, generator=torch.Generator("cuda").manual_seed(1), **options)

    captured = stories()
    assert captured == stories(), "a seed does not give the same story twice"
    monkeypatch.setattr("model.capture_cuda_graph", lambda function, generator=None: function)
    assert captured == stories()


def test_a_seed_gives_the_same_story_twice():
    model = make_model(spread=3.0)
    stories = [model.generate([[1]], 30, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert stories[0] == stories[1] != stories[2]


def frequencies(logits, **options):
    generator = torch.Generator().manual_seed(0)
    tokens = sample_token(logits.expand(20_000, -1), generator=generator, **options)
    return torch.bincount(tokens, minlength=logits.size(-1)) / 20_000


def test_samples_follow_the_probabilities():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0, 1.5]])
    torch.testing.assert_close(frequencies(logits), logits[0].softmax(0), atol=0.015, rtol=0)
    torch.testing.assert_close(frequencies(logits, temperature=0.5), (2 * logits[0]).softmax(0), atol=0.015, rtol=0)


def test_the_coldest_samples_are_greedy():
    logits = torch.tensor([[5.0, 9.0, 1.0]])
    for temperature in (0, 1e-45, 1e-30, 1e-6):
        assert sample_token(logits, temperature=temperature).item() == 1


def test_top_k_and_top_p():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0, 1.5]])
    best_two = torch.tensor([-math.inf, -math.inf, 2.0, -math.inf, 1.5]).softmax(0)
    torch.testing.assert_close(frequencies(logits, top_k=2), best_two, atol=0.015, rtol=0)
    # 0.426 and 0.258 reach 0.6 together, and the third is not needed
    torch.testing.assert_close(frequencies(logits, top_p=0.6), best_two, atol=0.015, rtol=0)
    assert frequencies(logits, top_p=1e-9)[2] == 1
    assert frequencies(logits, top_k=99).count_nonzero() == 5
    assert sample_token(logits, temperature=0).tolist() == [2]
