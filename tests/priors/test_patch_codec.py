"""The linear patch codec: projections, reconstruction errors, and diffusers' format."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gs_esd.priors.patch_codec import PatchCodec


def smooth_images(n: int, seed: int = 0) -> Tensor:
    """Images in [-1, 1] whose neighbouring pixels are similar, [n, 3, 16, 16]."""
    coarse = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return 2 * torch.nn.functional.interpolate(coarse, size=16, mode="bilinear") - 1


def error(codec: PatchCodec, images: Tensor) -> float:
    """Mean squared error of encoding and decoding."""
    back = codec.decode(codec.encode(images).latents).sample
    return float((back - images).square().mean())


def test_all_components_are_lossless() -> None:
    images = smooth_images(40)
    assert error(PatchCodec.fit(images, 4, 48), images) < 1e-10


@given(kept=st.integers(1, 47))
def test_reconstruction_error_of_truncated_components(kept: int) -> None:
    images = smooth_images(40)
    patches = torch.nn.functional.unfold(images, 4, stride=4).transpose(1, 2).reshape(-1, 48)
    spectrum = torch.linalg.svdvals((patches - patches.mean(0)).double()).square()
    left_out = float(spectrum[kept:].sum()) / patches.numel()
    assert abs(error(PatchCodec.fit(images, 4, kept), images) - left_out) < 1e-6


def test_fit_to_the_images() -> None:
    images = smooth_images(40)
    noise = 2 * torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(1)) - 1
    fitted, other = PatchCodec.fit(images, 4, 6), PatchCodec.fit(noise, 4, 6)
    assert error(fitted, images) < 0.2 * error(other, images)


def test_encode_inverts_decode() -> None:
    codec = PatchCodec.fit(smooth_images(40), 4, 12)
    latents = torch.randn(2, 12, 4, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(codec.encode(codec.decode(latents).sample).latents, latents)


def test_scaling_factor() -> None:
    images = smooth_images(40)
    codec = PatchCodec.fit(images, 4, 12)
    latents = codec.encode(images).latents * codec.config.scaling_factor
    torch.testing.assert_close(latents.square().mean(), torch.tensor(1.0))


def test_patches_are_independent() -> None:
    codec = PatchCodec.fit(smooth_images(40), 4, 12)
    images = smooth_images(1, seed=2)
    changed = images.clone()
    changed[:, :, 4:8, 8:12] += 1
    difference = codec.encode(changed).latents - codec.encode(images).latents
    elsewhere = torch.ones(4, 4, dtype=torch.bool)
    elsewhere[1, 2] = False
    assert difference[:, :, 1, 2].abs().max() > 0.1
    assert difference[:, :, elsewhere].abs().max() < 1e-5


def test_save_and_load_pretrained(tmp_path) -> None:
    images = smooth_images(40)
    codec = PatchCodec.fit(images, 4, 12)
    codec.save_pretrained(tmp_path)
    again = PatchCodec.from_pretrained(tmp_path, use_safetensors=True)
    assert torch.equal(again.encode(images).latents, codec.encode(images).latents)
    assert again.config.scaling_factor == codec.config.scaling_factor
