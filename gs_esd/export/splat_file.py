"""antimatter15's .splat: rows of 32 bytes without a header, so that anything might be one."""

from typing import BinaryIO

import numpy as np

from gs_esd.errors import UserError
from gs_esd.export.ply_table import ROWS_A_BLOCK, read_rows

ROW = np.dtype([("mean", "<f4", 3), ("size", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)])
REMEDY = "Give a 3DGS .ply, a .compressed.ply or a .splat."


def check_splat_format(file: BinaryIO, size: int, name: str) -> int:
    """The number of Gaussians in an open file of `size` bytes.

    Raises UserError where it is no .splat or holds numbers that are not finite. What tells one from
    other files are rotations: most quaternions, a byte for each component, have a length of one.
    """
    if size % ROW.itemsize:
        raise UserError(
            f"{name} is no splat, or cut short: it is no .ply, and {size} bytes are not a multiple "
            f"of the {ROW.itemsize} that a Gaussian takes in a .splat. {REMEDY}"
        )
    gaussians, units = size // ROW.itemsize, 0
    file.seek(0)
    for start in range(0, gaussians, ROWS_A_BLOCK):
        rows = read_rows(file, ROW, min(ROWS_A_BLOCK, gaussians - start), name)
        units += _units(rows)
        _check_numbers(rows, name)
    if 2 * units < gaussians:
        raise UserError(
            f"{name} is no splat: neither a .ply nor, by its numbers, a .splat. {REMEDY}"
        )
    return gaussians


def _units(rows: np.ndarray) -> int:
    """How many rows hold a quaternion of length one, but for what bytes cannot tell."""
    lengths = np.linalg.norm((rows["quat"].astype(np.float32) - 128) / 128, axis=1)
    return int((abs(lengths - 1) < 0.1).sum())


def _check_numbers(rows: np.ndarray, name: str) -> None:
    if not (np.isfinite(rows["mean"]).all() and np.isfinite(rows["size"]).all()):
        raise UserError(
            f"{name} is no .ply, and as a .splat holds NaN or infinite numbers. {REMEDY}"
        )
    if (rows["size"] < 0).any():
        raise UserError(f"{name} is no .ply, and as a .splat holds negative sizes. {REMEDY}")
