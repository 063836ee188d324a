"""The smooth surface that the backgrounds of a folder share, and how well they fit it.

A photograph's background is one colour, its own within limits, plus a smooth surface that all
photographs of the folder share: a vignette, or the gradient of a studio's sweep. Both are measured
where pixels are background for certain.

Notation
    T           number of terms of the surface, polynomials in x and y from -1 to 1
    smooth      [H, W, 3], a photograph blurred against noise, in [0, 1]
    distance    [H, W], largest difference of a smooth pixel's channels from the background
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

OWN_COLOR_TOLERANCE = 0.08
"""A photograph's colour is its own border's median if it is so near to the folder's, else that."""
QUIET_FRACTION = 0.75
"""Fraction of the border's pixels, those nearest to its colour, whose spread is its noise."""
FIRST_DISTANCE, FIRST_SPREADS = 0.12, 8
"""Distance, or multiple of the spread, beyond which a pixel counts as foreground at first."""
MARGIN_WIDTHS = 1 / 40
"""What is further than this from pixels of the first foreground is background for certain."""
CERTAIN_QUANTILE = 0.98
THRESHOLD_FACTOR, THRESHOLD_OFFSET = 1.5, 0.012
MIN_THRESHOLD, MAX_THRESHOLD = 0.025, 0.08
"""Distance beyond which a pixel is foreground: from CERTAIN_QUANTILE of the certain background."""
MIN_BORDER_FRACTION, MIN_PHOTO_FRACTION = 0.6, 0.9
"""A plain background has this fraction of the border's pixels within the first distance, in this
fraction of the photographs."""
MAX_SPREAD, MAX_QUANTILE = 0.03, 0.08
"""Largest spread of the border, and CERTAIN_QUANTILE of distances, of a plain background."""
REDUCED_PIXELS = 128
"""Width at which what has no detail is found."""
SURFACE_ROUNDS = 5
"""How often the surface is fitted."""
SURFACE_RIDGE = 1e-4
SURFACE_GAIN = 0.85
"""The surface is used if it lowers the quantile of distances, or raises the pixels that are
background for certain, by this factor."""


def border(pixels: NDArray[Any]) -> NDArray[Any]:
    """The outermost pixels [P, ...] of an image [H, W, ...]."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def own_color(
    median: Float[np.ndarray, "3"], folder: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3"]:
    """Background colour of one photograph: its border's median unless the object covers much."""
    return median if np.abs(median - folder).max() <= OWN_COLOR_TOLERANCE else folder


def largest_difference(
    smooth: Float[np.ndarray, "H W 3"], ground: Float[np.ndarray, "*N 3"]
) -> Float[np.ndarray, "H W"]:
    """Largest absolute difference of the channels."""
    difference = np.abs(smooth - ground.astype(np.float32))
    red, green, blue = cv2.split(difference)
    # Several times as fast as a maximum along the short axis.
    return np.asarray(np.maximum(np.maximum(red, green), blue))


def ellipse(diameter: float) -> UInt8[np.ndarray, "D D"]:
    """Structuring element of an odd diameter in pixels."""
    size = max(1, round(diameter)) | 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def reduced_size(width: int, height: int) -> tuple[int, int]:
    """Width and height at which what has no detail is found."""
    scale = min(1.0, REDUCED_PIXELS / width)
    return max(1, round(scale * width)), max(1, round(scale * height))


def surface_values(
    surface: Float[np.ndarray, "T 3"], height: int, width: int
) -> Float[np.ndarray, "H W 3"]:
    """The surface at each pixel."""
    if not surface.any():
        return np.zeros((height, width, 3), np.float32)
    return np.asarray(_terms(height, width) @ surface)


@lru_cache(maxsize=2)  # photographs of a folder mostly have one size
def _terms(height: int, width: int) -> Float[np.ndarray, "H W T"]:
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    powers = [(1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)]
    powers += [(4, 0), (2, 2), (0, 4)]
    return np.stack([x**i * y**j for i, j in powers], axis=-1)


