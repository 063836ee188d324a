"""cameras.json: the keys of the reference code, and files of other programs."""

import json
from pathlib import Path

import pytest
import torch

from gs_esd.errors import UserError
from gs_esd.export.axes import FileAxes
from gs_esd.export.reference_cameras import (
    OriginalCameras,
    camera_to_world,
    load_cameras_json,
    save_cameras_json,
)
from tests.helpers.photo_cameras import PHOTOS, photo_cameras

KEYS = {"id", "img_name", "width", "height", "position", "rotation", "fx", "fy"}


@pytest.fixture
def cameras() -> OriginalCameras:
    fitted = photo_cameras()
    sizes = torch.tensor([[100, 80]] * PHOTOS)
    return OriginalCameras(fitted.names, fitted.viewmats.double(), fitted.Ks.double(), sizes)


@pytest.mark.parametrize("axes", list(FileAxes))
def test_round_trip(axes: FileAxes, cameras: OriginalCameras, tmp_path: Path) -> None:
    save_cameras_json(tmp_path / "cameras.json", cameras, axes)
    loaded = load_cameras_json(tmp_path / "cameras.json", axes)
    assert loaded.names == cameras.names
    for name in ("viewmats", "Ks", "sizes"):
        assert torch.allclose(getattr(loaded, name), getattr(cameras, name), atol=1e-6), name
    assert all(set(e) >= KEYS for e in json.loads((tmp_path / "cameras.json").read_text()))


def test_principal_point_of_other_programs_is_the_middle(
    cameras: OriginalCameras, tmp_path: Path
) -> None:
    file = tmp_path / "cameras.json"
    save_cameras_json(file, cameras)
    entries = [{key: e[key] for key in KEYS} for e in json.loads(file.read_text())]
    file.write_text(json.dumps(entries))
    assert torch.equal(
        load_cameras_json(file).Ks[:, :2, 2].float(), torch.tensor([[50.0, 40.0]] * PHOTOS)
    )


def test_camera_to_world_is_the_inverse(cameras: OriginalCameras) -> None:
    product = camera_to_world(cameras.viewmats) @ cameras.viewmats
    assert torch.allclose(product, torch.eye(4, dtype=torch.float64), atol=1e-6)
    assert torch.equal(camera_to_world(cameras.viewmats)[:, :3, 3], cameras.positions)


@pytest.mark.parametrize("text", [None, "", "{}", "[1]", '[{"id": 0}]', '{"a": 1}'])
def test_unreadable_file(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "cameras.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=r"no readable cameras\.json"):
        load_cameras_json(file)
