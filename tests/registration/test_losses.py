import math

import pytest
import torch

from gs_esd.registration.losses import (
    SSIM_C1,
    SSIM_C2,
    SSIM_WINDOW,
    frame_psnr,
    object_psnr,
    photometric_loss,
    ssim,
)
from gs_esd.system.rng import stream


def images(seed: int, side: int = 9) -> torch.Tensor:
    return torch.rand(2, 3, side, side, generator=stream(seed, "test images"))


def ssim_twin(a: torch.Tensor, b: torch.Tensor) -> float:
    """Window by window, from the definition."""
    values = []
    for image in range(len(a)):
        for channel in range(3):
            for i in range(a.shape[2] - SSIM_WINDOW + 1):
                for j in range(a.shape[3] - SSIM_WINDOW + 1):
                    window = (image, channel, slice(i, i + SSIM_WINDOW), slice(j, j + SSIM_WINDOW))
                    x, y = a[window].double(), b[window].double()
                    covariance = ((x - x.mean()) * (y - y.mean())).mean()
                    values.append(
                        (2 * x.mean() * y.mean() + SSIM_C1)
                        * (2 * covariance + SSIM_C2)
                        / (x.mean() ** 2 + y.mean() ** 2 + SSIM_C1)
                        / (x.var(correction=0) + y.var(correction=0) + SSIM_C2)
                    )
    return float(torch.stack(values).mean())


def test_ssim_agrees_with_its_definition() -> None:
    a, b = images(0), images(1)
    assert float(ssim(a, b)) == pytest.approx(ssim_twin(a, b), abs=1e-4)


def test_loss_of_equal_images_is_0() -> None:
    assert float(photometric_loss(images(0), images(0))) == pytest.approx(0, abs=1e-6)


def test_loss_rises_with_the_error() -> None:
    a, noise = images(0), images(1)
    losses = [float(photometric_loss(a + size * noise, a)) for size in (0.01, 0.1, 0.3)]
    assert losses == sorted(losses)


def test_psnr_of_a_known_error() -> None:
    target = torch.zeros(1, 4, 8, 8)
    target[:, 3, :4] = 1.0  # black in the upper half
    other = target.clone()
    other[:, :3, :4] = 0.1
    error = -10 * math.log10(0.01)
    assert float(object_psnr(other, target)) == pytest.approx(error, abs=1e-3)
    assert float(frame_psnr(other, target)) == pytest.approx(error + 10 * math.log10(2), abs=1e-3)
