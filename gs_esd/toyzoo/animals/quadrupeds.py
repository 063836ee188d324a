"""Animals on four legs: the body lies along x, the head is at the +x end.

The middle of the body is the origin. Heads are modelled in a frame of their own, where the skull
is about the unit ball, and then placed on the body.
"""

import math

from gs_esd.toyzoo.animals.heads import ears, eyes, iris_on, muzzle
from gs_esd.toyzoo.appearance import Appearance
from gs_esd.toyzoo.primitives import (
    BLUSH,
    CREAM,
    INK,
    PINK,
    WHITE,
    Ellipsoid,
    Vec,
    blend,
    chain,
    darker,
    lighter,
    pair,
    place,
)


def legs(
    appearance: Appearance, x: Vec, length: float, thick: float, color: Vec, paw: Vec
) -> list[Ellipsoid]:
    """Four legs with paws.

    Args:
        appearance: its `legs` scales their length.
        x: of the front legs, of the hind legs, and their distance from the plane of symmetry.
        length: from the middle of the body to the paws.
        thick: half their width.
        color: of the legs.
        paw: colour of the paws.
    """
    front, hind, wide = x
    half = 0.5 * length * appearance.legs
    return [
        leg
        for x in (front, hind)
        for leg in pair(
            Ellipsoid((x, wide, -half), (thick, thick, half + 0.08), color),
            Ellipsoid((x + 0.05, wide, -2 * half), (1.35 * thick, 1.15 * thick, 0.1), paw),
        )
    ]


def corgi(appearance: Appearance) -> list[Ellipsoid]:
    """Fox-red and white, with a blaze, huge ears, short legs and a fluffy white behind."""
    coat = appearance.coat((0.90, 0.55, 0.20))
    wide = 0.36 * appearance.girth
    head = [
        Ellipsoid((0, 0, 0), (0.95, 1.08, 0.92), coat)
        .patch((0.5, 0, -0.75), (0.75, 0.85, 0.6), WHITE)
        .patch((1.0, 0, 0.2), (0.7, 0.2, 0.9), WHITE),
        *muzzle((0.85, 0, -0.3), (0.48, 0.46, 0.36), WHITE),
        *eyes((0.84, 0.46, 0.16), 0.19, iris_on(coat)),
        *ears((-0.1, 0.68, 0.96), (0.22, 0.42, 0.72), coat, PINK, appearance.ears, roll=-24),
    ]
    return [
        Ellipsoid((-0.05, 0, 0), (0.72, wide, 0.36), coat).patch(
            (0.2, 0, -1.0), (1.1, 1.0, 0.65), WHITE
        ),
        Ellipsoid((0.4, 0, 0.1), (0.34, 0.97 * wide, 0.42), coat)
        .patch((1.0, 0, -0.2), (0.85, 0.8, 1.1), WHITE)
        .patch((0.0, 0, 1.0), (1.2, 2.0, 0.5), WHITE),
        Ellipsoid((-0.45, 0, 0.02), (0.36, 1.05 * wide, 0.38), coat).patch_pair(
            (-0.9, 0.35, -0.3), (0.6, 0.45, 0.65), CREAM
        ),
        Ellipsoid((-0.82, 0, 0.2), (0.14, 0.12, 0.13), coat).patch((-1, 0, 0), (0.9, 1, 1), WHITE),
        *legs(appearance, (0.38, -0.44, 0.22), 0.5, 0.14, coat, WHITE),
        *place(head, (0.52, 0, 0.66), 0.47 * appearance.head),
    ]


