"""Dark parts, holes, shadows and faint parts of objects (gs_esd/photos/pockets.py, shadow.py)."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gs_esd.photos.background import find_background
from gs_esd.photos.matte import cut_out
from tests.helpers.product_photos import (
    Pixels,
    animals,
    mugs,
    photographs,
    plain,
    vignette,
    woven,
)

LETTER_AT_THE_EDGE = slice(115, 142), slice(254, 265)
LETTER_WITHIN = slice(130, 170), slice(180, 200)
HANDLE = slice(120, 180), slice(85, 115)


def alphas(photos: list[Image.Image]) -> NDArray[np.float32]:
    background = find_background(photos)
    assert background is not None
    cuts = [np.asarray(cut_out(photo, background)) for photo in photos]
    return np.stack(cuts)[..., 3].astype(np.float32) / 255


def soft_overlaps(alpha: NDArray[np.float32], rgba: Pixels) -> NDArray[np.float32]:
    truth = rgba[..., 3]
    both = np.minimum(alpha, truth).sum(axis=(1, 2))
    return np.asarray(both / np.maximum(alpha, truth).sum(axis=(1, 2)))


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_dark_letters_on_black_cloth(noise: float) -> None:
    alpha = alphas(photographs(woven(0.08), rgba=mugs(), noise=noise))
    assert alpha[:, *LETTER_WITHIN].min() == 1
    assert alpha[:, *LETTER_AT_THE_EDGE].mean() > 0.9


@pytest.mark.parametrize(
    "backdrop",
    [woven(0.1), plain(0.5), plain((0.15, 0.3, 0.75)), plain(1.0), vignette(0.7, 0.3)],
    ids=["cloth", "grey", "blue", "white", "vignette"],
)
def test_handle(backdrop: Any) -> None:
    """The background shows through it, and only through it."""
    alpha = alphas(photographs(backdrop, rgba=mugs(), noise=0.01))
    assert alpha[:, *HANDLE].max() == 0
    assert alpha[:, *LETTER_WITHIN].min() == 1
    assert soft_overlaps(alpha, mugs()).min() > 0.96


def test_enclosed_part_of_nearly_the_backgrounds_colour() -> None:
    """A hole has the background's very colour and texture, and this has not."""
    alpha = alphas(photographs(plain(0.5), rgba=mugs((133, 133, 133)), noise=0.01))
    assert alpha[:, *HANDLE].min() == 1


def test_enclosed_part_without_the_backgrounds_texture() -> None:
    alpha = alphas(photographs(woven(0.1, texture=0.03), rgba=mugs((26, 26, 26))))
    assert alpha[:, *HANDLE].min() == 1


@pytest.mark.parametrize("level", [0.85, (0.15, 0.3, 0.75)])
def test_soft_shadows(level: Any) -> None:
    alpha = alphas(photographs(plain(level), shadow=0.35, noise=0.006))
    truth = animals()[..., 3]
    assert soft_overlaps(alpha, animals()).min() > 0.92
    assert ((alpha > 0.5) & (truth > 0.99)).sum() > 0.97 * (truth > 0.99).sum()


def test_shading_is_no_shadow() -> None:
    """A white object's shaded side is as grey as a shadow."""
    alpha = alphas(photographs(plain(1.0), rgba=animals("a panda"), noise=0.006))
    truth = animals("a panda")[..., 3] > 0.99
    assert ((alpha > 0.5) & truth).sum() > 0.985 * truth.sum()


def test_white_and_black_on_light_grey() -> None:
    """A panda's white is told from the background though its black differs far more."""
    rgba = animals("a panda")
    alpha = alphas(photographs(plain(0.85), rgba=rgba, noise=0.006))
    assert soft_overlaps(alpha, rgba).min() > 0.93


def test_jpeg_blocks_under_a_vignette() -> None:
    """Neither stays in the handle or around it."""
    photos = []
    for photo in photographs(vignette(0.6, 0.3), rgba=mugs(), noise=0.006):
        file = io.BytesIO()
        photo.save(file, "JPEG", quality=70)
        photos.append(Image.open(file))
    alpha = alphas(photos)
    assert alpha[:, *HANDLE].max() == 0
    assert soft_overlaps(alpha, mugs()).min() > 0.95


def test_soft_edges() -> None:
    """Alpha falls from 1 to 0 over some pixels, at holes as outside."""
    alpha = alphas(photographs(woven(0.1), rgba=mugs()))
    around = alpha[:, 80:220, 70:130]
    assert ((around > 0.1) & (around < 0.9)).sum() > 200
