"""The ring buffer of buffer renderings."""

import pytest
import torch

from gs_esd.cameras.orbit import Cameras
from gs_esd.variational.ring_buffer import RingBuffer
from tests.helpers.small_images import views_from


def _cameras(azimuths: list[float]) -> Cameras:
    return views_from(torch.tensor(azimuths)).cameras


def _filled(buffer_size: int, batches: int) -> RingBuffer:
    """Batches of two rows: 0 and 1, then 2 and 3, ... which is also their azimuth times ten."""
    buffer = RingBuffer(buffer_size)
    for i in range(batches):
        row = torch.tensor([2.0 * i, 2.0 * i + 1])
        buffer.append(_cameras((row / 10).tolist()), row=row, twice=2 * row)
    return buffer


@pytest.mark.parametrize(
    ("buffer_size", "batches", "held"),
    [
        (0, 3, {4, 5}),
        (1, 1, {0, 1}),
        (1, 2, {1, 2, 3}),
        (3, 2, {0, 1, 2, 3}),
        (3, 9, set(range(13, 18))),
    ],
)
def test_rows_of_batch_and_buffer(buffer_size: int, batches: int, held: set[int]) -> None:
    buffer = _filled(buffer_size, batches)
    assert set(buffer["row"].tolist()) == held
    assert len(buffer) == len(held)
    assert torch.equal(buffer["twice"], 2 * buffer["row"])


def test_empty_buffer() -> None:
    assert len(RingBuffer(buffer_size=3)) == 0


def test_from_same_camera() -> None:
    buffer = _filled(buffer_size=3, batches=4)
    cameras = _cameras([0.2, 0.4, 0.7])
    found = buffer.from_same_camera(cameras)
    assert [buffer["row"][row].tolist() for row in found] == [[], [4.0], [7.0]]


@pytest.mark.parametrize("shape", [(2, 3), (3,)])
def test_rows_of_another_shape(shape: tuple[int, ...]) -> None:
    buffer = _filled(buffer_size=3, batches=3)
    buffer.append(_cameras([0.0] * shape[0]), row=torch.ones(shape), twice=torch.ones(shape))
    assert torch.equal(buffer["row"], torch.ones(shape))


def test_state_dict() -> None:
    buffer, resumed = _filled(buffer_size=3, batches=2), RingBuffer(buffer_size=3)
    state = buffer.state_dict()
    resumed.load_state_dict(state)
    for each in (buffer, resumed):
        each.append(_cameras([1.0, 2.0]), row=torch.tensor([8.0, 9.0]), twice=torch.zeros(2))
        assert set(each["row"].tolist()) == {1.0, 2.0, 3.0, 8.0, 9.0}
    assert torch.equal(buffer["row"], resumed["row"])
    assert torch.equal(buffer["viewmats"], resumed["viewmats"])
