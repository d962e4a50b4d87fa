"""export.py and the way back: Hugging Face folders, GGUF, nanoGPT checkpoints, GPT-2 from the hub."""

import json
import random
import shutil
import sys
from dataclasses import asdict
from types import SimpleNamespace

import gguf
import numpy as np
import pytest
import torch
import transformers
import yaml
from conftest import ROOT, assert_mistake, call
from safetensors.torch import load_file, save_file
from test_prepare import HARD_TEXTS
from test_train import Harm
from transformers import AutoModelForCausalLM, AutoTokenizer

import checkpoint
import export
import tokenizer
from model import GPT, GPTConfig

FILES = {
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "README.md",
}
PROMPTS = ["Tom", "", " It's 🦊 \n"]
# a model that fine-tunes: the options of a run whose shape is the checkpoint's
FINE_TUNING = ["--dataset=small", "--batch_size=4", "--gradient_accumulation_steps=1", "--warmup_iters=0"]
FINE_TUNING += ["--max_iters=1", "--sample_prompt=", "--device=cpu"]


def lively_model(vocab_size, **changes):
    """A small model whose weights, biases among them, are large enough that everything it is given matters."""
    torch.manual_seed(1)
    shape = {"block_size": 32, "n_layer": 2, "n_head": 2, "n_embd": 32, "dropout": 0.0, "init_std": 0.2} | changes
    model = GPT(GPTConfig(vocab_size, **shape))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.normal_(mean=float(name.endswith("weight")), std=0.2)
    return model.eval()


def save_as_run(model, encoding, path):
    shape = {name: asdict(model.config)[name] for name in ("n_layer", "n_head", "n_embd", "block_size", "bias")}
    contents = {
        "model": model.state_dict(),
        "model_config": asdict(model.config),
        "config": shape,
        "tokenizer": tokenizer.to_text(encoding),
        "step": 7,
    }
    path.parent.mkdir(parents=True)
    checkpoint.save(path, contents)


@pytest.fixture(scope="module", params=["pruned", "whole", "no bias"])
def exported(request, tmp_path_factory):
    """A run and what export.py made of it: .model, .encoding, .run, .folder. The whole vocabulary, or one of 500."""
    root = tmp_path_factory.mktemp("export")
    encoding = tokenizer.gpt2()
    if request.param != "whole":  # 500, which is padded to 512
        encoding = tokenizer.prune(encoding, -np.arange(encoding.n_vocab), 500)
    model = lively_model(encoding.n_vocab, bias=request.param != "no bias")
    save_as_run(model, encoding, root / "run/best.pt")
    result = call("export.py", root / "run", root / "made/folder", "--gguf")
    assert result.status == 0, result.err
    assert "made/folder" in result.out
    return SimpleNamespace(model=model, encoding=encoding, run=root / "run", folder=root / "made/folder")


@pytest.fixture(scope="module")
def pretrained(workshop, tmp_path_factory):
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
    config = json.loads((exported.folder / "config.json").read_text())
    assert (config["vocab_size"], config["n_positions"], config["n_ctx"]) == (size, 32, 32)
    assert config["bos_token_id"] == config["eos_token_id"] == size - 1 and shape.padded_vocab_size > size


