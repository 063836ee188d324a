"""Noise levels and weighting built from a configuration."""

import pytest
import torch
from torch import Tensor

from gs_esd.build.guidance import DrawLevels, build_levels, build_weighting
from gs_esd.cameras.orbit import Orbit, sample_orbit
from gs_esd.cameras.views import Views
from gs_esd.config.options import Config, Weighting
from gs_esd.config.schedule import (
    DreamtimeTimestepsConfig,
    EntropicTimeRange,
    EntropicTimestepsConfig,
    HifaSqrtTimestepsConfig,
    LinearTimestepsConfig,
    ScheduleTimestepsConfig,
    TwoStageTimestepsConfig,
    UniformTimestepsConfig,
)
from gs_esd.diffusion.entropic_time import EntropicTime
from gs_esd.guidance import weighting
from gs_esd.priors.image_bank import ImageBankPrior
from gs_esd.system.rng import stream
from tests.helpers.small_images import blobs
from tests.helpers.tiny_models import tiny_schedule

ORBIT = Orbit(distance=3.0, fov=0.7, elevation_min=0.0, elevation_max=0.5)
EVERY_KIND = [
    UniformTimestepsConfig,
    TwoStageTimestepsConfig,
    LinearTimestepsConfig,
    HifaSqrtTimestepsConfig,
    DreamtimeTimestepsConfig,
]


class Learned:
    """A prior with a schedule, and without predictions."""

    def __init__(self) -> None:
        """Stable Diffusion's schedule."""
        self.schedule = tiny_schedule(beta_schedule="scaled_linear")

    def encode(self, images: Tensor) -> Tensor:
        """Not needed."""
        raise NotImplementedError

    def predict_noise(self, x_t: Tensor, log_snr: Tensor, views: Views) -> Tensor:
        """Not needed."""
        raise NotImplementedError


def drawn(draw: DrawLevels, progress: float, n: int, resolution: int = 8) -> Tensor:
    """Levels of n views; the same random numbers each time."""
    cameras = sample_orbit(n, ORBIT, resolution, stream(0, "cameras"))
    views = Views(cameras, torch.tensor([0.2, 0.5, 0.9]))
    return draw(views, progress, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_timesteps_of_the_priors_schedule(
    kind: type[ScheduleTimestepsConfig],
) -> None:
    prior = Learned()
    config = Config(timesteps=kind(t_min=0.3, t_max=0.6))
    if kind is TwoStageTimestepsConfig:
        config = Config(timesteps=TwoStageTimestepsConfig(t_min=0.3, t_max=0.6, t_max_late=0.6))
    levels = build_levels(config, prior)
    for progress in (0.0, 0.4, 0.9):
        log_snr = drawn(levels, progress, 5)
        assert log_snr.shape == (5,)
        t = prior.schedule.log_snr_to_t(log_snr) / (len(prior.schedule) - 1)
        assert ((t > 0.3 - 1e-4) & (t < 0.6 + 1e-4)).all()


def test_linear_timesteps_start_at_t_max() -> None:
    prior = Learned()
    levels = build_levels(Config(timesteps=LinearTimestepsConfig(t_min=0.0, t_max=1.0)), prior)
    assert drawn(levels, 0.0, 2).tolist() == [float(prior.schedule.log_snr[-1])] * 2


def test_two_stage_timesteps() -> None:
    prior = Learned()
    config = Config(timesteps=TwoStageTimestepsConfig(0.02, 0.98, t_max_late=0.5, late_from=0.7))
    levels, half = (
        build_levels(config, prior),
        float(prior.schedule.t_to_log_snr(torch.tensor([0.5]))),
    )
    assert drawn(levels, 0.69, 64).amin() < half - 1
    assert drawn(levels, 0.7, 64).amin() >= half - 1e-5


@pytest.mark.parametrize("resolution", [8, 16])
def test_entropic_time_of_stages_and_resolutions(
    resolution: int,
) -> None:
    prior = ImageBankPrior(blobs(32, 16), [8, 16], generator=stream(0, "certainty"))
    ranges = EntropicTimestepsConfig(
        coarse=EntropicTimeRange(0.2, 0.2),
        middle=EntropicTimeRange(0.5, 0.5),
        fine=EntropicTimeRange(0.8, 0.8),
    )
    config = Config(timesteps=ranges)
    levels = build_levels(config, prior)
    measured = EntropicTime(prior.mixtures[8], stream(0, "certainty"))
    variance = prior.mixtures[resolution].total_variance(torch.tensor([0.2, 0.5, 0.9]))
    for progress, entropic_time in ((0.1, 0.2), (0.5, 0.5), (0.9, 0.8)):
        expected = measured.log_snr(torch.full((3,), entropic_time), variance)
        torch.testing.assert_close(drawn(levels, progress, 3, resolution), expected)


@pytest.mark.parametrize("kind", Weighting)
def test_weighting_by_name(kind: Weighting) -> None:
    assert build_weighting(kind) is getattr(weighting, kind.value)


def test_entropic_time_is_uniform() -> None:
    prior = ImageBankPrior(blobs(32, 16), [8, 16])
    ranges = EntropicTimestepsConfig(coarse=EntropicTimeRange(0.2, 0.7))
    log_snr = drawn(build_levels(Config(timesteps=ranges), prior), 0.0, 2000)
    views = Views(sample_orbit(5, ORBIT, 8, stream(0, "cameras")), torch.tensor([0.2, 0.5, 0.9]))
    quartiles = prior.entropic_time_to_log_snr(torch.linspace(0.2, 0.7, 5), views)
    assert ((log_snr >= quartiles[0]) & (log_snr <= quartiles[-1])).all()
    shares = torch.histogram(log_snr, quartiles).hist / 2000
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.04, rtol=0)
