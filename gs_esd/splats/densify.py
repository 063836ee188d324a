"""Densification: gsplat's strategies add and remove Gaussians, on CPU and CUDA tensors.

Notation
    N       number of Gaussians
    info    what `gs_esd.render.renderings.render` returns besides the images of the step

This module decides what to grow (by a quantile and a cap instead of absolute thresholds), what to
prune, and where random numbers come from; gsplat edits the parameters and the optimiser state.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from gsplat.strategy import DefaultStrategy, MCMCStrategy
from gsplat.strategy.ops import remove
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import ParameterDict
from torch.optim import Optimizer

from gs_esd.config.options import (
    DefaultDensifyConfig,
    DensifyConfig,
    McmcDensifyConfig,
    NoDensifyConfig,
)
from gs_esd.errors import UserError
from gs_esd.splats.relocation_cpu import patch_gsplat


@dataclass
class QuantileStrategy(DefaultStrategy):
    """gsplat's DefaultStrategy that grows by rank, never above a cap, and always prunes by size.

    Absolute thresholds on the gradient, as in gsplat, differ 500-fold between systems and with the
    guidance scale. Here `grow_grad2d` is set anew at every refinement, to the quantile
    `grow_quantile` of the gradients or to what fills the cap, whichever is more. Gaussians with a
    standard deviation above `prune_scale3d` are removed at any refinement; gsplat waits for a first
    opacity reset.

    Args:
        cap: Gaussians that there are at most. Default is 10_000.
        grow_quantile: in [0, 1]; Gaussians whose gradient of the projected position is above this
            quantile are duplicated or split. Default is 0.9.
        grow_scale3d: of those that grow, Gaussians with a standard deviation, in world units, of at
            most this are duplicated, larger ones split. Default is gsplat's 0.01.
        prune_opa: Gaussians of an opacity below this are removed. Default is gsplat's 0.005.
        prune_scale3d: Gaussians with a standard deviation, in world units, above this are removed.
            Default is gsplat's 0.1.
        refine_start_iter: refinement begins after this step. Default is gsplat's 500.
        refine_stop_iter: it ends before this step. Default is gsplat's 15_000.
        refine_every: steps from one refinement to the next. Default is gsplat's 100.
        reset_every: steps from one opacity reset to the next. Default is gsplat's 3000.
        pause_refine_after_reset, revised_opacity, verbose: as in gsplat.
        grow_grad2d: overwritten at every refinement.
        refine_scale2d_stop_iter: must stay 0: sizes on the image are not recorded. So
            `grow_scale2d` and `prune_scale2d` have no effect.
        absgrad, key_for_gradient: must stay as they are: gradients are those of "means2d".

    Example:
        >>> from gs_esd.splats.parameters import create_optimizers, init_ball
        >>> splats = init_ball(
        ...     100, radius=0.8, opacity=0.1, sh_degree=0, generator=torch.Generator()
        ... )
        >>> optimizers = create_optimizers(splats, dict.fromkeys(splats, 1e-3))
        >>> strategy = QuantileStrategy(cap=200, grow_quantile=0.8)
        >>> densifier = StrategyDensifier(strategy, splats, optimizers, torch.Generator())
        >>> for step in range(1000):  # doctest: +SKIP
        ...     renderings = render(splats, cameras)
        ...     densifier.step_pre_backward(step, renderings.info)
        ...     loss(renderings).backward()
        ...     for optimizer in optimizers.values():
        ...         optimizer.step()
        ...     densifier.step_post_backward(step, renderings.info)
    """

    cap: int = 10_000
    grow_quantile: float = 0.9

    @torch.no_grad()
    def _update_state(
        self,
        params: ParameterDict,
        state: dict[str, Any],
        info: dict[str, Any],
        packed: bool = False,
    ) -> None:
        """gsplat's sums, over all Gaussians: selecting the visible ones would sync with the GPU."""
        visible = (info["radii"] > 0).all(dim=-1)  # [C, N]
        across, down = info["means2d"].grad.unbind(-1)  # per pixel; gsplat's unit is half an image
        norms = info["n_cameras"] / 2 * torch.hypot(info["width"] * across, info["height"] * down)
        for name, numbers in (("grad2d", norms * visible), ("count", visible)):
            total = numbers.float().sum(0)
            state[name] = total if state[name] is None else state[name] + total

    @torch.no_grad()
    def _grow_gs(
        self,
        params: ParameterDict,
        optimizers: dict[str, Optimizer],
        state: dict[str, Any],
        step: int,
    ) -> tuple[int, int]:
        gradients = state["grad2d"] / state["count"].clamp_min(1)
        room = self.cap - len(gradients)
        self.grow_grad2d = growth_threshold(gradients, self.grow_quantile, room)
        return super()._grow_gs(params, optimizers, state, step)

    @torch.no_grad()
    def _prune_gs(
        self,
        params: ParameterDict,
        optimizers: dict[str, Optimizer],
        state: dict[str, Any],
        step: int,
    ) -> int:
        transparent = params["opacities"].sigmoid() < self.prune_opa
        size = params["scales"].exp().amax(dim=-1)
        prune_mask = transparent | (size > self.prune_scale3d * state["scene_scale"])
        _check_some_left(prune_mask)
        if prune_mask.any():
            remove(params=params, optimizers=optimizers, state=state, mask=prune_mask)
        return int(prune_mask.sum())


