"""q: what every model of the distribution of renderings offers."""

from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.render.renderings import Renderings
from gs_esd.system.device import Scalars


@runtime_checkable
class VariationalScore(Protocol):
    """The score of noisy renderings, of one camera or unconditional."""

    def update(
        self, renderings: Renderings, x_0: Float[Tensor, "B C h w"], views: Views
    ) -> Scalars:
        """Learn from a batch of renderings and their encodings; returns scalars to log."""
        ...

    def predict_noise(
        self,
        x_t: Float[Tensor, "B C h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        *,
        uncond: Bool[Tensor, " B"],
    ) -> Float[Tensor, "B C h w"]:
        """ε_ψ(∅) in the rows that are `uncond`, in the others ε_ψ(c) with c = views.cameras.

        The prompt stays in both.
        """
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` gave."""
        ...
