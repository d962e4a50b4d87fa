"""slm/models/from_huggingface.py and from_hub.py: their models compute here what they compute there."""

import copy
import http.server
import json
import shutil
import sys
import threading
from pathlib import Path

import pytest
import tokenizers
import torch
import transformers
from conftest import assert_mistake, call
from safetensors.torch import load_file, save_file
from test_checkpoint import Harm, small_encoding
from transformers import GPT2Config, GPT2LMHeadModel

from slm.errors import UserError
from slm.models import to_huggingface
from slm.models.load import load_model
from slm.text import tokenizer

IDX = torch.tensor([[5, 270, 70, 3, 0, 255, 498]])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(name):
    """The model that a user gets for `name`, and the contents of its checkpoint."""
    loaded = load_model(name)
    return loaded.model, loaded.contents


def assert_same_logits(model, other, idx=IDX, atol=1e-4):
    with torch.no_grad():
        theirs = other(idx).logits if hasattr(other, "generation_config") else other(idx, idx)[0]
        torch.testing.assert_close(model(idx, idx)[0], theirs[..., : model.config.vocab_size], atol=atol, rtol=0)


# -- Hugging Face folders


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A Hugging Face folder that transformers itself wrote, with a tokenizer of 500: (folder, their model)."""
    path = tmp_path_factory.mktemp("made") / "theirs"
    encoding = small_encoding()
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_positions=32, n_embd=32, n_layer=2, n_head=2, vocab_size=500)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(mean=0.1, std=0.3)
    model.save_pretrained(path)
    to_huggingface.save_tokenizer(encoding, 32, path)
    return path, model


def test_a_folder_that_transformers_wrote(folder, made):
    read, loaded = load(made[0])
    assert_same_logits(read, made[1])
    assert loaded["tokenizer"] == tokenizer.to_text(small_encoding())
    assert loaded["model_config"] | {"block_size": 32, "n_head": 2, "vocab_size": 500} == loaded["model_config"]


def test_weights_in_several_files_and_16_bits(folder, made):
    copy.deepcopy(made[1]).to(torch.bfloat16).save_pretrained("several", max_shard_size="20KB")
    to_huggingface.save_tokenizer(small_encoding(), 32, Path("several"))
    assert len(list(Path("several").glob("model-*"))) > 1
    read, _ = load("several")
    expected = made[1].transformer.h[0].mlp.c_fc.weight.t().bfloat16().float()
    assert torch.equal(read.transformer.h[0].mlp.c_fc.weight, expected)


def save_shards(tensors, folder, names):
    """Write the weights into files of these names, with an index; returns the index's path."""
    keys = sorted(tensors)
    owner = {key: names[i % len(names)] for i, key in enumerate(keys)}
    for name in names:
        save_file({key: tensors[key] for key in keys if owner[key] == name}, folder / name, {"format": "pt"})
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": owner}))
    return path


def test_an_index_says_which_files(folder, made):
    """As transformers reads a folder: files of an earlier save may be beside those that the index names."""
    right = load_file(made[0] / "model.safetensors")
    wrong = {key: tensor + 1 for key, tensor in right.items()}
    three = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    for names in (["a.safetensors", "b.safetensors"], ["model-00001-of-00001.safetensors"], three[:2]):
        shutil.rmtree("several", ignore_errors=True)
        shutil.copytree(made[0], "several", ignore=shutil.ignore_patterns("model.safetensors"))
        save_shards(wrong, Path("several"), three)
        index = save_shards(right, Path("several"), names)
        assert_same_logits(load("several")[0], made[1])
        assert_same_logits(load("several")[0], GPT2LMHeadModel.from_pretrained("several").eval())
        assert_same_logits(load(f"several/{names[0]}")[0], made[1])
        index.unlink()
        if names[0] != "a.safetensors":  # two saves, and nothing says which
            with pytest.raises(UserError, match=r"twice|missing"):
                load("several")
        save_file(right, "several/model.safetensors")
        save_shards(wrong, Path("several"), three)
        assert_same_logits(load("several")[0], made[1])  # one file comes before several


