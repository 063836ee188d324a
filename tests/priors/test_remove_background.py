"""Reading images and removing their background (gs_esd/priors/image_folder.py)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from gs_esd.config.options import Normalize
from gs_esd.priors.image_folder import connected_to_border
from tests.helpers.drawn_images import (
    BLACK,
    TEAL,
    WHITE,
    color_inside,
    drawn,
    extent,
    is_red,
    load,
    load_one,
    noise,
    size_of,
)


def test_alpha_channel(tmp_path: Path) -> None:
    image = load_one(tmp_path, drawn())
    assert is_red(image)
    assert image[:, 0].amax() == 0
    # 30 by 40 pixels, 0.7 of the frame tall: 28 of 40 rows, and 21 columns.
    assert extent(image) == (10, 6, 31, 34) or extent(image) == (9, 6, 30, 34)


@pytest.mark.parametrize("ground", [WHITE, BLACK, TEAL])
def test_uniform_background(
    tmp_path: Path, ground: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "with alpha").mkdir()
    (tmp_path / "without").mkdir()
    image = load_one(tmp_path / "without", drawn(ground=ground))
    expected = load_one(tmp_path / "with alpha", drawn())
    torch.testing.assert_close(image, expected, rtol=0, atol=0)
    assert caplog.records == []


@pytest.mark.parametrize(("name", "quality"), [("a.jpg", 95), ("a.JPEG", 80), ("a.webp", 80)])
def test_uniform_background_of_lossy_image(tmp_path: Path, name: str, quality: int) -> None:
    red = drawn((400, 300), (100, 50, 250, 250), ground=WHITE)
    image = load_one(tmp_path, red, name, quality=quality)
    assert is_red(image, tolerance=0.06)
    assert size_of(image) == pytest.approx((21, 28), abs=1)


def test_enclosed_region_of_background_colour(tmp_path: Path) -> None:
    """A penguin's white belly on a white background."""
    penguin = drawn(ground=WHITE, color=BLACK)
    penguin.paste(WHITE, (28, 20, 42, 40))
    image = load_one(tmp_path, penguin)
    left, top, right, bottom = extent(image)
    assert (image[3, top + 1 : bottom - 1, left + 1 : right - 1] == 1).all()
    assert (color_inside(image) == 1).all()
    assert (image[:3, top + 2, left + 2] == 0).all()


def test_open_region_of_background_colour(tmp_path: Path) -> None:
    """The background between two legs."""
    legs = drawn(ground=WHITE, color=BLACK)
    legs.paste(WHITE, (30, 30, 40, 50))
    image = load_one(tmp_path, legs)
    left, _, right, bottom = extent(image)
    assert image[3, bottom - 4, (left + right) // 2] == 0
    assert image[3, bottom - 4, left + 2] == 1


def test_connected_to_border() -> None:
    mask = torch.ones(9, 9, dtype=torch.bool)
    mask[2:7, 2:7] = False
    mask[3:6, 3:6] = True
    expected = mask.clone()
    expected[3:6, 3:6] = False
    assert torch.equal(connected_to_border(mask), expected)
    assert torch.equal(connected_to_border(~mask), torch.zeros_like(mask))


def flood_fill(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`connected_to_border`, pixel by pixel."""
    height, width = mask.shape
    edge = [(y, x) for y in range(height) for x in range(width)]
    waiting = [(y, x) for y, x in edge if y in (0, height - 1) or x in (0, width - 1)]
    reached = np.zeros_like(mask)
    while waiting:
        y, x = waiting.pop()
        if 0 <= y < height and 0 <= x < width and mask[y, x] and not reached[y, x]:
            reached[y, x] = True
            waiting += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
    return reached


@pytest.mark.parametrize("seed", range(20))
def test_connected_to_border_in_maze(seed: int) -> None:
    mask = np.random.default_rng(seed).random((23, 31)) < 0.62
    reached = connected_to_border(torch.from_numpy(mask))
    np.testing.assert_array_equal(reached.numpy(), flood_fill(mask))
    assert 0 < reached.sum() < mask.sum()


def test_warning_without_foreground_mask(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    drawn().save(tmp_path / "a.png")
    Image.fromarray(noise((80, 60))).save(tmp_path / "street.png")
    whole = load(tmp_path, normalize=Normalize.none)[1]
    [record] = caplog.records
    message = record.getMessage()
    assert record.levelname == "WARNING"
    assert "1 of 2 images" in message
    assert "street.png" in message
    assert "rembg" in message
    assert extent(whole) == (0, 5, 40, 35)
    assert (whole[3, 5:35] == 1).all()


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
