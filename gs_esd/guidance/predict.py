"""p and q asked by one call of the U-Net that they share.

A GPU is not busy with a few pictures at a time, and spends most of a call waiting for its next
instruction: one call with all rows takes less time than one for φ and one for ψ.

Notation (see also gs_esd/guidance/objectives.py)
    R           rows of the call: all prompts of ε_φ, then what is asked of ε_ψ
"""

import torch

from gs_esd.guidance.objectives import Ask, Branches, NoisyViews, Predictions, ask_apart
from gs_esd.priors.base import DiffusionPrior
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.priors.text_embeddings import concatenated
from gs_esd.variational.base import RenderedScore
from gs_esd.variational.lora import LoraRenderedScore


def how_to_ask(prior: DiffusionPrior, rendered: RenderedScore) -> Ask:
    """Together where p and q are one U-Net that may have all rows at once, else apart."""
    if not isinstance(prior, DiffusionModelPrior) or not isinstance(rendered, LoraRenderedScore):
        return ask_apart
    is_shared = prior.denoiser is rendered.denoiser
    # A compiled U-Net would take no notice of the hooks that tell rows apart.
    is_compiled = rendered.denoiser.unet._compiled_call_impl is not None
    return ask_together if is_shared and not (prior.rows_per_call or is_compiled) else ask_apart


@torch.no_grad()
def ask_together(
    prior: DiffusionPrior, rendered: RenderedScore, noisy: NoisyViews, asked: Branches
) -> Predictions:
    """ε_φ and ε_ψ by one call. What `gs_esd.guidance.objectives.ask_apart` gives by two."""
    assert isinstance(prior, DiffusionModelPrior)
    assert isinstance(rendered, LoraRenderedScore)
    of, marginal = asked.rows(noisy)
    text_phi = prior.text_rows(len(noisy.x_t), noisy.views)
    text_psi, camera = rendered.told(noisy.views.cameras[of], marginal)
    every = torch.cat([torch.arange(len(text_phi), device=of.device) % len(noisy.x_t), of])
    no_camera = camera.new_zeros(len(text_phi), camera.shape[1])
    with rendered.adapter.enabled_from(len(text_phi)):
        eps = rendered.denoiser(
            noisy.x_t[every],
            noisy.log_snr[every],
            concatenated([text_phi, text_psi]),
            torch.cat([no_camera, camera]),
        )
    phi = prior.guided(eps[: len(text_phi)], noisy.views)
    return Predictions.of(phi, eps[len(text_phi) :], asked)
