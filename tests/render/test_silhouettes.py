"""Cameras framed by the silhouette: its place and size in the rendering, and what stays."""

import math

import pytest
import torch
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Cameras, orbit_cameras
from gs_esd.registration.search import render_rgba
from gs_esd.render.renderings import render
from gs_esd.render.silhouettes import (
    centre_boxes,
    frame_by_silhouette,
    silhouette_boxes,
    with_resolution,
)
from gs_esd.splats.parameters import init_ball
from tests.helpers.turntable_photos import cameras_at, even_azimuths, orbit, random_splats


def _cameras(resolution: int = 64) -> Cameras:
    azimuth = torch.tensor([0.0, 1.0, 2.5, 4.0])
    elevation = torch.full((4,), 0.3)
    return orbit_cameras(
        azimuth, elevation, distance=3.0, fov=math.radians(40), resolution=resolution
    )


def _splats(offset: tuple[float, float, float] = (0.3, -0.2, 0.25)) -> ParameterDict:
    splats = init_ball(
        300, radius=0.4, opacity=0.9, sh_degree=0, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        splats["means"] += torch.tensor(offset)
    return splats


@pytest.mark.parametrize("height", [0.4, 0.7])
def test_silhouettes_are_centred_and_equally_tall(height: float) -> None:
    splats = _splats()
    framed = frame_by_silhouette(splats, _cameras(), height)
    boxes = silhouette_boxes(render(splats, framed).alpha.detach()[..., 0])
    pixel = 1 / 64
    torch.testing.assert_close(boxes[:, 2], torch.full((4,), height), atol=1.5 * pixel, rtol=0)
    assert boxes[:, :2].abs().max() < pixel


def test_only_intrinsics_change() -> None:
    cameras = _cameras()
    framed = frame_by_silhouette(_splats(), cameras, 0.5)
    assert framed.viewmats is cameras.viewmats
    assert (framed.width, framed.height) == (64, 64)
    torch.testing.assert_close(framed.Ks[:, 0, 0], framed.Ks[:, 1, 1])


def test_nothing_to_see() -> None:
    splats = _splats()
    with torch.no_grad():
        splats["opacities"].fill_(-30.0)
    cameras = _cameras()
    assert torch.equal(frame_by_silhouette(splats, cameras, 0.5).Ks, cameras.Ks)


def test_faint_splats_have_silhouettes() -> None:
    """The ball that a run begins with is hardly opaque anywhere."""
    splats = _splats()
    with torch.no_grad():
        splats["opacities"].fill_(-4.0)
    cameras = _cameras()
    assert not torch.equal(frame_by_silhouette(splats, cameras, 0.5).Ks, cameras.Ks)


def test_resolution_keeps_the_view() -> None:
    splats, cameras = _splats(), _cameras(64)
    small, whole = (
        silhouette_boxes(render(splats, each).alpha.detach()[..., 0])
        for each in (with_resolution(cameras, 32), cameras)
    )
    torch.testing.assert_close(small, whole, atol=1 / 32, rtol=0)


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
