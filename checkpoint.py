"""Checkpoints are data, never code: tensors and plain values, written whole or not at all, and checked when read.

best.pt holds what a story needs, last.pt also what an exact resume needs:

    model          parameters by name                  config      every option of the run
    model_config   the fields of GPTConfig             tokenizer   the text of its .tiktoken file
    step, val_loss (nats a token), val_bpb (bits per byte of text)
    last.pt only:  optimizer, scaler, progress

Other programs' models are read as if they were one of these: a nanoGPT checkpoint (ckpt.pt), a Hugging Face folder of
GPT-2's architecture, and GPT-2 itself from the Hugging Face hub.
"""

import json
import pickle
import zipfile
from dataclasses import asdict
from pathlib import Path

import torch

import tokenizer
from configuration import UserError
from model import GPT, GPTConfig
from records import replacing

KEYS = {"model", "model_config", "config", "tokenizer", "step"}
NANOGPT_KEYS = {"model", "model_args"}
HUB = ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]
WEIGHTS = ["model*.safetensors", "pytorch_model*.bin"]  # by which a Hugging Face folder is known
EMBEDDING, HEAD, POSITIONS = "transformer.wte.weight", "lm_head.weight", "transformer.wpe.weight"
# what a Hugging Face GPT-2 can be configured to and this model cannot: the values that mean what it does
FIXED = {
    "model_type": ["gpt2"],
    "activation_function": ["gelu_new", "gelu_pytorch_tanh"],
    "layer_norm_epsilon": [1e-5],
    "scale_attn_weights": [True],
    "scale_attn_by_inverse_layer_idx": [False],
    "add_cross_attention": [False],
    "tie_word_embeddings": [True],
}


def save(path, contents):
    """Write a dict of tensors and plain values. Raises UserError where the disk is full; the old file is then whole."""
    with replacing(path) as file:
        try:
            torch.save(contents, file)
        except RuntimeError as error:  # how torch's zip writer says that the file took no more bytes
            raise OSError(f"{error}") from error


def find(name):
    """The checkpoint that `name` means: a file, a run's best.pt (else last.pt), a Hugging Face folder, one of HUB."""
    path = Path(name)
    if str(name) in HUB and not path.exists():
        return name
    files = [path / file for file in ("best.pt", "ckpt.pt", "last.pt") if (path / file).is_file()]
    if path.is_file() or (path.suffix and not path.is_dir()) or (not files and hugging_face_weights(path)):
        return path
    return files[0] if files else path / "best.pt"


def load(path):
    """The dict that `save` wrote, or what stands for it in what `find` found, its tensors on the CPU.

    Raises UserError where there is no file, where it is damaged (the zip's own checksums are checked, since torch does
    not), where it holds code, or where it is neither one of ours nor of the others that can be read.
    """
    if path in HUB or Path(path).is_dir():
        return load_hugging_face(path)
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no checkpoint {path}: train one first, or name its folder")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise UserError(f"{path} is damaged (in {damaged}): use another checkpoint")
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        NotImplementedError,
    ) as error:
        reason = str(error).strip().split("\n")[0][:120]
        raise UserError(f"{path} is damaged or not a checkpoint of this program ({reason})") from error
    if isinstance(contents, dict) and contents.keys() >= NANOGPT_KEYS:
        return from_nanogpt(contents, path)
    if not isinstance(contents, dict) or not contents.keys() >= KEYS:
        raise UserError(f"{path} is not a checkpoint of this program: it lacks model, config or tokenizer")
    return contents


def build_model(contents, **changes):
    """The GPT of a loaded checkpoint, on the CPU; `changes` replace fields of its GPTConfig.

    A smaller block_size cuts off the positions past it. Raises UserError where the parameters do not fit the shape.
    """
    try:
        config = GPTConfig(**(contents["model_config"] | changes))
        model = GPT(config)
        positions = contents["model"][POSITIONS][: config.block_size]
        model.load_state_dict(contents["model"] | {POSITIONS: positions})
    except (KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"the checkpoint's parameters do not fit its shape ({str(error).splitlines()[0]})") from error
    return model


# -- other programs' models -------------------------------------------------------------------------------------------


def stand_in(parameters, shape, encoding, where):
    """Another program's parameters as a checkpoint of ours, trained 0 steps; `shape` is n_layer to bias.

    Rows of the embedding past the vocabulary, which other programs pad too, do not come along.
    """
    config = GPTConfig(encoding.n_vocab, dropout=0.0, **shape)
    if parameters[EMBEDDING].size(0) < config.vocab_size:
        rows = f"{parameters[EMBEDDING].size(0):,} tokens, its tokenizer {config.vocab_size:,}"
        raise UserError(f"{where} does not fit its tokenizer: its embedding has {rows}")
    embedding = torch.zeros(config.padded_vocab_size, config.n_embd)
    embedding[: config.vocab_size] = parameters[EMBEDDING][: config.vocab_size]
    return {
        "model": parameters | {EMBEDDING: embedding, HEAD: embedding},
        "model_config": asdict(config),
        "config": shape,
        "tokenizer": tokenizer.to_text(encoding),
        "step": 0,
    }


