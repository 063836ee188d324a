"""Camera embedding: conditions the LoRA's U-Net on the camera.

Notation
    E           width of the U-Net's time embedding, to which the camera embedding is added
    F           NUM_FEATURES
    ∅           the null camera: a learned embedding for unconditional rows
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gs_esd.cameras.orbit import Cameras

NUM_HARMONICS = 4
"""With one, training took more than twice as many steps to separate cameras 20° apart."""
NUM_FEATURES = 4 * NUM_HARMONICS


def camera_features(cameras: Cameras) -> Float[Tensor, "B F"]:
    """Fourier features: sin and cos of the first NUM_HARMONICS multiples of azimuth and elevation.

    On an orbit these two angles identify a camera: all face the origin, upright, from one distance
    and with one field of view. ProlificDreamer and threestudio embed the camera-to-world matrix,
    whose translation has any scale; these features are in [-1, 1] and independent of the distance.
    """
    harmonics = torch.arange(1, NUM_HARMONICS + 1, device=cameras.azimuth.device)
    angles = torch.stack([cameras.azimuth, cameras.elevation], dim=1)[..., None] * harmonics
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1)  # [B, 2, 2 NUM_HARMONICS]


class CameraEmbedding(nn.Module):
    """MLP from cameras, or the null camera, to additions to a U-Net's time embedding; float32.

    The output is zero at initialisation, so that the U-Net starts as it was without them.
    """

    def __init__(self, width: int) -> None:
        """Initialise the MLP.

        Args:
            width: E.
        """
        super().__init__()
        # Zero is the centre of all cameras' features. Initialising ∅ at the norm of a camera's
        # features did not train ε_ψ(∅) faster.
        self.null = nn.Parameter(torch.zeros(NUM_FEATURES))
        self.hidden = nn.Linear(NUM_FEATURES, width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, cameras: Cameras, uncond: Bool[Tensor, " B"]) -> Float[Tensor, "B E"]:
        """Embed each camera, and ∅ where `uncond`."""
        features = torch.where(uncond[:, None], self.null, camera_features(cameras))
        return self.out(nn.functional.silu(self.hidden(features)))
