"""How the object is cut out, for the folder as a whole (gs_esd/photos/cut.py)."""

import importlib.machinery
import sys
import types
from pathlib import Path

import pytest
from PIL import Image

from gs_esd.config.options import Normalize
from gs_esd.errors import UserError
from gs_esd.photos import cut as cut_module
from tests.helpers.drawn_images import (
    BLACK,
    RED,
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


@pytest.fixture(autouse=True)
def _without_rembg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is installed here."""
    monkeypatch.setattr(cut_module, "find_spec", lambda _: None)


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
    assert extent(image) == pytest.approx(extent(expected), abs=1)
    inside = expected[3] == 1
    assert (image - expected)[:3, inside].abs().mean() < 0.02
    assert not any("backgrounds stay" in record.getMessage() for record in caplog.records)


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


def street(seed: int) -> Image.Image:
    return Image.fromarray(noise((80, 60), seed))


def test_backgrounds_stay_in_all_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drawn().save(tmp_path / "a.png")
    for i in range(3):
        street(i).save(tmp_path / f"street{i}.png")
    rgba = load(tmp_path, normalize=Normalize.none)
    [message] = [r.getMessage() for r in caplog.records if "backgrounds stay" in r.getMessage()]
    assert "the 4 photographs" in message
    assert "rembg" in message
    for image in rgba:  # that with alpha too: never some cut and some whole
        assert extent(image) == (0, 5, 40, 35)
        assert (image[3, 5:35] == 1).all()


def test_few_without_alpha_are_cut_out(tmp_path: Path) -> None:
    for i in range(3):
        drawn().save(tmp_path / f"{i}.png")
    drawn(ground=WHITE).save(tmp_path / "white.png")
    for image in load(tmp_path):
        assert size_of(image) == pytest.approx((21, 28), abs=1)
        assert is_red(image)


def test_few_without_alpha_that_cannot_be_cut_out(tmp_path: Path) -> None:
    for i in range(3):
        drawn().save(tmp_path / f"{i}.png")
    street(0).save(tmp_path / "street.png")
    with pytest.raises(UserError, match=r"1 photograph cannot be used.*\n.*street\.png: it has no"):
        load(tmp_path)


def test_few_with_alpha_among_plain_backgrounds(tmp_path: Path) -> None:
    """One alpha channel in use decides nothing: all are cut out alike."""
    for i in range(3):
        drawn(ground=WHITE).save(tmp_path / f"{i}.png")
    barely = drawn(ground=(255, 255, 255, 255))
    barely.putpixel((0, 0), (0, 0, 0, 0))
    barely.save(tmp_path / "barely.png")
    for image in load(tmp_path):
        assert size_of(image) == pytest.approx((21, 28), abs=1)


def test_rembg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in: it makes everything but red transparent."""

    def remove(image: Image.Image, session: object) -> Image.Image:
        assert session == "session"
        mask = image.getchannel("G").point(lambda green: 255 * (green == RED[1]))
        image.putalpha(mask)
        return image

    stand_in = types.ModuleType("rembg")
    stand_in.__spec__ = importlib.machinery.ModuleSpec("rembg", None)
    stand_in.new_session = lambda: "session"  # type: ignore[attr-defined]
    stand_in.remove = remove  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rembg", stand_in)
    monkeypatch.delitem(sys.modules, "gs_esd.photos.rembg_cut", raising=False)
    monkeypatch.setattr(cut_module, "find_spec", lambda _: stand_in.__spec__)
    for i in range(2):
        photo = street(i).point(lambda level: level | 1)  # no green of 30
        photo.paste(RED, (20, 10, 50, 50))
        photo.save(tmp_path / f"{i}.png")
    for image in load(tmp_path):
        assert size_of(image) == pytest.approx((21, 28), abs=1)
        assert is_red(image)
