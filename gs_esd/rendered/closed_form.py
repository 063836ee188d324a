"""q in closed form: the exact mixture over the current batch and recent renderings.

For one cloud, q(x_t | c) is a Gaussian about the rendering from c, and q(x_t) the mixture of these
over cameras. Both branches are the same mixture: ∅ takes all the pictures it holds, c those taken
from c.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.mixture import PictureMixture
from gs_esd.noise import noise_from_denoised
from gs_esd.render import Renderings
from gs_esd.views import Views


class ClosedFormRenderedScore:
    """The exact score of the last `memory` renderings and the current batch, equally weighted."""

    def __init__(self, memory: int) -> None:
        """memory: renderings remembered besides the current batch."""
        self.memory = memory
        self._mixture = PictureMixture(torch.zeros(0, 4, 0, 0))
        self._viewmats = torch.zeros(0, 4, 4)

    def update(
        self, renderings: Renderings, x_0: Float[Tensor, "B 3 H W"], views: Views
    ) -> dict[str, float]:
        """Take a batch in, newest first, and forget the oldest; another picture size forgets all.

        The renderings themselves are kept, not x_0, so that they can stand on any background.
        """
        rgba = torch.cat([renderings.rgb, renderings.alpha], dim=-1).detach().permute(0, 3, 1, 2)
        same_size = self._mixture.rgba.shape[1:] == rgba.shape[1:]
        keep = self.memory if same_size else 0
        known = self._mixture if same_size else PictureMixture(rgba[:0])
        self._mixture = known.renewed(rgba, keep)
        self._viewmats = torch.cat([views.cameras.viewmats, self._viewmats[:keep]])
        return {"memory": float(len(self._mixture))}

    def predict_noise(
        self,
        x_t: Float[Tensor, "B 3 h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        *,
        marginal: bool,
    ) -> Float[Tensor, "B 3 h w"]:
        """ε_ψ(∅) or ε_ψ(c), exactly. Raises ValueError for a camera with no rendering."""
        log_weights = self._mixture.log_weights(x_t, log_snr, views.background)
        if not marginal:
            log_weights = self._keep_camera(log_weights, views)
        x_0 = self._mixture.posterior_mean(log_weights, views.background)
        return noise_from_denoised(x_t, x_0, log_snr)

    def _keep_camera(self, log_weights: Float[Tensor, "B M"], views: Views) -> Float[Tensor, "B M"]:
        same = (views.cameras.viewmats[:, None] == self._viewmats[None]).all(-1).all(-1)  # [B, M]
        if not bool(same.any(dim=1).all()):
            raise ValueError("no rendering from one of these cameras: call update() first")
        return log_weights.masked_fill(~same, -torch.inf).log_softmax(dim=1)

    def state_dict(self) -> dict[str, Tensor]:
        """The remembered renderings and their cameras."""
        return {"rgba": self._mixture.rgba, "viewmats": self._viewmats}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` gave."""
        self._mixture, self._viewmats = PictureMixture(state["rgba"]), state["viewmats"]
