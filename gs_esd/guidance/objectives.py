"""The one line that every objective here is a case of.

Notation (see also gs_esd/diffusion/process.py)
    ε_φ         noise that the prior p sees in the noisy rendering x_t, given the prompt y
    ε_ψ(c)      noise that the model of renderings q sees in it, given the camera c
    ε_ψ(∅)      the same, marginal over cameras; the prompt stays
    λ           entropy weight `lam`
    ω(t)        weight of the noise level, see gs_esd/guidance/weighting.py

    gradient on x_0  =  ω(t) (ε_φ(x_t; y) - source)

    SDS   source = ε, the noise that was drawn               (DreamFusion, arXiv 2209.14988)
    VSD   source = ε_ψ(c)                                    (ProlificDreamer, arXiv 2305.16213)
    ESD   source = λ ε_ψ(∅) + (1 - λ) ε_ψ(c)                 (arXiv 2401.00909, Eq. 6)

The parameters descend along it: θ ← θ - η (∂x_0/∂θ)ᵀ gradient. Algorithm 1 of the ESD paper prints
a plus, which is wrong for ε as the predicted noise (a score is -ε/σ).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.diffusion.process import add_noise
from gs_esd.guidance.weighting import Weight
from gs_esd.priors.base import DiffusionPrior
from gs_esd.variational.base import RenderedScore


@dataclass(frozen=True)
class NoisyViews:
    """A batch of noisy renderings: x_t, the noise eps in it, its level, and how it was taken.

    progress: the fraction of the run that is done, for what changes over a run.
    """

    x_t: Float[Tensor, "B C h w"]
    eps: Float[Tensor, "B C h w"]
    log_snr: Float[Tensor, " B"]
    views: Views
    progress: float

    def __getitem__(self, part: slice) -> "NoisyViews":
        """Some of the pictures."""
        x_t, eps, log_snr = self.x_t[part], self.eps[part], self.log_snr[part]
        return NoisyViews(x_t, eps, log_snr, self.views[part], self.progress)


def noised(
    x_0: Float[Tensor, "B C h w"],
    views: Views,
    log_snr: Float[Tensor, " B"],
    eps: Float[Tensor, "B C h w"],
    progress: float,
) -> NoisyViews:
    """x_t = alpha x_0 + sigma eps, a picture at its own noise level each."""
    return NoisyViews(add_noise(x_0, eps, log_snr), eps, log_snr, views, progress)


class Branches(NamedTuple):
    """Which of ε_ψ(∅) and ε_ψ(c) are asked for."""

    null: bool
    camera: bool

    def rows(self, noisy: NoisyViews) -> tuple[Int[Tensor, " R"], Bool[Tensor, " R"]]:
        """All that q is asked at once: about which picture, and whether marginal over cameras."""
        n = len(noisy.x_t)
        rows = torch.arange((self.null + self.camera) * n, device=noisy.x_t.device)
        return rows % n, rows < self.null * n


@dataclass(frozen=True)
class Predictions:
    """ε of a noisy batch as p and q tell it; zeros where q was not asked."""

    phi: Float[Tensor, "B C h w"]
    psi_null: Float[Tensor, "B C h w"]
    psi_camera: Float[Tensor, "B C h w"]

    @classmethod
    def of(
        cls, phi: Float[Tensor, "B C h w"], psi: Float[Tensor, "R C h w"], asked: Branches
    ) -> "Predictions":
        """From q's answers to the rows that were asked."""
        zeros = torch.zeros_like(phi)
        return cls(
            phi,
            psi[: len(phi)] if asked.null else zeros,
            psi[-len(phi) :] if asked.camera else zeros,
        )


@runtime_checkable
class Source(Protocol):
    """What is subtracted from the prior's ε_φ; this alone tells the objectives apart."""

    def branches(self, noisy: NoisyViews) -> Branches:
        """What q has to be asked for."""
        ...

    def __call__(self, eps: Predictions, noisy: NoisyViews) -> Float[Tensor, "B C h w"]:
        """The source, of what q answered."""
        ...


Ask = Callable[[DiffusionPrior, RenderedScore, NoisyViews, Branches], Predictions]
"""How p and q are asked; gs_esd/guidance/predict.py has another way than `ask_apart`."""


def ask_apart(
    prior: DiffusionPrior, rendered: RenderedScore, noisy: NoisyViews, asked: Branches
) -> Predictions:
    """p and q one after the other, both branches of q by one call."""
    phi = prior.predict_noise(noisy.x_t, noisy.log_snr, noisy.views)
    of, marginal = asked.rows(noisy)
    psi = noisy.x_t[of]
    if any(asked):
        psi = rendered.predict_noise(psi, noisy.log_snr[of], noisy.views[of], marginal=marginal)
    return Predictions.of(phi, psi, asked)


@torch.no_grad()
def score_difference(
    source: Source,
    omega: Weight,
    prior: DiffusionPrior,
    rendered: RenderedScore,
    noisy: NoisyViews,
    ask: Ask = ask_apart,
) -> Float[Tensor, "B C h w"]:
    """The gradient on x_0, ω(t) (ε_φ - source)."""
    eps = ask(prior, rendered, noisy, source.branches(noisy))
    omega_t = omega(noisy.log_snr)[:, None, None, None]
    return omega_t * (eps.phi - source(eps, noisy))
