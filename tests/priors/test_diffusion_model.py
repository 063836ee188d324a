"""A diffusion model as the prior, against its denoiser on single rows."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.diffusion.cfg import perpendicular
from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.priors.codec import PixelCodec, VaeCodec
from gs_esd.priors.diffusion_model import DiffusionModelPrior, chunks
from gs_esd.priors.flow import FlowDenoiser
from gs_esd.priors.text import PromptEmbeddings, TextEmbeddings
from gs_esd.priors.unet import Denoiser
from gs_esd.priors.view_prompts import PROMPT_VIEWS, interpolated_views, nearest_view
from tests.helpers.small_images import views_from
from tests.helpers.tiny_models import (
    tiny_denoiser,
    tiny_flow,
    tiny_flow_text,
    tiny_latents,
    tiny_text,
    tiny_vae,
)

LOG_SNR = torch.tensor([-4.0, 0.0, 2.0])
VIEWS = views_from(torch.deg2rad(torch.tensor([0.0, 60.0, 160.0])))
INTERPOLATED = interpolated_views(math.radians(60))
PROMPTS = PromptEmbeddings.from_rows(tiny_text(2 + len(PROMPT_VIEWS)))


def _prior(denoiser: Denoiser | None = None, **arguments: Any) -> DiffusionModelPrior:
    vae = tiny_vae().requires_grad_(False)
    return DiffusionModelPrior(
        denoiser or tiny_denoiser("v_prediction"), VaeCodec(vae, 16, 8), PROMPTS, **arguments
    )


class CountingDenoiser:
    """A denoiser that records the number of rows of each call."""

    def __init__(self) -> None:
        self.denoiser = tiny_denoiser("v_prediction")
        self.schedule = self.denoiser.schedule
        self.calls: list[int] = []

    def __call__(self, x_t: Tensor, log_snr: Tensor, text: TextEmbeddings) -> Tensor:
        self.calls.append(len(x_t))
        return self.denoiser(x_t, log_snr, text)


def _row(prior: DiffusionModelPrior, x_t: Tensor, i: int, text: Tensor) -> Tensor:
    return prior.denoiser(x_t[i : i + 1], LOG_SNR[i : i + 1], TextEmbeddings(text))[0]


@pytest.mark.parametrize("scale", [1.0, 3.0, 7.5])
def test_classifier_free_guidance(scale: float) -> None:
    prior, x_t = _prior(guidance_scale=scale), tiny_latents(3)
    eps = prior.predict_noise(x_t, LOG_SNR, VIEWS)
    for i in range(3):
        eps_uncond = _row(prior, x_t, i, PROMPTS.negative.tokens)
        eps_cond = _row(prior, x_t, i, PROMPTS.prompt.tokens)
        expected = eps_uncond + scale * (eps_cond - eps_uncond)
        torch.testing.assert_close(eps[i], expected, atol=1e-4, rtol=1e-4)


def test_view_prompts() -> None:
    view_weights = nearest_view(math.radians(45), math.radians(45), math.radians(60))
    prior, x_t = _prior(guidance_scale=1.0, view_weights=view_weights), tiny_latents(3)
    eps = prior.predict_noise(x_t, LOG_SNR, VIEWS)
    for i, name in enumerate(("front", "side", "back")):
        place = PROMPT_VIEWS.index(name)
        expected = _row(prior, x_t, i, PROMPTS.views.tokens[place : place + 1])
        torch.testing.assert_close(eps[i], expected, atol=1e-4, rtol=1e-4)


def test_perp_neg_formula() -> None:
    prior = _prior(view_weights=INTERPOLATED, perp_neg=True)
    x_t, tokens = tiny_latents(3), PROMPTS.views.tokens
    eps = prior.predict_noise(x_t, LOG_SNR, VIEWS)
    end = math.exp(-0.5)
    # 60° is two thirds of the way from front to side, 160° seven ninths from side to back.
    weights = [[1.0, 0, 0], [1 / 3, 2 / 3, 0], [0, 2 / 9, 7 / 9]]
    negative_weights = [
        [0.0, -4 * (1 - end)],
        [-4 * (math.exp(-1 / 6) - end), -4 * (math.exp(-1 / 3) - end)],
        [-(math.exp(-1 / 9) + 4 - 5 * end), -(math.exp(-1 / 9) - end)],
    ]
    for i in range(3):
        text = torch.einsum("v,vld->ld", torch.tensor(weights[i]), tokens[:3])[None]
        eps_uncond = _row(prior, x_t, i, PROMPTS.negative.tokens)
        towards = _row(prior, x_t, i, text) - eps_uncond
        away = torch.zeros_like(towards)
        for place, weight in enumerate(negative_weights[i]):
            delta = _row(prior, x_t, i, tokens[place : place + 1]) - eps_uncond
            away += weight * perpendicular(delta[None, None], towards[None])[0, 0]
        torch.testing.assert_close(
            eps[i], eps_uncond + 7.5 * (towards + away), atol=1e-3, rtol=1e-3
        )


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        ({"guidance_scale": 1.0}, 3),
        ({}, 6),
        ({"view_weights": INTERPOLATED}, 6),
        ({"view_weights": INTERPOLATED, "perp_neg": True}, 12),
        ({"view_weights": INTERPOLATED, "perp_neg": True, "guidance_scale": 1.0}, 12),
    ],
)
def test_rows_of_denoiser_call(arguments: dict[str, Any], rows: int) -> None:
    denoiser = CountingDenoiser()
    _prior(denoiser, **arguments).predict_noise(tiny_latents(3), LOG_SNR, VIEWS)
    assert denoiser.calls == [rows]


@pytest.mark.parametrize("rows_per_call", [1, 4, 5, 100])
def test_rows_per_call(rows_per_call: int) -> None:
    denoiser, x_t = CountingDenoiser(), tiny_latents(3)
    arguments: dict[str, Any] = {"view_weights": INTERPOLATED, "perp_neg": True}
    at_once = _prior(**arguments).predict_noise(x_t, LOG_SNR, VIEWS)
    split = _prior(denoiser, rows_per_call=rows_per_call, **arguments)
    found = split.predict_noise(x_t, LOG_SNR, VIEWS)
    torch.testing.assert_close(found, at_once, atol=1e-3, rtol=1e-3)
    assert max(denoiser.calls) <= rows_per_call
    assert sum(denoiser.calls) == 12


def test_text_rows_and_guided() -> None:
    prior, x_t = _prior(view_weights=INTERPOLATED, perp_neg=True), tiny_latents(3)
    text = prior.text_rows(3, VIEWS)
    eps_rows = prior.denoiser(x_t.repeat(4, 1, 1, 1), LOG_SNR.repeat(4), text)
    expected = prior.predict_noise(x_t, LOG_SNR, VIEWS)
    assert torch.equal(prior.guided(eps_rows, VIEWS), expected)


@pytest.mark.parametrize("perp_neg", [False, True])
def test_prediction_without_views(perp_neg: bool) -> None:
    prior, x_t = _prior(view_weights=INTERPOLATED, perp_neg=perp_neg), tiny_latents(3)
    found = prior.predict_noise(x_t, LOG_SNR, None)
    assert torch.equal(found, _prior().predict_noise(x_t, LOG_SNR, VIEWS))


def test_predict_noise_has_no_gradient() -> None:
    x_t = tiny_latents(3).requires_grad_()
    assert not _prior().predict_noise(x_t, LOG_SNR, VIEWS).requires_grad


def test_encode_gradient() -> None:
    images = torch.full((2, 32, 32, 3), 0.3, requires_grad=True)
    x_0 = _prior().encode(images)
    assert x_0.shape == (2, 4, 8, 8)
    x_0.sum().backward()
    assert images.grad is not None
    assert float(images.grad.abs().max()) > 0


@pytest.mark.parametrize("views", [None, VIEWS], ids=["without views", "with views"])
def test_samples_are_seeded(views: Views | None) -> None:
    prior = _prior(view_weights=INTERPOLATED)
    first, again, other = (
        prior.sample(3, views, torch.Generator().manual_seed(seed), steps=4) for seed in (0, 0, 1)
    )
    assert first.shape == (3, 16, 16, 3)
    assert 0 <= float(first.min())
    assert float(first.max()) <= 1
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_samples_depend_on_view() -> None:
    prior = _prior(view_weights=INTERPOLATED)
    front, back = (
        prior.sample(1, views_from(azimuth), torch.Generator().manual_seed(0), steps=4)
        for azimuth in (torch.zeros(1), torch.full((1,), math.pi))
    )
    assert not torch.allclose(front, back)


def test_rectified_flow() -> None:
    schedule = NoiseSchedule.from_flow(torch.linspace(0.001, 1, 1000))
    prompts = PromptEmbeddings.from_rows(tiny_flow_text(2 + len(PROMPT_VIEWS)))
    prior = DiffusionModelPrior(
        FlowDenoiser(tiny_flow(), schedule),
        VaeCodec(tiny_vae(), 16, 8),
        prompts,
        view_weights=INTERPOLATED,
    )
    x_t = tiny_latents(3)
    eps = prior.predict_noise(x_t, LOG_SNR, VIEWS)
    text = prompts.views.weighted_sum(INTERPOLATED(VIEWS.cameras))
    eps_uncond = prior.denoiser(x_t, LOG_SNR, prompts.negative.expand(3))
    expected = eps_uncond + 7.5 * (prior.denoiser(x_t, LOG_SNR, text) - eps_uncond)
    torch.testing.assert_close(eps, expected, atol=1e-4, rtol=1e-4)
    assert prior.sample(1, None, torch.Generator().manual_seed(0), 3).shape == (1, 16, 16, 3)


def test_pixel_model() -> None:
    denoiser = tiny_denoiser(in_channels=3, out_channels=6)
    prior = DiffusionModelPrior(denoiser, PixelCodec(8), PROMPTS)
    x_0 = prior.encode(torch.full((3, 16, 16, 3), 0.3))
    assert prior.predict_noise(x_0, LOG_SNR, VIEWS).shape == x_0.shape
    assert prior.sample(1, None, torch.Generator().manual_seed(0), 3).shape == (1, 8, 8, 3)


def test_perp_neg_without_view_weights() -> None:
    with pytest.raises(ValueError, match="view_weights"):
        _prior(perp_neg=True)


@pytest.mark.parametrize(("rows", "chunk_size"), [(5, 0), (5, 2), (6, 3), (2, 7)])
def test_chunks(rows: int, chunk_size: int) -> None:
    covered = [i for part in chunks(rows, chunk_size) for i in range(rows)[part]]
    assert covered == list(range(rows))
