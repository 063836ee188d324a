"""Parameters of splats, their activation and their optimisers."""

import math

import pytest
import torch
from torch.nn import ParameterDict

from gs_esd.splats.parameters import SH_Y0, activate, create_optimizers, init_ball

KEYS = ("means", "quats", "scales", "opacities", "sh0", "shN")


def _ball(n: int = 4000, sh_degree: int = 0) -> ParameterDict:
    generator = torch.Generator().manual_seed(0)
    return init_ball(n, radius=0.8, opacity=0.1, sh_degree=sh_degree, generator=generator)


@pytest.mark.parametrize("sh_degree", [0, 1, 2, 3])
def test_init_ball_keys_shapes_and_degree(sh_degree: int) -> None:
    splats = _ball(7, sh_degree)
    k = (sh_degree + 1) ** 2
    shapes = [(7, 3), (7, 4), (7, 3), (7,), (7, 1, 3), (7, k - 1, 3)]
    assert {name: tuple(p.shape) for name, p in splats.items()} == dict(
        zip(KEYS, shapes, strict=True)
    )
    activated = activate(splats)
    assert activated.sh_degree == sh_degree
    assert activated.colors.shape == (7, k, 3)


def test_init_ball_uniform_density() -> None:
    splats = _ball()
    radius = splats["means"].detach().norm(dim=-1) / 0.8
    assert radius.max() <= 1 + 1e-6
    uniform = (torch.arange(4000) + 0.5) / 4000
    torch.testing.assert_close(radius.pow(3).sort().values, uniform, atol=0.03, rtol=0)
    torch.testing.assert_close(splats["means"].detach().mean(0), torch.zeros(3), atol=0.02, rtol=0)


def test_init_ball_opacity_scale_and_color() -> None:
    activated = activate(_ball())
    torch.testing.assert_close(activated.opacities, torch.full((4000,), 0.1))
    torch.testing.assert_close(activated.scales, torch.full((4000, 3), 0.4 * 4000 ** (-1 / 3)))
    torch.testing.assert_close(activated.quats.norm(dim=-1), torch.ones(4000))
    rgb = 0.5 + SH_Y0 * activated.colors[:, 0]
    torch.testing.assert_close(rgb.mean(0), torch.full((3,), 0.5), atol=0.01, rtol=0)
    torch.testing.assert_close(rgb.std(0), torch.full((3,), 0.1), atol=0.01, rtol=0)


def test_init_ball_reproducible() -> None:
    once, again = _ball(), _ball()
    assert all(torch.equal(once[name], again[name]) for name in KEYS)


def test_activate_values() -> None:
    splats = _ball(5, sh_degree=1)
    with torch.no_grad():
        splats["scales"].copy_(torch.linspace(-3, 1, 15).view(5, 3))
        splats["opacities"].copy_(torch.tensor([-20.0, -1, 0, 1, 20]))
        splats["shN"].normal_(generator=torch.Generator().manual_seed(0))
    activated = activate(splats)
    torch.testing.assert_close(activated.scales.log(), splats["scales"].detach())
    assert ((activated.opacities >= 0) & (activated.opacities <= 1)).all()
    assert activated.opacities[2] == 0.5
    torch.testing.assert_close(
        activated.opacities[3] / (1 - activated.opacities[3]), torch.tensor(math.e)
    )
    assert torch.equal(activated.colors[:, :1], splats["sh0"])
    assert torch.equal(activated.colors[:, 1:], splats["shN"])


def test_activate_gradients() -> None:
    splats = _ball(3, sh_degree=1)
    activated = activate(splats)
    values = (
        activated.means,
        activated.quats,
        activated.scales,
        activated.opacities,
        activated.colors,
    )
    torch.stack([value.sum() for value in values]).sum().backward()
    assert all((splats[name].grad != 0).all() for name in KEYS)


def test_create_optimizers_learning_rates() -> None:
    splats = _ball(3, sh_degree=1)
    rates = {name: 10.0**-i for i, name in enumerate(KEYS)}
    optimizers = create_optimizers(splats, rates)
    assert set(optimizers) == set(KEYS)
    for name, optimizer in optimizers.items():
        before = {key: p.detach().clone() for key, p in splats.items()}
        for parameter in splats.values():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        for key, parameter in splats.items():  # Adam's first step is the rate itself
            moved = rates[name] if key == name else 0.0
            expected = torch.full_like(parameter, -moved)
            torch.testing.assert_close(
                parameter.detach() - before[key], expected, atol=1e-6, rtol=1e-3
            )
        assert [group["name"] for group in optimizer.param_groups] == [name]
