import torch

from gs_esd.registration.jumps import jumping, neighbours


def test_pairs_of_neighbours_reach_around_the_circle() -> None:
    azimuth = torch.tensor([0.1, 3.0, 1.0, 2.0, 6.0])
    pairs = [
        {frozenset(pair) for pair in torch.stack(neighbours(azimuth, first), dim=1).tolist()}
        for first in (0, 1)
    ]
    assert pairs[0] == {frozenset({0, 2}), frozenset({3, 1})}
    assert pairs[1] == {frozenset({2, 3}), frozenset({1, 4})}


def test_few_photographs_jump_at_a_time() -> None:
    ratio = torch.linspace(0.1, 1.2, 40)
    assert jumping(ratio).tolist() == [0, 1, 2, 3]
    assert jumping(torch.tensor([0.95, 0.5, 1.0])).tolist() == [1]
    assert jumping(torch.ones(40)).tolist() == []
