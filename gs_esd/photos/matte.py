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
    grain,
    nearby_average,
    opponent,
    smoothed,
)
from gs_esd.photos.pockets import filled, hull_of, judge_pockets
from gs_esd.photos.shadow import cast_shadow
from gs_esd.photos.surface import ellipse, largest_difference, reduced_size

OUTERMOST_WIDTHS = 1 / 64
"""Margin of a photograph with artefacts of resizing: bars that the pixels within do not go on."""
CLOSING_WIDTHS, OPENING_PIXELS = 1 / 40, 3
"""Diameters of gaps that are closed, and of specks and bridges that are removed."""
FRINGE_WIDTHS = 1 / 40
"""Half of the largest thickness of a fringe."""
FRINGE_DISTANCE = 0.2
"""Largest distance of a fringe, relative to the largest nearby."""
WEAK_EXCESS, GROWTH_WIDTHS = 0.65, 1 / 64
"""What exceeds this fraction of the limits of the background is the object within its hull."""
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

    What it encloses belongs to it unless the background shows through. Along its edge, the
    background's part is taken out of the colours. Alpha is 0 everywhere if there is nothing.
    """
    rgb = np.asarray(image.convert("RGB"))
    smooth = smoothed(rgb)
    ground = background.of(smooth)
    distance = largest_difference(smooth, ground)
    mask, pockets = silhouette(rgb, smooth, ground, distance, background)
    alpha = soft_edge(mask, distance, pockets)
    levels = (255 * alpha).round().astype(np.uint8)
    return Image.fromarray(np.dstack([without_spill(rgb, levels, ground), levels]))


def silhouette(
    rgb: UInt8[np.ndarray, "H W 3"],
    smooth: Float[np.ndarray, "H W 3"],
    ground: Float[np.ndarray, "H W 3"],
    distance: Float[np.ndarray, "H W"],
    background: PlainBackground,
) -> tuple[Bool[np.ndarray, "H W"], Bool[np.ndarray, "H W"]]:
    """The object, and the pockets that belong to it (gs_esd/photos/pockets.py)."""
    difference = opponent(smooth - ground)
    foreground = background.foreground(difference, distance)
    foreground = without_fringe(foreground, distance, background.threshold)
    shadow = np.zeros_like(foreground)
    if background.has_shadows:
        shadow = cast_shadow(smooth, ground, foreground)
    seed = object_mask(foreground & ~shadow)
    hull = hull_of(seed)
    nearby = difference - nearby_average(difference, background.limits)
    weak = background.nearby_limits.excess(nearby) > WEAK_EXCESS
    mask = _grown(seed, weak & hull & ~shadow)
    features = cv2.merge([*cv2.split(nearby), grain(rgb, smooth)])
    added, removed = judge_pockets(mask, hull, features, background.patch_limits)
    return (filled(mask) | added) & ~(removed | shadow), added


def _grown(seed: Bool[np.ndarray, "H W"], weak: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The object with what is weak and thicker than a fringe."""
    disc = ellipse(GROWTH_WIDTHS * seed.shape[1])
    thick = cv2.morphologyEx((weak & ~seed).astype(np.uint8), cv2.MORPH_OPEN, disc) > 0
    return object_mask(seed | thick) if thick.any() else seed


def without_fringe(
    mask: Bool[np.ndarray, "H W"], distance: Float[np.ndarray, "H W"], threshold: float
) -> Bool[np.ndarray, "H W"]:
    """A mask without what is thin and hardly differs beside what differs much.

    Sharpening, compression and the smear of colours surround an object with such a fringe.
    """
    height, width = mask.shape
    size = reduced_size(width, height)
    disc = ellipse(2 * FRINGE_WIDTHS * size[0])
    bounded = np.minimum(distance, LARGEST_EDGE_DISTANCE)
    largest = cv2.dilate(cv2.resize(bounded, size, interpolation=cv2.INTER_AREA), disc)
    bound = np.minimum(threshold, FRINGE_DISTANCE * cv2.resize(largest, (width, height)))
    faint = mask & (distance < bound)
    small = cv2.resize(faint.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    thick = cv2.dilate(cv2.morphologyEx(small, cv2.MORPH_OPEN, disc), disc)
    thick = cv2.resize(thick, (width, height), interpolation=cv2.INTER_NEAREST)
    return mask & ~(faint & (thick == 0))


def object_mask(foreground: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The largest connected part after closing and opening, with its holes filled."""
    mask = _without_bars(foreground)
    closing = ellipse(CLOSING_WIDTHS * mask.shape[1])
    pad = len(closing)
    # What touches the border goes on beyond it, or closing would open it there.
    padded = np.pad(mask, pad, mode="edge")
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, closing)[pad:-pad, pad:-pad]
    square = np.ones((OPENING_PIXELS, OPENING_PIXELS), np.uint8)
    return largest_part(cv2.morphologyEx(closed, cv2.MORPH_OPEN, square).astype(bool))


def _without_bars(foreground: Bool[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """Keep the outermost pixels only where the nearest pixel within is foreground too."""
    mask = foreground.astype(np.uint8)
    n = min(max(1, round(OUTERMOST_WIDTHS * mask.shape[1])), (min(mask.shape) - 1) // 2)
    if n > 0:
        within = np.pad(mask[n:-n, n:-n], n, mode="edge")
        mask &= within
    return mask


def largest_part(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The largest connected part of a mask."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=4
    )
    if count < 2:
        return np.zeros_like(mask)
    return np.asarray(labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax())


def soft_edge(
    mask: Bool[np.ndarray, "H W"],
    distance: Float[np.ndarray, "H W"],
    pockets: Bool[np.ndarray, "H W"],
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
    edge[pockets] = 1
    blurred = cv2.GaussianBlur(255 * bits, (0, 0), EDGE_BLUR_PIXELS).astype(np.float32) / 255
    alpha = np.where(inner > 0, 1, np.minimum(blurred, edge))
    main = largest_part(alpha >= 0.5).astype(np.uint8)  # without specks that the edge left
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
