"""p and q by one call of their U-Net, against a call for each."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from gs_esd.guidance.noisy_views import noise_views
from gs_esd.guidance.objectives import Predictions
from gs_esd.guidance.predict import predict_separately
from gs_esd.guidance.predict_batched import choose_predict, predict_batched
from gs_esd.priors.codec import VaeCodec
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.priors.text import PromptEmbeddings
from gs_esd.priors.unet import UnetDenoiser
from gs_esd.priors.view_prompts import interpolated_views
from gs_esd.variational.base import NeededPredictions
from gs_esd.variational.closed_form import ClosedFormLatentScore
from gs_esd.variational.lora import CameraLoraScore, LoraScore
from gs_esd.variational.lora_options import LoraOptions
from gs_esd.variational.lora_training import TrainedLora
from tests.helpers.small_images import learn, views_from
from tests.helpers.tiny_models import LATENT_SIZE, tiny_denoiser, tiny_latents, tiny_text, tiny_vae

VIEWS = views_from(torch.tensor([0.0, 1.5, 3.0]))
LOG_SNR = torch.tensor([-4.0, -1.0, 2.0])
BOTH = NeededPredictions(uncond=True, cond=True)
PROMPTS = PromptEmbeddings.from_rows(tiny_text(6))


def prior_of(denoiser: UnetDenoiser, **options: Any) -> DiffusionModelPrior:
    codec = VaeCodec(tiny_vae(), 2 * LATENT_SIZE, LATENT_SIZE)
    return DiffusionModelPrior(denoiser, codec, PROMPTS, **options)


def trained(denoiser: UnetDenoiser, kind: str = "camera") -> TrainedLora:
    """A ψ that is far from φ, of which every camera is told apart."""
    arguments = (
        *(denoiser, tiny_text(), torch.Generator().manual_seed(1)),
        LoraOptions(learning_rate=0.1, modulation_learning_rate=0.1),
    )
    score = {
        "camera": partial(CameraLoraScore, camera_dropout=0.5),
        "noise": LoraScore,
        "mixture": partial(LoraScore, mixture=6),
    }[kind](*arguments)
    for seed in (3, 3, 4, 3):
        learn(score, tiny_latents(3, seed=seed), VIEWS)
    return score


def both_ways(
    prior: DiffusionModelPrior, variational: TrainedLora, asked: NeededPredictions
) -> tuple[Predictions, Predictions]:
    x_0, eps = tiny_latents(3, seed=5), tiny_latents(3, seed=6)
    noisy = noise_views(x_0, VIEWS, LOG_SNR, eps, progress=0.0)
    args = (prior, variational, noisy, asked)
    return predict_separately(*args), predict_batched(*args)


def tensors(eps: Predictions) -> list[Tensor]:
    return [eps.phi, eps.psi_uncond, eps.psi_cond]


@pytest.mark.parametrize(
    ("kind", "prediction_type"),
    [
        ("camera", "epsilon"),
        ("camera", "v_prediction"),
        ("noise", "epsilon"),
        ("mixture", "v_prediction"),
    ],
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"guidance_scale": 1.0},
        {"view_weights": interpolated_views(1.0)},
        {"view_weights": interpolated_views(1.0), "perp_neg": True},
    ],
)
@pytest.mark.parametrize(
    "asked", [NeededPredictions(null, camera) for null in (False, True) for camera in (False, True)]
)
def test_one_call_gives_what_two_give(
    kind: str, prediction_type: str, options: dict[str, Any], asked: NeededPredictions
) -> None:
    denoiser = tiny_denoiser(prediction_type)
    apart, together = both_ways(prior_of(denoiser, **options), trained(denoiser, kind), asked)
    for expected, found in zip(tensors(apart), tensors(together), strict=True):
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)
    every = tensors(together)
    answers = [each for each, is_there in zip(every, (True, *asked), strict=True) if is_there]
    for i, one in enumerate(answers):  # otherwise rows could be exchanged
        assert all((one - other).abs().amax() > 0.01 for other in answers[:i])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_does_so_in_half_precision(dtype: torch.dtype) -> None:
    denoiser = tiny_denoiser()
    denoiser.unet.to(dtype)
    apart, together = both_ways(prior_of(denoiser), trained(denoiser), BOTH)
    for expected, found in zip(tensors(apart), tensors(together), strict=True):
        apart_by = (found - expected).square().mean().sqrt() / expected.square().mean().sqrt()
        assert float(apart_by) < (0.1 if dtype == torch.bfloat16 else 0.02)


def test_it_is_one_call_and_leaves_the_unet_as_it_was() -> None:
    denoiser = tiny_denoiser()
    prior, variational, calls = prior_of(denoiser), trained(denoiser), []
    hook = denoiser.unet.register_forward_pre_hook(lambda unet, args: calls.append(len(args[0])))
    before, _ = both_ways(prior, variational, BOTH)
    assert calls == [6, 6, 12]  # negative prompt and prompt, ∅ and c, all of three images
    hook.remove()
    after, _ = both_ways(prior, variational, BOTH)
    assert all(torch.equal(a, b) for a, b in zip(tensors(before), tensors(after), strict=True))


def test_rows_are_together_only_where_one_unet_may_have_them_all() -> None:
    denoiser, other = tiny_denoiser(), tiny_denoiser()
    variational = trained(denoiser)
    assert choose_predict(prior_of(denoiser), variational) is predict_batched
    assert choose_predict(prior_of(denoiser, rows_per_call=2), variational) is predict_separately
    assert choose_predict(prior_of(other), variational) is predict_separately
    assert (
        choose_predict(prior_of(denoiser), ClosedFormLatentScore(buffer_size=0))
        is predict_separately
    )
    denoiser.unet.compile()
    assert choose_predict(prior_of(denoiser), variational) is predict_separately
