"""Variational model in closed form: the exact mixture of the current batch and recent renderings.

For one set of splats, q(x_t | c) is a Gaussian around the rendering from c, and q(x_t) is the
mixture of these over cameras. So ε_ψ(∅) is the ideal denoiser of all renderings in the buffer, and
ε_ψ(c) that of those from camera c.
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
from gs_esd.variational.base import NeededPredictions, PsiPredictions, split_branches
from gs_esd.variational.ring_buffer import RingBuffer


class ClosedFormScore(ABC):
    """Exact score of the last `buffer_size` renderings and the current batch, equally weighted.

    A subclass says what of a rendering is buffered, and how to denoise with it.
    """

    def __init__(self, buffer_size: int) -> None:
        """Create an empty buffer.

        Args:
            buffer_size: renderings held in addition to the current batch.
        """
        self._buffer = RingBuffer(buffer_size)

    def update(
        self,
        renderings: Renderings,
        x_0: Float[Tensor, "B C h w"],
        views: Views,
        log_snr: Float[Tensor, " B"],
    ) -> Scalars:
        """Add a batch in place of the oldest renderings; another image size empties the buffer.

        It is exact at all noise levels, whatever `log_snr`.

        Returns:
            "buffer", the number of renderings held.
        """
        self._buffer.append(views.cameras, **self._rows(renderings, x_0))
        return {"buffer": float(len(self._buffer))}

    @torch.no_grad()
    def predict_noise(
        self,
        x_t: Float[Tensor, "B C h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        needed: NeededPredictions,
    ) -> PsiPredictions:
        """Predict ε_ψ(∅), ε_ψ(c) or both, exactly.

        Raises:
            ValueError: the buffer holds no rendering of one of the cameras.
        """
        n = len(x_t)
        if not any(needed):
            return PsiPredictions(torch.zeros_like(x_t), torch.zeros_like(x_t))
        rows = torch.arange(sum(needed) * n, device=x_t.device) % n  # ∅ first
        x_rows, log_snr_rows = x_t[rows], log_snr[rows]
        allowed = self._allowed(views, needed) if needed.cond else None
        x_0 = self._denoise(x_rows, log_snr_rows, views, allowed)
        return split_branches(eps_from_x_0(x_rows, x_0, log_snr_rows), n, needed)

    def _allowed(self, views: Views, needed: NeededPredictions) -> Bool[Tensor, "R M"]:
        """Mask of the buffered renderings that each row may be of: all where it is for ∅."""
        same = self._buffer.from_same_camera(views.cameras)
        if not bool(same.any(dim=1).all()):
            raise ValueError("no rendering from one of these cameras: call update() first")
        return torch.cat([torch.ones_like(same), same]) if needed.uncond else same

    @abstractmethod
    def _rows(self, renderings: Renderings, x_0: Tensor) -> dict[str, Tensor]:
        """Tensors to buffer of a batch, with one row for each rendering."""

    @abstractmethod
    def _denoise(
        self,
        x_t: Float[Tensor, "R C h w"],
        log_snr: Float[Tensor, " R"],
        views: Views,
        allowed: Bool[Tensor, "R M"] | None,
    ) -> Float[Tensor, "R C h w"]:
        """Posterior mean E[x_0 | x_t] over the allowed rows."""

    def state_dict(self) -> dict[str, Tensor]:
        """Buffered renderings, their cameras, and the write position."""
        return self._buffer.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        self._buffer.load_state_dict(state)


class ClosedFormPixelScore(ClosedFormScore):
    """Closed form for pixel-space priors: buffers RGBA, composited over each batch's background."""

    def _rows(self, renderings: Renderings, x_0: Tensor) -> dict[str, Tensor]:
        rgba = torch.cat([renderings.rgb, renderings.alpha], dim=-1).detach().permute(0, 3, 1, 2)
        return {"rgba": rgba, "moments": moments_of(rgba)}

    def _denoise(
        self,
        x_t: Float[Tensor, "R 3 h w"],
        log_snr: Float[Tensor, " R"],
        views: Views,
        allowed: Bool[Tensor, "R M"] | None,
    ) -> Float[Tensor, "R 3 h w"]:
        mixture = ImageMixture(self._buffer["rgba"], moments=self._buffer["moments"])
        return mixture.denoise(x_t, log_snr, views.background, allowed)


class ClosedFormLatentScore(ClosedFormScore):
    """Closed form for latent priors: buffers the encoded x_0.

    A latent is not linear in the background, so a row keeps the background it was encoded over. If
    backgrounds are random, ε_ψ(∅) is marginalised over them too, as is the score of a prior that
    was trained on all of them.
    """

    def _rows(self, renderings: Renderings, x_0: Tensor) -> dict[str, Tensor]:
        flat = x_0.detach().float().flatten(1)
        return {"x_0": flat, "squared_norms": flat.double().square().sum(1)}

    def _denoise(
        self,
        x_t: Float[Tensor, "R C h w"],
        log_snr: Float[Tensor, " R"],
        views: Views,
        allowed: Bool[Tensor, "R M"] | None,
    ) -> Float[Tensor, "R C h w"]:
        x_0 = self._buffer["x_0"]
        products = x_t.float().flatten(1) @ x_0.T
        log_weights = log_posterior(products, self._buffer["squared_norms"], log_snr, allowed)
        return posterior_mean(log_weights, x_0).view_as(x_t)
