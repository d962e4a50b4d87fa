"""Hugging Face folders of GPT-2 as the contents of a checkpoint.

A folder is read by its config.json, whatever made it, and none of its code runs. What model.py cannot compute is
refused with the reason.
"""

import os
from pathlib import Path
from typing import NamedTuple

from slm.errors import UserError, counted, first_line, print_note
from slm.files import read_json, read_regular
from slm.models import gpt2
from slm.models.checkpoint import TIED
from slm.models.tensor_file import by_name, read_tensors
from slm.text import tokenizer
from slm.values import check_values, shown

LARGEST_TOKENIZER = 2**26  # bytes of a file; GPT-2's has 1.4 million
SAME_FILES = ("GPT2Tokenizer", "Roberta")  # classes that read vocab.json and merges.txt as GPT-2 does

# the settings of GPT-2's config.json, with transformers' defaults for those that it leaves out
GPT2_DEFAULTS = {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024, "vocab_size": 50257}
GPT2_DEFAULTS |= {"eos_token_id": 50256, "n_inner": None, "quantization_config": None, "model_type": "gpt2"}
# transformers' other names of them, which come first where a config.json has both
ALIASES = {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "hidden_size": "n_embd"}
ALIASES |= {"max_position_embeddings": "n_positions"}
# those whose value changes the function: the values that mean what model.py computes
COMPUTED = {
    "activation_function": ["gelu_new", "gelu_pytorch_tanh"],
    "layer_norm_epsilon": [1e-5],
    "scale_attn_weights": [True],
    "scale_attn_by_inverse_layer_idx": [False],
    "add_cross_attention": [False],
    "tie_word_embeddings": [True],
}
SIZES = ["n_layer", "n_head", "n_embd", "n_positions", "vocab_size"]
TOKENIZER_FILES = ["tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"]
# the weights of a folder, in the order in which transformers looks for them: one file, else those that an index names,
# else (some are without it) the files that it would name
WEIGHTS = [
    ["model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors"],
    ["pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"],
]


def weight_files(folder):
    """The files with the weights of a Hugging Face folder, [] if it is none. Raises UserError for a damaged index."""
    folder = Path(folder)
    for whole, index, pattern in WEIGHTS:
        if os.path.exists(folder / whole):
            return [folder / whole]
        if os.path.exists(folder / index):
            return read_index(folder / index)
        if several := sorted(folder.glob(pattern)):
            return several
    return []


def read_index(path):
    """The files, beside the index at `path`, that hold the weights. Raises UserError."""
    try:
        names = sorted(set(read_json(path)["weight_map"].values()))
        if not names or any(name != Path(name).name for name in names):
            raise ValueError("it names no files beside it")
    except PermissionError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): change its permissions") from error
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({first_line(error)}): download or export it again") from error
    return [path.parent / name for name in names]


def load_hugging_face(folder, name=None):
    """The contents of a checkpoint for a Hugging Face folder. Raises UserError, which names `name`."""
    folder, name = Path(folder), name or folder
    config = read_config(folder, name)
    check_config(config, name)
    encoding, token_ids = read_tokenizer(folder, config, name)
    shape = {key: config[key] for key in ("n_layer", "n_head", "n_embd")}
    shape |= {"block_size": config["n_positions"], "bias": True}
    parameters = read_weights(folder, name)
    rows = parameters[gpt2.EMBEDDING].shape[:1].numel() if gpt2.EMBEDDING in parameters else 0
    if rows != config["vocab_size"]:
        raise UserError(
            f"{name} is damaged: config.json says vocab_size {config['vocab_size']:,}, and it embeds {rows:,} tokens"
        )
    return gpt2.as_checkpoint(parameters, shape, encoding, token_ids, name)


def read_config(folder, name):
    """The settings in a folder's config.json, GPT-2's defaults filled in."""
    try:
        config = read_json(folder / "config.json")
    except PermissionError as error:
        raise UserError(f"cannot read config.json of {name} ({error.strerror}): change its permissions") from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read config.json of {name} ({first_line(error)}): download or export it again"
        ) from error
    check_values(config, {}, f"the settings of {name}")
    config |= {name: config[alias] for alias, name in ALIASES.items() if alias in config}
    config = GPT2_DEFAULTS | {key: values[0] for key, values in COMPUTED.items()} | config
    if config["model_type"] == "gpt2":
        check_values(config, dict.fromkeys(SIZES, (int, 1, None, 2**20)), f"the settings of {name}")
    return config


def check_config(config, name):
    """Raise UserError, with the reason, where model.py does not compute what a model with this config.json does."""
    if config["model_type"] == "gpt_neo":
        raise UserError(
            f"{name} is a GPT-Neo, and model.py computes GPT-2: a GPT-Neo's local layers attend to the last"
            f" {plain(config.get('window_size', 256))} tokens only, and its attention scores are not divided by the"
            " square root of the head size"
        )
    if config["model_type"] != "gpt2":
        raise UserError(f"{name} is a {plain(config['model_type'])}, and model.py computes GPT-2 only")
    if config["quantization_config"]:
        raise UserError(f"{name} has quantized weights, which are not read: use the model that it was made from")
    for key, computed in COMPUTED.items():
        if config[key] not in computed:
            raise UserError(f"{name} is a GPT-2 with {key} {plain(config[key])}, which model.py does not compute")
    if config["n_inner"] not in (None, 4 * config["n_embd"]):
        raise UserError(f"{name} is a GPT-2 with n_inner {shown(config['n_inner'])}, and model.py has 4 * n_embd there")


def plain(value):
    return shown(value).strip("'")


