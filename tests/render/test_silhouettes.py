"""Cameras framed by the silhouette: its place and size in the rendering, and what stays."""

import math

import pytest
import torch
from gs_esd.render.silhouette_framing import (
    frame_by_silhouette,
    silhouette_boxes,
    with_resolution,
)
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Cameras, orbit_cameras
from gs_esd.render.renderings import render
from gs_esd.splats.parameters import init_ball


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
    left, top, right, bottom = boxes.unbind(1)
    pixel = 1 / 64
    torch.testing.assert_close(bottom - top, torch.full((4,), height), atol=1.5 * pixel, rtol=0)
    torch.testing.assert_close(0.5 * (left + right), torch.full((4,), 0.5), atol=pixel, rtol=0)
    torch.testing.assert_close(0.5 * (top + bottom), torch.full((4,), 0.5), atol=pixel, rtol=0)


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


def test_boxes_of_a_rectangle() -> None:
    alpha = torch.zeros(1, 40, 40)
    alpha[:, 10:30, 4:20] = 1
    boxes = silhouette_boxes(alpha)
    assert boxes[0].tolist() == pytest.approx([4 / 40, 10 / 40, 20 / 40, 30 / 40])


def test_boxes_at_the_border() -> None:
    assert silhouette_boxes(torch.ones(1, 8, 8))[0].tolist() == [0, 0, 1, 1]
