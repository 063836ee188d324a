"""Degenerate splats neither crash the rasterizer nor make gradients NaN."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gs_esd.render.cpu.rasterization import rasterization
from tests.helpers.rasterization_scenes import Scene, evaluate, make_scene, orbit, with_harmonics
from tests.render.cpu.test_rasterization import assert_agrees


def one_gaussian(**changes: Any) -> Scene:
    """A scene of one Gaussian in the middle of a small image, with some values changed."""
    scene = make_scene(1, 1, 20, 12)
    scene.viewmats = orbit(0.0)[None]
    scene.splats["means"] = torch.zeros(1, 3).double()
    for name, value in changes.items():
        scene.splats[name] = torch.as_tensor(value).double()
    return scene


def assert_not_drawn(scene: Scene, **options: Any) -> None:
    """The image is empty, radii are 0, and gradients 0."""
    result = evaluate(rasterization, scene, torch.float32, **options)
    assert result.alphas.abs().max() == 0
    assert result.info["radii"].abs().max() == 0
    for gradient in result.gradients.values():
        assert gradient.abs().max() == 0


def test_no_gaussians() -> None:
    background = torch.rand(2, 3).double()
    result = evaluate(rasterization, make_scene(0, 2), torch.float32, background)
    expected = background.float()[:, None, None].expand(2, 30, 40, 3)
    assert torch.equal(result.image, expected)
    assert result.info["means2d"].shape == (2, 0, 2)
    assert_agrees(make_scene(0), rasterize_mode="antialiased")
    assert_agrees(with_harmonics(make_scene(0)), sh_degree=2)


@pytest.mark.parametrize("z", [-3.0, -10.0, 1e12])
def test_behind_the_camera_or_beyond_the_far_plane(z: float) -> None:
    assert_not_drawn(one_gaussian(means=[[0.0, 0.0, z]]))


def test_outside_the_image() -> None:
    assert_not_drawn(one_gaussian(means=[[30.0, 0.0, 0.0]]))


def test_faint_gaussians_are_not_drawn() -> None:
    assert_not_drawn(one_gaussian(opacities=[0.0]))
    assert_not_drawn(one_gaussian(opacities=[1 / 256]))


def test_radius_clip() -> None:
    scene = one_gaussian(scales=[[0.01, 0.02, 0.03]])
    radius = float(evaluate(rasterization, scene, torch.float32).info["radii"].max())
    assert_not_drawn(scene, radius_clip=radius)
    assert_agrees(scene, radius_clip=radius - 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["means", "quats", "scales", "opacities"])
def test_non_finite_gaussians_are_culled_alone(name: str, value: float) -> None:
    scene = with_harmonics(make_scene(30, 2))
    result = evaluate(rasterization, scene, torch.float32, sh_degree=1)
    visible = (result.info["radii"] > 0).all(-1)[0].nonzero()[0, 0]
    scene.splats[name].view(30, -1)[visible, 0] = value
    for mode in ("classic", "antialiased"):
        broken = assert_agrees(scene, sh_degree=1, rasterize_mode=mode)
        assert (broken.info["radii"][:, visible] == 0).all()
        for gradient in broken.gradients.values():
            assert gradient.isfinite().all()
        for key in ("means", "quats", "scales", "opacities"):
            assert broken.gradients[key][visible].abs().max() == 0


def test_zero_quaternion_is_culled() -> None:
    assert_not_drawn(one_gaussian(quats=[[0.0, 0.0, 0.0, 0.0]]))


def test_gaussians_without_size() -> None:
    scene = one_gaussian(scales=[[0.0, 0.0, 0.0]])
    assert assert_agrees(scene).alphas.max() > 0  # eps2d alone gives it a size
    assert_not_drawn(scene, rasterize_mode="antialiased")
    assert_not_drawn(scene, eps2d=0.0)


@pytest.mark.parametrize("scale", [1e-20, 1e-8, 1e-3, 10.0, 1e3, 1e8, 1e18])
@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_sizes_of_all_magnitudes(scale: float, mode: str) -> None:
    scene = one_gaussian(scales=[[scale, 0.7 * scale, 0.4 * scale]], opacities=[0.6])
    for eps2d in (0.3, 0.0):
        result = evaluate(
            rasterization, scene, torch.float32, rasterize_mode=mode, eps2d=eps2d, absgrad=True
        )
        assert result.image.isfinite().all()
        for gradient in result.gradients.values():
            assert gradient.isfinite().all()
    if 1e-3 <= scale <= 1e3:
        assert_agrees(scene, rasterize_mode=mode)


def test_opaque_gaussians_finish_every_pixel() -> None:
    scene = make_scene(300, 1, 32, 32)
    scene.splats["scales"] += 1.0
    scene.splats["opacities"] = torch.ones(300).double()
    result = assert_agrees(scene)
    assert (result.alphas < 1).all()
    assert (result.alphas > 0.9).all()
    assert ((result.gradients["colors"] == 0).all(-1)).sum() > 200  # hidden by those in front


@pytest.mark.parametrize("opacity", [0.0, 1.0])
def test_gradient_of_opacity_at_its_bounds(opacity: float) -> None:
    scene = make_scene(40)
    scene.splats["opacities"][:] = opacity
    assert_agrees(scene)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 40), (40, 1), (17, 15), (16, 8)])
def test_images_that_do_not_fill_their_tiles(width: int, height: int) -> None:
    scene = make_scene(60, 2, width, height)
    scene.Ks[:, 0, 0] = scene.Ks[:, 1, 1] = 40.0
    assert_agrees(scene, torch.rand(2, 3).double())


def test_non_finite_colors_propagate() -> None:
    scene = make_scene(10)
    scene.splats["colors"][:] = float("nan")
    result = evaluate(rasterization, scene, torch.float32)
    assert result.image.isnan().any()
    assert result.alphas.isfinite().all()


def test_arguments_need_not_be_contiguous() -> None:
    scene = make_scene(50, 2)
    expected = evaluate(rasterization, scene, torch.float32)
    strided = {
        name: torch.stack([t.float(), t.float()], dim=-1)[..., 0]
        for name, t in scene.splats.items()
    }
    viewmats = scene.viewmats.float().mT.contiguous().mT
    arguments: tuple[Tensor, ...] = (*strided.values(), viewmats, scene.Ks.float())
    image, _, _ = rasterization(*arguments, scene.width, scene.height)
    assert torch.equal(image, expected.image)
