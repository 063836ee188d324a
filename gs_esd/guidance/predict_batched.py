"""Both scores by one call of the U-Net that p and q share. Imports diffusers."""

import torch

from gs_esd.guidance.noisy_views import NoisyViews
from gs_esd.guidance.objectives import Predictions
from gs_esd.guidance.predict import PredictFn, predict_separately
from gs_esd.priors.base import DiffusionPrior
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.priors.text import concatenate
from gs_esd.variational.base import NeededPredictions, VariationalScore
from gs_esd.variational.lora_training import TrainedLora


def choose_predict(prior: DiffusionPrior, variational: VariationalScore) -> PredictFn:
    """`predict_batched` where p and q are one U-Net that takes all rows at once, else separate."""
    if not isinstance(prior, DiffusionModelPrior) or not isinstance(variational, TrainedLora):
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
    assert isinstance(variational, TrainedLora)
    text_phi = prior.text_rows(len(noisy), noisy.views)
    psi_rows = variational.network_rows(noisy.views, needed)
    text_psi = variational.prompt.expand(len(psi_rows.image))
    phi_rows = len(text_phi)
    phi_image = torch.arange(phi_rows, device=noisy.x_t.device) % len(noisy)
    image = torch.cat([phi_image, psi_rows.image])
    with (
        variational.adapter.enabled_from(phi_rows),
        variational.conditioned(psi_rows.conditions, first=phi_rows),
    ):
        text = concatenate([text_phi, text_psi])
        eps = variational.denoiser(noisy.x_t[image], noisy.log_snr[image], text)
    eps_phi = prior.guided(eps[:phi_rows], noisy.views)
    psi = variational.assemble(
        eps[phi_rows:], psi_rows.image, noisy.x_t, noisy.log_snr, noisy.views, needed
    )
    return Predictions(eps_phi, psi.uncond, psi.cond)
