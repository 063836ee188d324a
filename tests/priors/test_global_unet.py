"""The bundled model's denoiser: a U-Net where there is little noise, the global path in much."""

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from gs_esd.priors.global_unet import MIDDLE, GlobalUnet
from tests.helpers.tiny_models import tiny_unet

SIZE = 8


@pytest.fixture(scope="module")
def unet() -> GlobalUnet:
    """A small one whose global path has learned something."""
    torch.manual_seed(0)
    config = {name: value for name, value in tiny_unet(sample_size=SIZE).config.items()}
    made = GlobalUnet(**{name: value for name, value in config.items() if name[0] != "_"}).eval()
    torch.nn.init.normal_(made.global_path.last.weight, std=0.1)
    return made


def inputs(unet: GlobalUnet, n: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(n, unet.config.in_channels, SIZE, SIZE, generator=generator)
    return sample, torch.randn(n, 5, unet.config.cross_attention_dim, generator=generator)


@torch.no_grad()
def test_noise_decides_who_predicts(unet: GlobalUnet) -> None:
    sample, text = inputs(unet)
    t = torch.tensor([0.0, MIDDLE, 999.0])
    predicted = unet(sample, t, encoder_hidden_states=text).sample
    local = unet.predict_local(sample, t, text)
    by_path = unet.predict_global(sample, t, text)
    torch.testing.assert_close(predicted[0], local[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(predicted[1], (local[1] + by_path[1]) / 2)
    torch.testing.assert_close(predicted[2], by_path[2], atol=1e-3, rtol=1e-3)
    assert float((local - by_path).abs().mean()) > 0.01


@torch.no_grad()
def test_one_timestep_for_all_rows_and_a_tuple(unet: GlobalUnet) -> None:
    sample, text = inputs(unet)
    (as_tuple,) = unet(sample, 700, text, return_dict=False)
    torch.testing.assert_close(as_tuple, unet(sample, torch.full((3,), 700), text).sample)


@torch.no_grad()
def test_the_local_part_is_diffusers_own(unet: GlobalUnet) -> None:
    config = {name: value for name, value in unet.config.items() if name[0] != "_"}
    plain = UNet2DConditionModel(**config).eval()
    missing, _ = plain.load_state_dict(unet.state_dict(), strict=False)
    assert not missing
    sample, text = inputs(unet)
    t = torch.tensor([10.0, 500.0, 990.0])
    expected = plain(sample, t, encoder_hidden_states=text).sample
    assert torch.equal(unet.predict_local(sample, t, text), expected)


@torch.no_grad()
def test_the_path_sees_the_whole_image_and_the_text(unet: GlobalUnet) -> None:
    sample, text = inputs(unet, 1)
    t = torch.tensor([990.0])
    before = unet(sample, t, text).sample
    sample[0, 0, 0, 0] += 5
    moved = (unet(sample, t, text).sample - before).abs()
    assert float(moved[..., -1, -1].max()) > 1e-4
    other = unet(sample, t, text.flip(-1)).sample
    assert float((other - unet(sample, t, text).sample).abs().max()) > 1e-4


@torch.no_grad()
def test_saved_and_loaded_in_diffusers_format(unet: GlobalUnet, tmp_path: Path) -> None:
    unet.save_pretrained(tmp_path)
    loaded = GlobalUnet.from_pretrained(tmp_path).eval()
    sample, text = inputs(unet)
    t = torch.tensor([10.0, 500.0, 990.0])
    assert torch.equal(loaded(sample, t, text).sample, unet(sample, t, text).sample)


def test_an_untrained_path_predicts_nothing() -> None:
    config = {name: value for name, value in tiny_unet(sample_size=SIZE).config.items()}
    unet = GlobalUnet(**{name: value for name, value in config.items() if name[0] != "_"})
    sample, text = inputs(unet)
    assert not bool(unet.predict_global(sample, torch.tensor([1.0, 2.0, 3.0]), text).any())
