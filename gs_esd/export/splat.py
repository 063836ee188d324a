"""Splats in antimatter15's .splat format: small, no header, no view dependence: `save_splat`."""

import os

import torch
from torch.nn import ParameterDict

from gs_esd.export.axes import FileAxes
from gs_esd.export.frames import to_file_axes, unit_quats
from gs_esd.splats.parameters import SH_Y0
from gs_esd.system.atomic import atomic_write


def save_splat(
    splats: ParameterDict, path: str | os.PathLike[str], axes: FileAxes = FileAxes.y_down
) -> None:
    """Write 32 bytes a Gaussian: position, size, colour and opacity, rotation.

    Three little-endian float32 each for the mean and the standard deviations, then a byte each for
    red, green, blue and opacity (255 is 1) and for the rotation, wxyz (128 is 0, one is 1/128).
    The largest and most opaque come first, so that a file can be shown while it is loaded.
    Spherical harmonics but the constant are lost. gsplat's own writer of the format truncates
    where this one rounds, which darkens colours and turns Gaussians, and sorts by position.

    Args:
        splats: raw parameters in world axes, on any device.
        path: file to write; an old one is replaced only when all is written.
        axes: axes of the file, which has no place to name them; viewers expect y-down.

    Raises:
        UserError: the folder cannot be written.
    """
    turned = to_file_axes(splats, axes)
    opacities = turned["opacities"].sigmoid()
    order = (opacities.log() + turned["scales"].sum(dim=1)).argsort(descending=True, stable=True)
    floats = torch.cat([turned["means"], turned["scales"].exp()], dim=1)  # [N, 6]
    rgb = 0.5 + SH_Y0 * turned["sh0"][:, 0]
    rgba = 255 * torch.cat([rgb, opacities[:, None]], dim=1)
    rotations = 128 + 128 * unit_quats(turned["quats"])
    bytes_ = torch.cat([rgba, rotations], dim=1).round().clamp(0, 255).to(torch.uint8)  # [N, 8]
    float_bytes = floats[order].numpy().astype("<f4").view("u1")  # [N, 24]
    rows = torch.cat([torch.from_numpy(float_bytes), bytes_[order]], dim=1)
    with atomic_write(path) as partial:
        partial.write_bytes(rows.numpy().tobytes())
