"""Posterior of a Gaussian mixture, against its formulas in float64."""

import torch
from torch import Tensor

from gs_esd.diffusion.ideal_denoiser import log_posterior, posterior_mean
from tests.helpers.small_images import posterior

LOG_SNR = torch.tensor([-6.0, -2.0, 1.0])


def _images(n: int, seed: int) -> Tensor:
    return torch.randn(n, 2, 3, 3, generator=torch.Generator().manual_seed(seed))


def _log_posterior(x_t: Tensor, x: Tensor, allowed: Tensor | None = None) -> Tensor:
    products = x_t.flatten(1) @ x.flatten(1).T
    return log_posterior(products, x.flatten(1).square().sum(1), LOG_SNR, allowed)


def test_log_posterior() -> None:
    x_t, x = _images(3, 0), _images(5, 1)
    expected = torch.stack([posterior(*each) for each in zip(x_t, [x] * 3, LOG_SNR, strict=True)])
    torch.testing.assert_close(_log_posterior(x_t, x).exp(), expected, atol=1e-6, rtol=1e-5)


def test_log_posterior_with_allowed_images() -> None:
    x_t, x = _images(3, 0), _images(5, 1)
    allowed = torch.tensor([True, False, True, True, False])
    weights = _log_posterior(x_t, x, allowed.expand(3, 5)).exp()
    assert not weights[:, ~allowed].any()
    torch.testing.assert_close(weights[:, allowed], _log_posterior(x_t, x[allowed]).exp())


def test_posterior_mean_of_dense_and_sparse_weights() -> None:
    x = _images(40, 2).flatten(1)
    for sharpness in (0.1, 1.0, 30.0):
        logits = sharpness * torch.randn(3, 40, generator=torch.Generator().manual_seed(3))
        log_weights = logits.double().log_softmax(1)
        expected = log_weights.exp() @ x.double()
        torch.testing.assert_close(
            posterior_mean(log_weights, x).double(), expected, atol=1e-4, rtol=1e-4
        )
