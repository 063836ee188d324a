"""The PNG of all photographs (gs_esd/photos/contact_sheet.py)."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gs_esd.photos import contact_sheet
from gs_esd.photos.contact_sheet import CELL_PIXELS, save_contact_sheet
from gs_esd.photos.photo_set import PhotoSet


def photo_set(n: int) -> PhotoSet:
    """Photograph i is opaque in its upper half, with red i / n."""
    rgba = torch.zeros(n, 4, 32, 32)
    rgba[:, 3, :16] = 1.0
    rgba[:, 0, :16] = (torch.arange(n) / n)[:, None, None]
    names = tuple(f"{i}.png" for i in range(n))
    return PhotoSet(names, rgba, False, torch.zeros(n, 3), torch.ones(n, 2, dtype=torch.long))


def cells(path: Path) -> np.ndarray:
    """[rows, columns, CELL, CELL, 3]."""
    pixels = np.asarray(Image.open(path))
    rows, columns = pixels.shape[0] // CELL_PIXELS, pixels.shape[1] // CELL_PIXELS
    grid = pixels.reshape(rows, CELL_PIXELS, columns, CELL_PIXELS, 3)
    return grid.swapaxes(1, 2)


def test_all_photos_over_grey(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    save_contact_sheet(photo_set(10), tmp_path / "images.png")
    grid = cells(tmp_path / "images.png")
    grid = grid.reshape(-1, *grid.shape[2:])
    assert len(grid) >= 10
    reds = grid[:10, 20, 64, 0] / 255
    np.testing.assert_allclose(reds, np.arange(10) / 10, atol=0.01)
    assert (grid[:, 100] == 128).all()
    assert (grid[10:] == 128).all()
    assert "images.png shows all photographs" in caplog.text


def test_some_of_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(contact_sheet, "MAX_SHOWN", 6)
    save_contact_sheet(photo_set(30), tmp_path / "images.png")
    grid = cells(tmp_path / "images.png")
    assert grid.shape[:2] == (2, 3)
    np.testing.assert_allclose(grid[:, :, 20, 64, 0].ravel() / 255, np.arange(6) / 6, atol=0.01)
    assert "shows 6 of 30 photographs" in caplog.text
