"""Splats in the .ply format that 3D Gaussian viewers read: `load_splats`, `save_splats`.

Notation and conventions
    N       number of Gaussians
    R       spherical-harmonics coefficients a colour channel, all but the constant one

A file holds raw parameters (log scales, logit opacities, wxyz quaternions), one little-endian
float32 each, in the order of `property_names`. `f_rest` is channel-major: all R coefficients of
red, then green, then blue. Normals are zeros; no viewer uses them, but some readers expect them.

Viewers take a file's y to point down. They differ in the side they show first: those that turn the
file about its x axis, as Spark does, start at our front; SuperSplat turns it about z and starts at
the back. A comment in our files names their axes; all other files are taken to be y-down.
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
from gs_esd.export.metadata import file_metadata, from_comments, to_comments
from gs_esd.export.ply_file import Columns, open_ply, read_header, read_table, write_table
from gs_esd.export.ply_properties import (
    COLOR,
    OPACITY,
    POSITION,
    ROTATION,
    SCALE,
    check_raw,
    check_splats,
    deactivate,
    property_names,
    rest_names,
)


def save_splats(
    splats: ParameterDict,
    path: str | os.PathLike[str],
    axes: FileAxes = FileAxes.y_down,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write splats as a standard 3DGS .ply.

    Args:
        splats: raw parameters in world axes, on any device.
        path: file to write; an old one is replaced only when all is written.
        axes: axes of the file; viewers expect y-down.
        metadata: names and plain values, such as the prompt, that `load_metadata` returns.

    Raises:
        UserError: the folder cannot be written.

    Example:
        >>> import torch
        >>> from gs_esd.splats.parameters import init_ball
        >>> ball = init_ball(
        ...     100, radius=0.5, opacity=0.1, sh_degree=0, generator=torch.Generator()
        ... )
        >>> save_splats(ball, "ball.ply", metadata={"prompt": "a grey ball"})
        >>> load_metadata("ball.ply")["prompt"]
        'a grey ball'
    """
    turned = to_file_axes(splats, axes)
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
    names, table = property_names(sh_rest.shape[1]), torch.cat(columns, dim=1).numpy()
    write_table(path, names, table, to_comments(file_metadata(metadata, axes)))


def load_splats(
    path: str | os.PathLike[str], axes: FileAxes | None = None, activated: bool | None = None
) -> ParameterDict:
    """Read a standard 3DGS .ply, spherical harmonics of degree 0 to 3, into world axes.

    Text or binary of either byte order; normals, unknown properties and whatever follows the
    Gaussians are ignored.

    Args:
        path: file to read.
        axes: axes of the file; by default those that our own files name, and y-down for others.
        activated: whether the file holds opacities in [0, 1] and standard deviations instead of
            logits and logarithms. By default it does not, and one of another program that looks
            so is refused.

    Returns:
        Raw parameters as in `gs_esd.splats.parameters`, on the CPU.

    Raises:
        UserError: the file is missing, not a .ply, cut short, empty, lacks properties, holds
            numbers that are not finite or that look activated.

    Example:
        >>> splats = load_splats("ball.ply")  # as written in `save_splats`
        >>> splats["means"].shape
        torch.Size([100, 3])
    """
    columns, header = read_table(path)
    check_splats(columns, path)
    metadata = from_comments(header.comments)
    if activated:
        columns = deactivate(columns, path)
    elif activated is None and "gs-esd" not in metadata:
        check_raw(columns, path)
    return from_file_axes(_raw_parameters(columns), axes or _axes(metadata, path))


def load_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a .ply of this program says about itself; empty for files of other programs.

    Returns:
        The metadata given to `save_splats`, texts of more than 2,000 characters cut; besides, "up"
        names the axes and "gs-esd" the version that wrote the file.

    Raises:
        UserError: the file cannot be read or is no .ply.
    """
    with open_ply(path) as file:
        return from_comments(read_header(file, path).comments)


def _axes(metadata: Mapping[str, Any], path: str | os.PathLike[str]) -> FileAxes:
    try:
        return FileAxes(metadata.get("up", FileAxes.y_down.value))
    except ValueError as error:
        raise UserError(
            f"{path} says that its frame is {metadata['up']}; known are "
            f"{', '.join(axes.value for axes in FileAxes)}. Convert it, saying which it is: "
            f"python -m gs_esd.export {path} OUT.ply --from-up y-down"
        ) from error


def _raw_parameters(columns: Columns) -> dict[str, Tensor]:
    """Raw parameters in the file's axes, from the columns of a checked file."""
    names = rest_names(columns)
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
