"""What a run reports and keeps: its header, each line of the log, each validation, its end.

Every process has a Recorder; only the main one prints and writes.
"""

import functools
import math
import platform
import shlex

import torch

from slm import devices
from slm.errors import counted
from slm.text import tokenizer
from slm.training import resume, snapshot
from slm.training.distributed import torchrun_id
from slm.training.evaluation import SenseEvaluator
from slm.training.progress import Progress, busy_cpu, ending, peak_speed, run_header, sample_story, step_header
from slm.training.run_folder import RunFolder, describe_run, read_description
from slm.training.trackers import start_trackers

MOST_STORIES = 6  # in a run, and the last one
DIVERGED = 2  # times the loss of guessing; a loss above that is no "best so far"


def is_story_due(step, config):
    """Whether a validation at `step` shows a story: of the run's validations so many, evenly, and the last one."""
    validations = -(-config.max_iters // config.eval_interval)
    every = -(-validations // MOST_STORIES)
    return step >= config.max_iters or step // config.eval_interval % every == 0


class Recorder:
    """Reports the run of `config` and writes its folder. Raises UserError where the folder cannot be had.

    loaded: the checkpoint that the run starts from, or None.
    """

    def __init__(self, config, set_by, setup, state, loaded):
        self.config, self.set_by, self.setup, self.state = config, set_by, setup, state
        self.resuming = config.init_from == "resume"
        self.init_from = loaded["config"].get("init_from", "scratch") if self.resuming else config.init_from
        self.progress = Progress(config, setup.group.is_main, setup.batches.tokens_per_step, peak_speed(setup))
        self.print = self.progress.print
        self.folder = RunFolder(config.out_dir, self.print) if setup.group.is_main else None
        self.last_loss, self.trackers, self.stepper = None, [], None
        self.failed = state.failed  # steps that were reported
        self.is_busy = False  # whether a busy CPU was reported
        self.print(run_header(config, set_by, setup, state))

    def begin(self, stepper):
        """Open the folder for a run that `stepper` trains: an earlier one moves aside. Raises UserError."""
        self.stepper, self.state.corpus = stepper, self.setup.corpus.fingerprint()
        self.progress.read_loss = stepper.metrics.mean_loss
        self.state.best_of = resume.validation_set(self.config, self.setup.corpus)
        self.print(step_header(self.config, self.setup, stepper))
        self.report_busy_cpu()
        if not self.folder:
            return
        earlier_id = read_description(self.folder.path).get("wandb_id") if self.resuming else None
        self.trackers = start_trackers(self.config, self.resuming, earlier_id)
        description = describe_run(
            self.config,
            self.set_by,
            versions={"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda},
            device=devices.describe(self.setup.device),
            dtype=devices.dtype_name(self.setup.dtype),
            processes=self.setup.group.world_size,
            torchrun_id=torchrun_id(),
            micro_batch=stepper.micro_batch,
            setup_seconds=stepper.setup_seconds,  # to find the micro-batch and compile
            corpus=self.setup.corpus.meta,
            wandb_id=next((tracker.id for tracker in self.trackers if hasattr(tracker, "id")), earlier_id),
        )
        self.folder.begin(description, self.state if self.resuming else None)

    def line(self, line, score):
        """Add a line to the log, and to the progress; score: of the validation at this step, or None."""
        self.state.logged = line["step"]
        if not self.folder:
            return
        if score:
            line = line | {"val_loss": score.loss, "val_bpb": score.bpb}
        if score and self.config.sense:
            line = line | {f"sense_{name}": share.share for name, share in self.sense(self.setup.model).items()}
        if self.state.failed > self.failed:
            self.failed = self.state.failed
            steps = counted(int(self.failed), "step was", "steps were")
            self.print(f"step {self.state.step:,}: {steps} skipped so far: the gradient was not finite")
        self.folder.add_line(line)
        for tracker in self.trackers:
            self.folder.try_to(tracker.log, line, line["step"])
        self.progress.show(line, force=bool(score))
        self.report_busy_cpu()

    def report_busy_cpu(self):
        """Once, when other programs make training slow."""
        if not self.is_busy and (sentence := busy_cpu(self.setup.device)):
            self.is_busy = True
            self.print(sentence)

    def validation(self, score):
        """Save last.pt, and best.pt where this is the best so far; draw the curve; print the score and a story."""
        state, config, guessing = self.state, self.config, math.log(self.setup.corpus.vocab_size)
        self.last_loss = score.loss
        is_best = score.loss < min(state.best, DIVERGED * guessing)
        state.since_best += 1
        if is_best:
            state.best, state.best_step, state.since_best = score.loss, state.step, 0
        if not self.folder:
            return
        remark = ", the best so far" if is_best else ""
        if not score.loss < DIVERGED * guessing:
            remark = f", where guessing gives {guessing:.2f}: try a lower --learning_rate"
        self.print(f"step {state.step:,}: {score}{remark}")
        contents = self.contents()
        if is_best:
            self.folder.save("best.pt", contents | {"val_loss": score.loss, "val_bpb": score.bpb})
        self.save_last(contents)
        self.folder.draw()
        if config.sample_prompt and is_story_due(state.step, config):
            with devices.autocast(self.setup.device, self.setup.dtype):
                self.progress.story(sample_story(self.setup.model, self.encoding, config.sample_prompt, config.seed))

    @functools.cached_property
    def encoding(self):
        return tokenizer.from_text(self.setup.corpus.tokenizer_text)

    @functools.cached_property
    def sense(self):
        return SenseEvaluator(self.setup.corpus, self.setup.model.config.block_size, self.print)

    def contents(self):
        setup = self.setup
        return snapshot.model_contents(setup.model, self.config, self.state, setup.corpus, self.init_from)

    def save_last(self, contents=None):
        """Save last.pt, which a resumed run continues from."""
        if self.folder:
            more = snapshot.resume_contents(self.stepper, self.state)
            self.folder.save("last.pt", (contents or self.contents()) | more)

    def finish(self, stopped):
        """Wait for the files and unlock the folder; print how the run ended and what comes next."""
        self.progress.close()
        if not self.folder:
            return
        self.folder.close()
        out_dir, state = shlex.quote(self.config.out_dir), self.state
        if stopped:
            self.print(
                f"stopped after step {state.step:,}, saved in {out_dir}/last.pt: the same command with"
                " --init_from=resume continues"
            )
            return
        if state.is_patience_over(self.config.patience) and state.step < self.config.max_iters:
            validations = counted(state.since_best, "validation was", "validations were")
            self.print(f"stopped early: {validations} not better than the best (--patience)")
        cuda = self.setup.device.type == "cuda"
        memory = torch.cuda.max_memory_reserved(self.setup.device) / 2**30 if cuda else 0
        gpu = f", at most {memory:.1f} GiB of GPU memory" if cuda else ""
        self.print(f"{state.seconds:.0f} s of training{gpu}\n{ending(out_dir, state, self.last_loss)}")
        self.print(f"next: python sample.py --model={out_dir}")
