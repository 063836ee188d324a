"""Wilson's interval: known values, its bounds, and how often it is right."""

import math

import pytest
import torch

from gs_esd.evaluation.statistics import wilson_interval


@pytest.mark.parametrize(
    ("successes", "runs", "expected"),
    [
        (0, 10, (0.0, 0.2775)),
        (5, 10, (0.2366, 0.7634)),
        (10, 10, (0.7225, 1.0)),
        (81, 263, (0.2553, 0.3662)),  # Newcombe 1998, table I
        (1, 29, (0.0061, 0.1718)),  # the same
    ],
)
def test_published_intervals(successes: int, runs: int, expected: tuple[float, float]) -> None:
    assert wilson_interval(successes, runs) == pytest.approx(expected, abs=1e-4)


def test_coverage() -> None:
    """On average over rates; for a single rate it may be off by a few percent."""
    runs, right = 12, 0.0
    rates = torch.linspace(0.02, 0.98, 49, dtype=torch.float64).tolist()
    for rate in rates:
        for k in range(runs + 1):
            low, high = wilson_interval(k, runs)
            chance = math.comb(runs, k) * rate**k * (1 - rate) ** (runs - k)
            right += chance * (low <= rate <= high) / len(rates)
    assert right == pytest.approx(0.95, abs=0.015)


def test_confidence_widens_interval() -> None:
    low, high = wilson_interval(3, 9)
    lower, higher = wilson_interval(3, 9, confidence=0.99)
    assert lower < low < 3 / 9 < high < higher


@pytest.mark.parametrize(("successes", "runs"), [(0, 0), (3, 2), (-1, 4)])
def test_impossible_counts(successes: int, runs: int) -> None:
    with pytest.raises(ValueError, match=f"{successes} successes in {runs} runs"):
        wilson_interval(successes, runs)
