"""slm/models/generation.py: the cache changes nothing, a full context forgets its older half, samples are fair."""

import math

import pytest
import torch
from test_model import make_model

from slm.errors import UserError
from slm.models import generation
from slm.models.generation import (
    decode_one_token,
    generate,
    newer_half,
    prefill,
    prompt_tokens,
    sample_token,
    stream,
    uniforms,
)
from slm.text import tokenizer

PROMPTS = [[1, 2, 3], [7], list(range(16)), list(range(40)), [5] * 15]


def test_while_the_text_fits_tokens_are_those_of_the_plain_loop():
    """With one more than block_size tokens in all: the last one is chosen from a full context."""
    model = make_model()
    stories = generate(model, PROMPTS, 50, temperature=0)
    for prompt, story in zip(PROMPTS, stories, strict=True):
        prompt = prompt[-16:]
        (plain,) = model.generate(torch.tensor([prompt]), 50, temperature=0).tolist()
        fits = 16 + 1 - len(prompt)
        assert plain[len(prompt) :][:fits] == story[:fits]
    # past it the plain loop slides by one token, and the cached context forgets its older half
    assert any(plain != story for story in stories)


def uncached(model, prompt, count):
    """Greedy tokens, the whole context read again for each, by the rule for a full context."""
    size = model.config.block_size
    context, story = prompt[-size:], []
    for _ in range(count):
        if len(context) > size:
            context = context[-max(1, size // 2) :]
        story.append(model(torch.tensor([context]))[0][0, -1].argmax().item())
        context.append(story[-1])
    return story


def test_cache_changes_nothing():
    """Greedy tokens with the key-value cache, several prompts at once, also past block_size."""
    model = make_model()
    expected = [uncached(model, prompt, 50) for prompt in PROMPTS]
    assert len({tuple(story) for story in expected}) == len(PROMPTS), "all stories are one: the test shows nothing"
    assert generate(model, PROMPTS, 50, temperature=0) == expected
    assert [generate(model, [prompt], 50, temperature=0)[0] for prompt in PROMPTS] == expected


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_smallest_contexts(size):
    model = make_model(block_size=size)
    prompts = [[1], [2, 3], [4, 5, 6]]
    assert generate(model, prompts, 12, temperature=0) == [uncached(model, prompt, 12) for prompt in prompts]


@pytest.mark.parametrize(
    ("text", "same_as"), [("Once", "Once"), ("a\udcffb", "a\ufffdb"), (" " * 600_000 + "x", None), ("\n" * 10**6, None)]
)
def test_the_tokens_of_any_prompt(text, same_as):
    """So much whitespace overflows tiktoken's own stack; a byte that is no UTF-8 has no other token."""
    encoding = tokenizer.gpt2()
    first, *ids = prompt_tokens(encoding, text)
    assert first == encoding.eot_token and encoding.decode(ids) == (same_as or text)
    assert not same_as or ids == encoding.encode_ordinary(same_as)


def test_what_a_full_context_keeps():
    context = list(range(17))
    assert newer_half(context[:16], 16) == context[:16]
    assert newer_half(context, 16) == [9, 10, 11, 12, 13, 14, 15, 16]
    assert newer_half([4, 5], 1) == [5]


def test_a_row_that_ends_at_the_edge_of_the_context():
    """The other row goes on, and the ended one reads no position past the last."""
    model = make_model()
    full, short = list(range(16)), [1, 2, 3]
    (stop,) = generate(model, [full], 1, temperature=0)[0]
    alone = generate(model, [short], 30, temperature=0, stop_token=stop)
    assert generate(model, [full, short], 30, temperature=0, stop_token=stop) == [[], *alone] and len(alone[0]) > 3


def test_prefill_and_decode():
    """Contexts of several lengths, into some rows of a cache, then tokens one by one: the logits of a whole pass."""
    model, idx = make_model(), torch.randint(100, (2, 16))
    kv_cache = generation.new_kv_cache(model, 5)
    assert kv_cache.shape == (3, 2, 5, 4, 16, 8)
    expected, _ = model(idx, idx)
    with torch.inference_mode():
        logits = prefill(model, [idx[0, :4].tolist(), idx[1, :9].tolist()], kv_cache, rows=[3, 1])
        torch.testing.assert_close(logits, torch.stack([expected[0, 3], expected[1, 8]]), atol=1e-4, rtol=1e-4)
        for step in range(7):
            token, position = torch.zeros(2, 5, dtype=torch.long)
            position[3], position[1] = 4 + step, 9 + step
            token[3], token[1] = idx[0, 4 + step], idx[1, 9 + step]
            logits = decode_one_token(model, token, position, kv_cache)
            torch.testing.assert_close(logits[3], expected[0, 4 + step], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(logits[1], expected[1, 9 + step], atol=1e-4, rtol=1e-4)


def test_generation_stops():
    model = make_model()
    (free,) = generate(model, [[1, 2, 3]], 30, temperature=0)
    stop = free[5]
    expected = free[: free.index(stop)]
    assert generate(model, [[1, 2, 3]], 30, temperature=0, stop_token=stop) == [expected]
    steps = list(stream(model, [[1, 2, 3], [4]], 30, temperature=0, stop_token=stop))
    assert [step[0] for step in steps][: len(expected) + 2] == [*expected, stop, None][: len(steps)]
    assert model.training is False
    model.train()
    generate(model, [[1]], 2)
    assert model.training, "the model is left in another mode"


@pytest.mark.parametrize(
    "extreme", [{"top_p": 1e-46}, {"top_p": 5e-324}, {"temperature": 1e-46}, {"top_k": 1}, {"top_p": 1e-9, "top_k": 2}]
)
def test_an_extreme_that_leaves_one_token(extreme):
    """float32 makes 0 of a number so small; the likeliest token stays."""
    model = make_model(spread=3.0)
    assert generate(model, PROMPTS, 8, **extreme) == generate(model, PROMPTS, 8, temperature=0)


def test_rows_that_have_ended_leave(monkeypatch):
    """The others' stories stay the same, where their context is read again and past NUMBERS tokens, too."""
    monkeypatch.setattr(generation, "NUMBERS", 16)
    model, sizes = make_model(spread=3.0), []

    def stories(**options):
        return generate(model, [[1]] * 12, 300, generator=torch.Generator().manual_seed(3), **options)

    def count(model, token, position, kv_cache):
        sizes.append(len(token))
        return decode_one_token(model, token, position, kv_cache)

    whole = stories()
    stop = max(range(100), key=lambda token: sum(token in story for story in whole))
    expected = [story[: story.index(stop)] if stop in story else story for story in whole]
    monkeypatch.setattr(generation, "decode_one_token", count)
    assert stories(stop_token=stop) == expected
    assert sizes[0] == 12 and sizes == sorted(sizes, reverse=True) and len(set(sizes)) > 2
    assert max(map(len, expected)) > 2 * 16, "another seed is needed"


@pytest.mark.gpu
@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 0.8, "top_k": 20}, {"top_p": 0.9}])
def test_a_captured_graph_changes_nothing(monkeypatch, options):
    model = make_model().cuda()

    def stories():
        return generate(model, [[1, 2, 3], [4]], 40, generator=torch.Generator().manual_seed(1), **options)

    captured = stories()
    assert captured == stories(), "a seed does not give the same story twice"
    monkeypatch.setattr(generation, "capture_cuda_graph", lambda function: function)
    assert captured == stories()


