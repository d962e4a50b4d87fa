"""Generate a corpus of any size with a trained model: data/NAME, as prepare.py writes it.

    python -m experiments.generate --model out/small_corpus --tokens 60e6 --name generated
    python train.py config/tinystories_8k.py --dataset=generated

The teacher's stories are simpler than the real ones, but there is no end of them, so they show how rate, batch and
optimizer behave where each is seen once or twice. They say nothing about real stories: see experiments/README.md.

Tokens are sampled at temperature 1 from the teacher's whole distribution, and each story that is begun is finished. A
run that stops keeps its whole stories; the same command goes on from them, with other stories than it would have had.
"""

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from slm import devices
from slm.errors import UserError, run_script
from slm.files import atomic_write, current, lock_folder, make_folder, publish, settle
from slm.models.generation import Batch, newer_half, prefill
from slm.models.load import load_model
from slm.options import OptionParser, add_model_option
from slm.text.corpus import TokenFile
from slm.text.nanogpt_corpus import count_tokens
from slm.text.prepared_folder import PREPARED_FILES, check_name, write_description

STEPS = 256  # tokens per row between two writes
STRIDE = 16  # tokens per row between two looks at the rows; divides STEPS
VALIDATION_SLOTS = 64  # one slot of so many, and at least one, writes the validation split
HOPELESS = 64  # times STEPS without the end of a story: there is none, or, without any, the teacher never learned one


