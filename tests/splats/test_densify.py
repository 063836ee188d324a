"""Densification: growth and pruning, the cap, reproducible and resumable."""

import doctest
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from gsplat.strategy import DefaultStrategy
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import ParameterDict
from torch.optim import Optimizer

from gs_esd.cameras.orbit import Orbit, turntable
from gs_esd.config.options import (
    DefaultDensifyConfig,
    DensifyConfig,
    McmcDensifyConfig,
    NoDensifyConfig,
)
from gs_esd.errors import UserError
from gs_esd.render.renderings import render
from gs_esd.run.checkpoint import load_checkpoint, restore_splats, save_checkpoint, splats_state
from gs_esd.splats import densify
from gs_esd.splats.densify import Densifier, build_densifier, growth_threshold
from gs_esd.splats.parameters import create_optimizers, init_ball
from gs_esd.splats.relocation_cpu import relocation

STEPS = 24
RATES = {
    "means": 5e-3,
    "quats": 1e-2,
    "scales": 1e-2,
    "opacities": 3e-2,
    "sh0": 2e-2,
    "shN": 1e-3,
}
IMAGE = {"width": 16, "height": 16, "n_cameras": 1, "gaussian_ids": None}
DEFAULT = DefaultDensifyConfig(cap=130, every=4, start_fraction=0.1, stop_fraction=0.9)
MCMC = McmcDensifyConfig(cap=108, every=4, start_fraction=0.1, stop_fraction=0.9)
BOTH = pytest.mark.parametrize("config", [DEFAULT, MCMC], ids=["default", "mcmc"])


