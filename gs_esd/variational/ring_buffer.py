"""The memory of the closed forms of q: recent renderings, written over the oldest."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gs_esd.cameras.orbit import Cameras


class RecentRows:
    """Rows of several tensors: those of the current batch and the last `memory` before it.

    One row stands for one rendering, of which every tensor tells something. A ring that is written
    in place: far faster than moving the rest.
    """

    def __init__(self, memory: int) -> None:
        """memory: rows remembered besides the current batch."""
        self._memory = memory
        self._rings: dict[str, Tensor] = {}
        self._written = 0

    def __len__(self) -> int:
        """Number of rows held."""
        return min(self._written, len(next(iter(self._rings.values()), ())))

    def __getitem__(self, name: str) -> Tensor:
        """All rows held of one of the tensors, in no particular order."""
        return self._rings[name][: len(self)]

    def take(self, cameras: Cameras, **rows: Tensor) -> None:
        """Take a batch in over the oldest rows; a batch of other shapes makes it forget all.

        cameras: from where each row's rendering was taken.
        rows: tensors [B ...] under their names, always the same ones.
        """
        rows = {"viewmats": cameras.viewmats} | {name: row.detach() for name, row in rows.items()}
        room = self._memory + len(cameras)
        shapes = {name: (room, *row.shape[1:]) for name, row in rows.items()}
        if shapes != {name: tuple(ring.shape) for name, ring in self._rings.items()}:
            self._rings = {name: row.new_zeros(shapes[name]) for name, row in rows.items()}
            self._written = 0
        places = (self._written + torch.arange(len(cameras))) % room
        for name, row in rows.items():
            self._rings[name][places.to(row.device)] = row
        self._written += len(cameras)

    def taken_from(self, cameras: Cameras) -> Bool[Tensor, "B M"]:
        """Which of the rows held were taken from each of the cameras."""
        same: Float[Tensor, "B M 4 4"] = cameras.viewmats[:, None] == self["viewmats"]
        return same.flatten(2).all(-1)

    def state_dict(self) -> dict[str, Tensor]:
        """The rings, and where the next rows go."""
        return {**self._rings, "written": torch.tensor(self._written)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` gave."""
        self._rings = {name: ring.clone() for name, ring in state.items() if name != "written"}
        self._written = int(state["written"])
