"""Tables of numbers in .ply files: header and rows, read in blocks and written. Needs no torch.

Files are written, and the types in their headers read, by plyfile. Rows are read here, for files
that are larger than memory, that change meanwhile, or whose headers promise more than is there.
plyfile either maps a file into memory, where one cut short meanwhile kills the process by SIGBUS,
or converts number by number in Python: half a millisecond a Gaussian.
"""

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from plyfile import PlyData, PlyElement, PlyProperty

from gs_esd.errors import UserError
from gs_esd.system.atomic import atomic_write

BYTE_ORDERS = {"ascii": None, "binary_little_endian": "<", "binary_big_endian": ">"}
MAX_HEADER_BYTES = 1 << 17
BLOCK_ROWS = 1 << 16
REMEDY = "Convert it to a standard 3DGS .ply."
HEADER = re.compile(rb"ply[ \t]*\r?\n(.*?^)end_header[ \t]*\r?\n", re.MULTILINE | re.DOTALL)

Columns = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Element:
    """A table in a file.

    fields: its properties in their order, each with its numpy type without byte order.
    """

    name: str
    count: int
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Header:
    """The tables in a file, and where their numbers begin.

    elements: the first one, and those after it up to the first that has lists.
    byte_order: "<" or ">", None for text.
    body: position of the first byte after the header.
    """

    elements: tuple[Element, ...]
    byte_order: str | None
    comments: tuple[str, ...]
    body: int

    @property
    def first(self) -> Element:
        """The first element, in most files the only one."""
        return self.elements[0]

    def row(self, element: Element) -> np.dtype[np.void]:
        """Layout of a row of an element in a binary file."""
        assert self.byte_order is not None, "rows of text have no layout"
        return np.dtype([(name, self.byte_order + kind) for name, kind in element.fields])


class _TableWithComments(PlyData):
    """A .ply of one table whose comments follow its properties.

    plyfile puts them before; but INRIA's viewer takes the third line to be `element vertex N`, and
    the lines after it to be the properties.
    """

    def __init__(self, vertex: PlyElement, comments: Sequence[str]) -> None:
        super().__init__([vertex], byte_order="<")
        self._last_lines = [*(f"comment {comment}" for comment in comments), "end_header"]

    @property
    def header(self) -> str:
        return "\n".join([*super().header.splitlines()[:-1], *self._last_lines])


def write_table(
    path: str | os.PathLike[str],
    names: Sequence[str],
    table: NDArray[np.float32],
    comments: Sequence[str] = (),
) -> None:
    """Write a little-endian float32 property for each column, atomically.

    Args:
        path: file to write; an old one is replaced only when all is written.
        names: P property names.
        table: numbers [N, P].
        comments: lines of ASCII, without the word `comment`.

    Raises:
        UserError: the folder cannot be written.
    """
    assert table.shape[1] == len(names), (table.shape, len(names))
    rows = np.ascontiguousarray(table, "<f4").view(_row(names)).reshape(-1)
    with atomic_write(path) as partial:
        _TableWithComments(PlyElement.describe(rows, "vertex"), comments).write(str(partial))


def standard_header(names: Sequence[str], rows: int) -> bytes:
    """Header that `write_table` gives a file of `rows` rows without comments."""
    no_memory = np.broadcast_to(np.zeros((), _row(names)), rows)
    table = _TableWithComments(PlyElement.describe(no_memory, "vertex"), ())
    return f"{table.header}\n".encode("ascii")


def _row(names: Sequence[str]) -> np.dtype[np.void]:
    return np.dtype([(name, "<f4") for name in names])


