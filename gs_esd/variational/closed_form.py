"""q in closed form: the exact mixture over the current batch and recent renderings.

For one set of splats, q(x_t | c) is a Gaussian about the rendering from c, and q(x_t) the mixture
of these over cameras. Both branches are the same mixture: ∅ over all rows held, c over those
rendered from c.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.diffusion.ideal_denoiser import ImageMixture, log_posterior, moments_of, posterior_mean
from gs_esd.diffusion.process import eps_from_x_0
from gs_esd.render.renderings import Renderings
from gs_esd.system.device import Scalars
from gs_esd.variational.ring_buffer import RingBuffer


class ClosedFormScore(ABC):
    """Exact score of the last `buffer_size` renderings and the current batch, equally weighted."""

    def __init__(self, buffer_size: int) -> None:
        """buffer_size: renderings held besides the current batch."""
        self._buffer = RingBuffer(buffer_size)

    def update(
        self, renderings: Renderings, x_0: Float[Tensor, "B C h w"], views: Views
    ) -> Scalars:
        """Add a batch over the oldest renderings; one of another shape empties the buffer first."""
        self._buffer.append(views.cameras, **self._rows(renderings, x_0))
        return {"buffer": float(len(self._buffer))}

    @torch.no_grad()
    def predict_noise(
        self,
        x_t: Float[Tensor, "B C h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        *,
        uncond: Bool[Tensor, " B"],
    ) -> Float[Tensor, "B C h w"]:
        """ε_ψ(∅) where `uncond`, else ε_ψ(c), exactly.

        Raises:
            ValueError: the buffer holds no rendering of one of the cameras.
        """
        x_0 = self._denoise(x_t, log_snr, views, self._allowed(views, uncond))
        return eps_from_x_0(x_t, x_0, log_snr)

    def _allowed(self, views: Views, uncond: Bool[Tensor, " B"]) -> Bool[Tensor, "B M"] | None:
        """Mask of the rows held that each x_t may be of; None where all may be."""
        if bool(uncond.all()):
            return None
        allowed = uncond[:, None] | self._buffer.from_same_camera(views.cameras)
        if not bool(allowed.any(dim=1).all()):
            raise ValueError("no rendering from one of these cameras: call update() first")
        return allowed

    @abstractmethod
    def _rows(self, renderings: Renderings, x_0: Tensor) -> dict[str, Tensor]:
        """What the buffer holds of a batch."""

    @abstractmethod
    def _denoise(
        self,
        x_t: Float[Tensor, "B C h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        allowed: Bool[Tensor, "B M"] | None,
    ) -> Float[Tensor, "B C h w"]:
        """E[x_0 | x_t] over the allowed rows."""

    def state_dict(self) -> dict[str, Tensor]:
        """The buffered renderings, their cameras, and where the next ones go."""
        return self._buffer.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        self._buffer.load_state_dict(state)


class ClosedFormPixelScore(ClosedFormScore):
    """The closed form for priors in pixel space: renderings are held with alpha.

    So they can be composited over the background of any later batch.
    """

    def _rows(self, renderings: Renderings, x_0: Tensor) -> dict[str, Tensor]:
        rgba = torch.cat([renderings.rgb, renderings.alpha], dim=-1).detach().permute(0, 3, 1, 2)
        return {"rgba": rgba, "moments": moments_of(rgba)}

    def _denoise(
        self,
        x_t: Float[Tensor, "B 3 h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        allowed: Bool[Tensor, "B M"] | None,
    ) -> Float[Tensor, "B 3 h w"]:
        mixture = ImageMixture(self._buffer["rgba"], moments=self._buffer["moments"])
        return mixture.denoise(x_t, log_snr, views.background, allowed)


class ClosedFormLatentScore(ClosedFormScore):
    """The closed form for priors that encode: x_0 is held as it was encoded.

    A latent is not linear in the background, so each row stays on the background it was encoded
    over. Where that is another one at every step, ε_ψ(∅) is over backgrounds as well, as is the
    score of a prior trained on all of them.
    """

    def _rows(self, renderings: Renderings, x_0: Tensor) -> dict[str, Tensor]:
        flat = x_0.detach().float().flatten(1)
        return {"x_0": flat, "squared_norms": flat.double().square().sum(1)}

    def _denoise(
        self,
        x_t: Float[Tensor, "B C h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        allowed: Bool[Tensor, "B M"] | None,
    ) -> Float[Tensor, "B C h w"]:
        x_0 = self._buffer["x_0"]
        products = x_t.float().flatten(1) @ x_0.T
        log_weights = log_posterior(products, self._buffer["squared_norms"], log_snr, allowed)
        return posterior_mean(log_weights, x_0).view_as(x_t)
