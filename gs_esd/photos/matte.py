"""Cutting the object out of a plain background, with one decision for the whole folder.

The background is plain if that bears out over the folder: nearly every photograph's border is
nearly everywhere of one colour. That colour and the threshold at which a pixel is foreground are
measured over all photographs. Noise, vignettes and gradients raise the threshold; a shadow or the
object at the border does not count as long as most of the border is background.

Notation
    rgb         [H, W, 3] of uint8
    distance    largest difference of a blurred pixel's channels from the border's colour, in [0, 1]
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from PIL import Image

OWN_COLOR_TOLERANCE = 0.08
"""A photograph is cut by its own border's median if it is so near to the folder's, else by that."""
BLUR_WIDTHS, MIN_BLUR_PIXELS = 1 / 400, 0.6
"""Standard deviation of the blur against noise: a fraction of the width, and at least so much."""
QUIET_FRACTION = 0.75
"""Fraction of the border's pixels, those nearest to its colour, whose spread is its noise."""
FIRST_DISTANCE, FIRST_SPREADS = 0.12, 8
"""Distance, or multiple of the spread, beyond which a pixel counts as foreground at first."""
MARGIN_WIDTHS = 1 / 40
"""What is further than this from pixels of the first foreground is background for certain."""
THRESHOLD_QUANTILE, THRESHOLD_FACTOR, THRESHOLD_OFFSET = 0.98, 1.5, 0.012
MIN_THRESHOLD, MAX_THRESHOLD = 0.025, 0.08
"""Distance beyond which a pixel is foreground: from the certain background's quantile."""
CLOSING_WIDTHS, OPENING_PIXELS = 1 / 60, 3
"""Diameters of gaps that are closed, and of specks and bridges that are removed."""
EDGE_BLUR_PIXELS = 0.7
MIN_BORDER_FRACTION, MIN_PHOTO_FRACTION = 0.6, 0.9
"""A background is plain if in this fraction of the photographs this fraction of the border's pixels
is within the first distance of its colour."""
MAX_SPREAD = 0.03
"""Largest spread of a plain background."""
SAMPLE_PHOTOS = 100
"""Photographs on which the threshold is measured."""


@dataclass(frozen=True)
class PlainBackground:
    """The background of a folder."""

    color: Float[np.ndarray, "3"]
    """Median of the photographs' border medians, in [0, 1]."""
    first_distance: float
    threshold: float

    def cut(self, image: Image.Image) -> Image.Image:
        """RGBA with straight alpha: the largest thing that differs from the background.

        Everything inside its outer contour belongs to it. Along its edge, the background's part is
        taken out of the colours. Alpha is 0 everywhere if there is nothing.
        """
        rgb = np.asarray(image.convert("RGB"))
        own = self._own_color(border(blurred(rgb)))
        mask = largest_filled(distance(rgb, own) > self.threshold)
        alpha = cv2.GaussianBlur(255 * mask.astype(np.uint8), (0, 0), EDGE_BLUR_PIXELS)
        return Image.fromarray(np.dstack([without_spill(rgb, alpha, own), alpha]))

    def _own_color(self, pixels: UInt8[np.ndarray, "P 3"]) -> Float[np.ndarray, "3"]:
        return own_color(np.median(pixels, axis=0) / 255, self.color)


def own_color(
    median: Float[np.ndarray, "3"], folder: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3"]:
    """Background colour of one photograph: its border's median unless the object covers much."""
    return median if np.abs(median - folder).max() <= OWN_COLOR_TOLERANCE else folder


def border(rgb: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "P 3"]:
    """The outermost pixels."""
    return np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])


