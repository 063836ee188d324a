"""Tables of numbers in the .ply format: the bytes and digits, not what they mean.

Our own reader and writer, because the usual library for it, plyfile, is under the GPL, which a
program under the Apache licence cannot depend on without passing that on. The tests compare the
two. It is also made for files from anywhere: what a header promises is compared with what is
there before any memory is taken.
"""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gs_esd.atomic import atomic_write
from gs_esd.errors import UserError
from gs_esd.export.ply_header import MAX_HEADER_BYTES, Header, parse_header

REMEDY = "Convert it to a standard 3DGS .ply."
Columns = dict[str, NDArray[np.float32]]


def write_table(
    path: str | os.PathLike[str],
    names: Sequence[str],
    table: NDArray[np.float32],
    comments: Sequence[str] = (),
) -> None:
    """Write `table` [N, P] with a float32 property for each of the P `names`, atomically.

    comments: lines of ASCII; they follow the properties.
    """
    assert table.shape[1] == len(names), (table.shape, len(names))
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    header += [f"property float {name}" for name in names]
    header += [f"comment {comment}" for comment in comments] + ["end_header\n"]
    with atomic_write(path) as partial, open(partial, "wb") as file:
        file.write("\n".join(header).encode("ascii"))
        file.write(table.astype("<f4").tobytes())


def read_header(path: str | os.PathLike[str]) -> Header:
    """A file's header. Raises UserError where the file cannot be read or has none."""
    return _header(_content(path, MAX_HEADER_BYTES), path)


def read_table(path: str | os.PathLike[str]) -> tuple[Columns, Header]:
    """The columns [N] of a file's first element, by property name, as float32, and its header.

    Text or binary of either byte order; whatever follows the first element is left alone.
    Raises UserError where the file cannot be read, is no .ply, does not begin with a vertex
    element of plain numbers, or is cut short.
    """
    content = _content(path)
    header = _header(content, path)
    if header.element == "chunk":
        raise UserError(
            f"{path} is a compressed .ply. Unpack it, in a splat editor or with "
            "`npx @playcanvas/splat-transform IN.compressed.ply OUT.ply`."
        )
    if header.element != "vertex":
        raise _unreadable(path, f"it does not begin with a vertex but with a {header.element}")
    read = _text if header.byte_order is None else _binary
    with np.errstate(over="ignore"):  # what float32 cannot hold is found to be infinite later
        return read(content, header, path), header


def _content(path: str | os.PathLike[str], length: int = -1) -> bytes:
    try:
        with open(Path(path), "rb") as file:
            return file.read(length)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. Check the path.") from error


def _header(content: bytes, path: str | os.PathLike[str]) -> Header:
    try:
        return parse_header(content)
    except ValueError as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: str | os.PathLike[str], why: str) -> UserError:
    return UserError(f"{path} cannot be read: {why}. {REMEDY}")


def _binary(content: bytes, header: Header, path: str | os.PathLike[str]) -> Columns:
    row, length = header.row, len(content) - header.body
    if length < header.count * row.itemsize:
        raise UserError(
            f"{path} is cut short: {header.count} splats need {header.count * row.itemsize} bytes, "
            f"{length} are there. Copy or export it again."
        )
    if not header.fields:
        return {}
    table = np.frombuffer(content, row, header.count, header.body)
    return {name: table[name].astype(np.float32) for name in row.names or ()}


def _text(content: bytes, header: Header, path: str | os.PathLike[str]) -> Columns:
    """The columns of a file of text, one row a line."""
    lines = [line for line in content[header.body :].decode("latin-1").split("\n") if line.strip()]
    if len(lines) < header.count:
        raise UserError(
            f"{path} is cut short: it promises {header.count} splats, {len(lines)} are there. "
            "Copy or export it again."
        )
    names = [name for name, _ in header.fields]
    if header.count == 0 or not names:
        return {name: np.empty(0, np.float32) for name in names}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = np.loadtxt(lines[: header.count], np.float64, comments=None, ndmin=2)
    except (ValueError, UserWarning) as error:
        raise _unreadable(path, f"its rows are not all numbers ({error})") from error
    if table.shape[1] != len(names):
        raise _unreadable(path, f"its rows have {table.shape[1]} numbers, not {len(names)}")
    return dict(zip(names, table.T.astype(np.float32), strict=True))
