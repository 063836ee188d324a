"""Images of the page: of the size that was asked for, of what there is to see, or a reason."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gs_esd.errors import UserError
from gs_esd.export.ply_file import write_table
from gs_esd.export.ply_properties import property_names
from tests.helpers.shown_splats import small_page, write_ply
from viewer import chromium
from viewer.answers import page_files
from viewer.chromium import find_chromium
from viewer.shot import write_shot
from viewer.watch import Watch

needs_chromium = pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")


def write_red_ball(path: Path) -> Path:
    names = property_names(0)
    table = np.zeros((8, len(names)), np.float32)
    table[:, :3] = [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    values = {"f_dc_0": 1.7, "f_dc_1": -1.7, "f_dc_2": -1.7, "opacity": 9, "rot_0": 1}
    for name, value in values.items():
        table[:, names.index(name)] = value
    write_table(path, names, table)
    return path


@needs_chromium
def test_a_image_has_the_size_and_shows_the_splat(tmp_path: Path) -> None:
    watch = Watch([write_red_ball(tmp_path / "a.ply")])
    write_shot(watch, page_files(), tmp_path / "a.png", (200, 150))
    image = Image.open(tmp_path / "a.png").convert("RGB")
    assert image.size == (200, 150)
    red, green, blue = image.getpixel((100, 75))
    assert red > 200
    assert max(green, blue) < 60
    corner = image.getpixel((2, 2))
    assert max(corner) - min(corner) < 20


@needs_chromium
def test_a_page_that_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    watch = Watch([write_ply(tmp_path / "a.ply")])
    with pytest.raises(UserError, match="the page could not be drawn"):
        write_shot(watch, small_page(tmp_path / "static"), tmp_path / "a.png", (200, 150))
    assert not (tmp_path / "a.png").exists()


def test_without_a_browser_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chromium, "find_chromium", lambda: None)
    watch = Watch([write_ply(tmp_path / "a.ply")])
    with pytest.raises(UserError, match="no Chromium or Chrome was found"):
        write_shot(watch, small_page(tmp_path / "static"), tmp_path / "a.png", (200, 150))
