"""Rectified flows (Stable Diffusion 3) asked as if they were variance-preserving models.

Notation (see also gs_esd/diffusion/process.py)
    s           the flow's noise level in [0, 1]
    x_s         (1 - s) x_0 + s eps, the flow's noisy image
    velocity    eps - x_0, what the network gives (arXiv 2209.03003, arXiv 2403.03206)

Both processes give the same images at the same ratio of signal to noise, up to a factor:
s = sigma / (alpha + sigma) and x_s = x_t / (alpha + sigma), so that eps = x_s + (1 - s) velocity.
"""

from diffusers import SD3Transformer2DModel
from jaxtyping import Float
from torch import Tensor

from gs_esd.diffusion.process import alpha_sigma
from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.priors.text_embeddings import TextEmbeddings

TIMESTEPS = 1000
"""The factor between s and the timesteps that the network takes."""


class FlowDenoiser:
    """ε of a variance-preserving noisy image by a transformer trained as a rectified flow."""

    def __init__(self, transformer: SD3Transformer2DModel, schedule: NoiseSchedule) -> None:
        """Take the network; it stays where it is, in the dtype it has."""
        self.transformer = transformer
        self.schedule = schedule

    def __call__(
        self, x_t: Float[Tensor, "R C h w"], log_snr: Float[Tensor, " R"], text: TextEmbeddings
    ) -> Float[Tensor, "R C h w"]:
        """ε in x_t, a noise level and a text, with a pooled part, a row."""
        assert text.pooled is not None, "a rectified flow takes pooled text"
        x_s, s = flow_of(x_t, log_snr)
        dtype = self.transformer.dtype
        velocity = self.transformer(
            hidden_states=x_s.to(dtype),
            timestep=TIMESTEPS * s,
            encoder_hidden_states=text.tokens.to(dtype),
            pooled_projections=text.pooled.to(dtype),
        ).sample
        return noise_of_velocity(velocity.float(), x_s, s)


def flow_of(
    x_t: Float[Tensor, "R C h w"], log_snr: Float[Tensor, " R"]
) -> tuple[Float[Tensor, "R C h w"], Float[Tensor, " R"]]:
    """x_s and s of noisy images of the variance-preserving process."""
    alpha, sigma = alpha_sigma(log_snr)
    scale = alpha + sigma
    return x_t / scale[:, None, None, None], sigma / scale


def noise_of_velocity(
    velocity: Float[Tensor, "R C h w"], x_s: Float[Tensor, "R C h w"], s: Float[Tensor, " R"]
) -> Float[Tensor, "R C h w"]:
    """ε = x_s + (1 - s) velocity."""
    return x_s + (1 - s)[:, None, None, None] * velocity
