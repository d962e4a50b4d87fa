"""The micro-batch: how many sequences one forward and backward pass takes. It changes speed and memory.

Without dropout it does not change results. With dropout another micro-batch draws other random numbers, so a run keeps
the one it found, also when it is resumed.
"""

import gc

import torch

from model import LOGITS_CHUNK, LOGITS_CHUNK_COMPILED
from slm import devices
from slm.errors import UserError, first_line

# tokens per pass: more keep a GPU busier, up to a point, and overflow the caches of a CPU
MOST_TOKENS = {"cuda": 131072, "mps": 16384, "cpu": 4096}


def memory_estimate(model, micro_batch, compiled):
    """Roughly the bytes of training: weights, gradients and AdamW's moments, a chunk of logits, and activations.

    The factors are rounded up from the peaks that runs in 16-bit mixed precision showed on a GPU. In float32, without
    the copies of mixed precision, a CPU took less: 78 where 100 bytes are counted for an activation.
    """
    config = model.config
    tokens = micro_batch * config.block_size
    weights = 16 * model.num_params()  # four float32 numbers each
    logits = min(LOGITS_CHUNK_COMPILED if compiled else LOGITS_CHUNK, tokens * config.padded_vocab_size)
    activations = tokens * config.n_layer * config.n_embd
    return weights + (4 if compiled else 12) * logits + (45 if compiled else 100) * activations


def balanced(sequences, most):
    """The micro-batch that cuts `sequences` into the fewest parts of at most `most`, as equal as possible."""
    parts = -(-sequences // min(most, sequences))
    return -(-sequences // parts)


def candidates(model, sequences, device, compiled, most=0):
    """Micro-batches to try for a step of `sequences`, the largest first; `most` is the user's own limit, 0 for none."""
    largest = most or max(1, MOST_TOKENS[device.type] // model.config.block_size)
    if device.type != "cpu" and not most:
        room = 0.9 * devices.free_memory(device)
        while largest > 1 and memory_estimate(model, balanced(sequences, largest), compiled) > room:
            largest //= 2
    sizes = []
    while largest >= 1:
        size = balanced(sequences, largest)
        if not sizes or size < sizes[-1]:
            sizes.append(size)
        largest //= 2
    return sizes


def find(sizes, run_pass, model, compiled_model, print_line):
    """(micro_batch, model): the first of `sizes` that a forward and backward pass survives, and the model to use.

    run_pass(model, micro_batch): one such pass, which also compiles. model, compiled_model: the model and its
    compiled form, the same object where it is not compiled. Where only compiling fails, a line says so and the model
    stays uncompiled; an error that the uncompiled model has too is raised. Raises UserError where nothing fits.
    """
    device = model.lm_head.weight.device
    sizes = list(sizes)
    while sizes:
        failure = None
        try:
            run_pass(compiled_model, sizes[0])
        except Exception as error:
            if not devices.is_out_of_memory(error):
                if compiled_model is model:
                    raise
                model.zero_grad(set_to_none=True)
                reason = first_line(error)
                found = find(sizes, run_pass, model, model, print_line)
                print_line(f"torch.compile does not work here ({reason}): training goes on without it")
                return found
            failure = "out of memory"
        if failure:
            gc.collect()  # what the error's traceback kept
        model.zero_grad(set_to_none=True)
        devices.empty_cache(device)
        if not failure:
            return sizes[0], compiled_model
        sizes.pop(0)
    raise UserError("one sequence does not fit in memory: give a smaller model or --block_size")


def split(batch, micro_batch):
    """Cut batch (B, block_size + 1) into (idx, targets, share): micro-batches that all have one shape.

    idx, targets: (micro_batch, block_size); a token -1 of the batch is no target. share: how much of the batch's
    sequences they hold. Compiled code needs one shape: where micro_batch does not divide B, the last one is filled up
    with sequences that have no targets.
    """
    idx, targets = batch[:, :-1].clamp(min=0), batch[:, 1:]
    missing = -len(batch) % micro_batch
    if missing:
        idx = torch.cat([idx, idx.new_zeros(missing, idx.size(1))])
        targets = torch.cat([targets, targets.new_full((missing, targets.size(1)), -1)])
    for start in range(0, len(batch), micro_batch):
        part = slice(start, start + micro_batch)
        share = min(micro_batch, len(batch) - start) / len(batch)
        yield idx[part].contiguous(), targets[part].contiguous(), share
