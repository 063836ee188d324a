"""The three passes of rasterization, and the function that runs them for either implementation.

Shapes: N Gaussians, C cameras, K spherical-harmonic coefficients, D colour channels, H×W pixels, X
output channels (D, 1 or D + 1, depending on render_mode).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gs_esd.render.cpu.arguments import Settings


class Projection(NamedTuple):
    """Gaussians projected to each camera, in pixels; zeros where culled.

    `compensations` are the opacity factors of antialiased rendering, None in classic mode.
    """

    radii: Int[Tensor, "C N 2"]
    means2d: Float[Tensor, "C N 2"]
    depths: Float[Tensor, "C N"]
    conics: Float[Tensor, "C N 3"]
    compensations: Float[Tensor, "C N"] | None


class RasterizerPasses(NamedTuple):
    """One implementation of the three passes: numba kernels, or the torch reference.

    project(means, quats, scales, opacities, viewmats, Ks, settings) -> Projection
    shade(degree, means, coefficients, viewmats, visible [C, N]) -> colours [C, N, 3]
    blend(projection, opacities, colors, backgrounds, settings) -> image [C, H, W, X], alphas
    """

    project: Callable[..., Projection]
    shade: Callable[..., Tensor]
    blend: Callable[..., tuple[Tensor, Tensor]]


def run_passes(
    passes: RasterizerPasses,
    means: Float[Tensor, "N 3"],
    quats: Float[Tensor, "N 4"],
    scales: Float[Tensor, "N 3"],
    opacities: Float[Tensor, " N"],
    colors: Float[Tensor, "*CN D"],
    viewmats: Float[Tensor, "C 4 4"],
    Ks: Float[Tensor, "C 3 3"],
    sh_degree: int | None,
    backgrounds: Float[Tensor, "C D"] | None,
    settings: Settings,
) -> tuple[Float[Tensor, "C H W X"], Float[Tensor, "C H W 1"], dict[str, Any]]:
    """Project, shade and blend checked arguments; returns image, alphas and gsplat's `info`."""
    C, N = len(viewmats), len(means)
    projection = passes.project(means, quats, scales, opacities, viewmats, Ks, settings)
    opacities = opacities.expand(C, N)
    if projection.compensations is not None:
        opacities = opacities * projection.compensations
    if sh_degree is None:
        colors = colors.expand(C, N, -1)
    elif "RGB" in settings.render_mode:
        visible = (projection.radii > 0).all(-1)
        colors = passes.shade(sh_degree, means, colors, viewmats, visible)
    colors, backgrounds = _add_depth(colors, projection.depths, backgrounds, settings)
    image, alphas = passes.blend(projection, opacities, colors, backgrounds, settings)
    if settings.render_mode.endswith("ED"):
        expected_depth = image[..., -1:] / alphas.clamp(min=1e-10)
        image = torch.cat([image[..., :-1], expected_depth], dim=-1)
    return image, alphas, _info(projection, opacities, settings)


def _add_depth(
    colors: Tensor,
    depths: Float[Tensor, "C N"],
    backgrounds: Float[Tensor, "C D"] | None,
    settings: Settings,
) -> tuple[Float[Tensor, "C N X"], Float[Tensor, "C X"] | None]:
    """Append depth to the blended channels where render_mode has it; its background is 0."""
    if settings.render_mode == "RGB":
        return colors, backgrounds
    if settings.render_mode in ("D", "ED"):
        return depths[..., None], None
    if backgrounds is not None:
        backgrounds = torch.nn.functional.pad(backgrounds, (0, 1))
    return torch.cat([colors, depths[..., None]], dim=-1), backgrounds


def _info(
    projection: Projection, opacities: Float[Tensor, "C N"], settings: Settings
) -> dict[str, Any]:
    """Intermediate results under gsplat's keys, for its densification strategies and viewers."""
    return {
        "batch_ids": None,
        "camera_ids": None,
        "gaussian_ids": None,
        "radii": projection.radii,
        "means2d": projection.means2d,
        "depths": projection.depths,
        "conics": projection.conics,
        "opacities": opacities,
        "width": settings.width,
        "height": settings.height,
        "tile_size": settings.tile_size,
        "tile_width": -(-settings.width // settings.tile_size),
        "tile_height": -(-settings.height // settings.tile_size),
        "n_batches": 1,
        "n_cameras": len(projection.radii),
    }
