"""The square of each photograph (gs_esd/photos/framing.py)."""

import os
from pathlib import Path

import numpy as np
import pytest

from gs_esd.config.options import Normalize
from gs_esd.photos.framing import Box, choose_framing, common_square, were_cropped_singly
from gs_esd.photos.photo_set import load_photos
from tests.helpers.product_photos import HEIGHT, WIDTH, animals

PHOTOS = os.environ.get("GS_ESD_PHOTOS")


def silhouette_boxes(prompt: str, **views: float) -> list[Box]:
    boxes = []
    for alpha in animals(prompt, 24, **views)[..., 3]:
        rows, columns = np.nonzero(alpha > 0.5)
        boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    return [tuple(map(int, box)) for box in boxes]  # type: ignore[misc]


def cropped_to(boxes: list[Box], shift: int) -> list[Box]:
    """Boxes of photographs that were cropped to a square about the silhouette and made 128²."""
    generator = np.random.default_rng(0)
    cropped = []
    for left, top, right, bottom in boxes:
        scale = 128 / max(right - left, bottom - top)
        x, y = 0.5 * scale * (right - left), 0.5 * scale * (bottom - top)
        dx, dy = generator.integers(-shift, shift + 1, 2)
        box = (64 - x + dx, 64 - y + dy, 64 + x + dx, 64 + y + dy)
        cropped.append(tuple(int(np.clip(round(edge), 0, 128)) for edge in box))
    return cropped  # type: ignore[return-value]


@pytest.mark.parametrize("animal", ["a corgi", "a panda", "a penguin", "an elephant"])
@pytest.mark.parametrize("elevation_deg", [0.0, 30.0])
def test_turntable_and_single_crops(animal: str, elevation_deg: float) -> None:
    boxes = silhouette_boxes(animal, elevation_deg=elevation_deg)
    assert not were_cropped_singly(boxes, [(WIDTH, HEIGHT)] * 24)
    assert were_cropped_singly(cropped_to(boxes, shift=2), [(128, 128)] * 24)


def test_turntable_cropped_tightly_to_the_union() -> None:
    """A few photographs fill such a frame, not nearly all."""
    boxes = silhouette_boxes("a corgi")
    left, top = (min(box[i] for box in boxes) for i in (0, 1))
    right, bottom = (max(box[i] for box in boxes) for i in (2, 3))
    moved = [(a - left, b - top, c - left, d - top) for a, b, c, d in boxes]
    assert not were_cropped_singly(moved, [(right - left, bottom - top)] * len(boxes))


def test_axis_of_the_common_square() -> None:
    """An object off the axis: the union is symmetric about the axis over a full turn."""
    angles = np.arange(36) * 2 * np.pi / 36
    centres = 300 + 80 * np.cos(angles)
    boxes = [(int(x) - 20, 100, int(x) + 20, 200) for x in centres]
    left, top, right, bottom = common_square(boxes)
    assert 0.5 * (left + right) == pytest.approx(300, abs=1)
    assert 0.5 * (top + bottom) == pytest.approx(150, abs=1)
    assert right - left == bottom - top == pytest.approx(200 / 0.85, abs=1)


def test_auto() -> None:
    boxes = [(10, 10, 30, 60), (20, 10, 60, 60)]
    sizes = [(100, 80), (100, 80)]
    common = choose_framing(boxes, sizes, Normalize.auto, has_silhouettes=True)
    assert not common.framed_singly
    assert len(set(common.crops)) == 1
    assert "one square for all" in common.reason

    other_sizes = [(100, 80), (80, 100)]
    singly = choose_framing(boxes, other_sizes, Normalize.auto, has_silhouettes=True)
    assert singly.framed_singly
    assert "sizes differ" in singly.reason
    assert singly.crops[0] != singly.crops[1]
    assert all(c - a == d - b for a, b, c, d in singly.crops)

    whole = choose_framing(boxes, sizes, Normalize.auto, has_silhouettes=False)
    assert not whole.framed_singly
    assert whole.crops == [(0, -10, 100, 90)] * 2


@pytest.mark.skipif(PHOTOS is None, reason="needs GS_ESD_PHOTOS, a folder of photographs")
@pytest.mark.parametrize(
    ("name", "singly"),
    [("shoe", False)]
    + [(name, True) for name in ("lucky_cat", "piggy_bank", "duck", "mug", "box")],
)
def test_real_photographs(name: str, singly: bool) -> None:
    photos = load_photos(str(Path(str(PHOTOS)) / name), 32)
    assert photos.framed_singly == singly
    covered = (photos.rgba[:, 3] > 0.5).float().mean(dim=(1, 2))
    assert covered.amin() > 0.04
    assert covered.amax() < 0.6
