"""Sides in place and azimuth errors; benchmarks of the zoo share the first two functions."""

import math

import pytest
import torch

from gs_esd.evaluation.sides import angle, azimuth_errors, coherence, count_in_place

NUM_RENDERINGS = 16
CAMERAS = 2 * math.pi * torch.arange(NUM_RENDERINGS) / NUM_RENDERINGS
TRUTH = 2 * math.pi * torch.arange(24, dtype=torch.float64) / 24


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("turn", [0.0, 1.0, 3.0])
def test_errors_of_turned_and_mirrored_azimuths(sign: int, turn: float) -> None:
    noise = 0.01 * torch.sin(7 * TRUTH)
    fitted = angle(sign * TRUTH + turn + noise)
    errors = azimuth_errors(fitted, TRUTH)
    assert errors.median() == pytest.approx(float(noise.abs().median()), abs=5e-3)
    assert errors.max() < 0.025
    assert coherence(fitted, TRUTH) > 0.999
    assert count_in_place(fitted, TRUTH) == 24


def test_errors_of_outliers_leave_the_others_small() -> None:
    fitted = TRUTH + 0.5
    fitted[:6] += 2.0
    errors = azimuth_errors(fitted, TRUTH)
    assert errors[6:].max() < 1e-6
    assert errors[:6].min() == pytest.approx(2.0)


def test_errors_of_one_azimuth_for_all() -> None:
    errors = azimuth_errors(torch.zeros_like(TRUTH), TRUTH)
    assert errors.mean() == pytest.approx(0.5 * math.pi, rel=0.01)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("turn", [0.0, 1.0, 3.0])
def test_coherence_of_turned_and_mirrored_views(sign: int, turn: float) -> None:
    assert coherence(sign * CAMERAS + turn, CAMERAS) == pytest.approx(1, abs=1e-5)


def test_coherence_of_one_view_everywhere() -> None:
    assert coherence(torch.full_like(CAMERAS, 2.0), CAMERAS) < 1e-5


def test_coherence_of_two_opposite_views() -> None:
    halves = torch.where(
        torch.arange(NUM_RENDERINGS) < NUM_RENDERINGS // 2, 0.5 * math.pi, 1.5 * math.pi
    )
    assert coherence(halves, CAMERAS) == pytest.approx(2 / math.pi, abs=0.01)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("wrong", [0, 1, 3])
def test_count_in_place_of_turned_views(sign: int, wrong: int) -> None:
    matched = sign * CAMERAS + 2.0 + 0.2 * torch.sin(5 * CAMERAS)
    matched[:wrong] += 2.0 + torch.arange(wrong)  # each by another angle
    assert count_in_place(matched, CAMERAS) == NUM_RENDERINGS - wrong


def test_count_in_place_by_chance() -> None:
    one = torch.full_like(CAMERAS, 1.0)
    two = torch.where(
        torch.arange(NUM_RENDERINGS) < NUM_RENDERINGS // 2, 0.5 * math.pi, 1.5 * math.pi
    )
    assert count_in_place(one, CAMERAS) == 3
    assert count_in_place(two, CAMERAS) == 6