@dataclass
class RelocationStrategy(MCMCStrategy):
    """gsplat's MCMCStrategy, also on CPU tensors.

    Fields are gsplat's: `cap_max`, `noise_lr` and so on. Raises UserError where every Gaussian is
    transparent and none is left to relocate to.
    """

    def __post_init__(self) -> None:
        patch_gsplat()

    def step_post_backward(
        self,
        params: ParameterDict,
        optimizers: dict[str, Optimizer],
        state: dict[str, Any],
        step: int,
        info: dict[str, Any],
    ) -> None:
        """gsplat's, with the learning rate of the means now, which scales the random walk."""
        learning_rate = optimizers["means"].param_groups[0]["lr"]
        super().step_post_backward(params, optimizers, state, step, info, lr=learning_rate)

    def _relocate_gs(
        self, params: ParameterDict, optimizers: dict[str, Optimizer], binoms: Tensor
    ) -> int:
        _check_some_left(params["opacities"].sigmoid() <= self.min_opacity)
        return super()._relocate_gs(params, optimizers, binoms)


def growth_threshold(gradients: Float[Tensor, " N"], quantile: float, room: int) -> float:
    """Threshold that at most `room` gradients are above, however many are equal.

    Args:
        gradients: of the projected positions; each Gaussian above the threshold becomes two.
        quantile: in [0, 1]; the threshold is at least this quantile of the gradients.
        room: Gaussians that may be added; the threshold is infinite where it is 0 or less.
    """
    if room <= 0:
        return math.inf
    threshold = gradients.quantile(quantile).item()
    if room < len(gradients):
        threshold = max(threshold, gradients.topk(room + 1).values[-1].item())
    return threshold


