"""Regularisers: formulas, gradients, and how they are added to those of distillation."""

import math
from collections.abc import Callable
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Orbit, turntable
from gs_esd.config.regularizers import RegularizersConfig
from gs_esd.guidance import regularizers as r
from gs_esd.render.renderings import Renderings, render
from gs_esd.splats.parameters import activate, init_ball
from gs_esd.system.rng import stream

ORBIT = Orbit(distance=3.0, fov=0.7, elevation_min=0.0, elevation_max=0.5)
CAMERAS = turntable(3, 0.3, ORBIT, 16)
WHITE = torch.ones(3)
NAMES = [entry.name for entry in fields(RegularizersConfig) if entry.name != "max_scale_ratio"]
OF_IMAGES = {"sparsity", "opaque", "tv_color", "tv_depth"}


def ball() -> ParameterDict:
    splats = init_ball(30, radius=0.8, opacity=0.4, sh_degree=0, generator=stream(0, "test"))
    splats["scales"].data += torch.randn(30, 3, generator=stream(1, "test"))
    return splats


def only(name: str, weight: float = 1.0, bound: float = 2.0) -> RegularizersConfig:
    return replace(RegularizersConfig(max_scale_ratio=bound), **{name: weight})


def add(
    config: RegularizersConfig, splats: ParameterDict, share: float = 1.0
) -> tuple[Renderings, dict[str, float]]:
    renderings = render(splats, CAMERAS, with_depth=config.tv_depth > 0)
    scalars = r.add_gradients(config, splats, renderings, renderings.over(WHITE), share)
    return renderings, {name: float(value) for name, value in scalars.items()}


def gradients(splats: ParameterDict) -> dict[str, Tensor]:
    return {
        name: torch.zeros_like(each) if each.grad is None else each.grad.clone()
        for name, each in splats.items()
    }


@pytest.fixture
def gaussians() -> r.Activated:
    splats = init_ball(2, radius=0.5, opacity=0.5, sh_degree=0, generator=stream(0, "test"))
    splats["means"].data = torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.0, 1.0]])
    splats["scales"].data = torch.tensor([[2.0, 1.0, 2.0], [0.1, 0.1, 1.6]]).log()
    splats["opacities"].data = torch.tensor([0.25, 0.5]).logit()
    with torch.no_grad():
        return activate(splats)


def test_formulas_of_gaussians(gaussians: r.Activated) -> None:
    assert float(r.position(gaussians).detach()) == pytest.approx((5 + 1) / 2)
    assert float(r.scale(gaussians)) == pytest.approx((2 + 1 + 2 + 0.1 + 0.1 + 1.6) / 6)
    sizes = 3.0, math.sqrt(0.01 + 0.01 + 2.56)
    assert float(r.opacity(gaussians)) == pytest.approx((0.25 * sizes[0] + 0.5 * sizes[1]) / 2)
    assert float(r.scale_ratio(gaussians, 10.0)) == pytest.approx((0 + 6) / 2, rel=1e-5)
    assert float(r.scale_ratio(gaussians, 17.0)) == 0


def test_formulas_of_alpha() -> None:
    alpha = torch.tensor([0.0, 0.5, 1.0]).reshape(1, 1, 3, 1)
    expected = (0.1 + math.sqrt(0.26) + math.sqrt(1.01)) / 3
    assert float(r.sparsity(alpha)) == pytest.approx(expected)
    sure = -(1e-3 * math.log(1e-3) + 0.999 * math.log(0.999))
    assert float(r.opaque(alpha)) == pytest.approx((2 * sure + math.log(2)) / 3, rel=1e-5)


def test_gradients_of_alpha() -> None:
    a = torch.tensor([0.0, 0.2, 0.6, 1.0]).reshape(1, 1, 4, 1).requires_grad_()
    (of_sparsity,) = torch.autograd.grad(r.sparsity(a), a)
    torch.testing.assert_close(of_sparsity, a.detach() / (a.detach() ** 2 + 0.01).sqrt() / 4)
    (of_opaque,) = torch.autograd.grad(r.opaque(a), a)
    expected = torch.tensor([0.0, math.log(4), math.log(2 / 3), 0.0]) / 4
    torch.testing.assert_close(of_opaque.flatten(), expected)


def test_total_variation_is_that_of_threestudio() -> None:
    images = torch.rand(2, 5, 7, 3, generator=stream(0, "test"))
    x = images.permute(0, 3, 1, 2)
    down = (x[:, :, 1:] - x[:, :, :-1]).pow(2).sum() / (3 * 4 * 7)
    across = (x[..., 1:] - x[..., :-1]).pow(2).sum() / (3 * 5 * 6)
    torch.testing.assert_close(r.total_variation(images), 2 * (down + across) / 2)
    assert float(r.total_variation(torch.ones(1, 4, 4, 1))) == 0