class Run:
    """Splats pulled to the middle of an image, without the cost of rendering."""

    def __init__(self, config: DensifyConfig, n: int = 100, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(0)
        self.splats = init_ball(n, radius=0.8, opacity=0.1, sh_degree=1, generator=generator)
        self.optimizers = create_optimizers(self.splats, RATES)
        self.densifier = build_densifier(
            config, self.splats, self.optimizers, STEPS, torch.Generator().manual_seed(seed)
        )

    def go(self, steps: range) -> "Run":
        for step in steps:
            means2d = 8 * self.splats["means"][None, :, :2]
            radii = torch.ones(means2d.shape, dtype=torch.int32)
            info = {"means2d": means2d, "radii": radii, **IMAGE}
            self.densifier.step_pre_backward(step, info)
            weight = sum(p.flatten(1).square().mean(1) for p in self.splats.values() if p.dim() > 1)
            ((1 + weight + self.splats["opacities"]) * means2d.square().sum(-1)).sum().backward()
            for optimizer in self.optimizers.values():
                optimizer.step()
                optimizer.zero_grad()
            self.densifier.step_post_backward(step, info)
        return self


def assert_same(a: ParameterDict, b: ParameterDict) -> None:
    assert all(torch.equal(parameter, b[name]) for name, parameter in a.items())


def info_with(gradients: Tensor) -> dict[str, Any]:
    """`info` of a rendering whose Gaussians have these positional gradients."""
    means2d = torch.zeros(1, len(gradients), 2)
    means2d.grad = torch.stack([gradients, torch.zeros_like(gradients)], dim=-1)[None]
    radii = torch.ones(1, len(gradients), 2, dtype=torch.int32)
    return {"means2d": means2d, "radii": radii, **IMAGE}


def small_splats(n: int) -> tuple[ParameterDict, dict[str, Optimizer]]:
    """Opaque Gaussians small enough to be duplicated, the i-th at x = i."""
    generator = torch.Generator().manual_seed(0)
    splats = init_ball(n, radius=0.8, opacity=0.5, sh_degree=0, generator=generator)
    splats["means"].data[:, 0] = torch.arange(float(n))
    splats["scales"].data.fill_(math.log(0.01))
    return splats, create_optimizers(splats, RATES)


def refine(config: DensifyConfig, n: int, change: dict[str, float] | None = None) -> ParameterDict:
    """Small splats after one refinement, gradients rising with the index.

    change: new raw value of the last Gaussian, by parameter.
    """
    splats, optimizers = small_splats(n)
    for name, value in (change or {}).items():
        splats[name].data[-1] = value
    densifier = build_densifier(config, splats, optimizers, 100, torch.Generator())
    densifier.step_post_backward(50, info_with(torch.arange(float(n))))
    return splats


def default_config(**changes: Any) -> DefaultDensifyConfig:
    return DefaultDensifyConfig(
        **{"cap": 100, "every": 50, "start_fraction": 0.1, "stop_fraction": 0.9, **changes}
    )


@BOTH
def test_sizes_consistent_and_below_cap(config: Any) -> None:
    run = Run(config)
    numbers = set()
    for step in range(STEPS):
        run.go(range(step, step + 1))
        n = len(run.splats["means"])
        numbers.add(n)
        assert n <= config.cap
        for name, parameter in run.splats.items():
            assert len(parameter) == n
            (optimized,) = run.optimizers[name].param_groups[0]["params"]
            assert optimized is parameter
            assert list(run.optimizers[name].state) == [parameter]
            state = run.optimizers[name].state[parameter]
            assert state["exp_avg"].shape == state["exp_avg_sq"].shape == parameter.shape
    assert max(numbers) == config.cap
    assert len(numbers) > 2


@BOTH
def test_reproducible_without_global_generator(config: Any) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = Run(config).go(range(STEPS))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert_same(first.splats, Run(config).go(range(STEPS)).splats)
    other = Run(config, seed=1).go(range(STEPS))
    assert not torch.equal(first.splats["means"], other.splats["means"])


@BOTH
@pytest.mark.parametrize("pause", [6, 13])
def test_resume_bit_identical(tmp_path: Path, config: Any, pause: int) -> None:
    run = Run(config).go(range(pause))
    state = {
        "particle": splats_state(run.splats, run.optimizers),
        "densifier": run.densifier.state_dict(),
    }
    save_checkpoint(tmp_path / "last.pt", state)
    run.go(range(pause, STEPS))
    saved = load_checkpoint(tmp_path / "last.pt")
    resumed = Run(config, n=30, seed=5)
    restore_splats(resumed.splats, resumed.optimizers, saved["particle"])
    resumed.densifier.load_state_dict(saved["densifier"])
    resumed.go(range(pause, STEPS))
    assert_same(run.splats, resumed.splats)


@BOTH
def test_info_of_renderer_accepted(config: Any) -> None:
    splats, optimizers = small_splats(20)
    densifier = build_densifier(config, splats, optimizers, STEPS, torch.Generator())
    renderings = render(splats, turntable(2, 0.3, Orbit(40.0, 0.7, 0.0, 0.5), 16))
    densifier.step_pre_backward(4, renderings.info)
    renderings.rgb.square().sum().backward()
    densifier.step_post_backward(4, renderings.info)
    assert len(splats["means"]) > 20


def test_no_densification() -> None:
    run = Run(NoDensifyConfig())
    assert type(run.densifier) is Densifier
    assert run.densifier.state_dict() == {}
    assert len(run.go(range(STEPS)).splats["means"]) == 100


def test_grow_by_quantile() -> None:
    x = refine(default_config(grow_quantile=0.7), 11)["means"][:, 0]
    assert x.tolist() == [*range(11), 8, 9, 10]


def test_grow_limited_by_cap() -> None:
    x = refine(default_config(grow_quantile=0.2, cap=13), 11)["means"][:, 0]
    assert x.tolist() == [*range(11), 9, 10]
    assert len(refine(default_config(grow_quantile=0.2, cap=11), 11)["means"]) == 11


def test_split_large_and_duplicate_small() -> None:
    change = {"scales": math.log(0.1)}
    splats = refine(default_config(grow_quantile=0.85), 11, change)
    assert splats["means"][:11, 0].tolist() == [*range(10), 9]
    torch.testing.assert_close(splats["scales"][-2:].exp(), torch.full((2, 3), 0.1 / 1.6))
    assert (splats["means"][-2:, 0] - 10).abs().max() < 0.5
    assert not torch.equal(splats["means"][-2], splats["means"][-1])


@pytest.mark.parametrize("change", [{"opacities": -9.0}, {"scales": 0.0}])
def test_prune_transparent_and_large(change: dict[str, float]) -> None:
    x = refine(default_config(grow_quantile=1.0), 5, change)["means"][:, 0]
    assert x.tolist() == [0, 1, 2, 3]


def test_no_opacity_reset() -> None:
    splats, optimizers = small_splats(10)
    before = splats["opacities"].detach().clone()
    config = default_config(grow_quantile=1.0, every=1)
    densifier = build_densifier(config, splats, optimizers, 100, torch.Generator())
    for step in range(100):
        densifier.step_post_backward(step, info_with(torch.zeros(10)))
    assert torch.equal(splats["opacities"], before)


@BOTH
def test_all_transparent_error(config: Any) -> None:
    run = Run(config)
    run.splats["opacities"].data.fill_(-20.0)
    with pytest.raises(UserError, match=r"transparent.*densify=none"):
        run.go(range(STEPS))
    assert len(run.splats["means"]) > 0


@settings(deadline=None)
@given(
    gradients=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0]), min_size=1, max_size=30),
    quantile=st.floats(0, 1),
    room=st.integers(-3, 40),
)
def test_growth_threshold_with_ties(gradients: list[float], quantile: float, room: int) -> None:
    values = torch.tensor(gradients)
    above = int((values > growth_threshold(values, quantile, room)).sum())
    assert above <= max(0, room)
    assert above <= math.ceil((1 - quantile) * len(gradients) + 1e-4)


