"""Protocol of variational models q of the distribution of renderings.

Notation
    ε_ψ(c)      noise predicted by q given the camera c: cond
    ε_ψ(∅)      the same over all cameras: uncond; both keep the prompt
"""

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.render.renderings import Renderings
from gs_esd.system.device import Scalars


class NeededPredictions(NamedTuple):
    """Which of ε_ψ(∅) and ε_ψ(c) are needed."""

    uncond: bool
    cond: bool


class PsiPredictions(NamedTuple):
    """ε_ψ(∅) and ε_ψ(c) of a batch; zeros where one was not needed."""

    uncond: Float[Tensor, "B C h w"]
    cond: Float[Tensor, "B C h w"]


@runtime_checkable
class VariationalScore(Protocol):
    """Score of noisy renderings, conditioned on the camera or unconditional.

    A new kind is a class with these methods, a dataclass in gs_esd/config/options.py, and a line
    each in gs_esd/build/distributions.py and gs_esd/config/kinds.py.
    """

    def update(
        self,
        renderings: Renderings,
        x_0: Float[Tensor, "B C h w"],
        views: Views,
        log_snr: Float[Tensor, " B"],
    ) -> Scalars:
        """Learn from a batch of renderings.

        Args:
            renderings: rgb and alpha.
            x_0: the same, composited over the background of `views` and encoded by the prior.
            views: their cameras and background.
            log_snr: the noise levels at which the score of this batch will be needed.

        Returns:
            Scalars to log.
        """
        ...

    def predict_noise(
        self,
        x_t: Float[Tensor, "B C h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        needed: NeededPredictions,
    ) -> PsiPredictions:
        """Predict ε_ψ(∅), ε_ψ(c) or both, for every noisy rendering.

        Args:
            x_t: noisy renderings of the batch that `update` got last, or of a part of it.
            log_snr: noise level of each.
            views: c, the camera of each.
            needed: which of the two.
        """
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Everything a resumed run needs."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        ...


def split_branches(
    eps: Float[Tensor, "R C h w"], n: int, needed: NeededPredictions
) -> PsiPredictions:
    """The predictions by name, from rows of a batch of n for each that is needed, ∅ first."""
    zeros = eps.new_zeros(n, *eps.shape[1:])
    return PsiPredictions(
        eps[:n] if needed.uncond else zeros, eps[len(eps) - n :] if needed.cond else zeros
    )
