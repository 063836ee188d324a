"""Properties of splats in a .ply file: their names, and checks of their numbers. Needs no torch.

Names and order: INRIA's gaussian-splatting, `construct_list_of_attributes` in
scene/gaussian_model.py.
"""

import os
from collections.abc import Collection, Iterable

import numpy as np

from gs_esd.errors import UserError
from gs_esd.export.ply_file import Columns

POSITION = ["x", "y", "z"]
NORMAL = ["nx", "ny", "nz"]
COLOR = ["f_dc_0", "f_dc_1", "f_dc_2"]
OPACITY = ["opacity"]
SCALE = ["scale_0", "scale_1", "scale_2"]
ROTATION = ["rot_0", "rot_1", "rot_2", "rot_3"]

REST_COUNTS = (0, 9, 24, 45)
"""Numbers of f_rest properties at spherical-harmonics degree 0, 1, 2 and 3."""

MAX_LOG_SCALE = 80.0
"""exp of more is infinite in float32, or close to it."""
MIN_SCALE = 1e-8
"""Replaces standard deviations of 0, which have no logarithm."""
MIN_OPACITY = 1e-6
"""Replaces opacities of 0, and its distance from 1 those of 1, which have no logit."""


def property_names(rest_count: int) -> list[str]:
    """Properties of a splat file in their order, `rest_count` of them f_rest."""
    return [*POSITION, *NORMAL, *COLOR, *_rest(rest_count), *OPACITY, *SCALE, *ROTATION]


def required_names(rest_count: int) -> list[str]:
    """Properties without which splats cannot be read: all but the normals."""
    return [name for name in property_names(rest_count) if name not in NORMAL]


def rest_names(names: Iterable[str]) -> list[str]:
    """f_rest_0, f_rest_1 and so on, as many as there are among `names`."""
    return _rest(sum(name.startswith("f_rest_") for name in names))


def check_splats(columns: Columns, path: str | os.PathLike[str]) -> None:
    """Raise UserError unless the columns of a file make splats."""
    check_properties(columns, len(next(iter(columns.values()), ())), path)
    check_numbers(columns, path)


def check_properties(names: Collection[str], count: int, path: str | os.PathLike[str]) -> None:
    """Raise UserError unless `count` rows of properties of these names can make splats."""
    rest = rest_names(names)
    if missing := [name for name in required_names(len(rest)) if name not in names]:
        raise UserError(
            f"{path} is not a 3D Gaussian splat: it lacks {', '.join(missing)}. "
            "Export it from a 3DGS program as an uncompressed .ply."
        )
    if len(rest) not in REST_COUNTS:
        raise UserError(
            f"{path} has {len(rest)} f_rest properties; spherical harmonics of degree 0 to 3 "
            f"have {', '.join(map(str, REST_COUNTS))}. Export it with degree 3 or less."
        )
    if count == 0:
        raise UserError(f"{path} holds no Gaussian. Give a file with at least one.")


def check_numbers(columns: Columns, path: str | os.PathLike[str]) -> None:
    """Raise UserError unless the numbers of splats, or of some of their rows, are usable."""
    required = required_names(len(rest_names(columns)))
    if bad := [name for name in required if not np.isfinite(columns[name]).all()]:
        raise UserError(
            f"{path} holds NaN or infinite numbers in {', '.join(bad)}. "
            "Remove those Gaussians in a splat editor, or export it again."
        )
    if any((columns[name] > MAX_LOG_SCALE).any() for name in SCALE):
        raise UserError(
            f"{path} holds Gaussians of more than 10^34 units: it is damaged, or its numbers are "
            "not in the byte order that its header says. Export it again."
        )


def check_raw(columns: Columns, path: str | os.PathLike[str]) -> None:
    """Raise UserError where a file's opacities and scales look activated."""
    if looks_activated(columns):
        raise UserError(
            f"{path} seems to hold activated values: every opacity lies in [0, 1] and no scale is "
            "negative, as after sigmoid and exp, where the standard has logits and logarithms. "
            f"Repair it with `python -m gs_esd.export {path} OUT.ply --activated`, "
            "or with `--raw` if they are logits and logarithms after all."
        )


def looks_activated(columns: Columns) -> bool:
    """Whether opacities and scales look as if sigmoid and exp had been applied already.

    They do if no scale is negative and all opacities lie in [0, 1]. Raw values like that would be
    splats none of which is smaller than one unit in any direction, with every opacity between 0.5
    and 0.73. Zeros throughout, as in files made by hand, count as raw.

    Args:
        columns: of the opacities and scales; their `extremes` are enough.
    """
    scales = np.stack([columns[name] for name in SCALE])
    opacities = columns[OPACITY[0]]
    return bool(scales.min() >= 0 and scales.max() > 0 and _in_unit_interval(opacities))


def extremes(columns: Columns) -> Columns:
    """Smallest and largest opacity and scales, as columns of two rows."""
    return {
        name: np.array([columns[name].min(), columns[name].max()]) for name in [*OPACITY, *SCALE]
    }


def deactivate(columns: Columns, path: str | os.PathLike[str]) -> Columns:
    """Replace opacities and standard deviations by logits and logarithms.

    Values at the ends of their ranges, which have neither, are first moved inside, by
    `MIN_OPACITY` and `MIN_SCALE`.

    Raises:
        UserError: values outside of the ranges.
    """
    scales = {name: columns[name] for name in SCALE}
    opacities = columns[OPACITY[0]].astype(np.float64)
    if not _in_unit_interval(opacities) or min(scale.min() for scale in scales.values()) < 0:
        raise UserError(
            f"{path} does not hold activated values: opacities reach from {opacities.min():.3g} to "
            f"{opacities.max():.3g} and there are "
            f"{sum(int((scale < 0).sum()) for scale in scales.values())} negative scales. "
            "Read it without --activated."
        )
    inside = opacities.clip(MIN_OPACITY, 1 - MIN_OPACITY)
    logits = np.log(inside / (1 - inside)).astype(np.float32)
    logs = {name: np.log(scale.clip(MIN_SCALE)) for name, scale in scales.items()}
    return {**columns, OPACITY[0]: logits, **logs}


def _rest(count: int) -> list[str]:
    return [f"f_rest_{i}" for i in range(count)]


def _in_unit_interval(values: np.ndarray) -> bool:
    return bool(values.min() >= 0 and values.max() <= 1)
