"""Reference implementation of 3D Gaussian splatting: dense, in plain torch, with autograd.

Evaluates every Gaussian at every pixel, in any float dtype; memory is O(C·H·W·N). Used by tests,
for debugging, and where numba is switched off (NUMBA_DISABLE_JIT=1). The kernels must agree with
this file, which defines the image.

Notation (the image is that of gsplat 1.5.3)
    N Gaussians, C cameras, K spherical-harmonic coefficients, D channels, H W pixels.
    viewmats  world-to-camera, OpenCV axes (x right, y down, z forward); Ks in pixels; the centre of
              the first pixel is at (0.5, 0.5).
    cov2d     J W Σ Wᵀ Jᵀ + eps2d·I, the covariance on the image in px²; its inverse is the conic
              [[a, b], [b, c]], kept as (a, b, c).
    sigma     ½ (a dx² + c dy²) + b dx dy, with (dx, dy) from the centre of a pixel to the mean.
    alpha     min(0.999, opacity · exp(-sigma)); below 1/255 the Gaussian is skipped.
    T         transmittance in front of a Gaussian. A pixel is finished at the first Gaussian that
              would bring T to 1e-4 or below: neither it nor any behind it is drawn.

Culled (radii 0, zero gradients) are Gaussians outside [near, far], with opacity below 1/255, with
both radii at most radius_clip, with a bounding box outside the image, or with a non-finite
parameter. gsplat draws the tiles that meet a box of min(3.33, sqrt(2 ln(255 opacity))) standard
deviations. For opacities in [0, 1] that box holds every pixel where alpha reaches 1/255, so the
image does not depend on tiles, and there are none here.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gs_esd.render.cpu.arguments import RasterizeMode, RenderMode, Settings, check_tensors
from gs_esd.render.cpu.pipeline import Projection, RasterizerPasses, run_passes

ALPHA_MAX = 0.999
ALPHA_MIN = 1.0 / 255.0
TRANSMITTANCE_MIN = 1e-4
MAX_SIGMAS = 3.33  # gsplat's cap on half the width of a Gaussian's box, in standard deviations
JACOBIAN_MARGIN = 0.3  # how far outside the image, in half images, J is still taken at the mean
RADIUS_LIMIT = 2.0**31 - 128  # the largest float32 that fits an int32
FLOAT32_MAX = 3.4028234663852886e38

SH_0 = 0.28209479177387814  # ½ sqrt(1/π)
SH_1 = 0.4886025119029199  # ½ sqrt(3/π)
SH_2_XY = 1.0925484305920792  # ½ sqrt(15/π)
SH_2_ZZ = 0.31539156525252005  # ¼ sqrt(5/π)
SH_3_XXX = 0.5900435899266435  # ¼ sqrt(35/2π)
SH_3_XYZ = 2.890611442640554  # ½ sqrt(105/π)
SH_3_XZZ = 0.4570457994644658  # ¼ sqrt(21/2π)
SH_3_ZZZ = 0.3731763325901154  # ¼ sqrt(7/π)


def rasterization_reference(
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
    """Render Gaussians in plain torch; arguments and results are those of `rasterization`.

    Slow, but in any float dtype that all tensors share, and differentiable in Ks as well.

    Raises:
        ValueError: a tensor or option is not supported, or absgrad=True, which autograd cannot
            compute: it sums gradients over pixels before they can be made absolute.
    """
    splats = (means, quats, scales, opacities, colors)
    cameras = (viewmats, Ks)
    check_tensors(*splats, *cameras, backgrounds, sh_degree, render_mode, means.dtype)
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
    return run_passes(REFERENCE_PASSES, *splats, *cameras, sh_degree, backgrounds, settings)


def project(
    means: Float[Tensor, "N 3"],
    quats: Float[Tensor, "N 4"],
    scales: Float[Tensor, "N 3"],
    opacities: Float[Tensor, " N"],
    viewmats: Float[Tensor, "C 4 4"],
    Ks: Float[Tensor, "C 3 3"],
    settings: Settings,
) -> Projection:
    """Project Gaussians to every camera: EWA splatting (Zwicker 2001), linearised at the means."""
    # Culled Gaussians are computed with finite placeholders: NaN × 0 would spoil autograd's sums.
    usable = torch.cat([means, quats, scales, opacities[:, None]], dim=-1).isfinite().all(-1)
    usable = usable & (quats.detach().abs().amax(-1) > 0)  # [N]
    means = torch.where(usable[:, None], means, 0.0)
    quats = torch.where(usable[:, None], quats, 1.0)
    scales = torch.where(usable[:, None], scales, 1.0)
    rotation, translation = viewmats[:, :3, :3], viewmats[:, :3, 3]
    means_c = torch.einsum("cij,nj->cni", rotation, means) + translation[:, None]  # [C, N, 3]
    depths = means_c[..., 2]
    visible = usable & (depths >= settings.near_plane) & (depths <= settings.far_plane)
    means_c = torch.where(visible[..., None], means_c, means_c.new_tensor([0.0, 0.0, 1.0]))

    half_axes = rotation_matrices(quats) * scales[:, None]  # [N, 3, 3]
    flat_axes = _jacobian(means_c, Ks, settings) @ rotation[:, None] @ half_axes  # [C, N, 2, 3]
    cov2d = flat_axes @ flat_axes.transpose(-1, -2)
    xx, xy, yy = cov2d[..., 0, 0], cov2d[..., 0, 1], cov2d[..., 1, 1]
    sharp_det = xx * yy - xy * xy
    xx, yy = xx + settings.eps2d, yy + settings.eps2d
    det = xx * yy - xy * xy
    visible = visible & (det > 0)
    det = torch.where(visible, det, 1.0)
    conics = torch.stack([yy, -xy, xx], dim=-1) / det[..., None]
    visible = visible & (conics.detach().amax(-1) < FLOAT32_MAX)
    focal, centre = Ks[:, None, [0, 1], [0, 1]], Ks[:, None, :2, 2]
    means2d = means_c[..., :2] / means_c[..., 2:] * focal + centre

    compensations = None
    effective = opacities.detach().expand(depths.shape)
    if settings.rasterize_mode == "antialiased":
        compensations = _sqrt_of_positive(sharp_det / det)
        effective = effective * compensations.detach()
    visible = visible & (effective >= ALPHA_MIN)
    radii = _radii(torch.stack([xx, yy], dim=-1).detach(), effective)
    visible = visible & _touches_image(means2d.detach(), radii, settings)
    if compensations is not None:
        compensations = torch.where(visible, compensations, 0)
    radii, means2d, conics = (
        torch.where(visible[..., None], t, 0) for t in (radii, means2d, conics)
    )
    return Projection(
        radii.to(torch.int32), means2d, torch.where(visible, depths, 0), conics, compensations
    )


def rotation_matrices(quats: Float[Tensor, "N 4"]) -> Float[Tensor, "N 3 3"]:
    """Rotation matrices of (w, x, y, z) quaternions, which need not be normalised."""
    w, x, y, z = (quats / quats.norm(dim=-1, keepdim=True)).unbind(-1)
    entries = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(entries, dim=-1).reshape(-1, 3, 3)


def _jacobian(
    means_c: Float[Tensor, "C N 3"], Ks: Float[Tensor, "C 3 3"], settings: Settings
) -> Float[Tensor, "C N 2 3"]:
    """d(pixel) / d(camera point), with the point clamped to a margin around the image.

    As in the code of Kerbl et al. 2023: at grazing angles the linearisation would blow up.
    """
    focal, centre = Ks[:, None, [0, 1], [0, 1]], Ks[:, None, :2, 2]  # [C, 1, 2]
    size = means_c.new_tensor([settings.width, settings.height])
    margin = JACOBIAN_MARGIN * 0.5 * size / focal
    slope = means_c[..., :2] / means_c[..., 2:]
    slope = slope.clamp(-centre / focal - margin, (size - centre) / focal + margin)
    scale = focal / means_c[..., 2:]
    return torch.cat([torch.diag_embed(scale), -(scale * slope)[..., None]], dim=-1)


def _sqrt_of_positive(x: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """sqrt(max(x, 0)) with gradient zero, not infinite, at zero."""
    return torch.where(x > 0, torch.where(x > 0, x, 1.0).sqrt(), 0.0)


def _radii(
    variances: Float[Tensor, "C N 2"], opacities: Float[Tensor, "C N"]
) -> Float[Tensor, "C N 2"]:
    """Half width and height, in whole pixels, of the box where alpha can reach 1/255."""
    sigmas = (2 * (opacities.clamp(min=ALPHA_MIN) / ALPHA_MIN).log()).sqrt().clamp(max=MAX_SIGMAS)
    return (sigmas[..., None] * variances.sqrt()).ceil().clamp(max=RADIUS_LIMIT)


def _touches_image(
    means2d: Float[Tensor, "C N 2"], radii: Float[Tensor, "C N 2"], settings: Settings
) -> Bool[Tensor, "C N"]:
    """Whether a box is larger than radius_clip and overlaps the image."""
    size = means2d.new_tensor([settings.width, settings.height])
    inside = (means2d + radii > 0).all(-1) & (means2d - radii < size).all(-1)
    return inside & (radii > settings.radius_clip).any(-1)


def shade(
    degree: int,
    means: Float[Tensor, "N 3"],
    coefficients: Float[Tensor, "*CN K 3"],
    viewmats: Float[Tensor, "C 4 4"],
    visible: Bool[Tensor, "C N"],
) -> Float[Tensor, "C N 3"]:
    """Colours from each camera, max(0, ½ + Σ Y_k(direction) coefficient_k); ½ where not visible."""
    positions = torch.linalg.inv(viewmats)[:, None, :3, 3]
    offsets = torch.where(visible[..., None], means - positions, 1.0)
    basis = sh_basis(degree, offsets / offsets.norm(dim=-1, keepdim=True))  # [C, N, (degree+1)²]
    active = coefficients[..., : basis.shape[-1], :]
    active = torch.where(visible[..., None, None], active, 0.0)
    return ((basis[..., None] * active).sum(-2) + 0.5).clamp(min=0)


def sh_basis(degree: int, directions: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B K"]:
    """Real spherical harmonics of unit directions in 3DGS's order and signs; K = (degree + 1)²."""
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    values = [
        torch.full_like(x, SH_0),
        -SH_1 * y,
        SH_1 * z,
        -SH_1 * x,
        SH_2_XY * x * y,
        -SH_2_XY * y * z,
        SH_2_ZZ * (3 * zz - 1),
        -SH_2_XY * x * z,
        SH_2_XY * 0.5 * (xx - yy),
        -SH_3_XXX * y * (3 * xx - yy),
        SH_3_XYZ * x * y * z,
        -SH_3_XZZ * y * (5 * zz - 1),
        SH_3_ZZZ * z * (5 * zz - 3),
        -SH_3_XZZ * x * (5 * zz - 1),
        SH_3_XYZ * 0.5 * z * (xx - yy),
        -SH_3_XXX * x * (xx - 3 * yy),
    ]
    return torch.stack(values[: (degree + 1) ** 2], dim=-1)


