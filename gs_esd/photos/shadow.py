"""Shadows that an object casts on a light background: they are background.

A shadow is darker than the background and of the same colour, and it fades out: from the background
into it there is no edge. It lies around the foot of the object, so only the lower half is searched.

Notation
    smooth, ground  [H, W, 3], a photograph blurred against noise, and its background
    foreground      [H, W], what differs from the background
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from gs_esd.photos.surface import ellipse, reduced_size

MIN_GROUND_LUMA = 0.25
"""Darker backgrounds show no shadow that noise would leave to be seen."""
MIN_LIGHT = 0.3
"""Least fraction of light in a shadow."""
MAX_COLOR_DIFFERENCE = 0.006
"""Largest difference of a channel from the background in less light."""
MAX_SLOPE = 0.0295
"""Largest change of that fraction from pixel to pixel, at the reduced size."""
ABOVE_FOOT = 0.5
"""Upper part of the foreground's height in which no shadow is searched."""
NECK_PIXELS = 3
"""Width of gaps in an edge that the search does not pass."""


def cast_shadow(
    smooth: Float[np.ndarray, "H W 3"],
    ground: Float[np.ndarray, "H W 3"],
    foreground: Bool[np.ndarray, "H W"],
) -> Bool[np.ndarray, "H W"]:
    """Find the part of the foreground that is a shadow."""
    height, width = foreground.shape
    none = np.zeros_like(foreground)
    if not foreground.any() or ground.mean() < MIN_GROUND_LUMA:
        return none
    size = reduced_size(width, height)
    photo, empty = (
        cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (smooth, ground)
    )
    fraction = photo.mean(axis=2) / np.maximum(empty.mean(axis=2), 1e-3)
    color = np.abs(photo - fraction[..., None] * empty).max(axis=2)
    is_dark = (fraction < 1) & (fraction > MIN_LIGHT) & (color < MAX_COLOR_DIFFERENCE)
    rows = np.nonzero(foreground.any(axis=1))[0]
    top = rows[0] + ABOVE_FOOT * (rows[-1] - rows[0])
    is_dark[: round(top * size[1] / height)] = False
    small = cv2.resize(255 * foreground.astype(np.uint8), size, interpolation=cv2.INTER_AREA) >= 128
    reached = _reached(small, is_dark, fraction)
    return foreground & (
        cv2.resize(reached.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    )


def _reached(
    foreground: Bool[np.ndarray, "H W"],
    is_dark: Bool[np.ndarray, "H W"],
    fraction: Float[np.ndarray, "H W"],
) -> Bool[np.ndarray, "H W"]:
    """What the background reaches through dark pixels, without crossing an edge."""
    down = cv2.Scharr(fraction, -1, 0, 1, scale=1 / 32)
    right = cv2.Scharr(fraction, -1, 1, 0, scale=1 / 32)
    is_open = (~foreground | is_dark) & (np.hypot(down, right) < MAX_SLOPE)
    neck = ellipse(NECK_PIXELS)
    wide = cv2.morphologyEx(is_open.astype(np.uint8), cv2.MORPH_OPEN, neck)
    _, labels = cv2.connectedComponents(wide, connectivity=4)
    outside = np.unique(labels[~foreground & (wide > 0)])
    reached = np.isin(labels, outside[outside > 0]).astype(np.uint8)
    return (cv2.dilate(reached, ellipse(NECK_PIXELS + 2)) > 0) & foreground & is_dark
