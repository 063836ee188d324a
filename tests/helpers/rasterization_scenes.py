"""Small scenes for the tests of the rasterizer, and comparisons of their renderings."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class Scene:
    """Float64 arguments of `rasterization`, and the size of the image."""

    splats: dict[str, Tensor]
    viewmats: Tensor
    Ks: Tensor
    width: int
    height: int


@dataclass
class Result:
    """One rendering, and the gradients of a fixed loss of image and alphas."""

    image: Tensor
    alphas: Tensor
    info: dict[str, Any]
    gradients: dict[str, Tensor]


def make_scene(
    N: int, C: int = 1, width: int = 40, height: int = 30, channels: int = 3, seed: int = 0
) -> Scene:
    """A ball of anisotropic Gaussians of radius 0.8, and C cameras 3 units from its centre."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    directions = randn(N, 3)
    radius = 0.8 * rand(N, 1) ** (1 / 3)
    splats = {
        "means": directions / directions.norm(dim=-1, keepdim=True) * radius,
        "quats": randn(N, 4),
        "scales": 0.5 * max(N, 1) ** (-1 / 3) * torch.exp(0.4 * randn(N, 3)),
        "opacities": torch.sigmoid(1.5 * randn(N)),
        "colors": rand(N, channels),
    }
    focal = 0.5 * width / math.tan(math.radians(20))
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    viewmats = torch.stack([orbit(0.3 + 2 * math.pi * c / C) for c in range(C)])
    return Scene(splats, viewmats, K.double().expand(C, 3, 3).contiguous(), width, height)


def orbit(angle: float, distance: float = 3.0) -> Tensor:
    """World-to-camera matrix of a camera towards the origin, turned about the vertical axis."""
    c, s = math.cos(angle), math.sin(angle)
    rows = [[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, distance], [0, 0, 0, 1]]
    return torch.tensor(rows, dtype=torch.float64)


def with_harmonics(scene: Scene, coefficients: int = 16, cameras: int | None = None) -> Scene:
    """The scene with random SH coefficients as colours; per camera if `cameras` is given."""
    N = len(scene.splats["means"])
    generator = torch.Generator().manual_seed(5)
    shape = (N, coefficients, 3) if cameras is None else (cameras, N, coefficients, 3)
    scene.splats["colors"] = 0.3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return scene


def evaluate(
    rasterize: Callable[..., Any],
    scene: Scene,
    dtype: torch.dtype,
    backgrounds: Tensor | None = None,
    **options: Any,
) -> Result:
    """Render in a dtype and differentiate a random but fixed loss, with respect to everything."""
    leaves = {**scene.splats, "viewmats": scene.viewmats}
    if backgrounds is not None:
        leaves["backgrounds"] = backgrounds
    leaves = {name: t.detach().to(dtype).requires_grad_() for name, t in leaves.items()}
    image, alphas, info = rasterize(
        **leaves, Ks=scene.Ks.to(dtype), width=scene.width, height=scene.height, **options
    )
    if info["means2d"].requires_grad:
        info["means2d"].retain_grad()
    loss = (image * weights_like(image)).sum() + (alphas * weights_like(alphas)).sum()
    if loss.requires_grad:
        loss.backward()
    gradients = {name: t.grad if t.grad is not None else 0 * t for name, t in leaves.items()}
    return Result(image.detach(), alphas.detach(), info, gradients)


def weights_like(tensor: Tensor) -> Tensor:
    """Fixed random numbers of both signs, the same in every dtype."""
    generator = torch.Generator().manual_seed(11)
    values = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    return values.to(tensor.dtype)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest expected value."""
    if expected.numel() == 0:
        return 0.0
    actual, expected = actual.detach().double(), expected.detach().double()
    return float((actual - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
