"""Copies between host and GPU with as few synchronisations as possible.

Copying from pageable memory, or reading a scalar, synchronises the host with the GPU: the host
waits for all queued kernels, and the GPU then idles until new ones are queued.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Shaped
from torch import Tensor

Scalars = dict[str, float | Tensor]
"""Numbers to log, by name; tensors stay on their device until `to_floats` reads them."""


def to_device(tensor: Shaped[Tensor, "*any"], device: torch.device) -> Shaped[Tensor, "*any"]:
    """Copy a tensor to a device; from the CPU to a GPU through pinned memory, asynchronously."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_floats(scalars: Mapping[str, float | Tensor]) -> dict[str, float]:
    """Read scalars back from the device, all of them by a single synchronisation.

    Args:
        scalars: numbers and 0-dimensional tensors, the tensors all on one device.
    """
    tensors = [value.detach().double() for value in scalars.values() if isinstance(value, Tensor)]
    read = iter(torch.stack(tensors).tolist() if tensors else ())
    return {
        name: next(read) if isinstance(value, Tensor) else value for name, value in scalars.items()
    }
