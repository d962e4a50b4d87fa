"""Sense: sentences in many scripts, one change a pair, mirrored templates, likelihoods, and shares that are chance."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import REAL_STORIES

from model import GPT, GPTConfig
from slm.evaluation import story_pairs
from slm.evaluation.likelihood import ModelScorer, NgramScorer
from slm.evaluation.sense import make_questions, measure, sense, wilson
from slm.evaluation.sentences import Language, join_sentences, split_sentences
from slm.evaluation.story_pairs import Story, make_pairs
from slm.evaluation.templates import ABILITIES, make_items, read_abilities
from slm.models import checkpoint, load
from slm.text import tokenizer
from slm.text.corpus import Corpus

NAMES = ["Tom", "Lily", "Ben", "Mia", "Sam", "Sue", "Max", "Anna"]
THINGS = ["ball", "kite", "doll", "drum", "boat", "cake", "book", "lamp"]


def tales(count=80):
    """Stories of two children and a thing each, with a he and a she in some."""
    random = np.random.default_rng(0)
    for number in range(count):
        (one, other), (thing, second) = random.permutation(NAMES)[:2], random.permutation(THINGS)[:2]
        pronoun = ["he", "she"][number % 2]
        yield (
            f"Once there was a child named {one}. One day, {one} found the {thing}. Then {pronoun} met a friend,"
            f' {other}. "What is that?" asked {other}. They played with the {thing}. The sun set and {pronoun} was'
            f" tired. So {one} took the {thing}. Then {other} ran to the {second}. They were glad {number} times."
        )


TALES = list(tales())


def fits(text):
    return True


def pairs_of(kind, texts=TALES, fits=fits, wanted=50):
    found, reasons, _ = make_pairs(texts, fits, seed=1, wanted=wanted)
    assert kind in found, reasons
    return found[kind]


# -- sentences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ('"Look! A dog," said Tom. It ran.', ['"Look! A dog," said Tom.', "It ran."]),
        ('"Wow!" said Mia. "Yes." It ran.', ['"Wow!" said Mia.', '"Yes."', "It ran."]),
        ("“Look! A dog,” said Tom. “Yes.” It ran.", ["“Look! A dog,” said Tom.", "“Yes.”", "It ran."]),
        ("Mr. Bear met Dr. Owl. They sang.", ["Mr. Bear met Dr. Owl.", "They sang."]),
        ("A title\n\nIt costs 3.50 now. Good.", ["A title", "It costs 3.50 now.", "Good."]),
        (
            'A stray " quote. It goes on.\nThe next line. Ends.',
            ['A stray " quote. It goes on.', "The next line.", "Ends."],
        ),
        ("猫がいた。「行こう！」と言った。みんな笑った。", ["猫がいた。", "「行こう！」と言った。", "みんな笑った。"]),
        ("一只猫来了。它很高兴！你呢？", ["一只猫来了。", "它很高兴！", "你呢？"]),
        ("एक लड़का था। वह खुश था।", ["एक लड़का था।", "वह खुश था।"]),
        ("كان هناك ولد. هل هو سعيد؟ نعم.", ["كان هناك ولد.", "هل هو سعيد؟", "نعم."]),
        ("Жил-был кот. Он спал… Потом встал.", ["Жил-был кот.", "Он спал…", "Потом встал."]),
        ("no end at all", ["no end at all"]),
    ],
)
def test_sentences_are_told_apart(text, sentences):
    found, separators = split_sentences(text)
    assert found == sentences
    assert join_sentences(found, separators) == text


def test_names_and_nouns_are_found_in_english_alone():
    language = Language(TALES)
    assert language.is_english and language.names == set(NAMES) and set(THINGS) <= set(language.nouns)
    german = ["Es war einmal ein Kind, das hieß Tom. Tom fand den Ball, und der Ball war rot. Da lachte Tom."] * 5
    assert not Language(german).is_english and not Language(german).names


# -- changes ----------------------------------------------------------------------------------------------------------


def test_neighbours_of_the_middle_are_swapped():
    for pair in pairs_of("order"):
        real, changed = split_sentences(pair.real)[0], split_sentences(pair.changed)[0]
        places = [i for i, (a, b) in enumerate(zip(real, changed, strict=True)) if a != b]
        assert len(places) == 2 and places[1] == places[0] + 1 and places[0] > 0 and places[1] < len(real) - 1
        assert real[places[0]] == changed[places[1]]


def test_the_middle_is_shuffled_and_its_tokens_stay_the_same():
    encoding = tokenizer.gpt2()
    texts = [text.replace(". Then", ".\n\nThen") for text in TALES]
    for kind in ("order", "shuffled"):
        for pair in pairs_of(kind, texts):
            real, changed = (Counter(encoding.encode_ordinary(text)) for text in pair[:2])
            assert real == changed and pair.real != pair.changed
    for pair in pairs_of("shuffled"):
        real, changed = split_sentences(pair.real)[0], split_sentences(pair.changed)[0]
        assert sorted(real) == sorted(changed) and (real[0], real[-1]) == (changed[0], changed[-1])


@pytest.mark.parametrize(("kind", "words"), [("who", NAMES), ("thing", THINGS), ("pronoun", ["he", "she"])])
def test_one_word_is_another_of_its_kind(kind, words):
    for pair in pairs_of(kind):
        real, changed = (re.findall(r"\w+", text) for text in pair[:2])
        ((old, new, place),) = [(a, b, i) for i, (a, b) in enumerate(zip(real, changed, strict=True)) if a != b]
        assert old in words and new in words
        if kind == "who":
            assert old in real[:place] and new in real[:place], "both are known by then"
        if kind == "thing":
            assert old in real[:place] and new not in real
        if kind == "pronoun":
            assert old in real[:place] and new not in real


def test_the_frequent_character_loses_a_mention_no_more_often():
    texts = [text.replace("So", f"{text.split()[5][:-1]} and") for text in tales(600)]
    losses = []
    for pair in pairs_of("who", texts, wanted=400):
        counts = Counter(word for word in re.findall(r"\w+", pair.real) if word in NAMES)
        ((before, _),) = counts.most_common(1)
        losses.append(len(re.findall(rf"\b{before}\b", pair.changed)) < counts[before])
    assert 0.4 < np.mean(losses) < 0.6


def test_an_ending_is_another_storys_with_this_ones_names():
    lengths = []
    for pair in pairs_of("ending"):
        real, changed = (split_sentences(text)[0] for text in pair[:2])
        assert real[:-2] == changed[:-2] and real[-2:] != changed[-2:]
        own = {name for name in NAMES if name in " ".join(real[:-2])}
        assert {name for name in NAMES if name in " ".join(changed[-2:])} <= own
        lengths.append(len(pair.changed) - len(pair.real))
    assert max(map(abs, lengths)) <= 12


def test_pairs_depend_on_the_seed_and_the_stories_alone():
    one, again, other = (make_pairs(TALES, fits, seed, 20)[0] for seed in (1, 1, 2))
    assert one == again and one != other
    fewer = make_pairs(TALES, fits, 1, 5)[0]
    assert all(one[kind][:5] == pairs for kind, pairs in fewer.items())


def test_a_long_story_is_cut_to_whole_sentences_and_counted():
    def short(text):
        return len(text) < 200

    pairs, _, _ = make_pairs(TALES, short, 1, 20)
    for kind, found in pairs.items():
        assert found and not any(pair.whole for pair in found)
        for pair in found:
            assert short(pair.real) and short(pair.changed)
            assert any(
                story.endswith(pair.real) if kind == "ending" else story.startswith(pair.real) for story in TALES
            )
    assert Story("Much too long, and one sentence", lambda text: False).text == "Much too long, and one sentence"


def test_what_has_no_pairs_says_why():
    japanese = [
        "猫がいた。犬もいた。二匹は遊んだ。とても楽しかった。そして寝た。夢を見た。",
        "鳥が来た。歌った。飛んだ。消えた。また来た。",
    ] * 3
    pairs, reasons, is_english = make_pairs(japanese, fits, 1, 5)
    assert {"order", "shuffled", "ending"} == set(pairs) and not is_english
    assert "English" in reasons["who"] and "English" in reasons["thing"]
    pairs, reasons, _ = make_pairs(["The dog and the cat. It was."], fits, 1, 5)
    assert not pairs and "sentences" in reasons["order"] and set(reasons) == set(story_pairs.CHANGES)


# -- templates --------------------------------------------------------------------------------------------------------


def test_there_are_fifty_mirrored_pairs_of_each_ability():
    items = make_items(seed=3)
    assert 8 <= len(items) <= 12
    for name, found in items.items():
        assert len(found) == 50, name
        assert len({item.texts() for item in found}) == 50
        for item in found:
            (one, other), (first, second) = item.stories, item.answers
            assert one != other and first != second
            assert sorted(re.findall(r"\w+", one)) != [] and "{" not in "".join(item.texts())
            assert not re.search(r"  |\s[.,!?]|\" \w+ \"", "".join(item.texts())), item
            assert item.texts() == (one + first, other + second, one + second, other + first)
    assert items == make_items(seed=3) != make_items(seed=4)


def test_a_mirror_image_exchanges_the_words():
    text = "== who: asks\nany: Tom, Mia\n{x} ran. {y} sat. The runner was | {x}."
    text += "\n== no: asks\npairs: hot - cold\nNot {x}: | {y}."
    abilities = read_abilities(text)
    assert abilities["who"].groups[0].templates == [("{x} ran. {y} sat. The runner was", " {x}.")]
    assert abilities["no"].groups[0].words == [["hot", "cold"]]
    assert all(ability.asks for ability in ABILITIES.values())


def test_templates_use_the_words_of_tinystories():
    if not REAL_STORIES.exists():
        pytest.skip("../shared/tinystories is not here")
    parquet = pytest.importorskip("pyarrow.parquet")
    stories = parquet.read_table(next((REAL_STORIES / "data").glob("train*")))["text"].to_pylist()
    known = Counter(word for story in stories for word in re.findall(r"[a-z']+", story.lower()))
    texts = [text for items in make_items(1337).values() for item in items for text in item.texts()]
    words = {word for text in texts for word in re.findall(r"[a-z']+", text.lower())}
    assert not [word for word in words if known[word.removesuffix("'s")] < 5]


# -- likelihoods and shares -------------------------------------------------------------------------------------------


def small_gpt(seed=0, vocab_size=50257, block_size=200):
    torch.manual_seed(seed)
    return GPT(GPTConfig(block_size=block_size, vocab_size=vocab_size, n_layer=2, n_head=2, n_embd=32, init_std=0.3))


def test_a_models_likelihood_is_its_loss_times_the_tokens(monkeypatch):
    from slm.evaluation import likelihood

    monkeypatch.setattr(likelihood, "BATCH_TOKENS", 60)
    monkeypatch.setattr(likelihood, "LOGITS", 1000)
    model, random = small_gpt(vocab_size=300), np.random.default_rng(0)
    texts = [random.integers(0, 299, length).tolist() for length in (7, 30, 1, 200, 18, 30)]
    nats = ModelScorer(model.train(), 299)(texts)
    assert model.training
    model.eval()
    for text, total in zip(texts, nats, strict=True):
        idx = torch.tensor([[299, *text[:-1]]])
        loss = model(idx, torch.tensor([text]))[1].item()
        assert total == pytest.approx(-loss * len(text), rel=1e-4)


@pytest.fixture
def tf32_is_allowed():
    """As in a run, where it changes a GPU's products."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


