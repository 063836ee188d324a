"""Codecs between images and x_0: a VAE's latents, or pixels.

Notation
    images      RGB in [0, 1], [B, H, W, 3], of any size
    x_0         input space of the denoiser: latents of its VAE, or images in [-1, 1]
"""

from typing import Protocol, runtime_checkable

import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from gs_esd.priors.patch_codec import PatchCodec


@runtime_checkable
class Codec(Protocol):
    """Encoder to, and decoder from, the space in which a denoiser works."""

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Shape [C, h, w] of one x_0."""
        ...

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """Encode images of any size to x_0; differentiable."""
        ...

    def decode(self, x_0: Float[Tensor, "B C h w"]) -> Float[Tensor, "B H W 3"]:
        """Decode x_0 to images in [0, 1]; not differentiable."""
        ...


class PixelCodec:
    """Codec of pixel-space models: x_0 is the image in [-1, 1], resized."""

    def __init__(self, size: int) -> None:
        """Create a codec of images of `size` pixels a side."""
        self.latent_shape = (3, size, size)

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B 3 h w"]:
        """Resize images and scale them to [-1, 1]."""
        return resize(images, self.latent_shape[-1])

    def decode(self, x_0: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B h w 3"]:
        """Scale x_0 to [0, 1]."""
        return to_images(x_0)


class VaeCodec:
    """Codec of latent models: x_0 = (latent - shift_factor) scaling_factor, as in diffusers.

    The latent is the mean of the VAE's posterior, not a sample: its standard deviation is far below
    the noise that is added next, and the gradient is deterministic.
    """

    def __init__(self, vae: AutoencoderKL | PatchCodec, size: int, latent_size: int) -> None:
        """Wrap a VAE, which runs in the dtype of its weights.

        Args:
            vae: with frozen weights.
            size: pixels a side that images are resized to.
            latent_size: values a side of the latents of such images.
        """
        self.vae = vae
        self.latent_shape = (vae.config.latent_channels, latent_size, latent_size)
        self._size = size
        self._shift = getattr(vae.config, "shift_factor", None) or 0.0
        self._scale = vae.config.scaling_factor

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """Encode images to scaled latents in float32."""
        encoded = self.vae.encode(resize(images, self._size).to(self.vae.dtype))
        latents = encoded.latents if isinstance(self.vae, PatchCodec) else encoded.latent_dist.mean
        return (latents.float() - self._shift) * self._scale

    @torch.no_grad()
    def decode(self, x_0: Float[Tensor, "B C h w"]) -> Float[Tensor, "B H W 3"]:
        """Decode scaled latents to images in [0, 1]."""
        latents = x_0 / self._scale + self._shift
        return to_images(self.vae.decode(latents.to(self.vae.dtype)).sample.float())


def resize(images: Float[Tensor, "B H W 3"], size: int) -> Float[Tensor, "B 3 size size"]:
    """Resize images in [0, 1] (bilinear, antialiased) to [-1, 1], channels first."""
    scaled = 2 * images.permute(0, 3, 1, 2) - 1
    if scaled.shape[-2:] == (size, size):
        return scaled
    return interpolate(scaled, (size, size), mode="bilinear", antialias=True)


def to_images(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B H W 3"]:
    """Convert images in [-1, 1], channels first, to RGB in [0, 1], channels last; clipped."""
    return (0.5 * images.detach() + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
