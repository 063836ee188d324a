"""Camera conditioning of a U-Net, with which a LoRA learns ε_ψ(c).

Notation
    F           NUM_FEATURES
    K           NUM_MAPS
    C           channels of a layer
    ∅           the null camera: a learned vector in the place of a camera's features

ProlificDreamer and threestudio add an embedding of the camera to that of the timestep. Before the
SiLU that follows, most of its units can be saturated, as in the bundled model, and pass neither the
camera nor a gradient. Here the camera enters where nothing can hide it: it scales and shifts the
channels of every residual block after its second normalisation (FiLM, arXiv 1709.07871), those of
the blocks of a global path (gs_esd/priors/global_unet.py), and adds a map to the output of the
first convolution.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

from gs_esd.cameras.views import Views
from gs_esd.priors.global_unet import ModulatedBlock

NUM_HARMONICS = 4
"""With one, training took more than twice as many steps to separate cameras 20° apart."""
NUM_CAMERA_FEATURES = 4 * NUM_HARMONICS + 2
NUM_FEATURES = 2 * NUM_CAMERA_FEATURES + 3
HIDDEN = 256
NUM_MAPS, MAP_SIZE = 32, 8


def camera_features(views: Views) -> Float[Tensor, "B F"]:
    """What distinguishes views: angles, distance, focal length and background.

    Sine and cosine of the first NUM_HARMONICS multiples of azimuth and elevation, the logarithms of
    distance and focal length; the same times the background's brightness, from -1 to 1, because
    what a view adds to a silhouette on black it takes away on white; and the background's colour.
    """
    cameras = views.cameras
    harmonics = torch.arange(1, NUM_HARMONICS + 1, device=cameras.azimuth.device)
    angles = torch.stack([cameras.azimuth, cameras.elevation], dim=1)[..., None] * harmonics
    distance = cameras.viewmats[:, :3, 3].norm(dim=1, keepdim=True)
    focal = cameras.Ks[:, :1, 0] / cameras.width
    waves = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1)
    camera = torch.cat([waves, distance.log(), focal.log()], dim=1)
    color = (2 * views.background - 1).expand(len(cameras), 3)
    return torch.cat([camera, color.mean(1, keepdim=True) * camera, color], dim=1)


class CameraConditioning(nn.Module):
    """Modulation of a U-Net's layers by the view of each row, in float32.

    It is off but within `enabled`, and changes nothing at initialisation.
    """

    def __init__(self, unet: UNet2DConditionModel) -> None:
        """Hook the layers of a U-Net."""
        super().__init__()
        norms = [
            module.norm2 if isinstance(module, ResnetBlock2D) else module.norm
            for module in unet.modules()
            if isinstance(module, ResnetBlock2D | ModulatedBlock)
        ]
        channels = unet.conv_in.out_channels
        # Zero is the centre of all cameras' angles.
        self.null = nn.Parameter(torch.zeros(NUM_CAMERA_FEATURES))
        self.hidden = nn.Linear(NUM_FEATURES, HIDDEN)
        self.films = nn.ModuleList(_zero_linear(HIDDEN, 2 * norm.weight.numel()) for norm in norms)
        self.map_weights = _zero_linear(HIDDEN, NUM_MAPS)
        self.maps = nn.Parameter(
            torch.randn(NUM_MAPS, channels, MAP_SIZE, MAP_SIZE) / NUM_MAPS**0.5
        )
        self._rows: Float[Tensor, "R H"] | None = None
        self._first = 0
        # Not lambdas: a copy of the U-Net has to have the copy's hooks.
        for film, norm in zip(self.films, norms, strict=True):
            norm.register_forward_hook(partial(self._film, film))
        unet.conv_in.register_forward_hook(self._add_map)

    @contextmanager
    def enabled(
        self, features: Float[Tensor, "R F"], uncond: Bool[Tensor, " R"], first: int = 0
    ) -> Iterator[None]:
        """Context in which the U-Net is conditioned on a view in each row from `first` on.

        Args:
            features: of the views, see `camera_features`.
            uncond: rows whose camera is ∅; they keep their background.
            first: rows before it are left as they are.
        """
        camera = torch.where(uncond[:, None], self.null, features[:, :NUM_CAMERA_FEATURES])
        brightness = features[:, -3:].mean(1, keepdim=True)
        inputs = torch.cat([camera, brightness * camera, features[:, -3:]], dim=1)
        self._rows, self._first = silu(self.hidden(inputs)), first
        try:
            yield
        finally:
            self._rows = None

    def _film(
        self, film: nn.Module, norm: nn.Module, args: tuple[Tensor], output: Tensor
    ) -> Tensor | None:
        """Forward hook of a normalisation."""
        if self._rows is None:
            return None
        both = film(self._rows).to(output.dtype)
        scale, shift = both.view(*both.shape, *(output.ndim - 2) * [1]).chunk(2, dim=1)
        return self._replace(output, lambda rows: rows * (1 + scale) + shift)

    def _add_map(self, conv: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor | None:
        """Forward hook of the first convolution."""
        if self._rows is None:
            return None
        maps = interpolate(self.maps, output.shape[2:], mode="bilinear")
        added = torch.einsum("rk,kchw->rchw", self.map_weights(self._rows), maps)
        return self._replace(output, lambda rows: rows + added.to(output.dtype))

    def _replace(self, output: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        """Change the rows that are conditioned."""
        if not self._first:
            return change(output)
        return torch.cat([output[: self._first], change(output[self._first :])])


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
