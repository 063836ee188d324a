"""Where ESD comes to rest, known exactly: Gaussians, and a Janus with one dimension.

The worlds are those of the images in docs/theory.md; see examples/gaussian_world.py and
examples/two_modes.py for what they are made of.
"""

import math

import pytest
import torch
from torch import Tensor

from examples import gaussian_world, two_modes
from examples.gaussian_world import MU, SIGMA, at_rest, keeping
from gs_esd.guidance.lambda_schedules import constant
from gs_esd.guidance.objectives import EsdSource, SdsSource, Source, VsdSource


def _rest(source: Source, log_snr: list[float]) -> tuple[Tensor, Tensor]:
    descent = gaussian_world.descend(source, log_snr)
    return descent.mean, descent.covariance


@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 0.3), (0.8, 0.6)])
@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0, 1.5])
def test_esd_rests_at_the_closed_form_covariance(lam: float, alpha: float, sigma: float) -> None:
    # Only the ratio matters: (1, 0.3) is the level (0.958, 0.287) of the same SNR.
    r = sigma**2 / alpha**2
    mean, covariance = _rest(EsdSource(constant(lam)), [-math.log(r)])
    torch.testing.assert_close(mean, MU, atol=1e-3, rtol=0)
    torch.testing.assert_close(covariance, at_rest(lam, r), atol=1e-3, rtol=0)


@pytest.mark.parametrize("source", [SdsSource(), VsdSource()])
def test_sds_and_vsd_collapse_to_the_mean(source: Source) -> None:
    mean, covariance = _rest(source, [0.6])
    torch.testing.assert_close(mean, MU, atol=1e-3, rtol=0)
    torch.testing.assert_close(covariance, torch.zeros(2, 2).double(), atol=1e-3, rtol=0)


def _along_main(covariance: Tensor) -> float:
    main = torch.linalg.eigh(SIGMA).eigenvectors[:, -1]
    return float(main @ covariance @ main)


@pytest.mark.parametrize("log_snr", [[2.4], [0.6], [-1.0], [-1.0, 0.6, 2.4]], ids=str)
def test_noise_consistent_lambda_keeps_its_fraction_of_the_main_variance(
    log_snr: list[float],
) -> None:
    _, covariance = _rest(EsdSource(keeping(0.5)), log_snr)
    assert _along_main(covariance) == pytest.approx(0.5 * _along_main(SIGMA), abs=5e-3)


def test_constant_lambda_keeps_less_the_more_noise_there_is() -> None:
    kept = [_along_main(_rest(EsdSource(constant(0.5)), [level])[1]) for level in (2.4, 0.6, -1.0)]
    assert kept[0] > kept[1] + 0.1
    assert kept[1] > kept[2] + 0.1


@pytest.mark.parametrize(
    ("lam", "std", "back"), [(0.0, 0.015, 0.0), (0.5, 0.27, 0.12), (1.0, 0.547, 0.28)]
)
def test_a_janus_of_one_dimension_grows_its_back_with_lambda(
    lam: float, std: float, back: float
) -> None:
    x = two_modes.descend(EsdSource(constant(lam)))[-1]
    assert float(x.std()) == pytest.approx(std, abs=0.02)
    # One rendering of 32 is 3 %.
    assert float((x > 0.5).float().mean()) == pytest.approx(back, abs=0.04)
    if lam == 1:
        assert float(x.mean()) == pytest.approx(0.3, abs=0.01)
