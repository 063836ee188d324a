import math
from dataclasses import replace

import pytest
import torch

from gs_esd.registration import search
from gs_esd.registration.search import (
    CameraSearch,
    azimuth_chi,
    background_features,
    pairwise_mse,
    search_elevations,
)
from gs_esd.system.rng import stream
from tests.helpers.turntable_photos import (
    azimuth_errors_deg,
    cameras_at,
    even_azimuths,
    orbit,
    photos_of_splats,
    random_splats,
    registration_at,
    shifted,
)


def random_rgba(n: int, side: int, seed: int) -> torch.Tensor:
    draw = stream(seed, "test images")
    alpha = torch.rand(n, 1, side, side, generator=draw)
    return torch.cat([alpha * torch.rand(n, 3, side, side, generator=draw), alpha], dim=1)


def mse_over(a: torch.Tensor, b: torch.Tensor, background: torch.Tensor) -> float:
    """Of two images over one background, pixel by pixel."""
    over_a, over_b = (each[:3] + (1 - each[3:]) * background[:, None, None] for each in (a, b))
    return float((over_a - over_b).square().mean())


def expected_mse_twin(a: torch.Tensor, b: torch.Tensor) -> float:
    """The expectation by Gauss-Legendre quadrature of two points, exact for a square."""
    low, high = 0.5 - 0.5 / math.sqrt(3), 0.5 + 0.5 / math.sqrt(3)
    corners = torch.cartesian_prod(*3 * (torch.tensor([low, high]),))
    return sum(mse_over(a, b, corner) for corner in corners) / len(corners)


def test_pairwise_mse_is_the_expectation_over_backgrounds() -> None:
    a, b = random_rgba(3, 5, 0), random_rgba(4, 5, 1)
    mse = pairwise_mse(background_features(a), background_features(b))
    for i in range(3):
        for j in range(4):
            assert float(mse[i, j]) == pytest.approx(expected_mse_twin(a[i], b[j]), rel=1e-4)


def test_pairwise_mse_agrees_with_monte_carlo() -> None:
    a, b = random_rgba(1, 5, 0), random_rgba(1, 5, 1)
    backgrounds = torch.rand(4000, 3, generator=stream(0, "test backgrounds"))
    drawn = torch.tensor([mse_over(a[0], b[0], background) for background in backgrounds])
    mse = float(pairwise_mse(background_features(a), background_features(b)))
    assert mse == pytest.approx(float(drawn.mean()), abs=4 * float(drawn.std()) / math.sqrt(4000))


def test_equal_images_have_no_error() -> None:
    features = background_features(random_rgba(4, 5, 0))
    assert pairwise_mse(features, features).diagonal().max() < 1e-6


@pytest.mark.parametrize("true_elevation", [10.0, 20.0])
def test_search_finds_azimuths_and_the_common_elevation(true_elevation: float) -> None:
    splats, azimuth = random_splats(), even_azimuths(24)
    photos = photos_of_splats(splats, cameras_at(azimuth, orbit(true_elevation), 64))
    found = CameraSearch(photos)(splats, orbit(15))
    assert azimuth_errors_deg(found.azimuth, azimuth).max() <= 2.5 + 1e-3
    assert found.elevation.rad2deg().tolist() == pytest.approx([true_elevation] * 24, abs=1e-3)
    assert found.chi < 0.01
    assert found.db > 30


def test_photographs_at_several_elevations_get_their_own() -> None:
    splats, azimuth = random_splats(), even_azimuths(24)
    low, high = (photos_of_splats(splats, cameras_at(azimuth, orbit(e), 64)) for e in (5, 25))
    rgba = torch.cat([low.rgba[:12], high.rgba[12:]])
    around = replace(orbit(10), elevation_max=math.radians(20))
    found = CameraSearch(replace(low, rgba=rgba))(splats, around)
    assert (found.elevation[:12].rad2deg() - 5).abs().max() <= 2.5 + 1e-3
    assert (found.elevation[12:].rad2deg() - 25).abs().max() <= 2.5 + 1e-3


def test_two_elevations_are_found_from_an_orbit_of_one() -> None:
    splats, azimuth = random_splats(), even_azimuths(24)
    low, high = (photos_of_splats(splats, cameras_at(azimuth, orbit(e), 64)) for e in (0, 25))
    rgba = torch.cat([low.rgba[:12], high.rgba[12:]])
    found = CameraSearch(replace(low, rgba=rgba))(splats, orbit(15))
    assert found.has_own_elevations
    assert (found.elevation[:12].rad2deg()).abs().max() <= 2.5 + 1e-3
    assert (found.elevation[12:].rad2deg() - 25).abs().max() <= 2.5 + 1e-3
    one = CameraSearch(low)(splats, orbit(5))
    assert not one.has_own_elevations
    assert len(one.elevation.unique()) == 1


def test_search_solves_shift_and_scale_of_photographs_framed_singly() -> None:
    splats, azimuth, draw = random_splats(), even_azimuths(24), stream(0, "test framing")
    around = orbit(15)
    cameras = cameras_at(azimuth, around, 96)
    alone = photos_of_splats(splats, cameras)
    boxes = search.silhouette_boxes(alone.rgba[:, 3])
    scale = 0.6 / boxes[:, 2] * (1 + 0.02 * torch.randn(24, generator=draw))
    shift = -scale[:, None] * boxes[:, :2]  # centred by the box
    photos = photos_of_splats(splats, shifted(cameras, shift, scale), framed_singly=True)
    found = CameraSearch(photos)(splats, around)
    assert azimuth_errors_deg(found.azimuth, azimuth).max() <= 2.5 + 1e-3
    assert (found.shift - shift).abs().max() < 0.02
    assert (found.log_scale - scale.log()).abs().max() < 0.05


def test_search_elevations_reach_beyond_the_orbit() -> None:
    degrees = search_elevations(orbit(20)).rad2deg()
    assert degrees.tolist() == pytest.approx([10, 12.5, 15, 17.5, 20, 22.5, 25, 27.5, 30], abs=1e-3)
    assert search_elevations(orbit(80)).rad2deg().max() <= search.MAX_ELEVATION_DEG + 1e-3


@pytest.mark.parametrize("n", [7, 20, 36, 72, 100])
def test_chi_of_a_turntable_is_about_0(n: int) -> None:
    assert azimuth_chi(even_azimuths(n)) < 0.02


def test_chi_of_two_sides_and_of_one() -> None:
    half = torch.cat([torch.linspace(0, 1.5, 36), torch.linspace(math.pi, math.pi + 1.5, 36)])
    assert azimuth_chi(half) == pytest.approx(1.0, abs=0.1)
    assert azimuth_chi(torch.full((36,), 0.3)) == pytest.approx(11.0)


def test_score_prefers_even_azimuths() -> None:
    even, uneven = registration_at(even_azimuths(24), 15), registration_at(torch.rand(24), 15)
    assert even.db == uneven.db
    assert even.score > uneven.score
