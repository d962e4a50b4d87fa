"""A model as a GGUF file, which llama.cpp and the programs that build on it read.

llama.cpp's converter recognizes a tokenizer by the ids that it gives a certain text. It knows none that is smaller than
GPT-2's, or that puts an end-of-text first.
"""

import errno
import os

import numpy as np

from slm.errors import UserError
from slm.models.gpt2 import gpt2_parameters
from slm.text import tokenizer

# llama.cpp's names of GPT-2's parameters (gguf-py's tensor_mapping.py); it keeps matrices as nn.Linear does
NAMES = {
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


def save_gguf(model, encoding, path, name):
    """Write the model and its tokenizer in float32 (llama.cpp's `llama-quantize` makes it smaller).

    name: what programs show as the model's name. Raises UserError where the package gguf is missing, and OSError where
    the disk is full.
    """
    try:
        import gguf
    except ImportError as error:
        raise UserError("a GGUF file needs the package gguf: pip install gguf") from error
    shape, eot = model.config, encoding.eot_token
    vocabulary, merges = tokenizer.to_vocabulary(encoding)
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_name(name)
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
    parameters = {}
    for parameter_name, parameter in gpt2_parameters(model).items():
        for ours, theirs in NAMES.items():
            parameter_name = parameter_name.replace(ours, theirs)
        parameters[parameter_name] = parameter.numpy()
        writer.add_tensor(parameter_name, parameters[parameter_name])  # without an output.weight, the head is tied
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    check_written(gguf.GGUFReader, path, parameters)


def check_written(read, path, parameters):
    """Raise OSError where a file lacks some of the parameters, {name: array}.

    The writer uses ndarray.tofile, which on a full disk may lose the last numbers of an array without an error.
    """
    try:
        written = {tensor.name: tensor.data for tensor in read(path).tensors}
        whole = all(np.array_equal(written[name], numbers) for name, numbers in parameters.items())
    except (IndexError, KeyError, ValueError):  # the end of the file is missing
        whole = False
    if not whole:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
