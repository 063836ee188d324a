"""A set of images as the prior: its ideal denoiser in closed form."""

from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gs_esd.cameras.view_names import VIEW_NAMES, view_index
from gs_esd.cameras.views import Views
from gs_esd.diffusion.entropic_time import EntropicTime
from gs_esd.diffusion.ideal_denoiser import ImageMixture
from gs_esd.diffusion.process import eps_from_x_0
from gs_esd.errors import UserError


class ImageBankPrior:
    """A finite set of equally likely images with alpha, in pixel space, as the prior.

    The images are composited over the background of each batch, so that only the object counts.
    They are held at several resolutions; the size of x_t selects one.
    """

    def __init__(
        self,
        rgba: Float[Tensor, "M 4 H W"],
        resolutions: list[int],
        labels: Int[Tensor, " M"] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Hold the images at all resolutions.

        Args:
            rgba: premultiplied, in [0, 1], square; each of `resolutions` divides its size.
            resolutions: pixels a side.
            labels: index into VIEW_NAMES of each image. A rendering is then compared only with
                the images of its own view, which stands for a view-dependent prompt.
            generator: on the CPU; draws the samples on which entropic time is measured. One with
                seed 0 if None.

        Raises:
            UserError: the labels leave a view without an image.
        """
        size = rgba.shape[-1]
        self.mixtures = {
            resolution: ImageMixture.with_support(
                rgba if resolution == size else avg_pool2d(rgba, size // resolution)
            )
            for resolution in resolutions
        }
        self.labels = labels
        if labels is not None:
            _require_every_view(labels)
        self._generator = generator or torch.Generator().manual_seed(0)

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B 3 H W"]:
        """Scale images, RGB in [0, 1], to x_0 in [-1, 1]."""
        return 2 * images.permute(0, 3, 1, 2) - 1

    def predict_noise(
        self, x_t: Float[Tensor, "B 3 h w"], log_snr: Float[Tensor, " B"], views: Views
    ) -> Float[Tensor, "B 3 h w"]:
        """Predict ε_φ with the ideal denoiser of the images."""
        own_view = None
        if self.labels is not None:
            own_view = view_index(views.cameras.azimuth)[:, None] == self.labels  # [B, M]
        mixture = self.mixtures[x_t.shape[-1]]
        x_0 = mixture.denoise(x_t, log_snr, views.background, own_view)
        return eps_from_x_0(x_t, x_0, log_snr)

    def entropic_time_to_log_snr(
        self, time: Float[Tensor, " B"], views: Views
    ) -> Float[Tensor, " B"]:
        """Convert entropic times in [0, 1] to noise levels; gs_esd/diffusion/entropic_time.py.

        Measured once, over grey at the smallest resolution, as a function of SNR times total
        variance, which hardly depends on either.
        """
        variance = self.mixtures[views.cameras.width].total_variance(views.background)
        return self._entropic_time.log_snr(time, variance)

    def main_variance(self, views: Views) -> float:
        """Largest eigenvalue of the images' covariance over the background of `views`.

        Its fraction of the total variance is measured once, over grey at the smallest resolution.
        """
        mixture = self.mixtures[views.cameras.width]
        return self._main_fraction * mixture.total_variance(views.background)

    @cached_property
    def _entropic_time(self) -> EntropicTime:
        return EntropicTime(self._smallest, self._generator)

    @cached_property
    def _main_fraction(self) -> float:
        return main_variance_fraction(self._smallest)

    @property
    def _smallest(self) -> ImageMixture:
        return self.mixtures[min(self.mixtures)]


def _require_every_view(labels: Int[Tensor, " M"]) -> None:
    missing = [name for index, name in enumerate(VIEW_NAMES) if index not in labels]
    if missing:
        raise UserError(
            f"none of the {len(labels)} images shows the object's {' or '.join(missing)}, which "
            "prior.view_prompts=true needs. Raise prior.num_images, or leave it false."
        )


def main_variance_fraction(mixture: ImageMixture) -> float:
    """Largest eigenvalue of the images' covariance relative to their total variance, over grey."""
    images = mixture.images(torch.full((3,), 0.5)).flatten(1)
    centred = images - images.mean(0)
    eigenvalues = torch.linalg.eigvalsh((centred @ centred.T).double())
    return float(eigenvalues[-1] / eigenvalues.sum())
