import pytest
import torch

from gs_esd.registration.boxes import centre_boxes, silhouette_boxes
from gs_esd.registration.search import render_rgba
from tests.helpers.turntable_photos import cameras_at, even_azimuths, orbit, random_splats


def soft_rectangle(left: float, top: float, right: float, bottom: float, side: int) -> torch.Tensor:
    """Alpha of a rectangle in pixels, each pixel the area that is covered."""

    def covered(low: float, high: float) -> torch.Tensor:
        pixels = torch.arange(side, dtype=torch.float32)
        return (torch.clamp(pixels + 1, max=high) - torch.clamp(pixels, min=low)).clamp(0, 1)

    return covered(top, bottom)[:, None] * covered(left, right)


def test_boxes_to_a_fraction_of_a_pixel() -> None:
    alpha = soft_rectangle(4.25, 6.5, 20.5, 27.75, 32)
    box = silhouette_boxes(alpha[None])[0]
    expected = [(4.25 + 20.5) / 64 - 0.5, (6.5 + 27.75) / 64 - 0.5, (27.75 - 6.5) / 32]
    assert box.tolist() == pytest.approx(expected, abs=0.3 / 32)


def test_box_of_a_silhouette_that_leaves_the_frame() -> None:
    assert silhouette_boxes(torch.ones(1, 16, 16))[0].tolist() == pytest.approx([0, 0, 1])


def test_box_of_nothing_is_the_frame() -> None:
    assert silhouette_boxes(torch.zeros(1, 16, 16))[0].tolist() == pytest.approx([0, 0, 1])


def test_centred_boxes_are_in_the_middle_and_equally_high() -> None:
    splats, cameras = random_splats(), cameras_at(even_azimuths(8), orbit(20), 64)
    with torch.no_grad():
        boxes = silhouette_boxes(render_rgba(splats, cameras)[:, 3])
        rgba = render_rgba(splats, centre_boxes(cameras, boxes, 0.6))
    centred = silhouette_boxes(rgba[:, 3])
    assert centred[:, :2].abs().max() < 0.5 / 64
    assert (centred[:, 2] - 0.6).abs().max() < 1 / 64
    assert boxes[:, :2].abs().max() > 1.5 / 64  # they were not before
