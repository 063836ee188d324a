"""Cameras on an orbit: matrices, intrinsics, sampling."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gs_esd.cameras.orbit import (
    Cameras,
    Orbit,
    intrinsics,
    look_at_origin,
    orbit_cameras,
    sample_orbit,
    turntable,
)
from gs_esd.cameras.views import Views

ORBIT = Orbit(distance=3.0, fov=math.radians(40), elevation_min=-0.1, elevation_max=0.5)
ANGLES = {"azimuth": st.floats(-10, 10), "elevation": st.floats(-1.5, 1.5)}


def _camera(azimuth: float, elevation: float, distance: float = 3.0) -> Cameras:
    return orbit_cameras(
        torch.tensor([azimuth], dtype=torch.float64),
        torch.tensor([elevation], dtype=torch.float64),
        distance=distance,
        fov=math.radians(40),
        resolution=64,
    )


def _to_camera(cameras: Cameras, point: list[float]) -> torch.Tensor:
    """A world point in the first camera's axes: x right, y down, z forward."""
    viewmat = cameras.viewmats[0]
    return viewmat[:3, :3] @ torch.tensor(point).to(viewmat) + viewmat[:3, 3]


def test_front_camera() -> None:
    front = _camera(0.0, 0.0)
    torch.testing.assert_close(_to_camera(front, [0, 0, 0]), torch.tensor([0.0, 0, 3]).double())
    torch.testing.assert_close(_to_camera(front, [1, 0, 0]), torch.tensor([0.0, 0, 2]).double())
    torch.testing.assert_close(_to_camera(front, [0, 1, 0]), torch.tensor([1.0, 0, 3]).double())
    torch.testing.assert_close(_to_camera(front, [0, 0, 1]), torch.tensor([0.0, -1, 3]).double())


def test_side_camera() -> None:
    side = _camera(math.pi / 2, 0.0)
    torch.testing.assert_close(_to_camera(side, [0, 1, 0]), torch.tensor([0.0, 0, 2]).double())
    torch.testing.assert_close(_to_camera(side, [1, 0, 0]), torch.tensor([-1.0, 0, 3]).double())


@given(**ANGLES, distance=st.floats(0.5, 20))
def test_viewmats_are_rigid_and_face_the_origin(
    azimuth: float, elevation: float, distance: float
) -> None:
    cameras = _camera(azimuth, elevation, distance)
    rotation = cameras.viewmats[0, :3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3).double(), atol=1e-9, rtol=0)
    assert torch.linalg.det(rotation) == pytest.approx(1)
    assert cameras.viewmats[0, 3].tolist() == [0, 0, 0, 1]
    ahead = torch.tensor([0.0, 0, distance], dtype=torch.float64)
    torch.testing.assert_close(_to_camera(cameras, [0, 0, 0]), ahead, atol=1e-9, rtol=1e-9)
    assert rotation[0, 2] == pytest.approx(0, abs=1e-9)  # the horizon is level
    assert rotation[1, 2] < 0  # and the world is not upside down


@given(**ANGLES)
def test_angles_of_viewmats(azimuth: float, elevation: float) -> None:
    cameras = _camera(azimuth, elevation)
    x, y, z = (torch.linalg.inv(cameras.viewmats[0])[:3, 3] / 3).tolist()
    assert math.asin(max(-1.0, min(1.0, z))) == pytest.approx(elevation, abs=1e-6)
    turn = math.atan2(y, x) - azimuth
    assert math.cos(turn) == pytest.approx(1)
    assert math.sin(turn) == pytest.approx(0, abs=1e-6)
    assert float(cameras.azimuth[0]) == azimuth
    assert float(cameras.elevation[0]) == elevation


def test_camera_above_the_origin() -> None:
    assert not look_at_origin(torch.tensor([[0.0, 0.0, 2.0]])).isfinite().all()


@given(fov=st.floats(0.1, 2.5), resolution=st.integers(1, 512))
def test_intrinsics(fov: float, resolution: int) -> None:
    edge = math.tan(fov / 2)
    corners = torch.tensor([[-edge, -edge, 1], [0, 0, 1], [edge, edge, 1]])
    pixels = corners @ intrinsics(fov, resolution).T
    expected = torch.tensor([0, resolution / 2, resolution])
    torch.testing.assert_close(pixels[:, 0], expected, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(pixels[:, 1], expected, atol=1e-3, rtol=1e-4)


def test_sample_orbit_is_evenly_spaced() -> None:
    cameras = sample_orbit(8, ORBIT, 16, torch.Generator().manual_seed(0))
    assert len(cameras) == 8
    assert (cameras.width, cameras.height) == (16, 16)
    torch.testing.assert_close(cameras.azimuth.diff(), torch.full((7,), math.pi / 4))


@pytest.mark.parametrize("which", [0, 3])
def test_sample_orbit_is_uniform(which: int) -> None:
    generator = torch.Generator().manual_seed(0)
    batches = [sample_orbit(4, ORBIT, 8, generator) for _ in range(400)]
    # Four evenly spaced cameras: each is uniform over its own quarter.
    azimuth = torch.stack([batch.azimuth[which] for batch in batches]) / (math.pi / 2) - which
    elevation = torch.stack([batch.elevation[which] for batch in batches])
    uniform = (torch.arange(400) + 0.5) / 400
    torch.testing.assert_close(azimuth.sort().values, uniform, atol=0.08, rtol=0)
    torch.testing.assert_close((elevation.sort().values + 0.1) / 0.6, uniform, atol=0.08, rtol=0)


def test_turntable() -> None:
    cameras = turntable(4, 0.3, ORBIT, 8)
    quarter = math.pi / 2
    torch.testing.assert_close(
        cameras.azimuth, torch.tensor([0, quarter, 2 * quarter, 3 * quarter])
    )
    torch.testing.assert_close(cameras.elevation, torch.full((4,), 0.3))
    depth = cameras.viewmats[:, 2, 3]
    torch.testing.assert_close(depth, torch.full((4,), 3.0))


@pytest.mark.parametrize("part", [slice(1, 3), torch.tensor([4, 0, 0])], ids=str)
def test_indexing(part: slice | torch.Tensor) -> None:
    cameras = turntable(5, 0.3, ORBIT, 8)
    views = Views(cameras, torch.tensor([0.1, 0.2, 0.3]))
    for some in (cameras[part].to("cpu"), views[part].cameras):
        assert (some.width, some.height) == (8, 8)
        for name in ("viewmats", "Ks", "azimuth", "elevation"):
            assert torch.equal(getattr(some, name), getattr(cameras, name)[part])
    assert torch.equal(views[part].background, views.background)
