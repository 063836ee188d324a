"""Whether the numbers of a file make a splat, and whether they are the raw ones."""

import os

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
    names = rest(columns)
    needed = needed_names(len(names))
    if missing := [name for name in needed if name not in columns]:
        raise UserError(
            f"{path} is not a 3D Gaussian splat: it lacks {', '.join(missing)}. "
            "Export it from a 3DGS program as an uncompressed .ply."
        )
    if len(names) not in REST_COUNTS:
        raise UserError(
            f"{path} has {len(names)} f_rest properties; spherical harmonics of degree 0 to 3 have "
            f"{', '.join(map(str, REST_COUNTS))}. Export it with degree 3 or less."
        )
    if len(columns["x"]) == 0:
        raise UserError(f"{path} holds no Gaussian. Give a file with at least one.")
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


def looks_activated(columns: Columns) -> bool:
    """Whether a file's opacities and scales look as if sigmoid and exp had been applied already.

    They do if no scale is negative and all opacities lie in [0, 1]. As raw values that would be a
    splat of which no Gaussian is smaller than one unit in any direction and every opacity is
    between 0.5 and 0.73. Zeros throughout, as in files made by hand, are taken to be raw.
    """
    scales = np.stack([columns[name] for name in SCALE])
    opacities = columns[OPACITY[0]]
    return bool(scales.min() >= 0 and scales.max() > 0 and _in_unit_interval(opacities))


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
