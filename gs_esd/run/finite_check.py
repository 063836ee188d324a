"""NaN/Inf and empty-render checks, accumulated on the device and read back every few steps.

Reading a number from a GPU waits for all work queued on it, so each check only stores, on the
device, the first step at which it failed.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.errors import NonFiniteError, UserError
from gs_esd.system.device import to_floats

MIN_VISIBLE_ALPHA = 1 / 255
"""The smallest opacity that changes an 8-bit image."""
NO_STEP = 2**53
"""In place of the step of a check that has not failed; larger than any step."""
INVISIBLE = "no splat is visible"


class FiniteCheck:
    """Finds the first step at which a number was not finite, or no splat was visible."""

    def __init__(self, checkpoint: Path) -> None:
        """Take the path of the checkpoint that errors name; call `check` before saving to it."""
        self._checkpoint = checkpoint
        self._first_failed: dict[str, Tensor] = {}

    def note_gradients(
        self, scalars: Iterable[float | Tensor], splats: ParameterDict, step: int
    ) -> None:
        """Check the logged scalars and the gradients on the splats."""
        gradients = (parameter.grad for parameter in splats.values())
        tensors = [each for each in (*scalars, *gradients) if isinstance(each, Tensor)]
        self._note("a logged number or a gradient", ~_all_finite(tensors), step)

    def note_parameters(self, splats: ParameterDict, step: int) -> None:
        """Check the parameters of the splats."""
        for name, parameter in splats.items():
            self._note(f"the splats' {name}", ~_all_finite([parameter.detach()]), step)

    def note_alpha(self, alpha: Float[Tensor, "B H W 1"], step: int) -> None:
        """Check that at least one pixel of a step's renderings is not transparent."""
        self._note(INVISIBLE, alpha.detach().amax() < MIN_VISIBLE_ALPHA, step)

    def check(self) -> None:
        """Read the checks back from the device, which synchronises with a GPU.

        Raises:
            NonFiniteError: a number was not finite; names the first such step.
            UserError: no splat was visible; names the first such step.
        """
        steps = to_floats(self._first_failed)
        what = min(steps, key=lambda name: steps[name], default=INVISIBLE)
        step = steps.get(what, NO_STEP)
        if step == NO_STEP:
            return
        if what == INVISIBLE:
            raise UserError(
                f"step {step:.0f}: the splats have become transparent from every side. Lower "
                "learning_rates.opacities, or raise init.opacity or init.gaussians."
            )
        exists = self._checkpoint.exists()
        good = f"the last good checkpoint is {self._checkpoint}" if exists else "no checkpoint yet"
        raise NonFiniteError(
            f"step {step:.0f}: {what} became NaN or infinite; {good}. Lower learning_rates.*, or "
            "keep a network from overflowing with prior.precision=float32 (either makes another "
            "run, in a folder of its own)."
        )

    def _note(self, what: str, failed: Tensor, step: int) -> None:
        first = torch.where(failed, step, NO_STEP)
        self._first_failed[what] = first.minimum(self._first_failed.get(what, first))


def _all_finite(tensors: list[Tensor]) -> Tensor:
    return torch.stack([tensor.isfinite().all() for tensor in tensors]).all()
