"""Conversion between what a network predicts (ε, v or x_0) and ε.

Notation (see also gs_esd/diffusion/process.py)
    R           rows of a batch, each with its own noise level
    eps         the noise in x_t = alpha x_0 + sigma eps
    v           alpha eps - sigma x_0, predicted by v-prediction models (arXiv 2202.00512, app. D)
"""

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.diffusion.process import alpha_sigma, eps_from_x_0

PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")
"""Supported values of `prediction_type` in the configuration of a diffusers scheduler."""


def to_eps(
    predicted: Float[Tensor, "R C h w"],
    x_t: Float[Tensor, "R C h w"],
    log_snr: Float[Tensor, " R"],
    prediction_type: str,
) -> Float[Tensor, "R C h w"]:
    """Convert a prediction to ε: alpha v + sigma x_t from v, (x_t - alpha x_0) / sigma from x_0.

    Args:
        predicted: output of the network.
        x_t: its noisy input.
        log_snr: noise level of each row.
        prediction_type: one of PREDICTION_TYPES.

    Raises:
        ValueError: unknown prediction type.
    """
    match prediction_type:
        case "epsilon":
            return predicted
        case "v_prediction":
            alpha, sigma = alpha_sigma(log_snr[:, None, None, None])
            return alpha * predicted + sigma * x_t
        case "sample":
            return eps_from_x_0(x_t, predicted, log_snr)
        case other:
            raise ValueError(f"prediction_type={other} is none of {PREDICTION_TYPES}")


def training_target(
    x_0: Float[Tensor, "R C h w"],
    eps: Float[Tensor, "R C h w"],
    log_snr: Float[Tensor, " R"],
    prediction_type: str,
) -> Float[Tensor, "R C h w"]:
    """Regression target of a network for x_t = alpha x_0 + sigma eps.

    Args:
        x_0: clean images or latents.
        eps: the noise added to them.
        log_snr: noise level of each row.
        prediction_type: one of PREDICTION_TYPES.

    Raises:
        ValueError: unknown prediction type.
    """
    match prediction_type:
        case "epsilon":
            return eps
        case "v_prediction":
            alpha, sigma = alpha_sigma(log_snr[:, None, None, None])
            return alpha * eps - sigma * x_0
        case "sample":
            return x_0
        case other:
            raise ValueError(f"prediction_type={other} is none of {PREDICTION_TYPES}")


def v_weight(log_snr: Float[Tensor, " R"], prediction_type: str) -> Float[Tensor, " R"]:
    """What a squared error of a prediction counts, so that it is that of v.

    For one x_t, errors of ε, v and x_0 are proportional: v's is 1/alpha times that of ε, and
    -1/sigma times that of x_0.

    Args:
        log_snr: noise level of each row.
        prediction_type: one of PREDICTION_TYPES.

    Raises:
        ValueError: unknown prediction type.
    """
    alpha, sigma = alpha_sigma(log_snr)
    match prediction_type:
        case "epsilon":
            return alpha**-2
        case "v_prediction":
            return torch.ones_like(log_snr)
        case "sample":
            return sigma**-2
        case other:
            raise ValueError(f"prediction_type={other} is none of {PREDICTION_TYPES}")
