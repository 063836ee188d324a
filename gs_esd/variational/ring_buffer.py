"""Ring buffer of recent renderings: what the closed forms of q are mixtures of."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gs_esd.cameras.orbit import Cameras


class RingBuffer:
    """Rows of several tensors: the current batch, and the last `buffer_size` rows before it.

    One row stands for one rendering, with an entry in every tensor. Rows are overwritten in place,
    which is far faster than moving the rest.
    """

    def __init__(self, buffer_size: int) -> None:
        """buffer_size: rows held besides the current batch."""
        self._buffer_size = buffer_size
        self._rings: dict[str, Tensor] = {}
        self._written = 0

    def __len__(self) -> int:
        """Number of rows held."""
        return min(self._written, len(next(iter(self._rings.values()), ())))

    def __getitem__(self, name: str) -> Tensor:
        """All rows held of one of the tensors, in no particular order."""
        return self._rings[name][: len(self)]

    def append(self, cameras: Cameras, **rows: Tensor) -> None:
        """Add a batch over the oldest rows; a batch of other shapes empties the buffer first.

        Args:
            cameras: the camera of each row.
            rows: tensors [B ...] under their names, always the same ones.
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
        """Mask of the rows held that were rendered from each of the cameras."""
        same: Float[Tensor, "B M 4 4"] = cameras.viewmats[:, None] == self["viewmats"]
        return same.flatten(2).all(-1)

    def state_dict(self) -> dict[str, Tensor]:
        """The rings, and where the next rows go."""
        return {**self._rings, "written": torch.tensor(self._written)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        self._rings = {name: ring.clone() for name, ring in state.items() if name != "written"}
        self._written = int(state["written"])
