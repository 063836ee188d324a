"""Evaluating both scores on a batch, by a call each; one call for both: predict_batched.py."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.guidance.noisy_views import NoisyViews
from gs_esd.guidance.objectives import Predictions, Source, score_difference
from gs_esd.guidance.weighting import WeightingFn
from gs_esd.priors.base import DiffusionPrior
from gs_esd.variational.base import NeededPredictions, PsiPredictions, VariationalScore

PredictFn = Callable[[DiffusionPrior, VariationalScore, NoisyViews, NeededPredictions], Predictions]
"""Predicted noise of a batch by p and q."""


@torch.no_grad()
def predict_separately(
    prior: DiffusionPrior,
    variational: VariationalScore,
    noisy: NoisyViews,
    needed: NeededPredictions,
) -> Predictions:
    """p and q in a call each; q only if one of its predictions is needed."""
    eps_phi = prior.predict_noise(noisy.x_t, noisy.log_snr, noisy.views)
    psi = PsiPredictions(torch.zeros_like(eps_phi), torch.zeros_like(eps_phi))
    if any(needed):
        psi = variational.predict_noise(noisy.x_t, noisy.log_snr, noisy.views, needed)
    return Predictions(eps_phi, psi.uncond, psi.cond)


def distillation_gradient(
    source: Source,
    weighting: WeightingFn,
    prior: DiffusionPrior,
    variational: VariationalScore,
    noisy: NoisyViews,
    predict: PredictFn = predict_separately,
) -> Float[Tensor, "B C h w"]:
    """The gradient on x_0 of a noised batch: both scores predicted, then `score_difference`."""
    eps = predict(prior, variational, noisy, source.needed(noisy))
    return score_difference(eps, noisy, source, weighting)
