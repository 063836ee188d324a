"""What the learned score of renderings is told of the camera.

Notation
    E           width of the U-Net's time embedding, to which a camera's embedding is added
    F           number of camera features
    ∅           the null camera, which stands for all cameras at once
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gs_esd.cameras.orbit import Cameras

HARMONICS = 4
"""With one, it took more than twice as many steps to tell cameras 20° apart from each other."""
FEATURES = 4 * HARMONICS


def camera_features(cameras: Cameras) -> Float[Tensor, "B F"]:
    """sin and cos of 1 to HARMONICS times the azimuth, then of the elevation; in [-1, 1].

    On an orbit the two angles are all that tells cameras apart: they look at the origin, upright,
    from one distance and with one angle of view. References feed the camera-to-world matrix, with
    translations of any scale; these features are the same whatever the distance.
    """
    order = torch.arange(1, HARMONICS + 1, device=cameras.azimuth.device)
    angles = torch.stack([cameras.azimuth, cameras.elevation], dim=1)[..., None] * order
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1)  # [B, 2, 2 HARMONICS]


class CameraEmbedding(nn.Module):
    """Cameras, or the null camera, as rows that are added to a U-Net's time embedding; float32.

    All rows are zero at first, so that a U-Net given them is the U-Net without them.
    """

    def __init__(self, width: int) -> None:
        """width: E."""
        super().__init__()
        # ∅ has features of its own, at first amid all cameras'. Starting them as far out as a
        # camera's taught ε_ψ(∅) no faster.
        self.null = nn.Parameter(torch.zeros(FEATURES))
        self.hidden = nn.Linear(FEATURES, width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, cameras: Cameras, uncond: Bool[Tensor, " B"]) -> Float[Tensor, "B E"]:
        """The embedding of each camera; of ∅ where `uncond`."""
        features = torch.where(uncond[:, None], self.null, camera_features(cameras))
        return self.out(nn.functional.silu(self.hidden(features)))
