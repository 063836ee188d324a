"""Splats in the .ply format that every 3D Gaussian viewer reads.

Notation and conventions
    N       number of Gaussians
    R       spherical-harmonics coefficients a colour channel, all but the constant one

A file holds raw parameters (log scales, logit opacities, wxyz quaternions), one little-endian
float32 each, in the order of `property_names`. `f_rest` is channel-major: all R coefficients of
red, then green, then blue. Normals are zeros that nobody reads, but that some programs count on.

Viewers take a file's y to point down. They differ in the side they show first: those that turn the
file about its x axis, as Spark does, start at our front; SuperSplat turns it about z and starts at
the back. Our files say in a comment which frame they are in; all others are taken to be y-down.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.errors import UserError
from gs_esd.export.axes import FileAxes
from gs_esd.export.frames import from_file_axes, to_file_axes
from gs_esd.export.metadata import as_comments, from_comments, known
from gs_esd.export.ply_checks import check_raw, check_splat, deactivated
from gs_esd.export.ply_names import COLOR, OPACITY, POSITION, ROTATION, SCALE, property_names, rest
from gs_esd.export.ply_table import Columns, read_header, read_table, write_table


def save_ply(
    splats: ParameterDict,
    path: str | os.PathLike[str],
    up: FileAxes = FileAxes.y_down,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write splats as a standard 3DGS file; an old file is replaced only when all is written.

    splats: raw parameters in world axes, on any device.
    up: the file's frame; viewers expect y-down.
    metadata: what `load_metadata` gives back: names and plain values such as the prompt.
    Raises UserError where the folder cannot be written.
    """
    turned = to_file_axes(splats, up)
    n = len(turned["means"])
    sh_rest = turned["shN"].transpose(1, 2).reshape(n, -1)  # [N, 3 R]
    columns = [
        turned["means"],
        torch.zeros(n, 3),
        turned["sh0"][:, 0],
        sh_rest,
        turned["opacities"][:, None],
        turned["scales"],
        turned["quats"],
    ]
    names = property_names(sh_rest.shape[1])
    write_table(path, names, torch.cat(columns, dim=1).numpy(), as_comments(known(metadata, up)))


def load_ply(
    path: str | os.PathLike[str], up: FileAxes | None = None, activated: bool | None = None
) -> ParameterDict:
    """Read a standard 3DGS file, spherical harmonics of degree 0 to 3, into splats in world axes.

    Text or binary of either byte order; normals, unknown properties and whatever follows the
    Gaussians are ignored.

    up: the file's frame; by default what our own files say, and y-down for others.
    activated: whether the file holds opacities in [0, 1] and standard deviations instead of
        logits and logarithms; by default it must not look so, unless it is ours.
    Raises UserError where the file is missing, not a .ply, cut short, empty, lacks properties,
    holds numbers that are not finite or that look activated.
    """
    columns, header = read_table(path)
    check_splat(columns, path)
    metadata = from_comments(header.comments)
    if activated:
        columns = deactivated(columns, path)
    elif activated is None and "gs-esd" not in metadata:
        check_raw(columns, path)
    return from_file_axes(_raw_parameters(columns), up or _frame(metadata, path))


def load_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What was said about a file when it was written, by name; empty of files that are not ours.

    "up" is the frame, "gs-esd" the version that wrote the file. Texts of more than 2,000 characters
    were cut. Raises UserError where the file cannot be read or is no .ply.
    """
    return from_comments(read_header(path).comments)


def _frame(metadata: Mapping[str, Any], path: str | os.PathLike[str]) -> FileAxes:
    try:
        return FileAxes(metadata.get("up", FileAxes.y_down.value))
    except ValueError as error:
        raise UserError(
            f"{path} says that its frame is {metadata['up']}; known are "
            f"{', '.join(up.value for up in FileAxes)}. Convert it, saying which it is: "
            f"python -m gs_esd.export {path} OUT.ply --from-up y-down"
        ) from error


def _raw_parameters(columns: Columns) -> dict[str, Tensor]:
    """A checked file's columns as raw parameters, in the file's axes."""
    names = rest(columns)
    n = len(columns["x"])
    return {
        "means": _stack(columns, POSITION),
        "quats": _stack(columns, ROTATION),
        "scales": _stack(columns, SCALE),
        "opacities": _stack(columns, OPACITY)[:, 0],
        "sh0": _stack(columns, COLOR)[:, None],
        "shN": _stack(columns, names).reshape(n, 3, len(names) // 3).transpose(1, 2),
    }


def _stack(columns: Columns, names: Sequence[str]) -> Tensor:
    """The named columns as one tensor [N, len(names)]."""
    table = torch.empty(len(columns["x"]), len(names))
    for i, name in enumerate(names):
        table[:, i] = torch.from_numpy(columns[name])
    return table