def gpt2_encoding(vocab_size, where):
    """GPT-2's encoding, for a model that comes without a tokenizer. Raises UserError where it cannot be that."""
    if vocab_size not in (tokenizer.GPT2_VOCAB_SIZE, 50304):  # padded to a multiple of 64, as nanoGPT does
        raise UserError(
            f"{where} comes without a tokenizer, and only GPT-2's vocabulary (50,257 tokens, or 50,304 with padding) is"
            f" known without one: it has {vocab_size}"
        )
    return tokenizer.gpt2()


def from_nanogpt(contents, path):
    """A loaded checkpoint of nanoGPT as one of ours.

    nanoGPT computes the exact GELU, where early versions of it, GPT-2 and this model take its approximation by tanh.
    That moves logits by 1e-3 in the mean, and the loss of a model by less than is ever said of it.
    """
    try:
        arguments = contents["model_args"]
        encoding = gpt2_encoding(arguments["vocab_size"], path)
        shape = {name: arguments[name] for name in ("n_layer", "n_head", "n_embd", "block_size", "bias")}
        parameters = {name.removeprefix("_orig_mod."): tensor for name, tensor in contents["model"].items()}
        # versions of torch without fused attention had nanoGPT keep the causal mask as a buffer named so
        parameters = {name: tensor for name, tensor in parameters.items() if not name.endswith(".attn.bias")}
        return stand_in(parameters, shape, encoding, path) | {"step": contents.get("iter_num", 0)}
    except (AttributeError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{path} is not a whole checkpoint of nanoGPT ({error!r})") from error


def hugging_face_weights(folder):
    return [file for pattern in WEIGHTS for file in Path(folder).glob(pattern)]


def transposed(parameters):
    """Parameters as Hugging Face keeps them, from ours, and the other way round.

    GPT-2's four matrices a block are applied as x @ W there, those of nn.Linear as x @ W.T.
    """
    turned = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    return {name: tensor.t().contiguous() if name.endswith(turned) else tensor for name, tensor in parameters.items()}


def import_transformers():
    """The package transformers, told to be quiet. Raises UserError where it is missing."""
    try:
        import transformers
    except ImportError as error:
        raise UserError("Hugging Face models need the package transformers: pip install transformers") from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def load_hugging_face(name):
    """A Hugging Face folder of GPT-2's architecture, or the model `name` of HUB, as a checkpoint of ours.

    Raises UserError where it cannot be loaded or computes anything else than this model does.
    """
    transformers = import_transformers()
    try:
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
        wrong = [f"{key} {getattr(config, key, None)}" for key in FIXED if getattr(config, key, None) not in FIXED[key]]
        if not wrong and config.n_inner not in (None, 4 * config.n_embd):
            wrong = [f"n_inner {config.n_inner}"]
        if wrong:
            raise UserError(f"{name} is not of GPT-2's architecture: it has {wrong[0]}")
        theirs, report = transformers.GPT2LMHeadModel.from_pretrained(name, output_loading_info=True)
        encoding = gpt2_encoding(config.vocab_size, name) if name in HUB else folder_encoding(name, config.vocab_size)
    except UserError:
        raise
    except Exception as error:  # of whichever package finds the fault
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        mend = "check the network, or give a folder that holds it" if name in HUB else "save or export it again"
        raise UserError(f"cannot load {name} ({reason}): {mend}") from error
    if report["missing_keys"]:
        raise UserError(f"cannot load {name}: it lacks {', '.join(sorted(report['missing_keys']))[:200]}")
    parameters = transposed({key: tensor.detach().float() for key, tensor in theirs.named_parameters()})
    shape = {key: getattr(config, key) for key in ("n_layer", "n_head", "n_embd")}
    return stand_in(parameters, shape | {"block_size": config.n_positions, "bias": True}, encoding, name)


def folder_encoding(folder, vocab_size):
    """The encoding of a Hugging Face folder; one with no tokenizer has GPT-2's, if the size fits.

    Raises UserError where its tokenizer would give a text other tokens than GPT-2's kind of byte-pair encoding does.
    """
    folder = Path(folder)
    if (folder / "tokenizer.json").exists():
        whole = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        vocabulary, merges, cut = whole["model"]["vocab"], whole["model"]["merges"], whole["pre_tokenizer"]
        as_gpt2 = not whole.get("normalizer") and cut["type"] == "ByteLevel" and not cut.get("add_prefix_space")
    elif (folder / "vocab.json").exists():
        vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        merges, as_gpt2 = (folder / "merges.txt").read_text(encoding="utf-8").split("\n"), True
        merges = [line for line in merges if line and not line.startswith("#version")]
    else:
        return gpt2_encoding(vocab_size, folder)
    encoding = tokenizer.from_vocabulary(vocabulary)
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in merges]
    if not as_gpt2 or merges != tokenizer.to_vocabulary(encoding)[1]:
        raise UserError(
            f"the tokenizer of {folder} does not cut and merge as GPT-2's does: only such a one can be used"
        )
    return encoding


def newest_run(out="out"):
    """The folder whose best.pt is newest, `out` itself or one in it. Raises UserError where there is none."""
    runs = [path.parent for pattern in ("best.pt", "*/best.pt") for path in Path(out).glob(pattern)]
    if not runs:
        raise UserError(f"no checkpoint under {out}/: run `python train.py config/tinystories.py` first")
    return max(runs, key=lambda run: (run / "best.pt").stat().st_mtime)
