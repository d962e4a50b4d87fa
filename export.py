"""Turn a run into a Hugging Face folder, which transformers opens with no code of ours; with --gguf for llama.cpp too.

    python export.py out/tinystories my_model           config.json, model.safetensors, tokenizer.json, README.md, ...
    python export.py out/tinystories my_model --gguf    ... and model.gguf
    python train.py config/finetune.py --init_from=my_model                                     the way back

It needs transformers (pip install transformers), and --gguf the package gguf. The folder's README.md is a model card:
what the model reaches, how it was trained, on what, and how to have it tell a story.

Every story was trained to follow an end-of-text token, so the tokenizer puts one before each text, as sample.py does;
`tokenizer(text, add_special_tokens=False)` gives the ids of the text alone. As everywhere in transformers, and other
than in prepare.py, the text `<|endoftext|>` in a prompt is that token.
"""

import json
import math
import os
import shutil
from contextlib import suppress
from pathlib import Path

import torch

import checkpoint
import tokenizer
from configuration import OptionParser, UserError, run

EOT = tokenizer.ENDOFTEXT
TINYSTORIES = "roneneldan/TinyStories"
# llama.cpp's names of GPT-2's parameters (gguf-py's tensor_mapping.py), whose matrices lie as nn.Linear's do
GGUF_NAMES = {
    "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd",
    "transformer.h": "blk",
    "transformer.ln_f": "output_norm",
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}


def gpt2_parameters(model):
    """{name: float32 tensor} as GPT-2 has them: no padding, the tied head once, biases of 0 where there are none."""
    parameters = dict(model.named_parameters())
    parameters[checkpoint.EMBEDDING] = parameters[checkpoint.EMBEDDING][: model.config.vocab_size]
    if not model.config.bias:
        # every layer's weight but the embeddings' has one, as long as the layer is wide
        layers = [name for name in parameters if name not in (checkpoint.EMBEDDING, checkpoint.POSITIONS)]
        parameters |= {name.removesuffix("weight") + "bias": torch.zeros(parameters[name].size(0)) for name in layers}
    return {name: parameter.detach().float().contiguous() for name, parameter in parameters.items()}


def save_model(model, encoding, folder):
    """Write config.json, generation_config.json and model.safetensors, float32."""
    transformers = checkpoint.import_transformers()
    from safetensors.torch import save  # which transformers brings

    shape, eot = model.config, encoding.eot_token
    transformers.GPT2Config(
        architectures=["GPT2LMHeadModel"],
        vocab_size=shape.vocab_size,
        n_positions=shape.block_size,
        n_ctx=shape.block_size,  # what older readers look for
        n_embd=shape.n_embd,
        n_layer=shape.n_layer,
        n_head=shape.n_head,
        activation_function="gelu_new",
        resid_pdrop=shape.dropout,
        embd_pdrop=shape.dropout,
        attn_pdrop=shape.dropout,
        bos_token_id=eot,
        eos_token_id=eot,
    ).save_pretrained(folder)
    # max_length: past the last position there is nothing to look up
    transformers.GenerationConfig(
        bos_token_id=eot, eos_token_id=eot, pad_token_id=eot, max_length=shape.block_size
    ).save_pretrained(folder)
    parameters = checkpoint.transposed(gpt2_parameters(model))
    (folder / "model.safetensors").write_bytes(save(parameters, {"format": "pt"}))