def read_weights(folder, name):
    """{GPT-2's name: float32 tensor} of a Hugging Face folder, matrices as nn.Linear keeps them. Raises UserError."""
    found, files = [], weight_files(folder)
    if not files:
        raise UserError(f"{name} holds no weights (model.safetensors or pytorch_model.bin)")
    for file in files:
        loaded = read_tensors(file) if file.suffix == ".bin" else read_safetensors(file)
        if not isinstance(loaded, dict):
            raise UserError(f"{file} holds more than tensors: save the state_dict of the model")
        for key, tensor in loaded.items():
            key = str(key)
            if not key.endswith((".attn.bias", ".attn.masked_bias")):  # the causal mask, which older versions keep
                found.append((key if key.startswith(("transformer.", "lm_head.")) else f"transformer.{key}", tensor))
    return gpt2.transpose_matrices({key: tensor.float() for key, tensor in by_name(found, name, TIED).items()})


def read_safetensors(path):
    """The tensors of a safetensors file. Raises UserError."""
    if not os.path.isfile(path):  # a FIFO never ends
        raise UserError(f"{path} is no regular file: download or export it again")
    try:
        from safetensors.torch import load_file

        return load_file(path)
    except ImportError as error:
        raise UserError("Hugging Face models need the package safetensors: pip install safetensors") from error
    except PermissionError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): change its permissions") from error
    except Exception as error:  # safetensors has its own
        raise UserError(f"{path} is damaged ({first_line(error)}): download or export it again") from error


class TokenizerFiles(NamedTuple):
    vocabulary: dict  # {token in letters: id}
    merges: list  # of "left right" or [left, right]
    added: dict  # {token: id} of special tokens
    as_in_gpt2: bool  # whether a text is cut into words as by GPT-2


def read_tokenizer_files(folder, name):
    """The `TokenizerFiles` of a Hugging Face folder, None where it has none. Raises UserError, or what damage does."""
    path = folder / "tokenizer_config.json"
    settings = read_json(path, LARGEST_TOKENIZER) if path.exists() else {}
    spaced, made_by = settings.get("add_prefix_space"), settings.get("tokenizer_class") or SAME_FILES[0]
    if (folder / "tokenizer.json").exists():
        whole = read_json(folder / "tokenizer.json", LARGEST_TOKENIZER)
        bpe, cut = whole["model"], whole["pre_tokenizer"] or {}
        as_in_gpt2 = (
            not whole.get("normalizer")
            and bpe.get("type", "BPE") == "BPE"
            and cut.get("type") == "ByteLevel"
            and not (spaced or cut.get("add_prefix_space"))
            and cut.get("use_regex", True)
            and not any(bpe.get(key) for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"))
        )
        added = {token["content"]: token["id"] for token in whole.get("added_tokens", [])}
        return TokenizerFiles(bpe["vocab"], bpe["merges"], added, as_in_gpt2)
    if not str(made_by).startswith(SAME_FILES):
        raise UserError(
            f"{name} comes without a tokenizer.json, and its tokenizer is a {plain(made_by)}: of other files only"
            " GPT-2's can be used"
        )
    if not (folder / "vocab.json").exists():
        return None
    vocabulary = read_json(folder / "vocab.json", LARGEST_TOKENIZER)
    lines = read_regular(folder / "merges.txt", LARGEST_TOKENIZER).decode().splitlines()
    merges = [line for line in lines if line and not line.startswith("#version")]
    return TokenizerFiles(vocabulary, merges, {}, not spaced)


def read_tokenizer(folder, config, name):
    """(encoding, token_ids) of a Hugging Face folder; GPT-2's, if it has no tokenizer and the size fits.

    token_ids holds, for each id of `encoding`, the id that the folder's tokenizer gives the token: some put special
    tokens first. Raises UserError where a text would get other tokens than by byte-pair encoding of GPT-2's kind.
    """
    try:
        files = read_tokenizer_files(folder, name)
        if files is None:
            return gpt2.gpt2_tokenizer(config["vocab_size"], name)
        vocabulary, added, as_in_gpt2 = files.vocabulary, files.added, files.as_in_gpt2
        merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in files.merges]
        tokens = sorted((token for token in vocabulary if len(token) == 1), key=vocabulary.get)
        tokens += list(dict.fromkeys(left + right for left, right in merges))
        ids = vocabulary | added
        if not all(type(token) is int for token in ids.values()):
            raise ValueError("an id is no number")
        token_ids = [ids[token] for token in tokens]
        token_ids.append(ids.get(tokenizer.ENDOFTEXT, config["eos_token_id"]))
        if len(set(token_ids)) < len(token_ids):
            raise ValueError("two tokens have one id")
    except PermissionError as error:
        raise UserError(f"cannot read {error.filename} ({error.strerror}): change its permissions") from error
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"the tokenizer of {name} is damaged, or not of GPT-2's kind ({shown(error)})") from error
    encoding = tokenizer.from_vocabulary({token: i for i, token in enumerate(tokens)})
    if not as_in_gpt2 or merges != tokenizer.to_vocabulary(encoding)[1]:
        raise UserError(
            f"the tokenizer of {name} does not cut and merge as GPT-2's does, and no other kind can be used"
        )
    kept = set(token_ids)
    left_out = [token for token, i in ids.items() if i not in kept]
    if cut_off := [token for token in left_out if token not in added and token.startswith(tokenizer.LETTERS[ord(" ")])]:
        raise UserError(
            f"the tokenizer of {name} is damaged: no merge makes {len(cut_off)} of its tokens, such as"
            f" {shown(cut_off[0])}; download or export it again"
        )
    if left_out:
        some = ", ".join(map(repr, left_out[:5])) + (", ..." if len(left_out) > 5 else "")
        print_note(f"{name}: left out {counted(len(left_out), 'special token')} ({some})")
    return encoding, token_ids
