"""A rectified flow as an ε-predictor of the variance-preserving process."""

import pytest
import torch

from gs_esd.diffusion.process import add_noise, alpha_sigma
from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.priors.flow import FlowDenoiser, to_flow, velocity_to_eps
from tests.helpers.tiny_models import tiny_flow, tiny_flow_text, tiny_latents

LOG_SNR = torch.tensor([-20.0, -4.0, 0.0, 5.0])
SCHEDULE = NoiseSchedule.from_flow(torch.linspace(0.001, 1, 1000))


def test_to_flow() -> None:
    x_0, eps = tiny_latents(4, seed=1).double(), tiny_latents(4, seed=2).double()
    x_s, s = to_flow(add_noise(x_0, eps, LOG_SNR.double()), LOG_SNR.double())
    share = s[:, None, None, None]
    torch.testing.assert_close(x_s, (1 - share) * x_0 + share * eps)
    torch.testing.assert_close(2 * ((1 - s) / s).log(), LOG_SNR.double())


def test_velocity_to_eps() -> None:
    x_0, eps = tiny_latents(4, seed=1).double(), tiny_latents(4, seed=2).double()
    x_s, s = to_flow(add_noise(x_0, eps, LOG_SNR.double()), LOG_SNR.double())
    torch.testing.assert_close(velocity_to_eps(eps - x_0, x_s, s), eps)


def test_velocity_to_eps_of_gaussian() -> None:
    # x_0 ~ N(m, v): E[eps - x_0 | x_s] by the flow's own formulas, ε by the other process's.
    mean, variance = 0.3, 0.5
    x_t, log_snr = tiny_latents(4).double(), LOG_SNR.double()
    x_s, s = to_flow(x_t, log_snr)
    share = s[:, None, None, None]
    surprise = (x_s - (1 - share) * mean) / ((1 - share) ** 2 * variance + share**2)
    velocity = share * surprise - (mean + (1 - share) * variance * surprise)
    alpha, sigma = alpha_sigma(log_snr[:, None, None, None])
    expected = sigma * (x_t - alpha * mean) / (alpha**2 * variance + sigma**2)
    torch.testing.assert_close(velocity_to_eps(velocity, x_s, s), expected)


def test_transformer_input() -> None:
    denoiser, text = FlowDenoiser(tiny_flow(), SCHEDULE), tiny_flow_text(4)
    s = torch.tensor([1.0, 0.75, 0.5, 0.1])[:, None, None, None]
    x_s = tiny_latents(4)
    velocity = denoiser.transformer(
        hidden_states=x_s,
        timestep=1000 * s.flatten(),
        encoder_hidden_states=text.tokens,
        pooled_projections=text.pooled,
    ).sample
    scale = (s.square() + (1 - s).square()).sqrt()  # alpha + sigma = 1 / scale
    log_snr = 2 * ((1 - s) / s).log().flatten()
    eps = denoiser(x_s / scale, log_snr, text)
    torch.testing.assert_close(eps, x_s + (1 - s) * velocity, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("row", range(1, 4))  # at the first level, ε hardly depends on the model
def test_rows_are_independent(row: int) -> None:
    denoiser, text, x_t = FlowDenoiser(tiny_flow(), SCHEDULE), tiny_flow_text(4), tiny_latents(4)
    here = slice(row, row + 1)
    alone = denoiser(x_t[here], LOG_SNR[here], text[here])
    together = denoiser(x_t, LOG_SNR, text)[here]
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    other = denoiser(x_t[here], LOG_SNR[here], text[:1])
    assert not torch.allclose(other, alone, atol=1e-3)


def test_half_precision() -> None:
    transformer, text, x_t = tiny_flow(), tiny_flow_text(4), tiny_latents(4)
    expected = FlowDenoiser(transformer, SCHEDULE)(x_t, LOG_SNR, text)
    eps = FlowDenoiser(transformer.to(torch.bfloat16), SCHEDULE)(x_t, LOG_SNR, text)
    assert eps.dtype == torch.float32
    torch.testing.assert_close(eps, expected, atol=0.1, rtol=0.1)