def test_depth_is_behind_the_plane_through_the_origin() -> None:
    splats = init_ball(1, radius=0.1, opacity=0.5, sh_degree=0, generator=stream(0, "test"))
    splats["means"].data = torch.tensor([[0.5, 0.0, 0.0]])
    splats["scales"].data.fill_(math.log(0.2))
    depth = render(splats, turntable(2, 0.0, ORBIT, 17), with_depth=True)
    front, back = 0, 1
    alpha = depth.alpha[:, 8, 8, 0]
    assert depth.depth is not None
    at_centre = depth.depth[:, 8, 8, 0]
    torch.testing.assert_close(at_centre[front], -0.5 * alpha[front], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(at_centre[back], 0.5 * alpha[back], atol=1e-5, rtol=1e-4)
    assert float(depth.depth[:, 0, 0].abs().max()) == 0


def test_rendering_depth_changes_no_colour() -> None:
    splats = ball()
    plain, deep = render(splats, CAMERAS), render(splats, CAMERAS, with_depth=True)
    assert plain.depth is None
    torch.testing.assert_close(deep.rgb, plain.rgb, atol=1e-6, rtol=0)
    assert torch.equal(deep.alpha, plain.alpha)


# What each loss should do to the parameters it is about, by finite differences.
PARAMETERS = {
    "opacity": "opacities",
    "scale": "scales",
    "scale_ratio": "scales",
    "position": "means",
    "sparsity": "opacities",
    "opaque": "opacities",
    "tv_color": "sh0",
    "tv_depth": "means",
}


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_the_weighted_loss(name: str) -> None:
    splats, config = ball(), only(name, weight=3.0)
    add(config, splats)
    parameter = splats[PARAMETERS[name]]
    assert parameter.grad is not None
    direction = parameter.grad / parameter.grad.norm()
    slope = float((parameter.grad * direction).sum())
    losses, kept = [], parameter.data.clone()
    for step in (1e-2, -1e-2):
        parameter.data = kept + step * direction
        losses.append(3.0 * add(config, splats)[1][f"loss_{name}"])
    # Alpha jumps where a Gaussian's passes 1/255, which the logarithm of `opaque` amplifies.
    rel = 0.1 if name == "opaque" else 0.03
    assert slope == pytest.approx((losses[0] - losses[1]) / 2e-2, rel=rel)


def test_opacity_leaves_sizes_to_others() -> None:
    splats = ball()
    add(only("opacity"), splats)
    assert not gradients(splats)["scales"].any()


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_of_0_is_not_computed(name: str) -> None:
    splats = ball()
    _, scalars = add(only(name), splats)
    assert scalars.keys() == {f"loss_{name}"}


def test_weights_of_0_compute_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    splats = ball()
    renderings = render(splats, CAMERAS)

    def refuse(splats: ParameterDict) -> r.Activated:
        raise AssertionError("parameters were activated")

    monkeypatch.setattr(r, "activate", refuse)
    config = RegularizersConfig()
    assert r.add_gradients(config, splats, renderings, renderings.over(WHITE), 1.0) == {}
    assert all(each.grad is None for each in splats.values())


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_added_to_those_of_distillation(name: str) -> None:
    both, alone, penalised = ball(), ball(), ball()
    weights = torch.randn(3, 16, 16, 3, generator=stream(2, "test"))
    renderings, _ = add(only(name), both)
    renderings.over(WHITE).backward(weights)
    distilled = render(alone, CAMERAS)
    distilled.over(WHITE).backward(weights)
    add(only(name), penalised)
    for key, total in gradients(both).items():
        expected = gradients(alone)[key] + gradients(penalised)[key]
        torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-5)
    # Densification's statistics are those of distillation.
    torch.testing.assert_close(
        renderings.info["means2d"].grad, distilled.info["means2d"].grad, rtol=1e-4, atol=1e-6
    )
    assert any(gradients(penalised)[key].any() for key in penalised)


def test_shares_of_processes_sum_to_the_whole() -> None:
    whole, halves = ball(), [ball(), ball()]
    config = replace(RegularizersConfig(max_scale_ratio=2.0), **dict.fromkeys(NAMES, 1.0))
    cameras = turntable(4, 0.3, ORBIT, 16)
    for splats, part, share in (
        (whole, slice(0, 4), 1.0),
        (halves[0], slice(0, 2), 0.5),
        (halves[1], slice(2, 4), 0.5),
    ):
        renderings = render(splats, cameras[part], with_depth=True)
        r.add_gradients(config, splats, renderings, renderings.over(WHITE), share)
    for name, expected in gradients(whole).items():
        total = sum(gradients(half)[name] for half in halves)
        torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-6)


MEASURES: dict[str, Callable[[ParameterDict], float]] = {
    "opacity": lambda splats: float(activate(splats).opacities.mean()),
    "scale": lambda splats: float(activate(splats).scales.mean()),
    "scale_ratio": lambda splats: float(
        (activate(splats).scales.amax(1) / activate(splats).scales.amin(1)).max()
    ),
    "position": lambda splats: float(splats["means"].norm(dim=1).mean()),
    "sparsity": lambda splats: float(render(splats, CAMERAS).alpha.mean()),
    "opaque": lambda splats: float((render(splats, CAMERAS).alpha - 0.5).abs().mean().neg()),
    "tv_color": lambda splats: float(r.total_variation(render(splats, CAMERAS).over(WHITE))),
    "tv_depth": lambda splats: float(r.depth_variation(render(splats, CAMERAS, with_depth=True))),
}


@pytest.mark.parametrize("name", NAMES)
def test_descent_lowers_what_is_penalised(name: str) -> None:
    splats = ball()
    before = MEASURES[name](splats)
    optimizer = torch.optim.Adam(splats.values(), lr=1e-2)
    for _ in range(15):
        optimizer.zero_grad()
        add(only(name), splats)
        optimizer.step()
    assert MEASURES[name](splats) < before - 1e-3 * abs(before)
