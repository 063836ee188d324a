"""Protocol of variational models q of the distribution of renderings."""

from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.render.renderings import Renderings
from gs_esd.system.device import Scalars


@runtime_checkable
class VariationalScore(Protocol):
    """Score of noisy renderings, conditioned on the camera or unconditional.

    A new kind is a class with these methods, a dataclass in gs_esd/config/options.py, and a line
    each in gs_esd/build/distributions.py and gs_esd/config/kinds.py.
    """

    def update(
        self, renderings: Renderings, x_0: Float[Tensor, "B C h w"], views: Views
    ) -> Scalars:
        """Learn from a batch of renderings.

        Args:
            renderings: rgb and alpha.
            x_0: the same, composited over the background of `views` and encoded by the prior.
            views: their cameras and background.

        Returns:
            Scalars to log.
        """
        ...

    def predict_noise(
        self,
        x_t: Float[Tensor, "B C h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        *,
        uncond: Bool[Tensor, " B"],
    ) -> Float[Tensor, "B C h w"]:
        """Predict ε_ψ(∅) in rows where `uncond`, and ε_ψ(c) in others; both keep the prompt.

        Args:
            x_t: noisy renderings.
            log_snr: noise level of each.
            views: c, the camera of each row.
            uncond: mask of the unconditional rows.
        """
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Everything a resumed run needs."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        ...
