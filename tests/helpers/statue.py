"""Splats that look different from every side, and however they are turned or mirrored."""

import math

import torch
from torch import Tensor
from torch.nn import Parameter, ParameterDict

from gs_esd.splats.parameters import SH_Y0

# Of each part: centre, half axes, RGB, Gaussians. The front looks along +x, up is +z.
PARTS = (
    ((0.0, 0.0, -0.1), (0.3, 0.35, 0.45), (0.2, 0.35, 0.7), 1500),  # body
    ((0.25, 0.1, 0.5), (0.22, 0.2, 0.2), (0.9, 0.6, 0.3), 750),  # head, forward and to its left
    ((0.0, 0.55, 0.2), (0.1, 0.3, 0.1), (0.8, 0.15, 0.15), 450),  # its left arm, stretched
    ((-0.45, -0.1, -0.4), (0.3, 0.1, 0.1), (0.15, 0.6, 0.25), 450),  # tail
    ((0.0, 0.0, -0.65), (0.6, 0.5, 0.03), (0.85, 0.85, 0.8), 750),  # base
)


def statue(sh_degree: int = 3) -> ParameterDict:
    """Soft flat Gaussians of random directions on the parts' surfaces, each part with a sheen."""
    generator = torch.Generator().manual_seed(0)
    parts = [_part(*part, sh_degree, generator) for part in PARTS]
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return ParameterDict({name: Parameter(tensor) for name, tensor in joined.items()})


def _part(
    center: tuple[float, ...],
    axes: tuple[float, ...],
    rgb: tuple[float, ...],
    n: int,
    sh_degree: int,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    direction = torch.randn(n, 3, generator=generator)
    direction = direction / direction.norm(dim=1, keepdim=True)
    color = torch.tensor(rgb) + 0.1 * direction
    sheen = torch.randn(1, (sh_degree + 1) ** 2 - 1, 3, generator=generator)
    return {
        "means": torch.tensor(center) + torch.tensor(axes) * direction,
        "quats": torch.randn(n, 4, generator=generator),
        "scales": torch.tensor([0.045, 0.03, 0.015]).log().expand(n, 3),
        "opacities": torch.full((n,), math.log(0.3 / 0.7)),
        "sh0": (color[:, None] - 0.5) / SH_Y0,
        "shN": 0.1 * sheen.expand(n, -1, 3),
    }
