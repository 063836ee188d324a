"""The choice among short ESD runs."""

import math

import pytest
import torch
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Orbit
from gs_esd.photo_candidates import Candidate, is_range_certain
from gs_esd.registration.portfolio import CameraModel
from gs_esd.registration.search import Registration

LEVEL, RANGE = CameraModel(10, 10, 40), CameraModel(0, 30, 40)


def candidate(model: CameraModel, db: float) -> Candidate:
    nothing = torch.zeros(4)
    mse = torch.full((4,), 10 ** (-db / 10))
    found = Registration(nothing, nothing, torch.zeros(4, 2), nothing, mse)
    return Candidate(model, ParameterDict(), Orbit(3.0, math.radians(40), 0.0, 0.0), found, 1.0)


@pytest.mark.parametrize(("lead_db", "certain"), [(2.9, True), (0.1, False), (-0.7, False)])
def test_range_of_elevations_has_to_fit_far_better(lead_db: float, certain: bool) -> None:
    level, ranging = candidate(LEVEL, 24.0), candidate(RANGE, 24.0 + lead_db)
    assert is_range_certain(ranging, [level, ranging]) == certain
    assert not is_range_certain(level, [level, ranging])


def test_range_of_elevations_that_was_given_is_certain() -> None:
    ranging = candidate(RANGE, 24.0)
    assert is_range_certain(ranging, [ranging])
