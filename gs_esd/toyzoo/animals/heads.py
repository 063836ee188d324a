"""Faces: eyes, ears and muzzles in the frame of a head whose skull is about the unit ball."""

import math

from gs_esd.toyzoo.primitives import INK, WHITE, Ellipsoid, Vec, pair, times


def eyes(at: Vec, size: float, iris: Vec | None = None, pupil: float = 0.62) -> list[Ellipsoid]:
    """A pair of eyes that look ahead, each with a glint of light.

    Args:
        at: centre of the left eye.
        size: half its width.
        iris: its colour around the pupil; without it the eye is all pupil.
        pupil: size relative to the eye.
    """
    if iris is None:
        turn = min(0.6 * math.degrees(math.atan2(at[1], at[0])), 18.0)  # lie against the skull
        eye = Ellipsoid(at, (0.5 * size, size, 1.15 * size), INK, (0, 0, turn))
    else:
        eye = Ellipsoid(at, (0.55 * size, size, 1.15 * size), iris)
        eye = eye.patch((1.0, 0, 0), (0.8, pupil, pupil), INK)
    return [part.patch((0.85, 0.25, 0.45), (0.6, 0.33, 0.3), WHITE) for part in pair(eye)]


def iris_on(coat: Vec) -> Vec | None:
    """Amber where an ink-black eye would not show on a dark coat, else None: all pupil."""
    return (0.88, 0.62, 0.18) if sum(coat) < 0.9 else None


def ears(
    at: Vec, radii: Vec, color: Vec, inner: Vec, scale: float = 1.0, *, roll: float = 0.0
) -> list[Ellipsoid]:
    """A pair of flat ears whose fronts are `inner`; a negative roll spreads them."""
    ear = Ellipsoid(at, times(radii, scale), color, (roll, 0, 0))
    return pair(ear.patch((1.0, 0, -0.1), (0.9, 0.66, 0.74), inner))


def muzzle(at: Vec, radii: Vec, color: Vec, nose: Vec | None = INK) -> list[Ellipsoid]:
    """A muzzle with a smile and, unless it is None, a nose on its upper front."""
    snout = (
        Ellipsoid(at, radii, color)
        .patch((0.9, 0, -0.38), (0.7, 0.5, 0.3), INK)
        .patch((0.9, 0, -0.2), (0.9, 0.62, 0.32), color)
    )
    if nose is None:
        return [snout]
    tip = (at[0] + 0.92 * radii[0], at[1], at[2] + 0.5 * radii[2])
    return [snout, Ellipsoid(tip, (0.3 * radii[0], 0.42 * radii[1], 0.38 * radii[2]), nose)]