@dataclass(frozen=True)
class BackgroundFit:
    """How well a surface describes the backgrounds."""

    color: Float[np.ndarray, "3"]
    own_colors: list[Float[np.ndarray, "3"]]
    certain: list[Bool[np.ndarray, "_ _"]]
    """Pixels of each photograph that are background for certain."""
    spread: float
    border_fractions: Float[np.ndarray, " M"]
    """Fraction of each border that is within the first distance."""
    quantile: float
    """CERTAIN_QUANTILE of the distances of the certain background; 1 if there is none."""

    @property
    def n_certain(self) -> int:
        return int(sum(each.sum() for each in self.certain))

    @property
    def is_plain(self) -> bool:
        uniform = (self.border_fractions >= MIN_BORDER_FRACTION).mean() >= MIN_PHOTO_FRACTION
        return bool(uniform and self.spread <= MAX_SPREAD and self.quantile <= MAX_QUANTILE)


def measure(
    smooth: list[Float[np.ndarray, "_ _ 3"]], surface: Float[np.ndarray, "T 3"]
) -> BackgroundFit:
    flat = [each - surface_values(surface, *each.shape[:2]) for each in smooth]
    medians = [np.median(border(each), axis=0) for each in flat]
    color = np.median(medians, axis=0)
    own = [own_color(median, color) for median in medians]
    distances = [largest_difference(each, mine) for each, mine in zip(flat, own, strict=True)]
    borders = [border(each) for each in distances]
    spread = _spread(np.concatenate(borders))
    first = max(FIRST_DISTANCE, FIRST_SPREADS * spread)
    certain = [far_from(each > first) for each in distances]
    sure = np.concatenate([each[where] for each, where in zip(distances, certain, strict=True)])
    return BackgroundFit(
        color=color,
        own_colors=own,
        certain=certain,
        spread=spread,
        border_fractions=np.array([(each <= first).mean() for each in borders]),
        quantile=float(np.quantile(sure, CERTAIN_QUANTILE)) if len(sure) else 1.0,
    )


def _spread(distances: Float[np.ndarray, " P"]) -> float:
    """Median absolute deviation of the quiet part."""
    quiet = np.sort(distances)[: int(QUIET_FRACTION * len(distances))]
    return float(np.median(np.abs(quiet - np.median(quiet)))) if len(quiet) else 0.0


def far_from(foreground: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    margin = ellipse(2 * MARGIN_WIDTHS * foreground.shape[1])
    return np.asarray(cv2.dilate(foreground.astype(np.uint8), margin) == 0)


def fit_surface(smooth: list[Float[np.ndarray, "_ _ 3"]]) -> Float[np.ndarray, "T 3"]:
    """Coefficients of the surface; 0 if it makes no difference.

    What is background for certain depends on the surface, and grows as that gets better.
    """
    none = np.zeros((_terms(2, 2).shape[-1], 3), np.float32)
    before = fit = measure(smooth, none)
    surface = none
    for _ in range(SURFACE_ROUNDS):
        if fit.n_certain == 0:
            return none
        surface = _least_squares(smooth, fit)
        fit = measure(smooth, surface)
    is_uneven = threshold_of(before.quantile) > MIN_THRESHOLD
    is_flatter = is_uneven and fit.quantile < SURFACE_GAIN * before.quantile
    return surface if is_flatter or SURFACE_GAIN * fit.n_certain > before.n_certain else none


def threshold_of(quantile: float) -> float:
    threshold = THRESHOLD_FACTOR * quantile + THRESHOLD_OFFSET
    return float(np.clip(threshold, MIN_THRESHOLD, MAX_THRESHOLD))


def _least_squares(
    smooth: list[Float[np.ndarray, "_ _ 3"]], fit: BackgroundFit
) -> Float[np.ndarray, "T 3"]:
    terms = np.concatenate(
        [_terms(*each.shape[:2])[where] for each, where in zip(smooth, fit.certain, strict=True)]
    )
    values = np.concatenate(
        [
            (each - own)[where]
            for each, own, where in zip(smooth, fit.own_colors, fit.certain, strict=True)
        ]
    )
    # The border's median is not the surface's constant term: that is fitted too, and dropped.
    design = np.column_stack([terms, np.ones(len(terms))])
    ridge = SURFACE_RIDGE * len(terms) * np.diag([1.0] * terms.shape[1] + [0.0])
    solution = np.linalg.solve(design.T @ design + ridge, design.T @ values)
    return np.asarray(solution[:-1], dtype=np.float32)
