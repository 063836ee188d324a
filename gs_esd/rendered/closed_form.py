"""q in closed form: the exact mixture over the current batch and recent renderings.

For one cloud, q(x_t | c) is a Gaussian about the rendering from c, and q(x_t) the mixture of these
over cameras. Both branches are the same mixture: ∅ takes all the pictures it holds, c those taken
from c.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gs_esd.mixture import PictureMixture, moments_of
from gs_esd.noise import noise_from_denoised
from gs_esd.render import Renderings
from gs_esd.views import Views


class ClosedFormRenderedScore:
    """The exact score of the last `memory` renderings and the current batch, equally weighted."""

    def __init__(self, memory: int) -> None:
        """memory: renderings remembered besides the current batch."""
        self.memory = memory
        self._begin(torch.zeros(0, 4, 0, 0))

    def update(
        self, renderings: Renderings, x_0: Float[Tensor, "B 3 H W"], views: Views
    ) -> dict[str, float]:
        """Take a batch in over the oldest ones; a batch of another shape makes it forget all.

        The renderings themselves are kept, not x_0, so that they can stand on any background.
        """
        rgba = torch.cat([renderings.rgb, renderings.alpha], dim=-1).detach().permute(0, 3, 1, 2)
        if len(self._rgba) != self.memory + len(rgba) or self._rgba.shape[1:] != rgba.shape[1:]:
            self._begin(rgba)
        places = (self._written + torch.arange(len(rgba), device=rgba.device)) % len(self._rgba)
        self._rgba[places] = rgba
        self._moments[places] = moments_of(rgba)
        self._viewmats[places] = views.cameras.viewmats
        self._written += len(rgba)
        return {"memory": float(len(self._mixture()))}

    def predict_noise(
        self,
        x_t: Float[Tensor, "B 3 h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        *,
        marginal: bool,
    ) -> Float[Tensor, "B 3 h w"]:
        """ε_ψ(∅) or ε_ψ(c), exactly. Raises ValueError for a camera with no rendering."""
        mixture = self._mixture()
        from_camera = None if marginal else self._from_camera(views, len(mixture))
        x_0 = mixture.denoise(x_t, log_snr, views.background, from_camera)
        return noise_from_denoised(x_t, x_0, log_snr)

    def _from_camera(self, views: Views, held: int) -> Bool[Tensor, "B M"]:
        """Which of the renderings held were taken from each of the cameras."""
        same = views.cameras.viewmats[:, None] == self._viewmats[:held]  # [B, M, 4, 4]
        from_camera = same.flatten(2).all(-1)
        if not bool(from_camera.any(dim=1).all()):
            raise ValueError("no rendering from one of these cameras: call update() first")
        return from_camera

    def state_dict(self) -> dict[str, Tensor]:
        """The remembered renderings, their cameras, and where the next ones go."""
        return {
            "rgba": self._rgba,
            "moments": self._moments,
            "viewmats": self._viewmats,
            "written": torch.tensor(self._written),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` gave."""
        self._rgba, self._moments = state["rgba"].clone(), state["moments"].clone()
        self._viewmats, self._written = state["viewmats"].clone(), int(state["written"])

    def _begin(self, batch: Float[Tensor, "B 4 H W"]) -> None:
        """An empty ring: writing over the oldest, in place, is far faster than moving the rest."""
        room = self.memory + len(batch)
        self._rgba = batch.new_zeros(room, *batch.shape[1:])
        self._moments = batch.new_zeros(room, 9, dtype=torch.float64)
        self._viewmats = batch.new_zeros(room, 4, 4)
        self._written = 0

    def _mixture(self) -> PictureMixture:
        held = min(self._written, len(self._rgba))
        return PictureMixture(self._rgba[:held], moments=self._moments[:held])
