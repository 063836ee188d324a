"""Clamped renderings: values, the one-sided gradient, and what a viewer would show."""

import pytest
import torch
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Orbit, turntable
from gs_esd.render.clamp import clamp_below, clamp_renderings
from gs_esd.render.renderings import Renderings, render
from gs_esd.splats.parameters import init_ball
from gs_esd.system.rng import stream

ORBIT = Orbit(distance=3.0, fov=0.7, elevation_min=0.0, elevation_max=0.5)
VALUES = torch.tensor([-0.5, 0.0, 0.3, 0.8, 1.7])
CEILING = torch.tensor([0.8])


def splats_of(brightness: float) -> ParameterDict:
    """Some large opaque Gaussians, of colours scaled about grey."""
    splats = init_ball(40, radius=0.8, opacity=0.9, sh_degree=1, generator=stream(0, "test"))
    for name in ("sh0", "shN"):
        splats[name].data = brightness * torch.randn(splats[name].shape, generator=stream(1, name))
    splats["scales"].data += 0.5
    return splats


def gradient_at(values: Tensor, gradient: Tensor) -> Tensor:
    values = values.clone().requires_grad_()
    clamp_below(values, CEILING).backward(gradient)
    assert values.grad is not None
    return values.grad


def test_values() -> None:
    expected = torch.tensor([0.0, 0.0, 0.3, 0.8, 0.8])
    assert torch.equal(clamp_below(VALUES, CEILING), expected)


def test_gradient_inside_passes() -> None:
    for sign in (1, -1):
        gradient = sign * torch.arange(1.0, 6.0)
        assert torch.equal(gradient_at(VALUES, gradient)[1:4], gradient[1:4])


def test_gradient_outside_passes_only_towards_the_range() -> None:
    below, above = 0, 4
    rising, falling = -torch.ones(5), torch.ones(5)  # a step is against the gradient
    assert gradient_at(VALUES, rising)[[below, above]].tolist() == [-1, 0]
    assert gradient_at(VALUES, falling)[[below, above]].tolist() == [0, 1]


def test_descent_returns_to_the_range_and_not_beyond_what_is_asked() -> None:
    values = VALUES.clone().requires_grad_()
    for _ in range(200):
        (gradient,) = torch.autograd.grad(
            (clamp_below(values, CEILING) - 0.4).square().sum(), values
        )
        values = (values - 0.05 * gradient).detach().requires_grad_()
    torch.testing.assert_close(values, torch.full((5,), 0.4), atol=1e-3, rtol=0)


def test_non_finite_values_stay_visible() -> None:
    assert clamp_below(torch.tensor([torch.nan]), CEILING).isnan().all()


@pytest.mark.parametrize("shade", [0.0, 0.5, 1.0])
def test_images_over_any_background_are_within_0_and_1(shade: float) -> None:
    with torch.no_grad():
        renderings = render(splats_of(6.0), turntable(4, 0.3, ORBIT, 24))
    assert float(renderings.over(torch.full((3,), shade)).max()) > 1.5
    image = clamp_renderings(renderings).over(torch.full((3,), shade))
    assert float(image.min()) >= 0
    assert float(image.max()) <= 1 + 1e-6


def test_renderings_of_colours_in_range_are_unchanged() -> None:
    splats = splats_of(0.1)
    renderings = render(splats, turntable(4, 0.3, ORBIT, 24))
    clamped = clamp_renderings(renderings)
    assert torch.equal(clamped.rgb, renderings.rgb)
    assert clamped.alpha is renderings.alpha
    assert clamped.info is renderings.info


def test_ceiling_gets_no_gradient() -> None:
    rgb = torch.full((1, 1, 1, 3), 0.9, requires_grad=True)
    alpha = torch.full((1, 1, 1, 1), 0.5, requires_grad=True)
    clamped = clamp_renderings(Renderings(rgb, alpha, {}))
    clamped.over(torch.zeros(3)).sum().backward()
    assert torch.equal(rgb.grad, torch.ones_like(rgb))  # type: ignore[arg-type]
    assert alpha.grad is None or not alpha.grad.any()
