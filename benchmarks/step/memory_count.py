"""How much memory a step with networks takes, counted before the first one.

The step is gone through by the very code that makes it, on copies of the networks that have shapes
and a device but no contents. What every operation allocates is counted until it is let go. Not in
it: what CUDA takes for itself (about 0.5 GB), workspaces of convolutions, what the allocator loses
to fragments, and the splat with its renderer.
"""

import logging
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gs_esd.cameras.orbit import Orbit, sample_orbit
from gs_esd.cameras.views import Views
from gs_esd.config.options import StagesConfig
from gs_esd.diffusion.process import add_noise
from gs_esd.guidance.lambda_schedules import constant
from gs_esd.guidance.noisy_views import NoisyViews
from gs_esd.guidance.objectives import EsdSource
from gs_esd.guidance.predict import distillation_gradient
from gs_esd.guidance.predict_batched import choose_predict
from gs_esd.guidance.weighting import one
from gs_esd.priors.base import DiffusionPrior
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.variational.base import VariationalScore
from gs_esd.variational.lora import LoraScore

BESIDES = 1.5
"""Gigabytes that are set aside for what is not counted."""

Watch = TypeVar("Watch", bound=AbstractContextManager[Any])

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepMemory:
    """Gigabytes of the networks' weights, and of what a step holds at most besides."""

    weights: float
    step: float

    @property
    def most(self) -> float:
        """All that is held at once."""
        return self.weights + self.step


class AllocationCount(TorchDispatchMode):
    """Counts bytes that are held by what operations inside gave, and the most there ever were."""

    def __init__(self, weights: list[Tensor]) -> None:
        """Nothing is held yet; weights, of which operations may give views, do not count."""
        super().__init__()
        self.held, self.most = 0, 0
        self._known = {each.untyped_storage()._cdata for each in weights}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do the operation and count what it gave."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self._known:
            return
        self._known.add(storage._cdata)
        self.held += storage.nbytes()
        self.most = max(self.most, self.held)
        weakref.finalize(storage, self._let_go, storage._cdata, storage.nbytes())

    def _let_go(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.held -= size


def log_memory(
    stages: StagesConfig,
    orbit: Orbit,
    prior: DiffusionPrior,
    variational: VariationalScore,
    device: torch.device,
) -> None:
    """Tell what the step with the most views takes, and warn where the GPU has not as much."""
    assert isinstance(prior, DiffusionModelPrior)
    stage = max((stages.coarse, stages.middle, stages.fine), key=lambda stage: stage.views)
    cameras = sample_orbit(stage.views, orbit, stage.resolution, torch.Generator()).to(device)
    try:
        counted = count_step(prior, variational, Views(cameras, torch.ones(3, device=device)))
    except RuntimeError as reason:  # an operation that a network has and the count cannot follow
        log.warning("memory: a step could not be counted beforehand (%s)", reason)
        return
    log.info(
        "memory: a step with %d views takes some %.1f GB, the networks' weights among them, "
        "besides CUDA's own and the splat's",
        stage.views,
        counted.most,
    )
    if device.type == "cuda":
        warn_if_short(counted.step + BESIDES, torch.cuda.mem_get_info(device)[0] / 1e9)


def warn_if_short(needed: float, free: float) -> None:
    """Warn where fewer gigabytes are free than are needed."""
    if needed > free:
        log.warning(
            "%.1f GB of GPU memory are free, and a step may need %.1f GB of it. To take less: "
            "vram=8, or fewer views (stages.coarse.views=1, and so on)",
            free,
            needed,
        )


def count_step(
    prior: DiffusionModelPrior, variational: VariationalScore, views: Views
) -> StepMemory:
    """What a step takes with these networks, which are neither asked nor changed.

    views: as many as a step has, of the size that they are rendered at, where the networks are.
    """
    weights, count = go_through_step(prior, variational, views, AllocationCount)
    return StepMemory(sum(each.nbytes for each in weights) / 1e9, count.most / 1e9)


def go_through_step(
    prior: DiffusionModelPrior,
    variational: VariationalScore,
    views: Views,
    watching: Callable[[list[Tensor]], Watch],
    lambda_esd: float = 0.5,
) -> tuple[list[Tensor], Watch]:
    """Make a step with copies of the networks that have no contents, while something watches.

    views: as in `count_step`. watching: makes a context manager of the copies' weights.
    Returns the weights and the context manager.
    """
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    lora = variational if isinstance(variational, LoraScore) else None
    # A generator cannot be copied among tensors without contents, and does not move on with them.
    memo: dict[int, Any] = {
        id(o): o for o in vars(variational).values() if isinstance(o, torch.Generator)
    }
    with torch.compiler.set_stance("force_eager"), fake:
        with FakeCopyMode(fake):
            prior, lora = deepcopy((prior, lora), memo)
        weights = [each for each in memo.values() if isinstance(each, Tensor)]
        watch = watching(weights)
        with watch:
            _step(prior, lora, views, lambda_esd)
    return weights, watch


def _step(
    prior: DiffusionModelPrior, lora: LoraScore | None, views: Views, lambda_esd: float
) -> None:
    """What gs_esd/trainer.py does with the networks; renderings wait for their gradient."""
    cameras, device = views.cameras, views.background.device
    size = (len(cameras), cameras.height, cameras.width, 3)
    x_0 = prior.encode(torch.rand(size, device=device, requires_grad=True))
    if lora:
        lora.train_step(x_0.detach(), cameras)
    log_snr = torch.zeros(len(cameras), device=device)
    eps = torch.randn(x_0.shape, device=device)
    x_t = add_noise(x_0.detach(), eps, log_snr)
    if lora:
        noisy = NoisyViews(x_t, eps, log_snr, views, progress=0.0)
        source, ask = EsdSource(constant(lambda_esd)), choose_predict(prior, lora)
        gradient = distillation_gradient(source, one, prior, lora, noisy, ask)
    else:
        gradient = prior.predict_noise(x_t, log_snr, views)
    x_0.backward(gradient)
