"""Cameras and background of a batch of images: what predictions are conditioned on."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gs_esd.cameras.orbit import Cameras


@dataclass(frozen=True)
class Views:
    """Cameras and background of a batch of B images.

    Attributes:
        cameras: the camera of each image.
        background: solid colour behind all of them, RGB in [0, 1].
    """

    cameras: Cameras
    background: Float[Tensor, "3"]

    def __len__(self) -> int:
        """Number of images B."""
        return len(self.cameras)

    def __getitem__(self, part: slice | Int[Tensor, " n"]) -> "Views":
        """Select images by a slice or by indices, which may repeat."""
        return Views(self.cameras[part], self.background)

    def repeated(self, times: int) -> "Views":
        """All of them several times over, [0 … B-1, 0 … B-1, …]."""
        return self if times == 1 else self[torch.arange(len(self)).repeat(times)]


def black_or_white(generator: torch.Generator) -> Float[Tensor, "3"]:
    """Draw a black or a white background, with equal probability."""
    return torch.randint(2, (1,), generator=generator).float().expand(3)
