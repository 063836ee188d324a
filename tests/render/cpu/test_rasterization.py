"""The kernels against the float64 reference."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from gs_esd.render.cpu.rasterization import rasterization
from gs_esd.render.cpu.reference import rasterization_reference
from tests.helpers.rasterization_scenes import (
    Result,
    Scene,
    evaluate,
    make_scene,
    relative_error,
    weights_like,
    with_harmonics,
)

IMAGE_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 1e-4


def assert_agrees(scene: Scene, backgrounds: Tensor | None = None, **options: Any) -> Result:
    """Kernels in float32 against the reference in float64: images, radii and all gradients."""
    expected = evaluate(rasterization_reference, scene, torch.float64, backgrounds, **options)
    actual = evaluate(rasterization, scene, torch.float32, backgrounds, **options)
    assert relative_error(actual.image, expected.image) < IMAGE_TOLERANCE
    assert relative_error(actual.alphas, expected.alphas) < IMAGE_TOLERANCE
    assert torch.equal(actual.info["radii"], expected.info["radii"])
    visible = (expected.info["radii"] > 0).all(-1)
    for name in ("means2d", "depths", "conics", "opacities"):
        pair = (result.info[name][visible] for result in (actual, expected))
        assert relative_error(*pair) < IMAGE_TOLERANCE, name
    for name, gradient in expected.gradients.items():
        assert relative_error(actual.gradients[name], gradient) < GRADIENT_TOLERANCE, name
    return actual


@pytest.mark.parametrize("rasterize_mode", ["classic", "antialiased"])
@pytest.mark.parametrize(
    ("N", "C", "width", "height"),
    [(1, 1, 16, 16), (60, 2, 40, 30), (300, 3, 33, 47), (2000, 1, 64, 48), (50, 1, 1, 1)],
)
def test_kernels_agree_with_reference(
    N: int, C: int, width: int, height: int, rasterize_mode: str
) -> None:
    scene = make_scene(N, C, width, height)
    assert_agrees(scene, torch.rand(C, 3).double(), rasterize_mode=rasterize_mode)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7, 32])
def test_any_number_of_channels(channels: int) -> None:
    scene = make_scene(100, 2, channels=channels)
    assert_agrees(scene, torch.rand(2, channels).double())


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("per_camera", [False, True])
def test_spherical_harmonics(degree: int, per_camera: bool) -> None:
    scene = with_harmonics(make_scene(80, 3), cameras=3 if per_camera else None)
    assert_agrees(scene, sh_degree=degree)


def test_unused_coefficients_have_no_gradient() -> None:
    scene = with_harmonics(make_scene(20))
    gradient = evaluate(rasterization, scene, torch.float32, sh_degree=1).gradients["colors"]
    assert gradient[:, :4].abs().max() > 0
    assert gradient[:, 4:].abs().max() == 0


@pytest.mark.parametrize("render_mode", ["RGB", "D", "ED", "RGB+D", "RGB+ED"])
def test_render_modes(render_mode: str) -> None:
    scene = make_scene(150, 2)
    # Where alpha is nearly 0, expected depth divides by its float32 rounding.
    scene.splats["scales"] *= 3
    assert_agrees(scene, torch.rand(2, 3).double(), render_mode=render_mode)


def test_harmonics_with_depth_and_antialiasing() -> None:
    scene = with_harmonics(make_scene(150, 2))
    assert_agrees(scene, sh_degree=3, render_mode="RGB+D", rasterize_mode="antialiased")


def test_colors_per_camera() -> None:
    scene = make_scene(80, 2)
    scene.splats["colors"] = torch.rand(2, 80, 3).double()
    assert_agrees(scene)


def test_saturated_opacities() -> None:
    scene = make_scene(500, 1, 48, 48)
    scene.splats["opacities"] = (scene.splats["opacities"] > 0.5).double()
    assert_agrees(scene)


def test_needles() -> None:
    scene = make_scene(100, 1, 48, 48)
    scene.splats["scales"] = torch.tensor([0.5, 1e-3, 1e-4]).double().repeat(100, 1)
    assert_agrees(scene)


def test_gaussians_far_outside_the_image() -> None:
    # Near the camera and to its side: the Jacobian is taken at the margin around the image.
    scene = make_scene(300, 1)
    scene.splats["means"] *= 4
    scene.splats["scales"] *= 3
    assert_agrees(scene, near_plane=0.2, far_plane=5.0, radius_clip=2.0, eps2d=0.1)


def test_viewmats_need_not_require_a_gradient() -> None:
    scene = make_scene(30)
    splats = {name: t.float().requires_grad_() for name, t in scene.splats.items()}
    arguments = (scene.viewmats.float(), scene.Ks.float(), scene.width, scene.height)
    rasterization(*splats.values(), *arguments)[0].sum().backward()
    expected = evaluate(rasterization, scene, torch.float32)
    image, _, _ = rasterization(*splats.values(), *arguments)
    assert torch.equal(image.detach(), expected.image)


def test_absgrad_sums_magnitudes_over_pixels() -> None:
    scene = make_scene(12, 1, 7, 6)
    actual = evaluate(rasterization, scene, torch.float32, absgrad=True)
    splats = {name: t.clone().requires_grad_() for name, t in scene.splats.items()}
    image, alphas, info = rasterization_reference(
        *splats.values(), scene.viewmats, scene.Ks, scene.width, scene.height
    )
    losses = (image * weights_like(image)).sum(-1) + (alphas * weights_like(alphas)).sum(-1)
    per_pixel = [
        torch.autograd.grad(loss, info["means2d"], retain_graph=True)[0]
        for loss in losses.flatten()
    ]
    expected = torch.stack(per_pixel).abs().sum(0)
    assert relative_error(actual.info["means2d"].absgrad, expected) < GRADIENT_TOLERANCE
    assert (actual.info["means2d"].absgrad + 1e-6 >= actual.info["means2d"].grad.abs()).all()


def test_ties_in_depth_are_drawn_in_order() -> None:
    scene = make_scene(40)
    scene.splats["means"][:, 2] = 0
    scene.viewmats = torch.eye(4).double()[None]
    scene.viewmats[0, 2, 3] = 3
    assert_agrees(scene)


ONE_GAUSSIAN = """
from torch import eye, ones, tensor
from gs_esd.render.cpu.rasterization import rasterization

Ks = tensor([[[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]])
splats = (tensor([[0.0, 0, 3]]), ones(1, 4), ones(1, 3), ones(1), ones(1, 1))
total = float(rasterization(*splats, eye(4)[None], Ks, 8, 8)[0].sum())
"""


def test_reference_is_used_without_jit() -> None:
    names: dict[str, Any] = {}
    exec(ONE_GAUSSIAN, names)
    result = subprocess.run(
        [sys.executable, "-c", ONE_GAUSSIAN + "print(total)"],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    assert float(result.stdout) == pytest.approx(names["total"], rel=1e-5)
