"""Small charts against λ as inline SVG; their colours are page.css's."""

import math
from collections.abc import Sequence
from html import escape

from gs_esd.report.summaries import Point, Summary

WIDTH, HEIGHT = 300, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 34
"""Pixels around what is drawn, for the axes' numbers."""
MOST_LABELS = 6


class _Scale:
    """From values to pixels."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float) -> str:
        share = (value - self.low) / (self.high - self.low)
        return f"{self.start + share * (self.end - self.start):.1f}"


def chart(title: str, values: Sequence[Point], summaries: Sequence[Summary]) -> str:
    """Draw an SVG of points, their summaries with intervals, and axes. There must be a summary.

    What it shows is also text: every point has a title, the caller lists the summaries.
    """
    lambdas = [summary.lam for summary in summaries]
    ticks = nice_ticks(*_range(values, summaries))
    margin = 0.08 * (lambdas[-1] - lambdas[0]) or 0.5
    x = _Scale(lambdas[0] - margin, lambdas[-1] + margin, LEFT, WIDTH - RIGHT)
    y = _Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    drawn = [*_axes(x, y, lambdas, ticks), *_points(x, y, values), *_summaries(x, y, summaries)]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)} against λ">'
        f"{''.join(drawn)}</svg>"
    )


def nice_ticks(low: float, high: float, at_most: int = 5) -> list[float]:
    """Evenly spaced round numbers, at least two, that begin at or below low and end beyond high."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # one value, up to rounding
        low, high = low - 0.5 * (abs(low) or 1), low + 0.5 * (abs(low) or 1)
    rough = (high - low) / (at_most - 1)
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * times for times in (1, 2, 2.5, 5, 10, 20) if unit * times >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def _range(values: Sequence[Point], summaries: Sequence[Summary]) -> tuple[float, float]:
    ends = [end for summary in summaries for end in summary.interval or (summary.middle,)]
    everything = [*ends, *(point.value for point in values)]
    return min(everything), max(everything)


def _axes(x: _Scale, y: _Scale, lambdas: Sequence[float], ticks: Sequence[float]) -> list[str]:
    lines = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick)}" y2="{y(tick)}"/>'
        f'<text x="{LEFT - 6}" y="{y(tick)}" dy="4" text-anchor="end">{tick:g}</text>'
        for tick in ticks
    ]
    every = -(-len(lambdas) // MOST_LABELS)
    names = [
        f'<text x="{x(lam)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{lam:g}</text>'
        for lam in lambdas[::every]
    ]
    return [*lines, *names, f'<text x="{WIDTH / 2:g}" y="{HEIGHT - 3}">λ</text>']


def _points(x: _Scale, y: _Scale, values: Sequence[Point]) -> list[str]:
    return [
        f'<circle class="run-point" cx="{x(point.lam)}" cy="{y(point.value)}" r="3.5">'
        f"<title>{escape(point.label)}: {point.value:.4g}</title></circle>"
        for point in values
    ]


def _summaries(x: _Scale, y: _Scale, summaries: Sequence[Summary]) -> list[str]:
    path = " ".join(f"{x(each.lam)},{y(each.middle)}" for each in summaries)
    intervals = [
        f'<line class="interval" x1="{x(each.lam)}" x2="{x(each.lam)}" '
        f'y1="{y(each.interval[0])}" y2="{y(each.interval[1])}"/>'
        for each in summaries
        if each.interval
    ]
    dots = [
        f'<circle class="middle" cx="{x(each.lam)}" cy="{y(each.middle)}" r="4"/>'
        for each in summaries
    ]
    return [f'<polyline class="middle-line" points="{path}"/>', *intervals, *dots]
