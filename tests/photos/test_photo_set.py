"""Folders of photographs as sets of square images (gs_esd/photos/photo_set.py)."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gs_esd.config.options import Normalize
from gs_esd.errors import UserError
from gs_esd.photos import survey
from gs_esd.photos.framing import MAX_HEIGHT_FRACTION, MAX_WIDTH_FRACTION, UNION_FRACTION
from gs_esd.photos.photo_set import load_photos, originals
from tests.helpers.drawn_images import (
    RESOLUTION,
    WHITE,
    Box,
    drawn,
    extent,
    load,
    noise,
    size_of,
)
from tests.helpers.product_photos import HEIGHT, WIDTH, animals, photographs, plain, save_all

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
    rgba = load_photos(str(tmp_path), resolution, normalize).rgba
    assert rgba.shape == (2, 4, resolution, resolution)
    assert (rgba[:, :3] <= rgba[:, 3:] + 1e-6).all()
    assert (rgba[:, 3].amax(dim=(1, 2)) > 0).all()


def test_turntable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Photographs of equal size: one square about the axis, with the object where it was."""
    caplog.set_level(logging.INFO)
    save_all(photographs(plain(1.0)), tmp_path)
    photos = load_photos(str(tmp_path), 64)
    assert photos.names == tuple(f"{i:03}.png" for i in range(12))
    assert not photos.framed_singly
    assert (photos.crops == photos.crops[0]).all()
    assert photos.sizes.tolist() == [[WIDTH, HEIGHT]] * 12
    left, top, side = photos.crops[0].tolist()
    assert left + 0.5 * side == pytest.approx(220, abs=2)  # where `animals` has the axis
    expected = resized(animals()[:, int(top) : int(top + side), int(left) : int(left + side)])
    assert (photos.rgba[:, 3] - expected[:, 3]).abs().mean() < 0.01
    assert (photos.rgba - expected).abs().mean() < 0.01
    boxes = torch.tensor([extent(image) for image in photos.rgba])
    union = max(boxes[:, 2].amax() - boxes[:, 0].amin(), boxes[:, 3].amax() - boxes[:, 1].amin())
    assert union / 64 == pytest.approx(UNION_FRACTION, abs=0.04)
    lines = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("matte: the background is plain") for line in lines)
    assert any(line.startswith("framing: one square for all") for line in lines)


def resized(rgba: np.ndarray) -> Tensor:
    """Premultiplied [V, S, S, 4] reduced to 64 pixels a side."""
    images = torch.from_numpy(np.ascontiguousarray(rgba)).permute(0, 3, 1, 2)
    return torch.nn.functional.interpolate(images, size=(64, 64), mode="area")


def test_crops_of_reduced_and_turned_photos(tmp_path: Path) -> None:
    """Crops are in pixels of the upright original, however it is stored."""
    upright = drawn((900, 1200), (300, 200, 600, 800), ground=WHITE)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", exif=exif, quality=95)
    upright.save(tmp_path / "b.png")
    photos = load_photos(str(tmp_path), RESOLUTION, Normalize.height)
    assert photos.framed_singly
    assert photos.sizes.tolist() == [[900, 1200]] * 2
    for left, top, side in photos.crops.tolist():
        assert left + 0.5 * side == pytest.approx(450, abs=5)
        assert top + 0.5 * side == pytest.approx(500, abs=5)
        assert side == pytest.approx(600 / MAX_HEIGHT_FRACTION, abs=10)


def test_frames_of_a_larger_original(tmp_path: Path) -> None:
    """What is decoded grows with the resolution."""
    stripes = np.zeros((1600, 1600, 4), np.uint8)
    stripes[..., 3] = 255
    stripes[:, ::4, :3] = stripes[:, 1::4, :3] = 255
    stripes[0, 0, 3] = 0  # alpha in use
    for name in "ab":
        Image.fromarray(stripes).save(tmp_path / f"{name}.png")
    fine = load_photos(str(tmp_path), 800, Normalize.none).rgba
    assert fine[0, 0, 400].std() > 0.3


def test_all_unusable_files_at_once(tmp_path: Path) -> None:
    drawn().save(tmp_path / "a.png")
    for name in ("b.png", "d.jpg"):
        (tmp_path / name).write_bytes(b"no image")
    drawn().save(tmp_path / "c.png")
    with pytest.raises(
        UserError, match=r"^2 photographs cannot be used.*\n  b\.png: .*\n  d\.jpg: "
    ):
        load(tmp_path)


def test_long_list_of_unusable_files(tmp_path: Path) -> None:
    for i in range(25):
        (tmp_path / f"{i}.png").touch()
    with pytest.raises(UserError, match=r"25 photographs(.*\n)*  19\.png.*\n  and 5 more$"):
        load(tmp_path)


@pytest.mark.parametrize("empty", [(0, 0, 0, 0), (255, 0, 0, 0), WHITE])
def test_empty_photos(tmp_path: Path, empty: tuple[int, ...]) -> None:
    ground = empty if len(empty) == 3 else (0, 0, 0, 0)
    for name in "ac":
        drawn(ground=ground).save(tmp_path / f"{name}.png")
    for name in ("b", "d"):
        Image.new("RGBA" if len(empty) == 4 else "RGB", (80, 60), empty).save(
            tmp_path / f"{name}.png"
        )
    with pytest.raises(UserError, match=r"2 photographs(.*\n)*  b\.png: it is empty.*\n  d\.png"):
        load(tmp_path)


def test_warnings_of_few_photos_and_copies(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for i, box in enumerate([(20, 10, 50, 50), (20, 10, 40, 50), (20, 10, 50, 50)]):
        drawn(box=box).save(tmp_path / f"{i}.png")
    load(tmp_path)
    messages = [record.getMessage() for record in caplog.records]
    assert any("3 photographs show few sides" in message for message in messages)
    assert any("1 of 3 photographs are copies" in m and "2.png" in m for m in messages)


def test_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(survey, "PROGRESS_S", 0.0)
    for i in range(3):
        drawn().save(tmp_path / f"{i}.png")
    load(tmp_path)
    assert "2 of 3 photographs read" in [record.getMessage() for record in caplog.records]


def test_more_photos_than_memory_allows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(9):
        drawn().save(tmp_path / f"{i}.png")
    photos = load_photos(str(tmp_path), 8, most=3)
    assert photos.names == ("0.png", "3.png", "6.png")
    assert any(
        "9 photographs are more than memory allows" in r.getMessage() for r in caplog.records
    )


def test_originals(varied: Path) -> None:
    """Photographs in their own sizes, however small the set's images are."""
    photos, read = load_photos(str(varied), 16), originals(str(varied))
    sizes = [read(name).size for name in photos.names]
    assert sizes == [size for size, _ in VARIED] == [tuple(size) for size in photos.sizes.tolist()]
