"""Learned variational models: a LoRA on a U-Net, for ε_ψ(∅) alone or for every camera.

Notation (see also gs_esd/guidance/objectives.py)
    ε_φ         a frozen U-Net; ε_ψ is the same U-Net with the LoRA
    ε_ψ(∅)      predicted noise of all renderings, whatever the camera: uncond
    ε_ψ(c)      of the renderings from camera c: cond
    ε           the drawn noise
    ε_mix       noise predicted in closed form, see closed_form.py
    R, F        rows of a call of the U-Net, numbers of a condition: see lora_training.py

For one set of splats only one rendering belongs to a camera, so that ε_ψ(c) is ε, exactly. What has
to be learned is ε_ψ(∅), and `LoraScore` learns nothing else. Its ε_ψ(c) is one of

    noise       ε
    mixture     ε_ψ(∅) + ε - ε_mix(∅): what a camera adds is taken from the closed form

which are the same where the LoRA is exact. With these the source of ESD is

    noise       λ ε_ψ(∅) + (1 - λ) ε              a mean of SDS and of VSD without a camera
    mixture     ε_ψ(∅) + (1 - λ) (ε - ε_mix(∅))   λ has no effect where noise hides no camera

`CameraLoraScore` is the paper's ψ, conditioned on the camera (arXiv 2401.00909, Algorithm 1).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.diffusion.process import eps_from_x_0
from gs_esd.priors.text import TextEmbeddings
from gs_esd.priors.unet import UnetDenoiser
from gs_esd.render.renderings import Renderings
from gs_esd.system.device import Scalars
from gs_esd.system.ranks import Ranks
from gs_esd.variational.base import NeededPredictions, PsiPredictions, split_branches
from gs_esd.variational.closed_form import ClosedFormLatentScore
from gs_esd.variational.lora_options import LoraOptions
from gs_esd.variational.lora_training import DEFAULTS, PsiRows, TrainedLora, dropped
from gs_esd.variational.ring_buffer import RingBuffer

BOTH = NeededPredictions(uncond=True, cond=True)


class LoraScore(TrainedLora):
    """ε_ψ(∅) as a LoRA, and ε_ψ(c) in closed form."""

    def __init__(
        self,
        denoiser: UnetDenoiser,
        prompt: TextEmbeddings,
        generator: torch.Generator,
        options: LoraOptions = DEFAULTS,
        *,
        mixture: int | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        """Inject the LoRA; see `TrainedLora`.

        Args:
            denoiser: the prior's, or another of the same schedule.
            prompt: without view words, one row.
            generator: on the CPU.
            options: how it is made and trained.
            mixture: earlier renderings in ε_mix; ε_ψ(c) is the drawn noise if None.
            ranks: processes between which the rows of a batch are divided in training.
        """
        super().__init__(denoiser, prompt, generator, options, camera_dropout=1.0, ranks=ranks)
        self._mixture = None if mixture is None else ClosedFormLatentScore(mixture)
        self._batch = RingBuffer(0)

    def update(
        self,
        renderings: Renderings,
        x_0: Float[Tensor, "B C h w"],
        views: Views,
        log_snr: Float[Tensor, " B"],
    ) -> Scalars:
        """Train the LoRA, and keep the renderings for ε_ψ(c); returns "lora_loss"."""
        self._batch.append(views.cameras, x_0=x_0.float())
        if self._mixture:
            self._mixture.update(renderings, x_0, views, log_snr)
        return super().update(renderings, x_0, views, log_snr)

    def network_rows(self, views: Views, needed: NeededPredictions) -> PsiRows:
        """Every image once, one in `predict_every`, or none."""
        conditions = dropped(self.conditions(views))
        image = self._drawn_images(len(views), conditions.device)
        image = image if self._is_network_needed(needed) else image[:0]
        return PsiRows(image, conditions[image])

    def _is_network_needed(self, needed: NeededPredictions) -> bool:
        return needed.uncond or (needed.cond and self._mixture is not None)

    def _drawn_images(self, n: int, device: torch.device) -> Int[Tensor, " R"]:
        """One in `predict_every` of n images: evenly spaced, as the azimuths of a batch are."""
        every = self.options.predict_every
        start = torch.randint(every, (), generator=self._generator) if every > 1 else 0
        return torch.arange(n, device=device)[int(start) :: every]

    def assemble(
        self,
        eps: Float[Tensor, "R C h w"],
        image: Int[Tensor, " R"],
        x_t: Float[Tensor, "B C h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        needed: NeededPredictions,
    ) -> PsiPredictions:
        """The predictions, from the output of the U-Net for the rows of `network_rows`."""
        zeros = uncond = torch.zeros_like(x_t, dtype=torch.float32)
        if self._is_network_needed(needed):
            uncond = self._in_the_mean(eps, image, x_t, log_snr, views)
        cond = self._cond(uncond, x_t, log_snr, views) if needed.cond else zeros
        return PsiPredictions(uncond if needed.uncond else zeros, cond)

    def _in_the_mean(
        self,
        eps: Float[Tensor, "R C h w"],
        image: Int[Tensor, " R"],
        x_t: Float[Tensor, "B C h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
    ) -> Float[Tensor, "B C h w"]:
        """What is ε_ψ(∅) in the mean over drawn images: ε + n (ε_ψ(∅) - ε) for one in n, or ε."""
        every = self.options.predict_every
        if every == 1:
            return eps
        drawn = self._drawn_noise(x_t, log_snr, views)
        return drawn.index_add(0, image, every * (eps - drawn[image]))

    def _cond(
        self,
        uncond: Float[Tensor, "B C h w"],
        x_t: Float[Tensor, "B C h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
    ) -> Float[Tensor, "B C h w"]:
        """ε_ψ(c)."""
        if self._mixture is None:
            return self._drawn_noise(x_t, log_snr, views)
        exact = self._mixture.predict_noise(x_t, log_snr, views, BOTH)
        return uncond + exact.cond - exact.uncond

    def _drawn_noise(
        self, x_t: Float[Tensor, "B C h w"], log_snr: Float[Tensor, " B"], views: Views
    ) -> Float[Tensor, "B C h w"]:
        """ε, from the batch that was rendered last; NaN for another camera."""
        same = self._batch.from_same_camera(views.cameras)
        x_0 = self._batch["x_0"][same.int().argmax(dim=1)]
        is_there = same.any(dim=1)[:, None, None, None]
        return eps_from_x_0(x_t, torch.where(is_there, x_0, torch.nan), log_snr)

    def _buffers(self) -> dict[str, RingBuffer | ClosedFormLatentScore]:
        mixture = {} if self._mixture is None else {"mixture.": self._mixture}
        return super()._buffers() | {"batch.": self._batch} | mixture


class CameraLoraScore(TrainedLora):
    """ε_ψ(∅) and ε_ψ(c) as a LoRA with camera conditioning (arXiv 2401.00909, Algorithm 1).

    ∅ replaces a fraction of the cameras in training.
    """

    def network_rows(self, views: Views, needed: NeededPredictions) -> PsiRows:
        """Every image for each of the predictions: ∅ first, then cameras."""
        cond = self.conditions(views)
        parts = [dropped(cond)] * needed.uncond + [cond] * needed.cond
        image = torch.arange(len(views), device=cond.device).repeat(len(parts))
        return PsiRows(image, torch.cat([cond[:0], *parts]))

    def assemble(
        self,
        eps: Float[Tensor, "R C h w"],
        image: Int[Tensor, " R"],
        x_t: Float[Tensor, "B C h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        needed: NeededPredictions,
    ) -> PsiPredictions:
        """The predictions, from the output of the U-Net for the rows of `network_rows`."""
        return split_branches(eps, len(x_t), needed)