@contextmanager
def open_ply(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to read its header and blocks. Raises UserError where it cannot be opened."""
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. Check the path.") from error


def read_header(file: BinaryIO, path: str | os.PathLike[str]) -> Header:
    """Header of an open file, read from its beginning.

    Args:
        file: any .ply, text or binary.
        path: name of the file in errors.

    Raises:
        UserError: the file has no header, or its first element has lists.
    """
    file.seek(0)
    try:
        return _parse_header(file.read(MAX_HEADER_BYTES))
    except ValueError as error:
        raise _unreadable(path, str(error)) from error


def read_table(path: str | os.PathLike[str]) -> tuple[Columns, Header]:
    """Columns [N] of a file's first element, by property name, as float32, and its header.

    Text or binary of either byte order; whatever follows the first element is ignored.

    Raises:
        UserError: the file cannot be read, is no .ply, does not begin with a vertex element of
            plain numbers, or is cut short.
    """
    with open_ply(path) as file:
        header = read_header(file, path)
        if header.first.name == "chunk":
            raise UserError(
                f"{path} is a compressed .ply. Unpack it, in a splat editor or with "
                "`npx @playcanvas/splat-transform IN.compressed.ply OUT.ply`."
            )
        blocks = list(read_blocks(file, header, path))
    names = [name for name, _ in header.first.fields]
    return {name: np.concatenate([block[name] for block in blocks]) for name in names}, header


def read_blocks(file: BinaryIO, header: Header, path: str | os.PathLike[str]) -> Iterator[Columns]:
    """Vertices of an open file, at most `BLOCK_ROWS` rows at a time; at least one block.

    Args:
        file: the file that `header` was read from; it may be larger than memory.
        header: its header.
        path: name of the file in errors.

    Yields:
        Columns by property name, as float32.

    Raises:
        UserError: the file does not begin with a vertex element, or is cut short.
    """
    if header.first.name != "vertex":
        raise _unreadable(path, f"it does not begin with a vertex but with a {header.first.name}")
    read = _text_blocks if header.byte_order is None else _binary_blocks
    file.seek(header.body)
    yield from read(file, header, path)


def check_length(
    file: BinaryIO, header: Header, elements: int, path: str | os.PathLike[str]
) -> None:
    """Raise UserError unless a binary file is as long as its first `elements` elements need."""
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
    """Next rows of an open binary file whose length was checked before.

    Raises:
        UserError: the file has become shorter since.
    """
    content = file.read(count * row.itemsize)
    if len(content) < count * row.itemsize:
        raise UserError(f"{path} was cut short while it was read. Try again.")
    return np.frombuffer(content, row)


def _parse_header(content: bytes) -> Header:
    """Parse the header that `content` begins with; ValueError says what is wrong with it."""
    found = HEADER.match(content, 0, MAX_HEADER_BYTES)
    if found is None:
        raise ValueError("it is not a .ply file")
    lines = found[1].decode("latin-1").replace("\r\n", "\n").split("\n")
    comments = tuple(line[8:] for line in lines if line.startswith("comment "))
    words = [line.split() for line in lines if not line.startswith(("comment", "obj_info"))]
    return Header(_elements(words), _byte_order(words), comments, found.end())


def _byte_order(lines: list[list[str]]) -> str | None:
    formats = [words[1:] for words in lines if words[:1] == ["format"]]
    if len(formats) != 1 or len(formats[0]) != 2 or formats[0][0] not in BYTE_ORDERS:
        raise ValueError(f"its format is none of {', '.join(BYTE_ORDERS)}")
    return BYTE_ORDERS[formats[0][0]]


def _elements(lines: list[list[str]]) -> tuple[Element, ...]:
    starts = [i for i, words in enumerate(lines) if words[:1] == ["element"]]
    if not starts:
        raise ValueError("its header names no element")
    first, *others = (lines[i:j] for i, j in pairwise([*starts, len(lines)]))
    elements = [_element(first)]
    for other in others:
        try:
            elements.append(_element(other))
        except ValueError:  # lists, as faces are: where they end, only reading them could tell
            break
    return tuple(elements)


def _element(lines: list[list[str]]) -> Element:
    """Parse the header lines of one element, split into words."""
    words = lines[0]
    if len(words) != 3 or re.fullmatch(r"[0-9]{1,18}", words[2]) is None:
        raise ValueError(f"'{' '.join(words)}' does not say how many rows there are")
    return Element(words[1], int(words[2]), _fields([line for line in lines[1:] if line]))


def _fields(lines: list[list[str]]) -> tuple[tuple[str, str], ...]:
    for words in lines:
        if len(words) != 3 or words[0] != "property":
            raise ValueError(f"'{' '.join(words)}' is no plain number")
    names = [name for _, _, name in lines]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"it has the property {', '.join(twice)} more than once")
    return tuple((name, PlyProperty(name, kind).val_dtype) for _, kind, name in lines)


def _unreadable(path: str | os.PathLike[str], reason: str) -> UserError:
    return UserError(f"{path} cannot be read: {reason}. {REMEDY}")


def _binary_blocks(
    file: BinaryIO, header: Header, path: str | os.PathLike[str]
) -> Iterator[Columns]:
    row, count = header.row(header.first), header.first.count
    check_length(file, header, 1, path)
    file.seek(header.body)
    if not header.first.fields:
        yield {}
        return
    for start in range(0, max(count, 1), BLOCK_ROWS):
        table = read_rows(file, row, min(BLOCK_ROWS, count - start), path)
        yield {name: _float32(table[name]) for name in row.names or ()}


def _text_blocks(file: BinaryIO, header: Header, path: str | os.PathLike[str]) -> Iterator[Columns]:
    """Columns of a file of text, one row a line."""
    names, count = [name for name, _ in header.first.fields], header.first.count
    filled = (line.decode("latin-1") for line in file if line.strip())
    for start in range(0, max(count, 1), BLOCK_ROWS):
        rows = min(BLOCK_ROWS, count - start)
        lines = list(islice(filled, rows))
        if len(lines) < rows:
            raise UserError(
                f"{path} is cut short: it promises {count} splats, {start + len(lines)} are there. "
                "Copy or export it again."
            )
        yield _parse_rows(lines, names, path)


def _parse_rows(lines: list[str], names: list[str], path: str | os.PathLike[str]) -> Columns:
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
