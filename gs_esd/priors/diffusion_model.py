"""p learned: a text-to-image diffusion model."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.diffusion.cfg import classifier_free_guidance, perp_neg_guidance
from gs_esd.diffusion.sampling import ddim, trailing_levels
from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.priors.codec import Codec
from gs_esd.priors.text import Prompts
from gs_esd.priors.text_embeddings import TextEmbeddings, concatenated
from gs_esd.priors.unet import Denoiser, chunks
from gs_esd.priors.view_prompts import PUSHED_AWAY, ViewWeights, negative_weights


class DiffusionModelPrior:
    """What a frozen model makes of a prompt; implements gs_esd.priors.base.LearnedPrior."""

    def __init__(
        self,
        denoiser: Denoiser,
        codec: Codec,
        prompts: Prompts,
        *,
        guidance_scale: float = 7.5,
        view_weights: ViewWeights | None = None,
        perp_neg: bool = False,
        rows_per_call: int = 0,
    ) -> None:
        """Take the parts of a model.

        guidance_scale: how far to go towards the prompt; 1 asks for the prompt alone, which takes
            half as long.
        view_weights: which view's words each camera adds to the prompt; none if None.
        perp_neg: turn away from what the prompts of other views say; takes `interpolated_views`.
        rows_per_call: rows that the denoiser is given at once, all if 0; fewer take less memory.

        Raises ValueError for Perp-Neg without view weights.
        """
        if perp_neg and view_weights is None:
            raise ValueError("perp_neg takes view_weights, which say what other views are")
        self.denoiser = denoiser
        self.codec = codec
        self.prompts = prompts
        self.guidance_scale = guidance_scale
        self.view_weights = view_weights
        self.perp_neg = perp_neg
        self.rows_per_call = rows_per_call

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise levels that the model was trained at."""
        return self.denoiser.schedule

    @property
    def prompt(self) -> TextEmbeddings:
        """The prompt without words for a view, one row."""
        return self.prompts.plain

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """x_0 of images with RGB in [0, 1], brought to the model's size; differentiable."""
        return self.codec.encode(images)

    @torch.no_grad()
    def predict_noise(
        self, x_t: Float[Tensor, "B C h w"], log_snr: Float[Tensor, " B"], views: Views | None
    ) -> Float[Tensor, "B C h w"]:
        """ε_φ with guidance; without `views`, of the prompt as it is."""
        text = self.text_rows(len(x_t), views)
        prompts = len(text) // len(x_t)
        x_rows, level_rows = x_t.repeat(prompts, 1, 1, 1), log_snr.repeat(prompts)
        parts = [
            self.denoiser(x_rows[rows], level_rows[rows], text[rows])
            for rows in chunks(len(text), self.rows_per_call)
        ]
        return self.guided(torch.cat(parts), views)

    def text_rows(self, n: int, views: Views | None) -> TextEmbeddings:
        """All that the denoiser must be asked for n images: K prompts after another, n rows each.

        The negative prompt, the prompt, and the prompts that Perp-Neg turns away from; or the
        prompt alone where nothing guides.
        """
        rows = [self._prompt_rows(n, views)]
        if self._negative_weights(views) is not None:
            rows += [self.prompts.views[i : i + 1].expand(n) for i in PUSHED_AWAY]
        elif self.guidance_scale == 1:
            return rows[0]
        return concatenated([self.prompts.negative.expand(n), *rows])

    def guided(
        self, eps_rows: Float[Tensor, "R C h w"], views: Views | None
    ) -> Float[Tensor, "B C h w"]:
        """ε_φ of what the denoiser answered to `text_rows`."""
        scale, weights = self.guidance_scale, self._negative_weights(views)
        if weights is not None:
            eps_uncond, eps, *away = eps_rows.chunk(2 + len(PUSHED_AWAY))
            return perp_neg_guidance(eps_uncond, eps, torch.stack(away), weights, scale)
        if scale == 1:
            return eps_rows
        eps_uncond, eps = eps_rows.chunk(2)
        return classifier_free_guidance(eps_uncond, eps, scale)

    def sample(
        self, n: int, views: Views | None, generator: torch.Generator, steps: int = 50
    ) -> Float[Tensor, "n H W 3"]:
        """Images in [0, 1] as the model makes them, of the prompts that `views` ask for.

        generator: on the CPU, so that images do not depend on the device.
        """
        noise = torch.randn(n, *self.codec.latent_shape, generator=generator)
        x_t = noise.to(self.prompt.tokens.device)
        levels = trailing_levels(self.schedule, steps)
        return self.codec.decode(ddim(partial(self.predict_noise, views=views), x_t, levels))

    def _prompt_rows(self, n: int, views: Views | None) -> TextEmbeddings:
        if views is None or self.view_weights is None:
            return self.prompt.expand(n)
        return self.prompts.views.mixed(self.view_weights(views.cameras))

    def _negative_weights(self, views: Views | None) -> Float[Tensor, "B N"] | None:
        if not self.perp_neg or views is None or self.view_weights is None:
            return None
        return negative_weights(self.view_weights(views.cameras))