class ContinuousBatch:
    """Stories in `slots` rows; a row whose story ends begins the next one (continuous batching, Orca, Yu et al. 2022).

    The device decodes STRIDE tokens in a row before it waits for the CPU, which then sees which rows have ended or
    filled their context; what these have sampled beyond that is dropped. sampling: the arguments of `sample_token`.
    """

    def __init__(self, model, slots, end_of_text, **sampling):
        self.batch, self.slots, self.end_of_text = Batch(model, slots, **sampling), slots, end_of_text
        self.batch.prefill([[end_of_text]] * slots)  # for the capture
        self.sampled = torch.empty(STRIDE, slots, dtype=torch.int32, device=self.batch.token.device)
        self.contexts = np.full((slots, self.batch.size + STRIDE), end_of_text)
        self.lengths = np.ones(slots, int)

    def run(self):
        """Yield tokens without end: a (slots, STEPS) int array at a time, -1 for each dropped token."""
        while True:
            yield np.concatenate([self.stride() for _ in range(STEPS // STRIDE)], axis=1)

    def stride(self):
        """The next STRIDE tokens of each row, (slots, STRIDE), -1 for each dropped token."""
        rows = np.arange(self.slots)
        self.batch.token.copy_(torch.from_numpy(self.contexts[rows, self.lengths - 1]))
        self.batch.position.copy_(torch.from_numpy(self.lengths - 1))
        for column in self.sampled:
            self.batch.decode()
            column.copy_(self.batch.token)
        sampled = self.sampled.cpu().numpy().T
        if (sampled < 0).any():
            raise UserError("the teacher's logits are not finite numbers: take a model from before its run failed")

        ends = sampled == self.end_of_text
        past_end = np.cumsum(ends, axis=1) > ends
        places = self.lengths[:, None] + np.arange(STRIDE)
        keep = ~past_end & (places <= self.batch.size)
        np.put_along_axis(self.contexts, places, sampled, axis=1)
        self.lengths += keep.sum(axis=1)
        ended = (ends & keep).any(axis=1)
        self.contexts[ended, 0], self.lengths[ended] = self.end_of_text, 1
        self.read_again(np.flatnonzero(self.lengths > self.batch.size))
        return np.where(keep, sampled, -1)

    @torch.inference_mode()
    def read_again(self, rows):
        """Read the newer half of full contexts."""
        contexts = [newer_half(self.contexts[row, : self.lengths[row]], self.batch.size).copy() for row in rows]
        for row, context in zip(rows, contexts, strict=True):
            self.contexts[row, : len(context)], self.lengths[row] = context, len(context)
        if contexts:
            prefill(self.batch.model, contexts, self.batch.kv_cache, rows)


class SlotWriter:
    """Writes the whole stories of each slot into the split's file; `begun` holds what slots have of unfinished ones."""

    def __init__(self, files, slots, end_of_text):
        self.end_of_text = end_of_text
        self.files = [files["train" if slot % VALIDATION_SLOTS else "validation"] for slot in range(slots)]
        self.begun = [np.zeros(0, np.uint16)] * slots

    def write(self, tokens, last=False):
        """Add (slots, steps) tokens. last: write no further story of a slot than the begun one; that ends the slot."""
        for slot, begun in enumerate(self.begun):
            if begun is None:
                continue
            row = tokens[slot]
            story = np.concatenate([begun, row[row >= 0].astype(np.uint16)])
            ends = np.flatnonzero(story == self.end_of_text)
            if len(ends):
                end = ends[0 if last else -1] + 1
                self.files[slot].write(story[:end].tobytes())
                story = None if last else story[end:]
            self.begun[slot] = story


def keep_whole_stories(path, end_of_text):
    """Cut what follows the last end-of-text from a token file, which need not exist."""
    path.touch()
    ends = np.flatnonzero(np.fromfile(path, np.uint16) == end_of_text)
    os.truncate(path, 2 * (int(ends[-1]) + 1) if len(ends) else 0)


def generate(batch, paths, wanted):
    """Add stories to the token files, {split: path}, until the train split has `wanted` tokens."""
    for path in paths.values():
        keep_whole_stories(path, batch.end_of_text)
    done = paths["train"].stat().st_size // 2
    if done:
        print(f"{paths['train']} has {done:,} tokens of an earlier run: going on from there")
    with contextlib.ExitStack() as stack:
        files = {split: stack.enter_context(open(path, "ab")) for split, path in paths.items()}
        bar = tqdm(total=wanted, initial=done, unit=" tokens", unit_scale=True, disable=None)
        stack.enter_context(bar)
        writer, since_done = SlotWriter(files, batch.slots, batch.end_of_text), 0
        for number, tokens in enumerate(batch.run(), 1):
            writer.write(tokens, last=done >= wanted)
            for file in files.values():
                file.flush()
            before, done = done, paths["train"].stat().st_size // 2
            bar.update(done - before)
            since_done += done >= wanted
            endless = sum(begun is not None for begun in writer.begun)
            if endless and since_done > HOPELESS:
                print(f"stories that did not end within {HOPELESS * STEPS:,} tokens, left out: {endless:,}")
            if not endless or since_done > HOPELESS:
                break
            if number == HOPELESS and not any(path.stat().st_size for path in paths.values()):
                raise UserError(
                    f"no story ended within {HOPELESS * STEPS:,} tokens: was the teacher trained on stories?"
                )
        for split, file in files.items():
            os.fsync(file.fileno())
            if not paths[split].stat().st_size:
                raise UserError(f"no story of {split} has ended: give more --slots, or another teacher")


def read_options():
    parser = OptionParser(__doc__)
    add_model_option(parser)
    parser.option("--tokens", 60e6, "tokens to train on", float, at_least=1, below=1e12)
    parser.option("--name", "generated", "the corpus is data/NAME")
    parser.option("--slots", 4096, "stories at once, one in 64 of them for validation", int, at_least=2)
    parser.option("--seed", 1337, "the one source of randomness", int, at_least=0, below=2**62)
    parser.option("--device", "auto", "auto, cpu, cuda, cuda:N or mps")
    options = parser.parse()
    check_name(options.name)
    return options


def open_folder(folder, recipe):
    """(the folder of the unfinished corpus in `folder`, the lock of `folder`); recipe: what makes it.

    Raises UserError where there is a corpus already, or stories that another recipe made.
    """
    make_folder(folder, "give another --name")
    lock = lock_folder(folder, f"another program is writing {folder}: wait for it, or give another --name")
    settle(folder)
    for name in PREPARED_FILES:
        if current(folder, name).exists():
            raise UserError(f"{folder} has a {name} already: move it away, or give another --name")
    partial, text = folder / ".generated", json.dumps(recipe)
    make_folder(partial, "give another --name")
    path, tokens = folder / ".recipe.json", partial / "train.bin"
    if tokens.exists() and tokens.stat().st_size and not (path.exists() and path.read_text() == text):
        raise UserError(f"another command began {partial}: remove it, or give another --name")
    with atomic_write(path) as file:
        file.write(text.encode())
    return partial, lock


def main():
    options = read_options()
    device = devices.pick_device(options.device)
    loaded = load_model(options.model, device, devices.pick_dtype("auto", device))
    encoding = loaded.encoding
    print(f"teacher  {loaded.path}, step {loaded.step:,}, on {devices.describe(device)}, {options.slots:,} slots")
    teacher = {name: loaded.contents.get(name) for name in ("model_config", "step", "val_loss", "val_bpb")}
    recipe = {"source": f"generated by {loaded.path}", "teacher": teacher, "seed": options.seed}
    folder = Path("data") / options.name
    partial, lock = open_folder(folder, recipe)
    paths = {split: partial / f"{split}.bin" for split in ("train", "validation")}
    seed = options.seed + sum(path.stat().st_size for path in partial.glob("*.bin"))  # another one after a stop
    try:
        generator = torch.Generator().manual_seed(seed)
        batch = ContinuousBatch(loaded.model, options.slots, encoding.eot_token, generator=generator)
        generate(batch, paths, int(options.tokens))
    except OSError as error:
        raise UserError(f"cannot write into {partial}: {error.strerror or error}") from error
    except RuntimeError as error:
        if devices.is_out_of_memory(error):
            raise UserError(f"out of memory: give fewer --slots than {options.slots:,}") from error
        raise
    files = {split: TokenFile(path) for split, path in paths.items()}
    splits = {split: count_tokens(file, encoding) | {"crc32": file.crc32()} for split, file in files.items()}
    meta = recipe | {"slots": options.slots, "splits": splits, "vocab_size": encoding.n_vocab}
    write_description(partial, encoding, meta)
    publish(partial, folder)
    (folder / ".recipe.json").unlink()
    for split, counts in splits.items():
        print(f"{folder}/{split}.bin: {counts['stories']:,} stories, {counts['tokens']:,} tokens")
    if lock:
        lock.close()


if __name__ == "__main__":
    run_script(main)
