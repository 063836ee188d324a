"""The plain background of a folder of photographs: its colours, and the evidence that it is plain.

A background varies: it has noise and texture, and the light on it is not quite even. How far it
goes is measured where pixels are background for certain, in three steps, each finer than the last:
pixel by pixel against the folder's surface (gs_esd/photos/surface.py), pixel by pixel against the
background nearby in the same photograph, and for averages over patches.

Notation
    rgb         [H, W, 3] of uint8
    smooth      [H, W, 3], rgb blurred against noise, in [0, 1]
    difference  [H, W, 3] of smooth and background: luma, red against green, blue against both
    certain     [H, W], pixels that are background for certain
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from gs_esd.photos.shadow import cast_shadow
from gs_esd.photos.surface import (
    CERTAIN_QUANTILE,
    MAX_THRESHOLD,
    border,
    far_from,
    fit_surface,
    largest_difference,
    measure,
    own_color,
    reduced_size,
    surface_values,
    threshold_of,
)

BLUR_WIDTHS, MIN_BLUR_PIXELS = 1 / 400, 0.6
"""Standard deviation of the blur against noise: a fraction of the width, and at least so much."""
SURFACE_PIXELS = 64
"""Side to which photographs are reduced to fit the surface."""
OPPONENT_AXES = np.array([[1 / 3, 1 / 3, 1 / 3], [1, -1, 0], [-0.5, -0.5, 1]], np.float32)
NEARBY_WIDTHS = 1 / 12
"""Standard deviation of the weights of the background nearby."""
MIN_NEARBY_WEIGHT = 1e-3
PATCH_WIDTHS = 1 / 24
"""Side of the patches in which the background is averaged."""
PATCH_QUANTILE = 0.99
PATCH_FACTOR, PATCH_OFFSET = 1.25, 0.006
GRAIN_FACTOR, GRAIN_OFFSET = 1.5, 0.0015
"""Margins about the quantiles of patches: of their differences, and of their grain."""

MIN_SHADOW_FRACTION = 0.18
"""Least part of the foreground that shadows are, where there are any: the median of the folder.
Shading of synthetic white objects was taken for shadow in up to 0.2 of single photographs."""


@dataclass(frozen=True)
class Limits:
    """Between which values the background lies."""

    low: Float[np.ndarray, " C"]
    high: Float[np.ndarray, " C"]

    def excess(self, values: Float[np.ndarray, "H W C"]) -> Float[np.ndarray, "H W"]:
        """Largest of the values relative to their limits on either side of 0."""
        most = None
        # Several times as fast as a maximum along the short axis.
        for channel, low, high in zip(cv2.split(values), self.low, self.high, strict=True):
            relative = np.maximum(channel * (1 / low), channel * (1 / high))
            most = relative if most is None else np.maximum(most, relative, out=most)
        return np.asarray(most)

    def hold(self, values: Float[np.ndarray, " C"]) -> bool:
        """Whether all values are within them."""
        return bool(((values >= self.low) & (values <= self.high)).all())


@dataclass(frozen=True)
class PlainBackground:
    """The background that all photographs of a folder share."""

    color: Float[np.ndarray, "3"]
    """Median of the photographs' border medians, in [0, 1]."""
    surface: Float[np.ndarray, "T 3"]
    """Coefficients of the smooth surface; 0 if the background is of one colour."""
    threshold: float
    """Distance beyond which a pixel is foreground whatever its colour."""
    limits: Limits
    """Of differences from the surface."""
    nearby_limits: Limits
    """Of differences from the background nearby."""
    patch_limits: Limits
    """Of averages of those, and of grain."""
    has_shadows: bool
    """Whether the object casts shadows on it in most photographs."""

    def of(self, smooth: Float[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W 3"]:
        """What the background of a photograph would be everywhere."""
        surface = surface_values(self.surface, *smooth.shape[:2])
        own = own_color(np.median(border(smooth - surface), axis=0), self.color)
        return np.asarray(surface + own, dtype=np.float32)

    def foreground(
        self, difference: Float[np.ndarray, "H W 3"], distance: Float[np.ndarray, "H W"]
    ) -> Bool[np.ndarray, "H W"]:
        """Pixels that differ from the background."""
        return (self.limits.excess(difference) > 1) | (distance > self.threshold)


def find_background(images: Sequence[Image.Image]) -> PlainBackground | None:
    """Find the plain background of photographs; None if they have none.

    Args:
        images: an even sample of the folder.
    """
    surface = fit_surface([smoothed(_reduced(image)) for image in images])
    rgb = [np.asarray(image.convert("RGB")) for image in images]
    smooth = [smoothed(each) for each in rgb]
    fit = measure(smooth, surface)
    if not fit.is_plain:
        return None
    differences = [
        opponent(each - surface_values(surface, *each.shape[:2]) - own.astype(np.float32))
        for each, own in zip(smooth, fit.own_colors, strict=True)
    ]
    limits = _pixel_limits(differences, [outer(each) for each in fit.certain])
    certain = [certain_background(each, limits) for each in differences]
    nearby = [each - nearby_average(each, limits) for each in differences]
    features = [
        np.dstack([each, grain(pixels, blurred)])
        for each, pixels, blurred in zip(nearby, rgb, smooth, strict=True)
    ]
    found = PlainBackground(
        color=fit.color,
        surface=surface,
        threshold=threshold_of(fit.quantile),
        limits=limits,
        nearby_limits=_pixel_limits(nearby, certain),
        patch_limits=_patch_limits(features, certain),
        has_shadows=False,
    )
    return replace(found, has_shadows=_has_shadows(found, smooth))


def smoothed(rgb: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W 3"]:
    """A photograph blurred against noise, in [0, 1]."""
    sigma = max(rgb.shape[1] * BLUR_WIDTHS, MIN_BLUR_PIXELS)
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma), dtype=np.float32) / 255


def opponent(rgb: Float[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W 3"]:
    """Luma, red against green, and blue against both."""
    return np.asarray(cv2.transform(rgb, OPPONENT_AXES))


def grain(
    rgb: UInt8[np.ndarray, "H W 3"], smooth: Float[np.ndarray, "H W 3"]
) -> Float[np.ndarray, "H W"]:
    """Absolute difference of luma from the blurred photograph: noise and texture."""
    fine = rgb.astype(np.float32) / 255 - smooth
    return np.asarray(np.abs(cv2.transform(fine, OPPONENT_AXES[:1])))


def certain_background(
    difference: Float[np.ndarray, "H W 3"], limits: Limits
) -> Bool[np.ndarray, "H W"]:
    """What is far from all that exceeds the limits, and reaches the border."""
    return outer(far_from(limits.excess(difference) > 1))


def outer(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The parts of a mask that reach the border."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    reaches = np.zeros(labels.max() + 1, bool)
    reaches[border(labels)] = True
    return mask & reaches[labels]


def nearby_average(
    difference: Float[np.ndarray, "H W 3"], limits: Limits
) -> Float[np.ndarray, "H W 3"]:
    """Average of the certain background around each pixel; 0 where there is none nearby."""
    height, width = difference.shape[:2]
    small = cv2.resize(difference, reduced_size(width, height), interpolation=cv2.INTER_AREA)
    weight = certain_background(small, limits).astype(np.float32)[..., None]
    weighted = np.dstack([small * weight, weight])
    blurred = cv2.GaussianBlur(weighted, (0, 0), NEARBY_WIDTHS * small.shape[1])
    average = blurred[..., :3] / (blurred[..., 3:] + MIN_NEARBY_WEIGHT)
    return np.asarray(cv2.resize(average, (width, height), interpolation=cv2.INTER_LINEAR))


def _has_shadows(found: PlainBackground, smooth: list[Float[np.ndarray, "_ _ 3"]]) -> bool:
    fractions = []
    for each in smooth:
        ground = found.of(each)
        difference = opponent(each - ground)
        foreground = found.foreground(difference, largest_difference(each, ground))
        shadow = cast_shadow(each, ground, foreground)
        fractions.append(shadow.sum() / max(1, foreground.sum()))
    return bool(np.median(fractions) > MIN_SHADOW_FRACTION)


def _reduced(image: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    small = image.convert("RGB")
    small.thumbnail((SURFACE_PIXELS, SURFACE_PIXELS))
    return np.asarray(small)


def _pixel_limits(
    differences: list[Float[np.ndarray, "_ _ 3"]], certain: list[Bool[np.ndarray, "_ _"]]
) -> Limits:
    sure = np.concatenate([each[w] for each, w in zip(differences, certain, strict=True)])
    if len(sure) == 0:
        return Limits(np.full(3, -MAX_THRESHOLD), np.full(3, MAX_THRESHOLD))
    low, high = np.quantile(sure, [1 - CERTAIN_QUANTILE, CERTAIN_QUANTILE], axis=0)
    below, above = ([threshold_of(float(value)) for value in each] for each in (-low, high))
    return Limits(-np.array(below, np.float32), np.array(above, np.float32))


def _patch_limits(
    features: list[Float[np.ndarray, "_ _ 4"]], certain: list[Bool[np.ndarray, "_ _"]]
) -> Limits:
    patches = np.concatenate([_patches(each, w) for each, w in zip(features, certain, strict=True)])
    if len(patches) == 0:
        return Limits(np.full(4, np.inf), np.full(4, -np.inf))  # nothing is like it
    low, high = np.quantile(patches, [1 - PATCH_QUANTILE, PATCH_QUANTILE], axis=0)
    return Limits(
        np.append(
            PATCH_FACTOR * np.minimum(low[:3], 0) - PATCH_OFFSET,
            low[3] / GRAIN_FACTOR - GRAIN_OFFSET,
        ),
        np.append(
            PATCH_FACTOR * np.maximum(high[:3], 0) + PATCH_OFFSET,
            high[3] * GRAIN_FACTOR + GRAIN_OFFSET,
        ),
    )


def _patches(
    features: Float[np.ndarray, "H W 4"], certain: Bool[np.ndarray, "H W"]
) -> Float[np.ndarray, "P 4"]:
    """Averages over patches that are background for certain."""
    side = max(3, round(PATCH_WIDTHS * certain.shape[1]))
    centers = slice(side // 2, None, side)
    whole = cv2.boxFilter(certain.astype(np.float32), -1, (side, side))[centers, centers] > 0.999
    return np.asarray(cv2.boxFilter(features, -1, (side, side))[centers, centers][whole])
