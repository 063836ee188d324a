"""The ring of recent renderings."""

import pytest
import torch

from gs_esd.cameras.orbit import Cameras
from gs_esd.variational.ring_buffer import RingBuffer
from tests.helpers.small_images import views_from


def _cameras(azimuths: list[float]) -> Cameras:
    return views_from(torch.tensor(azimuths)).cameras


def _filled(memory: int, batches: int) -> RingBuffer:
    """Batches of two rows: 0 and 1, then 2 and 3, ... which is also their azimuth times ten."""
    recent = RingBuffer(memory)
    for i in range(batches):
        row = torch.tensor([2.0 * i, 2.0 * i + 1])
        recent.take(_cameras((row / 10).tolist()), row=row, twice=2 * row)
    return recent


@pytest.mark.parametrize(
    ("memory", "batches", "held"),
    [
        (0, 3, {4, 5}),
        (1, 1, {0, 1}),
        (1, 2, {1, 2, 3}),
        (3, 2, {0, 1, 2, 3}),
        (3, 9, set(range(13, 18))),
    ],
)
def test_it_holds_the_batch_and_the_last_rows_before_it(
    memory: int, batches: int, held: set[int]
) -> None:
    recent = _filled(memory, batches)
    assert set(recent["row"].tolist()) == held
    assert len(recent) == len(held)
    assert torch.equal(recent["twice"], 2 * recent["row"])


def test_nothing_is_held_at_first() -> None:
    assert len(RingBuffer(buffer_size=3)) == 0


def test_rows_are_found_by_their_camera() -> None:
    recent = _filled(buffer_size=3, batches=4)
    asked = _cameras([0.2, 0.4, 0.7])
    found = recent.from_same_camera(asked)
    assert [recent["row"][row].tolist() for row in found] == [[], [4.0], [7.0]]


@pytest.mark.parametrize("shape", [(2, 3), (3,)])
def test_rows_of_another_shape_or_number_begin_anew(shape: tuple[int, ...]) -> None:
    recent = _filled(buffer_size=3, batches=3)
    recent.take(_cameras([0.0] * shape[0]), row=torch.ones(shape), twice=torch.ones(shape))
    assert torch.equal(recent["row"], torch.ones(shape))


def test_a_state_taken_back_goes_on_alike_and_is_not_shared() -> None:
    recent, resumed = _filled(buffer_size=3, batches=2), RingBuffer(buffer_size=3)
    state = recent.state_dict()
    resumed.load_state_dict(state)
    for each in (recent, resumed):
        each.take(_cameras([1.0, 2.0]), row=torch.tensor([8.0, 9.0]), twice=torch.zeros(2))
        assert set(each["row"].tolist()) == {1.0, 2.0, 3.0, 8.0, 9.0}
    assert torch.equal(recent["row"], resumed["row"])
    assert torch.equal(recent["viewmats"], resumed["viewmats"])
