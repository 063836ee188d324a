"""Painted ellipsoids, of which animals are made, and ways to arrange them. Needs no torch.

Notation and conventions
    animal frame   right-handed, z up, the animal looks along +x, its left side is at +y
    unit sphere    the frame of one ellipsoid before it is stretched, turned and moved; patches of
                   paint are given in it: (1, 0, 0) is the foremost point of an unturned part
    rotation       (roll, pitch, yaw) in degrees, about x, then y, then z; a positive pitch lowers
                   the front, a positive yaw turns it to the animal's left
    colours        display sRGB in [0, 1]

Lengths are arbitrary: a finished animal is scaled to the unit ball (see `animal.py`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

Vec = tuple[float, float, float]

INK: Vec = (0.09, 0.07, 0.08)
WHITE: Vec = (0.98, 0.96, 0.93)
CREAM: Vec = (0.97, 0.89, 0.76)
PINK: Vec = (0.96, 0.62, 0.65)
BLUSH: Vec = (0.97, 0.66, 0.60)


def _flip(a: Vec) -> Vec:
    return a[0], -a[1], a[2]


@dataclass(frozen=True)
class Patch:
    """Paint on a part: inside the ellipsoid `at`, `size` of the unit sphere frame it is `color`."""

    at: Vec
    size: Vec
    color: Vec


@dataclass(frozen=True)
class Ellipsoid:
    """One part of an animal. Later patches cover earlier ones."""

    center: Vec
    radii: Vec
    color: Vec
    rotation: Vec = (0.0, 0.0, 0.0)
    patches: tuple[Patch, ...] = ()

    def patch(self, at: Vec, size: Vec, color: Vec) -> "Ellipsoid":
        """The same part with one more patch of paint, placed in its unit sphere frame."""
        return replace(self, patches=(*self.patches, Patch(at, size, color)))

    def patch_pair(self, at: Vec, size: Vec, color: Vec) -> "Ellipsoid":
        """The same part with a patch at `at` and another at its reflection on the right."""
        return self.patch(at, size, color).patch(_flip(at), size, color)


def _plus(a: Vec, b: Vec) -> Vec:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def times(a: Vec, scale: float) -> Vec:
    """`a` scaled by a number."""
    return a[0] * scale, a[1] * scale, a[2] * scale


def blend(a: Vec, b: Vec, amount: float) -> Vec:
    """Colour between `a` (amount 0) and `b` (amount 1)."""
    return _plus(times(a, 1 - amount), times(b, amount))


def darker(color: Vec, amount: float = 0.35) -> Vec:
    """`color` moved towards black by `amount` in [0, 1]."""
    return blend(color, (0.0, 0.0, 0.0), amount)


def lighter(color: Vec, amount: float = 0.35) -> Vec:
    """`color` moved towards a warm white by `amount` in [0, 1]."""
    return blend(color, (1.0, 0.98, 0.95), amount)


def place(parts: Iterable[Ellipsoid], at: Vec, scale: float = 1.0) -> list[Ellipsoid]:
    """`parts` scaled about their origin, then moved so that their origin is `at`."""
    return [
        replace(part, center=_plus(at, times(part.center, scale)), radii=times(part.radii, scale))
        for part in parts
    ]


def mirror(part: Ellipsoid) -> Ellipsoid:
    """The reflection of a part in the animal's plane of symmetry, y = 0."""
    roll, pitch, yaw = part.rotation
    return replace(
        part,
        center=_flip(part.center),
        rotation=(-roll, pitch, -yaw),
        patches=tuple(replace(patch, at=_flip(patch.at)) for patch in part.patches),
    )


def pair(*parts: Ellipsoid) -> list[Ellipsoid]:
    """Each part (modelled on the left, y > 0) with its reflection on the right."""
    return [side for part in parts for side in (part, mirror(part))]


def chain(
    points: Sequence[Vec], radius: tuple[float, float], colors: tuple[Vec, ...]
) -> list[Ellipsoid]:
    """Overlapping links along a polyline, for tails and trunks.

    Args:
        points: of the polyline.
        radius: of the first and of the last link.
        colors: spread evenly over the links.
    """
    count = 4 * (len(points) - 1)
    links = []
    for link in range(count):
        leg = link // 4
        start, end = np.array(points[leg]), np.array(points[leg + 1])
        x, y, z = start + (link % 4 + 0.5) / 4 * (end - start)
        thick = radius[0] + (radius[1] - radius[0]) * link / (count - 1)
        half = max(0.3 * float(np.linalg.norm(end - start)), thick)  # 0.25 is the spacing
        color = colors[link * len(colors) // count]
        links.append(Ellipsoid((x, y, z), (half, thick, thick), color, _heading(end - start)))
    return links


def _heading(direction: np.ndarray) -> Vec:
    """The rotation that turns the x axis along `direction`."""
    x, y, z = direction
    pitch, yaw = np.arctan2(-z, np.hypot(x, y)), np.arctan2(y, x)
    return 0.0, float(np.rad2deg(pitch)), float(np.rad2deg(yaw))


def rotation_matrix(rotation: Vec) -> np.ndarray:
    """The 3x3 matrix of a (roll, pitch, yaw) in degrees."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    roll = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    pitch = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    yaw = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return yaw @ pitch @ roll
