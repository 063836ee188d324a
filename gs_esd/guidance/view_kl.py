"""Diagnostic: mean KL between noised renderings of two views; λ has no effect where it is large.

Notation
    D²          mean squared distance ‖x_i - x_j‖² between two different renderings of a batch
    view KL     SNR D² / 2 = KL(q(x_t|c) ‖ q(x_t|c')) on average: the nats by which a noisy
                rendering speaks for its own camera against another; snr = alpha² / sigma²

The exact ε_ψ(∅) of a noisy rendering depends on the view KL alone. Far above 1
the camera is certain, so that ε_ψ(∅) = ε_ψ(c) and λ multiplies nothing; far below 1 the prior
cannot distinguish views either. Entropy acts in between.
"""

from jaxtyping import Float
from torch import Tensor

INERT_VIEW_KL = 10.0
"""The view KL above which λ multiplies next to nothing: e^-10 is the odds of another camera."""
MIN_ACTIVE_SHARE = 0.1
"""The share of renderings below INERT_VIEW_KL under which a run is warned about."""
MONITORED_PROGRESS = (0.1, 0.2)
"""The progress within which renderings count: views differ by then, and t is still high."""


def mean_squared_distance(x_0: Float[Tensor, "B C h w"]) -> Float[Tensor, ""]:
    """D² of at least two renderings on one background."""
    flat = x_0.flatten(1).double()
    deviation = flat - flat.mean(0)
    return (2 * deviation.square().sum() / (len(flat) - 1)).float()


def view_kl(x_0: Float[Tensor, "B C h w"], log_snr: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """SNR D² / 2 of each rendering of a batch of at least two."""
    return 0.5 * log_snr.exp() * mean_squared_distance(x_0)


class ViewKlMonitor:
    """Counts how many noisy renderings of a run's early part have a view KL at which λ acts."""

    def __init__(self) -> None:
        """Nothing counted yet."""
        self.seen = 0
        self.acting: int | Tensor = 0

    def add(self, view_kls: Float[Tensor, " B"], progress: float) -> str | None:
        """Count a batch; returns a warning for the user, once, after MONITORED_PROGRESS."""
        if progress < MONITORED_PROGRESS[0]:
            return None
        if progress < MONITORED_PROGRESS[1]:
            self.seen += len(view_kls)
            self.acting += (view_kls < INERT_VIEW_KL).sum()
            return None
        if not self.seen:
            return None
        seen, acting = self.seen, int(self.acting)
        self.seen, self.acting = 0, 0
        return _warning(seen, acting) if acting < MIN_ACTIVE_SHARE * seen else None

    def state_dict(self) -> dict[str, int]:
        """The counts."""
        return {"seen": self.seen, "acting": int(self.acting)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Take back what `state_dict` gave."""
        self.seen, self.acting = state["seen"], state["acting"]


def _warning(seen: int, acting: int) -> str:
    first, last = MONITORED_PROGRESS
    return (
        f"only {acting} of {seen} renderings between {first:.0%} and {last:.0%} of the run were "
        f"noised to a view KL below {INERT_VIEW_KL:g}. With less noise a rendering gives its "
        "camera away, and there is no entropy of views to weigh: lambda_esd hardly acts, or, with "
        "variational=lora, mixes SDS (0) with VSD without a camera (1). Draw noisier levels "
        "(timesteps.*), or take a prior with zero terminal SNR."
    )
