"""The properties of a splat in a .ply file, as INRIA's program named them."""

from collections.abc import Iterable

POSITION = ["x", "y", "z"]
NORMAL = ["nx", "ny", "nz"]
COLOR = ["f_dc_0", "f_dc_1", "f_dc_2"]
OPACITY = ["opacity"]
SCALE = ["scale_0", "scale_1", "scale_2"]
ROTATION = ["rot_0", "rot_1", "rot_2", "rot_3"]

REST_COUNTS = (0, 9, 24, 45)
"""Numbers of f_rest properties at spherical-harmonics degree 0, 1, 2 and 3."""


def property_names(rest_count: int) -> list[str]:
    """The properties of a splat file in their order, `rest_count` of them f_rest."""
    return [*POSITION, *NORMAL, *COLOR, *_rest(rest_count), *OPACITY, *SCALE, *ROTATION]


def needed_names(rest_count: int) -> list[str]:
    """Those of them that a splat cannot be read without."""
    return [name for name in property_names(rest_count) if name not in NORMAL]


def rest(names: Iterable[str]) -> list[str]:
    """f_rest_0, f_rest_1 and so on, as many as there are among `names`."""
    return _rest(sum(name.startswith("f_rest_") for name in names))


def _rest(count: int) -> list[str]:
    return [f"f_rest_{i}" for i in range(count)]
