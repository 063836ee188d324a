"""All animals of the zoo, name to builder. Needs no torch."""

from collections.abc import Callable

from gs_esd.toyzoo.animals.birds import duck, owl, penguin
from gs_esd.toyzoo.animals.farm import cow, pig, sheep
from gs_esd.toyzoo.animals.quadrupeds import corgi, elephant, fox, lion, turtle
from gs_esd.toyzoo.animals.sitting import bear, cat, frog, panda, rabbit
from gs_esd.toyzoo.appearance import Appearance
from gs_esd.toyzoo.primitives import Ellipsoid

Builder = Callable[[Appearance], list[Ellipsoid]]

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
