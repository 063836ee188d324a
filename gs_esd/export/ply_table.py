"""Tables of numbers in the .ply format: the bytes and digits, not what they mean.

Our own reader and writer, because the usual library for it, plyfile, is under the GPL, which a
program under the Apache licence cannot depend on without passing that on. The tests compare the
two. It is also made for files from anywhere: what a header promises is compared with what is
there before any memory is taken.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gs_esd.errors import UserError
from gs_esd.export.ply_header import MAX_HEADER_BYTES, Header, parse_header
from gs_esd.system.atomic import atomic_write

ROWS_A_BLOCK = 1 << 16
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
    with atomic_write(path) as partial, open(partial, "wb") as file:
        file.write(standard_header(names, len(table), comments))
        file.write(table.astype("<f4").tobytes())


def standard_header(names: Sequence[str], rows: int, comments: Sequence[str] = ()) -> bytes:
    """The header of such a file, whose first element is `vertex`."""
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {rows}"]
    lines += [f"property float {name}" for name in names]
    lines += [f"comment {comment}" for comment in comments] + ["end_header\n"]
    return "\n".join(lines).encode("ascii")


def read_header(path: str | os.PathLike[str]) -> Header:
    """A file's header. Raises UserError where the file cannot be read or has none."""
    with _opened(path) as file:
        return header_of(file, path)


def read_table(path: str | os.PathLike[str]) -> tuple[Columns, Header]:
    """The columns [N] of a file's first element, by property name, as float32, and its header.

    Text or binary of either byte order; whatever follows the first element is left alone.
    Raises UserError where the file cannot be read, is no .ply, does not begin with a vertex
    element of plain numbers, or is cut short.
    """
    with _opened(path) as file:
        header = header_of(file, path)
        if header.first.name == "chunk":
            raise UserError(
                f"{path} is a compressed .ply. Unpack it, in a splat editor or with "
                "`npx @playcanvas/splat-transform IN.compressed.ply OUT.ply`."
            )
        blocks = list(read_blocks(file, header, path))
    names = [name for name, _ in header.first.fields]
    return {name: np.concatenate([block[name] for block in blocks]) for name in names}, header


def header_of(file: BinaryIO, path: str | os.PathLike[str]) -> Header:
    """An open file's header, read from its beginning.

    path: the file's name in errors. Raises UserError where the file has no header.
    """
    file.seek(0)
    try:
        return parse_header(file.read(MAX_HEADER_BYTES))
    except ValueError as error:
        raise _unreadable(path, str(error)) from error


def read_blocks(file: BinaryIO, header: Header, path: str | os.PathLike[str]) -> Iterator[Columns]:
    """An open file's vertices in blocks of at most `ROWS_A_BLOCK` rows, at least one block.

    A block holds the columns by property name, as float32.
    path: the file's name in errors.
    Raises UserError where the file does not begin with a vertex element, or is cut short.
    """
    if header.first.name != "vertex":
        raise _unreadable(path, f"it does not begin with a vertex but with a {header.first.name}")
    read = _text_blocks if header.byte_order is None else _binary_blocks
    file.seek(header.body)
    yield from read(file, header, path)


def check_length(
    file: BinaryIO, header: Header, elements: int, path: str | os.PathLike[str]
) -> None:
    """Raise UserError unless an open binary file holds what the header says of its elements.

    elements: how many of them, from the first on.
    """
    promised = sum(each.count * header.row(each).itemsize for each in header.elements[:elements])
    there = file.seek(0, os.SEEK_END) - header.body
    if there < promised:
        splats = next(each.count for each in header.elements if each.name == "vertex")
        raise UserError(
            f"{path} is cut short: {splats} splats need {promised} bytes, {there} are there. "
            "Copy or export it again."
        )


def read_rows(
    file: BinaryIO, row: np.dtype[np.void], count: int, path: str | os.PathLike[str]
) -> NDArray[Any]:
    """The next rows of an open binary file, whose length was checked before.

    Raises UserError where it has become shorter since.
    """
    content = file.read(count * row.itemsize)
    if len(content) < count * row.itemsize:
        raise UserError(f"{path} was cut short while it was read. Try again.")
    return np.frombuffer(content, row)


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. Check the path.") from error


def _unreadable(path: str | os.PathLike[str], why: str) -> UserError:
    return UserError(f"{path} cannot be read: {why}. {REMEDY}")


def _binary_blocks(
    file: BinaryIO, header: Header, path: str | os.PathLike[str]
) -> Iterator[Columns]:
    row, count = header.row(header.first), header.first.count
    check_length(file, header, 1, path)
    file.seek(header.body)
    if not header.first.fields:
        yield {}
        return
    for start in range(0, max(count, 1), ROWS_A_BLOCK):
        table = read_rows(file, row, min(ROWS_A_BLOCK, count - start), path)
        yield {name: _float32(table[name]) for name in row.names or ()}


def _text_blocks(file: BinaryIO, header: Header, path: str | os.PathLike[str]) -> Iterator[Columns]:
    """The columns of a file of text, one row a line."""
    names, count = [name for name, _ in header.first.fields], header.first.count
    filled = (line.decode("latin-1") for line in file if line.strip())
    for start in range(0, max(count, 1), ROWS_A_BLOCK):
        rows = min(ROWS_A_BLOCK, count - start)
        lines = list(islice(filled, rows))
        if len(lines) < rows:
            raise UserError(
                f"{path} is cut short: it promises {count} splats, {start + len(lines)} are there. "
                "Copy or export it again."
            )
        yield _parsed(lines, names, path)


def _parsed(lines: list[str], names: list[str], path: str | os.PathLike[str]) -> Columns:
    if not lines or not names:
        return {name: np.empty(0, np.float32) for name in names}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = np.loadtxt(lines, np.float64, comments=None, ndmin=2)
    except (ValueError, UserWarning) as error:
        raise _unreadable(path, f"its rows are not all numbers ({error})") from error
    if table.shape[1] != len(names):
        raise _unreadable(path, f"its rows have {table.shape[1]} numbers, not {len(names)}")
    return dict(zip(names, _float32(table.T), strict=True))


def _float32(numbers: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what float32 cannot hold is found to be infinite later
        return numbers.astype(np.float32)