def test_logits_are_ours(exported):
    theirs = AutoModelForCausalLM.from_pretrained(exported.folder)
    assert type(theirs) is transformers.GPT2LMHeadModel
    idx = torch.randint(exported.encoding.n_vocab, (3, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, logits = exported.model(idx, idx)[0], theirs(idx).logits
    assert logits.shape == expected.shape and expected.std() > 0.5
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_tokens_are_ours(exported, workshop):
    fast, encoding = AutoTokenizer.from_pretrained(exported.folder), exported.encoding
    generator = random.Random(0)
    pool = " \n\t\r'\"abcdefgstremlvSTREMLV0123.,!?<|>\u00a0\u3000\u0301\u200d\x85\x1c🦊日ßю"
    noise = ["".join(generator.choices(pool, k=generator.randint(1, 60))) for _ in range(2000)]
    odd = [
        "don't DON'T we'll I'm you've they're he'd 'tis",
        "\n" * 70 + " " * 300 + "x",
        "\u0000 \ufeff\u2028end\u180e",
    ]
    story = (workshop.path / "small.txt").read_text()[:20_000].replace(tokenizer.ENDOFTEXT, "")
    for text in [text for text in HARD_TEXTS if tokenizer.ENDOFTEXT not in text] + odd + noise + [story]:
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
    """From transformers' own objects, from its pipeline, and from sample.py reading the folder itself."""
    theirs, fast = AutoModelForCausalLM.from_pretrained(exported.folder), AutoTokenizer.from_pretrained(exported.folder)
    tell = transformers.pipeline("text-generation", model=theirs, tokenizer=fast)
    stop, stories = exported.encoding.eot_token, set()
    for prompt in PROMPTS:
        ids = [stop, *exported.encoding.encode_ordinary(prompt)]
        (story,) = exported.model.generate([ids], 32 - len(ids), temperature=0, stop_token=stop)
        made = theirs.generate(**fast(prompt, return_tensors="pt"), do_sample=False)[0].tolist()
        assert made[: len(ids) + len(story)] == ids + story
        assert set(made[len(ids) + len(story) :]) <= {stop} and len(made) <= 32
        text = exported.encoding.decode(ids[1:] + story)
        assert tell(prompt, do_sample=False)[0]["generated_text"] == text
        stories.add(text)
    assert len(stories) == len(PROMPTS)
    together = tell(PROMPTS, batch_size=len(PROMPTS), do_sample=False, max_new_tokens=8)
    assert [story["generated_text"] for (story,) in together] == [
        tell(prompt, do_sample=False, max_new_tokens=8)[0]["generated_text"] for prompt in PROMPTS
    ]
    options = ["--temperature", "0", "--max_new_tokens", str(32 - len(ids))]
    assert call("sample.py", "--out_dir", exported.folder, "--prompt", prompt, *options).out == text + "\n"
    assert len(tell("Once")[0]["generated_text"]) > 4, "the pipeline's own options end inside the context"


def test_gguf(exported):
    """What llama.cpp reads: every parameter, the vocabulary in order, and the merges, under its names."""
    reader = gguf.GGUFReader(exported.folder / "model.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
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


# -- the model card


def test_model_card(pretrained, workshop):
    card = (pretrained / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front) == {"library_name": "transformers", "pipeline_tag": "text-generation"}
    best = checkpoint.load(workshop.path / "out/small/best.pt")
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
    card = export.model_card({"config": {}, "step": 3}, lively_model(300), {"source": source} if source else {}, "m")
    front = yaml.safe_load(card.split("---\n")[1])
    assert front.get("license") == licence and words in card and "/home" not in card
    assert ("datasets" in front) == (source == "roneneldan/TinyStories")


# -- mistakes, and a folder that is whole or not there


def test_the_folder_is_never_overwritten(here, workshop):
    (here / "full").mkdir()
    (here / "full/mine").write_text("x")
    (here / "file").write_text("x")
    (here / "empty").mkdir()
    for name in ("full", "file"):
        assert_mistake(call("export.py", workshop.path / "out/small", name), name, "already")
    assert (here / "full/mine").read_text() == (here / "file").read_text() == "x"
    (here / ".empty.partial").mkdir()  # what a killed export leaves
    (here / ".empty.partial/model.safetensors").write_text("half")
    (here / ".empty.partial/junk").write_text("x")
    assert call("export.py", workshop.path / "out/small/best.pt", "empty").status == 0
    assert not (here / ".empty.partial").exists()
    assert {path.name for path in (here / "empty").iterdir()} == FILES
    assert_mistake(call("export.py", workshop.path / "out/small", "file/in/it"), "file/in/it")
    assert_mistake(call("export.py", workshop.path / "out/small", "."), "name of a new one")


def test_mistakes(here, workshop):
    (here / "bad.pt").write_bytes((workshop.path / "out/small/best.pt").read_bytes()[:5000])
    for arguments, words in (
        ((), ["OUT_DIR", "FOLDER"]),
        (("out/nothing", "f"), ["out/nothing", "train one first"]),
        (("bad.pt", "f"), ["bad.pt", "damaged"]),
        (("out/nothing", "f", "--gguff"), ["--gguff", "did you mean --gguf"]),
    ):
        assert_mistake(call("export.py", *arguments), *words)
    assert not list(here.glob("f*")) and not list(here.glob(".f*"))


@pytest.mark.parametrize("package", ["transformers", "gguf"])
def test_optional_packages(here, workshop, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert_mistake(call("export.py", workshop.path / "out/small", "f", "--gguf"), f"pip install {package}")
    assert not list(here.glob("*f*")) and not list(here.glob(".f*"))


@pytest.mark.skipif(sys.platform == "win32", reason="file-size limits are Unix's")
def test_a_full_disk_leaves_nothing(here, workshop):
    """The weights do not fit (a file-size limit): one sentence, no folder, and no part of one."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        result = call("export.py", workshop.path / "out/small", "f")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_mistake(result, "cannot write f")
    assert not list(here.glob("*f*")) and not list(here.glob(".f*"))


# -- the way back


def test_the_way_back_changes_nothing(here, workshop, pretrained):
    """A folder validates like the run it is from, number for number, and is what fine-tuning starts from."""
    numbers = [
        call("train.py", "--eval_only", f"--init_from={path}", "--dataset=small", "--device=cpu").out.split(": ")[-1]
        for path in (workshop.path / "out/small", pretrained)
    ]
    assert "validation" in numbers[0] and numbers[0] == numbers[1]
    before, after = (checkpoint.load(path) for path in (workshop.path / "out/small/best.pt", pretrained))
    for name, tensor in before["model"].items():
        torch.testing.assert_close(after["model"][name], tensor, atol=0, rtol=0, msg=name)
    assert before["tokenizer"] == after["tokenizer"]
    result = call("train.py", *FINE_TUNING, f"--init_from={pretrained}", "--learning_rate=1e-9", "--min_lr=0")
    assert result.status == 0, result.err
    tuned = checkpoint.load("out/small/best.pt")
    assert tuned["val_loss"] == pytest.approx(before["val_loss"], abs=1e-5)
    resumed = call("train.py", "--out_dir=out/small", "--init_from=resume", f"--max_iters={tuned['step'] + 1}")
    assert resumed.status == 0, resumed.err
    assert call("export.py", "out/small/last.pt", "again").status == 0
    assert f"| fine-tuned from | `{pretrained.name}` |" in (here / "again/README.md").read_text()


def test_a_shorter_context(here, pretrained):
    """block_size may be given smaller: positions past it are cut off, and the logits of the others stay."""
    result = call(
        "train.py", *FINE_TUNING, f"--init_from={pretrained}", "--block_size=16", "--learning_rate=1e-9", "--min_lr=0"
    )
    assert result.status == 0, result.err
    whole = checkpoint.build_model(checkpoint.load(pretrained)).eval()
    saved = checkpoint.load("out/small/best.pt")
    assert saved["model_config"]["block_size"] == 16 and saved["model"]["transformer.wpe.weight"].shape == (16, 32)
    idx = torch.arange(16)[None]
    torch.testing.assert_close(checkpoint.build_model(saved).eval()(idx, idx)[0], whole(idx, idx)[0], atol=1e-5, rtol=0)
    longer = call("train.py", *FINE_TUNING, f"--init_from={pretrained}", "--block_size=64", "--out_dir=out/l")
    assert_mistake(longer, "block_size 32, not 64")
    resumed = call("train.py", "--out_dir=out/small", "--init_from=resume", "--block_size=8")
    assert_mistake(resumed, "block_size 16, not 8")


def test_folders_that_do_not_fit(here, pretrained):
    """Another vocabulary, another architecture, missing or damaged weights: one sentence each."""

    def change(name, **changes):
        shutil.copytree(pretrained, here / name)
        config = json.loads((here / name / "config.json").read_text())
        (here / name / "config.json").write_text(json.dumps(config | changes))
        return here / name

    (change("gelu", activation_function="gelu"), change("inner", n_inner=64))
    change("neo", model_type="gpt_neo")
    change("untied", tie_word_embeddings=False)
    weights = change("lacks") / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: t for name, t in tensors.items() if "h.1.mlp" not in name}, weights, {"format": "pt"})
    weights = change("hostile") / "model.safetensors"
    weights.unlink()
    torch.save(tensors | {"transformer.wte.weight": Harm()}, here / "hostile/pytorch_model.bin")
    weights = change("half") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:20_000])
    (change("no config") / "config.json").write_text("{")
    (change("no tokenizer") / "tokenizer.json").unlink()
    vocabulary = change("another tokenizer") / "tokenizer.json"
    contents = json.loads(vocabulary.read_text())
    vocabulary.write_text(json.dumps(contents | {"model": {"vocab": {"[UNK]": 0, "a": 1}, "merges": []}}))
    merges = contents["model"] | {"merges": contents["model"]["merges"][::-1]}
    (change("merges") / "tokenizer.json").write_text(json.dumps(contents | {"model": merges}))
    (change("lower") / "tokenizer.json").write_text(json.dumps(contents | {"normalizer": {"type": "Lowercase"}}))
    spaced = contents["pre_tokenizer"] | {"add_prefix_space": True}
    (change("spaced") / "tokenizer.json").write_text(json.dumps(contents | {"pre_tokenizer": spaced}))
    remote = change("remote", model_type="mine", auto_map={"AutoConfig": "evil.C"})
    (remote / "evil.py").write_text(f"open({str(here / 'harm')!r}, 'w')")
    for name, words in {
        "gelu": ["activation_function gelu"],
        "inner": ["n_inner 64"],
        "neo": ["model_type gpt_neo"],
        "untied": ["tie_word_embeddings False"],
        "lacks": ["lacks", "h.1.mlp"],
        "half": ["half", "again"],
        "hostile": ["hostile"],
        "no config": ["no config"],
        "no tokenizer": ["without a tokenizer", "512"],
        "another tokenizer": ["vocabulary"],
        "merges": ["tokenizer", "GPT-2's"],
        "lower": ["tokenizer", "GPT-2's"],
        "spaced": ["tokenizer", "GPT-2's"],
        "remote": ["remote"],
    }.items():
        assert_mistake(call("train.py", *FINE_TUNING, f"--init_from={here / name}", stdin="y\n"), *words)
    assert not (here / "harm").exists(), "code from a folder was run"
    (here / "other.txt").write_text("One story.\n\nAnother one.\n\n" * 100)
    assert call("prepare.py", "--dataset", "other.txt", "--vocab_size", "300").status == 0
    assert_mistake(call("train.py", f"--init_from={pretrained}", "--dataset=other"), "vocabulary", "data/other")
    assert not (here / "out").exists()


def test_an_older_folder(here):
    """As older folders are: weights in pickle, GPT-2's vocabulary with padding, and no tokenizer."""
    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_positions=16, n_embd=32, n_layer=1, n_head=2, vocab_size=50304)
    ).eval()
    theirs.config.save_pretrained(here / "old")
    torch.save(theirs.state_dict(), here / "old/pytorch_model.bin")
    model = checkpoint.build_model(checkpoint.load(here / "old")).eval()
    idx = torch.tensor([[0, 50256, 17]])
    torch.testing.assert_close(model(idx, idx)[0], theirs(idx).logits[..., :50257], atol=1e-4, rtol=0)


def test_gpt2_from_the_hub(here, monkeypatch):
    """--init_from=gpt2 with a stand-in for the hub; its vocabulary is the whole one, and its shape is taken over."""
    (here / "mine.txt").write_text("One story.\n\nAnother one.\n\n" * 400)
    assert call("prepare.py", "--dataset", "mine.txt").status == 0
    config = transformers.GPT2Config(n_positions=64, n_embd=16, n_layer=1, n_head=2)
    model, asked = transformers.GPT2LMHeadModel(config), []

    def hub(name, **options):
        asked.append(name)
        return (model, {"missing_keys": set()}) if "output_loading_info" in options else config

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", hub)
    monkeypatch.setattr(transformers.GPT2LMHeadModel, "from_pretrained", hub)
    options = [*FINE_TUNING[1:], "--block_size=16"]
    recipe = ROOT / "config/finetune.py"
    result = call("train.py", recipe, *options, "--init_from=gpt2-xl", "--dataset=mine", "--eval_interval=1")
    assert result.status == 0, result.err
    saved = checkpoint.load("out/mine/best.pt")
    assert asked == ["gpt2-xl", "gpt2-xl"] and saved["model_config"]["n_embd"] == 16
    assert saved["model_config"]["block_size"] == 16


def test_no_hub(here, monkeypatch):
    """Without the network, or without transformers, gpt2 is one sentence."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(here / "cache"))
    monkeypatch.setattr(transformers.utils.hub, "HF_HUB_CACHE", str(here / "cache"), raising=False)
    assert_mistake(call("train.py", *FINE_TUNING, "--init_from=gpt2"), "gpt2", "network")
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert_mistake(call("train.py", *FINE_TUNING, "--init_from=gpt2"), "pip install transformers")
    assert not (here / "out").exists()


# -- nanoGPT's checkpoints


def save_as_nanogpt(path, gpt, **changes):
    """What nanoGPT's train.py writes for the same parameters: names of a compiled model, and a padded vocabulary."""
    shape = asdict(gpt.config)
    arguments = {name: shape[name] for name in ("n_layer", "n_head", "n_embd", "block_size", "bias", "dropout")}
    parameters = {f"_orig_mod.{name}": tensor for name, tensor in gpt.state_dict().items()}
    parameters["_orig_mod.transformer.h.0.attn.bias"] = torch.ones(1, 1, 32, 32).tril()
    contents = {
        "model": parameters,
        "optimizer": {"state": {}, "param_groups": []},
        "model_args": arguments | {"vocab_size": 50304},
        "iter_num": 2000,
        "best_val_loss": torch.tensor(3.1),
        "config": {"dataset": "openwebtext", "always_save_checkpoint": True},
    }
    torch.save(contents | changes, path)


def test_a_nanogpt_checkpoint(here, workshop):
    """Its parameters are a model here, to sample from, to export and to fine-tune."""
    model = lively_model(50257, bias=False)
    (here / "nano").mkdir()
    save_as_nanogpt(here / "nano/ckpt.pt", model)
    saved = checkpoint.load(checkpoint.find("nano"))
    loaded = checkpoint.build_model(saved).eval()
    idx = torch.tensor([[5, 50256, 700, 3]])
    torch.testing.assert_close(loaded(idx, idx)[0], model(idx, idx)[0], atol=0, rtol=0)
    assert saved["step"] == 2000
    assert call("sample.py", "--out_dir", "nano", "--prompt", "Tom", "--max_new_tokens", "3").out.startswith("Tom")
    assert call("export.py", "nano", "folder").status == 0
    theirs = AutoModelForCausalLM.from_pretrained("folder")
    torch.testing.assert_close(theirs(idx).logits, model(idx, idx)[0], atol=1e-4, rtol=0)
    assert_mistake(call("train.py", *FINE_TUNING, "--init_from=nano/ckpt.pt"), "vocabulary", "data/small")


def test_nanogpt_checkpoints_that_do_not_fit(here):
    model = lively_model(50257)
    arguments = asdict(model.config) | {"vocab_size": 65}
    del arguments["init_std"]
    save_as_nanogpt(here / "char.pt", model, model_args=arguments)
    save_as_nanogpt(here / "part.pt", model, model_args={"vocab_size": 50304})
    save_as_nanogpt(here / "empty.pt", model, model={})
    save_as_nanogpt(here / "less.pt", model, model={"transformer.wte.weight": model.lm_head.weight})
    for name, words in (
        ("char.pt", ["without a tokenizer", "65"]),
        ("part.pt", ["part.pt", "n_layer"]),
        ("empty.pt", ["empty.pt", "wte"]),
        ("less.pt", ["do not fit"]),
    ):
        assert_mistake(call("sample.py", "--out_dir", name), *words)
