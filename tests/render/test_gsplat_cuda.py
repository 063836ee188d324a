"""gsplat's CUDA kernels against the CPU's: images, gradients, and densification on both."""

from typing import Any

import pytest
import torch
from gsplat.strategy import MCMCStrategy
from torch import Tensor

from gs_esd.cameras.orbit import Orbit, turntable
from gs_esd.config.options import DefaultDensifyConfig, McmcDensifyConfig
from gs_esd.render import gsplat_build
from gs_esd.render.cpu.rasterization import rasterization
from gs_esd.render.renderings import render
from gs_esd.splats.densify import build_densifier
from gs_esd.splats.parameters import create_optimizers, init_ball
from gs_esd.splats.relocation_cpu import covariances, relocation
from tests.helpers.rasterization_scenes import evaluate, make_scene, relative_error, with_harmonics

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]

IMAGE, GRADIENT = 1e-3, 5e-3
"""Tolerances: of all but a share EDGE of the pixels, and relative to the largest gradient.
gsplat is compiled with fast-math: whether an alpha reaches 1/255 may differ by rounding."""
EDGE = 1e-3


def on_cuda(**arguments: Any) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """gsplat, from tensors on the CPU to an image there."""
    moved = {name: a.cuda() if isinstance(a, Tensor) else a for name, a in arguments.items()}
    image, alphas, info = gsplat_build.load().rasterization(packed=False, **moved)
    return image.cpu(), alphas.cpu(), info


def assert_images_agree(found: Tensor, expected: Tensor) -> None:
    apart = (found - expected).abs()
    assert float((apart > IMAGE).float().mean()) <= EDGE
    assert float(apart.mean()) < IMAGE / 10


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rasterize_mode": "antialiased"},
        {"render_mode": "RGB+ED"},
        {"absgrad": True},
        {"sh_degree": 0},
        {"sh_degree": 3},
        {"sh_degree": 3, "rasterize_mode": "antialiased", "absgrad": True},
    ],
)
@pytest.mark.parametrize("cameras", [1, 3])
def test_images_and_gradients_agree(options: dict[str, Any], cameras: int) -> None:
    scene = make_scene(300, cameras, 80, 64)
    if "sh_degree" in options:
        scene = with_harmonics(scene, (options["sh_degree"] + 1) ** 2)
    ours = evaluate(rasterization, scene, torch.float32, **options)
    theirs = evaluate(on_cuda, scene, torch.float32, **options)
    assert_images_agree(theirs.image, ours.image)
    assert_images_agree(theirs.alphas, ours.alphas)
    for name, gradient in ours.gradients.items():
        assert relative_error(theirs.gradients[name], gradient) < GRADIENT, name
    assert torch.equal((theirs.info["radii"].cpu() > 0).all(-1), (ours.info["radii"] > 0).all(-1))
    grads = [result.info["means2d"].grad.cpu() for result in (theirs, ours)]
    assert relative_error(*grads) < GRADIENT
    if options.get("absgrad"):
        absolute = [result.info["means2d"].absgrad.cpu() for result in (theirs, ours)]
        assert relative_error(*absolute) < GRADIENT


def test_render_agrees_on_both_devices() -> None:
    splats = init_ball(
        200, radius=0.8, opacity=0.4, sh_degree=2, generator=torch.Generator().manual_seed(0)
    )
    orbit = Orbit(distance=3.0, fov=0.7, elevation_min=0.0, elevation_max=0.5)
    cameras, white = turntable(4, 0.3, orbit, 64), torch.ones(3)
    ours = render(splats, cameras).over(white).detach()
    theirs = render(splats.cuda(), cameras.to("cuda")).over(white.cuda()).detach().cpu()
    assert_images_agree(theirs, ours)
    ours, theirs = (
        render(there, seen, with_depth=True).depth
        for there, seen in ((splats, cameras), (splats.cuda(), cameras.to("cuda")))
    )
    assert_images_agree(theirs.detach().cpu(), ours.detach())


def test_relocation_agrees() -> None:
    generator = torch.Generator().manual_seed(0)
    opacities = 0.98 * torch.rand(64, generator=generator) + 0.01
    scales = torch.rand(64, 3, generator=generator)
    ratios = torch.randint(1, 20, (64,), generator=generator, dtype=torch.int32)
    binoms = MCMCStrategy().initialize_state()["binoms"]
    ours = relocation(opacities, scales, ratios, binoms)
    theirs = relocation(opacities.cuda(), scales.cuda(), ratios.cuda(), binoms.cuda())
    for a, b in zip(theirs, ours, strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=1e-3, atol=1e-5)
    quats = torch.randn(64, 4, generator=generator)
    spread, _ = covariances(quats, scales, compute_preci=False)
    there, _ = covariances(quats.cuda(), scales.cuda(), compute_preci=False)
    assert spread is not None
    assert there is not None
    torch.testing.assert_close(there.cpu(), spread, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("config", [DefaultDensifyConfig(cap=150), McmcDensifyConfig(cap=150)])
def test_strategies_add_gaussians_on_a_gpu(
    config: DefaultDensifyConfig | McmcDensifyConfig,
) -> None:
    config.every, config.start_fraction, config.stop_fraction = 4, 0.0, 1.0
    generator = torch.Generator().manual_seed(0)
    splats = init_ball(100, radius=0.8, opacity=0.4, sh_degree=1, generator=generator).cuda()
    optimizers = create_optimizers(splats, dict.fromkeys(splats, 1e-3))
    densifier = build_densifier(config, splats, optimizers, 24, generator)
    orbit = Orbit(distance=3.0, fov=0.7, elevation_min=0.0, elevation_max=0.5)
    cameras = turntable(4, 0.3, orbit, 64).to("cuda")
    for step in range(24):
        renderings = render(splats, cameras)
        densifier.step_pre_backward(step, renderings.info)
        renderings.over(torch.ones(3).cuda()).square().sum().backward()
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        densifier.step_post_backward(step, renderings.info)
    assert 100 < len(splats["means"]) <= 150
    assert all(bool(parameter.isfinite().all()) for parameter in splats.values())
