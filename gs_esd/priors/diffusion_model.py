"""Frozen text-to-image diffusion model as the prior."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.diffusion.cfg import classifier_free_guidance, perp_neg_guidance
from gs_esd.diffusion.sampling import ddim, trailing_levels
from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.priors.codec import Codec
from gs_esd.priors.text import PromptEmbeddings, TextEmbeddings, concatenate
from gs_esd.priors.unet import Denoiser, chunks
from gs_esd.priors.view_prompts import NEGATIVE_VIEWS, ViewWeightsFn, perp_neg_weights


class DiffusionModelPrior:
    """Frozen text-to-image diffusion model as the prior; a `LearnedPrior` (base.py).

    Attributes:
        denoiser: its network, without guidance.
        codec: its VAE, or pixels.
        prompts: the embedded prompts.
        guidance_scale: classifier-free guidance scale.
        view_weights: weights of the view prompts for each camera.
        perp_neg: whether guidance is Perp-Neg.
        rows_per_call: rows of the denoiser's batch, all if 0.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        codec: Codec,
        prompts: PromptEmbeddings,
        *,
        guidance_scale: float = 7.5,
        view_weights: ViewWeightsFn | None = None,
        perp_neg: bool = False,
        rows_per_call: int = 0,
    ) -> None:
        """Combine the components of a model; see also gs_esd/priors/load.py.

        Args:
            denoiser: with frozen weights.
            codec: between images and the denoiser's input.
            prompts: with view-dependent prompts if `view_weights` is given.
            guidance_scale: 1 is no guidance, which takes half as long.
            view_weights: view-dependent prompting; every camera has the same prompt if None.
            perp_neg: steer away from the prompts of other views; with `interpolated_views` only.
            rows_per_call: rows of one call of the denoiser, all if 0; fewer take less memory.

        Raises:
            ValueError: Perp-Neg without view weights.
        """
        if perp_neg and view_weights is None:
            raise ValueError("perp_neg=True needs view_weights; give interpolated_views(...)")
        self.denoiser = denoiser
        self.codec = codec
        self.prompts = prompts
        self.guidance_scale = guidance_scale
        self.view_weights = view_weights
        self.perp_neg = perp_neg
        self.rows_per_call = rows_per_call

    @property
    def schedule(self) -> NoiseSchedule:
        """Noise levels the model was trained at."""
        return self.denoiser.schedule

    @property
    def prompt(self) -> TextEmbeddings:
        """The prompt without view words, one row."""
        return self.prompts.prompt

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """Encode images, RGB in [0, 1] of any size, to x_0; differentiable."""
        return self.codec.encode(images)

    @torch.no_grad()
    def predict_noise(
        self, x_t: Float[Tensor, "B C h w"], log_snr: Float[Tensor, " B"], views: Views | None
    ) -> Float[Tensor, "B C h w"]:
        """Predict ε_φ with guidance; if `views` is None, for the prompt without view words."""
        text = self.text_rows(len(x_t), views)
        num_prompts = len(text) // len(x_t)
        x_rows, log_snr_rows = x_t.repeat(num_prompts, 1, 1, 1), log_snr.repeat(num_prompts)
        parts = [
            self.denoiser(x_rows[rows], log_snr_rows[rows], text[rows])
            for rows in chunks(len(text), self.rows_per_call)
        ]
        return self.guided(torch.cat(parts), views)

    def text_rows(self, n: int, views: Views | None) -> TextEmbeddings:
        """Text embeddings of the denoiser's batch for `n` images: `n` rows for each of K prompts.

        These are the negative prompt, the prompt and, with Perp-Neg, those of NEGATIVE_VIEWS; the
        prompt alone without guidance.
        """
        rows = [self._prompt_rows(n, views)]
        if self._negative_weights(views) is not None:
            rows += [self.prompts.views[i : i + 1].expand(n) for i in NEGATIVE_VIEWS]
        elif self.guidance_scale == 1:
            return rows[0]
        return concatenate([self.prompts.negative.expand(n), *rows])

    def guided(
        self, eps_rows: Float[Tensor, "R C h w"], views: Views | None
    ) -> Float[Tensor, "B C h w"]:
        """ε_φ with guidance, from the denoiser's output for `text_rows`."""
        scale, weights = self.guidance_scale, self._negative_weights(views)
        if weights is not None:
            eps_uncond, eps_cond, *negatives = eps_rows.chunk(2 + len(NEGATIVE_VIEWS))
            return perp_neg_guidance(eps_uncond, eps_cond, torch.stack(negatives), weights, scale)
        if scale == 1:
            return eps_rows
        eps_uncond, eps_cond = eps_rows.chunk(2)
        return classifier_free_guidance(eps_uncond, eps_cond, scale)

    def sample(
        self, n: int, views: Views | None, generator: torch.Generator, steps: int = 50
    ) -> Float[Tensor, "n H W 3"]:
        """Sample images from the model (DDIM), without any splats.

        Args:
            n: number of images.
            views: for view-dependent prompts; the prompt without view words if None.
            generator: on the CPU, so that images do not depend on the device.
            steps: of the sampler.

        Returns:
            RGB in [0, 1].
        """
        noise = torch.randn(n, *self.codec.latent_shape, generator=generator)
        x_t = noise.to(self.prompt.tokens.device)
        levels = trailing_levels(self.schedule, steps)
        return self.codec.decode(ddim(partial(self.predict_noise, views=views), x_t, levels))

    def _prompt_rows(self, n: int, views: Views | None) -> TextEmbeddings:
        if views is None or self.view_weights is None:
            return self.prompt.expand(n)
        return self.prompts.views.weighted_sum(self.view_weights(views.cameras))

    def _negative_weights(self, views: Views | None) -> Float[Tensor, "B N"] | None:
        if not self.perp_neg or views is None or self.view_weights is None:
            return None
        return perp_neg_weights(self.view_weights(views.cameras))
