"""The average of a model's weights over the last steps: `--ema_decay`. It is what a run validates and keeps.

The average is better than the weights, which each step still moves about, and so the rate need not fall to 0 (Izmailov
et al. 2018, arXiv 1803.05407; for schedules see Hägele et al. 2024, arXiv 2405.18392, section 4).
"""

import contextlib

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from slm.errors import UserError
from slm.models.tensor_file import check_tensors


class WeightAverage:
    """An exponential average of the parameters of `model`, of which a step keeps the share `decay`.

    It begins as the plain mean of the first steps. With a decay of 0 it is the weights themselves, and costs nothing.
    """

    def __init__(self, model, decay):
        self.decay, self.parameters = decay, dict(model.named_parameters())
        self.other = {name: parameter.detach().clone() for name, parameter in self.parameters.items() if decay}

    def update(self, step):
        """Count the weights after step 1, 2, ... Nothing in it waits for the device."""
        if self.decay:
            kept = min(self.decay, 1 - 1 / step)
            get_ema_multi_avg_fn(kept)(list(self.other.values()), list(self.parameters.values()), None)

    @contextlib.contextmanager
    def in_model(self):
        """For the time of the context the model has the average, and `other` the weights that training goes on with."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self):
        for name, other in self.other.items():
            kept = other.clone()
            other.copy_(self.parameters[name])
            self.parameters[name].copy_(kept)

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
