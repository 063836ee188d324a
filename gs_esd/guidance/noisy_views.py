"""A batch of noised renderings, and what is known of it: the input of every objective."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.diffusion.process import add_noise


@dataclass(frozen=True)
class NoisyViews:
    """A batch of noised renderings x_t, the noise eps in them, its level, and their views.

    progress: the fraction of the run that is done, for what changes over a run.
    """

    x_t: Float[Tensor, "B C h w"]
    eps: Float[Tensor, "B C h w"]
    log_snr: Float[Tensor, " B"]
    views: Views
    progress: float

    def __len__(self) -> int:
        """Number of renderings B."""
        return len(self.x_t)

    def __getitem__(self, rows: slice) -> "NoisyViews":
        """Some of the renderings."""
        x_t, eps, log_snr = self.x_t[rows], self.eps[rows], self.log_snr[rows]
        return NoisyViews(x_t, eps, log_snr, self.views[rows], self.progress)


def noise_views(
    x_0: Float[Tensor, "B C h w"],
    views: Views,
    log_snr: Float[Tensor, " B"],
    eps: Float[Tensor, "B C h w"],
    progress: float,
) -> NoisyViews:
    """x_t = alpha x_0 + sigma eps, each rendering at its own noise level."""
    return NoisyViews(add_noise(x_0, eps, log_snr), eps, log_snr, views, progress)
