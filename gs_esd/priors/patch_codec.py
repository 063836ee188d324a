"""A linear autoencoder: the principal components of square patches of an image.

It takes the place of the VAE in the bundled model, whose model_index.json names this module.

Notation
    p           patch size in pixels; an image of H x W pixels has h x w = H/p x W/p patches
    D           values of a patch, 3 p²
    C           number of components, the channels of the latent
"""

from dataclasses import dataclass

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils import BaseOutput
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, fold, unfold


@dataclass
class PatchLatents(BaseOutput):
    """Output of `PatchCodec.encode`, with the attribute name of diffusers' autoencoders."""

    latents: Tensor


@dataclass
class PatchImages(BaseOutput):
    """Output of `PatchCodec.decode`, with the attribute name of diffusers' autoencoders."""

    sample: Tensor


class PatchCodec(ModelMixin, ConfigMixin):
    """Linear autoencoder of images in [-1, 1], with the interface of a VAE in diffusers.

    As there, a diffusion model works on latents times `config.scaling_factor`.
    """

    @register_to_config
    def __init__(
        self, patch_size: int = 4, latent_channels: int = 12, scaling_factor: float = 1.0
    ) -> None:
        """Create an untrained codec; `fit` or `from_pretrained` set its components."""
        super().__init__()
        values = 3 * patch_size**2
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("components", torch.eye(values)[:latent_channels].clone())
        self.register_buffer("scales", torch.ones(latent_channels))

    @classmethod
    def fit(
        cls, images: Float[Tensor, "M 3 H W"], patch_size: int, latent_channels: int
    ) -> "PatchCodec":
        """Fit the codec with the least squared error on images, scaled to latents of RMS 1.

        Each component is divided by the square root of its standard deviation. Undivided, faint
        components would be below the noise at all levels but the lowest, and a v-predicting network
        would learn little else than to copy that noise. Divided by the standard deviation itself,
        they would count as much as the strongest in the distance of two images.

        Args:
            images: in [-1, 1].
            patch_size: p, which divides H and W.
            latent_channels: C.
        """
        patches = unfold(images, patch_size, stride=patch_size).transpose(1, 2).flatten(0, 1)
        mean = patches.mean(0)
        covariance = (patches - mean).double().T @ (patches - mean).double() / len(patches)
        variances, vectors = (part.flip(-1).float() for part in torch.linalg.eigh(covariance))
        scales = variances[:latent_channels].clamp(min=1e-8) ** 0.25
        codec = cls(patch_size, latent_channels, float(scales.square().mean().rsqrt()))
        codec.mean.copy_(mean)
        codec.components.copy_(vectors.T[:latent_channels])
        codec.scales.copy_(scales)
        return codec

    def encode(self, images: Float[Tensor, "B 3 H W"]) -> PatchLatents:
        """Project every patch on the components, to [B, C, h, w]; p divides H and W."""
        size = self.config.patch_size
        rows = self.components / self.scales[:, None]
        kernels = rows.view(-1, 3, size, size)
        return PatchLatents(conv2d(images, kernels, -(rows @ self.mean), stride=size))

    def decode(self, latents: Float[Tensor, "B C h w"]) -> PatchImages:
        """Reconstruct images [B, 3, H, W] from the components of their patches."""
        size = self.config.patch_size
        columns = (self.components * self.scales[:, None]).T
        patches = columns @ latents.flatten(2) + self.mean[:, None]  # [B, D, hw]
        height, width = latents.shape[2] * size, latents.shape[3] * size
        return PatchImages(fold(patches, (height, width), size, stride=size))
