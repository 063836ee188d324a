import torch

from gs_esd.registration.row_adam import RowAdam
from gs_esd.system.rng import stream

RATES = torch.tensor([0.1, 0.01, 0.3])


def test_steps_of_all_rows_are_those_of_adam() -> None:
    draw = stream(0, "test rows")
    start = torch.randn(4, 3, generator=draw)
    ours = RowAdam(start.clone(), RATES)
    columns = [torch.nn.Parameter(start[:, i].clone()) for i in range(3)]
    groups = [{"params": [c], "lr": float(r)} for c, r in zip(columns, RATES, strict=True)]
    theirs = torch.optim.Adam(groups, eps=1e-12)
    for _ in range(20):
        gradient = torch.randn(4, 3, generator=draw)
        ours.step(gradient, torch.arange(4), 1.0)
        for i, column in enumerate(columns):
            column.grad = gradient[:, i].clone()
        theirs.step()
    assert torch.allclose(ours.table, torch.stack(list(columns), dim=1), atol=1e-5)


def test_rows_outside_of_the_batch_keep_still() -> None:
    adam = RowAdam(torch.zeros(3, 3), RATES)
    adam.step(torch.ones(3, 3), torch.arange(3), 1.0)
    before = adam.table.clone()
    adam.step(torch.ones(1, 3), torch.tensor([1]), 1.0)
    assert torch.equal(adam.table[[0, 2]], before[[0, 2]])
    assert (adam.table[1] < before[1]).all()


def test_reset_rows_step_as_at_first() -> None:
    adam = RowAdam(torch.zeros(2, 3), RATES)
    for _ in range(5):
        adam.step(-torch.ones(2, 3), torch.arange(2), 1.0)
    adam.reset(torch.tensor([0]))
    before = adam.table[0].clone()
    adam.step(torch.full((1, 3), 7.0), torch.tensor([0]), 1.0)
    assert torch.allclose(adam.table[0], before - RATES)
