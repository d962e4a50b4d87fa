"""The README.md of an exported folder: what the model is, what it reaches, how it was trained, and on which data."""

import math
from contextlib import suppress
from pathlib import Path

from slm.errors import UserError, counted
from slm.files import read_json
from slm.models import from_hub
from slm.text.tokenizer import ENDOFTEXT, GPT2_VOCAB_SIZE, sha256
from slm.values import check_values

TINYSTORIES = "roneneldan/TinyStories"
TRAINING = {  # the options that describe a training; a model from another program has none of them
    *("batch_size", "gradient_accumulation_steps", "max_iters", "beta1", "beta2", "weight_decay", "grad_clip"),
    *("dropout", "learning_rate", "min_lr", "decay_lr", "warmup_iters", "seed", "init_from"),
}


def read_corpus(path, vocabulary):
    """The meta.json of the corpus that the checkpoint at `path` was trained on, from config.json beside it, else {}.

    vocabulary: the text of the checkpoint's tokenizer. A config.json of another vocabulary is not the checkpoint's.
    """
    with suppress(OSError, ValueError, KeyError, TypeError, UserError):
        corpus = {"source": "", "splits": {}} | read_json(Path(path).parent / "config.json")["corpus"]
        check_values(corpus, {"source": (str,), "splits": (dict,)}, "")
        if "train" in corpus["splits"]:
            check_values(corpus["splits"]["train"], {"stories": (int, 0), "tokens": (int, 0)}, "")
        return corpus if corpus["tokenizer_sha256"] == sha256(vocabulary) else {}
    return {}


def describe_data(saved, corpus):
    """(licence of the whole or None, a sentence on the data); corpus: see `read_corpus`."""
    source = corpus.get("source") or str(saved["config"].get("dataset", ""))
    counts = corpus.get("splits", {}).get("train", {})
    size = ""
    if counts:
        size = f": {counted(counts['stories'], 'story', 'stories')}, {counts['tokens']:,} tokens to train on"
    if Path(source).name.lower() == "tinystories":
        link = f"[TinyStories](https://huggingface.co/datasets/{TINYSTORIES})"
        return "mit", f"{link} by Eldan and Li (arXiv 2305.07759), licence CDLA-Sharing-1.0{size}."
    if source == "sample":
        return "mit", f"Synthetic stories from the generator in the training code, MIT{size}."
    named = f"`{Path(source).name}`" if source else "Not recorded"
    return None, f"{named}{size}. Say here whose texts they are and under which licence, before you publish the model."


def describe_initial_model(init_from):
    """The name of what a model was fine-tuned from, without the folders of this machine."""
    path = Path(init_from)
    if from_hub.is_hub_name(init_from):
        return init_from
    return path.parent.name if path.suffix == ".pt" else path.name


def describe_model(saved, model, optimizer=None):
    """{name: value} of the card's table, of what is known: another program's model brings no numbers.

    optimizer: in words; without them, the name that the checkpoint has.
    """
    config, shape = saved["config"], model.config
    whole = shape.vocab_size == GPT2_VOCAB_SIZE
    vocabulary = "GPT-2's byte-pair encoding" if whole else "a byte-level byte-pair encoding, cut as GPT-2 cuts"
    rows = {
        "shape": f"{counted(shape.n_layer, 'layer')}, {counted(shape.n_head, 'head')}, {shape.n_embd} wide",
        "context": f"{shape.block_size} tokens",
        "parameters": f"{model.num_params() / 1e6:.2f} M, without embeddings"
        f" {model.num_params(embeddings=False) / 1e6:.2f} M",
        "vocabulary": f"{shape.vocab_size:,} tokens: {vocabulary}",
    }
    if "val_loss" in saved:
        perplexity = math.exp(min(saved["val_loss"], 99))
        rows["validation loss"] = f"{saved['val_loss']:.4f} nats per token (perplexity {perplexity:.2f})"
    if "val_bpb" in saved:
        rows["bits per byte"] = f"{saved['val_bpb']:.4f}, of validation text"
    if config.keys() >= TRAINING:
        sequences = config["batch_size"] * config["gradient_accumulation_steps"]
        tokens = saved.get("tokens", saved["step"] * sequences * shape.block_size)
        rows["trained"] = (
            f"{saved['step']:,} of {counted(config['max_iters'], 'step')} of {sequences} x {shape.block_size} tokens:"
            f" {tokens / 1e6:.1f} M tokens"
        )
        rows["optimizer"] = (
            f"{optimizer or config.get('optimizer', 'adamw')}, betas {config['beta1']} and {config['beta2']},"
            f" weight decay {config['weight_decay']}, gradient clipped at {config['grad_clip']},"
            f" dropout {config['dropout']}"
        )
        decay = f", cosine to {config['min_lr']}" if config["decay_lr"] else ""
        warmup = f"{counted(config['warmup_iters'], 'step')} of warm-up"
        rows["learning rate"] = f"{config['learning_rate']} after {warmup}{decay}"
        if config.get("ema"):
            rows["weights"] = f"an average over the last {100 * config['ema']:.3g} % of the steps"
        rows["seed"] = config["seed"]
        if config["init_from"] not in ("scratch", "resume"):
            rows["fine-tuned from"] = f"`{describe_initial_model(config['init_from'])}`"
    return rows


def model_card(saved, model, corpus, name, optimizer=None):
    """The text of README.md; corpus: see `read_corpus`; optimizer: see `describe_model`."""
    context, (licence, data) = model.config.block_size, describe_data(saved, corpus)
    front = ["library_name: transformers", "pipeline_tag: text-generation"]
    front += [f"license: {licence}"] if licence else []
    front += [f"datasets:\n- {TINYSTORIES}"] if TINYSTORIES in data else []
    table = "\n".join(f"| {key} | {value} |" for key, value in describe_model(saved, model, optimizer).items())
    newline = "\n"
    return f"""---
{newline.join(front)}
---

# {name}

A small language model of GPT-2's architecture that writes stories.

```python
from transformers import pipeline

write = pipeline("text-generation", model="{name}")
print(write("Once upon a time", do_sample=True, temperature=0.8)[0]["generated_text"])
```

| | |
| --- | --- |
{table}

**Tokens.** Every story it was trained on follows an end-of-text token, so the tokenizer puts one before each text: the
pipeline needs nothing more. `tokenizer(text, add_special_tokens=False)` gives the tokens of the text alone. In a
prompt, `{ENDOFTEXT}` is that token.

**Fine-tuning.** The padding token is the end-of-text token. A collator that ignores padding by its id ignores the end
of each story too, and the model unlearns to end: mask by place instead, with
`labels = input_ids.masked_fill(attention_mask == 0, -100)`.

**Limits.** A prompt and its story have {context} tokens together, and generation ends there. `max_length` ends
it sooner, and counts the prompt; with `max_new_tokens` transformers warns that both are set. The model knows the words
and the world of its corpus and invents what it says: do not rely on it.

**Data.** {data}

**Licence.** The code that trained it is MIT; GPT-2's vocabulary is OpenAI's, MIT.
"""
