"""Differentiable 3D Gaussian rasterization on the CPU.

The image is that of gsplat 1.5.3; `reference.py` defines it, numba kernels compute it here.
Letters: N Gaussians, C cameras, K spherical-harmonic coefficients, D colour channels, H W pixels, X
output channels: D, 1, or D + 1, by render_mode.
"""

from typing import Any

import numba
import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.render.cpu.arguments import RasterizeMode, RenderMode, Settings, check_tensors
from gs_esd.render.cpu.blending import blend
from gs_esd.render.cpu.pipeline import Stages, render_stages
from gs_esd.render.cpu.projection import project
from gs_esd.render.cpu.reference import REFERENCE_STAGES
from gs_esd.render.cpu.spherical_harmonics import shade

KERNEL_STAGES = Stages(project, shade, blend)


def rasterization(
    means: Float[Tensor, "N 3"],
    quats: Float[Tensor, "N 4"],
    scales: Float[Tensor, "N 3"],
    opacities: Float[Tensor, " N"],
    colors: Float[Tensor, "*CN D"],
    viewmats: Float[Tensor, "C 4 4"],
    Ks: Float[Tensor, "C 3 3"],
    width: int,
    height: int,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    radius_clip: float = 0.0,
    eps2d: float = 0.3,
    sh_degree: int | None = None,
    packed: bool = False,
    tile_size: int = 16,
    backgrounds: Float[Tensor, "C D"] | None = None,
    render_mode: RenderMode = "RGB",
    rasterize_mode: RasterizeMode = "classic",
    absgrad: bool = False,
) -> tuple[Float[Tensor, "C H W X"], Float[Tensor, "C H W 1"], dict[str, Any]]:
    """Render Gaussians from every camera: `gsplat.rasterization` for float32 tensors on the CPU.

    Differentiable in all tensors but Ks. Gradients are the same bits on every run, whatever the
    number of threads (see `threads.py`). What is not finite is culled, and has no gradient; colours
    are taken as they are, and one that is not finite shows.

    Args:
        means, scales: in scene units; scales are standard deviations, positive.
        quats: (w, x, y, z), normalised here.
        opacities: in [0, 1].
        colors: [N, D] or [C, N, D] with 1 to 32 channels; with sh_degree, coefficients [N, K, 3] or
            [C, N, K, 3] whose colour is max(0, ½ + Σ Y_k coefficient_k).
        viewmats: world-to-camera, OpenCV axes.
        Ks: in pixels, without skew; the centre of the first pixel is at (0.5, 0.5).
        near_plane, far_plane: depths between which Gaussians are drawn.
        radius_clip: Gaussians with no radius above this many pixels are left out.
        eps2d: blur in px², added to the covariance on the image.
        sh_degree: 0 to 3, or None if `colors` are colours.
        tile_size: 16, as is usual.
        backgrounds: one colour per camera; black if None. Depth has background 0.
        render_mode: colour (RGB), accumulated depth (D), expected depth (ED), or colour and depth.
        rasterize_mode: "antialiased" dims what eps2d enlarges (Mip-Splatting, arXiv:2311.16493).
        absgrad: set `info["means2d"].absgrad`, the sums of |dL/d(means2d)| over pixels
            (arXiv:2404.10484), in the backward pass.

    Returns:
        Colours, premultiplied by alpha except for the background; alphas in [0, 1); and gsplat's
        `info`, of which its strategies read means2d (for its gradient), radii, width, height,
        n_cameras and gaussian_ids.

    Raises:
        ValueError: a tensor or option does not fit; the message says what would.
        NotImplementedError: Ks requires a gradient.
    """
    if Ks.requires_grad:
        raise NotImplementedError("no gradient for Ks here; use rasterization_reference, or detach")
    splats = (means, quats, scales, opacities, colors)
    cameras = (viewmats, Ks)
    check_tensors(*splats, *cameras, backgrounds, sh_degree, render_mode, torch.float32)
    settings = Settings(
        width,
        height,
        near_plane,
        far_plane,
        radius_clip,
        eps2d,
        packed,
        tile_size,
        render_mode,
        rasterize_mode,
        absgrad,
    )
    stages = REFERENCE_STAGES if numba.config.DISABLE_JIT else KERNEL_STAGES
    return render_stages(stages, *splats, *cameras, sh_degree, backgrounds, settings)
