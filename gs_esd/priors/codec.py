"""Images to the space that a model denoises in, and back.

Notation
    images      RGB in [0, 1], [B, H, W, 3], of any size
    x_0         what the model denoises: latents of its VAE, or images in [-1, 1] in pixel space
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
    """What stands between images and a denoiser."""

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """C, h, w of an x_0."""
        ...

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """x_0 of images; differentiable."""
        ...

    def decode(self, x_0: Float[Tensor, "B C h w"]) -> Float[Tensor, "B H W 3"]:
        """The images of x_0, in [0, 1]; not differentiable."""
        ...


class PixelCodec:
    """No VAE: x_0 is the image itself, at the size that the model was trained at."""

    def __init__(self, size: int) -> None:
        """size: pixels a side."""
        self.latent_shape = (3, size, size)

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B 3 h w"]:
        """Images of the model's size in [-1, 1]."""
        return resized(images, self.latent_shape[-1])

    def decode(self, x_0: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B h w 3"]:
        """Images in [0, 1]."""
        return as_images(x_0)


class VaeCodec:
    """Latents of a VAE, as diffusers scales them: (latent - shift_factor) scaling_factor.

    Of the distribution that a VAE gives for an image, the mean is taken: its spread is far below
    the noise that is added next, and a gradient through the mean is the same every time.
    """

    def __init__(self, vae: AutoencoderKL | PatchCodec, size: int, latent_size: int) -> None:
        """Take a VAE, whose weights are left alone; it computes in the dtype that it has.

        size: pixels a side that images are brought to. latent_size: of the latents of these.
        """
        self.vae = vae
        self.latent_shape = (vae.config.latent_channels, latent_size, latent_size)
        self._size = size
        self._shift = getattr(vae.config, "shift_factor", None) or 0.0
        self._scale = vae.config.scaling_factor

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """Latents of images, in float32 as they are."""
        encoded = self.vae.encode(resized(images, self._size).to(self.vae.dtype))
        latents = encoded.latents if isinstance(self.vae, PatchCodec) else encoded.latent_dist.mean
        return (latents.float() - self._shift) * self._scale

    @torch.no_grad()
    def decode(self, x_0: Float[Tensor, "B C h w"]) -> Float[Tensor, "B H W 3"]:
        """Images in [0, 1]."""
        latents = x_0 / self._scale + self._shift
        return as_images(self.vae.decode(latents.to(self.vae.dtype)).sample.float())


def resized(images: Float[Tensor, "B H W 3"], size: int) -> Float[Tensor, "B 3 size size"]:
    """Images in [-1, 1], channels first, `size` pixels a side; bilinear, smoothed to shrink."""
    scaled = 2 * images.permute(0, 3, 1, 2) - 1
    if scaled.shape[-2:] == (size, size):
        return scaled
    return interpolate(scaled, (size, size), mode="bilinear", antialias=True)


def as_images(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B H W 3"]:
    """RGB in [0, 1], channels last, of images in [-1, 1]; what lies outside is clipped."""
    return (0.5 * images.detach() + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