def fox(appearance: Appearance) -> list[Ellipsoid]:
    """Orange with white cheeks, black stockings, a pointed snout and a bushy white-tipped tail."""
    coat = appearance.coat((0.93, 0.42, 0.10))
    sock = (0.20, 0.13, 0.13)
    wide = 0.3 * appearance.girth
    brush = 0.29 * appearance.tail
    head = [
        Ellipsoid((0, 0, 0), (0.92, 1.05, 0.85), coat),
        *pair(
            Ellipsoid((0.22, 0.62, -0.3), (0.62, 0.58, 0.42), WHITE, (18, 0, 0)).patch(
                (-1, 0, 0.7), (1.2, 2.0, 0.9), coat
            )
        ),
        Ellipsoid((0.88, 0, -0.25), (0.62, 0.36, 0.3), coat, (0, 12, 0)).patch(
            (0, 0, -1.0), (2.0, 2.0, 0.95), WHITE
        ),
        Ellipsoid((1.46, 0, -0.34), (0.15, 0.17, 0.14), INK),
        *eyes((0.83, 0.42, 0.18), 0.19, iris_on(coat)),
        *ears((-0.1, 0.6, 0.88), (0.2, 0.4, 0.68), sock, CREAM, appearance.ears, roll=-18),
    ]
    tail = [
        Ellipsoid((-0.56, 0, 0.1), (0.3, 0.6 * brush, 0.6 * brush), coat, (0, 30, 0)),
        Ellipsoid((-0.82, 0, 0.38), (0.48, brush, brush), coat, (0, 56, 0)).patch(
            (-1.0, 0, 0), (0.8, 2.0, 2.0), WHITE
        ),
    ]
    return [
        Ellipsoid((-0.05, 0, 0), (0.52, wide, 0.29), coat),
        Ellipsoid((0.32, 0, 0.1), (0.3, wide, 0.36), coat).patch(
            (1.0, 0, 0), (0.9, 0.8, 1.2), WHITE
        ),
        Ellipsoid((-0.34, 0, 0.02), (0.3, 1.06 * wide, 0.33), coat),
        *legs(appearance, (0.32, -0.36, 0.18), 0.52, 0.11, sock, sock),
        *tail,
        *place(head, (0.46, 0, 0.6), 0.45 * appearance.head),
    ]


def lion(appearance: Appearance) -> list[Ellipsoid]:
    """Tan, with shaggy brown hair around the face and a tufted tail held high."""
    coat = appearance.coat((0.93, 0.72, 0.36))
    hair = blend(coat, (0.50, 0.20, 0.05), 0.75)
    wide = 0.34 * appearance.girth
    locks = [
        Ellipsoid(
            (0.02, 1.12 * math.cos(turn), 1.08 * math.sin(turn)),
            (0.4, 0.44, 0.44),
            darker(hair, 0.25 * (number % 2)),
        )
        for number, turn in enumerate(math.pi / 6 * step for step in range(12))
    ]
    head = [
        *locks,
        Ellipsoid((-0.4, 0, 0), (0.85, 1.25, 1.22), hair).patch(
            (-1, 0, -0.3), (0.9, 0.25, 1.0), darker(hair, 0.3)
        ),
        Ellipsoid((0.2, 0, 0), (0.8, 0.98, 0.92), coat),
        *muzzle((0.92, 0, -0.3), (0.38, 0.5, 0.36), CREAM, (0.42, 0.20, 0.15)),
        *eyes((0.92, 0.42, 0.2), 0.18, iris_on(coat)),
        *ears((0.24, 0.84, 0.92), (0.26, 0.34, 0.34), coat, BLUSH, appearance.ears),
    ]
    tail = [(-0.62, 0, 0.1), (-0.9, 0, 0.16), (-1.05, 0, 0.46), (-0.98, 0, 0.72)]
    return [
        Ellipsoid((-0.05, 0, 0), (0.68, wide, 0.34), coat).patch(
            (0.2, 0, -1.0), (1.1, 1.0, 0.6), CREAM
        ),
        Ellipsoid((0.4, 0, 0.08), (0.32, wide, 0.38), coat),
        Ellipsoid((-0.42, 0, 0.02), (0.33, 1.05 * wide, 0.35), coat),
        *legs(appearance, (0.4, -0.44, 0.2), 0.54, 0.14, coat, lighter(coat, 0.5)),
        *chain(tail, (0.07, 0.06), (coat,)),
        Ellipsoid((-0.96, 0, 0.84), (0.17 * appearance.tail, 0.16, 0.22 * appearance.tail), hair),
        *place(head, (0.58, 0, 0.5), 0.45 * appearance.head),
    ]


