"""Where ESD comes to rest, known exactly: Gaussians, and a Janus with one dimension.

Notation
    Σ, μ        covariance and mean of p
    m, L        renderings are x_0 = m + L z with z ~ N(0, I): θ = (m, L)
    r           σ² / α²

The objective's own functions run unchanged on pictures of one pixel, x_0 [B, C, 1, 1].
"""

import math

import pytest
import torch
from small_pictures import renderings_of, views_from
from torch import Tensor

from gs_esd.guidance.esd import EsdSource
from gs_esd.guidance.lambda_schedules import LambdaAt, constant, noise_consistent
from gs_esd.guidance.score_difference import Source, noised, score_difference
from gs_esd.guidance.sds import sds_source
from gs_esd.guidance.vsd import vsd_source
from gs_esd.guidance.weights import one
from gs_esd.noise import alpha_sigma
from gs_esd.render import Renderings
from gs_esd.rendered.closed_form import ClosedFormRenderedScore
from gs_esd.views import Views

MU = torch.tensor([0.5, -0.3], dtype=torch.float64)
SIGMA = torch.tensor([[1.0, 0.4], [0.4, 0.6]], dtype=torch.float64)


def _gaussian_noise(x_t: Tensor, mean: Tensor, covariance: Tensor, log_snr: Tensor) -> Tensor:
    """ε = σ (α² Σ + σ² I)⁻¹ (x_t - α μ), a noise level a row."""
    alpha, sigma = alpha_sigma(log_snr[:, None, None])
    noised = alpha**2 * covariance + sigma**2 * torch.eye(len(mean)).to(x_t)
    residual = x_t.flatten(1)[:, :, None] - alpha * mean[:, None]
    return (sigma * torch.linalg.solve(noised, residual)).view_as(x_t)


class GaussianPrior:
    """p = N(μ, Σ), exactly."""

    def encode(self, images: Tensor) -> Tensor:
        """Nothing to do."""
        return images

    def predict_noise(self, x_t: Tensor, log_snr: Tensor, views: Views) -> Tensor:
        """ε_φ."""
        return _gaussian_noise(x_t, MU, SIGMA, log_snr)


