"""Contact sheets, previews and PNG files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gs_esd.cameras.orbit import Orbit, orbit_cameras
from gs_esd.errors import UserError
from gs_esd.export.images import (
    BACKGROUND,
    BATCH_IMAGES,
    contact_sheet,
    orbit_images,
    preview,
    save_png,
    to_bytes,
)
from gs_esd.render.renderings import render
from gs_esd.splats.parameters import init_ball

ORBIT = Orbit(distance=3.0, fov=0.7, elevation_min=0.1, elevation_max=0.5)
SPLATS = init_ball(
    50, radius=0.5, opacity=0.5, sh_degree=0, generator=torch.Generator().manual_seed(0)
)


def test_contact_sheet_layout() -> None:
    rgb = torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 2, 4, 3) / 10
    sheet = contact_sheet(rgb, columns=3)
    assert sheet.shape == (4, 12, 3)
    assert sheet[::2, ::4, 0].tolist() == torch.tensor([[0, 0.1, 0.2], [0.3, 0.4, 1]]).tolist()


def test_preview_view_order_and_background() -> None:
    sheet = preview(SPLATS, ORBIT, 16, views=8)
    assert sheet.shape == (2 * 16, 4 * 16, 3)
    assert sheet[0, 0].tolist() == torch.tensor(BACKGROUND).tolist()
    quarter = torch.tensor([torch.pi / 2])
    cameras = orbit_cameras(quarter, torch.tensor([0.3]), distance=3.0, fov=0.7, resolution=16)
    third = render(SPLATS, cameras).over(torch.tensor(BACKGROUND))[0]
    torch.testing.assert_close(sheet[:16, 32:48], third, rtol=0, atol=1e-5)


def test_orbit_images_batches_without_gradients() -> None:
    batches = list(orbit_images(SPLATS, ORBIT, 8, BATCH_IMAGES + 3))
    assert [len(rgb) for rgb in batches] == [BATCH_IMAGES, 3]
    assert not any(rgb.requires_grad for rgb in batches)
    assert torch.is_grad_enabled()


def test_to_bytes_rounding_and_clipping() -> None:
    rgb = torch.tensor([-1.0, 0.5, 2.0]).reshape(1, 1, 3)
    assert to_bytes(rgb).tolist() == [[[0, 128, 255]]]


def test_save_png_round_trip(tmp_path: Path) -> None:
    rgb = torch.rand(3, 5, 3, generator=torch.Generator().manual_seed(0))
    save_png(tmp_path / "a.png", rgb)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), to_bytes(rgb))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_save_png_unwritable_folder_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        save_png(tmp_path / "none" / "a.png", torch.zeros(2, 2, 3))
