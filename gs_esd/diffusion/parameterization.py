"""What a network predicts (ε, v or x_0), from and to the noise.

Notation (see also gs_esd/diffusion/process.py)
    R           rows of a batch, each with its own noise level
    eps         the noise in x_t = alpha x_0 + sigma eps
    v           alpha eps - sigma x_0, what v-prediction models give (arXiv 2202.00512, appendix D)
"""

from jaxtyping import Float
from torch import Tensor

from gs_esd.diffusion.process import alpha_sigma, eps_from_x_0

PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")
"""What a network may predict, under diffusers' names."""


def to_eps(
    predicted: Float[Tensor, "R C h w"],
    x_t: Float[Tensor, "R C h w"],
    log_snr: Float[Tensor, " R"],
    prediction_type: str,
) -> Float[Tensor, "R C h w"]:
    """ε of what a network predicted: of v, alpha v + sigma x_t; of x_0, (x_t - alpha x_0) / sigma.

    Raises ValueError for a prediction type that is none of PREDICTION_TYPES.
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
    """What a network should have predicted of x_t = alpha x_0 + sigma eps; its training target.

    Raises ValueError for a prediction type that is none of PREDICTION_TYPES.
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
