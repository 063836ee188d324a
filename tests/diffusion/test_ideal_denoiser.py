"""The ideal denoiser, against sums over composited images in float64."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gs_esd.diffusion.entropic_time import mutual_information
from gs_esd.diffusion.ideal_denoiser import (
    MAX_SPARSE_DENSITY,
    NEGLIGIBLE_WEIGHT,
    ImageMixture,
    moments_of,
)
from tests.helpers.small_images import alpha_sigma_of, blobs, over, posterior

BACKGROUNDS = [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.1, 0.7, 0.4)]


def _normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _noisy(rgba: Tensor, background: Tensor, log_snr: Tensor) -> Tensor:
    """The first images of a set, noised, one at each level."""
    generator = torch.Generator().manual_seed(1)
    x_0 = over(rgba[: len(log_snr)], background)
    alpha = log_snr.sigmoid().sqrt()[:, None, None, None]
    sigma = (-log_snr).sigmoid().sqrt()[:, None, None, None]
    return (alpha * x_0 + sigma * torch.randn(x_0.shape, generator=generator)).float()


@pytest.mark.parametrize("background", BACKGROUNDS, ids=str)
@pytest.mark.parametrize("size", [4, 16])
@pytest.mark.parametrize("make", [ImageMixture, ImageMixture.with_support])
def test_posterior_of_composited_images(
    make: Callable[[Tensor], ImageMixture], size: int, background: tuple[float, float, float]
) -> None:
    rgba, b = blobs(24, size), torch.tensor(background)
    log_snr = torch.tensor([-12.0, -6.0, -3.0, 0.0, 3.0, 6.0])
    mixture, x_t, x = make(rgba), _noisy(rgba, b, log_snr), over(rgba, b)
    log_weights = mixture.log_weights(x_t, log_snr, b)
    weights = torch.stack([posterior(*each) for each in zip(x_t, [x] * 6, log_snr, strict=True)])
    torch.testing.assert_close(log_weights.exp().float(), weights.float(), atol=2e-5, rtol=1e-3)
    mean = torch.einsum("bm,mchw->bchw", weights, x).float()
    torch.testing.assert_close(mixture.denoise(x_t, log_snr, b), mean, atol=5e-5, rtol=0)


def test_sparse_posterior_mean() -> None:
    # At low noise few images have weight, and the sum is sparse.
    rgba, b, log_snr = blobs(64, 8), torch.tensor(BACKGROUNDS[2]), torch.tensor([1.0, 1.0])
    mixture, x_t, x = ImageMixture(rgba), _noisy(rgba, b, log_snr), over(rgba, b)
    weights = torch.stack([posterior(x_t[0], x, log_snr[0]), posterior(x_t[1], x, log_snr[1])])
    kept = (weights > NEGLIGIBLE_WEIGHT).sum()
    assert 2 < kept < MAX_SPARSE_DENSITY * weights.numel()
    mean = torch.einsum("bm,mchw->bchw", weights, x).float()
    torch.testing.assert_close(mixture.denoise(x_t, log_snr, b), mean, atol=5e-5, rtol=0)


@pytest.mark.parametrize("background", BACKGROUNDS, ids=str)
def test_moments_of_composited_images(
    background: tuple[float, float, float],
) -> None:
    rgba, b = blobs(20, 8), torch.tensor(background)
    mixture, x = ImageMixture(rgba), over(rgba, b)
    torch.testing.assert_close(mixture.images(b), x.float())
    torch.testing.assert_close(mixture.mean(b), x.mean(0).float())
    norms = x.square().flatten(1).sum(1)
    torch.testing.assert_close(mixture.squared_norms(b), norms, atol=1e-4, rtol=1e-6)
    pairs = (x[:, None] - x[None]).square().flatten(2).sum(2)
    assert 2 * mixture.total_variance(b) == pytest.approx(float(pairs.mean()), rel=1e-5)


def test_given_moments() -> None:
    rgba, b, log_snr = blobs(150, 4), torch.tensor(BACKGROUNDS[2]), torch.full((5,), -2.0)
    x_t = _noisy(rgba, b, log_snr)
    measured = torch.cat([moments_of(rgba[:70]), moments_of(rgba[70:])])
    given, anew = ImageMixture(rgba, moments=measured), ImageMixture(rgba)
    torch.testing.assert_close(given.squared_norms(b), anew.squared_norms(b))
    assert torch.equal(given.denoise(x_t, log_snr, b), anew.denoise(x_t, log_snr, b))
    assert given.total_variance(b) == pytest.approx(anew.total_variance(b))


def test_support() -> None:
    rgba = blobs(6, 16)
    covered = rgba[:, 3].amax(0) > 0
    assert 0.1 < covered.float().mean() < 0.9
    assert ImageMixture.with_support(rgba)._flat.shape == (6, 4 * int(covered.sum()))


@pytest.mark.parametrize("make", [ImageMixture, ImageMixture.with_support])
def test_transparent_images(
    make: Callable[[Tensor], ImageMixture],
) -> None:
    b, x_t = torch.tensor(BACKGROUNDS[2]), _normal(2, 3, 4, 4)
    nothing = make(torch.zeros(3, 4, 4, 4)).denoise(x_t, torch.zeros(2), b)
    torch.testing.assert_close(nothing, (2 * b - 1)[:, None, None].expand(2, 3, 4, 4))


def test_extreme_noise_levels() -> None:
    rgba, b = blobs(12, 8), torch.tensor(BACKGROUNDS[1])
    mixture = ImageMixture(rgba)
    much, little = torch.full((12,), -25.0), torch.full((12,), 12.0)
    from_much = mixture.denoise(_noisy(rgba, b, much), much, b)
    from_little = mixture.denoise(_noisy(rgba, b, little), little, b)
    torch.testing.assert_close(from_much, mixture.mean(b).expand(12, -1, -1, -1), atol=1e-3, rtol=0)
    torch.testing.assert_close(from_little, mixture.images(b), atol=1e-5, rtol=0)


def test_single_image() -> None:
    rgba, b = blobs(1, 8), torch.tensor(BACKGROUNDS[2])
    x_t, log_snr = _normal(3, 3, 8, 8), torch.tensor([-8.0, 0.0, 8.0])
    alone = ImageMixture(rgba).denoise(x_t, log_snr, b)
    torch.testing.assert_close(alone, over(rgba, b).float().expand(3, -1, -1, -1))


def _nats(mixture: ImageMixture, log_snr: float, background: Tensor) -> float:
    return mutual_information(mixture, log_snr, background, 48, torch.Generator().manual_seed(0))


def test_mutual_information_in_float64() -> None:
    rgba, b, log_snr = blobs(16, 8), torch.tensor(BACKGROUNDS[2]), torch.tensor(-3.0)
    nats = mutual_information(ImageMixture(rgba), -3.0, b, 16, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    x = over(rgba, b)
    x_0 = x[torch.randperm(16, generator=generator)]
    alpha, sigma = alpha_sigma_of(log_snr)
    x_t = alpha * x_0 + sigma * torch.randn(x_0.shape, generator=generator).double()
    weights = torch.stack([posterior(each, x, log_snr) for each in x_t])
    entropy = -(weights * weights.log()).sum(1).mean()
    assert nats == pytest.approx(math.log(16) - float(entropy), abs=1e-4)


def test_mutual_information_rises_with_snr() -> None:
    mixture, grey = ImageMixture(blobs(48, 8)), torch.full((3,), 0.5)
    nats = torch.tensor([_nats(mixture, float(level), grey) for level in range(-16, 13, 2)])
    assert ((nats > -1e-4) & (nats < math.log(48) + 1e-4)).all()
    assert nats[0] < 0.01
    assert nats[-1] > math.log(48) - 0.01
    assert (nats.diff() > -0.02).all()


def test_mutual_information_at_equal_view_kl() -> None:
    mixture = ImageMixture(blobs(48, 8))
    for view_kl in (0.5, 2.0, 8.0):
        nats = []
        for background in BACKGROUNDS:
            b = torch.tensor(background)
            nats.append(_nats(mixture, math.log(view_kl / mixture.total_variance(b)), b))
        assert max(nats) - min(nats) < 0.1 * math.log(48)
