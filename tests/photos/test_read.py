"""Decoding photographs (gs_esd/photos/read.py)."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gs_esd.photos import read
from gs_esd.photos.read import Photo, PhotoCache, UnreadablePhotoError, read_photo
from tests.helpers.drawn_images import (
    TEAL,
    WHITE,
    color_inside,
    drawn,
    is_red,
    load_one,
    noise,
    size_of,
)


def to_palette(image: Image.Image) -> Image.Image:
    return image.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE)


@pytest.mark.parametrize(
    ("convert", "name"),
    [
        (lambda p: p.convert("L"), "a.png"),
        (lambda p: p.convert("L"), "a.jpg"),
        (lambda p: p.convert("1"), "a.png"),
        (to_palette, "a.png"),
        (lambda p: p.convert("CMYK"), "a.jpg"),
        (lambda p: Image.fromarray(np.asarray(p.convert("L")).astype(np.uint16) * 257), "a.png"),
    ],
    ids=["grey", "grey-jpeg", "bilevel", "palette", "cmyk", "sixteen-bit"],
)
def test_image_modes(
    tmp_path: Path, convert: Callable[[Image.Image], Image.Image], name: str
) -> None:
    dark = (40, 40, 40)
    image = load_one(tmp_path, convert(drawn(ground=WHITE, color=dark)), name)
    assert size_of(image) == pytest.approx((21, 28), abs=1)  # JPEG blurs edges
    shade = 0.0 if convert(drawn()).mode == "1" else 40 / 255
    assert (color_inside(image) - shade).abs().amax() < 0.02


@pytest.mark.parametrize("mode", ["LA", "PA"])
def test_alpha_of_grey_and_palette_images(tmp_path: Path, mode: str) -> None:
    grey = drawn(color=(40, 40, 40)).convert("LA")
    if mode == "PA":
        grey = grey.convert("RGBA").quantize(8)
    image = load_one(tmp_path, grey)
    assert size_of(image) == (21, 28)
    assert (color_inside(image) - 40 / 255).abs().amax() < 0.02


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
    ],
)
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif_orientation(
    tmp_path: Path, orientation: int, undo: Image.Transpose, name: str
) -> None:
    upright = drawn((80, 60), (10, 10, 70, 50), ground=WHITE)
    upright.paste(TEAL, (10, 10, 30, 20))  # one corner is another colour
    (tmp_path / "noted").mkdir()
    (tmp_path / "upright").mkdir()
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = upright.transpose(undo)
    image = load_one(tmp_path / "noted", turned, name, exif=exif, quality=100, subsampling=0)
    expected = load_one(tmp_path / "upright", upright, name, quality=100, subsampling=0)
    assert size_of(image) == size_of(expected)
    assert (image - expected).abs().mean() < 0.01


def test_large_jpeg(tmp_path: Path) -> None:
    large = drawn((2000, 1500), (500, 250, 1250, 1250), ground=WHITE)
    image = load_one(tmp_path, large, "a.jpg", quality=90)
    assert is_red(image, tolerance=0.03)
    assert size_of(image) == pytest.approx((21, 28), abs=1)


def test_upsampling_of_small_image(tmp_path: Path) -> None:
    image = load_one(tmp_path, drawn((8, 8), (2, 2, 6, 6)))
    assert is_red(image)
    assert len(image[3].unique()) > 10


@pytest.mark.parametrize("suffix", [".gif", ".bmp", ".tif", ".tiff", ".avif", ".jfif", ".heic"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    drawn((160, 120), (40, 20, 100, 100), ground=WHITE).save(tmp_path / f"a{suffix}")
    photo = read_photo(tmp_path / f"a{suffix}", 512)
    assert photo.image.mode == "RGB"
    assert photo.size == photo.image.size == (160, 120)
    inside = np.asarray(photo.image)[60, 70].astype(int)
    assert np.abs(inside - (220, 30, 20)).max() < 12


def test_first_frame_of_animation(tmp_path: Path) -> None:
    frames = [drawn(ground=WHITE), drawn(ground=WHITE, color=TEAL)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    inside = np.asarray(read_photo(tmp_path / "a.gif", 512).image)[30, 35].astype(int)
    assert np.abs(inside - (220, 30, 20)).max() < 12


def test_format_by_content_not_by_suffix(tmp_path: Path) -> None:
    drawn(ground=WHITE).save(tmp_path / "a.jpg", "PNG")
    assert read_photo(tmp_path / "a.jpg", 512).size == (80, 60)
    drawn(ground=WHITE).save(tmp_path / "a.png", "EPS")  # which Ghostscript would run
    with pytest.raises(UnreadablePhotoError, match="none of AVIF, BMP"):
        read_photo(tmp_path / "a.png", 512)


def truncated_png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise((60, 60))).save(file, "PNG")
    return file.getvalue()[:4000]


@pytest.mark.parametrize("content", [b"", b"no image", truncated_png()])
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.png").write_bytes(content)
    with pytest.raises(UnreadablePhotoError, match=r"it cannot be read|it is damaged"):
        read_photo(tmp_path / "b.png", 512)


def test_floating_point_pixels(tmp_path: Path) -> None:
    Image.fromarray(np.ones((8, 8), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UnreadablePhotoError, match="convert it to 8 bits"):
        read_photo(tmp_path / "a.tif", 512)


def test_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn().save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadablePhotoError, match=r"more than the .* million pixels .* reduce it"):
        read_photo(tmp_path / "a.png", 512)


@pytest.mark.filterwarnings("error")
def test_large_photo_below_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns from its limit on, and refuses only twice as many pixels."""
    drawn((800, 600), ground=WHITE).save(tmp_path / "a.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300_000)
    photo = read_photo(tmp_path / "a.jpg", 100)
    assert photo.size == (800, 600)
    assert photo.image.size == (100, 75)


def test_size_of_turned_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    drawn((800, 600), ground=WHITE).save(tmp_path / "a.jpg", exif=exif)
    photo = read_photo(tmp_path / "a.jpg", 100)
    assert photo.size == (600, 800)
    assert photo.image.size == (75, 100)


def test_cache_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []

    def decode(i: int) -> Photo:
        reads.append(i)
        return Photo(drawn(ground=WHITE), (80, 60))

    monkeypatch.setattr(read, "CACHE_BYTES", 2.5 * 80 * 60 * 3)
    cache = PhotoCache(decode)
    for _ in range(2):
        for i in range(3):
            cache.get(i)
    assert reads == [0, 1, 2, 2]
    cache.take(0)
    cache.get(2)  # there is room now
    cache.get(2)
    assert reads == [0, 1, 2, 2, 2]
