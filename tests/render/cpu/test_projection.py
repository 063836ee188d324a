"""Kernels of projection and spherical harmonics against the float64 reference."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gs_esd.render.cpu import projection, projection_kernels, reference, spherical_harmonics
from gs_esd.render.cpu.arguments import Settings
from tests.helpers.rasterization_scenes import (
    Scene,
    make_scene,
    relative_error,
    weights_like,
    with_harmonics,
)

SIZES = [1, 7, 8, 9, 511, 512, 513, 1030]  # around a vector, and around a chunk


def settings_of(scene: Scene, **changes: Any) -> Settings:
    options: dict[str, Any] = {
        "near_plane": 0.01, "far_plane": 1e10, "radius_clip": 0.0, "eps2d": 0.3, "packed": False,
        "tile_size": 16, "render_mode": "RGB", "rasterize_mode": "antialiased", "absgrad": False,
    }  # fmt: skip
    return Settings(width=scene.width, height=scene.height, **options | changes)


def weighted_sum(outputs: list[Tensor]) -> Tensor:
    return torch.stack([(t * weights_like(t)).sum() for t in outputs]).sum()


def projected(module: Any, scene: Scene, dtype: torch.dtype) -> tuple[Any, dict[str, Tensor]]:
    """The projection and the gradients of a fixed loss of all it returns."""
    names = ("means", "quats", "scales", "opacities")
    leaves = {name: scene.splats[name].detach().to(dtype) for name in names}
    leaves["viewmats"] = scene.viewmats.detach().to(dtype)
    for name in ("means", "quats", "scales", "viewmats"):
        leaves[name].requires_grad_()
    result = module.project(**leaves, Ks=scene.Ks.to(dtype), settings=settings_of(scene))
    weighted_sum(list(result[1:])).backward()
    return result, {name: t.grad for name, t in leaves.items() if t.grad is not None}


@pytest.mark.parametrize("N", SIZES)
def test_projection_of_any_number_of_gaussians(N: int) -> None:
    scene = make_scene(N, 3)
    scene.splats["means"] *= 2  # some are culled by one camera, some by all
    expected, expected_gradients = projected(reference, scene, torch.float64)
    actual, gradients = projected(projection, scene, torch.float32)
    assert torch.equal(actual.radii, expected.radii)
    for name in ("means2d", "depths", "conics", "compensations"):
        assert relative_error(getattr(actual, name), getattr(expected, name)) < 1e-6, name
    for name, gradient in expected_gradients.items():
        assert relative_error(gradients[name], gradient) < 1e-5, name


@pytest.mark.parametrize("sets", [None, 2])
@pytest.mark.parametrize(("degree", "coefficients"), [(0, 1), (1, 4), (1, 5), (2, 9), (3, 16)])
@pytest.mark.parametrize("N", [1, 8, 9, 513])
def test_colors_of_any_number_of_gaussians(
    N: int, degree: int, coefficients: int, sets: int | None
) -> None:
    scene = with_harmonics(make_scene(N, 2), coefficients, sets)
    visible = torch.rand(2, N, generator=torch.Generator().manual_seed(1)) > 0.3
    results = []
    for module, dtype in ((reference, torch.float64), (spherical_harmonics, torch.float32)):
        names = ("means", "colors")
        leaves = [scene.splats[name].detach().to(dtype).requires_grad_() for name in names]
        leaves.append(scene.viewmats.detach().to(dtype).requires_grad_())
        colors = module.shade(degree, *leaves, visible)
        # Blending does not use the colours of Gaussians that are not visible.
        loss = weighted_sum([torch.where(visible[..., None], colors, 0.0)])
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        results.append((torch.where(visible[..., None], colors, 0.5), *gradients))
    for expected, actual in zip(*results, strict=True):
        if expected is None or actual is None:
            assert degree == 0
        else:
            assert relative_error(actual, expected) < 1e-5


def test_integer_settings_compile_no_other_kernel() -> None:
    scene = make_scene(3)
    arguments = [scene.splats[name].float() for name in ("means", "quats", "scales", "opacities")]
    arguments += [scene.viewmats.float(), scene.Ks.float()]
    for near_plane in (1.0, 1):
        projection.project(*arguments, settings_of(scene, near_plane=near_plane))
    assert len(projection_kernels.project_forward.signatures) == 1
