"""Schedules of λ, the entropy weight: over a run, and over noise levels.

Notation
    lam         λ of a batch, or of each of its renderings
    r           sigma² / (alpha² main_variance), the noise relative to the views' main direction
    s           the fraction of the prior's spread of views that is to be kept

For a Gaussian prior of covariance Σ, the renderings that ESD rests at have covariance
λΣ + (λ-1) sigma²/alpha² I (clipped at 0): a constant λ < 1 keeps less of the spread the higher the
noise, and nothing once r > λ/(1-λ). λ = (s + r)/(1 + r) keeps sΣ along the main direction at every
noise level. It goes beyond the paper.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.guidance.noisy_views import NoisyViews

LambdaAt = Callable[[NoisyViews], float | Float[Tensor, " B"]]
"""λ of a noisy batch: one number, or one for each rendering."""


def constant(lam: float) -> LambdaAt:
    """The same λ always, as in the paper."""
    return lambda noisy: lam


def linear(lam: float) -> LambdaAt:
    """λ at the start, falling to 0, which is VSD, at the end of the run."""
    return lambda noisy: lam * (1 - noisy.progress)


def noise_consistent(s: float, main_variance: Callable[[Views], float]) -> LambdaAt:
    """The λ that keeps the fraction `s` of the prior's spread at every noise level.

    Args:
        s: the fraction, usually in [0, 1].
        main_variance: the prior's variance along the views' main direction, see `ImageSetPrior`.
    """
    if s == 1:
        return constant(1.0)  # then λ = 1 at every noise level, and ε_ψ(c) is not needed

    def lam(noisy: NoisyViews) -> Float[Tensor, " B"]:
        r = (-noisy.log_snr).exp() / main_variance(noisy.views)
        return (s + r) / (1 + r)

    return lam
