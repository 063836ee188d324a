"""What goes wrong with a run's numbers: noted at every step where they are, looked at seldom.

To look at a number on a GPU is to wait until it has done all that it was told.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.errors import NonFiniteError, UserError
from gs_esd.system.device import to_floats

VISIBLE = 1 / 255
"""The least alpha that an image shows."""
NEVER = 2**53
"""Stands for the step of what has not happened."""


class FiniteCheck:
    """Since which step numbers are not finite, or the splats cannot be seen."""

    def __init__(self, checkpoint: Path) -> None:
        """checkpoint: what is named as the last good one; nothing may be saved before `check`."""
        self._checkpoint = checkpoint
        self._since: dict[str, Tensor] = {}

    def note_gradients(
        self, numbers: Iterable[float | Tensor], splats: ParameterDict, step: int
    ) -> None:
        """Note whether what is logged and the gradients on the splats are finite."""
        gradients = (each.grad for each in splats.values())
        tensors = [each for each in (*numbers, *gradients) if isinstance(each, Tensor)]
        self._note("the loss or a gradient", ~_are_finite(tensors), step)

    def note_parameters(self, splats: ParameterDict, step: int) -> None:
        """Note whether the splats are finite."""
        for name, parameter in splats.items():
            self._note(f"the splats' {name}", ~_are_finite([parameter.detach()]), step)

    def note_alpha(self, alpha: Float[Tensor, "B H W 1"], step: int) -> None:
        """Note whether anything can be seen of the splats in a step's renderings."""
        self._note("", alpha.detach().amax() < VISIBLE, step)

    def check(self) -> None:
        """Raise NonFiniteError, or UserError for splats that nobody can see, with the step."""
        steps = to_floats(self._since)
        what = min(steps, key=lambda name: steps[name], default="")
        if steps.get(what, NEVER) == NEVER:
            return
        step = int(steps[what])
        if not what:
            raise UserError(
                f"step {step}: the splats have become transparent from every side. Lower "
                "learning_rates.opacities, or raise init.opacity or init.gaussians."
            )
        kept = f"the last good checkpoint is {self._checkpoint}"
        raise NonFiniteError(
            f"step {step}: {what} became NaN or infinite. Lower learning_rates.*, which makes "
            "another run in a folder of its own; "
            f"{kept if self._checkpoint.exists() else 'there is no checkpoint yet'}."
        )

    def _note(self, what: str, is_so: Tensor, step: int) -> None:
        since = torch.where(is_so, step, NEVER)
        self._since[what] = since.minimum(self._since.get(what, since))


def _are_finite(tensors: list[Tensor]) -> Tensor:
    return torch.stack([each.isfinite().all() for each in tensors]).all()
