"""Small charts against λ: axes and scales. templates/charts.html draws them as inline SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from gs_esd.report.summaries import Point, Summary

MAX_LABELS = 6
"""Of λ on the axis; of more λ, every second or third is labelled."""


@dataclass(frozen=True)
class Chart:
    """Values of runs against λ, and their summaries, of which there is at least one.

    Attributes:
        number_format: Of the summaries, in the table below the chart.
        interval_name: What the summaries' intervals are.
    """

    title: str
    points: Sequence[Point]
    summaries: Sequence[Summary]
    number_format: str
    interval_name: str

    width: ClassVar[int] = 300
    height: ClassVar[int] = 190
    left: ClassVar[int] = 46
    right: ClassVar[int] = 288
    top: ClassVar[int] = 10
    bottom: ClassVar[int] = 156
    """Pixels: the drawing, and the area in it that the axes enclose."""

    @cached_property
    def ticks(self) -> list[float]:
        """Values on the vertical axis; its ends enclose all points and intervals."""
        ends = [end for each in self.summaries for end in each.interval or (each.middle,)]
        values = [*ends, *(point.value for point in self.points)]
        return nice_ticks(min(values), max(values))

    @property
    def labelled_lambdas(self) -> list[float]:
        """Values of λ on the horizontal axis."""
        lambdas = [each.lam for each in self.summaries]
        return lambdas[:: -(-len(lambdas) // MAX_LABELS)]

    def x(self, lam: float) -> str:
        """The pixel column of a λ."""
        low, high = self.summaries[0].lam, self.summaries[-1].lam
        margin = 0.08 * (high - low) or 0.5
        share = (lam - low + margin) / (high - low + 2 * margin)
        return f"{self.left + share * (self.right - self.left):.1f}"

    def y(self, value: float) -> str:
        """The pixel row of a value."""
        share = (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return f"{self.bottom + share * (self.top - self.bottom):.1f}"

    def text(self, value: float) -> str:
        """A value of a summary in words."""
        return self.number_format.format(value)


def nice_ticks(low: float, high: float, at_most: int = 5) -> list[float]:
    """Evenly spaced round numbers, at least two; they begin at or below low and end above high."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # one value, up to rounding
        low, high = low - 0.5 * (abs(low) or 1), low + 0.5 * (abs(low) or 1)
    rough = (high - low) / (at_most - 1)
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * times for times in (1, 2, 2.5, 5, 10, 20) if unit * times >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]
