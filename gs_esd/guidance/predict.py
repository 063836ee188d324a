"""Evaluating both scores on a batch, by a call each; one call for both: predict_batched.py.

Notation (see also gs_esd/guidance/objectives.py)
    R           rows of a call of q: each image once for every branch that is needed
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gs_esd.guidance.noisy_views import NoisyViews
from gs_esd.guidance.objectives import NeededPredictions, Predictions, Source, score_difference
from gs_esd.guidance.weighting import WeightingFn
from gs_esd.priors.base import DiffusionPrior
from gs_esd.variational.base import VariationalScore

PredictFn = Callable[[DiffusionPrior, VariationalScore, NoisyViews, NeededPredictions], Predictions]
"""Predicted noise of a batch by p and q."""


@torch.no_grad()
def predict_separately(
    prior: DiffusionPrior,
    variational: VariationalScore,
    noisy: NoisyViews,
    needed: NeededPredictions,
) -> Predictions:
    """p and q in a call each, both branches of q in one."""
    eps_phi = prior.predict_noise(noisy.x_t, noisy.log_snr, noisy.views)
    image, uncond = query_rows(noisy, needed)
    if not any(needed):
        return split_rows(eps_phi, noisy.x_t[image], needed)
    eps_psi = variational.predict_noise(
        noisy.x_t[image], noisy.log_snr[image], noisy.views[image], uncond=uncond
    )
    return split_rows(eps_phi, eps_psi, needed)


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


def query_rows(
    noisy: NoisyViews, needed: NeededPredictions
) -> tuple[Int[Tensor, " R"], Bool[Tensor, " R"]]:
    """The rows of a call of q, unconditional ones first: the index of each image, and `uncond`."""
    n = len(noisy)
    rows = torch.arange((needed.uncond + needed.cond) * n, device=noisy.x_t.device)
    return rows % n, rows < needed.uncond * n


def split_rows(
    eps_phi: Float[Tensor, "B C h w"], eps_psi: Float[Tensor, "R C h w"], needed: NeededPredictions
) -> Predictions:
    """The predictions by name, from the output of q for `query_rows`."""
    zeros = torch.zeros_like(eps_phi)
    return Predictions(
        eps_phi,
        eps_psi[: len(eps_phi)] if needed.uncond else zeros,
        eps_psi[-len(eps_phi) :] if needed.cond else zeros,
    )