def test_a_run_and_evaluate_py_score_alike(tf32_is_allowed):
    seen, model = set(), small_gpt(vocab_size=300)
    model.transformer.ln_f.register_forward_hook(lambda *_: seen.add(torch.get_float32_matmul_precision()))
    ModelScorer(model, 299)([[1, 2, 3]])
    assert seen == {"highest"} and torch.get_float32_matmul_precision() == "high"


def test_ngrams_are_probabilities():
    tokens = np.array([9, 1, 2, 9, 1, 3, 9, 1, 2, 2, 9], np.uint16)
    for order in (1, 2):
        score = NgramScorer(tokens, 10, 9, order)
        for before in ([], [1], [7]):  # 7 is never followed by anything
            whole = sum(
                np.exp(score([[*before, token]])[0] - (score([before])[0] if before else 0)) for token in range(10)
            )
            assert whole == pytest.approx(1)
    bigram = NgramScorer(tokens, 10, 9, 2)
    assert bigram([[1, 2]])[0] > bigram([[1, 3]])[0] > bigram([[1, 7]])[0]


class Reader:
    """A scorer that likes texts by a function of their words."""

    def __init__(self, encoding, like):
        self.encoding, self.like = encoding, like

    def __call__(self, texts):
        return np.array([self.like(self.encoding.decode([i for i in text if i != 50256])) for text in texts], float)


