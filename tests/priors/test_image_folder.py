"""Folders of images: framing, files, views and errors (gs_esd/priors/image_folder.py)."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.config.options import ImagesPriorConfig, Normalize
from gs_esd.errors import UserError
from gs_esd.priors import image_files as image_files_module
from gs_esd.priors.image_files import image_files
from gs_esd.priors.image_folder import MAX_HEIGHT_FRACTION, MAX_WIDTH_FRACTION, load_images
from tests.helpers.drawn_images import (
    RESOLUTION,
    WHITE,
    Box,
    drawn,
    extent,
    load,
    load_one,
    noise,
    size_of,
)

VARIED: list[tuple[tuple[int, int], Box]] = [
    ((80, 60), (20, 10, 50, 50)),  # 30 by 40
    ((60, 120), (5, 50, 55, 100)),  # 50 by 50
    ((200, 90), (110, 5, 150, 85)),  # 40 by 80
]


@pytest.fixture
def varied(tmp_path: Path) -> Path:
    for i, (size, box) in enumerate(VARIED):
        drawn(size, box).save(tmp_path / f"{i}.png")
    return tmp_path


def is_centred(image: Tensor) -> bool:
    left, top, right, bottom = extent(image)
    return abs(left + right - RESOLUTION) <= 2 and abs(top + bottom - RESOLUTION) <= 2


def test_normalize_height(varied: Path) -> None:
    rgba = load(varied, normalize=Normalize.height)
    assert [size_of(image)[1] for image in rgba] == [28, 28, 28]
    widths = [size_of(image)[0] for image in rgba]
    assert widths == pytest.approx([21, 28, 14], abs=1)
    assert all(is_centred(image) for image in rgba)


def test_normalize_height_of_wide_silhouette(tmp_path: Path) -> None:
    drawn((100, 40), (5, 10, 95, 30)).save(tmp_path / "wide.png")
    drawn((40, 100), (10, 5, 30, 95)).save(tmp_path / "tall.png")
    tall, wide = load(tmp_path, normalize=Normalize.height)
    assert size_of(wide)[0] == pytest.approx(MAX_WIDTH_FRACTION * RESOLUTION, abs=1)
    assert size_of(tall)[1] == size_of(wide)[1]


def test_normalize_common(varied: Path) -> None:
    rgba = load(varied, normalize=Normalize.common)
    factor = MAX_HEIGHT_FRACTION * RESOLUTION / 80  # the tallest silhouette has 80 rows
    for image, (_, (left, top, right, bottom)) in zip(rgba, VARIED, strict=True):
        expected = (factor * (right - left), factor * (bottom - top))
        assert size_of(image) == pytest.approx(expected, abs=1.01)
        assert is_centred(image)


def test_normalize_none(varied: Path) -> None:
    rgba = load(varied, normalize=Normalize.none)
    for image, ((width, height), (left, top, right, bottom)) in zip(rgba, VARIED, strict=True):
        side = max(width, height)
        across, down = 0.5 * (side - width), 0.5 * (side - height)
        expected = [left + across, top + down, right + across, bottom + down]
        scaled = [RESOLUTION * value / side for value in expected]
        assert extent(image) == pytest.approx(scaled, abs=1.01)


@pytest.mark.parametrize("normalize", Normalize)
@pytest.mark.parametrize("resolution", [8, 33, 100])
def test_premultiplied_alpha(tmp_path: Path, normalize: Normalize, resolution: int) -> None:
    for i, size in enumerate([(31, 57), (90, 20)]):
        alpha = noise(size, seed=10 + i)[..., :1]
        rgba = np.concatenate([noise(size, seed=i), alpha], axis=-1)
        Image.fromarray(rgba).save(tmp_path / f"{i}.png")
    rgba, _ = load_images(ImagesPriorConfig(str(tmp_path), normalize), resolution)
    assert rgba.shape == (2, 4, resolution, resolution)
    assert (rgba[:, :3] <= rgba[:, 3:] + 1e-6).all()
    assert (rgba[:, 3].amax(dim=(1, 2)) > 0).all()


def test_image_files(tmp_path: Path) -> None:
    names = ["b.png", "a.JPG", "sub/c.jpeg", "sub/deep/d.WebP"]
    for name in [*names, "notes.txt", "e.gif", ".hidden.png", "sub/._c.jpeg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert image_files(tmp_path) == [tmp_path / name for name in sorted(names)]


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_images(tmp_path: Path, n: int) -> None:
    for i in range(n):
        drawn().save(tmp_path / f"{i}.png")
    with pytest.raises(UserError, match=rf"in {tmp_path} is {n}; at least 2 are needed"):
        load(tmp_path)


def truncated_png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise((60, 60))).save(file, "PNG")
    return file.getvalue()[:4000]


@pytest.mark.parametrize("content", [b"", b"no image", truncated_png()])
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    drawn().save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(content)
    with pytest.raises(UserError, match=r"b\.png cannot be read .* Fix or remove the file"):
        load(tmp_path)


def test_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_one(tmp_path, drawn())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match=r"a\.png cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("empty", [(0, 0, 0, 0), (255, 0, 0, 0), WHITE])
def test_empty_image(tmp_path: Path, empty: tuple[int, ...]) -> None:
    drawn().save(tmp_path / "a.png")
    Image.new("RGBA" if len(empty) == 4 else "RGB", (50, 50), empty).save(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"b\.png is empty.*Replace or remove the file"):
        load(tmp_path)


def test_memory_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(10):
        (tmp_path / f"{i}.png").touch()  # not images: reading one would fail
    bytes_each = 4 * RESOLUTION**2 * 4 * 1.33
    monkeypatch.setattr(image_files_module, "MAX_BANK_BYTES", 7.5 * bytes_each)
    with pytest.raises(UserError, match=r"Use fewer images \(7 at most\).*stages\.fine\.res"):
        load(tmp_path)


def in_views(folder: Path, names: list[str]) -> ImagesPriorConfig:
    for i, name in enumerate(names):
        (folder / name).mkdir(exist_ok=True)
        drawn().save(folder / name / f"{i}.png")
    return ImagesPriorConfig(str(folder), view_prompts=True)


def test_view_labels_of_subfolders(tmp_path: Path) -> None:
    config = in_views(tmp_path, ["front", "side", "back", "Side", "front"])
    rgba, labels = load_images(config, 8)
    assert labels is not None
    files = image_files(tmp_path)
    assert [VIEW_NAMES[i] for i in labels] == [file.parent.name.lower() for file in files]
    assert sorted(VIEW_NAMES[i] for i in labels) == ["back", "front", "front", "side", "side"]
    assert len(rgba) == 5


def test_subfolders_without_view_prompts(tmp_path: Path) -> None:
    config = in_views(tmp_path, ["front", "elsewhere"])
    assert len(load(tmp_path)) == 2
    with pytest.raises(UserError):
        load_images(replace(config, view_prompts=True), 8)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["front", "side"], "without images: back"),
        (["front", "side", "back", "top"], r"in another folder: .*top"),
    ],
)
def test_missing_and_unknown_views(tmp_path: Path, names: list[str], problem: str) -> None:
    with pytest.raises(UserError, match=f"subfolders front, side, back; {problem}"):
        load_images(in_views(tmp_path, names), 8)
