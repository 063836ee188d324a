"""The judge of the zoo benchmark: what it calls coherent."""

import math

import pytest
import torch

from benchmarks.quality.judge import RENDERINGS, coherence, in_place
from benchmarks.quality.zoo import Outcome, to_table

CAMERAS = 2 * math.pi * torch.arange(RENDERINGS) / RENDERINGS


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("turn", [0.0, 1.0, 3.0])
def test_views_in_order_are_coherent_however_the_whole_is_turned_or_mirrored(
    sign: int, turn: float
) -> None:
    assert coherence(sign * CAMERAS + turn, CAMERAS) == pytest.approx(1, abs=1e-5)


def test_one_view_from_everywhere_is_not_coherent() -> None:
    assert coherence(torch.full_like(CAMERAS, 2.0), CAMERAS) < 1e-5


def test_two_opposite_views_reach_at_most_two_over_pi() -> None:
    halves = torch.where(torch.arange(RENDERINGS) < RENDERINGS // 2, 0.5 * math.pi, 1.5 * math.pi)
    assert coherence(halves, CAMERAS) == pytest.approx(2 / math.pi, abs=0.01)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("wrong", [0, 1, 3])
def test_views_in_place_are_counted_whatever_the_turn(sign: int, wrong: int) -> None:
    matched = sign * CAMERAS + 2.0 + 0.2 * torch.sin(5 * CAMERAS)
    matched[:wrong] += 2.0 + torch.arange(wrong)  # each by another angle
    assert in_place(matched, CAMERAS) == RENDERINGS - wrong


def test_a_few_of_one_or_two_views_are_in_place_by_chance() -> None:
    one = torch.full_like(CAMERAS, 1.0)
    two = torch.where(torch.arange(RENDERINGS) < RENDERINGS // 2, 0.5 * math.pi, 1.5 * math.pi)
    assert in_place(one, CAMERAS) == 3
    assert in_place(two, CAMERAS) == 6


def test_the_table_counts_runs_on_either_side_of_the_bars() -> None:
    outcomes = [
        Outcome("owl", 0, 0.0, 0.6, 20.0, 100, 10.0),
        Outcome("owl", 0, 1.0, 0.99, 28.0, 100, 10.0),
        Outcome("owl", 1, 1.0, 0.94, 24.0, 100, 10.0),
    ]
    table = to_table(outcomes)
    assert "| owl | 0.60 | 20.0 | 0.99 / 0.94 | 28.0 / 24.0 |" in table
    assert "λ=0: coherence ≥ 0.95 in 0 and ≤ 0.5 in 0 of 1 runs" in table
    assert "λ=1: coherence ≥ 0.95 in 1 and ≤ 0.5 in 0 of 2 runs" in table
