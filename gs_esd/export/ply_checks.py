"""Whether the numbers of a file make a splat, and whether they are the raw ones."""

import os
from collections.abc import Collection

import numpy as np

from gs_esd.errors import UserError
from gs_esd.export.ply_names import OPACITY, REST_COUNTS, SCALE, needed_names, rest
from gs_esd.export.ply_table import Columns

LARGEST_LOG_SCALE = 80.0
"""exp of more is infinite in float32, or close to it."""

SMALLEST_SCALE = 1e-8
"""Stands for standard deviations of 0, which have no logarithm."""
SMALLEST_OPACITY = 1e-6
"""Stands for opacities of 0, and its distance from 1 for those of 1, which have no logit."""


def check_splat(columns: Columns, path: str | os.PathLike[str]) -> None:
    """Raise UserError unless the columns of a file make a splat."""
    check_properties(columns, len(next(iter(columns.values()), ())), path)
    check_numbers(columns, path)


def check_properties(names: Collection[str], count: int, path: str | os.PathLike[str]) -> None:
    """Raise UserError unless `count` rows of properties of these names can make a splat."""
    rest_names = rest(names)
    if missing := [name for name in needed_names(len(rest_names)) if name not in names]:
        raise UserError(
            f"{path} is not a 3D Gaussian splat: it lacks {', '.join(missing)}. "
            "Export it from a 3DGS program as an uncompressed .ply."
        )
    if len(rest_names) not in REST_COUNTS:
        raise UserError(
            f"{path} has {len(rest_names)} f_rest properties; spherical harmonics of degree 0 to 3 "
            f"have {', '.join(map(str, REST_COUNTS))}. Export it with degree 3 or less."
        )
    if count == 0:
        raise UserError(f"{path} holds no Gaussian. Give a file with at least one.")


def check_numbers(columns: Columns, path: str | os.PathLike[str]) -> None:
    """Raise UserError unless the numbers of a splat, or of a part of its rows, are usable."""
    needed = needed_names(len(rest(columns)))
    if bad := [name for name in needed if not np.isfinite(columns[name]).all()]:
        raise UserError(
            f"{path} holds NaN or infinite numbers in {', '.join(bad)}. "
            "Remove those Gaussians in a splat editor, or export it again."
        )
    if any((columns[name] > LARGEST_LOG_SCALE).any() for name in SCALE):
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
    """Whether a file's opacities and scales look as if sigmoid and exp had been applied already.

    They do if no scale is negative and all opacities lie in [0, 1]. As raw values that would be a
    splat of which no Gaussian is smaller than one unit in any direction and every opacity is
    between 0.5 and 0.73. Zeros throughout, as in files made by hand, are taken to be raw.
    It goes by the smallest and the largest values: `extremes` of the columns will do.
    """
    scales = np.stack([columns[name] for name in SCALE])
    opacities = columns[OPACITY[0]]
    return bool(scales.min() >= 0 and scales.max() > 0 and _in_unit_interval(opacities))


def extremes(columns: Columns) -> Columns:
    """Of the opacities and of each scale the smallest and the largest, as columns of two rows."""
    return {
        name: np.array([columns[name].min(), columns[name].max()]) for name in [*OPACITY, *SCALE]
    }


def deactivated(columns: Columns, path: str | os.PathLike[str]) -> Columns:
    """The columns with logits and logarithms in the place of opacities and standard deviations.

    Values at the ends of their ranges, which have neither, are moved inside by 1e-6 and 1e-8.
    Raises UserError where they are outside.
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
    inside = opacities.clip(SMALLEST_OPACITY, 1 - SMALLEST_OPACITY)
    logits = np.log(inside / (1 - inside)).astype(np.float32)
    logs = {name: np.log(scale.clip(SMALLEST_SCALE)) for name, scale in scales.items()}
    return {**columns, OPACITY[0]: logits, **logs}


def _in_unit_interval(values: np.ndarray) -> bool:
    return bool(values.min() >= 0 and values.max() <= 1)
