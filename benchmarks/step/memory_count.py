"""Counts the memory of a step with networks, by running it on fake tensors.

The step's own code runs on copies of the networks that have shapes and a device but no contents;
every allocation counts until it is freed. Not included: CUDA's own memory (about 0.5 GB),
workspaces of convolutions, fragmentation, and the splats with their renderer.
"""

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

from gs_esd.cameras.views import Views
from gs_esd.diffusion.process import add_noise
from gs_esd.guidance.lambda_schedules import constant
from gs_esd.guidance.noisy_views import NoisyViews
from gs_esd.guidance.objectives import EsdSource
from gs_esd.guidance.predict import distillation_gradient
from gs_esd.guidance.predict_batched import choose_predict
from gs_esd.guidance.weighting import one
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.render.renderings import Renderings
from gs_esd.variational.base import VariationalScore
from gs_esd.variational.lora_training import TrainedLora

Counter = TypeVar("Counter", bound=AbstractContextManager[Any])


@dataclass(frozen=True)
class StepMemory:
    """Gigabytes of the networks' weights, and the peak of a step besides."""

    weights: float
    step: float

    @property
    def total(self) -> float:
        """Peak memory, weights included."""
        return self.weights + self.step


class AllocationCount(TorchDispatchMode):
    """Counts the bytes of live tensors that operations in the block returned, and their peak."""

    def __init__(self, weights: list[Tensor]) -> None:
        """Start at 0; weights and views of them do not count."""
        super().__init__()
        self.live, self.peak = 0, 0
        self._known = {each.untyped_storage()._cdata for each in weights}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and count the storages of its results."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self._known:
            return
        self._known.add(storage._cdata)
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, storage._cdata, storage.nbytes())

    def _free(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.live -= size


def count_step(
    prior: DiffusionModelPrior, variational: VariationalScore, views: Views
) -> StepMemory:
    """The memory of a step with these networks, which are neither run nor changed.

    Args:
        prior: a network as p.
        variational: q.
        views: those of a step, at their image size, on the networks' device.
    """
    weights, count = fake_step(prior, variational, views, AllocationCount)
    return StepMemory(sum(each.nbytes for each in weights) / 1e9, count.peak / 1e9)


def fake_step(
    prior: DiffusionModelPrior,
    variational: VariationalScore,
    views: Views,
    make_counter: Callable[[list[Tensor]], Counter],
    lambda_esd: float = 0.5,
) -> tuple[list[Tensor], Counter]:
    """Make a step on fake copies of the networks, within a counter.

    Args:
        prior: a network as p.
        variational: q.
        views: as in `count_step`.
        make_counter: makes a context manager, given the copies' weights.
        lambda_esd: λ.

    Returns:
        The weights and the context manager.
    """
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    lora = variational if isinstance(variational, TrainedLora) else None
    # Generators cannot be copied in fake mode, and fake operations do not advance them.
    memo: dict[int, Any] = {
        id(o): o for o in vars(variational).values() if isinstance(o, torch.Generator)
    }
    with torch.compiler.set_stance("force_eager"), fake:
        with FakeCopyMode(fake):
            prior, lora = deepcopy((prior, lora), memo)
        weights = [each for each in memo.values() if isinstance(each, Tensor)]
        counter = make_counter(weights)
        with counter:
            _step(prior, lora, views, lambda_esd)
    return weights, counter


def _step(
    prior: DiffusionModelPrior, lora: TrainedLora | None, views: Views, lambda_esd: float
) -> None:
    """The part of gs_esd/trainer.py's step that uses networks, with random renderings."""
    device, cameras = views.background.device, views.cameras
    size = (len(cameras), cameras.height, cameras.width, 3)
    x_0 = prior.encode(torch.rand(size, device=device, requires_grad=True))
    log_snr = torch.zeros(len(cameras), device=device)
    if lora:
        unseen = Renderings(x_0.new_zeros(1, 1, 1, 3), x_0.new_zeros(1, 1, 1, 1), {})
        lora.update(unseen, x_0.detach(), views, log_snr)
    eps = torch.randn(x_0.shape, device=device)
    x_t = add_noise(x_0.detach(), eps, log_snr)
    if lora:
        noisy = NoisyViews(x_t, eps, log_snr, views, progress=0.0)
        source, predict = EsdSource(constant(lambda_esd)), choose_predict(prior, lora)
        gradient = distillation_gradient(source, one, prior, lora, noisy, predict)
    else:
        gradient = prior.predict_noise(x_t, log_snr, views)
    x_0.backward(gradient)
