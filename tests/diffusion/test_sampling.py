"""DDIM, against a Gaussian, whose ε-prediction and transport are known exactly."""

import pytest
import torch
from torch import Tensor

from gs_esd.diffusion.process import alpha_sigma
from gs_esd.diffusion.sampling import ddim, trailing_levels
from gs_esd.diffusion.schedule import NoiseSchedule
from tests.helpers.tiny_models import tiny_schedule

MEAN, STD = 0.7, 0.25
SCHEDULES = {
    "zero_snr": tiny_schedule(beta_schedule="scaled_linear", rescale_betas_zero_snr=True),
    "flow": NoiseSchedule.from_flow(torch.linspace(0.001, 1, 1000)),
}


def _gaussian_noise(x_t: Tensor, log_snr: Tensor) -> Tensor:
    """E[ε | x_t] where x_0 is N(MEAN, STD²) in every value."""
    alpha, sigma = alpha_sigma(log_snr[:, None, None, None])
    return sigma * (x_t - alpha * MEAN) / (alpha**2 * STD**2 + sigma**2)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_ddim_of_gaussian(schedule: NoiseSchedule) -> None:
    noise = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    x_0 = ddim(_gaussian_noise, noise, trailing_levels(schedule, 500))
    assert float(x_0.mean()) == pytest.approx(MEAN, abs=0.01)
    assert float(x_0.std()) == pytest.approx(STD, rel=0.04)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_ddim_converges_to_exact_transport(
    schedule: NoiseSchedule,
) -> None:
    # The exact transport from N(0, 1) to N(MEAN, STD²) is x_0 = MEAN + STD noise.
    noise = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    errors = [
        float((ddim(_gaussian_noise, noise, levels) - MEAN - STD * noise).abs().max())
        for levels in (trailing_levels(schedule, steps) for steps in (50, 200, 800))
    ]
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.5 * errors[1]
    assert errors[2] < 0.03


def test_trailing_levels() -> None:
    schedule = SCHEDULES["zero_snr"]
    timesteps = schedule.log_snr_to_t(trailing_levels(schedule, 10))
    torch.testing.assert_close(timesteps, 999 * (1 - torch.arange(10) / 10), atol=1e-2, rtol=0)
    assert float(timesteps[0]) == 999


def test_ddim_with_one_step() -> None:
    noise = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    x_0 = ddim(_gaussian_noise, noise, trailing_levels(SCHEDULES["zero_snr"], 1))
    torch.testing.assert_close(x_0, torch.full_like(x_0, MEAN), atol=0.01, rtol=0)
