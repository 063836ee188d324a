"""View-dependent prompting and Perp-Neg's weights."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gs_esd.cameras.orbit import Cameras, orbit_cameras
from gs_esd.priors.view_prompts import (
    BACK,
    FRONT,
    OVERHEAD,
    PROMPT_VIEWS,
    SIDE,
    ViewWeightsFn,
    interpolated_views,
    nearest_view,
    perp_neg_weights,
)

OVERHEAD_FROM = math.radians(60)
NEAREST = nearest_view(math.radians(30), math.radians(40), OVERHEAD_FROM)
INTERPOLATED = interpolated_views(OVERHEAD_FROM)
BOTH = pytest.mark.parametrize("weights", [NEAREST, INTERPOLATED], ids=["nearest", "interpolated"])


def _cameras(azimuth_deg: list[float], elevation_deg: float = 10.0) -> Cameras:
    azimuth = torch.deg2rad(torch.tensor(azimuth_deg).double())
    elevation = torch.full_like(azimuth, math.radians(elevation_deg))
    return orbit_cameras(azimuth, elevation, distance=3.0, fov=0.7, resolution=8)


def _one_hot(*views: int) -> Tensor:
    return torch.eye(len(PROMPT_VIEWS)).double()[list(views)]


@BOTH
def test_weights_at_front_side_and_back(
    weights: ViewWeightsFn,
) -> None:
    found = weights(_cameras([0, 90, 180, 270, 360, -90, -180, 540]))
    expected = _one_hot(FRONT, SIDE, BACK, SIDE, FRONT, SIDE, BACK, BACK)
    torch.testing.assert_close(found, expected)


@BOTH
def test_overhead(weights: ViewWeightsFn) -> None:
    found = weights(_cameras([0, 45, 100, 180], elevation_deg=61))
    torch.testing.assert_close(found, _one_hot(*[OVERHEAD] * 4))
    assert bool((weights(_cameras([0, 45, 100, 180], elevation_deg=59))[:, OVERHEAD] == 0).all())


def test_nearest_view_thresholds() -> None:
    found = NEAREST(_cameras([29, -29, 31, -31, 139, 141, -139, -141]))
    expected = _one_hot(FRONT, FRONT, SIDE, SIDE, SIDE, BACK, SIDE, BACK)
    torch.testing.assert_close(found, expected)


@given(st.floats(-720, 720))
def test_interpolated_weights_sum_to_one_and_are_symmetric(azimuth: float) -> None:
    here, mirrored = INTERPOLATED(_cameras([azimuth, -azimuth]))
    assert float(here.min()) >= 0
    assert float(here.sum()) == pytest.approx(1)
    torch.testing.assert_close(here, mirrored, atol=1e-6, rtol=0)


def test_interpolated_weights_are_linear_in_azimuth() -> None:
    found = INTERPOLATED(_cameras([30, 120]))
    expected = torch.tensor([[2 / 3, 1 / 3, 0, 0], [0, 2 / 3, 1 / 3, 0]]).double()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def _negative(azimuth_deg: list[float], elevation_deg: float = 10.0) -> Tensor:
    return perp_neg_weights(INTERPOLATED(_cameras(azimuth_deg, elevation_deg)))


def test_perp_neg_weights_of_threestudio() -> None:
    # a e^(-br) + c with its constants: f_fs = f_sf = (4, .5, -2.426), f_sb = (1, .5, -.606) and
    # f_fsb = (1, .5, .967); r is the front's weight or, behind, the side's.
    def decay(a: float, c: float, r: float) -> float:
        return a * math.exp(-0.5 * r) + c

    found = _negative([30, 150])
    before = [-decay(4, -2.426, 2 / 3), -decay(4, -2.426, 1 / 3)]
    behind = [-decay(1, 0.967, 1 / 3), -decay(1, -0.606, 1 / 3)]
    expected = torch.tensor([before, behind]).double()
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_perp_neg_weight_is_zero_at_the_view() -> None:
    (front, _), (_, side) = _negative([0, 90]).tolist()
    assert front == pytest.approx(0, abs=1e-12)
    assert side == pytest.approx(0, abs=1e-12)


@given(st.floats(0, 180))
def test_perp_neg_weights_are_negative_and_continuous(azimuth: float) -> None:
    here, near = _negative([azimuth, azimuth + 0.01])
    assert float(here.max()) <= 1e-12
    torch.testing.assert_close(here, near, atol=1e-3, rtol=0)


def test_perp_neg_weight_of_front_grows_towards_back() -> None:
    front = _negative([0, 45, 90, 135, 180])[:, 0]
    assert bool((front.diff() < 0).all())


def test_perp_neg_weights_overhead() -> None:
    assert torch.equal(_negative([0, 90, 180], 80), torch.zeros(3, 2).double())
