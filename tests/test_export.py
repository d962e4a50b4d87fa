"""export.py: what transformers and llama.cpp's reader make of a folder, the model card, mistakes, and the way back."""

import json
import os
import random
import shutil
import subprocess
import sys
from types import SimpleNamespace

import gguf
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
import yaml
from conftest import PATIENCE, ROOT, assert_mistake, call, environment, start_command
from safetensors.torch import load_file
from test_checkpoint import contents_of, lively_model, save_run, small_encoding
from transformers import AutoModelForCausalLM, AutoTokenizer

import model as model_module
from slm.errors import UserError
from slm.models import checkpoint, from_hub, gpt2, load
from slm.models.generation import generate
from slm.models.model_card import TRAINING, model_card, read_corpus
from slm.text import tokenizer

FILES = {
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "README.md",
}
HARD_TEXTS = [
    "",
    " ",
    "don't DON'T we'll I'm you've they're he'd 'tis",
    "\n" * 70 + " " * 300 + "x" * 3000 + "!" * 300,
    "\u0000\x7f\x80 \ufeff\u2028end\u180e \u202etfel e\u0301",
    "tabs\t\tand\n\n\n\nnewlines   and      spaces  \r\n end ",
    "日本語のお話。 한국어 이야기 русская сказка العربية हिन्दी বাংলা ខ្មែរ",
    "Ünïcödé, naïve café — “quotes” … 🦊🐰👩‍👩‍👧 1234567890 3.14159",
]
PROMPTS = ["Tom", "", " It's 🦊 \n"]
# fine-tuning for one step: the options of a run whose shape is the checkpoint's
FINE_TUNING = ["--dataset=small", "--batch_size=4", "--gradient_accumulation_steps=1", "--warmup_iters=0"]
FINE_TUNING += ["--max_iters=1", "--sample_prompt=", "--device=cpu"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with the run `run`."""
    monkeypatch.chdir(tmp_path)
    save_run(tmp_path / "run/best.pt")
    return tmp_path


@pytest.fixture(scope="module", params=["500 tokens", "GPT-2's tokens", "no bias"])
def exported(request, tmp_path_factory):
    """A run and what export.py made of it: .model, .encoding, .run, .folder."""
    root = tmp_path_factory.mktemp("export")
    encoding = tokenizer.gpt2() if request.param == "GPT-2's tokens" else small_encoding()
    model = lively_model(encoding.n_vocab, bias=request.param != "no bias")
    (root / "run").mkdir()
    checkpoint.save_checkpoint(root / "run/best.pt", contents_of(model, encoding))
    result = call("export.py", root / "run", root / "made/folder", "--gguf")
    assert result.status == 0, result.err
    assert "made/folder" in result.out
    return SimpleNamespace(model=model, encoding=encoding, run=root / "run", folder=root / "made/folder")


@pytest.fixture(scope="module")
def small_folder(workshop, tmp_path_factory):
    """The workshop's run as a Hugging Face folder."""
    folder = tmp_path_factory.mktemp("export") / "small"
    assert call("export.py", workshop.path / "out/small", folder).status == 0
    return folder


# -- what transformers makes of the folder


def test_the_folder(exported):
    assert {path.name for path in exported.folder.iterdir()} == FILES | {"model.gguf"}
    assert not list(exported.folder.parent.glob(".*")), "a temporary folder was left"
    shape, size = exported.model.config, exported.encoding.n_vocab
    tensors = load_file(exported.folder / "model.safetensors")
    assert tensors["transformer.wte.weight"].shape == (size, 32), "the padding has travelled"
    assert "lm_head.weight" not in tensors
    assert tokenizer.to_text(load.load_model(exported.folder).encoding) == tokenizer.to_text(exported.encoding)
    config = transformers.AutoConfig.from_pretrained(exported.folder)
    assert (config.vocab_size, config.n_positions, config.n_ctx) == (size, 32, 32)
    assert config.bos_token_id == config.eos_token_id == size - 1 and shape.padded_vocab_size > size


def test_logits_are_ours(exported):
    theirs = AutoModelForCausalLM.from_pretrained(exported.folder)
    assert type(theirs) is transformers.GPT2LMHeadModel and theirs.dtype == torch.float32
    idx = torch.randint(exported.encoding.n_vocab, (3, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, logits = exported.model(idx, idx)[0], theirs(idx).logits
    assert logits.shape == expected.shape and expected.std() > 0.5
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_tokens_are_ours(exported):
    from data.sample_stories import stories

    fast, encoding = AutoTokenizer.from_pretrained(exported.folder), exported.encoding
    generator = random.Random(0)
    pool = " \n\t\r'\"abcdefgstremlvSTREMLV0123.,!?<|>\u00a0\u3000\u0301\u200d\x85\x1c🦊日ßю"
    noise = ["".join(generator.choices(pool, k=generator.randint(1, 60))) for _ in range(2000)]
    story = "\n\n".join(stories(30))
    for text in [*HARD_TEXTS, *noise, story]:
        ids = encoding.encode_ordinary(text)
        assert fast(text, add_special_tokens=False)["input_ids"] == ids, ascii(text)
        assert fast(text)["input_ids"] == [encoding.eot_token, *ids], "what sample.py gives the model"
        assert fast.decode(ids) == text
    assert len(fast) == fast.vocab_size == encoding.n_vocab
    settings = json.loads((exported.folder / "tokenizer_config.json").read_text())
    assert settings["model_input_names"] == list(fast("a")), "GPT-2 adds token types in, if it is given them"


def test_end_of_text_in_a_text_is_the_token(exported):
    fast, eot = AutoTokenizer.from_pretrained(exported.folder), exported.encoding.eot_token
    assert fast.bos_token_id == fast.eos_token_id == fast.pad_token_id == eot
    assert fast("a<|endoftext|>")["input_ids"] == [eot, *exported.encoding.encode_ordinary("a"), eot]
    plain = fast("a<|endoftext|>", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert plain == exported.encoding.encode_ordinary("a<|endoftext|>")


def test_greedy_stories_are_ours(exported):
    """From transformers' own objects, from its pipeline, and from sample.py, which reads the folder."""
    theirs, fast = AutoModelForCausalLM.from_pretrained(exported.folder), AutoTokenizer.from_pretrained(exported.folder)
    write = transformers.pipeline("text-generation", model=theirs, tokenizer=fast)
    stop, stories = exported.encoding.eot_token, set()
    for prompt in PROMPTS:
        ids = [stop, *exported.encoding.encode_ordinary(prompt)]
        (story,) = generate(exported.model, [ids], 32 - len(ids), temperature=0, stop_token=stop)
        made = theirs.generate(**fast(prompt, return_tensors="pt"), do_sample=False)[0].tolist()
        assert made[: len(ids) + len(story)] == ids + story
        assert set(made[len(ids) + len(story) :]) <= {stop} and len(made) <= 32
        text = exported.encoding.decode(ids[1:] + story)
        assert write(prompt, do_sample=False)[0]["generated_text"] == text
        stories.add(text)
    assert len(stories) == len(PROMPTS)
    together = write(PROMPTS, batch_size=len(PROMPTS), do_sample=False, max_new_tokens=8)
    assert [story["generated_text"] for (story,) in together] == [
        write(prompt, do_sample=False, max_new_tokens=8)[0]["generated_text"] for prompt in PROMPTS
    ]
    options = ["--temperature", "0", "--max_new_tokens", str(32 - len(ids))]
    assert call("sample.py", "--model", exported.folder, prompt, "--dtype", "float32", *options).out == text + "\n"
    assert len(write("Once")[0]["generated_text"]) > 4, "the pipeline's own options end inside the context"


def test_gguf(exported):
    """What llama.cpp reads: every parameter, the vocabulary in order, and the merges, under its names."""
    reader = gguf.GGUFReader(exported.folder / "model.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.name"] == exported.folder.name
    assert (fields["general.architecture"], fields["tokenizer.ggml.pre"]) == ("gpt2", "gpt-2")
    assert (fields["gpt2.context_length"], fields["gpt2.attention.head_count"]) == (32, 2)
    assert fields["tokenizer.ggml.add_bos_token"]
    assert fields["tokenizer.ggml.bos_token_id"] == exported.encoding.eot_token
    written = json.loads((exported.folder / "tokenizer.json").read_text())["model"]
    assert fields["tokenizer.ggml.tokens"] == sorted(written["vocab"], key=written["vocab"].get)
    assert fields["tokenizer.ggml.merges"] == [" ".join(merge) for merge in written["merges"]]
    tensors = {tensor.name: torch.from_numpy(np.array(tensor.data)) for tensor in reader.tensors}
    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GPT2, 2)
    state = exported.model.state_dict()
    state["transformer.wte.weight"] = state.pop("lm_head.weight")[: exported.encoding.n_vocab]
    for name, parameter in state.items():
        assert torch.equal(tensors.pop(known.get_name(name, (".weight", ".bias"))), parameter), name
    assert not any(tensor.any() for tensor in tensors.values()), "left are the biases of 0"
    assert len(tensors) == (0 if exported.model.config.bias else 13)


# -- a model.py that its owner has changed is not GPT-2


def change_function(name, function):
    """A change of one function of torch.nn.functional, in model.py alone."""
    return lambda patch: patch.setattr(model_module, "F", SimpleNamespace(**(vars(F) | {name: function})))


def scaled_otherwise(q, k, v, **options):
    return F.scaled_dot_product_attention(1.01 * q, k, v, **options)


def without_causal_mask(q, k, v, is_causal=False, **options):
    return F.scaled_dot_product_attention(q, k, v, **options)


class Untied(model_module.GPT):
    def __init__(self, config):
        super().__init__(config)
        self.lm_head.weight = torch.nn.Parameter(self.lm_head.weight.detach().clone())


CHANGES = {
    "ReLU": change_function("gelu", lambda x, approximate: F.relu(x)),
    "the exact GELU": change_function("gelu", lambda x, approximate: F.gelu(x)),
    "scores scaled otherwise": change_function("scaled_dot_product_attention", scaled_otherwise),
    "no causal mask": change_function("scaled_dot_product_attention", without_causal_mask),
    "an untied head": lambda patch: patch.setattr(load, "GPT", Untied),
}


@pytest.mark.parametrize("target", ["made", "page.html"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_model_is_not_exported(folder, change, target):
    with pytest.MonkeyPatch.context() as patch:
        CHANGES[change](patch)
        assert_mistake(call("export.py", "run", target), "model.py", "GPT-2")
    assert {path.name for path in folder.iterdir()} == {"run"}


@pytest.mark.parametrize("width", [64, 256])
def test_a_wider_mlp_is_not_gpt2(width):
    """The plain operations take any width; transformers would not load the folder."""
    model = lively_model(500)
    model.transformer.h[1].mlp.c_fc = torch.nn.Linear(32, width)
    model.transformer.h[1].mlp.c_proj = torch.nn.Linear(width, 32)
    with pytest.raises(UserError, match=r"h\.1\.mlp\.c_fc"):
        gpt2.gpt2_parameters(model)


def test_a_parameter_that_gpt2_lacks():
    """A parameter that GPT-2 does not have is named, even while it changes nothing."""
    model = lively_model(500)
    model.transformer.h[1].extra = torch.nn.LayerNorm(32)
    with pytest.raises(UserError, match=r"h\.1\.extra"):
        gpt2.gpt2_parameters(model)


@pytest.mark.parametrize(
    "shape", [{}, {"block_size": 200, "n_layer": 5, "n_embd": 96, "n_head": 6}, {"init_std": 0.02}]
)
def test_gpt2_in_plain_operations(shape):
    """The reference gives transformers' logits, and rounding alone is no reason to refuse an export."""
    model = lively_model(300, **shape)
    parameters = gpt2.gpt2_parameters(model)
    gpt2.check_logits(model, parameters)
    config = transformers.GPT2Config(**{name: getattr(model.config, name) for name in ("n_layer", "n_head", "n_embd")})
    config.vocab_size, config.n_positions = 300, model.config.block_size
    theirs = transformers.GPT2LMHeadModel(config).eval()
    theirs.load_state_dict(gpt2.transpose_matrices(parameters), strict=False)
    theirs.tie_weights()
    idx = torch.randint(300, (2, model.config.block_size))
    with torch.no_grad():
        torch.testing.assert_close(
            gpt2.gpt2_logits(parameters, config.n_head, idx), theirs(idx).logits, atol=1e-4, rtol=0
        )
    parameters["transformer.h.0.mlp.c_fc.bias"] = parameters["transformer.h.0.mlp.c_fc.bias"] * torch.nan
    with pytest.raises(UserError, match="differ"):
        gpt2.check_logits(model, parameters)


# -- the model card


def test_model_card(small_folder, workshop):
    card = (small_folder / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front) == {"library_name": "transformers", "pipeline_tag": "text-generation"}
    best = checkpoint.load_checkpoint(workshop.path / "out/small/best.pt")
    corpus = json.loads((workshop.path / "data/small/meta.json").read_text())["splits"]["train"]
    for fact in (
        f"{best['val_loss']:.4f} nats",
        f"{best['val_bpb']:.4f}",
        "512 tokens",
        f"{best['step']} of 12 steps of 8 x 32 tokens",
        "small.txt",
        f"{corpus['stories']:,} stories",
        "licence",
        'pipeline("text-generation", model="small")',
    ):
        assert fact in body, fact
    assert str(workshop.path) not in card


@pytest.mark.parametrize(
    ("source", "licence", "words"),
    [
        ("roneneldan/TinyStories", "mit", "CDLA-Sharing-1.0"),
        ("sample", "mit", "Synthetic"),
        ("/home/me/diary.txt", None, "`diary.txt`"),
        (None, None, "Not recorded"),
    ],
)
def test_data_and_licence(source, licence, words):
    card = model_card({"config": {}, "step": 3}, lively_model(300), {"source": source} if source else {}, "m")
    front = yaml.safe_load(card.split("---\n")[1])
    assert front.get("license") == licence and words in card and "/home" not in card
    assert ("datasets" in front) == (source == "roneneldan/TinyStories")


@pytest.mark.parametrize(
    "corpus", [[], {"splits": []}, {"splits": {"train": {"stories": "x", "tokens": 1}}}, {"source": 5}]
)
def test_a_card_without_the_corpus_where_its_description_is_damaged(tmp_path, corpus):
    if isinstance(corpus, dict):
        corpus |= {"tokenizer_sha256": tokenizer.sha256("a vocabulary")}
    (tmp_path / "config.json").write_text(json.dumps({"corpus": corpus}))
    saved = {"config": {"dataset": "mine"}, "step": 1}
    card = model_card(saved, lively_model(300), read_corpus(tmp_path / "best.pt", "a vocabulary"), "name")
    assert "`mine`. Say here" in card


def test_a_description_of_another_run(tmp_path):
    """A checkpoint may be copied beside one."""
    corpus = {"source": "sample", "tokenizer_sha256": tokenizer.sha256("a vocabulary")}
    (tmp_path / "config.json").write_text(json.dumps({"corpus": corpus}))
    assert read_corpus(tmp_path / "best.pt", "a vocabulary")["source"] == "sample"
    assert read_corpus(tmp_path / "best.pt", "another") == {}


def test_a_checkpoint_with_some_numbers(folder):
    """A loss without the bits per byte, a name that is no UTF-8: a card of what is there."""
    half_a_pair = "\udcff"
    config = {"init_from": f"out/{half_a_pair} x", "dataset": f"a{half_a_pair}"}
    save_run(folder / "run/best.pt", val_loss=1.5, config=config)
    assert call("export.py", "run", "made").status == 0
    card = (folder / "made/README.md").read_text()
    assert "1.5000 nats" in card and "bits per byte" not in card and "`a\\udcff`" in card


def test_a_card_counts_the_tokens_of_the_run():
    """With another batch after a resume, they are not the steps times today's batch."""
    config = dict.fromkeys(TRAINING, 1) | {"init_from": "scratch"}
    saved = {"config": config, "step": 10_000_000}
    model = lively_model(300)
    assert f"{10 * model.config.block_size:.1f} M tokens" in model_card(saved, model, {}, "m")
    card = model_card(saved | {"tokens": 6_400_000}, model, {}, "m", "AdamW and more")
    assert ": 6.4 M tokens" in card and "AdamW and more, betas" in card
    assert "average" not in card
    averaged = model_card(saved | {"config": config | {"ema": 0.05}}, model, {}, "m")
    assert "| weights | an average over the last 5 % of the steps |" in averaged


# -- mistakes, and a target that is whole or not there


def test_nothing_is_overwritten(folder):
    (folder / "full").mkdir()
    (folder / "full/mine").write_text("x")
    for name in ("file", "page.html"):
        (folder / name).write_text("x")
    (folder / "folder.html").mkdir()
    for name in ("full", "file", "page.html", "folder.html"):
        assert_mistake(call("export.py", "run", name), name, "exists")
    assert (folder / "full/mine").read_text() == (folder / "file").read_text() == "x"
    assert (folder / "page.html").read_text() == "x"
    (folder / "empty").mkdir()
    assert call("export.py", "run/best.pt", "empty").status == 0
    assert {path.name for path in (folder / "empty").iterdir()} == FILES
    assert_mistake(call("export.py", "run", "file/in/it"), "file/in/it")
    assert_mistake(call("export.py", "run", "."), "name of a new one")


def test_a_page(folder):
    assert call("export.py", "run", "story.html").status == 0
    assert "<html" in (folder / "story.html").read_text(encoding="utf-8").lower()
    assert_mistake(call("export.py", "run", "other.html", "--gguf"), "--gguf", "other.html")
    assert_mistake(call("export.py", "run", "run/best.pt/x.html"), "x.html")
    assert {path.name for path in folder.iterdir()} == {"run", "story.html"}


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are Unix's")
def test_a_disk_that_fills_up_before_the_last_number(folder):
    import resource

    assert call("export.py", "run", "whole.gguf").status == 0
    size, limits = (folder / "whole.gguf").stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    for least in (size - 1, size - 200):
        resource.setrlimit(resource.RLIMIT_FSIZE, (least, limits[1]))
        try:
            result = call("export.py", "run", "cut.gguf")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert_mistake(result, "cannot write cut.gguf")
        assert not (folder / "cut.gguf").exists()


def test_a_gguf_file_alone(folder):
    """The suffix decides: the file is the one that --gguf puts into a folder, but for its name in programs."""
    assert call("export.py", "run", "made/small.gguf").status == 0
    assert [path.name for path in (folder / "made").iterdir()] == ["small.gguf"]
    assert call("export.py", "run", "small", "--gguf").status == 0
    assert (folder / "made/small.gguf").read_bytes() == (folder / "small/model.gguf").read_bytes()
    assert_mistake(call("export.py", "run", "made/small.gguf"), "small.gguf exists")
    assert_mistake(call("export.py", "run", "other.GGUF", "--gguf"), "--gguf", "other.GGUF is a file")


def test_padding_by_place_keeps_the_end_of_a_story(small_folder):
    """What the card says: masked by its id, as collators do, each story would lose its end."""
    recipe = "input_ids.masked_fill(attention_mask == 0, -100)"
    assert recipe in (small_folder / "README.md").read_text()
    fast = AutoTokenizer.from_pretrained(small_folder)
    batch = fast(["Tom<|endoftext|>", "Tom had a cat.<|endoftext|>"], padding=True, return_tensors="pt")
    labels = eval(recipe, dict(batch))
    assert (labels[:, -1] == fast.eos_token_id).all() and (labels == -100).any()
    collate = transformers.DataCollatorForLanguageModeling(fast, mlm=False)
    masked = collate([{"input_ids": row} for row in batch["input_ids"]])["labels"]
    assert (masked[:, -1] == -100).all(), "collators keep the end by now: the card need not warn"


def test_a_plain_call_does_not_warn(small_folder):
    """transformers warns where a folder's limit of the length and the caller's are of two kinds."""
    code = f"""
from transformers import pipeline
write = pipeline("text-generation", model={str(small_folder)!r})
write("Once", do_sample=True), write("Once", max_length=9)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 0 and "max_new_tokens" not in result.stderr + result.stdout, result.stderr


def test_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    assert call("export.py", "~/run", "~/made").status == 0
    assert {path.name for path in folder.iterdir()} == {"run", "made"}


def test_mistakes(folder):
    (folder / "bad.pt").write_bytes((folder / "run/best.pt").read_bytes()[:5000])
    for arguments, words in (
        ((), ["MODEL", "TARGET"]),
        (("out/nothing", "f"), ["out/nothing", "train a model first"]),
        (("bad.pt", "f"), ["bad.pt", "damaged"]),
        (("run", "f", "--gguff"), ["--gguff", "did you mean --gguf"]),
        (("", "f"), ["MODEL", "empty"]),  # a variable of the shell that is not set
        (("run", "new/" + "é" * 130 + ".html"), ["at most 255 bytes"]),
        (("run", "~nobody_here/f"), ["no user", "~nobody_here"]),
        (("run", "my_\udcff"), ["my_\\udcff", "not UTF-8"]),
        (("run", "my_\udcff.gguf"), ["not UTF-8"]),
        (("run", "my_\udcff.html"), ["not UTF-8"]),
    ):
        assert_mistake(call("export.py", *arguments), *words)
    assert {path.name for path in folder.iterdir()} == {"run", "bad.pt"}


def test_a_name_that_commands_a_terminal(folder):
    result = call("export.py", "run", "red\x1b[31m\n.gguf")
    assert result.status == 0 and (folder / "red\x1b[31m\n.gguf").exists()
    assert "red\\x1b[31m\\n.gguf" in result.out and len(result.out.splitlines()) == 1


@pytest.mark.parametrize("package", ["tokenizers", "safetensors.torch", "gguf"])
def test_optional_packages(folder, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    result = call("export.py", "run", "f", "--gguf")
    assert_mistake(result, "pip install", package.removesuffix(".torch"))
    assert {path.name for path in folder.iterdir()} == {"run"}


def test_a_torchvision_that_does_not_fit_torch(folder):
    """It makes transformers' imports fail, so nothing here imports transformers: a new process shows it."""
    for name in ("torchvision", "transformers"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    environ = environment(PYTHONPATH=f"{folder}{os.pathsep}{ROOT}", PYTHONNOUSERSITE="1")
    code = "import runpy, sys\n"
    for command in (["export.py", "run", "made"], ["sample.py", "--model=made", "--max_new_tokens=3"]):
        command[0] = str(ROOT / command[0])
        code += f"sys.argv = {command!r}; runpy.run_path(sys.argv[0], run_name='__main__')\n"
    process = start_command([sys.executable, "-c", code], cwd=folder, env=environ)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and (folder / "made/config.json").exists(), err


@pytest.mark.skipif(sys.platform == "win32", reason="file-size limits are Unix's")
@pytest.mark.parametrize("target", ["f", "f.html"])
def test_a_full_disk_leaves_nothing(folder, target):
    """The weights do not fit (a file-size limit): one sentence, no folder, and no part of one."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limit[1]))
    try:
        result = call("export.py", "run", target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert_mistake(result, f"cannot write {target}")
    assert {path.name for path in folder.iterdir()} == {"run"}


# -- the way back


def test_the_way_back_changes_nothing(here, workshop, small_folder):
    """A folder validates like the run it is from, number for number, and is what fine-tuning starts from."""
    numbers = [
        call("train.py", "--eval_only", f"--init_from={path}", "--dataset=small", "--device=cpu").out.split(": ")[-1]
        for path in (workshop.path / "out/small", small_folder)
    ]
    assert "validation" in numbers[0] and numbers[0] == numbers[1]
    before, after = (load.read_model(path)[0] for path in (workshop.path / "out/small/best.pt", small_folder))
    for name, tensor in before["model"].items():
        torch.testing.assert_close(after["model"][name], tensor, atol=0, rtol=0, msg=name)
    assert before["tokenizer"] == after["tokenizer"]
    result = call("train.py", *FINE_TUNING, f"--init_from={small_folder}", "--learning_rate=1e-9", "--min_lr=0")
    assert result.status == 0, result.err
    tuned = checkpoint.load_checkpoint("out/small/best.pt")
    assert tuned["val_loss"] == pytest.approx(before["val_loss"], abs=1e-5)
    resumed = call("train.py", "--out_dir=out/small", "--init_from=resume", f"--max_iters={tuned['step'] + 1}")
    assert resumed.status == 0, resumed.err
    assert call("export.py", "out/small/last.pt", "again").status == 0
    assert f"| fine-tuned from | `{small_folder.name}` |" in (here / "again/README.md").read_text()


def test_a_shorter_context(here, small_folder):
    """block_size may be given smaller: positions past it are cut off, and the logits of the others stay."""
    options = [*FINE_TUNING, f"--init_from={small_folder}", "--learning_rate=1e-9", "--min_lr=0"]
    result = call("train.py", *options, "--block_size=16")
    assert result.status == 0, result.err
    whole = load.load_model(small_folder).model
    saved = checkpoint.load_checkpoint("out/small/best.pt")
    assert saved["model_config"]["block_size"] == 16 and saved["model"]["transformer.wpe.weight"].shape == (16, 32)
    idx = torch.arange(16)[None]
    torch.testing.assert_close(load.build_model(saved).eval()(idx, idx)[0], whole(idx, idx)[0], atol=1e-5, rtol=0)
    longer = call("train.py", *FINE_TUNING, f"--init_from={small_folder}", "--block_size=64", "--out_dir=out/l")
    assert_mistake(longer, "block_size 32, not 64")
    resumed = call("train.py", "--out_dir=out/small", "--init_from=resume", "--block_size=8")
    assert_mistake(resumed, "block_size 16, not 8")


def test_fine_tuning_a_model_of_the_hub(here, monkeypatch):
    """--init_from=ORG/NAME with a local folder in place of the download: GPT-2's vocabulary, the folder's shape."""
    (here / "mine.txt").write_text("One story.\n\nAnother one.\n\n" * 400)
    assert call("prepare.py", "--dataset", "mine.txt", "--vocab_size", "gpt2").status == 0
    config = transformers.GPT2Config(n_positions=64, n_embd=16, n_layer=1, n_head=2)
    transformers.GPT2LMHeadModel(config).save_pretrained("cache")
    shutil.move("cache", here / "data/cache")
    asked = []
    monkeypatch.setattr(from_hub, "download", lambda name, patterns: asked.append(name) or here / "data/cache")
    options = [*FINE_TUNING[1:], "--block_size=16", "--dataset=mine", "--eval_interval=1", "--out_dir=out/mine"]
    result = call("train.py", ROOT / "config/finetune.py", *options, "--init_from=someone/gpt2-tiny")
    assert result.status == 0, result.err
    saved = checkpoint.load_checkpoint("out/mine/best.pt")
    assert set(asked) == {"someone/gpt2-tiny"} and saved["model_config"]["n_embd"] == 16
    assert saved["model_config"]["block_size"] == 16
    assert call("export.py", "out/mine", "tuned").status == 0
    assert "| fine-tuned from | `someone/gpt2-tiny` |" in (here / "tuned/README.md").read_text()


def test_another_vocabulary_is_named(here, small_folder):
    (here / "other.txt").write_text("One story.\n\nAnother one.\n\n" * 100)
    assert call("prepare.py", "--dataset", "other.txt", "--vocab_size", "260").status == 0
    assert_mistake(call("train.py", f"--init_from={small_folder}", "--dataset=other"), "vocabulary", "data/other")
    assert not os.path.exists("out")
