"""Score distillation: the equation, and the objectives that are cases of it.

Notation (see also gs_esd/diffusion/process.py)
    ε_φ(y)      noise predicted by the prior p in the noisy rendering x_t, given the prompt y
    ε_ψ(c)      noise predicted by q, the distribution of renderings, given the camera c: cond
    ε_ψ(∅)      the same over all cameras: uncond; the prompt stays
    ε           the noise that was drawn
    λ           entropy weight, `lambda_esd`: 0 is VSD, 1 matches the whole distribution of views
    ω(t)        weighting of the noise level, see gs_esd/guidance/weighting.py
    τ           threshold of Debiased-SDS, see gs_esd/guidance/score_clipping.py

    gradient on x_0  =  ω(t) (ε_φ(y) - source)

    SDS   source = ε                                         (DreamFusion, arXiv 2209.14988, Eq. 3)
    VSD   source = ε_ψ(c)                                    (ProlificDreamer, 2305.16213, Eq. 9)
    ESD   source = λ ε_ψ(∅) + (1 - λ) ε_ψ(c)                 (arXiv 2401.00909, Eq. 6 and 7)
    Debiased-SDS
          source = ε, clipped to within τ of ε_φ(y)          (arXiv 2303.15413)

The parameters descend along it: θ ← θ - η (∂x_0/∂θ)ᵀ gradient. Algorithm 1 of the ESD paper prints
a plus, which is wrong for ε as the predicted noise (a score is -ε/σ).

How to add an objective is in docs/architecture.md.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.guidance.lambda_schedules import LambdaAt
from gs_esd.guidance.noisy_views import NoisyViews
from gs_esd.guidance.score_clipping import rising_threshold
from gs_esd.guidance.weighting import WeightingFn
from gs_esd.system.device import Scalars
from gs_esd.variational.base import NeededPredictions


@dataclass(frozen=True)
class Predictions:
    """Predicted noise of a batch: ε_φ(y), ε_ψ(∅) and ε_ψ(c); zeros where one was not needed."""

    phi: Float[Tensor, "B C h w"]
    psi_uncond: Float[Tensor, "B C h w"]
    psi_cond: Float[Tensor, "B C h w"]


@runtime_checkable
class Source(Protocol):
    """What is subtracted from ε_φ; the objectives differ in nothing else."""

    def needed(self, noisy: NoisyViews) -> NeededPredictions:
        """Which predictions of q the source is computed from."""
        ...

    def __call__(self, eps: Predictions, noisy: NoisyViews) -> Float[Tensor, "B C h w"]:
        """The source, from the predictions and the drawn noise `noisy.eps`."""
        ...

    def scalars(self, noisy: NoisyViews) -> Scalars:
        """What to log of a step, by name."""
        ...


@torch.no_grad()
def score_difference(
    eps: Predictions, noisy: NoisyViews, source: Source, weighting: WeightingFn
) -> Float[Tensor, "B C h w"]:
    """The gradient on x_0: ω(t) (ε_φ - source)."""
    omega_t = weighting(noisy.log_snr)[:, None, None, None]
    return omega_t * (eps.phi - source(eps, noisy))


class SdsSource:
    """Score distillation sampling: ε, the noise that was drawn."""

    def needed(self, noisy: NoisyViews) -> NeededPredictions:
        """Nothing of q."""
        return NeededPredictions(uncond=False, cond=False)

    def __call__(self, eps: Predictions, noisy: NoisyViews) -> Float[Tensor, "B C h w"]:
        """ε."""
        return noisy.eps

    def scalars(self, noisy: NoisyViews) -> Scalars:
        """Nothing."""
        return {}


class DebiasedSdsSource:
    """Debiased-SDS: ε clipped element by element to [ε_φ - τ, ε_φ + τ].

    The gradient is then ω(t) clip(ε_φ - ε, -τ, τ), where ε_φ is with guidance; τ rises over the
    run, and where nothing is clipped it is SDS. Source: arXiv 2303.15413, whose other half, prompt
    debiasing, is in gs_esd/priors/front_words.py.
    """

    def __init__(self, start: float, end: float) -> None:
        """start, end: τ at the beginning and at the end of the run."""
        self.start = start
        self.end = end

    def needed(self, noisy: NoisyViews) -> NeededPredictions:
        """Nothing of q."""
        return NeededPredictions(uncond=False, cond=False)

    def __call__(self, eps: Predictions, noisy: NoisyViews) -> Float[Tensor, "B C h w"]:
        """ε, clipped to within τ of ε_φ."""
        tau = self.threshold(noisy)
        return noisy.eps.clamp(eps.phi - tau, eps.phi + tau)

    def scalars(self, noisy: NoisyViews) -> Scalars:
        """τ."""
        return {"clip_threshold": self.threshold(noisy)}

    def threshold(self, noisy: NoisyViews) -> float:
        """τ at the progress of a batch."""
        return rising_threshold(self.start, self.end, noisy.progress)


class VsdSource:
    """Variational score distillation: ε_ψ(c), the score of each camera's renderings."""

    def needed(self, noisy: NoisyViews) -> NeededPredictions:
        """The conditional prediction."""
        return NeededPredictions(uncond=False, cond=True)

    def __call__(self, eps: Predictions, noisy: NoisyViews) -> Float[Tensor, "B C h w"]:
        """ε_ψ(c)."""
        return eps.psi_cond

    def scalars(self, noisy: NoisyViews) -> Scalars:
        """Nothing."""
        return {}


class EsdSource:
    """Entropic score distillation: λ ε_ψ(∅) + (1 - λ) ε_ψ(c)."""

    def __init__(self, lam: LambdaAt) -> None:
        """lam: λ of a noisy batch, see gs_esd/guidance/lambda_schedules.py."""
        self.lam = lam

    def needed(self, noisy: NoisyViews) -> NeededPredictions:
        """Both, but for the λ at which one of them has no weight."""
        lam = self.lam(noisy)
        # Of a λ for each image, which may be on a GPU, only where it is computed is known here.
        if isinstance(lam, Tensor):
            return NeededPredictions(uncond=True, cond=True)
        return NeededPredictions(uncond=lam != 0, cond=lam != 1)

    def __call__(self, eps: Predictions, noisy: NoisyViews) -> Float[Tensor, "B C h w"]:
        """λ ε_ψ(∅) + (1 - λ) ε_ψ(c)."""
        lam = self.lam(noisy)
        if isinstance(lam, Tensor):
            lam = lam[:, None, None, None]
        return lam * eps.psi_uncond + (1 - lam) * eps.psi_cond

    def scalars(self, noisy: NoisyViews) -> Scalars:
        """λ, the mean over the batch."""
        lam = self.lam(noisy)
        return {"lambda_esd": lam.mean() if isinstance(lam, Tensor) else lam}
