"""Bays and holes of a silhouette: whether they show the background, or belong to the object.

A pocket is what a larger closing would add to a silhouette: a dark letter at the edge of an object
on black, the space between two legs, or what a handle encloses. Its averages tell it from the
background far more finely than a single pixel can.

Notation
    hull        [H, W], the silhouette with its pockets
    features    [H, W, 4], differences from the background nearby, and grain
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from gs_esd.photos.background import Limits
from gs_esd.photos.surface import ellipse, reduced_size

CLOSING_WIDTHS = 1 / 8
"""Diameter of the closing that finds pockets."""
RIM_WIDTHS = 1 / 64
"""Distance from the object within which colours are mixed."""
MIN_GRAIN = 0.003
"""Limit of grain below which a background has none: it is drawn, or white beyond what a camera
records. The object's own white is equal to it then, and only holes in thin parts are cut, such as
handles."""
MIN_WIDTHS = 1 / 32
"""Side of the least square beyond it that is evidence."""


def judge_pockets(
    core: Bool[np.ndarray, "H W"],
    hull: Bool[np.ndarray, "H W"],
    features: Float[np.ndarray, "H W 4"],
    limits: Limits,
) -> tuple[Bool[np.ndarray, "H W"], Bool[np.ndarray, "H W"]]:
    """Find out which pockets are the object, and which the background.

    Args:
        core: pixels that are the object by themselves.
        hull: the silhouette with its pockets.
        features: of all pixels.
        limits: of the background's averages.

    Returns:
        Pixels of pockets that are the object and of those that are the background; in neither
        where there is too little evidence.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        (hull & ~core).astype(np.uint8), connectivity=4
    )
    width = core.shape[1]
    rim = 2 * max(1, round(RIM_WIDTHS * width)) + 1
    near = cv2.dilate(core.astype(np.uint8), np.ones((rim, rim), np.uint8))
    is_object, is_background = np.zeros_like(core), np.zeros_like(core)
    for i, (left, top, across, down, area) in enumerate(stats[1:], start=1):
        if area < (MIN_WIDTHS * width) ** 2:
            continue
        box = slice(top, top + down), slice(left, left + across)
        pocket = labels[box] == i
        evidence = features[box][pocket & (near[box] == 0)]
        if len(evidence) < (MIN_WIDTHS * width) ** 2:
            continue
        shows = limits.hold(evidence.mean(axis=0))
        if shows and limits.high[3] < MIN_GRAIN and _is_deep(labels == i, hull):
            continue
        (is_background if shows else is_object)[box] |= pocket
    return is_object, is_background


def _is_deep(pocket: Bool[np.ndarray, "H W"], hull: Bool[np.ndarray, "H W"]) -> bool:
    """Whether more of the object is around a pocket than half of its thickness."""
    wall = cv2.distanceTransform(hull.astype(np.uint8), cv2.DIST_L2, 3)[pocket].min()
    radius = cv2.distanceTransform(pocket.astype(np.uint8), cv2.DIST_L2, 3).max()
    return bool(wall > radius)


def hull_of(solid: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """A silhouette after a large closing, without holes."""
    height, width = solid.shape
    size = reduced_size(width, height)
    small = cv2.resize(255 * solid.astype(np.uint8), size, interpolation=cv2.INTER_AREA) >= 128
    disc = ellipse(CLOSING_WIDTHS * size[0])
    diameter = len(disc)
    padded = np.pad(small.astype(np.uint8), diameter)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)
    within = closed[diameter:-diameter, diameter:-diameter]
    large = cv2.resize(within, (width, height), interpolation=cv2.INTER_NEAREST) > 0
    return filled(large | solid)


def filled(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """A mask without holes."""
    bits = mask.astype(np.uint8)
    contours, _ = cv2.findContours(bits, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(bits), contours, -1, 1, cv2.FILLED) > 0)
