"""Where ESD comes to rest, known exactly: p and q are Gaussians in two dimensions.

Notation
    μ, Σ        mean and covariance of p
    m, L        renderings are x_0 = m + L z: θ = (m, L), and z ~ N(0, I) is the camera
    r           σ² / α²

An image has one pixel and two colours, x_0 [B, 2, 1, 1], so that the objectives' own functions run
on it unchanged. ESD's gradient on L vanishes where α² L Lᵀ + σ² I = λ (α² Σ + σ² I), that is at

    m = μ,   L Lᵀ = λ Σ + (λ - 1) r I,   negative eigenvalues clipped to 0.

λ = 1 finds Σ at every noise level, λ = 0 a point, and in between the more noise the less is kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from examples.one_pixel import views_from
from gs_esd.cameras.views import Views
from gs_esd.diffusion.process import alpha_sigma
from gs_esd.guidance.lambda_schedules import LambdaAt, noise_consistent
from gs_esd.guidance.noisy_views import noise_views
from gs_esd.guidance.objectives import Source
from gs_esd.guidance.predict import distillation_gradient
from gs_esd.guidance.weighting import one
from gs_esd.render.renderings import Renderings
from gs_esd.system.device import Scalars
from gs_esd.variational.base import NeededPredictions, PsiPredictions

MU = torch.tensor([0.5, -0.3], dtype=torch.float64)
SIGMA = torch.tensor([[1.0, 0.4], [0.4, 0.6]], dtype=torch.float64)
MEAN = torch.tensor([2.0, 1.0], dtype=torch.float64)
"""m before the first step."""
FACTOR = torch.tensor([[0.5, 0.1], [-0.2, 0.7]], dtype=torch.float64)
"""L before the first step."""
CORNERS = math.sqrt(2) * torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64)
"""Cameras z of mean 0 and covariance I exactly."""


def gaussian_noise(
    x_t: Float[Tensor, "B 2 1 1"],
    mean: Float[Tensor, "2"],
    covariance: Float[Tensor, "2 2"],
    log_snr: Float[Tensor, " B"],
) -> Float[Tensor, "B 2 1 1"]:
    """ε = σ (α² Σ + σ² I)⁻¹ (x_t - α μ), the noise that N(μ, Σ) sees, a noise level a row."""
    alpha, sigma = alpha_sigma(log_snr[:, None, None])
    noisy_covariance = alpha**2 * covariance + sigma**2 * torch.eye(len(mean)).to(x_t)
    residual = x_t.flatten(1)[:, :, None] - alpha * mean[:, None]  # [B, 2, 1]
    return (sigma * torch.linalg.solve(noisy_covariance, residual)).view_as(x_t)


class GaussianPrior:
    """p = N(μ, Σ), exactly."""

    def encode(self, images: Tensor) -> Tensor:
        """Nothing to do."""
        return images

    def predict_noise(
        self, x_t: Float[Tensor, "B 2 1 1"], log_snr: Float[Tensor, " B"], views: Views
    ) -> Float[Tensor, "B 2 1 1"]:
        """ε_φ."""
        return gaussian_noise(x_t, MU, SIGMA, log_snr)


class GaussianVariational:
    """q = N(m, L Lᵀ), exactly; given the camera, that is z, the rendering itself."""

    def __init__(
        self, mean: Float[Tensor, "2"], factor: Float[Tensor, "2 2"], z: Float[Tensor, "N 2"]
    ) -> None:
        """Renderings mean + factor z."""
        self.mean, self.covariance = mean, factor @ factor.T
        self.x_0 = (mean + z @ factor.T)[:, :, None, None]

    def predict_noise(
        self,
        x_t: Float[Tensor, "B 2 1 1"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        needed: NeededPredictions,
    ) -> PsiPredictions:
        """ε_ψ(∅) and ε_ψ(c); which rendering a row is of stands in its camera's azimuth."""
        alpha, sigma = alpha_sigma(log_snr[:, None, None, None])
        cond = (x_t - alpha * self.x_0[views.cameras.azimuth.long()]) / sigma
        return PsiPredictions(gaussian_noise(x_t, self.mean, self.covariance, log_snr), cond)

    def update(self, renderings: Renderings, x_0: Tensor, views: Views, log_snr: Tensor) -> Scalars:
        """Exact already."""
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Nothing was kept."""


@dataclass(frozen=True)
class Descent:
    """θ before the first and after every step."""

    means: Float[Tensor, "K 2"]
    factors: Float[Tensor, "K 2 2"]

    @property
    def mean(self) -> Float[Tensor, "2"]:
        """m at the end."""
        return self.means[-1]

    @property
    def covariance(self) -> Float[Tensor, "2 2"]:
        """L Lᵀ at the end."""
        return self.factors[-1] @ self.factors[-1].T

    def renderings(self, z: Float[Tensor, "N 2"]) -> Float[Tensor, "K N 2"]:
        """m + L z of some cameras, before the first and after every step."""
        return self.means[:, None] + z @ self.factors.mT


def descend(source: Source, log_snr: Sequence[float], steps: int = 100) -> Descent:
    """Follow an objective's gradient at the given noise levels, ω = 1.

    Each z comes with both signs of each eps, and the z have mean 0 and covariance I exactly. All
    scores are linear here, so that the batch's mean gradient is the expectation.
    """
    z = CORNERS.repeat(2 * len(log_snr), 1)
    eps, level = _mirrored_noise(len(log_snr)), torch.tensor(log_snr, dtype=torch.float64)
    level = level.repeat_interleave(8)
    views = views_from(torch.arange(len(z)).float())
    mean, factor = MEAN, FACTOR
    means, factors = [mean], [factor]
    for _ in range(steps):
        variational = GaussianVariational(mean, factor, z)
        noisy = noise_views(variational.x_0, views, level, eps, 0.0)
        gradient = distillation_gradient(source, one, GaussianPrior(), variational, noisy).flatten(
            1
        )
        mean = mean - gradient.mean(0)
        factor = factor - gradient.T @ z / len(z)
        means.append(mean)
        factors.append(factor)
    return Descent(torch.stack(means), torch.stack(factors))


def at_rest(lam: float, r: float) -> Float[Tensor, "2 2"]:
    """L Lᵀ = λ Σ + (λ - 1) r I, clipped at 0: where ESD ends at the noise level r = σ²/α²."""
    return _clipped(lam * SIGMA + (lam - 1) * r * torch.eye(2, dtype=torch.float64))


def principal_stds(covariance: Float[Tensor, "2 2"]) -> tuple[float, float]:
    """Standard deviations along the principal axes, the longer one first."""
    narrow, wide = torch.linalg.eigvalsh(covariance).clamp(min=0).sqrt().tolist()
    return wide, narrow


def keeping(s: float) -> LambdaAt:
    """The λ that keeps the fraction s of p's variance along its main axis, whatever the noise."""
    largest = principal_stds(SIGMA)[0] ** 2
    return noise_consistent(s, lambda views: largest)


def _mirrored_noise(levels: int) -> Float[Tensor, "B 2 1 1"]:
    generator = torch.Generator().manual_seed(0)
    eps = torch.randn(4 * levels, 2, 1, 1, generator=generator).double()
    both = torch.stack([eps, -eps]).view(2, levels, 4, 2, 1, 1)
    return both.transpose(0, 1).flatten(0, 2)


def _clipped(covariance: Float[Tensor, "2 2"]) -> Float[Tensor, "2 2"]:
    values, vectors = torch.linalg.eigh(covariance)
    return vectors @ values.clamp(min=0).diag() @ vectors.T
