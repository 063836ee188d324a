"""Cutting the object out of a plain background (gs_esd/photos/background.py).

Notation
    rgb         [H, W, 3] of uint8
    distance    [H, W], largest difference of a blurred pixel's channels from the background
    mask        [H, W], of the object
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from gs_esd.photos.background import (
    PlainBackground,
    ellipse,
    largest_difference,
    smoothed,
)

OUTERMOST_WIDTHS = 1 / 64
"""Margin of a photograph with artefacts of resizing: bars that the pixels within do not go on."""
CLOSING_WIDTHS, OPENING_PIXELS = 1 / 40, 3
"""Diameters of gaps that are closed, and of specks and bridges that are removed."""
EDGE_WIDTHS, MIN_EDGE_PIXELS = 1 / 100, 3
"""Depth of the mask's edge, in which alpha follows from colours."""
EDGE_START, EDGE_END = 0.25, 0.75
"""Distances relative to the largest nearby at which alpha is 0 and 1."""
LARGEST_EDGE_DISTANCE = 0.6
"""Greater distances count as this, or highlights would make what is around them transparent."""
EDGE_BLUR_PIXELS = 0.7
"""Standard deviation of the blur of the mask's edge."""


def cut_out(image: Image.Image, background: PlainBackground) -> Image.Image:
    """RGBA with straight alpha: the largest thing that differs from the background.

    Everything inside its outer contour belongs to it. Along its edge, the background's part is
    taken out of the colours. Alpha is 0 everywhere if there is nothing.
    """
    rgb = np.asarray(image.convert("RGB"))
    smooth = smoothed(rgb)
    ground = background.of(smooth)
    distance = largest_difference(smooth, ground)
    alpha = soft_edge(object_mask(distance > background.threshold), distance)
    levels = (255 * alpha).round().astype(np.uint8)
    return Image.fromarray(np.dstack([without_spill(rgb, levels, ground), levels]))


def object_mask(foreground: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The largest connected part after closing and opening, with its holes filled."""
    mask = _without_bars(foreground)
    closing = ellipse(CLOSING_WIDTHS * mask.shape[1])
    pad = len(closing)
    # What touches the border goes on beyond it, or closing would open it there.
    padded = np.pad(mask, pad, mode="edge")
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, closing)[pad:-pad, pad:-pad]
    square = np.ones((OPENING_PIXELS, OPENING_PIXELS), np.uint8)
    return largest_filled(cv2.morphologyEx(closed, cv2.MORPH_OPEN, square).astype(bool))


def _without_bars(foreground: Bool[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """Keep the outermost pixels only where the nearest pixel within is foreground too."""
    mask = foreground.astype(np.uint8)
    n = min(max(1, round(OUTERMOST_WIDTHS * mask.shape[1])), (min(mask.shape) - 1) // 2)
    if n > 0:
        within = np.pad(mask[n:-n, n:-n], n, mode="edge")
        mask &= within
    return mask


def largest_filled(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The largest connected part of a mask, with its holes filled."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=4
    )
    if count < 2:
        return np.zeros_like(mask)
    largest = (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    contours, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(largest), contours, -1, 1, cv2.FILLED)
    return np.asarray(filled, dtype=bool)


def soft_edge(
    mask: Bool[np.ndarray, "H W"], distance: Float[np.ndarray, "H W"]
) -> Float[np.ndarray, "H W"]:
    """Alpha of a mask: at its edge, where the distance is half of the largest nearby, it is 0.5.

    The mask begins where a pixel differs at all from the background, which a blurred edge does
    some pixels too far out. Where the object hardly differs itself, the mask stays.
    """
    depth = max(MIN_EDGE_PIXELS, round(EDGE_WIDTHS * mask.shape[1]))
    disc = ellipse(2 * depth + 1)
    bits = mask.astype(np.uint8)
    inner = cv2.erode(bits, disc, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    largest = cv2.dilate(np.minimum(distance, LARGEST_EDGE_DISTANCE), disc)
    relative = distance / np.maximum(largest, 1e-6)
    edge = ((relative - EDGE_START) / (EDGE_END - EDGE_START)).clip(0, 1)
    blurred = cv2.GaussianBlur(255 * bits, (0, 0), EDGE_BLUR_PIXELS).astype(np.float32) / 255
    alpha = np.where(inner > 0, 1, np.minimum(blurred, edge))
    main = largest_filled(alpha >= 0.5).astype(np.uint8)  # without specks that the edge left
    return np.asarray(alpha * cv2.dilate(main, np.ones((3, 3), np.uint8)), dtype=np.float32)


def without_spill(
    rgb: UInt8[np.ndarray, "H W 3"],
    alpha: UInt8[np.ndarray, "H W"],
    ground: Float[np.ndarray, "H W 3"],
) -> UInt8[np.ndarray, "H W 3"]:
    """Colours of the object alone where alpha mixes it with the background: (C - (1 - α) B) / α."""
    mixed = (alpha > 0) & (alpha < 255)
    opacity = alpha[mixed].astype(np.float32)[:, None] / 255
    color = (rgb[mixed] - (1 - opacity) * 255 * ground[mixed]) / opacity
    clean = rgb.copy()
    clean[mixed] = color.clip(0, 255).round().astype(np.uint8)
    return clean
