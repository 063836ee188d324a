"""Tables of numbers in the binary .ply format: the bytes, not what they mean."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gs_esd.atomic import atomic_write
from gs_esd.errors import UserError

NUMPY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "<i2", "int16": "<i2", "ushort": "<u2", "uint16": "<u2",
    "int": "<i4", "int32": "<i4", "uint": "<u4", "uint32": "<u4",
    "float": "<f4", "float32": "<f4", "double": "<f8", "float64": "<f8",
}  # fmt: skip

END_OF_HEADER = b"end_header\n"
MAX_HEADER_BYTES = 1 << 16


def write_table(
    path: str | os.PathLike[str], names: Sequence[str], table: NDArray[np.float32]
) -> None:
    """Write `table` [N, P] with a float32 property for each of the P `names`, atomically."""
    assert table.shape[1] == len(names), (table.shape, len(names))
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    header += [f"property float {name}" for name in names]
    with atomic_write(path) as partial, open(partial, "wb") as file:
        file.write("\n".join(header).encode("ascii") + b"\n" + END_OF_HEADER)
        file.write(table.astype("<f4").tobytes())


def read_table(path: str | os.PathLike[str]) -> dict[str, NDArray[np.float32]]:
    """The columns [N] of a file's first element, by property name, as float32.

    Raises UserError where the file cannot be read, is no binary little-endian .ply, does not begin
    with a vertex element of plain numbers, or is cut short.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. Check the path.") from error
    header, separator, body = content.partition(END_OF_HEADER)
    if not header.startswith(b"ply") or not separator or len(header) > MAX_HEADER_BYTES:
        raise UserError(f"{path} is not a .ply file. Give a 3D Gaussian splat in .ply format.")
    try:
        count, row = _vertex_layout(header.decode("latin-1"))
    except ValueError as error:
        raise UserError(
            f"{path} cannot be read: {error}. "
            "Convert it to a standard 3DGS .ply (binary, little-endian, uncompressed)."
        ) from error
    if len(body) < count * row.itemsize:
        raise UserError(
            f"{path} is cut short: {count} splats need {count * row.itemsize} bytes, "
            f"{len(body)} are there. Copy or export it again."
        )
    table = np.frombuffer(body, row, count)
    return {name: table[name].astype(np.float32) for name in row.names or ()}


def _vertex_layout(header: str) -> tuple[int, np.dtype[np.void]]:
    """Number of rows and layout of a row of the first element; ValueError if it is not ours."""
    preamble, *elements = re.split(r"^element ", header, flags=re.MULTILINE)
    if "format binary_little_endian 1.0" not in preamble:
        raise ValueError("it is not binary little-endian")
    vertex = re.match(r"vertex (\d+)\s*\n", elements[0]) if elements else None
    if vertex is None:
        raise ValueError("it does not begin with a vertex element")
    fields = []
    for line in re.findall(r"^property (.*)$", elements[0], flags=re.MULTILINE):
        kind, *names = line.split()
        if kind not in NUMPY_TYPES or len(names) != 1:
            raise ValueError(f"property '{line.strip()}' is no plain number")
        fields.append((names[0], NUMPY_TYPES[kind]))
    return int(vertex[1]), np.dtype(fields)
