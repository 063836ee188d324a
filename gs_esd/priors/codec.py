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

MAX_EXPONENT = 100
"""Of the power of two that gradients are scaled by, which float32 must hold."""


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
        pixels = resize(images, self._size)
        encoded = self.vae.encode(pixels.to(self.vae.dtype))
        latents = encoded.latents if isinstance(self.vae, PatchCodec) else encoded.latent_dist.mean
        latents = latents.float()
        if self.vae.dtype == torch.float16 and pixels.requires_grad:
            scale_gradients(latents, pixels)
        return (latents - self._shift) * self._scale

    @torch.no_grad()
    def decode(self, x_0: Float[Tensor, "B C h w"]) -> Float[Tensor, "B H W 3"]:
        """Decode scaled latents to images in [0, 1]."""
        latents = x_0 / self._scale + self._shift
        return to_images(self.vae.decode(latents.to(self.vae.dtype)).sample.float())


def scale_gradients(outputs: Float[Tensor, "B ..."], inputs: Float[Tensor, "B ..."]) -> None:
    """Scale gradients on their way from `outputs` to `inputs` so that float16 can hold them.

    The gradient of each image is divided by its largest magnitude, rounded up to a power of two,
    and multiplied by it again where it leaves. At noise levels of little weight it would underflow
    otherwise, and at a large guidance scale it might overflow.

    Args:
        outputs: float32, converted from float16.
        inputs: float32, about to be converted to float16; not a leaf.
    """
    exponents: list[Tensor] = []

    def scale(gradient: Tensor) -> Tensor:
        largest = gradient.abs().flatten(1).amax(1).reshape(-1, *[1] * (gradient.ndim - 1))
        exponents.append(largest.frexp().exponent.clamp(-MAX_EXPONENT, MAX_EXPONENT))
        return gradient.ldexp(-exponents[-1])

    def unscale(gradient: Tensor) -> Tensor:
        return gradient.ldexp(exponents.pop())

    outputs.register_hook(scale)
    inputs.register_hook(unscale)


def resize(images: Float[Tensor, "B H W 3"], size: int) -> Float[Tensor, "B 3 size size"]:
    """Resize images in [0, 1] (bilinear, antialiased) to [-1, 1], channels first."""
    scaled = 2 * images.permute(0, 3, 1, 2) - 1
    if scaled.shape[-2:] == (size, size):
        return scaled
    return interpolate(scaled, (size, size), mode="bilinear", antialias=True)


def to_images(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B H W 3"]:
    """Convert images in [-1, 1], channels first, to RGB in [0, 1], channels last; clipped."""
    return (0.5 * images.detach() + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
