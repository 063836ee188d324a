"""The closed form in latent space: its buffer, ε_ψ(c) and ε_ψ(∅)."""

import pytest
import torch
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.variational.closed_form import ClosedFormLatentScore
from tests.helpers.small_images import branch, exact_noise, learn, views_from


def _latents(n: int, seed: int, size: int = 4) -> Tensor:
    return torch.randn(n, 5, size, size, generator=torch.Generator().manual_seed(seed))


def _filled(buffer_size: int, batches: int) -> tuple[ClosedFormLatentScore, Tensor, list[Views]]:
    """A score after some batches of two, their x_0, and their views."""
    score = ClosedFormLatentScore(buffer_size)
    views = [views_from(torch.tensor([0.1 + i, 0.2 + i])) for i in range(batches)]
    x_0 = _latents(2 * batches, seed=0)
    for batch, each in zip(x_0.split(2), views, strict=True):
        learn(score, batch, each)
    return score, x_0, views


def _expected(x_t: Tensor, held: list[Tensor], log_snr: Tensor) -> Tensor:
    """ε of noisy latents in float64, with row i denoised by the mixture of `held[i]`."""
    return torch.stack([exact_noise(*each) for each in zip(x_t, held, log_snr, strict=True)])


@pytest.mark.parametrize("batches", [1, 2, 3, 4, 7])
def test_uncond_mixture_of_batch_and_buffer(batches: int) -> None:
    score, x_0, views = _filled(buffer_size=3, batches=batches)
    x_t, log_snr = _latents(2, seed=9), torch.tensor([-3.0, -1.0])
    noise = branch(score, x_t, log_snr, views[-1], uncond=True)
    expected = _expected(x_t, [x_0[-5:]] * 2, log_snr)
    torch.testing.assert_close(noise.double(), expected, atol=1e-4, rtol=1e-4)


def test_cond_is_the_added_noise() -> None:
    score, x_0, views = _filled(buffer_size=3, batches=2)
    eps, log_snr = _latents(2, seed=9), torch.tensor([-3.0, 2.0])
    alpha, sigma = log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt()
    x_t = alpha[:, None, None, None] * x_0[2:] + sigma[:, None, None, None] * eps
    noise = branch(score, x_t, log_snr, views[-1], uncond=False)
    torch.testing.assert_close(noise, eps, atol=1e-5, rtol=1e-5)


def test_camera_of_overwritten_rendering() -> None:
    score, _, views = _filled(buffer_size=3, batches=4)
    x_t, log_snr = _latents(2, seed=9), torch.zeros(2)
    first_gone = views[1]  # its second rendering is the oldest in the buffer
    branch(score, x_t, log_snr, first_gone, uncond=True)
    branch(score, x_t[1:], log_snr[1:], first_gone[1:], uncond=False)
    with pytest.raises(ValueError, match="call update"):
        branch(score, x_t, log_snr, first_gone, uncond=False)


def test_latents_of_another_size() -> None:
    score, _, views = _filled(buffer_size=3, batches=2)
    x_0 = _latents(2, seed=4, size=6)
    assert learn(score, x_0, views[0]) == {"buffer": 2.0}
    x_t, log_snr = _latents(2, seed=9, size=6), torch.tensor([-3.0, -3.0])
    noise = branch(score, x_t, log_snr, views[0], uncond=True)
    expected = _expected(x_t, [x_0] * 2, log_snr)
    torch.testing.assert_close(noise.double(), expected, atol=1e-4, rtol=1e-4)


def test_buffer_is_detached_float32() -> None:
    score = ClosedFormLatentScore(buffer_size=2)
    learn(score, _latents(2, seed=0).bfloat16().requires_grad_(), views_from(torch.ones(2)))
    x_0 = score.state_dict()["x_0"]
    assert x_0.dtype == torch.float32
    assert not x_0.requires_grad


@pytest.mark.parametrize("batches", [1, 2, 4])
def test_resume_bit_for_bit(batches: int) -> None:
    score, _, views = _filled(buffer_size=3, batches=batches)
    resumed = ClosedFormLatentScore(buffer_size=3)
    resumed.load_state_dict({name: value.clone() for name, value in score.state_dict().items()})
    x_t, log_snr = _latents(2, seed=9), torch.tensor([-2.0, 1.0])
    for uncond in (True, False):
        predictions = [
            branch(each, x_t, log_snr, views[-1], uncond=uncond) for each in (score, resumed)
        ]
        assert torch.equal(*predictions)
        for each in (score, resumed):
            learn(each, _latents(2, seed=7), views[-1])
    for name, value in score.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])
