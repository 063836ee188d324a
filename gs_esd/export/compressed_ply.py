"""Splats in PlayCanvas' compressed .ply format, a quarter of the size: `save_compressed_ply`."""

import os
import re
from collections.abc import Mapping
from typing import Any

from gsplat import export_splats
from torch.nn import ParameterDict

from gs_esd.errors import UserError
from gs_esd.export.axes import FileAxes
from gs_esd.export.frames import to_file_axes, unit_quats
from gs_esd.export.metadata import file_metadata, to_comments
from gs_esd.system.atomic import atomic_write

TRANSPARENT_OPACITY = 1 / 255
"""gsplat leaves out Gaussians of this opacity or less, which no renderer draws."""


def save_compressed_ply(
    splats: ParameterDict,
    path: str | os.PathLike[str],
    axes: FileAxes = FileAxes.y_down,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write 16 bytes a Gaussian and one for every coefficient of a degree above 0.

    gsplat packs the numbers: in chunks of 256 neighbours, means and log scales with 11, 10 and 11
    bits between the chunk's smallest and largest, colours with 8; opacities with 8 bits, rotations
    with 10 a component, and coefficients, cut to [-4, 4], with 8. Its header is corrected.

    Args:
        splats: raw parameters in world axes, on any device.
        path: file to write; an old one is replaced only when all is written.
        axes: axes of the file; viewers expect y-down.
        metadata: as of `save_splats`.

    Raises:
        UserError: every Gaussian is transparent, or the folder cannot be written.
    """
    turned = to_file_axes(splats, axes)
    if not (turned["opacities"].sigmoid() > TRANSPARENT_OPACITY).any():
        raise UserError("every Gaussian is transparent: there is nothing to compress")
    turned["quats"] = unit_quats(turned["quats"])
    header, separator, body = export_splats(**turned, format="ply_compressed").partition(
        b"end_header\n"
    )
    lines = to_comments(file_metadata(metadata, axes))
    comments = "".join(f"comment {line}\n" for line in lines).encode("ascii")
    with atomic_write(path) as partial:
        partial.write_bytes(_without_empty_element(header) + comments + separator + body)


def _without_empty_element(header: bytes) -> bytes:
    """Remove the element `sh` without properties that gsplat 1.5.3 writes at degree 0.

    Readers wait for its rows: Spark 2.2 gives up, SuperSplat 1.36 hangs.
    """
    return re.sub(rb"element sh \d+\n\Z", b"", header)
