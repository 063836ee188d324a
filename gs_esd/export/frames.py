"""Turns splats between world axes and those of a file.

Notation
    N       number of Gaussians
    K       spherical-harmonics coefficients a colour channel, (degree + 1)²
    R       all of them but the constant one, K - 1
    world   ours: z up, the object's front looks along +x
    file    axes named by where up is, see `FileAxes`

Means, quaternions and spherical harmonics all turn: without the last, the shape is right and the
highlights are wrong.
"""

import torch
from gsplat.cuda._torch_impl import _eval_sh_bases_fast
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter, ParameterDict

from gs_esd.export.axes import FileAxes

FILE_FROM_WORLD = {
    FileAxes.y_down: torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]]),
    FileAxes.z_up: torch.eye(3),
    FileAxes.y_up: torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
}
"""Signed permutations, so that turning positions there and back changes no bit of them."""

FILE_FROM_WORLD_QUAT = {
    FileAxes.y_down: torch.tensor([0.5, 0.5, 0.5, -0.5], dtype=torch.float64),
    FileAxes.z_up: torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64),
    FileAxes.y_up: torch.tensor([0.5, -0.5, -0.5, -0.5], dtype=torch.float64),
}
"""The same rotations as quaternions, wxyz."""

CONJUGATE = torch.tensor([1.0, -1.0, -1.0, -1.0], dtype=torch.float64)


def to_file_axes(splats: ParameterDict, axes: FileAxes) -> dict[str, Tensor]:
    """Raw parameters in a file's axes, on the CPU and without gradients.

    Args:
        splats: raw parameters in world axes, on any device; they are not changed.
        axes: axes of the file.
    """
    world = {name: tensor.detach().cpu() for name, tensor in splats.items()}
    return _turned(world, FILE_FROM_WORLD[axes], FILE_FROM_WORLD_QUAT[axes])


def from_file_axes(tensors: dict[str, Tensor], axes: FileAxes) -> ParameterDict:
    """Splats in world axes from raw parameters in a file's axes."""
    turned = _turned(tensors, FILE_FROM_WORLD[axes].T, CONJUGATE * FILE_FROM_WORLD_QUAT[axes])
    return ParameterDict({name: Parameter(tensor) for name, tensor in turned.items()})


def multiply_quats(left: Float[Tensor, "4"], right: Float[Tensor, "N 4"]) -> Float[Tensor, "N 4"]:
    """Hamilton products left · right, wxyz: rotate by `right`, then by `left`.

    Computed in float64, so that the only error is the rounding to the type of `right`.
    """
    w, x, y, z = left.double().tolist()
    matrix = torch.tensor(
        [[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]], dtype=torch.float64
    )
    return (right.double() @ matrix.T).to(right.dtype)


def unit_quats(quats: Float[Tensor, "N 4"]) -> Float[Tensor, "N 4"]:
    """Quaternions of length one; one of length zero, which rotates nothing, becomes 1."""
    length = quats.double().norm(dim=-1, keepdim=True)
    one = quats.new_tensor([1.0, 0.0, 0.0, 0.0]).expand_as(quats)
    return torch.where(length > 0, (quats / length.clamp(min=1e-300)).to(quats.dtype), one)


def rotate_sh(sh: Float[Tensor, "N R 3"], rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "N R 3"]:
    """Turn spherical harmonics: coefficients, but the constant, of d -> f(rotation⁻¹ d)."""
    r = sh.shape[1]
    matrix = _sh_rotation(rotation)[:r, :r]  # degrees do not mix
    return torch.einsum("jk,nkc->njc", matrix, sh.double()).to(sh.dtype)


def pad_sh(sh: Float[Tensor, "N R 3"]) -> Float[Tensor, "N 15 3"]:
    """Add zeros up to degree 3, for programs that read no other degree."""
    missing = 15 - sh.shape[1]
    return torch.cat([sh, sh.new_zeros(len(sh), missing, 3)], dim=1)


def _turned(
    tensors: dict[str, Tensor], rotation: Float[Tensor, "3 3"], quat: Float[Tensor, "4"]
) -> dict[str, Tensor]:
    return {
        **tensors,
        "means": tensors["means"] @ rotation.T,
        "quats": multiply_quats(quat, tensors["quats"]),
        "shN": rotate_sh(tensors["shN"], rotation),
    }


def _sh_rotation(rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "15 15"]:
    """Matrix M that turns coefficients of degree 1 to 3: Y(rotation d) M = Y(d) for all d."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(200, 3, generator=generator, dtype=torch.float64)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    before = _eval_sh_bases_fast(16, directions)[:, 1:]  # [200, 15]
    after = _eval_sh_bases_fast(16, directions @ rotation.double().T)[:, 1:]
    # gsplat's constants have 14 digits. Rounding makes zeros and ones exact, and with them the
    # round trip of degree 1, whose coefficients these rotations merely permute.
    return torch.linalg.lstsq(after, before).solution.round(decimals=12)
