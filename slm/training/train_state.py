"""How far a run is, and what its steps measured: with parameters and optimizer all that an exact resume needs."""

import math
from dataclasses import asdict, dataclass, fields

import torch

from slm.errors import UserError

BAD_STEPS_IN_A_ROW = 10  # gradients that are not finite: so many in a row end the run


@dataclass
class TrainState:
    """The part of a run's state that is numbers; `last.pt` holds it under `progress`.

    A checkpoint that lacks a field, or has one more, still loads.
    """

    step: int = 0  # optimizer steps done
    logged: int = 0  # the step of the last line in log.csv
    seconds: float = 0.0  # spent in optimizer steps
    best: float = math.inf  # validation loss of best.pt, nats a token
    best_step: int = 0
    losses: float = 0.0  # steps with a finite gradient since the last line
    loss_sum: float = 0.0  # the sum of their losses
    skipped: float = 0.0  # steps not applied because their gradient was not finite
    skipped_in_a_row: float = 0.0
    grad_norm: float = 0.0  # of the last step
    micro_batch: int = 0  # sequences of a forward pass
    corpus: str = ""  # Corpus.fingerprint() of the data

    @classmethod
    def from_dict(cls, values):
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})

    def to_dict(self):
        return asdict(self)


class StepMetrics:
    """Sums over steps, counted on the device: no step waits for them, only `read` does."""

    NAMES = ("losses", "loss_sum", "skipped", "skipped_in_a_row")

    def __init__(self, device, state, group):
        self.group = group
        # each process counts its own share of the loss, so one of them starts from the sum so far
        sums = [getattr(state, name) for name in self.NAMES]
        sums[1] *= group.is_main
        self.sums = torch.tensor(sums, device=device, dtype=torch.float32)
        self.grad_norm = torch.tensor(state.grad_norm, device=device)

    def update(self, loss, grad_norm, is_error):
        """Add one step. loss: of this process's share; is_error: whether a gradient that is not finite is an error."""
        finite = grad_norm.isfinite()
        wrong = ~finite & is_error
        losses, loss_sum, skipped, in_a_row = self.sums
        loss_sum = torch.where(finite, loss_sum + loss, loss_sum)
        self.sums.copy_(torch.stack([losses + finite, loss_sum, skipped + wrong, (in_a_row + wrong) * wrong]))
        self.grad_norm.copy_(grad_norm)

    def read(self, state):
        """Copy the sums of all processes into `state`. Waits for the device."""
        losses, loss_sum, state.skipped, state.skipped_in_a_row = self.sums.tolist()
        state.losses, state.grad_norm = losses, self.grad_norm.item()
        (state.loss_sum,) = self.group.all_reduce([loss_sum])

    def check_finite(self, last_checkpoint):
        """Raise UserError after too many steps in a row with a gradient that is not finite. Waits for the device."""
        bad = int(self.sums[3].item())
        if bad >= BAD_STEPS_IN_A_ROW:
            kept = f"; {last_checkpoint} has the model from before them" if last_checkpoint.exists() else ""
            raise UserError(
                f"{bad} steps in a row had a gradient that is not finite: try a lower --learning_rate or"
                f" --dtype=float32{kept}"
            )

    def start_line(self, state):
        """Begin the next line of the log."""
        state.losses = state.loss_sum = 0.0
        self.sums[:2] = 0.0