class GaussianRendered:
    """q = N(m, L Lᵀ), exactly; given the camera, that is z, the rendering itself."""

    def __init__(self, mean: Tensor, factor: Tensor, z: Tensor) -> None:
        """Renderings mean + factor z."""
        self.mean, self.covariance = mean, factor @ factor.T
        self.x_0 = (mean + z @ factor.T)[:, :, None, None]

    def predict_noise(
        self, x_t: Tensor, log_snr: Tensor, views: Views, *, marginal: Tensor
    ) -> Tensor:
        """ε_ψ(∅) or ε_ψ(c); which rendering a row is of stands in its camera's azimuth."""
        alpha, sigma = alpha_sigma(log_snr[:, None, None, None])
        eps_psi_camera = (x_t - alpha * self.x_0[views.cameras.azimuth.long()]) / sigma
        eps_psi_null = _gaussian_noise(x_t, self.mean, self.covariance, log_snr)
        return eps_psi_null.where(marginal[:, None, None, None], eps_psi_camera)

    def update(self, renderings: Renderings, x_0: Tensor, views: Views) -> dict[str, float]:
        """Exact already."""
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Nothing was kept."""


def _rest(source: Source, log_snr: list[float], steps: int = 400) -> tuple[Tensor, Tensor]:
    """m and L Lᵀ where descent along the gradient ends.

    Each z comes with both signs of each eps, and the z have mean 0 and covariance I exactly. All
    scores are linear here, so that the batch's mean gradient is the expectation.
    """
    generator = torch.Generator().manual_seed(0)
    corners = math.sqrt(2) * torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]]).double()
    z = corners.repeat(2 * len(log_snr), 1)
    eps = torch.randn(4 * len(log_snr), 2, 1, 1, generator=generator).double()
    eps = torch.stack([eps, -eps]).view(2, len(log_snr), 4, 2, 1, 1).transpose(0, 1).flatten(0, 2)
    level = torch.tensor(log_snr).double().repeat_interleave(8)
    views = views_from(torch.arange(len(z)).float())
    mean, factor = (
        torch.tensor([2.0, 1.0]).double(),
        torch.tensor([[0.5, 0.1], [-0.2, 0.7]]).double(),
    )
    for _ in range(steps):
        rendered = GaussianRendered(mean, factor, z)
        x_0 = rendered.x_0
        gradient = score_difference(
            source, one, GaussianPrior(), rendered, noised(x_0, views, level, eps, 0.0)
        )
        gradient = gradient.flatten(1)
        mean = mean - 1.0 * gradient.mean(0)
        factor = factor - 1.0 * gradient.T @ z / len(z)
    return mean, factor @ factor.T


def _clipped(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return vectors @ values.clamp(min=0).diag() @ vectors.T


@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 0.3), (0.8, 0.6)])
@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0, 1.5])
def test_esd_rests_at_the_closed_form_covariance(lam: float, alpha: float, sigma: float) -> None:
    # Only the ratio matters: (1, 0.3) is the level (0.958, 0.287) of the same SNR.
    r = sigma**2 / alpha**2
    mean, covariance = _rest(EsdSource(constant(lam)), [-math.log(r)])
    expected = _clipped(lam * SIGMA + (lam - 1) * r * torch.eye(2).double())
    torch.testing.assert_close(mean, MU, atol=1e-3, rtol=0)
    torch.testing.assert_close(covariance, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("source", [sds_source, vsd_source])
def test_sds_and_vsd_collapse_to_the_mean(source: Source) -> None:
    mean, covariance = _rest(source, [0.6])
    torch.testing.assert_close(mean, MU, atol=1e-3, rtol=0)
    torch.testing.assert_close(covariance, torch.zeros(2, 2).double(), atol=1e-3, rtol=0)


def _along_main(covariance: Tensor) -> float:
    main = torch.linalg.eigh(SIGMA).eigenvectors[:, -1]
    return float(main @ covariance @ main)


def _noise_consistent(s: float) -> LambdaAt:
    return noise_consistent(s, lambda views, resolution: float(torch.linalg.eigvalsh(SIGMA)[-1]))


@pytest.mark.parametrize("log_snr", [[2.4], [0.6], [-1.0], [-1.0, 0.6, 2.4]], ids=str)
def test_noise_consistent_lambda_keeps_its_fraction_of_the_main_variance(
    log_snr: list[float],
) -> None:
    _, covariance = _rest(EsdSource(_noise_consistent(0.5)), log_snr)
    assert _along_main(covariance) == pytest.approx(0.5 * _along_main(SIGMA), abs=5e-3)


def test_constant_lambda_keeps_less_the_more_noise_there_is() -> None:
    kept = [_along_main(_rest(EsdSource(constant(0.5)), [level])[1]) for level in (2.4, 0.6, -1.0)]
    assert kept[0] > kept[1] + 0.1
    assert kept[1] > kept[2] + 0.1


class TwoModes:
    """p = 0.7 N(0, 0.3²) + 0.3 N(1, 0.3²) along the first colour, a point at 0 in the others.

    The front is at 0 and the back at 1; mean 0.30, standard deviation 0.548.
    """

    WEIGHTS, MEANS, STD = torch.tensor([0.7, 0.3]), torch.tensor([0.0, 1.0]), 0.3

    def encode(self, images: Tensor) -> Tensor:
        """Nothing to do."""
        return images

    def predict_noise(self, x_t: Tensor, log_snr: Tensor, views: Views) -> Tensor:
        """ε_φ = -σ ∇ log p_t, and the drawn noise where p is a point."""
        alpha, sigma = alpha_sigma(log_snr[:, None])
        variance = (alpha * self.STD) ** 2 + sigma**2
        residual = x_t[:, :1, 0, 0] - alpha * self.MEANS  # [B, 2]
        weights = (self.WEIGHTS.log() - residual.square() / (2 * variance)).softmax(1)
        eps = x_t / sigma[:, :, None, None]
        eps[:, 0, 0, 0] = ((weights * residual).sum(1, keepdim=True) * sigma / variance)[:, 0]
        return eps


def _particles(source: Source, steps: int = 300, rate: float = 0.1, draws: int = 64) -> Tensor:
    """32 free one-pixel renderings that all start in front, after distillation at all levels.

    σ is drawn uniformly from [0.02, 0.98], `draws` times for each rendering in each step.
    """
    generator = torch.Generator().manual_seed(0)
    azimuth = torch.linspace(0, 6, 32)
    views, repeated = views_from(azimuth), views_from(azimuth.repeat(draws))
    rendered = ClosedFormRenderedScore(memory=0)
    x_0 = torch.zeros(32, 3, 1, 1)
    x_0[:, 0] = 0.05 * torch.randn(32, 1, 1, generator=generator)
    for _ in range(steps):
        rgba = torch.cat([0.5 * (x_0 + 1), torch.ones(32, 1, 1, 1)], dim=1)
        rendered.update(renderings_of(rgba), x_0, views)
        sigma = 0.02 + 0.96 * torch.rand(32 * draws, generator=generator)
        eps = torch.randn(32 * draws, 3, 1, 1, generator=generator)
        gradient = score_difference(
            source,
            one,
            TwoModes(),
            rendered,
            noised(x_0.repeat(draws, 1, 1, 1), repeated, (1 - sigma**2).logit(), eps, 0.0),
        )
        x_0 = x_0 - rate * gradient.unflatten(0, (draws, 32)).mean(0)
    return x_0[:, 0, 0, 0]


@pytest.mark.parametrize(
    ("lam", "std", "back"), [(0.0, 0.015, 0.0), (0.5, 0.27, 0.12), (1.0, 0.547, 0.28)]
)
def test_a_janus_of_one_dimension_grows_its_back_with_lambda(
    lam: float, std: float, back: float
) -> None:
    x = _particles(EsdSource(constant(lam)))
    assert float(x.std()) == pytest.approx(std, abs=0.02)
    # One rendering of 32 is 3 %.
    assert float((x > 0.5).float().mean()) == pytest.approx(back, abs=0.04)
    if lam == 1:
        assert float(x.mean()) == pytest.approx(0.3, abs=0.01)
