"""Sides in place and azimuth errors; benchmarks of the zoo share the first two functions."""

import math

import pytest
import torch

from gs_esd.evaluation.sides import angle, azimuth_errors, coherence, count_in_place

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
