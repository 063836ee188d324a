"""The forward process and its inverse."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from gs_esd.diffusion.process import add_noise, alpha_sigma, eps_from_x_0

LOG_SNR = st.floats(-30, 30)


@given(LOG_SNR)
def test_alpha_sigma(log_snr: float) -> None:
    alpha, sigma = alpha_sigma(torch.tensor([log_snr]).double())
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(1).double())
    torch.testing.assert_close((alpha**2 / sigma**2).log(), torch.tensor([log_snr]).double())


def test_alpha_sigma_at_extreme_levels() -> None:
    alpha, sigma = alpha_sigma(torch.tensor([-60.0, 60.0]))
    assert alpha[0] > 0
    assert sigma[1] > 0


def test_add_noise_per_image() -> None:
    x_0, eps = torch.randn(2, 2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    log_snr = torch.tensor([-1.0, 2.0])
    x_t = add_noise(x_0, eps, log_snr)
    for i in range(2):
        alpha_sq = 1 / (1 + torch.exp(-log_snr[i]))
        expected = alpha_sq.sqrt() * x_0[i] + (1 - alpha_sq).sqrt() * eps[i]
        torch.testing.assert_close(x_t[i], expected)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=3))
def test_eps_from_x_0(levels: list[float]) -> None:
    generator = torch.Generator().manual_seed(0)
    x_0, eps = torch.randn(2, len(levels), 3, 2, 2, generator=generator).double()
    log_snr = torch.tensor(levels).double()
    found = eps_from_x_0(add_noise(x_0, eps, log_snr), x_0, log_snr)
    torch.testing.assert_close(found, eps)