@pytest.mark.parametrize(
    ("weight_map", "words"),
    [
        ({}, "names no files"),
        ({"a": "../model.safetensors"}, "names no files beside it"),
        ({"a": "gone.safetensors"}, "gone.safetensors is no regular file"),
        ({"a": 3}, "damaged"),
        ([], "damaged"),
    ],
)
def test_a_damaged_index(folder, made, weight_map, words):
    shutil.copytree(made[0], "several", ignore=shutil.ignore_patterns("model.safetensors"))
    Path("several/model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(UserError, match=words):
        load("several")


def test_older_tokenizer_files(folder, made, capsys):
    """vocab.json and merges.txt, also with Windows' line ends; a list of merges that was cut is damaged."""
    shutil.copytree(made[0], "older")
    whole = json.loads(Path("older/tokenizer.json").read_text())["model"]
    for name in ("tokenizer.json", "tokenizer_config.json"):
        Path("older", name).unlink()
    Path("older/vocab.json").write_text(json.dumps(whole["vocab"]))
    merges = ["#version: 0.2", *(merge if isinstance(merge, str) else " ".join(merge) for merge in whole["merges"])]
    for end in ("\n", "\r\n"):
        Path("older/merges.txt").write_bytes((end.join(merges) + end).encode())
        assert_same_logits(load("older")[0], made[1])
    Path("older/merges.txt").write_text("\n".join(merges[:-100]))
    with pytest.raises(UserError, match=r"damaged: no merge makes \d+ of its tokens"):
        load("older")


@pytest.mark.parametrize("zipped", [True, False])
def test_an_older_folder(folder, zipped):
    """As older folders are: pickled weights without a prefix, GPT-2's vocabulary padded, no tokenizer, few settings."""
    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(GPT2Config(n_positions=16, n_embd=24, n_layer=1, vocab_size=50304)).eval()
    Path("old").mkdir()
    Path("old/config.json").write_text('{"n_positions": 16, "n_embd": 24, "n_layer": 1, "vocab_size": 50304}')
    weights = theirs.transformer.state_dict() | {"h.0.attn.bias": torch.ones(1, 1, 16, 16).tril()}
    torch.save(weights, "old/pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    read, _ = load("old")
    assert_same_logits(read, theirs, torch.tensor([[0, 50256, 17]]))


def test_the_other_names_of_a_shape(folder, made):
    """No weight shows how many heads there are: another number would give other logits without an error."""
    shutil.copytree(made[0], "renamed")
    config = json.loads(Path("renamed/config.json").read_text())
    renamed = {alias: config.pop(name) for alias, name in GPT2Config.attribute_map.items()}
    assert renamed["num_attention_heads"] == 2 and len(renamed) == 4
    for more in ({}, {"n_head": 4}):
        assert GPT2Config.from_dict(config | renamed | more).n_head == 2
        Path("renamed/config.json").write_text(json.dumps(config | renamed | more))
        assert_same_logits(load("renamed")[0], made[1])


def test_a_tokenizer_with_special_tokens_first(folder, capsys):
    """tokenizers' own training puts special tokens first: rows of the embedding move, the others are counted."""
    text = ["the old lamp was lit again", "it saw a small boat go out to sea", "na\u00efve \u4e2d\u6587"] * 30
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(
        text, vocab_size=400, special_tokens=["<s>", "<pad>", "</s>", "<mask>"], show_progress=False
    )
    size = trained.get_vocab_size()
    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(GPT2Config(n_positions=16, n_embd=24, n_layer=1, vocab_size=size, eos_token_id=2)).eval()
    theirs.save_pretrained("other")
    for kind in ("tokenizer.json", "vocab.json"):
        trained.save("other/tokenizer.json") if kind == "tokenizer.json" else trained.save_model("other")
        read, loaded = load("other")
        encoding = tokenizer.from_text(loaded["tokenizer"])
        assert encoding.n_vocab == size - 3
        assert "left out 3 special tokens ('<s>', '<pad>', '<mask>')" in capsys.readouterr().err
        for words in ("it saw the naïve lamp", "\u4e2d!"):
            ours, ids = encoding.encode_ordinary(words), trained.encode(words).ids
            assert [encoding.decode([token]) for token in ours] == [trained.decode([token]) for token in ids]
            with torch.no_grad():
                logits, expected = read(torch.tensor([ours]))[0], theirs(torch.tensor([ids])).logits
            torch.testing.assert_close(logits[0, 0, ours], expected[0, -1, ids], atol=1e-4, rtol=0)
            torch.testing.assert_close(logits[0, 0, -1], expected[0, -1, 2], atol=1e-4, rtol=0)
        Path("other/tokenizer.json").unlink(missing_ok=True)


def test_folders_that_do_not_fit(folder, made):
    """Another architecture, other settings, another tokenizer, missing or damaged weights: one sentence each."""

    def copy(name, **changes):
        shutil.copytree(made[0], folder / name)
        config = json.loads((folder / name / "config.json").read_text())
        (folder / name / "config.json").write_text(json.dumps(config | changes))
        return folder / name

    def retokenized(name, **changes):
        path = copy(name) / "tokenizer.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def tokenizer_config(path, **changes):
        path /= "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    neo = transformers.GPTNeoConfig(
        hidden_size=32, num_layers=2, num_heads=2, window_size=64, attention_types=[[["global", "local"], 1]]
    )
    neo.save_pretrained("neo")
    save_file({"x": torch.zeros(1)}, "neo/model.safetensors")
    copy("gelu", activation_function="gelu"), copy("inner", n_inner=64), copy("eps", layer_norm_epsilon=1e-6)
    copy("llama", model_type="llama"), copy("untied", tie_word_embeddings=False)
    copy("scaled", scale_attn_by_inverse_layer_idx=True), copy("quantized", quantization_config={"bits": 4})
    copy("heads", n_head=5), copy("null", n_layer=None), copy("small", vocab_size=400)
    tensors = load_file(made[0] / "model.safetensors")
    save_file({name: t for name, t in tensors.items() if "h.1.mlp" not in name}, copy("lacks") / "model.safetensors")
    embedding = {"transformer.wte.weight": torch.zeros(400, 32)}
    save_file(tensors | embedding, copy("rows") / "model.safetensors")
    save_file(tensors | {"lm_head.weight": torch.zeros(500, 32)}, copy("head") / "model.safetensors")
    (copy("hostile") / "model.safetensors").unlink()
    torch.save(tensors | {"transformer.wte.weight": Harm()}, "hostile/pytorch_model.bin")
    (copy("list") / "model.safetensors").unlink()
    torch.save([1, 2], "list/pytorch_model.bin")
    weights = copy("half") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:20_000])
    (copy("config") / "config.json").write_text("{")
    (copy("no config") / "config.json").unlink()
    copy("no tokenizer")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / "no tokenizer" / name).unlink()
    (copy("bert") / "tokenizer.json").unlink()
    tokenizer_config(folder / "bert", tokenizer_class="BertTokenizer")
    tokenizer_config(copy("spaced elsewhere"), add_prefix_space=True)
    save_file(tensors | {"transformer.wte.weight": torch.tensor(1.0)}, copy("a number") / "model.safetensors")
    save_file(tensors | {"transformer.h.0.mlp.c_fc.weight": torch.zeros(2, 2, 2)}, copy("3-d") / "model.safetensors")
    save_file(tensors | {"wte.weight": torch.zeros(500, 32)}, copy("twice") / "model.safetensors")
    (copy("half a tokenizer") / "tokenizer.json").write_text("{")
    whole = json.loads((made[0] / "tokenizer.json").read_text())
    retokenized("wordpiece", model={"type": "WordPiece", "vocab": {"[UNK]": 0, "a": 1}})
    retokenized("another kind", model=whole["model"] | {"type": "Unigram"})
    retokenized("bytes", model={"vocab": {"[UNK]": 0, "a": 1}, "merges": []})
    retokenized("merges", model=whole["model"] | {"merges": whole["model"]["merges"][::-1]})
    retokenized("lower", normalizer={"type": "Lowercase"})
    retokenized("dropped", model=whole["model"] | {"dropout": 0.1})
    retokenized("spaced", pre_tokenizer=whole["pre_tokenizer"] | {"add_prefix_space": True})
    retokenized("uncut", pre_tokenizer=None)
    remote = copy("remote", model_type="mine", auto_map={"AutoConfig": "evil.C"})
    (remote / "evil.py").write_text(f"open({str(folder / 'harm')!r}, 'w')")
    for name, words in {
        "neo": ["GPT-Neo", "64 tokens only", "square root"],
        "gelu": ["activation_function gelu"],
        "inner": ["n_inner 64"],
        "eps": ["layer_norm_epsilon 1e-06"],
        "llama": ["a llama"],
        "untied": ["tie_word_embeddings False"],
        "scaled": ["scale_attn_by_inverse_layer_idx"],
        "quantized": ["quantized"],
        "heads": ["shape"],
        "null": ["n_layer is None"],
        "lacks": ["h.1.mlp", "missing"],
        "rows": ["embeds 400 tokens"],
        "head": ["not tied"],
        "hostile": ["pytorch_model.bin holds code"],
        "list": ["more than tensors"],
        "half": ["half", "again"],
        "config": ["config.json of config"],
        "no config": ["config.json of no config"],
        "no tokenizer": ["without a tokenizer", "500"],
        "bert": ["without a tokenizer.json", "BertTokenizer"],
        "spaced elsewhere": ["tokenizer", "GPT-2's"],
        "a number": ["embeds 1 tokens"],
        "3-d": ["h.0.mlp.c_fc.weight", "[2, 2, 2]"],
        "twice": ["wte.weight' twice"],
        "half a tokenizer": ["tokenizer", "damaged"],
        "wordpiece": ["tokenizer", "GPT-2's"],
        "another kind": ["tokenizer", "GPT-2's"],
        "bytes": ["vocabulary"],
        "merges": ["tokenizer", "GPT-2's"],
        "lower": ["tokenizer", "GPT-2's"],
        "dropped": ["tokenizer", "GPT-2's"],
        "spaced": ["tokenizer", "GPT-2's"],
        "uncut": ["tokenizer", "GPT-2's"],
        "remote": ["a mine"],
    }.items():
        with pytest.raises(UserError) as raised:
            load(name)
        for word in words:
            assert word in str(raised.value), (name, str(raised.value))
        assert "\n" not in str(raised.value)
    assert not (folder / "harm").exists(), "code from a folder was run"


