"""λ over noise and over a run."""

import pytest
import torch
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.guidance.lambda_schedules import constant, linear, noise_consistent
from gs_esd.guidance.noisy_views import NoisyViews
from tests.helpers.small_images import views_from

LOG_SNR = torch.linspace(-12, 12, 9)


def _noisy(progress: float = 0.0) -> NoisyViews:
    x_t = torch.zeros(len(LOG_SNR), 3, 4, 4)
    return NoisyViews(x_t, x_t, LOG_SNR, views_from(torch.zeros(len(LOG_SNR))), progress)


def _main_variance(views: Views) -> float:
    """Of a prior whose views vary with the background's blue."""
    return 4 * float(views.background[2])


def _noise_consistent(s: float) -> Tensor:
    return torch.as_tensor(noise_consistent(s, _main_variance)(_noisy())).expand(len(LOG_SNR))


@pytest.mark.parametrize("lam", [-0.5, 0.0, 0.5, 1.0, 1.5])
def test_constant_ignores_noise_and_progress(lam: float) -> None:
    for progress in (0.0, 0.9):
        assert constant(lam)(_noisy(progress)) == lam


def test_linear_falls_to_vsd_at_the_end() -> None:
    schedule = linear(0.8)
    for progress, lam in ((0.0, 0.8), (0.25, 0.6), (1.0, 0.0)):
        assert schedule(_noisy(progress)) == pytest.approx(lam)


@pytest.mark.parametrize("s", [0.0, 0.3, 1.0])
def test_noise_consistent_keeps_the_fraction_of_the_spread_at_every_level(s: float) -> None:
    lam = _noise_consistent(s).double()
    variance = 4 * 0.9
    rest = lam * variance + (lam - 1) / LOG_SNR.double().exp()  # λΣ + (λ-1) σ²/α²
    # λ - 1 is a difference of float32 numbers, and σ²/α² multiplies its rounding.
    atol = 2e-7 / LOG_SNR.double().exp() + 1e-6
    assert ((rest - s * variance).abs() <= atol).all()


@pytest.mark.parametrize("s", [0.0, 0.3, 1.0])
def test_noise_consistent_rises_with_noise_from_s_to_one(s: float) -> None:
    lam = _noise_consistent(s)
    assert lam[-1] == pytest.approx(s, abs=1e-4)
    assert lam[0] == pytest.approx(1, abs=1e-4)
    assert (lam.diff() <= 0).all()
