"""Animals of the farm, built like the other quadrupeds."""

import math

from gs_esd.toyzoo.animals.heads import eyes, iris_on
from gs_esd.toyzoo.animals.quadrupeds import legs
from gs_esd.toyzoo.appearance import Appearance
from gs_esd.toyzoo.primitives import (
    PINK,
    WHITE,
    Ellipsoid,
    blend,
    chain,
    darker,
    lighter,
    pair,
    place,
)


def pig(appearance: Appearance) -> list[Ellipsoid]:
    """Pink and round, with a snout, floppy ears, dark hooves and a curly tail."""
    coat = appearance.coat((0.97, 0.68, 0.70))
    deep = blend(darker(coat, 0.22), (0.85, 0.35, 0.42), 0.35)
    wide = 0.47 * appearance.girth
    curl = [(-0.7, 0, 0.1), (-0.84, 0.1, 0.2), (-0.9, 0, 0.32), (-0.9, -0.12, 0.2), (-1.02, 0, 0.1)]
    nostril = darker(deep, 0.6)
    head = [
        Ellipsoid((0, 0, 0), (0.95, 1.05, 0.95), coat).patch_pair(
            (0.75, 0.75, -0.3), (0.35, 0.28, 0.22), deep
        ),
        Ellipsoid((0.98, 0, -0.18), (0.34, 0.42, 0.34), deep).patch_pair(
            (0.95, 0.36, 0.05), (0.4, 0.16, 0.32), nostril
        ),
        *eyes((0.8, 0.48, 0.24), 0.18, iris_on(coat)),
        *pair(
            Ellipsoid(
                (0.2, 0.66, 0.84), (0.16, 0.36, 0.5 * appearance.ears), deep, (-28, 38, 0)
            ).patch((1.0, 0, 0), (0.8, 0.65, 0.75), lighter(coat, 0.3))
        ),
    ]
    return [
        Ellipsoid((-0.1, 0, 0), (0.68, wide, 0.47), coat)
        .patch((-0.45, 0.75, 0.7), (0.26, 0.6, 0.4), deep)
        .patch((-0.85, -0.35, 0.45), (0.4, 0.32, 0.32), deep)
        .patch((0.1, -0.75, 0.55), (0.2, 0.5, 0.32), deep),
        *legs(appearance, (0.3, -0.42, 0.25), 0.58, 0.14, coat, darker(deep, 0.45)),
        *chain(curl, (0.06, 0.05), (deep,)),
        *place(head, (0.5, 0, 0.36), 0.49 * appearance.head),
    ]


def cow(appearance: Appearance) -> list[Ellipsoid]:
    """White with black patches, a pink muzzle, horns, an udder and a tufted tail."""
    coat = appearance.coat(WHITE)
    spot = (0.17, 0.15, 0.17)
    horn = (0.93, 0.80, 0.52)
    nostril = darker(PINK, 0.6)
    wide = 0.4 * appearance.girth
    head = [
        Ellipsoid((0, 0, 0), (0.9, 0.92, 0.98), coat).patch(
            (0.5, 0.75, 0.35), (0.75, 0.6, 0.75), spot
        ),
        Ellipsoid((0.62, 0, -0.5), (0.5, 0.72, 0.46), PINK).patch_pair(
            (0.85, 0.38, 0.3), (0.4, 0.15, 0.22), nostril
        ),
        *eyes((0.8, 0.42, 0.22), 0.2, WHITE, 0.78),
        *pair(
            Ellipsoid(
                (-0.05, 1.05, 0.4), (0.16, 0.46 * appearance.ears, 0.25), spot, (12, 0, 0)
            ).patch((1.0, 0, 0), (0.8, 0.7, 0.65), PINK),
            Ellipsoid((0, 0.48, 1.0), (0.14, 0.14, 0.34), horn, (-28, 0, 0)),
        ),
    ]
    return [
        Ellipsoid((-0.05, 0, 0), (0.74, wide, 0.42), coat)
        .patch((0.45, 0.6, 0.65), (0.28, 0.7, 0.6), spot)
        .patch((-0.4, 0.95, 0.0), (0.26, 0.6, 0.5), spot)
        .patch((0.05, -0.75, 0.6), (0.3, 0.7, 0.6), spot)
        .patch((-0.85, -0.25, 0.4), (0.4, 0.75, 0.55), spot),
        Ellipsoid((0.48, 0, 0.2), (0.3, 0.32, 0.38), coat),
        Ellipsoid((-0.25, 0, -0.38), (0.2, 0.19, 0.16), PINK),
        *legs(appearance, (0.38, -0.45, 0.24), 0.66, 0.13, coat, spot),
        *chain([(-0.75, 0, 0.2), (-0.9, 0, 0), (-0.9, 0, -0.35)], (0.055, 0.05), (coat,)),
        Ellipsoid((-0.9, 0, -0.45), (0.11, 0.11, 0.17 * appearance.tail), spot),
        *place(head, (0.66, 0, 0.54), 0.44 * appearance.head),
    ]


def sheep(appearance: Appearance) -> list[Ellipsoid]:
    """A cloud of wool with a dark face, dark legs and a woolly topknot."""
    coat = appearance.coat((0.96, 0.93, 0.86))
    dark = (0.25, 0.20, 0.20)
    wide = 0.42 * appearance.girth
    wool = [
        Ellipsoid(
            (0.5 * math.cos(turn) - 0.05, 0.62 * wide * math.sin(turn), height),
            (0.27, 0.25, 0.25),
            darker(coat, 0.09 * (number % 3)),
        )
        for height in (-0.16, 0.16)
        for number, turn in enumerate(0.7 * step + height for step in range(9))
    ]
    head = [
        Ellipsoid((0.1, 0, 0), (0.95, 0.78, 0.9), dark, (0, 24, 0)).patch(
            (1, 0, -0.3), (0.6, 0.55, 0.5), lighter(dark, 0.25)
        ),
        *eyes((0.9, 0.4, 0.14), 0.22, WHITE, 0.7),
        Ellipsoid((1.0, 0, -0.34), (0.13, 0.18, 0.11), PINK),
        *pair(
            Ellipsoid(
                (-0.1, 0.98, 0.18), (0.16, 0.46 * appearance.ears, 0.22), dark, (-24, 0, 0)
            ).patch((1.0, 0, 0), (0.8, 0.7, 0.6), PINK),
            Ellipsoid((0.0, 0.38, 0.82), (0.42, 0.42, 0.36), coat),
        ),
        Ellipsoid((0.3, 0, 0.86), (0.42, 0.42, 0.36), coat),
    ]
    return [
        Ellipsoid((-0.05, 0, 0), (0.66, wide, 0.42), coat),
        *wool,
        Ellipsoid((-0.05, 0, 0.32), (0.4, 0.24, 0.2), coat),
        Ellipsoid((-0.74, 0, 0.12), (0.15, 0.14, 0.19 * appearance.tail), darker(coat, 0.25)),
        *legs(appearance, (0.32, -0.4, 0.22), 0.62, 0.1, dark, dark),
        *place(head, (0.6, 0, 0.42), 0.4 * appearance.head),
    ]