def save_tokenizer(encoding, block_size, folder):
    """Write tokenizer.json and tokenizer_config.json: GPT-2's byte-level BPE with this vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    vocabulary, merges = tokenizer.to_vocabulary(encoding)
    fast = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([EOT])
    fast.post_processor = processors.TemplateProcessing(
        single=f"{EOT} $A", pair=f"{EOT} $A {EOT}:1 $B:1", special_tokens=[(EOT, encoding.eot_token)]
    )
    (folder / "tokenizer.json").write_text(fast.to_str(pretty=True), encoding="utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # which takes tokenizer.json as it is
        "add_bos_token": True,
        "bos_token": EOT,
        "eos_token": EOT,
        "pad_token": EOT,
        "padding_side": "left",
        "model_max_length": block_size,
        "model_input_names": ["input_ids", "attention_mask"],  # and no token types, which GPT-2 would add in
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")


def save_gguf(model, encoding, folder):
    """Write model.gguf, llama.cpp's format, in float32 (its `llama-quantize` makes it smaller).

    llama.cpp's own converter knows a tokenizer by the ids it gives a certain text, and so none that is pruned or puts
    an end-of-text first.
    """
    try:
        import gguf
    except ImportError as error:
        raise UserError("--gguf needs the package gguf: pip install gguf") from error
    shape, eot = model.config, encoding.eot_token
    vocabulary, merges = tokenizer.to_vocabulary(encoding)
    writer = gguf.GGUFWriter(folder / "model.gguf", "gpt2")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(shape.block_size)
    writer.add_embedding_length(shape.n_embd)
    writer.add_feed_forward_length(4 * shape.n_embd)
    writer.add_block_count(shape.n_layer)
    writer.add_head_count(shape.n_head)
    writer.add_layer_norm_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(list(vocabulary))
    writer.add_token_types([gguf.TokenType.NORMAL] * eot + [gguf.TokenType.CONTROL])
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(eot)
    writer.add_eos_token_id(eot)
    writer.add_add_bos_token(True)
    for name, parameter in gpt2_parameters(model).items():
        for ours, theirs in GGUF_NAMES.items():
            name = name.replace(ours, theirs)
        writer.add_tensor(name, parameter.numpy())  # without output.weight, llama.cpp ties the head
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# -- the model card ---------------------------------------------------------------------------------------------------


def describe_data(saved, corpus):
    """(licence of the whole or None, a sentence on the data); corpus: its meta.json, {} where it is not known."""
    source = str(corpus.get("source", saved["config"].get("dataset", "")))
    counts = corpus.get("splits", {}).get("train", {})
    size = ": {stories:,} stories, {tokens:,} tokens to train on".format(**counts) if counts else ""
    if Path(source).name.lower() == "tinystories":
        hub = f"[TinyStories](https://huggingface.co/datasets/{TINYSTORIES})"
        return "mit", f"{hub} by Eldan and Li (arXiv 2305.07759), licence CDLA-Sharing-1.0{size}."
    if source == "sample":
        return "mit", f"Synthetic stories from the generator in the training code, MIT{size}."
    named = f"`{Path(source).name}`" if source else "Not recorded"
    return None, f"{named}{size}. Say here whose texts they are and under which licence, before you publish the model."


def model_card(saved, model, corpus, name):
    """The text of README.md. Rows are there for what is known: a model of another program's brings no numbers."""
    config, shape = saved["config"], model.config
    licence, data = describe_data(saved, corpus)
    front = ["library_name: transformers", "pipeline_tag: text-generation"]
    front += [f"license: {licence}"] if licence else []
    front += [f"datasets:\n- {TINYSTORIES}"] if TINYSTORIES in data else []
    rows = {
        "shape": f"{shape.n_layer} layers, {shape.n_head} heads, {shape.n_embd} wide",
        "context": f"{shape.block_size} tokens",
        "parameters": f"{model.num_params() / 1e6:.2f} M, without embeddings"
        f" {model.num_params(embeddings=False) / 1e6:.2f} M",
        "vocabulary": f"{shape.vocab_size:,} tokens: GPT-2's byte-pair encoding"
        + ("" if shape.vocab_size == tokenizer.GPT2_VOCAB_SIZE else ", pruned"),
    }
    if "val_loss" in saved:
        rows["validation loss"] = (
            f"{saved['val_loss']:.4f} nats a token (perplexity {math.exp(min(saved['val_loss'], 99)):.2f})"
        )
        rows["bits per byte"] = f"{saved['val_bpb']:.4f}, of validation text"
    if "max_iters" in config:
        sequences = config["batch_size"] * config["gradient_accumulation_steps"]
        tokens = saved["step"] * sequences * shape.block_size
        rows["trained"] = (
            f"{saved['step']:,} of {config['max_iters']:,} steps of {sequences} x {shape.block_size} tokens:"
            f" {tokens / 1e6:.1f} M tokens"
        )
        rows["optimizer"] = (
            f"AdamW, betas {config['beta1']} and {config['beta2']}, weight decay {config['weight_decay']}, gradient"
            f" clipped at {config['grad_clip']}, dropout {config['dropout']}"
        )
        decay = f", cosine to {config['min_lr']}" if config["decay_lr"] else ""
        rows["learning rate"] = f"{config['learning_rate']} after {config['warmup_iters']} steps of warm-up{decay}"
        rows["seed"] = config["seed"]
        if config["init_from"] not in ("scratch", "resume"):
            begun_from = Path(config["init_from"])
            rows["fine-tuned from"] = f"`{begun_from.parent.name if begun_from.suffix == '.pt' else begun_from.name}`"
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    newline = "\n"
    return f"""---
{newline.join(front)}
---

# {name}

A small language model of GPT-2's architecture that tells stories.

```python
from transformers import pipeline

tell = pipeline("text-generation", model="{name}")
print(tell("Once upon a time", do_sample=True, temperature=0.8)[0]["generated_text"])
```

| | |
| --- | --- |
{table}

**Tokens.** Every story it was trained on follows an end-of-text token, so the tokenizer puts one before each text: the
pipeline needs nothing more. `tokenizer(text, add_special_tokens=False)` gives the tokens of the text alone. In a
prompt, `{EOT}` is that token.

**Limits.** A prompt and its story have {shape.block_size} tokens together, and generation stops there. The model
knows the words and the world of its corpus, invents what it says, and is not to be relied on.

**Data.** {data}

**Licence.** The code that trained it is MIT; GPT-2's vocabulary is OpenAI's, MIT.
"""


