"""View names by azimuth."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gs_esd.cameras.view_names import VIEW_NAMES, view_index


def _name(azimuth_deg: float) -> str:
    return VIEW_NAMES[int(view_index(torch.tensor([math.radians(azimuth_deg)]))[0])]


FRONT, SIDE, BACK = VIEW_NAMES
BORDERS = [0, 44, 46, 134, 136, 224, 226, 314, 316]
NAMES = [FRONT, FRONT, SIDE, SIDE, BACK, BACK, SIDE, SIDE, FRONT]


@pytest.mark.parametrize(("azimuth_deg", "name"), list(zip(BORDERS, NAMES, strict=True)))
def test_view_names_around_the_object(azimuth_deg: float, name: str) -> None:
    assert _name(azimuth_deg) == name


@given(st.integers(0, 359), st.integers(-3, 3))
def test_view_names_are_symmetric_and_periodic(degrees: int, turns: int) -> None:
    azimuth_deg = degrees + 0.5  # off the borders, where rounding decides
    assert _name(azimuth_deg) == _name(-azimuth_deg) == _name(azimuth_deg + 360 * turns)


def test_view_names_of_prompts() -> None:
    assert VIEW_NAMES == ("front", "side", "back")


def test_view_index_of_batch() -> None:
    azimuth = torch.tensor([0.0, math.pi / 2, math.pi, -math.pi / 2])
    assert view_index(azimuth).tolist() == [0, 1, 2, 1]
