"""The average of a model's weights over the last steps: `--ema`. It is what a run validates and keeps.

The average is better than the weights, which each step still moves about, and so the rate need not fall to 0 (Izmailov
et al. 2018, arXiv 1803.05407; for schedules see Hägele et al. 2024, arXiv 2405.18392, section 4).
"""

import contextlib

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from slm.errors import UserError
from slm.models.tensor_file import check_tensors


class WeightAverage:
    """An exponential average of the parameters of `model` over about the last `share` of the steps so far.

    Its span grows with the run (Karras et al. 2024, arXiv 2312.02696, section 3.1), so one share suits runs of any
    length and every validation. With a share of 0 it is the weights themselves, and costs nothing.

    `other` holds what the model does not have: the average, and within `in_model` the weights.
    """

    def __init__(self, model, share):
        self.share, self.parameters = share, dict(model.named_parameters())
        self.other = {name: parameter.detach().clone() for name, parameter in self.parameters.items() if share}

    @property
    def nbytes(self):
        return sum(tensor.nbytes for tensor in self.other.values())

    def update(self, step):
        """Count the weights after step 1, 2, ... Nothing in it waits for the device."""
        if self.share:
            kept = 1 - 1 / max(1, self.share * step)
            get_ema_multi_avg_fn(kept)(list(self.other.values()), list(self.parameters.values()), None)

    @contextlib.contextmanager
    def in_model(self):
        """For the time of the context the model has the average: for a validation and its files."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self):
        for name, other in self.other.items():
            before = other.clone()
            other.copy_(self.parameters[name])
            self.parameters[name].copy_(before)

    @torch.no_grad()
    def restore(self, weights, where):
        """Go on from a checkpoint, whose model is the average and whose `weights` are those of the training.

        weights: {name: tensor}, {} where the model has them. Raises UserError, which begins with `where`.
        """
        check_tensors(weights, where)
        shapes = {name: parameter.shape for name, parameter in self.parameters.items()}
        if weights and {name: tensor.shape for name, tensor in weights.items()} != shapes:
            raise UserError(f"{where} are not those of this model: use another file")
        for name, tensor in weights.items():
            self.parameters[name].copy_(tensor)
