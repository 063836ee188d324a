"""Splat files: validated as a whole before they are shown, then read in pieces.

Three formats are recognised by content: the standard 3DGS .ply, PlayCanvas' .compressed.ply and
antimatter15's .splat. Whatever is wrong with a file is a UserError.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from gs_esd.errors import UserError
from gs_esd.export.compressed_ply_file import check_compressed
from gs_esd.export.metadata import from_comments
from gs_esd.export.ply_file import Columns, Header, read_blocks, read_header, standard_header
from gs_esd.export.ply_properties import (
    REST_COUNTS,
    ROTATION,
    check_numbers,
    check_properties,
    check_raw,
    extremes,
    required_names,
    rest_names,
)
from gs_esd.export.splat_file import check_splat_format

Format = Literal["ply", "compressed.ply", "splat"]
Signature = tuple[int, int, int, int]

PIECE_BYTES = 1 << 18
MAX_HEADER_BYTES = 1 << 16
"""The longest header that Spark 2.2, the page's reader, accepts."""

OTHER_FORMATS = {
    b"glTF": "glTF. Give the .ply that it was made from",
    b"\x1f\x8b\x08": "packed, as .spz is. Unpack: `npx @playcanvas/splat-transform IN.spz OUT.ply`",
    b"PK\x03\x04": "a zip, as .sog is. Unpack: `npx @playcanvas/splat-transform IN.sog OUT.ply`",
}
"""By the bytes that a file begins with: what it is, and what to do."""

_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # Windows has none


@dataclass(frozen=True)
class Splat:
    """The content of a valid file.

    Args:
        bytes: The file's size.
        metadata: From its comments, see `gs_esd.export.metadata`; not validated.
        is_standard: Whether the page can read the bytes as they are.
    """

    format: Format
    bytes: int
    gaussians: int
    sh_degree: int
    metadata: Mapping[str, Any]
    is_standard: bool


def open_file(path: Path, name: str) -> BinaryIO:
    """Open a file to read.

    Args:
        name: The file's name in errors.

    Raises:
        UserError: It is missing, or a folder, device or pipe.
    """
    try:
        # Opened this way, a pipe is not waited for.
        file = open(path, "rb", opener=lambda path, flags: os.open(path, flags | _NONBLOCK))
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise UserError(f"{name} is not a file")
    return file


def signature(status: os.stat_result) -> Signature:
    """Numbers that differ between two versions of a file."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def inspect(file: BinaryIO, name: str) -> Splat:
    """Validate an open file, all numbers of it.

    Args:
        name: The file's name in errors.

    Raises:
        UserError: It is no splat file, cut short, empty, or has unusable numbers.
    """
    try:
        return _inspect(file, name)
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror}") from error


def pieces(file: BinaryIO, splat: Splat, name: str) -> tuple[int, Iterator[bytes]]:
    """The bytes of an inspected file in a form that the page reads: their number, and the pieces.

    A .ply that the page cannot read as it is gets rewritten on the way. The iterator raises
    UserError where the file is changed meanwhile.
    """
    if splat.is_standard:
        file.seek(0)
        return splat.bytes, iter(partial(file.read, PIECE_BYTES), b"")
    header = read_header(file, name)
    names = required_names(REST_COUNTS[splat.sh_degree])
    start = standard_header(names, splat.gaussians)
    length = len(start) + splat.gaussians * len(names) * 4
    return length, _standard_pieces(start, names, read_blocks(file, header, name))


def named_format(name: str) -> Format:
    """The format by a file's name, used only where there is no content."""
    if name.endswith(".splat"):
        return "splat"
    return "compressed.ply" if name.endswith(".compressed.ply") else "ply"


def _inspect(file: BinaryIO, name: str) -> Splat:
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    start = file.read(4)
    if not start:
        raise UserError(f"{name} is empty. Copy or export it again.")
    if start.startswith(b"ply"):
        header = read_header(file, name)
        check = _compressed if header.first.name == "chunk" else _standard
        return check(file, header, size, name)
    for magic, what in OTHER_FORMATS.items():
        if start.startswith(magic):
            raise UserError(f"{name} is {what}.")
    gaussians = check_splat_format(file, size, name)
    return Splat("splat", size, gaussians, 0, {}, is_standard=True)


def _compressed(file: BinaryIO, header: Header, size: int, name: str) -> Splat:
    degree = check_compressed(file, header, name)
    metadata = from_comments(header.comments)
    return Splat("compressed.ply", size, header.elements[1].count, degree, metadata, True)


def _standard(file: BinaryIO, header: Header, size: int, name: str) -> Splat:
    names = [name for name, _ in header.first.fields]
    check_properties(names, header.first.count, name)
    metadata = from_comments(header.comments)
    ends: list[Columns] = []
    has_null_rotations = False
    for block in read_blocks(file, header, name):
        check_numbers(block, name)
        ends.append(extremes(block))
        has_null_rotations = has_null_rotations or bool(_null_rotations(block).any())
    if "gs-esd" not in metadata:
        check_raw({key: np.concatenate([end[key] for end in ends]) for key in ends[0]}, name)
    is_standard = not has_null_rotations and _is_standard(file, header)
    degree = REST_COUNTS.index(len(rest_names(names)))
    return Splat("ply", size, header.first.count, degree, metadata, is_standard)


def _is_standard(file: BinaryIO, header: Header) -> bool:
    """Whether a header is, except for comments, the one that this project would write."""
    file.seek(0)
    content = file.read(header.body)
    lines = [line for line in content.splitlines(True) if not line.startswith(b"comment ")]
    ours = standard_header([name for name, _ in header.first.fields], header.first.count)
    return b"".join(lines) == ours and content.isascii() and len(content) < MAX_HEADER_BYTES


def _null_rotations(columns: Columns) -> np.ndarray:
    """Where quaternions are zero: renderers differ in how they treat these, or make NaN of them."""
    return np.all([columns[name] == 0 for name in ROTATION], axis=0)


def _standard_pieces(start: bytes, names: list[str], blocks: Iterator[Columns]) -> Iterator[bytes]:
    yield start
    for block in blocks:
        block[ROTATION[0]][_null_rotations(block)] = 1
        yield np.column_stack([block[name] for name in names]).astype("<f4").tobytes()