def blend(
    projection: Projection,
    opacities: Float[Tensor, "C N"],
    colors: Float[Tensor, "C N D"],
    backgrounds: Float[Tensor, "C D"] | None,
    settings: Settings,
) -> tuple[Float[Tensor, "C H W D"], Float[Tensor, "C H W 1"]]:
    """Blend projected Gaussians front to back at every pixel, ties in depth by index."""
    if settings.absgrad:
        raise ValueError("absgrad=True needs the kernels: rasterization without NUMBA_DISABLE_JIT")
    visible = (projection.radii > 0).all(-1)
    images, alphas = [], []
    for c in range(len(visible)):
        nearest_first = projection.depths[c].argsort(stable=True)
        drawn = nearest_first[visible[c, nearest_first]]
        alpha = _alphas(
            projection.means2d[c, drawn], projection.conics[c, drawn], opacities[c, drawn], settings
        )
        weights = _weights(alpha)  # [H, W, N]
        images.append(weights @ colors[c, drawn])
        alphas.append(weights.sum(-1, keepdim=True))
    image, alpha = torch.stack(images), torch.stack(alphas)
    if backgrounds is not None:
        image = image + (1 - alpha) * backgrounds[:, None, None]
    return image, alpha


def _alphas(
    means2d: Float[Tensor, "N 2"],
    conics: Float[Tensor, "N 3"],
    opacities: Float[Tensor, " N"],
    settings: Settings,
) -> Float[Tensor, "H W N"]:
    """Opacity of every Gaussian at every pixel."""
    x = torch.arange(settings.width, dtype=means2d.dtype) + 0.5
    y = torch.arange(settings.height, dtype=means2d.dtype) + 0.5
    dx = means2d[:, 0] - x[:, None]  # [W, N]
    dy = (means2d[:, 1] - y[:, None])[:, None]  # [H, 1, N]
    a, b, c = conics.unbind(-1)
    sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    alpha = (opacities * torch.exp(-sigma)).clamp(max=ALPHA_MAX)
    return torch.where((sigma >= 0) & (alpha >= ALPHA_MIN), alpha, 0.0)


def _weights(alpha: Float[Tensor, "H W N"]) -> Float[Tensor, "H W N"]:
    """Blending weight of each Gaussian at each pixel: alpha times T, 0 once a pixel is finished."""
    # Transmittance never rises, so once it is too low every Gaussian behind is cut as well.
    alpha = torch.where((1 - alpha).cumprod(-1) > TRANSMITTANCE_MIN, alpha, 0.0)
    after = (1 - alpha).cumprod(-1)
    before = torch.cat([torch.ones_like(after[..., :1]), after[..., :-1]], dim=-1)
    return alpha * before[..., : alpha.shape[-1]]


REFERENCE_PASSES = RasterizerPasses(project, shade, blend)
