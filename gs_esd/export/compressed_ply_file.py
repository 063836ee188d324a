"""Checks that a .compressed.ply, PlayCanvas' format, is one that viewers read. Needs no torch."""

import os
from typing import BinaryIO

import numpy as np

from gs_esd.errors import UserError
from gs_esd.export.ply_file import Element, Header, check_length, read_rows
from gs_esd.export.ply_properties import MAX_LOG_SCALE, REST_COUNTS, rest_names

CHUNK_GAUSSIANS = 256
BOUNDS = [f"{end}_{axis}" for end in ("min", "max") for axis in "xyz"]
SCALE_BOUNDS = [f"{end}_scale_{axis}" for end in ("min", "max") for axis in "xyz"]
PACKED = ["packed_position", "packed_rotation", "packed_scale", "packed_color"]
REMEDY = "Export it again, or convert it with `npx @playcanvas/splat-transform IN OUT.ply`."


def check_compressed(file: BinaryIO, header: Header, path: str | os.PathLike[str]) -> int:
    """Check an open file whose first element is `chunk`.

    Args:
        file: the file that `header` was read from.
        header: its header.
        path: name of the file in errors.

    Returns:
        Spherical-harmonics degree, 0 to 3.

    Raises:
        UserError: the layout is not the one that readers expect, the file holds no Gaussian or is
            cut short, or its bounds are not finite.
    """
    if header.byte_order != "<" or [each.name for each in header.elements[1:2]] != ["vertex"]:
        raise UserError(
            f"{path} is no compressed .ply that viewers read: little-endian chunks, then vertices, "
            f"then perhaps sh. {REMEDY}"
        )
    chunk, vertex, sh = (*header.elements, Element("none", 0, ()))[:3]
    _check_fields(chunk, [*BOUNDS, *SCALE_BOUNDS], "f4", path)
    _check_fields(vertex, PACKED, "u4", path)
    if vertex.count == 0:
        raise UserError(f"{path} holds no Gaussian. Give a file with at least one.")
    if chunk.count * CHUNK_GAUSSIANS < vertex.count:
        raise UserError(f"{path} has {chunk.count} chunks for {vertex.count} Gaussians. {REMEDY}")
    has_sh = sh.name == "sh"
    coefficients = _coefficients(sh, vertex, path) if has_sh else 0
    check_length(file, header, 3 if has_sh else 2, path)
    _check_bounds(file, header, path)
    return REST_COUNTS.index(coefficients)


def _check_fields(
    element: Element, names: list[str], kind: str, path: str | os.PathLike[str]
) -> None:
    fields = dict(element.fields)
    if wrong := [name for name in names if fields.get(name) != kind]:
        raise UserError(f"{path} lacks {', '.join(wrong)} of a compressed .ply. {REMEDY}")


def _coefficients(sh: Element, vertex: Element, path: str | os.PathLike[str]) -> int:
    names = rest_names(name for name, _ in sh.fields)
    if not names:
        raise UserError(
            f"{path} has an element `sh` without properties, as some programs write where there "
            f"are no spherical harmonics; readers wait for its rows forever. {REMEDY}"
        )
    if len(names) not in REST_COUNTS or sh.count != vertex.count:
        raise UserError(
            f"{path} has {len(names)} coefficients for {sh.count} of {vertex.count} Gaussians; "
            f"degrees 0 to 3 have {', '.join(map(str, REST_COUNTS))}. {REMEDY}"
        )
    _check_fields(sh, names, "u1", path)
    return len(names)


def _check_bounds(file: BinaryIO, header: Header, path: str | os.PathLike[str]) -> None:
    file.seek(header.body)
    chunks = read_rows(file, header.row(header.first), header.first.count, path)
    bounds = np.stack([chunks[name] for name in [*BOUNDS, *SCALE_BOUNDS]])
    if not np.isfinite(bounds).all() or bounds[-3:].max() > MAX_LOG_SCALE:
        raise UserError(f"{path} is damaged: its chunks reach to infinity. {REMEDY}")
