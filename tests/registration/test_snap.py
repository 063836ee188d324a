import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gs_esd.registration.snap import snap
from gs_esd.system.rng import stream
from tests.helpers.turntable_photos import azimuth_errors_deg, even_azimuths

TURN = 2 * math.pi
ANGLES = st.lists(st.floats(-20, 20), min_size=2, max_size=40)


@given(ANGLES)
def test_snapped_azimuths_are_even(angles: list[float]) -> None:
    snapped = snap(torch.tensor(angles)).azimuth.double().sort().values
    gaps = torch.cat([snapped, snapped[:1] + TURN]).diff()
    assert gaps.tolist() == pytest.approx([TURN / len(angles)] * len(angles), abs=1e-4)


@given(ANGLES, st.floats(-10, 10))
def test_snap_turns_with_the_azimuths(angles: list[float], turn: float) -> None:
    azimuth = torch.tensor(angles, dtype=torch.float64)
    here, there = snap(azimuth), snap(azimuth + turn)
    assert there.largest_move == pytest.approx(here.largest_move, abs=1e-6) or len(
        set(angles)
    ) < len(angles)


@given(st.integers(2, 60), st.integers(0, 20))
def test_order_around_the_circle_is_kept(n: int, seed: int) -> None:
    azimuth = TURN * torch.rand(n, generator=stream(seed, "test angles"), dtype=torch.float64)
    before = azimuth.argsort()
    after = snap(azimuth).azimuth[before]
    ascents = (torch.cat([after, after[:1]]).diff() > 0).sum()
    assert int(ascents) == n - 1  # one descent, where the circle closes


def test_even_azimuths_stay() -> None:
    azimuth = (even_azimuths(36) + 0.7) % TURN
    snapped = snap(azimuth)
    assert snapped.largest_move < 1e-4
    assert azimuth_errors_deg(snapped.azimuth, azimuth).max() < 1e-3


def test_noise_within_half_a_step_is_removed() -> None:
    true = even_azimuths(36)
    noise = 0.4 * TURN / 36 * (2 * torch.rand(36, generator=stream(0, "test noise")) - 1)
    snapped = snap(true + noise)
    assert azimuth_errors_deg(snapped.azimuth, true).max() < 1e-3
    assert 0.2 < snapped.largest_move < 0.6


def test_smooth_distortion_is_removed_and_measured() -> None:
    true = even_azimuths(72)
    snapped = snap(true + math.radians(20) * (2 * true).sin() * 0.9)
    assert azimuth_errors_deg(snapped.azimuth, true).max() < 1e-3
    assert snapped.largest_move == pytest.approx(18 / 5, abs=0.1)
