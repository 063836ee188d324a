"""p in closed form: the exact denoiser of a bank of images."""

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
    """A finite set of equally likely images with alpha, in pixel space.

    The images are put on the background of the batch that is asked about, so that only the
    object counts. They are kept at several resolutions; the size of x_t picks one.
    """

    def __init__(
        self,
        rgba: Float[Tensor, "M 4 H W"],
        resolutions: list[int],
        labels: Int[Tensor, " M"] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Take the images.

        rgba: premultiplied, in [0, 1], square; each of `resolutions` divides its size.
        labels: which of VIEW_NAMES each image is of; a rendering is then compared with those of
            its own view only, as a view-dependent prompt would have it.
        generator: on the CPU; draws what entropic time is measured on, one seeded 0 if None.

        Raises UserError for labels that leave a view without an image.
        """
        size = rgba.shape[-1]
        self.mixtures = {
            resolution: ImageMixture.of_bank(
                rgba if resolution == size else avg_pool2d(rgba, size // resolution)
            )
            for resolution in resolutions
        }
        self.labels = labels
        if labels is not None:
            _require_every_view(labels)
        self._generator = generator or torch.Generator().manual_seed(0)

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B 3 H W"]:
        """Images with RGB in [0, 1] as x_0 in [-1, 1]."""
        return 2 * images.permute(0, 3, 1, 2) - 1

    def predict_noise(
        self, x_t: Float[Tensor, "B 3 h w"], log_snr: Float[Tensor, " B"], views: Views
    ) -> Float[Tensor, "B 3 h w"]:
        """ε_φ of the noised bank, exactly."""
        own_view = None
        if self.labels is not None:
            own_view = view_index(views.cameras.azimuth)[:, None] == self.labels  # [B, M]
        mixture = self.mixtures[x_t.shape[-1]]
        x_0 = mixture.denoise(x_t, log_snr, views.background, own_view)
        return eps_from_x_0(x_t, x_0, log_snr)

    def entropic_time_to_log_snr(
        self, time: Float[Tensor, " B"], views: Views
    ) -> Float[Tensor, " B"]:
        """Noise levels at entropic times in [0, 1]; see gs_esd/diffusion/entropic_time.py."""
        variance = self.mixtures[views.cameras.width].total_variance(views.background)
        return self._entropic_time.log_snr(time, variance)

    def main_variance(self, views: Views) -> float:
        """The largest eigenvalue of the images' covariance over the background of `views`.

        Its share of the total variance is measured once, over grey at the smallest resolution.
        """
        mixture = self.mixtures[views.cameras.width]
        return self._main_share * mixture.total_variance(views.background)

    @cached_property
    def _entropic_time(self) -> EntropicTime:
        return EntropicTime(self._smallest, self._generator)

    @cached_property
    def _main_share(self) -> float:
        return main_share(self._smallest)

    @property
    def _smallest(self) -> ImageMixture:
        return self.mixtures[min(self.mixtures)]


def _require_every_view(labels: Int[Tensor, " M"]) -> None:
    shown = set(labels.tolist())
    missing = [name for index, name in enumerate(VIEW_NAMES) if index not in shown]
    if missing:
        raise UserError(
            f"none of the {len(labels)} images shows the object's {' or '.join(missing)}, which "
            "prior.view_prompts=true would ask for. Raise prior.num_images, or leave it false."
        )


def main_share(mixture: ImageMixture) -> float:
    """The share of the bank's total variance that lies along its main direction, over grey."""
    images = mixture.over(torch.full((3,), 0.5)).flatten(1)
    centred = images - images.mean(0)
    eigenvalues = torch.linalg.eigvalsh((centred @ centred.T).double())
    return float(eigenvalues[-1] / eigenvalues.sum())
