"""Processes that make one splat together: torchrun --nproc-per-node=2 train.py prompt="a corgi"

Every process, a rank, holds all splats and draws the same random numbers, but renders and asks
the networks about its share of a step's views only. What a step needs of the others' is gathered,
gradients are summed, and so all ranks take the same step, bit for bit.

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
    """This process among those of a run. Alone, it has all views, and every method is trivial."""

    def __init__(self, rank: int = 0, count: int = 1, device: torch.device | None = None) -> None:
        """device: where numbers are exchanged; NCCL wants the GPU."""
        self.rank = rank
        self.count = count
        self._device = device or torch.device("cpu")

    @property
    def is_first(self) -> bool:
        """Whether this is the one process that writes files."""
        return self.rank == 0

    def share(self, views: int) -> slice:
        """Which of `views` = B views are this rank's; B must be a multiple of the ranks."""
        assert views % self.count == 0, (views, self.count)
        part = views // self.count
        return slice(self.rank * part, (self.rank + 1) * part)

    def gather(self, part: Shaped[Tensor, "b *rest"]) -> Shaped[Tensor, "B *rest"]:
        """The rows of all ranks in the order of the views, from each rank's; without gradients."""
        if self.count == 1:
            return part.detach()
        part = part.detach().contiguous()
        parts = [torch.empty_like(part) for _ in range(self.count)]
        dist.all_gather(parts, part)
        return torch.cat(parts)

    def sum(self, tensor: Tensor) -> Tensor:
        """Of the tensors of all ranks, the same on all of them to the last bit."""
        if self.count == 1:
            return tensor
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Give every rank's parameters the sum of all ranks' gradients, in one exchange."""
        gradients = [each.grad for each in parameters if each.grad is not None]
        if self.count == 1 or not gradients:
            return
        total = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, summed in zip(
            gradients, total.split([each.numel() for each in gradients]), strict=True
        ):
            gradient.copy_(summed.view_as(gradient))

    def mean(self, scalars: Mapping[str, float]) -> dict[str, float]:
        """The mean over ranks of each number: that over all views, if each is one over a share."""
        if self.count == 1:
            return dict(scalars)
        # float64, so that numbers on which all agree, such as counts, come back as they were.
        values = torch.tensor(list(scalars.values()), dtype=torch.float64, device=self._device)
        means = (self.sum(values) / self.count).tolist()
        return dict(zip(scalars, means, strict=True))

    def any(self, flag: bool) -> bool:
        """Whether it is so on any rank."""
        return bool(self.sum(torch.tensor(float(flag), device=self._device)) > 0)


def join(device: torch.device) -> Ranks:
    """Meet the other processes that torchrun started, once a process; alone without torchrun.

    device: what the run computes on; every rank of a machine takes a GPU of its own.
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