def test_shares_of_readers_that_are_known():
    encoding = tokenizer.gpt2()
    questions = make_questions(encoding, TALES, 200)
    real = set(TALES)
    right = {text for items in make_items(1337).values() for item in items for text in item.texts()[:2]}
    all_right = measure(Reader(encoding, lambda text: text in real or text in right), questions)
    assert all(share.share == 1 for share in all_right.values())
    ties = measure(Reader(encoding, len_of_nothing := lambda text: 0.0), questions)
    assert len_of_nothing("") == 0
    assert all(share.share == (0.5 if share.chance == 0.5 else 0) for share in ties.values())
    wrong = measure(Reader(encoding, lambda text: text not in real and text not in right), questions)
    assert not any(share.share for share in wrong.values())
    assert set(all_right) == {*story_pairs.CHANGES, *ABILITIES} and not questions.reasons


def test_a_unigram_ties_where_only_the_order_differs():
    encoding = tokenizer.gpt2()
    questions = make_questions(encoding, TALES, 200)
    tokens = np.array([i for text in TALES for i in [*encoding.encode_ordinary(text), encoding.eot_token]])
    shares = measure(NgramScorer(tokens, encoding.n_vocab, encoding.eot_token, 1), questions)
    assert shares["order"].share == shares["shuffled"].share == 0.5
    assert not any(shares[name].share for name in ABILITIES)


