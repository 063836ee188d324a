"""Splats: raw parameters of N Gaussians under gsplat's names, and their optimisers.

Notation
    N           number of Gaussians
    K           spherical-harmonics coefficients a colour channel, (degree + 1)²
    means       [N, 3] centres in world units
    quats       [N, 4] rotations, wxyz, need not be normalised
    scales      [N, 3] log of the standard deviations
    opacities   [N]    logit of the opacity
    sh0, shN    [N, 1, 3] and [N, K-1, 3] colour: RGB = 0.5 + Y₀ sh0 + …, Y₀ = 1 / (2 √π)

`gsplat.strategy` edits the parameters and the optimiser state in place and relies on these keys.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter, ParameterDict
from torch.optim import Adam, Optimizer

SH_Y0 = 0.5 / math.sqrt(math.pi)
"""The constant spherical harmonic."""


@dataclass(frozen=True)
class Activated:
    """Parameters as a renderer takes them.

    scales: standard deviations in world units. opacities: in [0, 1]. colors: spherical-harmonics
    coefficients.
    """

    means: Float[Tensor, "N 3"]
    quats: Float[Tensor, "N 4"]
    scales: Float[Tensor, "N 3"]
    opacities: Float[Tensor, " N"]
    colors: Float[Tensor, "N K 3"]
    sh_degree: int


def activate(splats: ParameterDict) -> Activated:
    """Apply exp to log scales and sigmoid to logits, and join the coefficients of colour."""
    colors = torch.cat([splats["sh0"], splats["shN"]], dim=1)  # [N, K, 3]
    return Activated(
        means=splats["means"],
        quats=splats["quats"],
        scales=splats["scales"].exp(),
        opacities=splats["opacities"].sigmoid(),
        colors=colors,
        sh_degree=math.isqrt(colors.shape[1]) - 1,
    )


def init_ball(
    n: int,
    *,
    radius: float,
    opacity: float,
    sh_degree: int,
    generator: torch.Generator,
) -> ParameterDict:
    """Create grey splats: round Gaussians, uniform in a ball about the origin.

    Their standard deviation is half the mean spacing, radius · n^(-1/3).

    Args:
        n: number of Gaussians.
        radius: of the ball, in world units.
        opacity: of each Gaussian, in (0, 1).
        sh_degree: of the spherical harmonics, whose coefficients begin at zero.
        generator: on the CPU, of all random numbers.

    Returns:
        Raw parameters on the CPU, under the names at the top of this module.
    """
    direction = torch.randn(n, 3, generator=generator)
    direction = direction / direction.norm(dim=-1, keepdim=True)
    distance = radius * torch.rand(n, 1, generator=generator) ** (1 / 3)
    color = 0.5 + 0.1 * torch.randn(n, 1, 3, generator=generator)
    quats = torch.randn(n, 4, generator=generator)
    spacing = radius * n ** (-1 / 3)
    return ParameterDict(
        {
            "means": Parameter(distance * direction),
            "quats": Parameter(quats / quats.norm(dim=-1, keepdim=True)),
            "scales": Parameter(torch.full((n, 3), math.log(0.5 * spacing))),
            "opacities": Parameter(torch.full((n,), math.log(opacity / (1 - opacity)))),
            "sh0": Parameter((color - 0.5) / SH_Y0),
            "shN": Parameter(torch.zeros(n, (sh_degree + 1) ** 2 - 1, 3)),
        }
    )


def create_optimizers(
    splats: ParameterDict, learning_rates: Mapping[str, float]
) -> dict[str, Optimizer]:
    """Create one Adam a parameter, as gsplat's strategies require.

    Args:
        splats: raw parameters, on the device where they are trained.
        learning_rates: by the same keys.
    """
    return {
        name: Adam([{"params": [parameter], "lr": learning_rates[name], "name": name}], eps=1e-15)
        for name, parameter in splats.items()
    }