def test_no_safetensors(folder, made, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    assert_mistake(call("sample.py", "--model", made[0]), "pip install safetensors")


# -- the hub


class Hub(http.server.BaseHTTPRequestHandler):
    """The part of the hub's protocol that a download needs, over `folders`, {name: local folder}."""

    folders, asked = {}, []

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.split("?")[0].removeprefix("/api/models")
        name = next((name for name in self.folders if path.startswith(f"/{name}/")), None)
        if name is None:
            return self.answer(401 if "private" in path else 404, b"{}", "X-Error-Code", "RepoNotFound")
        files = sorted(self.folders[name].iterdir())
        if "/tree/" in path:
            entries = [{"type": "file", "path": file.name, "size": file.stat().st_size, "oid": "0"} for file in files]
            return self.answer(200, json.dumps(entries).encode())
        if "/revision/" in path or path.count("/") < 3:
            siblings = [{"rfilename": file.name} for file in files]
            return self.answer(200, json.dumps({"id": name, "sha": "a" * 40, "siblings": siblings}).encode())
        self.asked.append(path.rsplit("/", 1)[1])
        self.answer(200, (self.folders[name] / path.rsplit("/", 1)[1]).read_bytes())

    def answer(self, status, body, *header):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("ETag", f'"{hash(body) % 2**60:x}"')
        if header:
            self.send_header(*header)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def the_hub(folder, made, monkeypatch):
    """huggingface_hub's own client, pointed at a server on this machine."""
    import huggingface_hub

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    for module in (huggingface_hub.constants, huggingface_hub.file_download):  # older versions read it from the second
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "cache"))
    monkeypatch.setattr(Hub, "folders", {"me/stories": made[0]})
    monkeypatch.setattr(Hub, "asked", [])
    yield Hub
    server.shutdown()
    server.server_close()


