"""What is known of a batch of images besides their pixels."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gs_esd.cameras.orbit import Cameras


@dataclass(frozen=True)
class Views:
    """The circumstances of a batch of B images.

    cameras: from where each was taken.
    background: the one solid colour they all stand on, RGB in [0, 1].
    """

    cameras: Cameras
    background: Float[Tensor, "3"]

    def __len__(self) -> int:
        """Number of images B."""
        return len(self.cameras)

    def __getitem__(self, part: slice | Int[Tensor, " n"]) -> "Views":
        """Some of the images, by a slice or by their indices, which may repeat."""
        return Views(self.cameras[part], self.background)


def black_or_white(generator: torch.Generator) -> Float[Tensor, "3"]:
    """One of the two backgrounds, each as likely as the other."""
    return torch.randint(2, (1,), generator=generator).float().expand(3)
