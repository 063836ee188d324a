"""Noise levels named by what they tell."""

import math

import pytest
import torch
from torch.nn.functional import avg_pool2d

from gs_esd.diffusion.ideal_denoiser import PictureMixture, information
from gs_esd.guidance.entropic_time import CertaintyLevels
from tests.helpers.small_images import blobs

BANK = blobs(64, 16)
GREY = torch.full((3,), 0.5)


@pytest.fixture(scope="module")
def levels() -> CertaintyLevels:
    small = PictureMixture(avg_pool2d(BANK, 2))
    return CertaintyLevels(small, torch.Generator().manual_seed(0))


def _certainty(mixture: PictureMixture, log_snr: float, background: torch.Tensor) -> float:
    generator = torch.Generator().manual_seed(1)
    runs = [information(mixture, log_snr, background, 64, generator) for _ in range(4)]
    return sum(runs) / 4 / math.log(len(mixture))


def test_levels_rise_with_certainty(levels: CertaintyLevels) -> None:
    log_snr = levels.log_snr(torch.linspace(0, 1, 101), spread=50.0)
    assert (log_snr.diff() >= 0).all()
    middle = levels.log_snr(torch.linspace(0.05, 0.95, 19), spread=50.0)
    assert (middle.diff() > 0).all()


def test_levels_fall_as_pictures_differ_more(levels: CertaintyLevels) -> None:
    # The level is that of kappa = SNR D²/2: four times the spread stands four times the noise.
    certainty = torch.linspace(0.1, 0.9, 9)
    near, far = levels.log_snr(certainty, spread=10.0), levels.log_snr(certainty, spread=40.0)
    torch.testing.assert_close(near - far, torch.full((9,), math.log(4)))


def test_the_whole_range_has_finite_levels(levels: CertaintyLevels) -> None:
    assert levels.log_snr(torch.tensor([0.0, 1.0]), spread=50.0).isfinite().all()


@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize("background", [(0.5, 0.5, 0.5), (0, 0, 0), (1, 1, 1), (0.9, 0.1, 0.3)])
@pytest.mark.parametrize("asked", [0.2, 0.5, 0.8])
def test_the_asked_certainty_is_met_on_other_backgrounds_and_sizes(
    levels: CertaintyLevels, asked: float, background: tuple[float, float, float], size: int
) -> None:
    mixture, b = PictureMixture(avg_pool2d(BANK, 16 // size)), torch.tensor(background).float()
    log_snr = levels.log_snr(torch.tensor([asked]), mixture.spread(b))
    assert _certainty(mixture, float(log_snr), b) == pytest.approx(asked, abs=0.1)


def test_sampled_certainties_are_uniform_in_the_range(levels: CertaintyLevels) -> None:
    spread = 30.0
    sampled = levels.sample(2000, 0.2, 0.7, spread, torch.Generator().manual_seed(2))
    quantiles = levels.log_snr(torch.tensor([0.2, 0.325, 0.45, 0.575, 0.7]), spread)
    assert ((sampled >= quantiles[0]) & (sampled <= quantiles[-1])).all()
    shares = torch.histogram(sampled, quantiles).hist / 2000
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.04, rtol=0)


def test_sampling_is_repeatable(levels: CertaintyLevels) -> None:
    draws = [levels.sample(5, 0, 1, 30.0, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*draws)


@pytest.mark.parametrize("seed", range(5))
def test_pictures_that_are_all_alike_have_finite_levels(seed: int) -> None:
    # Nothing tells them apart at any noise; a run on such a folder must not stop for it.
    alike = PictureMixture(blobs(1, 8, seed).repeat(3, 1, 1, 1))
    levels = CertaintyLevels(alike, torch.Generator().manual_seed(0))
    assert levels.sample(8, 0, 1, alike.spread(GREY), torch.Generator()).isfinite().all()
