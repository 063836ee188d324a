"""The inhabitants of the zoo: name to builder."""

from collections.abc import Callable

from gs_esd.toyzoo.birds import duck, owl, penguin
from gs_esd.toyzoo.farm import cow, pig, sheep
from gs_esd.toyzoo.look import Look
from gs_esd.toyzoo.parts import Ellipsoid
from gs_esd.toyzoo.quadrupeds import corgi, elephant, fox, lion, turtle
from gs_esd.toyzoo.sitters import bear, cat, frog, panda, rabbit

Builder = Callable[[Look], list[Ellipsoid]]

ANIMALS: dict[str, Builder] = {
    "bear": bear,
    "cat": cat,
    "corgi": corgi,
    "cow": cow,
    "duck": duck,
    "elephant": elephant,
    "fox": fox,
    "frog": frog,
    "lion": lion,
    "owl": owl,
    "panda": panda,
    "penguin": penguin,
    "pig": pig,
    "rabbit": rabbit,
    "sheep": sheep,
    "turtle": turtle,
}
