"""Wraps a rectified-flow model (SD3) as an ε-predictor of the variance-preserving process.

Notation (see also gs_esd/diffusion/process.py)
    s           the flow's noise level in [0, 1]
    x_s         (1 - s) x_0 + s eps, the flow's noisy image
    velocity    eps - x_0, the output of the network (arXiv 2209.03003, arXiv 2403.03206)

At the same SNR both processes have the same noisy image up to a factor: s = sigma / (alpha + sigma)
and x_s = x_t / (alpha + sigma). Hence eps = x_s + (1 - s) velocity.
"""

from diffusers import SD3Transformer2DModel
from jaxtyping import Float
from torch import Tensor

from gs_esd.diffusion.process import alpha_sigma
from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.priors.text import TextEmbeddings

NUM_TIMESTEPS = 1000
"""Factor from s to the timestep input of the network."""


class FlowDenoiser:
    """ε-prediction of the variance-preserving process by a rectified-flow transformer."""

    def __init__(self, transformer: SD3Transformer2DModel, schedule: NoiseSchedule) -> None:
        """Wrap a network, which runs on its device in its dtype.

        Args:
            transformer: with frozen weights.
            schedule: noise levels it was trained at.
        """
        self.transformer = transformer
        self.schedule = schedule

    def __call__(
        self, x_t: Float[Tensor, "R C h w"], log_snr: Float[Tensor, " R"], text: TextEmbeddings
    ) -> Float[Tensor, "R C h w"]:
        """Predict ε in float32; `text` must have pooled embeddings."""
        assert text.pooled is not None, "SD3 needs pooled text embeddings"
        x_s, s = to_flow(x_t, log_snr)
        dtype = self.transformer.dtype
        velocity = self.transformer(
            hidden_states=x_s.to(dtype),
            timestep=NUM_TIMESTEPS * s,
            encoder_hidden_states=text.tokens.to(dtype),
            pooled_projections=text.pooled.to(dtype),
        ).sample
        return velocity_to_eps(velocity.float(), x_s, s)


def to_flow(
    x_t: Float[Tensor, "R C h w"], log_snr: Float[Tensor, " R"]
) -> tuple[Float[Tensor, "R C h w"], Float[Tensor, " R"]]:
    """Convert noisy images of the variance-preserving process to x_s and s of the flow."""
    alpha, sigma = alpha_sigma(log_snr)
    scale = alpha + sigma
    return x_t / scale[:, None, None, None], sigma / scale


def velocity_to_eps(
    velocity: Float[Tensor, "R C h w"], x_s: Float[Tensor, "R C h w"], s: Float[Tensor, " R"]
) -> Float[Tensor, "R C h w"]:
    """Convert a velocity to ε = x_s + (1 - s) velocity."""
    return x_s + (1 - s)[:, None, None, None] * velocity
