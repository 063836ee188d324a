"""Tensors on their way to the GPU and back, without anybody waiting more often than they must.

Whoever copies from ordinary memory, or looks at a number on the GPU, waits until it has done all
that it was told, and it then has nothing to do until it is told more.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Shaped
from torch import Tensor

Scalars = dict[str, float | Tensor]
"""Numbers to log by name; those that networks and renderings give stay where they are."""


def to_device(tensor: Shaped[Tensor, "*any"], device: torch.device) -> Shaped[Tensor, "*any"]:
    """A tensor on a device; from the CPU to a GPU by way of pinned memory, without waiting."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_floats(scalars: Mapping[str, float | Tensor]) -> dict[str, float]:
    """Scalars as numbers, all of them by one look at the GPU; tensors are on one device."""
    tensors = [each.detach().double() for each in scalars.values() if isinstance(each, Tensor)]
    numbers = iter(torch.stack(tensors).tolist() if tensors else ())
    return {
        name: next(numbers) if isinstance(each, Tensor) else each for name, each in scalars.items()
    }
