"""The report's charts: the axes' ranges, and the places of marks."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gs_esd.report.charts import Chart, nice_ticks
from gs_esd.report.page import environment
from gs_esd.report.summaries import Point, means, rates

ends = st.floats(-1e6, 1e6)
SVG = environment().get_template("charts.html").module.svg


def draw(title: str, points: list[Point]) -> str:
    return str(SVG(Chart(title, points, means(points), "{:.4g}", "an interval")))


@given(ends, ends)
def test_ticks_enclose_range(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    ticks = nice_ticks(low, high)
    slack = 1e-6 * max(abs(low), abs(high))
    assert 2 <= len(ticks) <= 6
    assert ticks == sorted(set(ticks))
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack


@pytest.mark.parametrize("value", [0.0, 1e-13, -7.0, 1e12])
def test_ticks_of_single_value(value: float) -> None:
    ticks = nice_ticks(value, value)
    assert ticks[0] < value < ticks[-1]


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 1.0]), ends), min_size=1, max_size=9))
def test_marks_lie_between_axes(pairs: list[tuple[float, float]]) -> None:
    values = [Point(lam, value, "a run") for lam, value in pairs]
    drawn = draw("a metric", values)
    circles = re.findall(r'<circle class="[^"]+" cx="([^"]+)" cy="([^"]+)"', drawn)
    assert len(circles) == len(values) + len({lam for lam, _ in pairs})
    for x, y in circles:
        assert Chart.left <= float(x) <= Chart.right
        assert Chart.top - 0.1 <= float(y) <= Chart.bottom + 0.1


def test_axis_directions() -> None:
    values = [Point(0.0, 1.0, "a"), Point(1.0, 2.0, "b")]
    drawn = draw("a metric", values)
    low, high = re.findall(r'class="run-point" cx="([^"]+)" cy="([^"]+)"', drawn)
    assert float(low[0]) < float(high[0])
    assert float(low[1]) > float(high[1])


def test_chart_text_is_escaped() -> None:
    values = [Point(0.0, 1.0, '<b> "x"')]
    drawn = draw('<i> "y"', values)
    assert "<b>" not in drawn
    assert "<i>" not in drawn
    assert 'aria-label="&lt;i&gt; &#34;y&#34; against λ"' in drawn


def test_interval_of_single_run() -> None:
    (rate,) = rates([Point(1.0, 1.0, "a run")])
    assert rate.interval is not None
    assert rate.interval[0] < rate.middle == 1.0
    (mean,) = means([Point(1.0, 1.0, "a run")])
    assert mean.interval is None
