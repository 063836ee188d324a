"""The square of each photograph that the optimiser gets (prior.normalize).

    auto     by evidence: `common square` if the photographs have equal sizes and were not cropped
             singly, else as height
    height   silhouettes are centred by their bounding boxes and scaled to equal heights
    common   silhouettes are centred, and all photographs scaled by one factor, so that the largest
             silhouette fills the frame
    none     neither centred nor scaled: photographs are padded to squares

Common square: the axis of a turntable is the horizontal middle of the union of all silhouettes,
since a full turn is symmetric about it. One square about it, the same for all, keeps the axis where
it is, so that one rigid object explains all photographs.

Photographs were cropped singly (as data sets like COIL-100 are) if the silhouette reaches two
opposite borders of its photograph and is centred between the two others, in nearly all of them. One
camera that stands still takes such photographs only of what looks equally large from everywhere,
for which both framings agree.

A box is left, top, right, bottom in pixels.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from gs_esd.config.options import Normalize

MAX_HEIGHT_FRACTION, MAX_WIDTH_FRACTION = 0.7, 0.9
"""Largest extent of a silhouette relative to the frame, where photographs are framed singly."""
UNION_FRACTION = 0.85
"""Extent of the union of all silhouettes relative to the common square."""
CROPPED_EXTENT, CROPPED_OFFSET = 0.95, 0.04
"""Of a photograph that was cropped to its silhouette: least extent of the longer side relative to
the frame, and largest distance of the box's centre from the frame's, relative to its side."""
NEARLY_ALL = 0.9
"""Fraction of the photographs that must bear out a claim about the folder."""

Box = tuple[int, int, int, int]
Size = tuple[int, int]


@dataclass(frozen=True)
class Framing:
    """The crop of each photograph, in pixels as it was read."""

    crops: list[Box]
    """Squares, to a pixel; outside the photograph they are transparent."""
    framed_singly: bool
    """Every photograph was centred, and perhaps scaled, by itself."""
    reason: str
    """What was decided and why, in words."""


def choose_framing(
    boxes: list[Box], sizes: list[Size], normalize: Normalize, *, has_silhouettes: bool
) -> Framing:
    """Choose the square of each photograph.

    Args:
        boxes: bounding boxes of the silhouettes.
        sizes: width and height of the photographs.
        normalize: prior.normalize.
        has_silhouettes: whether the background is gone; else a box is a whole photograph.
    """
    match normalize:
        case Normalize.height:
            crops = _about_boxes(boxes, _height_sides(boxes))
            return Framing(crops, True, "equal heights, centred by silhouettes: prior.normalize")
        case Normalize.common:
            crops = _about_boxes(boxes, _common_sides(boxes))
            return Framing(crops, True, "one scale, centred by silhouettes: prior.normalize")
        case Normalize.none:
            return Framing(_whole(sizes), False, "as photographed: prior.normalize")
        case Normalize.auto:
            return _by_evidence(boxes, sizes, has_silhouettes)


def _by_evidence(boxes: list[Box], sizes: list[Size], has_silhouettes: bool) -> Framing:
    singly = Framing(_about_boxes_exactly(boxes, _height_sides(boxes)), True, "")
    heights = "every photograph is centred and scaled to equal height by itself"
    if len(set(sizes)) > 1:
        return Framing(singly.crops, True, f"{heights}, since sizes differ in pixels")
    if not has_silhouettes:
        return Framing(_whole(sizes), False, "as photographed, since backgrounds stay")
    if were_cropped_singly(boxes, sizes):
        return Framing(
            singly.crops, True, f"{heights}, since each one is cropped to its silhouette already"
        )
    return Framing(
        [common_square(boxes)] * len(boxes),
        False,
        "one square for all about the axis of rotation, since all have equal sizes",
    )


def were_cropped_singly(boxes: list[Box], sizes: list[Size]) -> bool:
    """Whether nearly all silhouettes fill and halve their photographs; see the module."""
    left, top, right, bottom = _columns(boxes)
    frame = np.array(sizes, dtype=float)  # [M, 2]
    extent = np.stack([right - left, bottom - top], axis=1) / frame
    offset = np.abs(0.5 * np.stack([left + right, top + bottom], axis=1) / frame - 0.5)
    cropped = (extent.max(axis=1) >= CROPPED_EXTENT) & (offset.max(axis=1) <= CROPPED_OFFSET)
    return bool(cropped.mean() >= NEARLY_ALL)


def common_square(boxes: list[Box]) -> Box:
    """The square about the middle of the union of all boxes, which fills UNION_FRACTION of it."""
    left, top, right, bottom = _columns(boxes)
    union = left.min(), top.min(), right.max(), bottom.max()
    side = max(union[2] - union[0], union[3] - union[1]) / UNION_FRACTION
    return _square(0.5 * (union[0] + union[2]), 0.5 * (union[1] + union[3]), side)


def _square(x: float, y: float, side: float) -> Box:
    """The square of whole pixels nearest to one about a centre."""
    whole = max(1, round(side))
    left, top = round(x - 0.5 * whole), round(y - 0.5 * whole)
    return left, top, left + whole, top + whole


def _about_boxes_exactly(boxes: list[Box], sides: list[float]) -> list[Box]:
    return [
        _square(0.5 * (left + right), 0.5 * (top + bottom), side)
        for (left, top, right, bottom), side in zip(boxes, sides, strict=True)
    ]


def _about_boxes(boxes: list[Box], sides: list[float]) -> list[Box]:
    """Crops about boxes, with each edge rounded by itself: a pixel from square at most."""
    crops = []
    for (left, top, right, bottom), side in zip(boxes, sides, strict=True):
        x, y = 0.5 * (left + right - side), 0.5 * (top + bottom - side)
        crops.append((round(x), round(y), round(x + side), round(y + side)))
    return crops


def _whole(sizes: list[Size]) -> list[Box]:
    boxes = [(0, 0, width, height) for width, height in sizes]
    return _about_boxes(boxes, [float(max(size)) for size in sizes])


def _height_sides(boxes: list[Box]) -> list[float]:
    left, top, right, bottom = _columns(boxes)
    widths, heights = right - left, bottom - top
    max_height = MAX_WIDTH_FRACTION * float((heights / widths).min())
    return (heights / min(MAX_HEIGHT_FRACTION, max_height)).tolist()


def _common_sides(boxes: list[Box]) -> list[float]:
    left, top, right, bottom = _columns(boxes)
    height, width = float((bottom - top).max()), float((right - left).max())
    return [max(height / MAX_HEIGHT_FRACTION, width / MAX_WIDTH_FRACTION)] * len(boxes)


def _columns(boxes: list[Box]) -> Float[np.ndarray, "4 M"]:
    return np.array(boxes, dtype=float).T
