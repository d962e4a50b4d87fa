"""Weights & Biases and TensorBoard: where the log goes besides log.csv. A tracker that fails never ends a run."""

import time
from dataclasses import asdict

from slm.errors import UserError, first_line


def start_trackers(config, wandb_id=None):
    """The trackers that `config` asks for: objects with `log(line, step)`. Raises UserError where one cannot start."""
    trackers = [WandB(config, wandb_id)] if config.wandb_log else []
    return trackers + ([TensorBoard(config)] if config.tensorboard_log else [])


class WandB:
    """A Weights & Biases run; `id` names it, so that a resumed run continues in it."""

    def __init__(self, config, wandb_id=None):
        try:
            import wandb
        except ImportError as error:
            raise UserError("wandb_log needs the package wandb: pip install wandb") from error
        try:
            self.run = wandb.init(
                project=config.wandb_project,
                name=config.wandb_run_name or config.out_dir,
                config=asdict(config),
                id=wandb_id,
                resume="allow" if wandb_id else None,
            )
        except Exception as error:
            raise UserError(
                f"W&B does not start ({first_line(error)}): log in with `wandb login`, or set WANDB_MODE=offline"
            ) from error
        self.id = getattr(self.run, "id", None)

    def log(self, line, step):
        self.run.log(line, step=step)


class TensorBoard:
    """The log as TensorBoard shows it: a folder under out_dir/tensorboard for each start of the run."""

    def __init__(self, config):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError("tensorboard_log needs the package tensorboard: pip install tensorboard") from error
        self.make_writer = SummaryWriter
        self.folder = f"{config.out_dir}/tensorboard/{time.strftime('%Y-%m-%d_%H-%M-%S')}"
        self.writer = None

    def log(self, line, step):
        self.writer = self.writer or self.make_writer(self.folder)  # by now an earlier run's files are out of the way
        for name, value in line.items():
            if name != "step":
                self.writer.add_scalar(name, value, step)
        self.writer.flush()
