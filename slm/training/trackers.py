"""Weights & Biases, trackio and TensorBoard: where the log goes besides log.csv. Their failures end no run."""

import time
from dataclasses import asdict
from importlib import import_module

from slm.errors import UserError, first_line


def start_trackers(config, resuming=False, wandb_id=None):
    """The trackers that `config` asks for: objects with `log(line, step)`. Raises UserError where one cannot start.

    resuming: whether the run continues an earlier one. wandb_id: of the earlier one at W&B.
    """
    trackers = [WandB(config, wandb_id)] if config.wandb_log else []
    trackers += [Trackio(config, resuming)] if config.trackio_log else []
    return trackers + ([TensorBoard(config)] if config.tensorboard_log else [])


def load(option, package, module, name):
    """`name` of a tracker's module. Raises UserError where its package is missing, or where its import fails."""
    try:
        return getattr(import_module(module), name)
    except Exception as error:
        # a folder wandb/, as W&B makes one, counts as an empty module
        if isinstance(error, AttributeError) or getattr(error, "name", None) in (package, module):
            raise UserError(f"{option} needs the package {package}: pip install {package}") from error
        raise UserError(f"{option}: {package} is here, but its import fails: {first_line(error)}") from error


class Run:
    """A run of a package with W&B's interface.

    failure: what it says where it does not start, with {} for the reason. options: more of its `init`.
    """

    def __init__(self, option, package, failure, config, **options):
        init = load(option, package, package, "init")
        name = config.wandb_run_name or config.out_dir
        try:
            self.run = init(project=config.wandb_project, name=name, config=asdict(config), **options)
        except Exception as error:
            raise UserError(failure.format(first_line(error))) from error

    def log(self, line, step):
        self.run.log(line, step=step)


class WandB(Run):
    """A Weights & Biases run; `id` names it, so that a resumed run continues in it."""

    def __init__(self, config, wandb_id=None):
        failure = "W&B does not start ({}): log in with `wandb login`, or set WANDB_MODE=offline"
        resume = "allow" if wandb_id else None
        super().__init__("wandb_log", "wandb", failure, config, id=wandb_id, resume=resume)
        self.id = getattr(self.run, "id", None)


class Trackio(Run):
    """A trackio run, a database on this machine that `trackio show` draws. A resume continues the one of its name."""

    def __init__(self, config, resuming):
        resume = "allow" if resuming else "never"
        super().__init__("trackio_log", "trackio", "trackio does not start: {}", config, resume=resume)


class TensorBoard:
    """The log as TensorBoard shows it: a folder under out_dir/tensorboard for each start of the run."""

    def __init__(self, config):
        self.make_writer = load("tensorboard_log", "tensorboard", "torch.utils.tensorboard", "SummaryWriter")
        self.folder = f"{config.out_dir}/tensorboard/{time.strftime('%Y-%m-%d_%H-%M-%S')}"
        self.writer = None

    def log(self, line, step):
        self.writer = self.writer or self.make_writer(self.folder)  # by now an earlier run's files are out of the way
        for name, value in line.items():
            if name != "step":
                self.writer.add_scalar(name, value, step)
        self.writer.flush()
