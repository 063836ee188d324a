"""The report's charts: axes that hold everything, marks where the numbers are."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gs_esd.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, chart, nice_ticks
from gs_esd.report.summaries import Point, means, rates

ends = st.floats(-1e6, 1e6)


@given(ends, ends)
def test_ticks_are_few_and_hold_the_range(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    ticks = nice_ticks(low, high)
    slack = 1e-6 * max(abs(low), abs(high))
    assert 2 <= len(ticks) <= 6
    assert ticks == sorted(set(ticks))
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack


@pytest.mark.parametrize("value", [0.0, 1e-13, -7.0, 1e12])
def test_ticks_of_a_single_value_surround_it(value: float) -> None:
    ticks = nice_ticks(value, value)
    assert ticks[0] < value < ticks[-1]


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 1.0]), ends), min_size=1, max_size=9))
def test_every_mark_lies_between_the_axes(pairs: list[tuple[float, float]]) -> None:
    values = [Point(lam, value, "a run") for lam, value in pairs]
    drawn = chart("a metric", values, means(values))
    circles = re.findall(r'<circle class="[^"]+" cx="([^"]+)" cy="([^"]+)"', drawn)
    assert len(circles) == len(values) + len({lam for lam, _ in pairs})
    for x, y in circles:
        assert LEFT <= float(x) <= WIDTH - RIGHT
        assert TOP - 0.1 <= float(y) <= HEIGHT - BOTTOM + 0.1


def test_more_is_higher_and_a_larger_lambda_further_right() -> None:
    values = [Point(0.0, 1.0, "a"), Point(1.0, 2.0, "b")]
    drawn = chart("a metric", values, means(values))
    low, high = re.findall(r'class="run-point" cx="([^"]+)" cy="([^"]+)"', drawn)
    assert float(low[0]) < float(high[0])
    assert float(low[1]) > float(high[1])


def test_titles_and_labels_are_escaped() -> None:
    values = [Point(0.0, 1.0, '<b> "x"')]
    drawn = chart('<i> "y"', values, means(values))
    assert "<b>" not in drawn
    assert "<i>" not in drawn
    assert 'aria-label="&lt;i&gt; &quot;y&quot; against λ"' in drawn


def test_a_rate_has_an_interval_even_of_one_run() -> None:
    (rate,) = rates([Point(1.0, 1.0, "a run")])
    assert rate.interval is not None
    assert rate.interval[0] < rate.middle == 1.0
    (mean,) = means([Point(1.0, 1.0, "a run")])
    assert mean.interval is None
