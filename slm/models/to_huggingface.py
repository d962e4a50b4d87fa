"""A model as a Hugging Face folder of GPT-2: config.json, generation_config.json, model.safetensors, tokenizer files.

Nothing here imports transformers, whose imports fail where another package does not fit torch; the tests open the
folders with it.
"""

import json

from slm.errors import UserError
from slm.models import from_huggingface, gpt2
from slm.models.generation import prompt_tokens
from slm.text import tokenizer
from slm.text.tokenizer import ENDOFTEXT

CHECK_TEXT = (
    "Once upon a time, Tom's 12 dogs\n\n  didn't say: caf\u00e9 \u4e2d\U0001f98a! \u0928\u092e\u0938\u094d\u0924\u0947"
)


def save_huggingface(model, encoding, folder):
    """Write the model and its tokenizer into `folder`, in float32, and compare what was written with what was given.

    Raises UserError where a package is missing, or where the folder's logits or token ids are not the model's: then
    model.py computes something else than GPT-2.
    """
    try:
        from safetensors.torch import save
        from tokenizers import Tokenizer
    except ImportError as error:
        package = (error.name or "safetensors").partition(".")[0]
        raise UserError(f"a Hugging Face folder needs the package {package}: pip install {package}") from error
    shape, eot = model.config, encoding.eot_token
    special = {"bos_token_id": eot, "eos_token_id": eot}
    write_json(
        folder / "config.json",
        {
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "vocab_size": shape.vocab_size,
            "n_positions": shape.block_size,
            "n_ctx": shape.block_size,  # what older readers look for
            "n_embd": shape.n_embd,
            "n_layer": shape.n_layer,
            "n_head": shape.n_head,
            "n_inner": None,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-5,
            "resid_pdrop": shape.dropout,
            "embd_pdrop": shape.dropout,
            "attn_pdrop": shape.dropout,
            "tie_word_embeddings": True,
            "torch_dtype": "float32",
            **special,
        },
    )
    # max_length and not max_new_tokens: GPT-2 has no position after its last, whatever the length of the prompt
    write_json(folder / "generation_config.json", special | {"pad_token_id": eot, "max_length": shape.block_size})
    weights = gpt2.transpose_matrices(gpt2.gpt2_parameters(model))
    (folder / "model.safetensors").write_bytes(save(weights, {"format": "pt"}))
    save_tokenizer(encoding, shape.block_size, folder)

    gpt2.check_logits(model, from_huggingface.read_weights(folder, folder))
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(CHECK_TEXT).ids
    if ids != prompt_tokens(encoding, CHECK_TEXT):
        raise UserError("the tokenizer cuts text in another way than GPT-2's: a Hugging Face folder cannot have it")


def save_tokenizer(encoding, block_size, folder):
    """Write tokenizer.json and tokenizer_config.json: GPT-2's byte-level BPE with the vocabulary of `encoding`.

    It puts an end-of-text in front of each text, because every story that the model has seen follows one.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    vocabulary, merges = tokenizer.to_vocabulary(encoding)
    fast = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([ENDOFTEXT])
    fast.post_processor = processors.TemplateProcessing(
        single=f"{ENDOFTEXT} $A",
        pair=f"{ENDOFTEXT} $A {ENDOFTEXT}:1 $B:1",
        special_tokens=[(ENDOFTEXT, encoding.eot_token)],
    )
    (folder / "tokenizer.json").write_text(fast.to_str(pretty=True), encoding="utf-8")
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",  # the class that changes nothing in tokenizer.json
            "add_bos_token": True,
            "bos_token": ENDOFTEXT,
            "eos_token": ENDOFTEXT,
            "pad_token": ENDOFTEXT,
            "padding_side": "left",
            "model_max_length": block_size,
            "model_input_names": ["input_ids", "attention_mask"],  # no token types, which GPT-2 would embed and add
            "clean_up_tokenization_spaces": False,
        },
    )


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
