"""How the number of Gaussians changes: gsplat's strategies, on CPU and CUDA tensors.

Notation
    N       number of Gaussians
    info    what `gs_esd.render.render` gives besides the image, for the batch of the step

Ours is what to grow (a quantile and a cap in place of absolute thresholds), what to prune, and
where randomness comes from; the surgery on parameters and optimiser state is gsplat's.
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
    standard deviation above `prune_scale3d` go at any time; gsplat waits for a first opacity reset.
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
        """gsplat's sums, over all Gaussians: to pick those that are seen is to wait for the GPU."""
        seen = (info["radii"] > 0).all(dim=-1)  # [C, N]
        across, down = info["means2d"].grad.unbind(-1)  # per pixel; gsplat's unit is half an image
        norms = info["n_cameras"] / 2 * torch.hypot(info["width"] * across, info["height"] * down)
        for name, numbers in (("grad2d", norms * seen), ("count", seen)):
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
    """gsplat's MCMCStrategy, on a CPU too, that stops where no Gaussian is left to relocate to."""

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
        """gsplat's, with the rate of the positions at this step, which the random walk follows."""
        rate = optimizers["means"].param_groups[0]["lr"]
        super().step_post_backward(params, optimizers, state, step, info, lr=rate)

    def _relocate_gs(
        self, params: ParameterDict, optimizers: dict[str, Optimizer], binoms: Tensor
    ) -> int:
        _check_some_left(params["opacities"].sigmoid() <= self.min_opacity)
        return super()._relocate_gs(params, optimizers, binoms)


def growth_threshold(gradients: Float[Tensor, " N"], quantile: float, room: int) -> float:
    """The gradient above which Gaussians grow: at most `room` are, however many tie.

    quantile: in [0, 1], of all gradients. Each Gaussian above becomes two.
    """
    if room <= 0:
        return math.inf
    threshold = gradients.quantile(quantile).item()
    if room < len(gradients):
        threshold = max(threshold, gradients.topk(room + 1).values[-1].item())
    return threshold


class Densifier:
    """Keeps the number of Gaussians as it is; its subclass changes it.

    A step is: render, `before_backward`, backward, optimisers, `after_backward`. After the
    optimisers, because new parameters have no gradient and would miss the step.
    """

    def before_backward(self, info: dict[str, Any], step: int) -> None:
        """To be called between the rendering and the backward pass of a step."""

    def after_backward(self, info: dict[str, Any], step: int) -> None:
        """To be called after the optimisers' step; may replace parameters and optimiser state.

        Raises UserError where no Gaussian would be left.
        """

    def refines(self, step: int) -> bool:
        """Whether `after_backward` will add, move or remove Gaussians at this step, or may."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values from which `load_state_dict` goes on exactly."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""


class StrategyDensifier(Densifier):
    """Applies a gsplat strategy to splats and its optimisers, in place.

    The strategy's random numbers come from `generator` (on the CPU); torch's global generators are
    left as they were.
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

    def before_backward(self, info: dict[str, Any], step: int) -> None:
        self.strategy.step_pre_backward(
            self.splats, self.optimizers, self.strategy_state, step, info
        )

    def after_backward(self, info: dict[str, Any], step: int) -> None:
        with _global_generators_from(self.generator, self.splats["means"].device):
            self.strategy.step_post_backward(
                self.splats, self.optimizers, self.strategy_state, step, info
            )

    def refines(self, step: int) -> bool:
        strategy = self.strategy
        begun = strategy.refine_start_iter < step < strategy.refine_stop_iter
        return begun and step % strategy.refine_every == 0

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
    """The densifier a configuration asks for, in a run of `steps` steps.

    Raises UserError where the splats are above the cap to begin with.
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
        # vanish, and what it is for, floaters near cameras, an orbit around one object hardly has.
        # gsplat 1.5.3 never resets, by a slip of operator precedence; later versions do.
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
    """Raise UserError if every Gaussian is marked."""
    if prune_mask.all():
        raise UserError(
            f"all {len(prune_mask)} Gaussians have become transparent or too large, none is left. "
            "Lower learning_rates.opacities or densify.prune_opacity, raise init.opacity, "
            "or set densify=none."
        )


@contextmanager
def _global_generators_from(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators from ours within the block, and put them back after it.

    gsplat draws from the global ones; so its draws are reproducible, and disturb nobody else's.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed every GPU
        for gpu in gpus:
            torch.cuda.default_generators[gpu.index].manual_seed(seed)
        yield
