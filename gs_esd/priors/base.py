"""p: the protocols of image priors. Nothing outside `priors/` knows how one works inside."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.diffusion.schedule import NoiseSchedule


@runtime_checkable
class DiffusionPrior(Protocol):
    """A distribution of images, given by its noise prediction at any noise level."""

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """x_0 of images with RGB in [0, 1]; differentiable. In pixel space, [-1, 1]."""
        ...

    def predict_noise(
        self, x_t: Float[Tensor, "B C h w"], log_snr: Float[Tensor, " B"], views: Views
    ) -> Float[Tensor, "B C h w"]:
        """ε_φ, the noise predicted in x_t; classifier-free guidance by the prompt included."""
        ...


@runtime_checkable
class LearnedPrior(DiffusionPrior, Protocol):
    """A prior that was trained at certain noise levels, and is evaluated at no others."""

    @property
    def schedule(self) -> NoiseSchedule:
        """These levels, in the order of the prior's timesteps."""
        ...


@runtime_checkable
class ImageSetPrior(DiffusionPrior, Protocol):
    """A prior that is a set of images, and so knows how they are spread."""

    def entropic_time_to_log_snr(
        self, time: Float[Tensor, " B"], views: Views
    ) -> Float[Tensor, " B"]:
        """Noise levels at which a noisy image tells a fraction `time` of which image it is."""
        ...

    def main_variance(self, views: Views) -> float:
        """The largest eigenvalue of the images' covariance, over the background of `views`."""
        ...
