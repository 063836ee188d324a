"""The header of a .ply file: which numbers follow, and in which form."""

import re
from dataclasses import dataclass

import numpy as np

NUMPY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip

BYTE_ORDERS = {"ascii": None, "binary_little_endian": "<", "binary_big_endian": ">"}

MAX_HEADER_BYTES = 1 << 17
END_OF_HEADER = re.compile(rb"^end_header[ \t]*\r?\n", re.MULTILINE)


@dataclass(frozen=True)
class Header:
    """What the first element of a file is, and where its numbers begin.

    fields: the element's properties in their order, each with its numpy type without byte order.
    byte_order: "<" or ">", None for text.
    body: position of the first byte after the header.
    """

    element: str
    count: int
    fields: tuple[tuple[str, str], ...]
    byte_order: str | None
    comments: tuple[str, ...]
    body: int

    @property
    def row(self) -> np.dtype[np.void]:
        """The layout of a row of the element in a binary file."""
        assert self.byte_order is not None, "rows of text have no layout"
        return np.dtype([(name, self.byte_order + kind) for name, kind in self.fields])


def parse_header(content: bytes) -> Header:
    """The header that a file's content begins with; the first element alone is looked at.

    content: the file, or its first `MAX_HEADER_BYTES`.
    Raises ValueError, which says what is wrong, where it is no header or one we cannot follow.
    """
    end = END_OF_HEADER.search(content, 0, MAX_HEADER_BYTES)
    if re.match(rb"ply[ \t]*\r?\n", content) is None or end is None:
        raise ValueError("it is not a .ply file")
    lines = content[: end.start()].decode("latin-1").replace("\r\n", "\n").split("\n")[1:]
    comments = tuple(line[8:] for line in lines if line.startswith("comment "))
    words = [line.split() for line in lines if not line.startswith(("comment", "obj_info"))]
    name, count, properties = _first_element(words)
    return Header(name, count, _fields(properties), _byte_order(words), comments, end.end())


def _byte_order(lines: list[list[str]]) -> str | None:
    formats = [words[1:] for words in lines if words[:1] == ["format"]]
    if len(formats) != 1 or len(formats[0]) != 2 or formats[0][0] not in BYTE_ORDERS:
        raise ValueError(f"its format is none of {', '.join(BYTE_ORDERS)}")
    return BYTE_ORDERS[formats[0][0]]


def _first_element(lines: list[list[str]]) -> tuple[str, int, list[list[str]]]:
    """Name, number of rows and property lines, split into words, of the first element."""
    starts = [i for i, words in enumerate(lines) if words[:1] == ["element"]]
    if not starts:
        raise ValueError("its header names no element")
    first, after = starts[0], starts[1] if len(starts) > 1 else len(lines)
    words = lines[first]
    if len(words) != 3 or re.fullmatch(r"[0-9]{1,18}", words[2]) is None:
        raise ValueError(f"'{' '.join(words)}' does not say how many rows there are")
    return words[1], int(words[2]), [line for line in lines[first + 1 : after] if line]


def _fields(lines: list[list[str]]) -> tuple[tuple[str, str], ...]:
    for words in lines:
        if len(words) != 3 or words[0] != "property" or words[1] not in NUMPY_TYPES:
            raise ValueError(f"'{' '.join(words)}' is no plain number")
    fields = tuple((words[2], NUMPY_TYPES[words[1]]) for words in lines)
    names = [name for name, _ in fields]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"it has the property {', '.join(twice)} more than once")
    return fields
