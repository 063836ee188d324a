"""Axes of files: renderings stay the same, highlights included."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gs_esd.cameras.orbit import Cameras, Orbit, turntable
from gs_esd.export.axes import FileAxes
from gs_esd.export.frames import (
    FILE_FROM_WORLD,
    FILE_FROM_WORLD_QUAT,
    multiply_quats,
    pad_sh,
    rotate_sh,
    unit_quats,
)
from gs_esd.export.ply import load_splats, save_splats
from gs_esd.render.renderings import render
from tests.helpers.splat_files import WORLD_FROM_FILE, colorful_splats, raw_splats, raw_table

ORBIT = Orbit(distance=3.0, fov=0.7, elevation_min=0.0, elevation_max=0.5)


def in_file_axes(cameras: Cameras, up: str) -> Cameras:
    """The same cameras in the axes of the file."""
    world_from_file = torch.eye(4)
    world_from_file[:3, :3] = WORLD_FROM_FILE[up]
    return replace(cameras, viewmats=cameras.viewmats @ world_from_file)


@pytest.mark.parametrize("up", FileAxes)
@pytest.mark.parametrize("sh_degree", [0, 1, 2, 3])
def test_same_renderings_in_file_axes(tmp_path: Path, sh_degree: int, up: FileAxes) -> None:
    splats = colorful_splats(60, sh_degree)
    save_splats(splats, tmp_path / "a.ply", up)
    cameras = turntable(4, 0.3, ORBIT, 32)
    expected = render(splats, cameras)
    found = render(raw_splats(tmp_path / "a.ply", 60, sh_degree), in_file_axes(cameras, up.value))
    torch.testing.assert_close(found.alpha, expected.alpha, rtol=0, atol=2e-5)
    torch.testing.assert_close(found.rgb, expected.rgb, rtol=0, atol=2e-5)


FRONT_RIGHT_TOP = {
    "y-down": [[0, 0, -1], [1, 0, 0], [0, -1, 0]],  # the front is nearest to a viewer along z
    "z-up": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "y-up": [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
}


@pytest.mark.parametrize("up", FileAxes)
def test_front_right_and_top_per_axes(tmp_path: Path, up: FileAxes) -> None:
    splats = colorful_splats(4, sh_degree=0)
    corners = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    splats["means"].data.copy_(corners)
    save_splats(splats, tmp_path / "a.ply", up)
    positions = raw_table(tmp_path / "a.ply", 4)[:, :3].tolist()
    assert positions == [*FRONT_RIGHT_TOP[up.value], [0, 0, 0]]


@pytest.mark.parametrize("up", FileAxes)
def test_rotation_matrices_match_quaternions(up: FileAxes) -> None:
    rotation, quat = FILE_FROM_WORLD[up].double(), FILE_FROM_WORLD_QUAT[up]
    assert torch.det(rotation) == 1
    conjugate = quat * torch.tensor([1.0, -1, -1, -1])
    for axis in torch.eye(3, dtype=torch.float64):
        point = torch.cat([torch.zeros(1, dtype=torch.float64), axis])[None]
        left = multiply_quats(quat, point)[0]
        turned = multiply_quats(left, conjugate[None])[0, 1:]
        assert torch.equal(turned, rotation @ axis)


def test_rotation_composition() -> None:
    generator = torch.Generator().manual_seed(0)
    sh = torch.randn(3, 15, 3, generator=generator, dtype=torch.float64)
    quarter_turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turned = sh
    for _ in range(4):
        turned = rotate_sh(turned, quarter_turn)
    torch.testing.assert_close(turned, sh, rtol=0, atol=1e-11)
    i, j = torch.tensor([0.0, 1, 0, 0]), torch.tensor([[0.0, 0, 1, 0]])
    assert multiply_quats(i, j).tolist() == [[0, 0, 0, 1]]  # i j = k


def test_unit_quats_of_any_length() -> None:
    quats = torch.tensor([[0.0, 3, 0, 4], [0, 0, 0, 0], [1e-30, 0, 0, 0], [0, -1e30, 0, 0]])
    expected = [[0, 0.6, 0, 0.8], [1, 0, 0, 0], [1, 0, 0, 0], [0, -1, 0, 0]]
    torch.testing.assert_close(unit_quats(quats), torch.tensor(expected))


@pytest.mark.parametrize("sh_degree", [0, 1, 2, 3])
def test_pad_sh_same_renderings(tmp_path: Path, sh_degree: int) -> None:
    splats = colorful_splats(40, sh_degree)
    cameras = turntable(2, 0.3, ORBIT, 32)
    expected = render(splats, cameras).rgb
    splats["shN"].data = pad_sh(splats["shN"].data)
    assert splats["shN"].shape == (40, 15, 3)
    torch.testing.assert_close(render(splats, cameras).rgb, expected, rtol=0, atol=1e-6)
    save_splats(splats, tmp_path / "a.ply")
    torch.testing.assert_close(
        load_splats(tmp_path / "a.ply")["shN"], splats["shN"], rtol=0, atol=1e-6
    )
