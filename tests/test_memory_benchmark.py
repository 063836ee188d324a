"""The count of allocations behind the memory table."""

import torch
from torch import nn

from benchmarks.memory import AllocationCount

MEGABYTE = 2**20


def test_it_counts_what_is_held_and_the_most_there_was() -> None:
    count = AllocationCount([])
    with count:
        kept = torch.zeros(MEGABYTE, dtype=torch.uint8)
        other = torch.zeros(MEGABYTE, dtype=torch.uint8)
        total = kept + other
        del other, total
        view = kept[: MEGABYTE // 2]
    assert count.held == MEGABYTE
    assert count.most == 3 * MEGABYTE
    assert len(view) == MEGABYTE // 2


def test_weights_and_views_of_them_do_not_count() -> None:
    layer = nn.Linear(1000, 1000, bias=False)
    count = AllocationCount(list(layer.parameters()))
    with count, torch.no_grad():
        answer = layer(torch.zeros(1, 1000))
    assert count.most < 0.01 * layer.weight.nbytes
    assert count.held == answer.nbytes


def test_a_gradient_keeps_activations() -> None:
    layers = nn.Sequential(*(nn.Sequential(nn.Linear(64, 64), nn.Sigmoid()) for _ in range(8)))
    x = torch.zeros(256, 64)

    def most(*, gradient: bool) -> int:
        count = AllocationCount(list(layers.parameters()))
        with count, torch.set_grad_enabled(gradient):
            layers(x)
        return count.most

    assert most(gradient=True) >= 8 * x.nbytes
    assert most(gradient=False) <= 3 * x.nbytes
