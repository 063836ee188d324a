"""Where λ can act at all, told by how well a noisy rendering can be told from another.

Notation
    D²          mean squared distance ‖x_i - x_j‖² between two different renderings of a batch
    kappa       SNR D² / 2: at a noise level, the nats by which a noisy rendering speaks for its
                own camera against another; snr = alpha² / sigma²

What an exact ε_ψ(∅) makes of a noisy rendering depends on kappa alone. At kappa ≫ 1 it knows the
camera, so that ε_ψ(∅) = ε_ψ(c) and λ multiplies nothing; at kappa ≪ 1 the prior can tell no views
apart either. Entropy acts in between.
"""

from jaxtyping import Float
from torch import Tensor

INERT = 10.0
"""The kappa above which λ multiplies next to nothing: e^-10 is the odds of another camera."""
FEW = 0.1
"""The share of pictures below INERT under which a run is warned about."""
WINDOW = (0.1, 0.2)
"""The progress within which pictures are counted: views differ by then, and t is still high."""


def spread(x_0: Float[Tensor, "B C h w"]) -> Float[Tensor, ""]:
    """D² of at least two renderings on one background."""
    flat = x_0.flatten(1).double()
    deviation = flat - flat.mean(0)
    return (2 * deviation.square().sum() / (len(flat) - 1)).float()


def kappa(x_0: Float[Tensor, "B C h w"], log_snr: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """SNR D² / 2 of each rendering of a batch of at least two."""
    return 0.5 * log_snr.exp() * spread(x_0)


class KappaCount:
    """Counts, in the WINDOW of a run, how many noisy renderings have a kappa at which λ acts."""

    def __init__(self) -> None:
        """Nothing counted yet."""
        self.seen = 0
        self.acting: int | Tensor = 0

    def add(self, kappas: Float[Tensor, " B"], progress: float) -> str | None:
        """Count a batch; just after the WINDOW, what to tell the user, if there is anything."""
        if progress < WINDOW[0]:
            return None
        if progress < WINDOW[1]:
            self.seen += len(kappas)
            self.acting += (kappas < INERT).sum()
            return None
        if not self.seen:
            return None
        seen, acting = self.seen, int(self.acting)
        self.seen, self.acting = 0, 0
        return _warning(seen, acting) if acting < FEW * seen else None

    def state_dict(self) -> dict[str, int]:
        """The counts."""
        return {"seen": self.seen, "acting": int(self.acting)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Take back what `state_dict` gave."""
        self.seen, self.acting = state["seen"], state["acting"]


def _warning(seen: int, acting: int) -> str:
    return (
        f"only {acting} of {seen} renderings between {WINDOW[0]:.0%} and {WINDOW[1]:.0%} of the "
        f"run were noised to kappa < {INERT:g}. With less noise a rendering betrays its camera, "
        "and lambda_esd hardly acts. Draw noisier levels (timesteps.*), or take a prior with zero "
        "terminal SNR."
    )
