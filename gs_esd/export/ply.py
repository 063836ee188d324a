"""Splats in the .ply format that every 3D Gaussian viewer reads.

Notation and conventions
    N       number of Gaussians
    K       spherical-harmonics coefficients a colour channel, (degree + 1)²
    R       all of them but the constant one, K - 1
    world   ours: z up, the object's front looks along +x
    file    x right, y down, z forward (COLMAP's and OpenCV's axes): what viewers expect
    P       rotation from world to file, (x, y, z) -> (y, -z, -x): the axes of a camera that looks
            at the object's front

Viewers agree that the file's y points down; they differ in the side they show first. Those that
turn the file about its x axis, as Spark does, start at our front; SuperSplat turns it about z and
starts at the back.

A file holds raw parameters (log scales, logit opacities, wxyz quaternions), one little-endian
float32 each, in the order of `property_names`. `f_rest` is channel-major: all R coefficients of
red, then green, then blue. Normals are zeros that nobody reads.
"""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from gsplat.cuda._torch_impl import _eval_sh_bases_fast
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter, ParameterDict

from gs_esd.errors import UserError
from gs_esd.export.ply_table import read_table, write_table

FILE_FROM_WORLD = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
"""P. A signed permutation, so that turning positions there and back changes no bit of them."""
FILE_FROM_WORLD_QUAT = torch.tensor([0.5, 0.5, 0.5, -0.5], dtype=torch.float64)
"""P as a quaternion, wxyz."""
CONJUGATE = torch.tensor([1.0, -1.0, -1.0, -1.0], dtype=torch.float64)

POSITION = ["x", "y", "z"]
NORMAL = ["nx", "ny", "nz"]
COLOR = ["f_dc_0", "f_dc_1", "f_dc_2"]
OPACITY = ["opacity"]
SCALE = ["scale_0", "scale_1", "scale_2"]
ROTATION = ["rot_0", "rot_1", "rot_2", "rot_3"]

REST_COUNTS = (0, 9, 24, 45)
"""Numbers of f_rest properties at spherical-harmonics degree 0, 1, 2 and 3."""


def save_ply(cloud: ParameterDict, path: str | os.PathLike[str]) -> None:
    """Write a cloud as a standard 3DGS file; an old file is replaced only when all is written.

    cloud: raw parameters in world axes, on any device.
    Raises UserError where the folder cannot be written.
    """
    world = {name: tensor.detach().cpu() for name, tensor in cloud.items()}
    n = len(world["means"])
    sh_rest = rotate_sh(world["shN"], FILE_FROM_WORLD).transpose(1, 2).reshape(n, -1)
    columns = [
        world["means"] @ FILE_FROM_WORLD.T,
        torch.zeros(n, 3),
        world["sh0"][:, 0],
        sh_rest,
        world["opacities"][:, None],
        world["scales"],
        multiply_quats(FILE_FROM_WORLD_QUAT, world["quats"]),
    ]
    write_table(path, property_names(sh_rest.shape[1]), torch.cat(columns, dim=1).numpy())


def load_ply(path: str | os.PathLike[str]) -> ParameterDict:
    """Read a standard 3DGS file, spherical harmonics of degree 0 to 3, into a cloud in world axes.

    Normals and unknown properties are ignored.
    Raises UserError where the file is missing, not a binary .ply, cut short, empty, lacks
    properties or holds numbers that are not finite.
    """
    columns = read_table(path)
    rest_count = sum(name.startswith("f_rest_") for name in columns)
    _check(columns, rest_count, path)
    n = len(columns["x"])
    rest = _stack(columns, _rest(rest_count)).reshape(n, 3, rest_count // 3)
    world_from_file = FILE_FROM_WORLD.T
    world = {
        "means": _stack(columns, POSITION) @ world_from_file.T,
        "quats": multiply_quats(CONJUGATE * FILE_FROM_WORLD_QUAT, _stack(columns, ROTATION)),
        "scales": _stack(columns, SCALE),
        "opacities": _stack(columns, OPACITY)[:, 0],
        "sh0": _stack(columns, COLOR)[:, None],
        "shN": rotate_sh(rest.transpose(1, 2), world_from_file),
    }
    return ParameterDict({name: Parameter(tensor) for name, tensor in world.items()})


def property_names(rest_count: int) -> list[str]:
    """The properties of a splat file in their order, `rest_count` = 3 R of them f_rest."""
    return [*POSITION, *NORMAL, *COLOR, *_rest(rest_count), *OPACITY, *SCALE, *ROTATION]


def multiply_quats(left: Float[Tensor, "4"], right: Float[Tensor, "N 4"]) -> Float[Tensor, "N 4"]:
    """Hamilton products left · right, wxyz: rotate by `right`, then by `left`.

    Computed in float64, so that the only error is the rounding to the type of `right`.
    """
    w, x, y, z = left.double().tolist()
    matrix = torch.tensor(
        [[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]], dtype=torch.float64
    )
    return (right.double() @ matrix.T).to(right.dtype)


def rotate_sh(sh: Float[Tensor, "N R 3"], rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "N R 3"]:
    """Coefficients, all but the constant, of the functions d -> f(rotation⁻¹ d)."""
    r = sh.shape[1]
    matrix = _sh_rotation(rotation)[:r, :r]  # degrees do not mix
    return torch.einsum("jk,nkc->njc", matrix, sh.double()).to(sh.dtype)


def _sh_rotation(rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "15 15"]:
    """What turns coefficients of degree 1 to 3: the M of Y(rotation d) M = Y(d) for all d."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(200, 3, generator=generator, dtype=torch.float64)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    before = _eval_sh_bases_fast(16, directions)[:, 1:]  # [200, 15]
    after = _eval_sh_bases_fast(16, directions @ rotation.double().T)[:, 1:]
    # gsplat's constants have 14 digits. Rounding makes zeros and ones exact, and with them the
    # round trip of degree 1, whose coefficients P merely permutes.
    return torch.linalg.lstsq(after, before).solution.round(decimals=12)


def _rest(count: int) -> list[str]:
    return [f"f_rest_{i}" for i in range(count)]


def _stack(columns: Mapping[str, NDArray[np.float32]], names: Sequence[str]) -> Tensor:
    """The named columns as one tensor [N, len(names)]."""
    n = len(columns["x"])
    table = torch.empty(n, len(names))
    for i, name in enumerate(names):
        table[:, i] = torch.from_numpy(columns[name])
    return table


def _check(
    columns: Mapping[str, NDArray[np.float32]], rest_count: int, path: str | os.PathLike[str]
) -> None:
    """Raise UserError unless the columns make a splat."""
    needed = [name for name in property_names(rest_count) if name not in NORMAL]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise UserError(
            f"{path} is not a 3D Gaussian splat: it lacks {', '.join(missing)}. "
            "Export it from a 3DGS program as an uncompressed .ply."
        )
    if rest_count not in REST_COUNTS:
        raise UserError(
            f"{path} has {rest_count} f_rest properties; spherical harmonics of degree 0 to 3 have "
            f"{', '.join(map(str, REST_COUNTS))}. Export it with degree 3 or less."
        )
    if len(columns["x"]) == 0:
        raise UserError(f"{path} holds no Gaussian. Give a file with at least one.")
    bad = [name for name in needed if not np.isfinite(columns[name]).all()]
    if bad:
        raise UserError(
            f"{path} holds NaN or infinite numbers in {', '.join(bad)}. "
            "Remove those Gaussians in a splat editor, or export it again."
        )
