"""Ring buffer of recent renderings, for the closed-form variational models."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gs_esd.cameras.orbit import Cameras


class RingBuffer:
    """The current batch and the last `buffer_size` rows before it, of several named tensors.

    A row is one rendering, with an entry in every tensor. The oldest rows are overwritten in place,
    so the order of rows is arbitrary.
    """

    def __init__(self, buffer_size: int) -> None:
        """Create an empty buffer.

        Args:
            buffer_size: rows held in addition to the current batch.
        """
        self._buffer_size = buffer_size
        self._rings: dict[str, Tensor] = {}
        self._written = 0

    def __len__(self) -> int:
        """Number of rows in the buffer."""
        return min(self._written, len(next(iter(self._rings.values()), ())))

    def __getitem__(self, name: str) -> Tensor:
        """All rows of a named tensor."""
        return self._rings[name][: len(self)]

    def append(self, cameras: Cameras, **rows: Tensor) -> None:
        """Add a batch in place of the oldest rows; another shape empties the buffer first.

        Args:
            cameras: the camera of each row.
            rows: named tensors [B ...], with the same names in every call.
        """
        rows = {"viewmats": cameras.viewmats} | {name: row.detach() for name, row in rows.items()}
        capacity = self._buffer_size + len(cameras)
        shapes = {name: (capacity, *row.shape[1:]) for name, row in rows.items()}
        if shapes != {name: tuple(ring.shape) for name, ring in self._rings.items()}:
            self._rings = {name: row.new_zeros(shapes[name]) for name, row in rows.items()}
            self._written = 0
        indices = (self._written + torch.arange(len(cameras))) % capacity
        for name, row in rows.items():
            self._rings[name][indices.to(row.device)] = row
        self._written += len(cameras)

    def from_same_camera(self, cameras: Cameras) -> Bool[Tensor, "B M"]:
        """Mask of the buffered rows that were rendered from each of the cameras."""
        same: Float[Tensor, "B M 4 4"] = cameras.viewmats[:, None] == self["viewmats"]
        return same.flatten(2).all(-1)

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors, and the number of rows written so far."""
        return {**self._rings, "written": torch.tensor(self._written)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        self._rings = {name: ring.clone() for name, ring in state.items() if name != "written"}
        self._written = int(state["written"])