def blurred(rgb: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """A photograph blurred against noise."""
    sigma = max(rgb.shape[1] * BLUR_WIDTHS, MIN_BLUR_PIXELS)
    return cv2.GaussianBlur(rgb, (0, 0), sigma)


def distance(
    rgb: UInt8[np.ndarray, "H W 3"], color: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "H W"]:
    """Distance of each blurred pixel from a colour."""
    return _deviation(blurred(rgb), color)


def _deviation(
    rgb: UInt8[np.ndarray, "*N 3"], color: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "*N"]:
    difference = np.abs(rgb.astype(np.float32) - np.float32(255) * color.astype(np.float32))
    return np.asarray(difference.max(axis=-1) / 255)


def find_background(
    borders: list[UInt8[np.ndarray, "_ 3"]], sample: list[Image.Image]
) -> PlainBackground | None:
    """Find the plain background of a folder; None if it has none.

    Args:
        borders: `border` of each photograph, `blurred`.
        sample: some of the photographs, on which the threshold is measured.
    """
    medians = np.stack([np.median(pixels, axis=0) / 255 for pixels in borders])
    color = np.median(medians, axis=0)
    deviations = [
        _deviation(pixels, own_color(median, color))
        for pixels, median in zip(borders, medians, strict=True)
    ]
    spread = _spread(np.concatenate(deviations))
    first = max(FIRST_DISTANCE, FIRST_SPREADS * spread)
    fractions = np.array([(each <= first).mean() for each in deviations])
    if spread > MAX_SPREAD or (fractions >= MIN_BORDER_FRACTION).mean() < MIN_PHOTO_FRACTION:
        return None
    certain = np.concatenate([_certain_distances(image, color, first) for image in sample])
    if len(certain) == 0:
        return None
    quantile = float(np.quantile(certain, THRESHOLD_QUANTILE))
    threshold = THRESHOLD_FACTOR * quantile + THRESHOLD_OFFSET
    return PlainBackground(color, first, float(np.clip(threshold, MIN_THRESHOLD, MAX_THRESHOLD)))


def _spread(deviations: Float[np.ndarray, " N"]) -> float:
    """Median absolute deviation of the quiet part."""
    quiet = np.sort(deviations)[: int(QUIET_FRACTION * len(deviations))]
    return float(np.median(np.abs(quiet - np.median(quiet)))) if len(quiet) else 0.0


def _certain_distances(
    image: Image.Image, color: Float[np.ndarray, "3"], first: float
) -> Float[np.ndarray, " N"]:
    """Distances of the pixels that are background for certain."""
    smooth = blurred(np.asarray(image.convert("RGB")))
    own = own_color(np.median(border(smooth), axis=0) / 255, color)
    distances = _deviation(smooth, own)
    margin = _ellipse(2 * MARGIN_WIDTHS * smooth.shape[1])
    return distances[cv2.dilate((distances > first).astype(np.uint8), margin) == 0]


def largest_filled(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The largest connected part of a mask after closing and opening, with its holes filled."""
    closing = _ellipse(CLOSING_WIDTHS * mask.shape[1])
    pad = len(closing)
    # What touches the border goes on beyond it, or closing would open it there.
    padded = np.pad(mask.astype(np.uint8), pad, mode="edge")
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, closing)[pad:-pad, pad:-pad]
    opened = cv2.morphologyEx(
        closed, cv2.MORPH_OPEN, np.ones((OPENING_PIXELS, OPENING_PIXELS), np.uint8)
    )
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if count < 2:
        return np.zeros_like(mask)
    largest = (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    contours, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(largest), contours, -1, 1, cv2.FILLED).astype(bool)


def without_spill(
    rgb: UInt8[np.ndarray, "H W 3"],
    alpha: UInt8[np.ndarray, "H W"],
    background: Float[np.ndarray, "3"],
) -> UInt8[np.ndarray, "H W 3"]:
    """Colours of the object alone where alpha mixes it with the background: (C - (1 - α) B) / α."""
    opacity = np.maximum(alpha, 1).astype(np.float32)[..., None] / 255
    color = rgb - (1 - opacity) * np.float32(255) * background.astype(np.float32)
    return np.where(
        alpha[..., None] < 255, np.clip(color / opacity, 0, 255).round().astype(np.uint8), rgb
    )


def _ellipse(diameter: float) -> NDArray[np.uint8]:
    """Structuring element of an odd diameter."""
    size = max(1, round(diameter)) | 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
