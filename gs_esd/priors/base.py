"""Protocols of image priors p: the interface that the rest of the package depends on."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.diffusion.schedule import NoiseSchedule


@runtime_checkable
class DiffusionPrior(Protocol):
    """A distribution of images, represented by its noise prediction at any noise level.

    A new prior is a class with these two methods, a dataclass in gs_esd/config/options.py, and a
    line each in gs_esd/build/distributions.py and gs_esd/config/kinds.py.
    """

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """Encode images, RGB in [0, 1], to x_0: latents, or pixels in [-1, 1]; differentiable."""
        ...

    def predict_noise(
        self, x_t: Float[Tensor, "B C h w"], log_snr: Float[Tensor, " B"], views: Views
    ) -> Float[Tensor, "B C h w"]:
        """Predict ε_φ(x_t; y), including classifier-free guidance.

        Args:
            x_t: noisy images in the space of x_0.
            log_snr: noise level of each.
            views: their cameras and background, on which view-dependent prompts depend.
        """
        ...


@runtime_checkable
class LearnedPrior(DiffusionPrior, Protocol):
    """A network, which can be evaluated only at the noise levels it was trained at."""

    @property
    def schedule(self) -> NoiseSchedule:
        """Noise levels of its timesteps."""
        ...


@runtime_checkable
class ImageSetPrior(DiffusionPrior, Protocol):
    """A finite set of images, whose statistics are available in closed form."""

    def entropic_time_to_log_snr(
        self, time: Float[Tensor, " B"], views: Views
    ) -> Float[Tensor, " B"]:
        """Convert entropic times in [0, 1] to noise levels, over the background of `views`."""
        ...

    def main_variance(self, views: Views) -> float:
        """Largest eigenvalue of the images' covariance, over the background of `views`."""
        ...
