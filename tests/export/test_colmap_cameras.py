"""COLMAP's text: quaternions, cameras that photographs share, and lines as COLMAP parses them."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gs_esd.export.colmap_cameras import quat_of_rotation, save_colmap_model
from gs_esd.export.photo_files import PhotoFiles
from gs_esd.export.reference_cameras import OriginalCameras
from gs_esd.splats.parameters import init_ball
from tests.helpers.photo_cameras import PHOTOS, photo_cameras

ANGLES = st.floats(-math.pi, math.pi, allow_nan=False)


@given(ANGLES, ANGLES, ANGLES, st.booleans())
def test_quat_turns_as_its_matrix(a: float, b: float, c: float, half_turn: bool) -> None:
    axis = [math.cos(a) * math.cos(b), math.sin(a) * math.cos(b), math.sin(b)]
    angle = math.pi if half_turn else c
    w, (x, y, z) = math.cos(angle / 2), (math.sin(angle / 2) * part for part in axis)
    rotation = torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ],
        dtype=torch.float64,
    )
    found = quat_of_rotation(rotation)
    expected = torch.tensor([w, x, y, z], dtype=torch.float64)
    assert abs(float(found @ expected)) == pytest.approx(1, abs=1e-12)
    assert found[0] >= 0


def write(folder: Path, shared: bool) -> list[list[str]]:
    """The lines of the three files without comments."""
    cameras = photo_cameras()
    Ks = cameras.Ks.double()
    sizes = torch.tensor([[100, 80]] * PHOTOS)
    original = OriginalCameras(cameras.names, cameras.viewmats.double(), Ks, sizes)
    if shared:
        original = replace(original, Ks=Ks[:1].expand(PHOTOS, 3, 3))
    splats = init_ball(
        5, radius=1.0, opacity=0.5, sh_degree=0, generator=torch.Generator().manual_seed(0)
    )
    save_colmap_model(folder, original, PhotoFiles(folder, cameras.names, sizes), splats)
    texts = [(folder / f"{name}.txt").read_text() for name in ("cameras", "images", "points3D")]
    return [[line for line in text.split("\n")[:-1] if line[:1] != "#"] for text in texts]


@pytest.mark.parametrize("shared", [True, False])
def test_equal_intrinsics_are_one_camera(shared: bool, tmp_path: Path) -> None:
    cameras, images, _ = write(tmp_path, shared)
    assert len(cameras) == (1 if shared else PHOTOS)
    assert all(line.split()[1:4] == ["PINHOLE", "100", "80"] for line in cameras)
    numbers = [line.split()[8] for line in images[::2]]
    assert numbers == ["1"] * PHOTOS if shared else numbers == [str(i + 1) for i in range(PHOTOS)]


def test_each_image_is_followed_by_an_empty_list_of_keypoints(tmp_path: Path) -> None:
    _, images, points = write(tmp_path, shared=True)
    assert len(images) == 2 * PHOTOS
    assert images[1::2] == [""] * PHOTOS
    assert [line.split()[9] for line in images[::2]] == list(photo_cameras().names)
    assert [len(line.split()) for line in points] == [8] * 5