def elephant(appearance: Appearance) -> list[Ellipsoid]:
    """Grey-blue, with sail-like ears, pink inside, a curled trunk and tusks."""
    coat = appearance.coat((0.56, 0.62, 0.72))
    wide = 0.47 * appearance.girth
    trunk = [(0.75, 0, -0.2), (1.1, 0, -0.75), (1.2, 0, -1.3), (1.5, 0, -1.5), (1.72, 0, -1.22)]
    head = [
        Ellipsoid((0, 0, 0), (0.95, 0.95, 1.0), coat),
        *chain(trunk, (0.36, 0.18), (*7 * (coat,), PINK)),
        *eyes((0.82, 0.5, 0.22), 0.18, iris_on(coat)),
        *ears(
            (-0.25, 1.25, 0.1), (0.16, 0.85, 1.0), darker(coat, 0.12), PINK, appearance.ears, roll=8
        ),
        *pair(Ellipsoid((0.85, 0.42, -0.75), (0.36, 0.13, 0.13), WHITE, (0, 30, 0))),
    ]
    return [
        Ellipsoid((-0.08, 0, 0), (0.68, wide, 0.5), coat),
        Ellipsoid((-0.34, 0, 0.0), (0.44, 0.95 * wide, 0.46), darker(coat, 0.15)),
        *legs(appearance, (0.3, -0.4, 0.25), 0.66, 0.19, coat, lighter(coat, 0.55)),
        *chain([(-0.76, 0, 0.2), (-0.92, 0, 0.0), (-0.94, 0, -0.25)], (0.06, 0.05), (coat,)),
        Ellipsoid((-0.94, 0, -0.34), (0.1, 0.1, 0.14 * appearance.tail), INK),
        *place(head, (0.56, 0, 0.46), 0.45 * appearance.head),
    ]


def turtle(appearance: Appearance) -> list[Ellipsoid]:
    """Green, under a brown dome with golden plates, with a smile and a stub of a tail."""
    coat = appearance.coat((0.52, 0.76, 0.38))
    shell = (0.52, 0.34, 0.18)
    plate = (0.80, 0.60, 0.30)
    dome = Ellipsoid((-0.05, 0, 0.08), (0.72, 0.6 * appearance.girth, 0.52), shell)
    dome = dome.patch((0, 0, -0.42), (2.0, 2.0, 0.2), CREAM)
    for x in (0.0, 0.62, -0.62):
        dome = dome.patch((x, 0, 1.0 - 0.4 * abs(x)), (0.26, 0.26, 0.26), plate)
    for x, y, z in ((0.38, 0.72, 0.55), (-0.38, 0.72, 0.55), (0.9, 0.3, 0.15), (-0.9, 0.3, 0.15)):
        dome = dome.patch_pair((x, y, z), (0.26, 0.26, 0.26), plate)
    head = [
        Ellipsoid((0, 0, 0), (1.0, 0.95, 0.92), coat)
        .patch((0.8, 0, -0.4), (0.5, 0.8, 0.3), INK)
        .patch((0.8, 0, -0.28), (0.6, 0.9, 0.3), coat)
        .patch((-0.3, 0, 1.0), (0.6, 0.4, 0.5), darker(coat, 0.3)),
        *eyes((0.78, 0.5, 0.26), 0.22, iris_on(coat)),
        *pair(Ellipsoid((0.74, 0.62, -0.22), (0.14, 0.14, 0.1), BLUSH)),
    ]
    return [
        dome,
        Ellipsoid((-0.05, 0, -0.14), (0.68, 0.55 * appearance.girth, 0.2), CREAM),
        *legs(appearance, (0.42, -0.5, 0.36), 0.4, 0.17, coat, darker(coat, 0.3)),
        Ellipsoid((-0.8, 0, -0.12), (0.2 * appearance.tail, 0.08, 0.08), coat, (0, -16, 0)),
        Ellipsoid((0.66, 0, 0.08), (0.2, 0.18, 0.3), coat, (0, 35, 0)),
        *place(head, (0.86, 0, 0.42), 0.36 * appearance.head),
    ]
