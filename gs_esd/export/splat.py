"""Splats in antimatter15's .splat format: small, without a header and without view dependence."""

import os

import torch
from torch.nn import ParameterDict

from gs_esd.export.axes import FileAxes
from gs_esd.export.frames import to_file_axes, unit_quats
from gs_esd.splats.parameters import SH_Y0
from gs_esd.system.atomic import atomic_write


def save_splat(
    splats: ParameterDict, path: str | os.PathLike[str], up: FileAxes = FileAxes.y_down
) -> None:
    """Write 32 bytes a Gaussian: position, size, colour and opacity, rotation.

    splats: raw parameters in world axes, on any device.
    up: the file's frame, which it does not say; viewers expect y-down.
    Three little-endian float32 each for the mean and the standard deviations, then a byte each for
    red, green, blue and opacity (255 is 1) and for the rotation, wxyz (128 is 0, one is 1/128).
    The largest and most opaque come first, so that a file can be shown while it is loaded.
    Spherical harmonics but the constant are lost. gsplat's own writer of the format cuts where
    this one rounds, which darkens colours and turns Gaussians, and sorts by place.
    Raises UserError where the folder cannot be written.
    """
    turned = to_file_axes(splats, up)
    opacities = turned["opacities"].sigmoid()
    order = (opacities.log() + turned["scales"].sum(dim=1)).argsort(descending=True, stable=True)
    floats = torch.cat([turned["means"], turned["scales"].exp()], dim=1)  # [N, 6]
    rgb = 0.5 + SH_Y0 * turned["sh0"][:, 0]
    rgba = 255 * torch.cat([rgb, opacities[:, None]], dim=1)
    rotations = 128 + 128 * unit_quats(turned["quats"])
    small = torch.cat([rgba, rotations], dim=1).round().clamp(0, 255).to(torch.uint8)  # [N, 8]
    numbers = floats[order].numpy().astype("<f4").view("u1")  # [N, 24]
    rows = torch.cat([torch.from_numpy(numbers), small[order]], dim=1)
    with atomic_write(path) as partial:
        partial.write_bytes(rows.numpy().tobytes())