def test_a_seed_gives_the_same_story_twice():
    model = make_model(spread=3.0)
    stories = [generate(model, [[1]], 30, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert stories[0] == stories[1] != stories[2]


def test_a_story_does_not_depend_on_the_stories_after_it():
    """Nor on where a context is read again, or on how many tokens it may have; past NUMBERS tokens, too."""
    model = make_model(spread=3.0)

    def stories(rows, count):
        return generate(model, [[1]] * rows, count, generator=torch.Generator().manual_seed(4))

    five = stories(5, 300)
    assert len({tuple(story) for story in five}) == 5
    assert stories(1, 300) == five[:1] and stories(3, 300) == five[:3]
    assert stories(2, 20) == [story[:20] for story in five[:2]]


def test_random_numbers():
    """SplitMix64's from seed 0 begins with e220a8397b1dcdaf, 6e789e6aa1b965f4 (Vigna's splitmix64.c)."""
    expected = [(0xE220A8397B1DCDAF >> 40) / 2**24, (0x6E789E6AA1B965F4 >> 40) / 2**24]
    assert uniforms(torch.tensor([0]), 0, 2).tolist() == [expected]
    many = uniforms(torch.tensor([1, 2, 2**62 - 1]), 0, 30_000)
    assert torch.equal(uniforms(torch.tensor([2]), 70, 9), many[1:2, 70:79])
    assert many.min() >= 0 and many.max() < 1
    torch.testing.assert_close(many.mean(1), torch.full((3,), 0.5), atol=0.01, rtol=0)
    assert torch.corrcoef(many).fill_diagonal_(0).abs().max() < 0.03


@pytest.mark.parametrize("options", [{"temperature": 0}, {}, {"top_k": 3}, {"top_p": 0.9}, {"top_k": 3, "top_p": 0.9}])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_not_finite(monkeypatch, options, value):
    """-1 for the row that has them, and a sentence at once: later than at the first token, too."""
    logits = torch.randn(3, 9)
    logits[1, 4] = value
    tokens = sample_token(logits, torch.full((3,), 0.99), **options).tolist()
    assert tokens[1] == -1 and min(tokens[0], tokens[2]) >= 0
    model, decode = make_model(), generation.decode_one_token
    monkeypatch.setattr(generation, "decode_one_token", lambda *arguments: decode(*arguments) * value)
    steps = stream(model, [[1]], 9, **options)
    assert next(steps)[0] >= 0
    with pytest.raises(UserError, match="logits are not finite"):
        next(steps)


def frequencies(logits, **options):
    uniform = uniforms(torch.tensor([0]), 0, 20_000)[0]
    tokens = sample_token(logits.expand(20_000, -1), uniform, **options)
    return torch.bincount(tokens, minlength=logits.size(-1)) / 20_000


def test_samples_follow_the_probabilities():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0, 1.5]])
    torch.testing.assert_close(frequencies(logits), logits[0].softmax(0), atol=0.015, rtol=0)
    torch.testing.assert_close(frequencies(logits, temperature=0.5), (2 * logits[0]).softmax(0), atol=0.015, rtol=0)


def test_the_coldest_samples_are_greedy():
    logits = torch.tensor([[5.0, 9.0, 1.0]])
    for temperature in (0, 1e-45, 1e-30, 1e-6):
        assert sample_token(logits, torch.tensor([0.9]), temperature=temperature).item() == 1


def test_top_k_and_top_p():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0, 1.5]])
    best_two = torch.tensor([-math.inf, -math.inf, 2.0, -math.inf, 1.5]).softmax(0)
    torch.testing.assert_close(frequencies(logits, top_k=2), best_two, atol=0.015, rtol=0)
    # 0.426 and 0.258 reach 0.6 together, and the third is not needed
    torch.testing.assert_close(frequencies(logits, top_p=0.6), best_two, atol=0.015, rtol=0)
    assert frequencies(logits, top_p=1e-9)[2] == 1
    assert frequencies(logits, top_k=99).count_nonzero() == 5
    assert sample_token(logits, torch.tensor([0.9]), temperature=0).tolist() == [2]
