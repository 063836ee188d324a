"""Both scores by one call of the U-Net that p and q share. Imports diffusers."""

import torch

from gs_esd.guidance.noisy_views import NoisyViews
from gs_esd.guidance.objectives import NeededPredictions, Predictions
from gs_esd.guidance.predict import PredictFn, predict_separately, query_rows, split_rows
from gs_esd.priors.base import DiffusionPrior
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.priors.text import concatenate
from gs_esd.variational.base import VariationalScore
from gs_esd.variational.lora import LoraScore


def choose_predict(prior: DiffusionPrior, variational: VariationalScore) -> PredictFn:
    """`predict_batched` where p and q are one U-Net that takes all rows at once, else separate."""
    if not isinstance(prior, DiffusionModelPrior) or not isinstance(variational, LoraScore):
        return predict_separately
    is_shared = prior.denoiser is variational.denoiser
    # A compiled U-Net ignores the hooks by which rows of ψ differ from rows of φ.
    is_compiled = variational.denoiser.unet._compiled_call_impl is not None
    is_one_call = is_shared and not prior.rows_per_call and not is_compiled
    return predict_batched if is_one_call else predict_separately


@torch.no_grad()
def predict_batched(
    prior: DiffusionPrior,
    variational: VariationalScore,
    noisy: NoisyViews,
    needed: NeededPredictions,
) -> Predictions:
    """p and q in one call of the U-Net they share; gives what `predict_separately` gives.

    A few images leave a GPU idle between kernel launches: one call takes less time than two.
    """
    assert isinstance(prior, DiffusionModelPrior)
    assert isinstance(variational, LoraScore)
    image, uncond = query_rows(noisy, needed)
    text_phi = prior.text_rows(len(noisy), noisy.views)
    text_psi, camera = variational.conditioning(noisy.views.cameras[image], uncond)
    rows = torch.cat([torch.arange(len(text_phi), device=image.device) % len(noisy), image])
    no_camera = camera.new_zeros(len(text_phi), camera.shape[1])
    with variational.adapter.enabled_from(len(text_phi)):
        eps = variational.denoiser(
            noisy.x_t[rows],
            noisy.log_snr[rows],
            concatenate([text_phi, text_psi]),
            torch.cat([no_camera, camera]),
        )
    eps_phi = prior.guided(eps[: len(text_phi)], noisy.views)
    return split_rows(eps_phi, eps[len(text_phi) :], needed)
