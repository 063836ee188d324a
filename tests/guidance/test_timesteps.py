"""Where on a schedule each policy draws, and when."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gs_esd.guidance.timesteps import (
    DrawTimesteps,
    dreamtime,
    hifa_sqrt,
    linear,
    two_stage,
    uniform,
)

LOW, HIGH = 0.02, 0.98
PAPER = {"m1": 0.8, "m2": 0.5, "s1": 0.3, "s2": 0.1}
FALLING = {
    "linear": linear(LOW, HIGH),
    "hifa_sqrt": hifa_sqrt(LOW, HIGH),
    "dreamtime": dreamtime(LOW, HIGH, **PAPER),
}


def drawn(policy: DrawTimesteps, progress: float, n: int = 4000) -> Tensor:
    return policy(n, progress, torch.Generator().manual_seed(0))


def at(policy: DrawTimesteps, progress: float) -> float:
    """The one t that a policy without chance gives."""
    t = drawn(policy, progress, 3)
    assert t.shape == (3,)
    assert (t == t[0]).all()
    return float(t[0])


def fills(t: Tensor, low: float, high: float) -> bool:
    """Whether each quarter of [low, high] holds a quarter of the numbers, and nothing else any."""
    if not low <= float(t.amin()) <= float(t.amax()) <= high:
        return False
    shares = torch.histc(t, 4, low, high) / len(t)
    return bool((shares - 0.25).abs().max() < 0.03)


@pytest.mark.parametrize("progress", [0.0, 0.3, 0.999])
def test_uniform_fills_its_range_all_the_time(progress: float) -> None:
    assert fills(drawn(uniform(LOW, HIGH), progress), LOW, HIGH)


def test_two_stage_leaves_the_noisier_part_at_the_switch() -> None:
    policy = two_stage(LOW, HIGH, 0.5, switch=0.2)
    for progress, high in ((0.0, HIGH), (0.199, HIGH), (0.2, 0.5), (0.99, 0.5)):
        assert fills(drawn(policy, progress), LOW, high)


@pytest.mark.parametrize("policy", [uniform(LOW, HIGH), two_stage(LOW, HIGH, 0.5, switch=0.2)])
def test_draws_are_repeatable_and_differ_within_a_batch(policy: DrawTimesteps) -> None:
    assert torch.equal(drawn(policy, 0.5, 8), drawn(policy, 0.5, 8))
    assert len(drawn(policy, 0.5, 8).unique()) == 8


@pytest.mark.parametrize("name", FALLING)
@given(progress=st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted))
def test_falling_policies_fall_from_the_maximum_to_the_minimum(
    name: str, progress: list[float]
) -> None:
    policy = FALLING[name]
    earlier, later = (at(policy, p) for p in progress)
    assert LOW - 1e-5 <= later <= earlier + 1e-6 <= HIGH + 1e-5
    assert at(policy, 0.0) == pytest.approx(HIGH)
    assert at(policy, 1.0) == pytest.approx(LOW)


def test_falling_policies_draw_nothing() -> None:
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    for policy in FALLING.values():
        policy(2, 0.5, generator)
    assert torch.equal(generator.get_state(), before)


def test_linear_is_half_way_at_half_time_and_hifa_at_a_quarter() -> None:
    middle = 0.5 * (LOW + HIGH)
    assert at(linear(LOW, HIGH), 0.5) == pytest.approx(middle)
    assert at(hifa_sqrt(LOW, HIGH), 0.25) == pytest.approx(middle)


def weight(t: float) -> float:
    """W(t) of DreamTime, case by case."""
    if t > 0.8:
        return math.exp(-((t - 0.8) ** 2) / (2 * 0.3**2))
    if t < 0.5:
        return math.exp(-((0.5 - t) ** 2) / (2 * 0.1**2))
    return 1.0


@pytest.mark.parametrize("progress", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_dreamtime_spends_the_share_of_the_weight_above_t(progress: float) -> None:
    t = at(FALLING["dreamtime"], progress)
    n = 20_000
    grid = [LOW + (HIGH - LOW) * (i + 0.5) / n for i in range(n)]
    above = sum(weight(each) for each in grid if each > t)
    assert above / sum(map(weight, grid)) == pytest.approx(progress, abs=1e-3)


def test_dreamtime_without_a_range_stays_where_it_is() -> None:
    policy = dreamtime(0.4, 0.4, **PAPER)
    assert [at(policy, progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx([0.4] * 3)
