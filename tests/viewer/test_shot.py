"""Images of the page: of the requested size, of what there is to see, or an error that says why."""

import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gs_esd.errors import UserError
from gs_esd.export.ply_file import write_table
from gs_esd.export.ply_properties import property_names
from tests.helpers.shown_splats import small_page, write_ply
from viewer import shot
from viewer.page import page_files
from viewer.scene.watch import Watch
from viewer.shot import find_chromium, write_shot

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
def test_an_image_has_the_size_and_shows_the_splat(tmp_path: Path) -> None:
    watch = Watch([write_red_ball(tmp_path / "a.ply")])
    write_shot(watch, page_files(), tmp_path / "a.png", (200, 150))
    image = Image.open(tmp_path / "a.png").convert("RGB")
    assert image.size == (200, 150)
    red, green, blue = image.getpixel((100, 75))
    assert red > 200
    assert max(green, blue) < 60
    corner = image.getpixel((2, 2))
    assert max(corner) - min(corner) < 20


def refused(tmp_path: Path, script: str = "") -> str:
    """Why there is no image of a page with this script; nothing may be left of it."""
    watch = Watch([write_ply(tmp_path / "a.ply")])
    files = small_page(tmp_path / "static")
    files["/viewer.js"] = replace(files["/viewer.js"], body=script.encode())
    with pytest.raises(UserError, match="the page could not be drawn") as error:
        write_shot(watch, files, tmp_path / "a.png", (200, 150))
    assert not (tmp_path / "a.png").exists()
    return str(error.value)


@needs_chromium
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("", "its script did not start"),
        ("window.gsEsdViewer = { setOptions() { throw Error('no options') } };", "no options"),
        (
            "window.gsEsdViewer = { setOptions() {}, ready: Promise.reject('no <splats>') };",
            "no <splats>",
        ),
        (
            "window.gsEsdViewer = { setOptions() {}, ready: new Promise(() => 0) };"
            "setTimeout(() => { throw Error('while loading') }, 100);",
            "while loading",
        ),
    ],
)
def test_errors_of_the_page_are_reported(tmp_path: Path, script: str, reason: str) -> None:
    assert reason in refused(tmp_path, script)


@needs_chromium
def test_a_page_that_is_never_ready_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shot, "TIMEOUT_S", 3.0)
    script = "window.gsEsdViewer = { setOptions() {}, ready: new Promise(() => 0) };"
    assert "it took more than 3 s" in refused(tmp_path, script)


STAND_IN = """#!{python}
import pathlib, sys
(path,) = [word.partition("=")[2] for word in sys.argv if word.startswith("--screenshot=")]
pathlib.Path(path).write_bytes(b"image")
pathlib.Path({folder!r}, "words").write_text("\\n".join(sys.argv))
{more}
"""


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, more: str) -> None:
    """Put another program in Chromium's place."""
    path = folder / "chromium"
    path.write_text(STAND_IN.format(python=sys.executable, folder=str(folder), more=more))
    path.chmod(0o755)
    monkeypatch.setattr(shot, "find_chromium", lambda: str(path))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("sys.exit('a reason')", "exit code 1: a reason"),
        ("print('<html lang=en>')", "it did not end"),
        ("print('<html data-shot=\"ready 200x9\">')", "200x9 pixels instead of 200x150"),
    ],
)
def test_images_of_something_else_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, reason: str
) -> None:
    stand_in(tmp_path, monkeypatch, more)
    assert re.search(reason, refused(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="about Linux")
@pytest.mark.parametrize("user", [0, 1000])
def test_the_sandbox_is_only_left_out_for_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    stand_in(tmp_path, monkeypatch, "print('<html data-shot=\"ready 200x150\">')")
    monkeypatch.setattr(os, "getuid", lambda: user)
    watch = Watch([write_ply(tmp_path / "a.ply")])
    write_shot(watch, small_page(tmp_path / "static"), tmp_path / "a.png", (200, 150))
    assert (tmp_path / "a.png").read_bytes() == b"image"
    words = (tmp_path / "words").read_text().split("\n")
    assert ("--no-sandbox" in words) == (user == 0)


def test_a_missing_browser_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shot, "find_chromium", lambda: None)
    watch = Watch([write_ply(tmp_path / "a.ply")])
    with pytest.raises(UserError, match=r"no Chromium or Chrome was found.*apt install chromium"):
        write_shot(watch, small_page(tmp_path / "static"), tmp_path / "a.png", (200, 150))
