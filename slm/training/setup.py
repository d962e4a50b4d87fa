"""What a run and an evaluation begin with: the device, the processes, the corpus, the model."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch

from model import GPT
from slm import devices
from slm.errors import UserError, counted
from slm.text.corpus import Corpus
from slm.text.nanogpt_corpus import OTHER_PROGRAM
from slm.training import compilation, resume
from slm.training.batches import TrainBatches
from slm.training.distributed import ProcessGroup
from slm.training.evaluation import Evaluator
from slm.training.optimizers import check_optimizer


class Setup(NamedTuple):
    """See `set_up`."""

    group: ProcessGroup
    device: torch.device
    dtype: torch.dtype  # of the forward pass
    corpus: Corpus
    model: GPT
    compiled: bool  # whether to compile it
    batches: TrainBatches
    evaluate: Evaluator


def join_processes(config):
    """The group of this process. Raises UserError."""
    return ProcessGroup(devices.pick_device(config.device).type, config.backend)


def set_up(config, set_by, loaded=None, group=None):
    """The Setup of a run; loaded: the checkpoint it starts from. Raises UserError, in all processes or in none."""
    group = group or join_processes(config)
    return group.together(lambda: set_up_here(config, set_by, loaded, group))


def set_up_here(config, set_by, loaded, group):
    check_optimizer(config.optimizer)
    device = devices.pick_device(config.device)
    devices.keep_freed_memory(device)
    if group.world_size > 1 and device.type == "cuda":
        device = devices.pick_device(f"cuda:{group.local_rank}")
    if config.sequences_per_step % group.world_size and not config.eval_only:  # which takes no step
        raise UserError(
            f"{counted(config.sequences_per_step, 'sequence per step does', 'sequences per step do')} not divide among"
            f" {group.world_size} processes: give another batch_size"
        )
    dtype = devices.pick_dtype(config.dtype, device)
    torch.set_float32_matmul_precision("high")  # TF32 for the float32 products that remain
    corpus = Corpus(Path("data") / config.dataset)
    compiled = config.compile and (device.type == "cuda" or set_by["compile"] != "default")
    reads_all = group.local_rank == 0 and (config.eval_only or corpus.meta.get("source") != OTHER_PROGRAM)
    with ThreadPoolExecutor(1) as thread:  # a GB takes a second or more, as the model and the compiler do
        verified = thread.submit(lambda: reads_all and corpus.verify())
        model = resume.initial_model(config, corpus, loaded).to(device)
        if compiled and not config.eval_only:
            compilation.import_compiler()
    verified.result()
    batches = TrainBatches(corpus.files["train"], config, device, group.rank, group.world_size)
    file, most = corpus.files["validation"], config.eval_iters * config.batch_size
    evaluate = Evaluator(file, corpus.text_bytes, config.block_size, most, device, dtype, group)
    return Setup(group, device, dtype, corpus, model, compiled, batches, evaluate)
