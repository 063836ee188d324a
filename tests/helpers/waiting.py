"""Finds what would make a program wait for the GPU, on a machine without one."""

import sys
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
LOOKS = {
    *(aten._local_scalar_dense, aten.is_nonzero, aten.equal),  # a number is asked for
    *(aten.nonzero, aten.masked_select, aten._unique2, aten.unique_dim),  # a size is
}


class Waits(TorchDispatchMode):
    """The operations inside that would wait, if all tensors were on a GPU; copies are not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __enter__(self) -> "Waits":
        self._tolist = Tensor.tolist
        Tensor.tolist = self._noted_tolist()  # type: ignore[method-assign]
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        Tensor.tolist = self._tolist  # type: ignore[method-assign]
        super().__exit__(*error)

    def _noted_tolist(self) -> Any:
        """On the CPU this is no operation of torch's."""
        tolist = self._tolist

        def noted(tensor: Tensor) -> Any:
            self.found.append("tolist")
            return tolist(tensor)

        return noted

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        is_look = func.overloadpacket in LOOKS and not _is_step_count()
        if is_look or _picks_by_mask(func, args):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


def _is_step_count() -> bool:
    """Whether an optimiser looks: torch keeps what these look at, numbers of steps, on the CPU."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_globals.get("__name__", "").startswith("torch.optim"):
            return True
    return False


def _picks_by_mask(func: Any, args: Any) -> bool:
    if func.overloadpacket not in (aten.index, aten.index_put, aten.index_put_):
        return False
    masks = [each for each in args[1] if isinstance(each, Tensor) and each.dtype == torch.bool]
    # A number is filled in without a look at the mask.
    is_fill = func.overloadpacket != aten.index and args[2].numel() == 1
    return bool(masks) and not is_fill
