"""Animals that sit upright and face +x: paws, belly and face in front, tail behind.

The middle of the body is the origin. Heads are modelled in a frame of their own, where the skull
is about the unit ball, and then placed on the body.
"""

from gs_esd.toyzoo.animals.heads import ears, eyes, iris_on, muzzle
from gs_esd.toyzoo.appearance import Appearance
from gs_esd.toyzoo.primitives import (
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


def limbs(appearance: Appearance, color: Vec, pad: Vec) -> list[Ellipsoid]:
    """Arms that hang to the front, and legs stretched forward that show the pads of their feet."""
    wide = 0.42 * appearance.girth
    reach = 0.34 * appearance.legs
    foot = (
        Ellipsoid((0.3 + reach, wide - 0.05, -0.38), (0.11, 0.18, 0.22), color)
        .patch((1.0, 0, -0.2), (0.8, 0.5, 0.45), pad)
        .patch((1.0, 0, 0.6), (0.8, 0.18, 0.18), pad)
        .patch_pair((1.0, 0.5, 0.4), (0.8, 0.18, 0.18), pad)
    )
    return pair(
        Ellipsoid((0.22, wide - 0.08, -0.4), (reach, 0.17, 0.17), color, (0, 0, 6)),
        foot,
        Ellipsoid((0.2, wide, 0.12), (0.14, 0.13, 0.34), color, (16, -38, 0)),
    )


def bear(appearance: Appearance) -> list[Ellipsoid]:
    """A brown teddy with a light muzzle and belly, paw pads and a stub of a tail."""
    coat = appearance.coat((0.58, 0.36, 0.19))
    light = lighter(coat, 0.55)
    head = [
        Ellipsoid((0, 0, 0), (0.95, 1.06, 0.95), coat),
        *muzzle((0.8, 0, -0.28), (0.42, 0.48, 0.38), light),
        *eyes((0.84, 0.42, 0.22), 0.16, iris_on(coat)),
        *ears((-0.05, 0.78, 0.78), (0.22, 0.4, 0.4), coat, light, appearance.ears),
    ]
    return [
        Ellipsoid((0, 0, 0), (0.44 * appearance.girth, 0.47 * appearance.girth, 0.58), coat)
        .patch((1.0, 0, -0.1), (0.75, 0.7, 0.75), light)
        .patch((-1.0, 0, 0.1), (0.5, 0.2, 0.8), darker(coat, 0.35)),
        Ellipsoid((-0.46, 0, -0.34), (0.15, 0.14, 0.14), light),
        *limbs(appearance, coat, light),
        *place(head, (0.06, 0, 0.82), 0.49 * appearance.head),
    ]


def panda(appearance: Appearance) -> list[Ellipsoid]:
    """White with black limbs, shoulders, ears and eye patches."""
    coat = appearance.coat(WHITE)
    black = (0.13, 0.12, 0.14)
    skull = Ellipsoid((0, 0, 0), (0.95, 1.1, 0.95), coat).patch_pair(
        (0.85, 0.48, 0.1), (0.5, 0.27, 0.36), black
    )
    head = [
        skull,
        *muzzle((0.8, 0, -0.3), (0.36, 0.4, 0.32), coat),
        *eyes((0.86, 0.46, 0.16), 0.15, (0.50, 0.30, 0.15), 0.66),
        *ears((-0.05, 0.8, 0.78), (0.22, 0.38, 0.38), black, darker(PINK, 0.45), appearance.ears),
    ]
    return [
        Ellipsoid((0, 0, 0), (0.46 * appearance.girth, 0.49 * appearance.girth, 0.58), coat).patch(
            (-0.1, 0, 0.72), (2.0, 2.0, 0.34), black
        ),
        Ellipsoid((-0.48, 0, -0.36), (0.15, 0.15, 0.14), black),
        *limbs(appearance, black, PINK),
        *place(head, (0.06, 0, 0.82), 0.49 * appearance.head),
    ]


def rabbit(appearance: Appearance) -> list[Ellipsoid]:
    """Sandy, with long ears, a pink nose, a white bib, long feet and a cotton tail."""
    coat = appearance.coat((0.80, 0.66, 0.50))
    dark = darker(coat, 0.28)
    wide = 0.44 * appearance.girth
    head = [
        Ellipsoid((0, 0, 0), (0.92, 1.0, 0.92), coat)
        .patch((-0.6, 0, 0.5), (0.6, 0.35, 0.6), dark)
        .patch((0.75, 0, -0.8), (0.7, 0.7, 0.5), WHITE),
        *pair(Ellipsoid((0.7, 0.25, -0.32), (0.34, 0.32, 0.27), WHITE)),
        Ellipsoid((1.0, 0, -0.14), (0.12, 0.17, 0.12), PINK),
        *eyes((0.8, 0.5, 0.18), 0.21, iris_on(coat)),
        *ears((-0.1, 0.44, 1.4), (0.2, 0.33, 0.82), coat, PINK, appearance.ears, roll=-12),
    ]
    return [
        Ellipsoid((-0.02, 0, 0), (0.48, wide, 0.54), coat, (0, -18, 0)).patch(
            (-1, 0, 0.25), (0.8, 0.35, 0.85), dark
        ),
        Ellipsoid((0.2, 0, 0.05), (0.32, 0.8 * wide, 0.46), WHITE, (0, -10, 0)),
        Ellipsoid((-0.54, 0, -0.26), (0.22, 0.22, 0.22), WHITE),
        *pair(
            Ellipsoid((-0.1, wide - 0.04, -0.24), (0.36, 0.2, 0.32), darker(coat, 0.1)),
            Ellipsoid((0.26, wide - 0.04, -0.48), (0.38 * appearance.legs, 0.15, 0.11), WHITE),
            Ellipsoid((0.4, 0.18, -0.1), (0.12, 0.12, 0.36), coat, (0, -12, 0)),
            Ellipsoid((0.5, 0.18, -0.42), (0.15, 0.12, 0.1), WHITE),
        ),
        *place(head, (0.24, 0, 0.76), 0.46 * appearance.head),
    ]


def cat(appearance: Appearance) -> list[Ellipsoid]:
    """A grey tabby with green eyes, white bib and paws, and its tail round to the side."""
    coat = appearance.coat((0.60, 0.60, 0.64))
    stripe = darker(coat, 0.5)
    wide = 0.34 * appearance.girth
    skull = (
        Ellipsoid((0, 0, 0), (0.92, 1.1, 0.92), coat)
        .patch((0.5, 0, 0.85), (0.6, 0.09, 0.5), stripe)
        .patch_pair((0.5, 0.32, 0.8), (0.5, 0.08, 0.4), stripe)
        .patch_pair((0.1, 1.0, -0.1), (0.5, 0.4, 0.08), stripe)
        .patch((0.8, 0, -0.75), (0.6, 0.6, 0.5), WHITE)
    )
    head = [
        skull,
        *pair(Ellipsoid((0.76, 0.24, -0.34), (0.3, 0.3, 0.24), WHITE)),
        Ellipsoid((1.02, 0, -0.16), (0.11, 0.14, 0.09), PINK),
        *eyes((0.82, 0.46, 0.14), 0.24, (0.50, 0.82, 0.34), 0.58),
        *ears((-0.05, 0.66, 0.86), (0.2, 0.4, 0.62), coat, PINK, appearance.ears, roll=-22),
    ]
    body = Ellipsoid((-0.05, 0, 0), (0.4, wide, 0.56), coat, (0, -14, 0))
    for height in (-0.45, -0.1, 0.25, 0.58):
        body = body.patch((-0.9, 0, height), (0.85, 1.3, 0.1), stripe)
    tail = [(-0.4, 0, -0.42), (-0.75, 0.1, -0.4), (-0.9, 0.1, -0.05), (-0.85, 0.05, 0.35)]
    return [
        body.patch((1.0, 0, 0.3), (0.8, 0.6, 0.9), WHITE),
        *pair(
            Ellipsoid((-0.08, wide - 0.06, -0.3), (0.33, 0.2, 0.28), coat)
            .patch((-0.2, 1, 0.3), (0.7, 0.8, 0.1), stripe)
            .patch((-0.2, 1, -0.15), (0.7, 0.8, 0.1), stripe),
            Ellipsoid((0.22, wide, -0.5), (0.2, 0.13, 0.09), WHITE),
            Ellipsoid((0.3, 0.15, -0.2), (0.11, 0.11, 0.4 * appearance.legs), coat),
            Ellipsoid((0.38, 0.15, -0.52), (0.16, 0.12, 0.09), WHITE),
        ),
        *chain(tail, (0.1 * appearance.tail, 0.085 * appearance.tail), 3 * (coat, stripe)),
        *place(head, (0.16, 0, 0.74), 0.43 * appearance.head),
    ]


def frog(appearance: Appearance) -> list[Ellipsoid]:
    """Green, with eyes on top, a wide smile, a pale belly, folded legs and a spotted back."""
    coat = appearance.coat((0.38, 0.72, 0.26))
    dark = darker(coat, 0.45)
    pale = blend(lighter(coat, 0.55), (0.98, 0.95, 0.62), 0.5)
    wide = 0.56 * appearance.girth
    skull = (
        Ellipsoid((0, 0, 0), (0.9, 1.15, 0.72), coat)
        .patch((0.6, 0, -0.7), (0.9, 1.0, 0.72), INK)
        .patch((0.6, 0, -0.78), (0.95, 1.05, 0.72), pale)
        .patch_pair((0.9, 0.14, 0.2), (0.3, 0.05, 0.06), INK)
    )
    head = [
        skull,
        *pair(Ellipsoid((0.1, 0.62, 0.62), (0.38, 0.38, 0.4), coat)),
        *eyes((0.34, 0.62, 0.68), 0.31, (0.98, 0.80, 0.22), 0.6),
    ]
    back = Ellipsoid((-0.05, 0, 0), (0.62, wide, 0.42), coat, (0, -24, 0))
    for x, y in ((-0.6, 0.3), (-0.35, -0.4), (-0.75, -0.2), (-0.1, 0.5), (-0.15, 0.0)):
        back = back.patch((x, y, 0.8), (0.16, 0.16, 0.4), dark)
    toes = [
        Ellipsoid((0.42, 0.58 + step, -0.4), (0.2, 0.06, 0.05), dark, (0, 0, 120 * step))
        for step in (-0.12, 0.0, 0.12)
    ]
    return [
        back.patch((0.9, 0, -0.5), (1.0, 0.75, 0.9), pale),
        *pair(
            Ellipsoid(
                (-0.25, 0.52 * appearance.girth, -0.12), (0.4, 0.2, 0.24), coat, (0, 24, 8)
            ).patch((0, 1, 0.5), (0.25, 0.6, 0.35), dark),
            Ellipsoid((0.12, 0.58, -0.36), (0.36, 0.12, 0.09), coat),
            *toes,
            Ellipsoid((0.42, 0.3, -0.2), (0.1, 0.1, 0.28 * appearance.legs), coat),
            Ellipsoid((0.5, 0.3, -0.42), (0.15, 0.14, 0.06), dark),
        ),
        *place(head, (0.3, 0, 0.46), 0.48 * appearance.head),
    ]
