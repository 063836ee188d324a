"""Adam on the rows of a table, each with moments and a step count of its own.

Only the rows of a batch move. torch's Adam moves all others too, by their remaining momentum.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

BETAS = (0.9, 0.999)
EPS = 1e-12


class RowAdam:
    """Adam (arXiv 1412.6980) that steps some rows of a table at a time."""

    def __init__(self, table: Float[Tensor, "M P"], rates: Float[Tensor, " P"]) -> None:
        """Take the table, which is changed in place, and the learning rate of each column."""
        self.table = table
        self.rates = rates
        self.mean = torch.zeros_like(table)
        self.square = torch.zeros_like(table)
        self.steps = torch.zeros(len(table), device=table.device)

    @torch.no_grad()
    def step(self, gradient: Float[Tensor, "B P"], rows: Int[Tensor, " B"], factor: float) -> None:
        """Move rows, all different, against their gradients.

        Args:
            gradient: of these rows.
            rows: their indices.
            factor: of all learning rates at this step.
        """
        first, second = BETAS
        self.steps[rows] += 1
        self.mean[rows] = torch.lerp(gradient, self.mean[rows], first)
        self.square[rows] = torch.lerp(gradient.square(), self.square[rows], second)
        steps = self.steps[rows, None]
        mean = self.mean[rows] / (1 - first**steps)
        deviation = (self.square[rows] / (1 - second**steps)).sqrt()
        self.table[rows] -= factor * self.rates * mean / (deviation + EPS)

    def reset(self, rows: Int[Tensor, " B"]) -> None:
        """Forget the moments of rows whose values were replaced."""
        self.mean[rows] = 0
        self.square[rows] = 0
        self.steps[rows] = 0

    def state_dict(self) -> dict[str, Any]:
        """Copies of the table and of the moments."""
        return {name: getattr(self, name).clone() for name in _STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, in place."""
        for name in _STATE:
            getattr(self, name).copy_(state[name])


_STATE = ("table", "mean", "square", "steps")
