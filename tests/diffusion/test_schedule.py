"""Conversion between timesteps and noise levels."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gs_esd.diffusion.process import alpha_sigma
from gs_esd.diffusion.schedule import MIN_LOG_SNR, NoiseSchedule
from tests.helpers.tiny_models import tiny_schedule, tiny_scheduler

SCHEDULES = {
    "scaled_linear": tiny_schedule(beta_schedule="scaled_linear"),
    "cosine": tiny_schedule(beta_schedule="squaredcos_cap_v2"),
    "zero_snr": tiny_schedule(beta_schedule="scaled_linear", rescale_betas_zero_snr=True),
    "flow": NoiseSchedule.from_flow(torch.linspace(0.001, 1, 1000)),
}
ALL = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())


@ALL
def test_integer_timesteps(schedule: NoiseSchedule) -> None:
    assert torch.equal(schedule.log_snr_to_t(schedule.log_snr), torch.arange(1000.0))


@ALL
def test_clamping(schedule: NoiseSchedule) -> None:
    beyond = torch.tensor([50.0, -50.0, -torch.inf])
    assert schedule.log_snr_to_t(beyond).tolist() == [0, 999, 999]


@ALL
def test_t_to_log_snr_inverts_log_snr_to_t(schedule: NoiseSchedule) -> None:
    fraction = torch.linspace(0, 1, 317, dtype=torch.float64)
    found = schedule.log_snr_to_t(schedule.t_to_log_snr(fraction)) / (len(schedule) - 1)
    torch.testing.assert_close(found, fraction, atol=1e-9, rtol=0)


@given(st.integers(0, 998), st.floats(0, 1))
def test_fractional_timesteps(index: int, share: float) -> None:
    schedule = SCHEDULES["scaled_linear"]
    left, right = schedule.log_snr[index : index + 2].double().tolist()
    level = torch.tensor([(1 - share) * left + share * right], dtype=torch.float64)
    assert float(schedule.log_snr_to_t(level)) == pytest.approx(index + share, abs=1e-6)


def test_from_alphas_cumprod() -> None:
    alphas_cumprod = tiny_scheduler(beta_schedule="scaled_linear").alphas_cumprod.double()
    alpha, sigma = alpha_sigma(SCHEDULES["scaled_linear"].log_snr.double())
    torch.testing.assert_close(alpha**2, alphas_cumprod, rtol=1e-5, atol=0)
    torch.testing.assert_close(sigma**2, 1 - alphas_cumprod, rtol=1e-5, atol=0)


def test_from_flow() -> None:
    s = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    alpha, sigma = alpha_sigma(NoiseSchedule.from_flow(s).log_snr.double())
    torch.testing.assert_close(alpha / sigma, (1 - s) / s, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["zero_snr", "flow"])
def test_zero_terminal_snr(name: str) -> None:
    log_snr = SCHEDULES[name].log_snr
    assert float(log_snr[-1]) == MIN_LOG_SNR
    assert bool(log_snr.isfinite().all())


@pytest.mark.parametrize("log_snr", [[1.0], [1.0, 1.0, 0.0], [0.0, 1.0], [torch.nan, 0.0]])
def test_levels_that_do_not_fall(log_snr: list[float]) -> None:
    with pytest.raises(ValueError, match="fall"):
        NoiseSchedule(torch.tensor(log_snr))
