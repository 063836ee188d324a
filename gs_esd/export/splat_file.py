"""Checks that a file is antimatter15's .splat: rows of 32 bytes, no header. Needs no torch."""

from typing import BinaryIO

import numpy as np

from gs_esd.errors import UserError
from gs_esd.export.ply_file import BLOCK_ROWS, read_rows

ROW = np.dtype([("mean", "<f4", 3), ("size", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)])
REMEDY = "Give a 3DGS .ply, a .compressed.ply or a .splat."


def check_splat_format(file: BinaryIO, size: int, name: str) -> int:
    """Count the Gaussians in an open file, and check their numbers.

    The format has no mark of its own. It is recognised by its rotations: most quaternions, a byte
    for each component, have a length of one.

    Args:
        file: any file, from which all is read.
        size: its size in bytes.
        name: name of the file in errors.

    Raises:
        UserError: it is no .splat, or holds numbers that are not finite.
    """
    if size % ROW.itemsize:
        raise UserError(
            f"{name} is no splat, or cut short: it is no .ply, and {size} bytes are not a multiple "
            f"of the {ROW.itemsize} that a Gaussian takes in a .splat. {REMEDY}"
        )
    gaussians, unit_quats = size // ROW.itemsize, 0
    file.seek(0)
    for start in range(0, gaussians, BLOCK_ROWS):
        rows = read_rows(file, ROW, min(BLOCK_ROWS, gaussians - start), name)
        unit_quats += _count_unit_quats(rows)
        _check_numbers(rows, name)
    if 2 * unit_quats < gaussians:
        raise UserError(
            f"{name} is no splat: neither a .ply nor, by its numbers, a .splat. {REMEDY}"
        )
    return gaussians


def _count_unit_quats(rows: np.ndarray) -> int:
    """Rows whose quaternion has length one, up to the rounding to bytes."""
    lengths = np.linalg.norm((rows["quat"].astype(np.float32) - 128) / 128, axis=1)
    return int((abs(lengths - 1) < 0.1).sum())


def _check_numbers(rows: np.ndarray, name: str) -> None:
    if not (np.isfinite(rows["mean"]).all() and np.isfinite(rows["size"]).all()):
        raise UserError(
            f"{name} is no .ply, and as a .splat holds NaN or infinite numbers. {REMEDY}"
        )
    if (rows["size"] < 0).any():
        raise UserError(f"{name} is no .ply, and as a .splat holds negative sizes. {REMEDY}")