@pytest.mark.parametrize("n", [1, 2, 7, 51])
@pytest.mark.parametrize("opacity", [0.01, 0.5, 0.99, 1 - 2e-7])
def test_relocation_equation_9(n: int, opacity: float) -> None:
    o = torch.tensor([opacity], dtype=torch.float64)
    new, scales = relocation(
        o, torch.ones(1, 3, dtype=torch.float64), torch.tensor([n]), torch.zeros(51, 51)
    )
    o_new = 1 - (1 - opacity) ** (1 / n)
    terms = [
        math.comb(i - 1, k) * (-1) ** k / math.sqrt(k + 1) * o_new ** (k + 1)
        for i in range(1, n + 1)
        for k in range(i)
    ]
    assert new.item() == pytest.approx(o_new, rel=1e-12)
    assert scales.tolist() == [pytest.approx([opacity / math.fsum(terms)] * 3, rel=1e-9)]


def test_relocation_finite_at_full_opacity() -> None:
    ratios = torch.tensor([1, 2, 51, 60])
    opacities, scales = relocation(torch.ones(4), torch.ones(4, 3), ratios, torch.zeros(51, 51))
    assert opacities.isfinite().all()
    assert ((scales > 0) & (scales <= 1.0001)).all()


def test_relocation_of_transparent_gaussians() -> None:
    splats, optimizers = small_splats(10)
    splats["opacities"].data[:4] = -9.0
    config = McmcDensifyConfig(cap=10, every=50, noise=0.0)
    densifier = build_densifier(config, splats, optimizers, 100, torch.Generator())
    densifier.step_post_backward(50, {})
    assert len(splats["means"]) == 10
    assert set(splats["means"][:, 0].tolist()) <= set(range(4, 10))
    assert (splats["opacities"].sigmoid() > config.prune_opacity).all()


@BOTH
def test_initial_count_above_cap_error(config: Any) -> None:
    with pytest.raises(UserError, match=f"200 Gaussians, more than densify.cap={config.cap}"):
        Run(config, n=200)


@pytest.mark.parametrize("cameras", [1, 3])
def test_gradient_sums_match_gsplat(cameras: int) -> None:
    generator = torch.Generator().manual_seed(0)
    ours: dict[str, Any] = {"grad2d": None, "count": None}
    theirs: dict[str, Any] = {"grad2d": None, "count": None, "radii": None}
    strategy = Run(DEFAULT).densifier.strategy  # type: ignore[attr-defined]
    params = ParameterDict({"means": torch.zeros(50, 3)})
    for _ in range(3):
        means2d = torch.zeros(cameras, 50, 2)
        means2d.grad = torch.randn(cameras, 50, 2, generator=generator)
        radii = torch.randint(0, 3, (cameras, 50, 2), generator=generator)
        image = {"width": 48, "height": 32, "n_cameras": cameras, "gaussian_ids": None}
        info = {"means2d": means2d, "radii": radii, **image}
        strategy._update_state(params, ours, info)
        DefaultStrategy()._update_state(params, theirs, info)
    torch.testing.assert_close(ours["grad2d"], theirs["grad2d"])
    assert torch.equal(ours["count"], theirs["count"])
    assert 0 < int((ours["count"] == 0).sum()) < 50 or cameras == 3


def test_docstring_example() -> None:
    assert doctest.testmod(densify) == (0, 5)
