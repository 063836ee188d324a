"""Cameras on an orbit: matrices, intrinsics, sampling."""

import math
from dataclasses import replace

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


@pytest.mark.parametrize("height", [2.0, -2.0])
def test_camera_above_or_below_the_origin(height: float) -> None:
    [viewmat] = look_at_origin(torch.tensor([[0.0, 0.0, height]]))
    torch.testing.assert_close(viewmat[:3, :3] @ viewmat[:3, :3].T, torch.eye(3))
    assert torch.linalg.det(viewmat[:3, :3]) == pytest.approx(1)
    torch.testing.assert_close(viewmat[:3, 3], torch.tensor([0.0, 0.0, 2.0]))
    near = look_at_origin(torch.tensor([[1e-3, 0.0, height]]))[0]  # at azimuth 0
    torch.testing.assert_close(viewmat, near, atol=2e-3, rtol=0)


@pytest.mark.parametrize("elevation_deg", [-90, -89, 89, 89.9, 90])
def test_steep_elevations_are_finite(elevation_deg: float) -> None:
    elevation = torch.full((6,), math.radians(elevation_deg))
    cameras = orbit_cameras(torch.arange(6.0), elevation, distance=3.0, fov=0.7, resolution=8)
    rotation = cameras.viewmats[:, :3, :3]
    torch.testing.assert_close(
        rotation @ rotation.mT, torch.eye(3).expand(6, 3, 3), atol=1e-5, rtol=0
    )


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


JITTERED = replace(ORBIT, distance_jitter=0.2, fov_jitter=math.radians(15))


def _fov(cameras: Cameras) -> torch.Tensor:
    return 2 * (0.5 * cameras.width / cameras.Ks[:, 0, 0]).atan()


def test_jittered_fields_of_view_and_distances_fill_their_ranges() -> None:
    generator = torch.Generator().manual_seed(0)
    cameras = sample_orbit(2000, JITTERED, 16, generator)
    uniform = (torch.arange(2000) + 0.5) / 2000
    fov, distance = _fov(cameras), cameras.viewmats[:, 2, 3]
    expected = ORBIT.fov + JITTERED.fov_jitter * (2 * uniform - 1)
    torch.testing.assert_close(fov.sort().values, expected, atol=0.02, rtol=0)
    relative = distance / JITTERED.distance_at(fov)
    torch.testing.assert_close(
        relative.sort().values, 1 + 0.2 * (2 * uniform - 1), atol=0.02, rtol=0
    )
    assert abs(float(torch.corrcoef(torch.stack([fov, relative]))[0, 1])) < 0.1


def test_object_keeps_its_size_at_every_field_of_view() -> None:
    cameras = sample_orbit(32, replace(JITTERED, distance_jitter=0.0), 64, torch.Generator())
    pixels_per_unit = cameras.Ks[:, 0, 0] / cameras.viewmats[:, 2, 3]
    usual = turntable(1, 0.0, ORBIT, 64)
    expected = usual.Ks[0, 0, 0] / usual.viewmats[0, 2, 3]
    torch.testing.assert_close(pixels_per_unit, expected.expand(32))
    assert float(_fov(cameras).std()) > 0.1


@pytest.mark.parametrize("name", ["distance_jitter", "fov_jitter"])
def test_jitter_leaves_angles_as_they_are_and_none_draws_nothing(name: str) -> None:
    plain, jittered = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    cameras = sample_orbit(8, ORBIT, 16, plain)
    others = sample_orbit(8, replace(ORBIT, **{name: 0.1}), 16, jittered)
    assert torch.equal(cameras.azimuth, others.azimuth)
    assert torch.equal(cameras.elevation, others.elevation)
    drawn = torch.Generator().manual_seed(0)
    torch.rand(1, generator=drawn)
    torch.rand(8, generator=drawn)
    assert torch.equal(plain.get_state(), drawn.get_state())
    assert not torch.equal(jittered.get_state(), drawn.get_state())


def test_turntable_takes_the_middle_of_the_ranges() -> None:
    usual, jittered = turntable(4, 0.3, ORBIT, 8), turntable(4, 0.3, JITTERED, 8)
    assert torch.equal(usual.viewmats, jittered.viewmats)
    assert torch.equal(usual.Ks, jittered.Ks)
