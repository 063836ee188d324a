"""Data parallelism over views: torchrun --nproc-per-node=2 train.py prompt="a corgi"

Every rank has a copy of all splats and draws the same random numbers, but renders and evaluates the
networks for its share of a step's views only. Renderings are gathered and gradients summed, so that
all ranks make the same step, bit for bit.

Notation
    B           views of a step, of all ranks
    b           views of this rank, B / number of ranks
"""

from collections.abc import Iterable, Mapping

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor

from gs_esd.system import torchrun


class Ranks:
    """The process group of a run; with one process every method is trivial.

    Args:
        rank: index of this process.
        count: number of processes.
        device: where exchanged tensors are allocated; NCCL needs the GPU.
    """

    def __init__(self, rank: int = 0, count: int = 1, device: torch.device | None = None) -> None:
        self.rank = rank
        self.count = count
        self._device = device or torch.device("cpu")

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, the only one that writes files."""
        return self.rank == 0

    def share(self, views: int) -> slice:
        """The slice of B `views` that belongs to this rank; B is a multiple of the ranks."""
        assert views % self.count == 0, (views, self.count)
        part = views // self.count
        return slice(self.rank * part, (self.rank + 1) * part)

    def gather(self, part: Shaped[Tensor, "b *rest"]) -> Shaped[Tensor, "B *rest"]:
        """Concatenate the rows of all ranks, in the order of the views; without gradients."""
        if self.count == 1:
            return part.detach()
        part = part.detach().contiguous()
        parts = [torch.empty_like(part) for _ in range(self.count)]
        dist.all_gather(parts, part)
        return torch.cat(parts)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over ranks, bit-identical on all of them."""
        if self.count == 1:
            return tensor
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace gradients by their sum over ranks, in one all-reduce."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.count == 1 or not gradients:
            return
        total = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, summed in zip(
            gradients, total.split([gradient.numel() for gradient in gradients]), strict=True
        ):
            gradient.copy_(summed.view_as(gradient))

    def mean(self, scalars: Mapping[str, float]) -> dict[str, float]:
        """The mean of each number over ranks."""
        if self.count == 1:
            return dict(scalars)
        # float64, so that numbers that are equal on all ranks, such as counts, stay exact.
        values = torch.tensor(list(scalars.values()), dtype=torch.float64, device=self._device)
        means = (self.sum(values) / self.count).tolist()
        return dict(zip(scalars, means, strict=True))

    def any(self, flag: bool) -> bool:
        """Logical or over ranks."""
        return bool(self.sum(torch.tensor(float(flag), device=self._device)) > 0)


def join(device: torch.device) -> Ranks:
    """Initialise the process group of torchrun, once per process; without torchrun, one rank.

    Args:
        device: the device of the run; on CUDA, each local rank uses the GPU of its own index.
    """
    count = torchrun.process_count()
    if count == 1:
        return Ranks()
    if device.type == "cuda":
        device = torch.device("cuda", torchrun.local_rank())
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Ranks(torchrun.process_rank(), count, device)
