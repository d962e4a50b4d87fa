"""How far a run is, and what its steps measured: with parameters and optimizer all that an exact resume needs."""

import math
from dataclasses import asdict, dataclass, field, fields

import torch

from slm.errors import UserError
from slm.values import check_values

MOST_FAILED_STEPS = 10  # in a row; so many end the run


@dataclass
class TrainState:
    """The numbers of a run's state; `last.pt` holds them under `progress`."""

    step: int = 0  # optimizer steps done
    sequences: int = 0  # sequences that these steps trained on
    tokens: int = 0  # tokens that these steps predicted
    logged: int = 0  # the step of the last line in log.csv
    seconds: float = 0.0  # spent in optimizer steps
    best: float = math.inf  # validation loss of best.pt, nats per token
    best_step: int = 0
    best_of: str = ""  # what `best` was measured on: only then does another loss compare
    since_best: int = 0  # validations in a row without a better one
    schedule_start: int = 0  # the step at which the learning rate's schedule began
    schedule_of: str = ""  # torchrun's name for the run that began it there, by a warm restart
    counted: float = 0.0  # steps since the last line, without those that were skipped
    sums: dict = field(default_factory=dict)  # {metric: its sum over these steps}
    failed: float = 0.0  # steps that were skipped because their gradient was not finite
    failed_in_a_row: float = 0.0
    lr: float = 0.0  # learning rate of the last step
    grad_norm: float = 0.0  # of the last step
    micro_batch: int = 0  # sequences of a forward pass
    dtype: str = ""  # of the forward pass
    corpus: str = ""  # Corpus.fingerprint() of the data

    def to_dict(self):
        return asdict(self)

    def is_patience_over(self, patience):
        return 0 < patience <= self.since_best

    @classmethod
    def parse(cls, values, where):
        """The TrainState with these values, which a file holds. Raises UserError, which begins with `where`."""
        most = {int: (0, None, 2**48), float: (0, None, 2**48), str: (), dict: ()}
        table = {field.name: (field.type, *most[field.type]) for field in fields(cls)}
        check_values(values, table | {"best": (float, 0), "grad_norm": (float,)}, where)
        for name in values.keys() - table.keys():
            raise UserError(f"{where} are of another version ({str(name)[:40]} is unknown): use that version")
        state = cls(**values)
        late = [name for name in ("logged", "best_step", "schedule_start", "failed") if values[name] > state.step]
        if late or state.sequences < state.step:
            raise UserError(f"{where} are damaged ({[*late, 'step'][0]} contradicts the others): use another file")
        check_values(state.sums, dict.fromkeys(state.sums, (float, None, -math.inf, math.inf)), where)
        if not all(isinstance(name, str) for name in state.sums):
            raise UserError(f"{where} are damaged (sums of no name): use another file")
        return state


class StepMetrics:
    """Sums over steps, kept on the device: no step waits for them, only `read` does."""

    def __init__(self, device, state, group):
        self.group, self.names = group, list(state.sums)
        self.counts = torch.tensor([state.counted, state.failed, state.failed_in_a_row], device=device)
        # float64 adds float32 losses exactly: a resume in the middle of a line, or in other processes, rounds nothing
        dtype = torch.float32 if device.type == "mps" else torch.float64  # which MPS lacks
        self.sums = torch.tensor(list(state.sums.values()), dtype=dtype, device=device)
        self.grad_norm = torch.tensor(state.grad_norm, device=device)

    def update(self, means, grad_norm, failed):
        """Add one step.

        means: {metric: scalar tensor}, of this process's sequences. grad_norm: scalar tensor; a step where it is not
        finite was skipped, and counts in no mean. failed: scalar bool tensor, whether that counts as a failure.
        """
        if not self.names:
            self.names, self.sums = list(means), self.sums.new_zeros(len(means))
        finite = grad_norm.isfinite()
        counted, all_failed, in_a_row = self.counts
        self.counts.copy_(torch.stack([counted + finite, all_failed + failed, (in_a_row + failed) * failed]))
        self.sums.copy_(torch.where(finite, self.sums + torch.stack(list(means.values())), self.sums))
        self.grad_norm.copy_(grad_norm)

    def read(self, state):
        """Copy the sums, averaged over the processes, into `state`. Waits for the device."""
        state.counted, state.failed, state.failed_in_a_row = self.counts.tolist()
        sums = self.group.all_reduce(self.sums.tolist())
        state.sums = {name: total / self.group.world_size for name, total in zip(self.names, sums, strict=True)}
        state.grad_norm = self.grad_norm.item()

    def mean_loss(self):
        """Of the steps since the last line, in this process; NaN before the first. Waits for the device."""
        counted = self.counts[0].item()
        return self.sums[self.names.index("train_loss")].item() / counted if counted else math.nan

    def check_finite(self, last_checkpoint):
        """Raise UserError after too many failed steps in a row. Waits for the device."""
        failed = int(self.counts[2].item())
        if failed >= MOST_FAILED_STEPS:
            kept = f"; {last_checkpoint} has the model from before them" if last_checkpoint.exists() else ""
            raise UserError(
                f"{failed} steps in a row had a gradient that is not finite: try a lower --learning_rate or"
                f" --dtype=float32{kept}"
            )

    def start_line(self, state):
        """Begin the next line of the log."""
        state.counted, state.sums = 0.0, dict.fromkeys(state.sums, 0.0)
        self.counts[0] = 0.0
        self.sums.zero_()
