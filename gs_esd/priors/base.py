"""p: what every image prior offers. Nothing outside `priors/` knows how it works inside."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.diffusion.schedule import NoiseSchedule


@runtime_checkable
class DiffusionPrior(Protocol):
    """A distribution of pictures that can be denoised at any noise level."""

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """x_0 of pictures with RGB in [0, 1]; differentiable. In pixel space, [-1, 1]."""
        ...

    def predict_noise(
        self, x_t: Float[Tensor, "B C h w"], log_snr: Float[Tensor, " B"], views: Views
    ) -> Float[Tensor, "B C h w"]:
        """ε_φ: the noise that the prior sees in x_t, guidance by the prompt included."""
        ...


@runtime_checkable
class LearnedPrior(DiffusionPrior, Protocol):
    """A prior that learned at certain noise levels, and is to be asked at no others."""

    @property
    def schedule(self) -> NoiseSchedule:
        """These levels, in the order of the prior's timesteps."""
        ...
