"""q in closed form: the exact mixture over the current batch and recent renderings.

For one cloud, q(x_t | c) is a Gaussian about the rendering from c, and q(x_t) the mixture of these
over cameras. Both branches are the same mixture: ∅ takes all the pictures it holds, c those taken
from c.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.diffusion.ideal_denoiser import PictureMixture, moments_of
from gs_esd.diffusion.process import noise_from_denoised
from gs_esd.render.renderings import Renderings
from gs_esd.system.device import Scalars
from gs_esd.variational.ring_buffer import RecentRows


class ClosedFormRenderedScore:
    """The exact score of the last `memory` renderings and the current batch, equally weighted."""

    def __init__(self, memory: int) -> None:
        """memory: renderings remembered besides the current batch."""
        self._recent = RecentRows(memory)

    def update(
        self, renderings: Renderings, x_0: Float[Tensor, "B 3 H W"], views: Views
    ) -> Scalars:
        """Take a batch in over the oldest ones; a batch of another shape makes it forget all.

        The renderings themselves are kept, not x_0, so that they can stand on any background.
        """
        rgba = torch.cat([renderings.rgb, renderings.alpha], dim=-1).detach().permute(0, 3, 1, 2)
        self._recent.take(views.cameras, rgba=rgba, moments=moments_of(rgba))
        return {"memory": float(len(self._recent))}

    def predict_noise(
        self,
        x_t: Float[Tensor, "B 3 h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        *,
        marginal: Bool[Tensor, " B"],
    ) -> Float[Tensor, "B 3 h w"]:
        """ε_ψ(∅) or ε_ψ(c), exactly. Raises ValueError for a camera with no rendering."""
        mixture = PictureMixture(self._recent["rgba"], moments=self._recent["moments"])
        allowed = self._allowed(views, marginal)
        x_0 = mixture.denoise(x_t, log_snr, views.background, allowed)
        return noise_from_denoised(x_t, x_0, log_snr)

    def _allowed(self, views: Views, marginal: Bool[Tensor, " B"]) -> Bool[Tensor, "B M"] | None:
        """Which of the renderings held each row is about; None where all are about all."""
        if bool(marginal.all()):
            return None
        allowed = marginal[:, None] | self._recent.taken_from(views.cameras)
        if not bool(allowed.any(dim=1).all()):
            raise ValueError("no rendering from one of these cameras: call update() first")
        return allowed

    def state_dict(self) -> dict[str, Tensor]:
        """The remembered renderings, their cameras, and where the next ones go."""
        return self._recent.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` gave."""
        self._recent.load_state_dict(state)
