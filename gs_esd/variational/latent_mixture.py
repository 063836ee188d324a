"""q in closed form for priors that encode: the exact mixture over the x_0 of recent renderings.

For one cloud, q(x_t | c) is a Gaussian about the encoding x_0 of the rendering from c, and q(x_t)
the mixture of these over cameras. Unlike closed_form.py, which puts renderings on any
background, this takes x_0 as it was encoded: a latent is not linear in the background.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.diffusion.gaussian_mixture import log_posterior, posterior_mean
from gs_esd.diffusion.process import noise_from_denoised
from gs_esd.render.renderings import Renderings
from gs_esd.system.device import Scalars
from gs_esd.variational.ring_buffer import RecentRows


class LatentMixtureScore:
    """The exact score of the last `memory` encodings and the current batch, equally weighted.

    Each stays on the background that it was encoded over. Where that is another one at every step,
    ε_ψ(∅) is marginal over backgrounds as well, as is that of a prior trained on all of them.
    """

    def __init__(self, memory: int) -> None:
        """memory: encodings remembered besides the current batch."""
        self._recent = RecentRows(memory)

    def update(
        self, renderings: Renderings, x_0: Float[Tensor, "B C h w"], views: Views
    ) -> Scalars:
        """Take a batch in over the oldest ones; a batch of another shape makes it forget all."""
        flat = x_0.detach().float().flatten(1)
        squared_norms = flat.double().square().sum(1)
        self._recent.take(views.cameras, x_0=flat, squared_norms=squared_norms)
        return {"memory": float(len(self._recent))}

    @torch.no_grad()
    def predict_noise(
        self,
        x_t: Float[Tensor, "B C h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        *,
        marginal: Bool[Tensor, " B"],
    ) -> Float[Tensor, "B C h w"]:
        """ε_ψ(∅) where `marginal`, else ε_ψ(c), exactly.

        Raises ValueError for a camera that is asked about and has no rendering.
        """
        allowed = marginal[:, None] | self._recent.taken_from(views.cameras)
        if not bool(allowed.any(dim=1).all()):
            raise ValueError("no rendering from one of these cameras: call update() first")
        held = self._recent["x_0"]
        products = x_t.float().flatten(1) @ held.T
        weights = log_posterior(products, self._recent["squared_norms"], log_snr, allowed)
        return noise_from_denoised(x_t, posterior_mean(weights, held).view_as(x_t), log_snr)

    def state_dict(self) -> dict[str, Tensor]:
        """The remembered encodings, their cameras, and where the next ones go."""
        return self._recent.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` gave."""
        self._recent.load_state_dict(state)
