"""Statistics over the runs of one λ: means with standard errors, rates with intervals."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from gs_esd.config.kinds import uses_lambda
from gs_esd.evaluation.statistics import wilson_interval
from gs_esd.report.measuring import Measured
from gs_esd.run.records import FINISHED, Run

TITLES = {
    "view_information": "View information (nats)",
    "inception_quality": "Inception quality (lower is better)",
    "inception_variety": "Inception variety (higher is better)",
    "inception_gain": "Inception gain",
    "faces": "Faces (1 is right)",
    "front_share": "Share of front views (0.25 is right)",
    "psnr_db": "PSNR against the true views (dB)",
    "gaussians": "Gaussians",
    "train_s": "Training (s)",
}
"""Which numbers and measures are drawn against λ, and the charts' titles."""


@dataclass(frozen=True)
class Point:
    """A run's value at its λ; label: the run in words."""

    lam: float
    value: float
    label: str


@dataclass(frozen=True)
class Summary:
    """A mean or rate over all runs of one λ, and its interval if there is one."""

    lam: float
    runs: int
    middle: float
    interval: tuple[float, float] | None


def points(runs: Iterable[Run], measures: Mapping[str, Measured], metric: str) -> list[Point]:
    """The values of a metric in finished ESD runs, where they are finite."""
    found = []
    for run in runs:
        value = (dict(run.numbers) | dict(measures[run.key].values)).get(metric)
        if _has_lambda(run) and isinstance(value, int | float) and math.isfinite(value):
            found.append(Point(float(run.lambda_esd or 0), float(value), run.label))
    return found


def means(values: Sequence[Point]) -> list[Summary]:
    """The mean at every λ, ± 1 standard error where there are at least two runs."""
    return [_mean(lam, [p.value for p in values if p.lam == lam]) for lam in _lambdas(values)]


def rates(values: Sequence[Point]) -> list[Summary]:
    """The share of ones among zeros and ones at every λ, with its 95 % Wilson interval."""
    return [_rate(lam, [p.value for p in values if p.lam == lam]) for lam in _lambdas(values)]


def _has_lambda(run: Run) -> bool:
    return run.status == FINISHED and uses_lambda(run.guidance) and run.lambda_esd is not None


def _lambdas(values: Iterable[Point]) -> list[float]:
    return sorted({point.lam for point in values})


def _mean(lam: float, values: Sequence[float]) -> Summary:
    middle = fmean(values)
    if len(values) < 2:
        return Summary(lam, 1, middle, None)
    error = stdev(values) / math.sqrt(len(values))
    return Summary(lam, len(values), middle, (middle - error, middle + error))


def _rate(lam: float, values: Sequence[float]) -> Summary:
    successes, runs = round(sum(values)), len(values)
    return Summary(lam, runs, successes / runs, wilson_interval(successes, runs))
