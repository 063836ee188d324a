"""Detects operations that would synchronise the host with a GPU, on a machine without one."""

import sys
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
SYNCHRONISING = {
    *(aten._local_scalar_dense, aten.is_nonzero, aten.equal),  # read a number
    *(aten.nonzero, aten.masked_select, aten._unique2, aten.unique_dim),  # results of unknown size
}


class SyncDetector(TorchDispatchMode):
    """Records operations in the block that would synchronise if all tensors were on a GPU.

    Copies between devices are not detected.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __enter__(self) -> "SyncDetector":
        self._tolist = Tensor.tolist
        Tensor.tolist = self._recording_tolist()  # type: ignore[method-assign]
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        Tensor.tolist = self._tolist  # type: ignore[method-assign]
        super().__exit__(*error)

    def _recording_tolist(self) -> Any:
        """Tensor.tolist, which is not dispatched as an operation on the CPU."""
        tolist = self._tolist

        def recording(tensor: Tensor) -> Any:
            self.found.append("tolist")
            return tolist(tensor)

        return recording

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        synchronises = func.overloadpacket in SYNCHRONISING and not _is_in_optimizer()
        if synchronises or _is_masked_indexing(func, args):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


def _is_in_optimizer() -> bool:
    """Whether an optimiser calls: the numbers of steps that it reads are on the CPU anyway."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_globals.get("__name__", "").startswith("torch.optim"):
            return True
    return False


def _is_masked_indexing(func: Any, args: Any) -> bool:
    if func.overloadpacket not in (aten.index, aten.index_put, aten.index_put_):
        return False
    masks = [each for each in args[1] if isinstance(each, Tensor) and each.dtype == torch.bool]
    # Filling in a single number needs no count of the mask.
    is_fill = func.overloadpacket != aten.index and args[2].numel() == 1
    return bool(masks) and not is_fill
