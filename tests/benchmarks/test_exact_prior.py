"""The prior of the zoo's images in the tiny model's latents."""

import pytest
import torch
from torch import Tensor

from benchmarks.quality import exact_prior
from benchmarks.quality.evaluated_run import configured
from benchmarks.quality.exact_prior import ExactPrior
from gs_esd.build.components import build_components
from gs_esd.cameras.orbit import make_orbit
from gs_esd.config.options import CamerasConfig
from gs_esd.diffusion.process import add_noise, alpha_sigma
from gs_esd.diffusion.schedule import MIN_LOG_SNR
from gs_esd.priors.base import LearnedPrior
from gs_esd.render.compositing import composite
from gs_esd.system.rng import stream
from gs_esd.toyzoo.bank import draw_bank
from gs_esd.toyzoo.prompt import parse_prompt
from tests.helpers.small_images import views_from

ORBIT = make_orbit(CamerasConfig())


@pytest.fixture(scope="module")
def prior() -> ExactPrior:
    components = build_components(
        configured(["prompt=a pig", "prior=tiny", "variational=closed_form"])
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exact_prior, "IMAGES", 24)
        return ExactPrior(components.prior, "pig", ORBIT)


def pig(background: float) -> Tensor:
    """The images that the prior is made of, [24, H, W, 3]."""
    rgba, _ = draw_bank(
        parse_prompt("pig"),
        24,
        64,
        front_bias=0.5,
        elevation=(ORBIT.elevation_min, ORBIT.elevation_max),
        distance=ORBIT.distance,
        fov=ORBIT.fov,
        generator=stream(0, "exact"),
    )
    rgb, alpha = rgba.permute(0, 2, 3, 1).split([3, 1], dim=-1)
    return composite(rgb, alpha, torch.full((3,), background))


def denoised(prior: ExactPrior, x_0: Tensor, log_snr: float) -> Tensor:
    levels = torch.full((len(x_0),), log_snr)
    x_t = add_noise(x_0, torch.randn(x_0.shape, generator=stream(0, "noise")), levels)
    alpha, sigma = alpha_sigma(levels[:, None, None, None])
    eps = prior.predict_noise(x_t, levels, views_from(torch.zeros(len(x_0))))
    return (x_t - sigma * eps) / alpha


def test_it_is_a_learned_prior(prior: ExactPrior) -> None:
    assert isinstance(prior, LearnedPrior)


@pytest.mark.parametrize("background", [0.0, 1.0])
def test_in_little_noise_it_finds_its_images_on_either_background(
    prior: ExactPrior, background: float
) -> None:
    x_0 = prior.encode(pig(background))
    torch.testing.assert_close(denoised(prior, x_0, log_snr=2.0), x_0, atol=1e-3, rtol=1e-3)


def test_without_a_signal_it_gives_the_mean_of_all(prior: ExactPrior) -> None:
    x_0 = torch.cat([prior.encode(pig(background)) for background in (0.0, 1.0)])
    answer = denoised(prior, x_0, MIN_LOG_SNR)
    torch.testing.assert_close(answer, x_0.mean(0).expand_as(x_0), atol=0.1, rtol=0)
    assert x_0.std(0).max() > 5