def test_permuted_weights_score_chance(workshop):
    """Half of the story pairs, over all kinds, and at most what a coin gets of the templates."""
    loaded = checkpoint.load_checkpoint(workshop.path / "out/small/best.pt")
    model, encoding = load.build_model(loaded, block_size=32), tokenizer.from_text(loaded["tokenizer"])
    model.transformer.wpe = torch.nn.Embedding(400, model.config.n_embd)  # room for a story
    questions = make_questions(encoding, TALES, 400, pairs=30, items=10)
    stories, templates = [], []
    for seed in range(6):
        torch.manual_seed(seed)
        for parameter in model.parameters():
            parameter.data = parameter.data.flatten()[torch.randperm(parameter.numel())].view_as(parameter)
        shares = measure(ModelScorer(model, encoding.eot_token), questions)
        stories += [share.share for share in shares.values() if share.chance == 0.5]
        templates += [share.share for share in shares.values() if share.chance == 0.25]
    assert 0.4 < np.mean(stories) < 0.6
    assert np.mean(templates) < 0.25


def test_sense_is_of_a_corpus_or_of_texts(workshop):
    corpus = Corpus(workshop.path / "data/small")
    encoding = tokenizer.from_text(corpus.tokenizer_text)
    model = small_gpt(vocab_size=encoding.n_vocab, block_size=250)
    texts = [encoding.decode(ids.tolist()) for ids in corpus.stories("validation")]
    shares = sense(model, encoding, corpus, pairs=10, items=2)
    assert shares == sense(model, encoding, texts, pairs=10, items=2)
    assert shares["order"].n == 10 and shares["order"].low < shares["order"].share < shares["order"].high


def test_known_templates_are_left_out():
    encoding = tokenizer.gpt2()
    known = make_items(1337)["colour"][0].texts()[0]
    questions = make_questions(encoding, TALES, 200, known=lambda texts: np.array([text == known for text in texts]))
    assert len(questions.templates["colour"]) == 49 and len(questions.templates["found"]) == 50


def test_templates_that_do_not_fit_the_context_say_so():
    questions = make_questions(tokenizer.gpt2(), TALES, 12)
    assert "12 tokens" in questions.reasons["name"] and all(len(ids) <= 12 for ids in questions.texts)


def test_wilson():
    assert wilson(0.0, 50) == (0.0, pytest.approx(0.0713, abs=1e-3))
    assert wilson(1.0, 50) == (pytest.approx(0.9287, abs=1e-3), 1.0)
    assert wilson(0.5, 100) == (pytest.approx(0.4038, abs=1e-3), pytest.approx(0.5962, abs=1e-3))
    widths = [high - low for low, high in (wilson(0.3, n) for n in (10, 50, 200))]
    assert all(more > less for more, less in pairwise(widths))
