"""Objects cut out of plain backgrounds (gs_esd/photos/matte.py, gs_esd/photos/background.py)."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gs_esd.photos.background import find_background
from gs_esd.photos.matte import cut_out, largest_part, object_mask, without_spill
from gs_esd.photos.pockets import filled
from tests.helpers.product_photos import (
    animals,
    clutter,
    gradient,
    overlap,
    photographs,
    plain,
    vignette,
)

BACKDROPS: dict[str, tuple[Any, dict[str, Any]]] = {
    "white": (plain(1.0), {}),
    "green": (plain((0.2, 0.6, 0.3)), {"noise": 0.02}),
    "grey-cloth": (plain(0.5), {"noise": 0.02}),
    "black-cloth": (plain(0.08), {"noise": 0.03}),
    "noisy": (plain(0.5), {"noise": 0.05}),
    "sweep": (gradient(0.75, 0.9), {"noise": 0.01}),
    "steep-sweep": (gradient(0.6, 0.9), {}),
    "vignette": (vignette(0.85, 0.3), {"noise": 0.01}),
    "watermark": (plain(1.0), {"watermark": True}),
    "exposure": (lambda i: plain(0.6 + 0.02 * (i % 5)), {"noise": 0.01}),
}


def cut_all(photos: list[Image.Image]) -> list[NDArray[np.uint8]]:
    background = find_background(photos)
    assert background is not None
    return [np.asarray(cut_out(photo, background)) for photo in photos]


def overlaps(photos: list[Image.Image], prompt: str = "a corgi") -> list[float]:
    truth = animals(prompt)[..., 3] > 0.5
    return [overlap(c[..., 3] >= 128, t) for c, t in zip(cut_all(photos), truth, strict=True)]


@pytest.mark.parametrize("name", BACKDROPS)
def test_plain_backdrops(name: str) -> None:
    backdrop, options = BACKDROPS[name]
    found = overlaps(photographs(backdrop, **options))
    assert min(found) > 0.93
    assert np.median(found) > 0.955


def test_white_animal_on_white() -> None:
    photos = photographs(plain(1.0), rgba=animals("a panda"), noise=0.01)
    assert min(overlaps(photos, "a panda")) > 0.93


def test_jpeg() -> None:
    photos = []
    for photo in photographs(plain(1.0)):
        file = io.BytesIO()
        photo.save(file, "JPEG", quality=75)
        photos.append(Image.open(file))
    assert min(overlaps(photos)) > 0.91


@pytest.mark.parametrize("level", [1.0, 0.7])
def test_shadow_that_reaches_the_border(level: float) -> None:
    """It may stay, but the animal is whole, and the rest of the background goes."""
    truth = animals()[..., 3] > 0.5
    for cut, mask in zip(
        cut_all(photographs(plain(level), shadow=0.3, noise=0.01)), truth, strict=True
    ):
        kept = cut[..., 3] >= 128
        assert (kept & mask).sum() > 0.95 * mask.sum()
        feet = np.nonzero(mask.any(axis=1))[0].max()
        above = kept[: feet - 40], mask[: feet - 40]
        assert overlap(*above) > 0.92


@pytest.mark.parametrize(
    "backdrop",
    [
        clutter(),
        clutter,
        np.vstack([plain(0.8)[:180], plain(0.45)[180:]]),
    ],
    ids=["room", "moving-room", "table-and-wall"],
)
def test_backgrounds_that_are_not_plain(backdrop: Any) -> None:
    assert find_background(photographs(backdrop, noise=0.01)) is None


def test_colours_of_the_edge() -> None:
    """No rim of the background's colour: over another one, the animals look as they are."""
    truth = animals()
    for photo, image in zip(cut_all(photographs(plain((0.1, 0.9, 0.1)))), truth, strict=True):
        alpha = photo[..., 3:] / 255
        edge = (photo[..., 3] > 100) & (photo[..., 3] < 255)
        assert edge.sum() > 50
        premultiplied = photo[..., :3] / 255 * alpha
        difference = (premultiplied - image[..., :3])[edge]
        assert np.abs(difference).mean() < 0.12
        assert (photo[edge][:, 1] - photo[edge][:, 0].astype(int)).mean() < 30


def test_without_spill() -> None:
    ground = np.full((1, 3, 3), 0.2, np.float32)
    color = np.array([200, 100, 60])
    alpha = np.array([[0, 128, 255]], np.uint8)
    opacity = alpha[..., None] / 255
    rgb = (opacity * color + (1 - opacity) * 51).round().astype(np.uint8)
    clean = without_spill(rgb, alpha, ground)
    assert np.abs(clean[0, 1:].astype(int) - color).max() <= 2


def test_largest_part() -> None:
    mask = np.zeros((40, 40), bool)
    mask[5:25, 5:25] = True
    whole = mask.copy()
    mask[10:15, 10:15] = False
    mask[30:35, 30:38] = True
    assert (filled(largest_part(mask)) == whole).all()
    assert not largest_part(np.zeros((4, 4), bool)).any()


def test_bar_at_the_border() -> None:
    """Artefacts of resizing at the edge of a photograph are no part of the object beside them."""
    mask = np.zeros((128, 128), bool)
    mask[30:100, 10:90] = True
    expected = mask.copy()
    mask[20:110, :2] = True
    mask[60:64, 2:10] = True  # which connects them
    found = object_mask(mask)
    assert (found[:, 10:] == expected[:, 10:]).all()
    assert not found[:58, :8].any()
    assert not found[66:, :8].any()
    touching = np.zeros((128, 128), bool)
    touching[30:100, :90] = True
    assert (object_mask(touching) == touching).all()
