"""Birds: upright or swimming, the face at +x, wings at ±y and the tail at −x.

The middle of the body is the origin. Heads are modelled in a frame of their own, where the skull
is about the unit ball, and then placed on the body.
"""

from gs_esd.toyzoo.animals.heads import eyes, iris_on
from gs_esd.toyzoo.appearance import Appearance
from gs_esd.toyzoo.primitives import (
    CREAM,
    WHITE,
    Ellipsoid,
    Vec,
    blend,
    darker,
    lighter,
    pair,
    place,
)

BILL: Vec = (0.97, 0.60, 0.14)


def owl(appearance: Appearance) -> list[Ellipsoid]:
    """Brown, with a pale face of two discs, yellow eyes, ear tufts, a flecked belly and wings."""
    coat = appearance.coat((0.55, 0.38, 0.24))
    dark = darker(coat, 0.4)
    pale = lighter(coat, 0.7)
    wide = 0.5 * appearance.girth
    head = [
        Ellipsoid((0, 0, 0), (0.92, 1.08, 0.88), coat)
        .patch((-0.9, 0, 0.1), (0.5, 0.9, 0.12), dark)
        .patch((-0.8, 0, 0.55), (0.5, 0.7, 0.12), dark),
        *pair(
            Ellipsoid((0.58, 0.44, 0.02), (0.36, 0.5, 0.52), pale, (0, 0, 18)),
            Ellipsoid((0.1, 0.68, 0.85), (0.16, 0.2, 0.48 * appearance.ears), dark, (-30, 0, 0)),
        ),
        *eyes((0.88, 0.42, 0.04), 0.32, (1.0, 0.80, 0.12), 0.58),
        Ellipsoid((0.98, 0, -0.24), (0.2, 0.14, 0.24), BILL, (0, 25, 0)),
    ]
    breast = Ellipsoid((0, 0, 0), (0.46 * appearance.girth, wide, 0.62), coat)
    breast = breast.patch((1.0, 0, -0.05), (0.8, 0.72, 0.85), CREAM)
    for y, z in (
        (-0.3, 0.3),
        (0.0, 0.35),
        (0.3, 0.3),
        (-0.16, 0.0),
        (0.16, 0.0),
        (0.0, -0.35),
        (-0.36, -0.25),
        (0.36, -0.25),
    ):
        breast = breast.patch((0.95, y, z), (0.4, 0.07, 0.1), dark)
    wing = Ellipsoid((-0.1, wide - 0.02, -0.04), (0.32, 0.12, 0.52), dark, (8, 14, 0))
    for z in (-0.55, -0.25, 0.05):
        wing = wing.patch((0, 1.0, z), (0.8, 1.2, 0.08), pale)
    tail = Ellipsoid((-0.42, 0, -0.52), (0.13, 0.24, 0.36 * appearance.tail), dark, (0, 28, 0))
    return [
        breast.patch((-1.0, 0, 0), (0.6, 0.12, 0.9), pale),
        *pair(wing),
        tail.patch((-1, 0, -0.3), (1.2, 2.0, 0.1), pale).patch((-1, 0, -0.7), (1.2, 2, 0.1), pale),
        *pair(Ellipsoid((0.26, 0.2, -0.6), (0.2, 0.14, 0.08), BILL)),
        *place(head, (0.06, 0, 0.72), 0.5 * appearance.head),
    ]


def penguin(appearance: Appearance) -> list[Ellipsoid]:
    """Dark blue behind and white before, with golden cheeks, flippers and orange feet."""
    coat = appearance.coat((0.17, 0.22, 0.36))
    saddle = lighter(coat, 0.28)
    gold = (0.99, 0.78, 0.22)
    wide = 0.44 * appearance.girth
    skull = (
        Ellipsoid((0, 0, 0), (0.95, 1.0, 0.95), coat)
        .patch_pair((0.75, 0.36, -0.2), (0.62, 0.42, 0.55), WHITE)
        .patch_pair((0.1, 0.95, -0.3), (0.35, 0.4, 0.4), gold)
    )
    head = [
        skull,
        *eyes((0.84, 0.38, 0.08), 0.17),
        Ellipsoid((1.05, 0, -0.18), (0.42, 0.2, 0.14), BILL, (0, 8, 0)),
    ]
    flipper = Ellipsoid(
        (-0.02, wide + 0.08, 0.02), (0.18, 0.08, 0.44 * appearance.legs), coat, (24, 0, 0)
    )
    return [
        Ellipsoid((0, 0, 0), (0.42 * appearance.girth, wide, 0.64), coat)
        .patch((0.85, 0, -0.1), (0.85, 0.72, 0.95), WHITE)
        .patch((0.7, 0, 0.62), (0.6, 0.5, 0.25), gold)
        .patch((-1.0, 0, 0.0), (0.6, 0.62, 0.75), saddle)
        .patch((-1.0, 0, 0.0), (0.6, 0.1, 0.9), coat),
        *pair(
            flipper.patch((0.6, -0.6, 0), (0.9, 1.0, 1.0), lighter(coat, 0.75)),
            Ellipsoid((0.22, 0.2, -0.64), (0.26, 0.17, 0.07), BILL, (0, 0, 10)),
        ),
        Ellipsoid((-0.42, 0, -0.52), (0.26 * appearance.tail, 0.16, 0.08), coat, (0, -28, 0)),
        *place(head, (0.05, 0, 0.72), 0.42 * appearance.head),
    ]


def duck(appearance: Appearance) -> list[Ellipsoid]:
    """Yellow, with a broad orange bill, folded wings and a turned-up tail."""
    coat = appearance.coat((0.99, 0.83, 0.25))
    deep = blend(darker(coat, 0.12), BILL, 0.35)
    wide = 0.46 * appearance.girth
    head = [
        Ellipsoid((0, 0, 0), (0.95, 0.95, 0.95), coat),
        Ellipsoid((-0.05, 0, 0.95), (0.3, 0.16, 0.22), deep, (0, 30, 0)),
        Ellipsoid((1.0, 0, -0.16), (0.5, 0.46, 0.15), BILL),
        Ellipsoid((0.92, 0, -0.34), (0.4, 0.36, 0.11), darker(BILL, 0.2)),
        *eyes((0.76, 0.46, 0.22), 0.19, iris_on(coat)),
        *pair(Ellipsoid((0.66, 0.62, -0.2), (0.16, 0.16, 0.12), (0.98, 0.66, 0.35))),
    ]
    wing = Ellipsoid((-0.12, wide - 0.03, 0.06), (0.44, 0.12, 0.26), deep, (-8, 14, 6)).patch(
        (-0.85, 1, -0.2), (0.5, 2.0, 0.9), WHITE
    )
    return [
        Ellipsoid((0, 0, 0), (0.68, wide, 0.42), coat).patch(
            (0.8, 0, -0.2), (0.6, 0.7, 0.7), lighter(coat, 0.45)
        ),
        Ellipsoid((0.3, 0, 0.22), (0.32, 0.34, 0.4), coat),
        Ellipsoid((-0.62, 0, 0.26), (0.3 * appearance.tail, 0.24, 0.14), coat, (0, 38, 0)).patch(
            (-1, 0, 0), (0.7, 2, 2), WHITE
        ),
        *pair(wing, Ellipsoid((0.12, 0.2, -0.44), (0.26, 0.17, 0.07), BILL)),
        *place(head, (0.42, 0, 0.72), 0.42 * appearance.head),
    ]
