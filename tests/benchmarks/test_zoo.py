"""Coherence and sides in place, as the zoo benchmark counts them."""

import math

import pytest
import torch

from benchmarks.quality.view_evaluation import NUM_RENDERINGS, coherence, count_in_place
from benchmarks.quality.zoo import Outcome, to_table

CAMERAS = 2 * math.pi * torch.arange(NUM_RENDERINGS) / NUM_RENDERINGS


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("turn", [0.0, 1.0, 3.0])
def test_coherence_of_turned_and_mirrored_views(sign: int, turn: float) -> None:
    assert coherence(sign * CAMERAS + turn, CAMERAS) == pytest.approx(1, abs=1e-5)


def test_coherence_of_one_view_everywhere() -> None:
    assert coherence(torch.full_like(CAMERAS, 2.0), CAMERAS) < 1e-5


def test_coherence_of_two_opposite_views() -> None:
    halves = torch.where(
        torch.arange(NUM_RENDERINGS) < NUM_RENDERINGS // 2, 0.5 * math.pi, 1.5 * math.pi
    )
    assert coherence(halves, CAMERAS) == pytest.approx(2 / math.pi, abs=0.01)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("wrong", [0, 1, 3])
def test_count_in_place_of_turned_views(sign: int, wrong: int) -> None:
    matched = sign * CAMERAS + 2.0 + 0.2 * torch.sin(5 * CAMERAS)
    matched[:wrong] += 2.0 + torch.arange(wrong)  # each by another angle
    assert count_in_place(matched, CAMERAS) == NUM_RENDERINGS - wrong


def test_count_in_place_by_chance() -> None:
    one = torch.full_like(CAMERAS, 1.0)
    two = torch.where(
        torch.arange(NUM_RENDERINGS) < NUM_RENDERINGS // 2, 0.5 * math.pi, 1.5 * math.pi
    )
    assert count_in_place(one, CAMERAS) == 3
    assert count_in_place(two, CAMERAS) == 6


def test_table_counts_coherent_runs() -> None:
    outcomes = [
        Outcome("owl", 0, 0.0, 0.6, 20.0, 100, 10.0),
        Outcome("owl", 0, 1.0, 0.99, 28.0, 100, 10.0),
        Outcome("owl", 1, 1.0, 0.94, 24.0, 100, 10.0),
    ]
    table = to_table(outcomes)
    assert "| owl | 0.60 | 20.0 | 0.99 / 0.94 | 28.0 / 24.0 |" in table
    assert "λ=0: coherence ≥ 0.95 in 0 and ≤ 0.5 in 0 of 1 runs" in table
    assert "λ=1: coherence ≥ 0.95 in 1 and ≤ 0.5 in 0 of 2 runs" in table