# -- the folder -------------------------------------------------------------------------------------------------------


def corpus_of(path):
    """The meta.json of the corpus that a run was trained on, as its config.json keeps it; {} if it is not known."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return dict(json.loads((Path(path).parent / "config.json").read_text(encoding="utf-8"))["corpus"])
    return {}


def export(path, folder, gguf=False):
    """Write the checkpoint at `path` as a Hugging Face folder, whole or not at all. Raises UserError."""
    folder = Path(folder)
    if not folder.name:
        raise UserError(f"{folder} is this folder itself: give the name of a new one")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already: give the name of a new folder, or remove it first")
    checkpoint.import_transformers()  # before what takes long
    saved = checkpoint.load(path)
    model = checkpoint.build_model(saved)
    encoding = tokenizer.from_text(saved["tokenizer"])
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # what a killed export left
        partial.mkdir(parents=True)
        save_model(model, encoding, partial)
        save_tokenizer(encoding, model.config.block_size, partial)
        if gguf:
            save_gguf(model, encoding, partial)
        card = model_card(saved, model, corpus_of(path), folder.resolve().name)
        (partial / "README.md").write_text(card, encoding="utf-8")
        for file in partial.iterdir():
            with open(file, "rb+") as written:
                os.fsync(written.fileno())
        if folder.exists():
            folder.rmdir()
        os.rename(partial, folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return model


def main():
    parser = OptionParser(__doc__)
    parser.add_argument("run", metavar="OUT_DIR", help="the run, or a checkpoint file")
    parser.add_argument("folder", metavar="FOLDER", help="the folder to make")
    parser.option("--gguf", False, "write model.gguf for llama.cpp too")
    options = parser.parse()
    path = checkpoint.find(options.run)
    model = export(path, options.folder, options.gguf)
    size = sum(file.stat().st_size for file in Path(options.folder).iterdir())
    print(f"{path}, {model.num_params() / 1e6:.2f} M parameters, is now in {options.folder}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    run(main)
