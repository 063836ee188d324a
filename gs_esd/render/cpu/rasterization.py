"""Differentiable 3D Gaussian rasterization on the CPU.

Same image as gsplat 1.5.3: `reference.py` defines it, numba kernels compute it.
Shapes: N Gaussians, C cameras, K spherical-harmonic coefficients, D colour channels, H×W pixels, X
output channels (D, 1 or D + 1, depending on render_mode).
"""

from typing import Any

import numba
import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.render.cpu.arguments import RasterizeMode, RenderMode, Settings, check_tensors
from gs_esd.render.cpu.blending import blend
from gs_esd.render.cpu.pipeline import RasterizerPasses, run_passes
from gs_esd.render.cpu.projection import project
from gs_esd.render.cpu.reference import REFERENCE_PASSES
from gs_esd.render.cpu.spherical_harmonics import shade

NUMBA_PASSES = RasterizerPasses(project, shade, blend)


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
    """Render 3D Gaussians from every camera: `gsplat.rasterization` for float32 CPU tensors.

    Differentiable in all tensors except Ks. Image and gradients are bit-identical on every run,
    for any number of threads (see `jit/threads.py`). Gaussians with a non-finite mean, quaternion,
    scale or opacity are culled and get zero gradients; non-finite colours propagate to the image.

    Args:
        means: centres, in scene units.
        quats: rotations (w, x, y, z); normalised here.
        scales: standard deviations along the Gaussian's axes, in scene units, positive.
        opacities: in [0, 1].
        colors: [N, D] or [C, N, D] with 1 to 32 channels; with sh_degree, coefficients [N, K, 3] or
            [C, N, K, 3] whose colour is max(0, ½ + Σ Y_k coefficient_k).
        viewmats: world-to-camera matrices, OpenCV axes (x right, y down, z forward).
        Ks: intrinsics in pixels, without skew; the first pixel's centre is at (0.5, 0.5).
        width: image width in pixels.
        height: image height in pixels.
        near_plane: Gaussians nearer than this depth are culled.
        far_plane: Gaussians further away than this depth are culled.
        radius_clip: Gaussians whose radii are at most this many pixels are culled.
        eps2d: blur in px², added to the projected covariance.
        sh_degree: 0 to 3, or None if `colors` are colours.
        packed: must be False; the packed layout of gsplat is not available on the CPU.
        tile_size: must be 16, gsplat's default.
        backgrounds: one colour per camera; black if None. Depth has background 0.
        render_mode: colour (RGB), accumulated depth (D), expected depth (ED), or colour and depth
            (RGB+D, RGB+ED).
        rasterize_mode: "classic", or "antialiased" to lower the opacity of what eps2d enlarges
            (Mip-Splatting, arXiv:2311.16493).
        absgrad: set `info["means2d"].absgrad`, the sums of |dL/d(means2d)| over pixels
            (AbsGS, arXiv:2404.10484), in the backward pass.

    Returns:
        Colours, premultiplied by alpha except for the background; alphas in [0, 1); and gsplat's
        `info`, of which its strategies use means2d (for its gradient), radii, width, height,
        n_cameras and gaussian_ids.

    Raises:
        ValueError: a tensor or option is not supported; the message says what is.
        NotImplementedError: Ks requires a gradient.

    Example:
        One red Gaussian at the origin, seen from three units away:

        >>> import torch
        >>> red = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
        >>> viewmats = torch.eye(4)[None]
        >>> viewmats[0, 2, 3] = 3.0
        >>> Ks = torch.tensor([[[32.0, 0.0, 16.0], [0.0, 32.0, 12.0], [0.0, 0.0, 1.0]]])
        >>> colors, alphas, info = rasterization(
        ...     means=torch.zeros(1, 3),
        ...     quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        ...     scales=torch.full((1, 3), 0.3),
        ...     opacities=torch.tensor([0.5]),
        ...     colors=red,
        ...     viewmats=viewmats,
        ...     Ks=Ks,
        ...     width=32,
        ...     height=24,
        ... )
        >>> colors.shape, alphas.shape, info["radii"].tolist()
        (torch.Size([1, 24, 32, 3]), torch.Size([1, 24, 32, 1]), [[[11, 11]]])
        >>> round(alphas.max().item(), 2)
        0.49
        >>> colors.sum().backward()
        >>> red.grad.shape
        torch.Size([1, 3])
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
    passes = REFERENCE_PASSES if numba.config.DISABLE_JIT else NUMBA_PASSES
    return run_passes(passes, *splats, *cameras, sh_degree, backgrounds, settings)
