"""Confidence interval of a success rate that was counted in a few runs."""

import math
from statistics import NormalDist


def wilson_interval(successes: int, runs: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a success rate (Wilson 1927), within [0, 1].

    Unlike rate ± standard error, it holds for few runs, and for rates of 0 and 1.

    Args:
        successes: Runs that succeeded, from 0 to `runs`.
        runs: All runs, at least 1.
        confidence: The share of such intervals that contain the true rate.

    Raises:
        ValueError: the counts are impossible.
    """
    if not 0 <= successes <= runs or runs < 1:
        raise ValueError(f"cannot have {successes} successes in {runs} runs")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate, shrink = successes / runs, 1 + z**2 / runs
    middle = (rate + z**2 / (2 * runs)) / shrink
    half = z * math.sqrt(rate * (1 - rate) / runs + z**2 / (4 * runs**2)) / shrink
    return max(0.0, middle - half), min(1.0, middle + half)
