"""Muon, an optimizer for matrices, with AdamW for all other parameters: `--optimizer=muon`.

AdamW scales each number of a gradient alone. Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) takes the
matrix whole: where the averaged gradient is U S V^T, it applies U V^T, an update of the same size in every direction.
experiments/log.md has runs of both.
"""

import math

import torch

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan et al.: five steps bring singular values near 1, none exactly to 1
UPDATE_RMS = 0.2  # AdamW's root mean square, so that Muon takes AdamW's rates (arXiv 2502.16982, section 2.2)


class Muon(torch.optim.AdamW):
    """Muon for the matrices of the module `blocks`, AdamW for the other parameters of `groups`.

    Queries, keys and values share c_attn's weight and are three matrices, each orthogonalized alone (Jordan et al.).
    dtype: of Muon's matrix products. processes: a ProcessGroup whose processes have equal gradients, None for this
    process alone; each orthogonalizes its share of the matrices, and all apply all. options: AdamW's. Like AdamW's
    fused step it never waits for the device, so that it can be captured: the rate may be a tensor, and where a
    GradScaler found a gradient that is not finite, a factor 0 skips the step.
    """

    def __init__(self, groups, blocks, dtype, processes=None, **options):
        # how many matrices each parameter holds: c_attn has queries, keys and values below each other
        self.parts = {
            parameter: 3 if name.endswith("attn.c_attn.weight") else 1
            for name, parameter in blocks.named_parameters()
            if parameter.dim() == 2
        }
        both = []
        for group in groups:
            both.append({**group, "params": [p for p in group["params"] if p not in self.parts]})
            both.append({**group, "params": [p for p in group["params"] if p in self.parts], "muon": True})
        super().__init__([group for group in both if group["params"]], **options)
        self.dtype, self.processes = dtype, processes

    @torch.no_grad()
    def step(self):
        skipped = getattr(self, "found_inf", None)
        applied = 1.0 if skipped is None else 1.0 - skipped
        for group in self.param_groups:
            if group.get("muon"):
                self.step_group(group, applied)
                for parameter in group["params"]:
                    parameter.grad = None  # which AdamW passes over
        super().step()

    def step_group(self, group, applied):
        """One step of a group's matrices. applied: 1, or 0 to change nothing."""
        by_shape = {}
        for parameter in group["params"]:
            tensors = (parameter, parameter.grad, self.momentum_of(parameter))
            for views in zip(*(wide_matrices(tensor, self.parts[parameter]) for tensor in tensors), strict=True):
                by_shape.setdefault(views[0].shape, []).append(views)
        stacks = [list(zip(*views, strict=True)) for views in by_shape.values()]
        updates = [self.updates_of_share(gradients, averages, applied) for _, gradients, averages in stacks]
        rate = group["lr"] * applied
        torch._foreach_mul_(group["params"], 1 - rate * group["weight_decay"])
        for (matrices, *_), gathered in zip(stacks, self.gather(updates), strict=True):
            size = UPDATE_RMS * math.sqrt(max(matrices[0].shape))
            gathered = gathered.to(matrices[0].dtype) * (rate * size)
            updates = [None] * len(matrices)
            for rank, update in enumerate(gathered):
                updates[share(len(matrices), rank, len(gathered))] = update
            each(torch._foreach_sub_, matrices, updates)

    def updates_of_share(self, gradients, averages, applied):
        """Average the gradients of matrices of one shape; the orthogonal updates of this process's share, stacked."""
        gradients = torch.stack(gradients).nan_to_num_() * applied
        new_averages = torch.stack(averages).lerp_(gradients, (1 - MOMENTUM) * applied)
        each(torch._foreach_copy_, averages, new_averages.unbind())
        rank, world_size = (self.processes.rank, self.processes.world_size) if self.processes else (0, 1)
        mine = share(len(averages), rank, world_size)
        return orthogonalize(gradients[mine].lerp(new_averages[mine], MOMENTUM), self.dtype)  # Nesterov's momentum

    def gather(self, updates):
        """The updates of all processes: (processes, *shape) for each tensor."""
        return self.processes.all_gather(updates) if self.processes else [update[None] for update in updates]

    def momentum_of(self, matrix):
        """The average of a matrix's gradients, zeros at first."""
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        return state["momentum"]

    def __setstate__(self, state):
        torch.optim.Optimizer.__setstate__(self, state)  # AdamW's looks for its `step` in the state of every parameter


def wide_matrices(tensor, parts):
    """The `parts` matrices below each other in a tensor (rows, columns), each turned so that it is not tall: views."""
    return [part.mT if part.size(0) > part.size(1) else part for part in tensor.chunk(parts)]


def share(matrices, rank, world_size):
    """The slice of so many matrices of one shape that a process orthogonalizes.

    Each process has as many as any other, so all work and send as much; where they do not divide, shares overlap.
    """
    size = -(-matrices // world_size)
    start = min(rank * size, matrices - size)
    return slice(start, start + size)


def each(operation, tensors, others):
    """A torch._foreach operation on pairs of tensors: one kernel for those that lie alike, not one for each pair."""
    for alike in (True, False):
        pairs = [(a, b) for a, b in zip(tensors, others, strict=True) if (a.stride() == b.stride()) == alike]
        if pairs:
            operation(*map(list, zip(*pairs, strict=True)))


def orthogonalize(matrices, dtype):
    """U V^T in dtype, roughly, of each matrix U S V^T: (N, rows, columns), rows <= columns for speed.

    Singular values become 0.7 to 1.2, tiny ones less.
    """
    a, b, c = NEWTON_SCHULZ
    x = (matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)).to(dtype)
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
