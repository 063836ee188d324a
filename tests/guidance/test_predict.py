"""p and q by one call of their U-Net, against a call for each."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gs_esd.guidance.objectives import Branches, Predictions, ask_apart, noised
from gs_esd.guidance.predict import ask_together, how_to_ask
from gs_esd.priors.codec import VaeCodec
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.priors.text import Prompts
from gs_esd.priors.unet import UnetDenoiser
from gs_esd.priors.view_prompts import interpolated_views
from gs_esd.variational.latent_mixture import LatentMixtureScore
from gs_esd.variational.lora import LoraRenderedScore
from tests.helpers.small_images import renderings_of, views_from
from tests.helpers.tiny_models import LATENT_SIZE, tiny_denoiser, tiny_latents, tiny_text, tiny_vae

VIEWS = views_from(torch.tensor([0.0, 1.5, 3.0]))
LOG_SNR = torch.tensor([-4.0, -1.0, 2.0])
BOTH = Branches(null=True, camera=True)
PROMPTS = Prompts.from_rows(tiny_text(6))


def prior_of(denoiser: UnetDenoiser, **options: Any) -> DiffusionModelPrior:
    codec = VaeCodec(tiny_vae(), 2 * LATENT_SIZE, LATENT_SIZE)
    return DiffusionModelPrior(denoiser, codec, PROMPTS, **options)


def trained(denoiser: UnetDenoiser) -> LoraRenderedScore:
    """A ψ that is far from φ, of which every camera is told apart."""
    generator = torch.Generator().manual_seed(1)
    score = LoraRenderedScore(
        denoiser, tiny_text(), generator, learning_rate=0.1, camera_dropout=0.5
    )
    for _ in range(4):
        score.update(renderings_of(torch.zeros(3, 4, 8, 8)), tiny_latents(3, seed=3), VIEWS)
    return score


def both_ways(
    prior: DiffusionModelPrior, rendered: LoraRenderedScore, asked: Branches
) -> tuple[Predictions, Predictions]:
    x_0, eps = tiny_latents(3, seed=5), tiny_latents(3, seed=6)
    noisy = noised(x_0, VIEWS, LOG_SNR, eps, progress=0.0)
    args = (prior, rendered, noisy, asked)
    return ask_apart(*args), ask_together(*args)


def tensors(eps: Predictions) -> list[Tensor]:
    return [eps.phi, eps.psi_null, eps.psi_camera]


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
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
    "asked", [Branches(null, camera) for null in (False, True) for camera in (False, True)]
)
def test_one_call_gives_what_two_give(
    prediction_type: str, options: dict[str, Any], asked: Branches
) -> None:
    denoiser = tiny_denoiser(prediction_type)
    apart, together = both_ways(prior_of(denoiser, **options), trained(denoiser), asked)
    for expected, found in zip(tensors(apart), tensors(together), strict=True):
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)
    every = tensors(together)
    answers = [each for each, is_there in zip(every, (True, *asked), strict=True) if is_there]
    for i, one in enumerate(answers):  # otherwise rows could be exchanged
        assert all((one - other).abs().amax() > 0.05 for other in answers[:i])


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
    prior, rendered, calls = prior_of(denoiser), trained(denoiser), []
    hook = denoiser.unet.register_forward_pre_hook(lambda unet, args: calls.append(len(args[0])))
    before, _ = both_ways(prior, rendered, BOTH)
    assert calls == [6, 6, 12]  # negative prompt and prompt, ∅ and c, all of three pictures
    hook.remove()
    after, _ = both_ways(prior, rendered, BOTH)
    assert all(torch.equal(a, b) for a, b in zip(tensors(before), tensors(after), strict=True))


def test_rows_are_together_only_where_one_unet_may_have_them_all() -> None:
    denoiser, other = tiny_denoiser(), tiny_denoiser()
    rendered = trained(denoiser)
    assert how_to_ask(prior_of(denoiser), rendered) is ask_together
    assert how_to_ask(prior_of(denoiser, rows_per_call=2), rendered) is ask_apart
    assert how_to_ask(prior_of(other), rendered) is ask_apart
    assert how_to_ask(prior_of(denoiser), LatentMixtureScore(memory=0)) is ask_apart
    denoiser.unet.compile()
    assert how_to_ask(prior_of(denoiser), rendered) is ask_apart