def test_a_model_of_the_hub(the_hub, made):
    """Any GPT-2, by its config.json; a second time nothing is downloaded."""
    assert_same_logits(load("me/stories")[0], made[1])
    assert set(the_hub.asked) == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    the_hub.asked.clear()
    assert_same_logits(load("me/stories")[0], made[1])
    assert not the_hub.asked


def test_what_the_hub_has_not(the_hub, folder):
    for name in ("me/nothing", "private/one", "gpt2-no-such"):
        assert_mistake(call("sample.py", "--model", name), f"no file or folder {name}", "public model")


def test_a_gpt_neo_is_refused_before_its_weights(the_hub, folder):
    transformers.GPTNeoConfig(
        hidden_size=32, num_layers=2, num_heads=2, attention_types=[[["global", "local"], 1]]
    ).save_pretrained("neo")
    Path("neo/pytorch_model.bin").write_text("large")
    the_hub.folders["them/TinyStories-33M"] = folder / "neo"
    assert_mistake(call("sample.py", "--model", "them/TinyStories-33M"), "GPT-Neo", "256 tokens only")
    assert "pytorch_model.bin" not in the_hub.asked


def test_no_network(folder, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "cache"))
    for name in ("gpt2", "openai-community/gpt2", "scrach"):
        result = call("sample.py", "--model", name)
        assert_mistake(result, f"no file or folder {name}", "hub", "network")
        assert result.err.strip().isprintable()
