"""Codecs between images and x_0."""

import pytest
import torch
from torch import Tensor

from gs_esd.priors.codec import Codec, PixelCodec, VaeCodec, resize
from gs_esd.priors.patch_codec import PatchCodec
from tests.helpers.tiny_models import tiny_vae


def _images(size: int, n: int = 2) -> Tensor:
    return torch.rand(n, size, size, 3, generator=torch.Generator().manual_seed(0))


def _vae_codec() -> VaeCodec:
    return VaeCodec(tiny_vae().requires_grad_(False).eval(), 16, 8)


def _patch_codec() -> VaeCodec:
    fitted = PatchCodec.fit(2 * _images(16).permute(0, 3, 1, 2) - 1, 4, 48)
    return VaeCodec(fitted, 16, 4)


CODECS = {"vae": _vae_codec, "patch": _patch_codec, "pixel": lambda: PixelCodec(16)}
ALL = pytest.mark.parametrize("codec", [make() for make in CODECS.values()], ids=CODECS.keys())


@ALL
@pytest.mark.parametrize("size", [8, 16, 40])
def test_latent_shape(codec: Codec, size: int) -> None:
    assert codec.encode(_images(size)).shape == (2, *codec.latent_shape)


@ALL
def test_gradient_by_finite_differences(codec: Codec) -> None:
    images = _images(16, n=1).requires_grad_()
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(images.shape, generator=generator)
    weights = torch.randn(codec.latent_shape, generator=generator)
    codec.encode(images).mul(weights).sum().backward()
    step = 1e-2 * direction
    with torch.no_grad():
        ahead, behind = codec.encode(images + step), codec.encode(images - step)
    difference = float(((ahead - behind) * weights).sum() / 2e-2)
    assert float((images.grad * direction).sum()) == pytest.approx(difference, rel=2e-2)


def test_no_gradient_of_weights() -> None:
    codec = _vae_codec()
    codec.encode(_images(16).requires_grad_()).sum().backward()
    assert all(weight.grad is None for weight in codec.vae.parameters())


def test_latents_of_diffusers() -> None:
    codec = _vae_codec()
    images = _images(16)
    distribution = codec.vae.encode(2 * images.permute(0, 3, 1, 2) - 1).latent_dist
    # As in its pipelines: (latents - shift_factor) * scaling_factor, here 0.1 and 0.5.
    torch.testing.assert_close(codec.encode(images), (distribution.mode() - 0.1) * 0.5)
    assert torch.equal(codec.encode(images), codec.encode(images))


@pytest.mark.parametrize("name", ["patch", "pixel"])
def test_decode_inverts_lossless_encode(name: str) -> None:
    codec, images = CODECS[name](), _images(16)
    torch.testing.assert_close(codec.decode(codec.encode(images)), images, atol=1e-4, rtol=0)


def test_decoded_images_of_diffusers() -> None:
    codec = _vae_codec()
    x_0 = 3 * torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    found = codec.decode(x_0)
    expected = codec.vae.decode(x_0 / 0.5 + 0.1).sample.permute(0, 2, 3, 1) / 2 + 0.5
    torch.testing.assert_close(found, expected.clamp(0, 1))
    assert not found.requires_grad


def test_half_precision() -> None:
    vae = tiny_vae().requires_grad_(False)
    expected = VaeCodec(vae, 16, 8).encode(_images(16))
    images = _images(16).requires_grad_()
    x_0 = VaeCodec(vae.to(torch.bfloat16), 16, 8).encode(images)
    x_0.sum().backward()
    assert x_0.dtype == torch.float32
    assert images.grad is not None
    assert images.grad.dtype == torch.float32
    torch.testing.assert_close(x_0, expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e6])
def test_float16_gradients_of_any_size(size: float) -> None:
    vae = tiny_vae().requires_grad_(False)
    # One image's gradient is a million times the other's, and neither may spoil the other.
    weights = size * torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    weights[1] *= 1e-6
    gradients = []
    for dtype in (torch.float32, torch.float16):
        images = _images(16).requires_grad_()
        VaeCodec(vae.to(dtype), 16, 8).encode(images).backward(weights)
        assert images.grad is not None
        gradients.append(images.grad)
    expected, found = gradients
    for one in (0, 1):
        error = (found[one] - expected[one]).norm() / expected[one].norm()
        assert float(error) < 0.01


def test_float16_gradient_of_zero() -> None:
    images = _images(16).requires_grad_()
    VaeCodec(tiny_vae().requires_grad_(False).half(), 16, 8).encode(images).mul(0).sum().backward()
    assert images.grad is not None
    assert float(images.grad.abs().max()) == 0


def test_float16_without_gradient() -> None:
    codec = VaeCodec(tiny_vae().requires_grad_(False).half(), 16, 8)
    assert bool(codec.encode(_images(16)).isfinite().all())


def test_resize_is_antialiased() -> None:
    checkers = ((torch.arange(16)[:, None] + torch.arange(16)) % 2).float()
    images = checkers[None, :, :, None].expand(1, 16, 16, 3)
    assert float(resize(images, 4)[..., 1:-1, 1:-1].abs().max()) < 1e-5  # grey, not black or white
    large = resize(_images(8), 16)
    plain = torch.nn.functional.interpolate(
        2 * _images(8).permute(0, 3, 1, 2) - 1, (16, 16), mode="bilinear"
    )
    torch.testing.assert_close(large, plain, atol=1e-5, rtol=0)