class Densifier:
    """Keeps the number of Gaussians as it is; `StrategyDensifier` changes it.

    A training step: render, `step_pre_backward`, backward, optimisers, `step_post_backward`. After
    the optimisers, because new parameters have no gradient and would miss the step.
    """

    def step_pre_backward(self, step: int, info: dict[str, Any]) -> None:
        """Prepare to record gradients; call it between rendering and the backward pass.

        Args:
            step: number of the training step, from 0.
            info: of the step's renderings.
        """

    def step_post_backward(self, step: int, info: dict[str, Any]) -> None:
        """Record gradients and refine; call it after the optimisers' step.

        May replace parameters and optimiser state.

        Args:
            step: number of the training step, from 0.
            info: of the step's renderings, after the backward pass.

        Raises:
            UserError: no Gaussian would be left.
        """

    def refines(self, step: int) -> bool:
        """Whether `step_post_backward` may add, move or remove Gaussians at this step."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, from which a resumed run continues bit for bit."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


class StrategyDensifier(Densifier):
    """Applies a gsplat strategy to splats and their optimisers, in place.

    Args:
        strategy: what to grow and to remove.
        splats: raw parameters.
        optimizers: one a parameter, under the same keys.
        generator: on the CPU, of the strategy's random numbers; torch's global generators are left
            as they were.
    """

    def __init__(
        self,
        strategy: QuantileStrategy | RelocationStrategy,
        splats: ParameterDict,
        optimizers: dict[str, Optimizer],
        generator: torch.Generator,
    ) -> None:
        strategy.check_sanity(splats, optimizers)
        self.strategy = strategy
        self.splats = splats
        self.optimizers = optimizers
        self.generator = generator
        self.strategy_state: dict[str, Any] = strategy.initialize_state()

    def step_pre_backward(self, step: int, info: dict[str, Any]) -> None:
        self.strategy.step_pre_backward(
            self.splats, self.optimizers, self.strategy_state, step, info
        )

    def step_post_backward(self, step: int, info: dict[str, Any]) -> None:
        with _global_generators_from(self.generator, self.splats["means"].device):
            self.strategy.step_post_backward(
                self.splats, self.optimizers, self.strategy_state, step, info
            )

    def refines(self, step: int) -> bool:
        strategy = self.strategy
        is_in_range = strategy.refine_start_iter < step < strategy.refine_stop_iter
        return is_in_range and step % strategy.refine_every == 0

    def state_dict(self) -> dict[str, Any]:
        strategy = {
            name: value.clone() if isinstance(value, Tensor) else value
            for name, value in self.strategy_state.items()
        }
        return {"strategy": strategy, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = self.splats["means"].device
        self.strategy_state = {
            name: value.to(device, copy=True) if isinstance(value, Tensor) else value
            for name, value in state["strategy"].items()
        }
        self.generator.set_state(state["generator"])


def build_densifier(
    config: DensifyConfig,
    splats: ParameterDict,
    optimizers: dict[str, Optimizer],
    steps: int,
    generator: torch.Generator,
) -> Densifier:
    """Build the densifier of a configuration.

    Args:
        config: kind and thresholds.
        splats: raw parameters, on the run's device.
        optimizers: one a parameter, under the same keys.
        steps: length of the run, of which the configuration gives fractions.
        generator: on the CPU, of all random numbers of the densification.

    Raises:
        UserError: the splats are above the cap to begin with.
    """
    if isinstance(config, NoDensifyConfig):
        return Densifier()
    assert isinstance(config, DefaultDensifyConfig | McmcDensifyConfig), config
    n = len(splats["means"])
    if n > config.cap:
        raise UserError(
            f"the splats begin with {n} Gaussians, more than densify.cap={config.cap} allows. "
            f"Set densify.cap={n} or more, or begin with fewer."
        )
    if isinstance(config, DefaultDensifyConfig):
        strategy = _quantile_strategy(config, steps)
    else:
        strategy = _relocation_strategy(config, steps)
    return StrategyDensifier(strategy, splats, optimizers, generator)


def _quantile_strategy(config: DefaultDensifyConfig, steps: int) -> QuantileStrategy:
    return QuantileStrategy(
        cap=config.cap,
        grow_quantile=config.grow_quantile,
        grow_scale3d=config.split_scale,
        prune_opa=config.prune_opacity,
        prune_scale3d=config.prune_scale,
        refine_start_iter=round(config.start_fraction * steps),
        refine_stop_iter=round(config.stop_fraction * steps),
        refine_every=config.every,
        # Beyond the run: no opacity reset. It can push every alpha below 1/255, where gradients
        # vanish, and it is against floaters near cameras, which an orbit around one object hardly
        # has.
        # gsplat 1.5.3 never resets, by a mistake in operator precedence; later versions do.
        reset_every=steps + 1,
    )


def _relocation_strategy(config: McmcDensifyConfig, steps: int) -> RelocationStrategy:
    return RelocationStrategy(
        cap_max=config.cap,
        noise_lr=config.noise,
        refine_start_iter=round(config.start_fraction * steps),
        refine_stop_iter=round(config.stop_fraction * steps),
        refine_every=config.every,
        min_opacity=config.prune_opacity,
    )


def _check_some_left(prune_mask: Bool[Tensor, " N"]) -> None:
    """Raise UserError if every Gaussian would be removed."""
    if prune_mask.all():
        raise UserError(
            f"all {len(prune_mask)} Gaussians have become transparent or too large, none is left. "
            "Lower learning_rates.opacities or densify.prune_opacity, raise init.opacity, "
            "or set densify=none."
        )


@contextmanager
def _global_generators_from(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators from `generator` within the block, and restore them after it.

    gsplat draws from the global ones; so its draws can be repeated, and change no others.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed every GPU
        for gpu in gpus:
            torch.cuda.default_generators[gpu.index].manual_seed(seed)
        yield
