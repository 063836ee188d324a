"""Argument checks of the rasterizer; every message says what was given and what is allowed.

Shapes: N Gaussians, C cameras, K spherical-harmonic coefficients, D channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

RenderMode = Literal["RGB", "D", "ED", "RGB+D", "RGB+ED"]
RasterizeMode = Literal["classic", "antialiased"]

MAX_CHANNELS = 32
MAX_SH_DEGREE = 3
TILE_SIZE = 16  # gsplat's default; the blending kernels are laid out for it


@dataclass(frozen=True)
class Settings:
    """The options of a call: sizes and radius_clip in pixels, eps2d in px², planes in scene units.

    Raises:
        ValueError: an option is out of its range.
    """

    width: int
    height: int
    near_plane: float
    far_plane: float
    radius_clip: float
    eps2d: float
    packed: bool
    tile_size: int
    render_mode: RenderMode
    rasterize_mode: RasterizeMode
    absgrad: bool

    def __post_init__(self) -> None:
        if self.packed:
            raise ValueError("packed=True is not available on the CPU; pass packed=False")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"width and height must be positive, got {self.width}, {self.height}")
        if not 0 < self.near_plane < self.far_plane:
            planes = f"{self.near_plane}, {self.far_plane}"
            raise ValueError(f"expected 0 < near_plane < far_plane, got {planes}")
        if self.radius_clip < 0 or self.eps2d < 0:
            given = f"{self.radius_clip}, {self.eps2d}"
            raise ValueError(f"radius_clip and eps2d must not be negative, got {given}")
        check_choice("tile_size", self.tile_size, [TILE_SIZE])
        check_choice("render_mode", self.render_mode, get_args(RenderMode))
        check_choice("rasterize_mode", self.rasterize_mode, get_args(RasterizeMode))


def check_choice(name: str, value: object, allowed: Sequence[object]) -> None:
    """Raise ValueError unless `value` is one of the allowed ones."""
    if value not in allowed:
        choices = ("one of " if len(allowed) > 1 else "") + ", ".join(map(repr, allowed))
        raise ValueError(f"{name} must be {choices}, got {value!r}")


def check_tensors(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    backgrounds: Tensor | None,
    sh_degree: int | None,
    render_mode: RenderMode,
    dtype: torch.dtype,
) -> None:
    """Raise ValueError for the first tensor of a wrong shape, dtype or device."""
    N = means.shape[0] if means.dim() else 0
    C = viewmats.shape[0] if viewmats.dim() else 0
    check_shape("means", means, (N, 3))
    check_shape("quats", quats, (N, 4))
    check_shape("scales", scales, (N, 3))
    check_shape("opacities", opacities, (N,))
    check_shape("viewmats", viewmats, (C, 4, 4))
    check_shape("Ks", Ks, (C, 3, 3))
    channels = check_colors(colors, N, C, sh_degree)
    if backgrounds is not None and "RGB" in render_mode:
        check_shape("backgrounds", backgrounds, (C, channels))
    named = {
        "means": means,
        "quats": quats,
        "scales": scales,
        "opacities": opacities,
        "colors": colors,
        "viewmats": viewmats,
        "Ks": Ks,
        "backgrounds": backgrounds,
    }
    for name, tensor in named.items():
        if tensor is not None:
            check_dtype_and_device(name, tensor, dtype)


def check_colors(colors: Tensor, N: int, C: int, sh_degree: int | None) -> int:
    """Check colours, or with an sh_degree coefficients; returns the number of channels.

    Raises:
        ValueError: the shape, the number of channels or the degree is not supported.
    """
    if sh_degree is None:
        D = colors.shape[-1] if colors.dim() else 0
        check_shape("colors", colors, (N, D), (C, N, D))
        if not 1 <= D <= MAX_CHANNELS:
            raise ValueError(f"colors must have 1 to {MAX_CHANNELS} channels, got {D}")
        return D
    check_choice("sh_degree", sh_degree, range(MAX_SH_DEGREE + 1))
    K = colors.shape[-2] if colors.dim() > 1 else 0
    check_shape("colors, as SH coefficients,", colors, (N, K, 3), (C, N, K, 3))
    needed = (sh_degree + 1) ** 2
    if K < needed:
        raise ValueError(f"sh_degree {sh_degree} needs at least {needed} coefficients, got {K}")
    return 3


def check_shape(name: str, tensor: Tensor, *allowed: tuple[int, ...]) -> None:
    """Raise ValueError unless the tensor has one of the allowed shapes."""
    if tuple(tensor.shape) not in allowed:
        expected = " or ".join(str(list(shape)) for shape in allowed)
        raise ValueError(f"{name} has shape {list(tensor.shape)}, expected {expected}")


def check_dtype_and_device(name: str, tensor: Tensor, dtype: torch.dtype) -> None:
    """Raise ValueError unless the tensor is on the CPU and has this dtype."""
    if tensor.device.type != "cpu":
        raise ValueError(f"{name} is on {tensor.device}; the CPU rasterizer expects CPU tensors")
    if tensor.dtype != dtype:
        raise ValueError(f"{name} has dtype {tensor.dtype}, expected {dtype}")
