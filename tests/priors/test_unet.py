"""ε-prediction by a U-Net with any prediction type."""

import copy

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor

from gs_esd.diffusion.parameterization import PREDICTION_TYPES, to_eps, training_target
from gs_esd.diffusion.process import add_noise
from gs_esd.priors.unet import UnetDenoiser
from tests.helpers.tiny_models import (
    tiny_denoiser,
    tiny_latents,
    tiny_schedule,
    tiny_text,
    tiny_unet,
)

LOG_SNR = torch.tensor([-20.0, -4.0, 0.0, 5.0])


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_to_eps_inverts_training_target(prediction_type: str) -> None:
    x_0, eps = tiny_latents(4, seed=1).double(), tiny_latents(4, seed=2).double()
    log_snr = LOG_SNR.double()
    perfect = training_target(x_0, eps, log_snr, prediction_type)
    x_t = add_noise(x_0, eps, log_snr)
    torch.testing.assert_close(to_eps(perfect, x_t, log_snr, prediction_type), eps)


def test_v_is_a_rotation() -> None:
    # (x_t, v) is (x_0, eps) turned by the angle whose cosine is alpha.
    x_0, eps = tiny_latents(4, seed=1).double(), tiny_latents(4, seed=2).double()
    angle = (1 / (1 + (-LOG_SNR.double()).exp())).sqrt().acos()[:, None, None, None]
    expected = angle.cos() * eps - angle.sin() * x_0
    torch.testing.assert_close(
        training_target(x_0, eps, LOG_SNR.double(), "v_prediction"), expected
    )


def test_integer_timesteps() -> None:
    denoiser, x_t, text = tiny_denoiser(), tiny_latents(3), tiny_text(3)
    timesteps = torch.tensor([0, 421, 999])
    eps = denoiser(x_t, denoiser.schedule.log_snr[timesteps], text)
    expected = denoiser.unet(x_t, timesteps, encoder_hidden_states=text.tokens).sample
    assert torch.equal(eps, expected)


def test_fractional_timesteps() -> None:
    denoiser, x_t, text = tiny_denoiser(), tiny_latents(1), tiny_text()
    levels = denoiser.schedule.log_snr
    left, right = (denoiser(x_t, levels[i : i + 1], text) for i in (100, 101))
    between = denoiser(x_t, levels[100:102].mean(0, keepdim=True), text)
    assert 0 < (between - left).norm() < (right - left).norm()
    assert 0 < (between - right).norm() < (right - left).norm()


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_rows_are_independent(prediction_type: str) -> None:
    denoiser, x_t, text = tiny_denoiser(prediction_type), tiny_latents(4), tiny_text(4)
    together = denoiser(x_t, LOG_SNR, text)
    for i in range(4):
        alone = denoiser(x_t[i : i + 1], LOG_SNR[i : i + 1], text[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)


def test_learned_variance_channels() -> None:
    denoiser, x_t = tiny_denoiser(out_channels=8), tiny_latents(2)
    output = denoiser.unet(
        x_t, denoiser.schedule.log_snr_to_t(LOG_SNR[:2]), tiny_text(2).tokens
    ).sample
    eps = denoiser(x_t, LOG_SNR[:2], tiny_text(2))
    assert torch.equal(eps, output[:, :4])


def test_half_precision() -> None:
    unet, x_t = tiny_unet(), tiny_latents(4)
    expected = UnetDenoiser(unet, tiny_schedule(), "v_prediction")(x_t, LOG_SNR, tiny_text(4))
    half = UnetDenoiser(unet.to(torch.bfloat16), tiny_schedule(), "v_prediction")
    eps = half(x_t, LOG_SNR, tiny_text(4))
    assert eps.dtype == torch.float32
    torch.testing.assert_close(eps, expected, atol=0.05, rtol=0.05)


def test_attention_scores_beyond_float16() -> None:
    unet = tiny_unet()
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if name.endswith((".attn1.to_q.weight", ".attn1.to_k.weight")):
                weight *= 1500
    assert _attention_scores(unet) > torch.finfo(torch.float16).max
    # What "upcast_attention" of Stable Diffusion 2.1 is for; torch's fused attention needs none.
    for upcast in (False, True):
        for layer in unet.modules():
            if isinstance(layer, Attention):
                layer.upcast_attention = upcast
        half = UnetDenoiser(copy.deepcopy(unet).half(), tiny_schedule(), "v_prediction")
        eps = half(tiny_latents(4), LOG_SNR, tiny_text(4))
        assert bool(eps.isfinite().all())


def _attention_scores(unet: UNet2DConditionModel) -> float:
    """The largest product of a query and a key, in float32."""
    found: list[Tensor] = []
    layer = next(layer for layer in unet.modules() if isinstance(layer, Attention))
    layer.to_q.register_forward_hook(lambda module, args, output: found.append(output))
    layer.to_k.register_forward_hook(lambda module, args, output: found.append(output))
    UnetDenoiser(unet, tiny_schedule(), "v_prediction")(tiny_latents(4), LOG_SNR, tiny_text(4))
    query, key = (each.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for each in found)
    return float((query @ key.mT).detach().abs().max())


def test_unknown_prediction_type() -> None:
    with pytest.raises(ValueError, match="v_prediction"):
        UnetDenoiser(tiny_unet(), tiny_schedule(), "x0")
