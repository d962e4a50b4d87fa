"""The plain ways that stages.py compares with: short forms of what nanoGPT and the tutorial do."""

import os

import numpy as np
import torch
from torch.nn import functional as F

from slm import devices
from slm.errors import UserError
from slm.text import tokenizer


def prepare_with_datasets(source, target):
    """Tokenize a parquet file with datasets.map and tiktoken, and write the ids into a memory map in 1,024 shards."""
    import datasets

    encoding = tokenizer.gpt2()

    def encode(row):
        ids = [*encoding.encode_ordinary(row["text"]), encoding.eot_token]
        return {"ids": ids, "len": len(ids)}

    datasets.disable_progress_bars()
    rows = datasets.load_dataset("parquet", data_files=str(source), split="train", cache_dir=target.parent / "cache")
    rows = rows.map(encode, remove_columns=["text"], num_proc=os.cpu_count())
    tokens = np.memmap(target, np.uint16, "w+", shape=(sum(rows["len"]),))
    shards, place = min(1024, len(rows)), 0
    for shard in range(shards):
        batch = rows.shard(num_shards=shards, index=shard, contiguous=True).with_format("numpy")
        ids = np.concatenate(batch["ids"])
        tokens[place : place + len(ids)] = ids
        place += len(ids)
    tokens.flush()


def random_batch(path, sequences, block_size, device):
    """A batch of random windows, one array copy per sequence: idx and targets, (sequences, block_size) int64.

    Raises UserError where the file is shorter than a window.
    """
    tokens = np.memmap(path, np.uint16, "r")
    if len(tokens) <= block_size:
        raise UserError(f"{path} has only {len(tokens):,} tokens: give --block_size={len(tokens) - 1} or less")
    starts = torch.randint(len(tokens) - block_size, (sequences,))
    idx = torch.stack([torch.from_numpy(tokens[i : i + block_size].astype(np.int64)) for i in starts])
    targets = torch.stack([torch.from_numpy(tokens[i + 1 : i + 1 + block_size].astype(np.int64)) for i in starts])
    if device.type == "cuda":
        return idx.pin_memory().to(device, non_blocking=True), targets.pin_memory().to(device, non_blocking=True)
    return idx.to(device), targets.to(device)


def plain_step(model, optimizer, scaler, path, sequences, micro_batch, block_size, dtype, device):
    """One optimizer step with the logits of a whole micro-batch at once, and a batch read when it is needed."""
    parts = max(1, sequences // micro_batch)
    for _ in range(parts):
        idx, targets = random_batch(path, micro_batch, block_size, device)
        with devices.autocast(device, dtype):
            logits, _ = model(idx, targets)
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten()) / parts
        scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def random_evaluation(model, path, batches, batch_size, block_size, dtype, device):
    """The loss of random batches, each read back when it is computed."""
    for _ in range(batches):
        idx, targets = random_batch(path, batch_size, block_size, device)
        with devices.autocast(device, dtype):
            logits, _ = model(idx, targets)
            F.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()
