"""The header of a .ply file: which numbers follow, and in which form."""

import re
from dataclasses import dataclass
from itertools import pairwise

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
class Element:
    """A table in a file.

    fields: its properties in their order, each with its numpy type without byte order.
    """

    name: str
    count: int
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Header:
    """What the elements of a file are, and where their numbers begin.

    elements: the first one, and those after it up to the first that is not of plain numbers.
    byte_order: "<" or ">", None for text.
    body: position of the first byte after the header.
    """

    elements: tuple[Element, ...]
    byte_order: str | None
    comments: tuple[str, ...]
    body: int

    @property
    def first(self) -> Element:
        """The only element that there is in most files."""
        return self.elements[0]

    def row(self, element: Element) -> np.dtype[np.void]:
        """The layout of a row of an element in a binary file."""
        assert self.byte_order is not None, "rows of text have no layout"
        return np.dtype([(name, self.byte_order + kind) for name, kind in element.fields])


def parse_header(content: bytes) -> Header:
    """The header that a file's content begins with.

    content: the file, or its first `MAX_HEADER_BYTES`.
    Raises ValueError, which says what is wrong, where it is no header or its first element is not
    one we can follow.
    """
    end = END_OF_HEADER.search(content, 0, MAX_HEADER_BYTES)
    if re.match(rb"ply[ \t]*\r?\n", content) is None or end is None:
        raise ValueError("it is not a .ply file")
    lines = content[: end.start()].decode("latin-1").replace("\r\n", "\n").split("\n")[1:]
    comments = tuple(line[8:] for line in lines if line.startswith("comment "))
    words = [line.split() for line in lines if not line.startswith(("comment", "obj_info"))]
    return Header(_elements(words), _byte_order(words), comments, end.end())


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
    """The element of these lines of the header, split into words."""
    words = lines[0]
    if len(words) != 3 or re.fullmatch(r"[0-9]{1,18}", words[2]) is None:
        raise ValueError(f"'{' '.join(words)}' does not say how many rows there are")
    return Element(words[1], int(words[2]), _fields([line for line in lines[1:] if line]))


def _fields(lines: list[list[str]]) -> tuple[tuple[str, str], ...]:
    for words in lines:
        if len(words) != 3 or words[0] != "property" or words[1] not in NUMPY_TYPES:
            raise ValueError(f"'{' '.join(words)}' is no plain number")
    fields = tuple((words[2], NUMPY_TYPES[words[1]]) for words in lines)
    names = [name for name, _ in fields]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"it has the property {', '.join(twice)} more than once")
    return fields
