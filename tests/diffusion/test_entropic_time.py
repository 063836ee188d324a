"""Conversion between entropic time and noise levels."""

import math

import pytest
import torch
from torch.nn.functional import avg_pool2d

from gs_esd.diffusion.entropic_time import EntropicTime, mutual_information
from gs_esd.diffusion.ideal_denoiser import ImageMixture
from tests.helpers.small_images import blobs

BANK = blobs(64, 16)
GREY = torch.full((3,), 0.5)


@pytest.fixture(scope="module")
def curve() -> EntropicTime:
    small = ImageMixture(avg_pool2d(BANK, 2))
    return EntropicTime(small, torch.Generator().manual_seed(0))


def _entropic_time(mixture: ImageMixture, log_snr: float, background: torch.Tensor) -> float:
    generator = torch.Generator().manual_seed(1)
    runs = [mutual_information(mixture, log_snr, background, 64, generator) for _ in range(4)]
    return sum(runs) / 4 / math.log(len(mixture))


def test_log_snr_rises_with_entropic_time(curve: EntropicTime) -> None:
    log_snr = curve.log_snr(torch.linspace(0, 1, 101), variance=25.0)
    assert (log_snr.diff() >= 0).all()
    middle = curve.log_snr(torch.linspace(0.05, 0.95, 19), variance=25.0)
    assert (middle.diff() > 0).all()


def test_log_snr_falls_with_variance(curve: EntropicTime) -> None:
    # The level depends on view KL = SNR V: four times the variance, a quarter of the SNR.
    entropic_time = torch.linspace(0.1, 0.9, 9)
    near, far = (
        curve.log_snr(entropic_time, variance=5.0),
        curve.log_snr(entropic_time, variance=20.0),
    )
    torch.testing.assert_close(near - far, torch.full((9,), math.log(4)))


def test_log_snr_is_finite(curve: EntropicTime) -> None:
    assert curve.log_snr(torch.tensor([0.0, 1.0]), variance=25.0).isfinite().all()


@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize("background", [(0.5, 0.5, 0.5), (0, 0, 0), (1, 1, 1), (0.9, 0.1, 0.3)])
@pytest.mark.parametrize("wanted", [0.2, 0.5, 0.8])
def test_entropic_time_on_other_backgrounds_and_sizes(
    curve: EntropicTime, wanted: float, background: tuple[float, float, float], size: int
) -> None:
    mixture, b = ImageMixture(avg_pool2d(BANK, 16 // size)), torch.tensor(background).float()
    log_snr = curve.log_snr(torch.tensor([wanted]), mixture.total_variance(b))
    assert _entropic_time(mixture, float(log_snr), b) == pytest.approx(wanted, abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_identical_images(seed: int) -> None:
    # Entropic time is zero at every noise level; a run on such a folder must not fail.
    alike = ImageMixture(blobs(1, 8, seed).repeat(3, 1, 1, 1))
    curve = EntropicTime(alike, torch.Generator().manual_seed(0))
    assert curve.log_snr(torch.linspace(0, 1, 8), alike.total_variance(GREY)).isfinite().all()
