"""A perfect tiny prior: the exact score of zoo images in the bundled model's latents.

In the place of the network, it separates what of a result is due to the network from what is due
to λ, the noise levels and the model of renderings, all of which stay as they are.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.orbit import Orbit
from gs_esd.cameras.views import Views
from gs_esd.diffusion.ideal_denoiser import log_posterior, posterior_mean
from gs_esd.diffusion.process import eps_from_x_0
from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.render.compositing import composite
from gs_esd.system.rng import stream
from gs_esd.tools.tiny_prior.model import RESOLUTION
from gs_esd.toyzoo.bank import draw_bank
from gs_esd.toyzoo.prompt import parse_prompt

IMAGES = 1024
FRONT_BIAS = 0.5


class ExactPrior:
    """The mixture of encoded images of an animal on black and on white, all equally likely.

    Its levels and its latents are those of a model; implements gs_esd.priors.base.LearnedPrior.
    """

    def __init__(self, model: DiffusionModelPrior, animal: str, orbit: Orbit) -> None:
        """Draw the images, from cameras on an orbit that favour the front."""
        self._model = model
        rgba, _ = draw_bank(
            parse_prompt(animal),
            IMAGES,
            RESOLUTION,
            front_bias=FRONT_BIAS,
            elevation=(orbit.elevation_min, orbit.elevation_max),
            distance=orbit.distance,
            fov=orbit.fov,
            generator=stream(0, "exact"),
        )
        rgb, alpha = rgba.permute(0, 2, 3, 1).split([3, 1], dim=-1)
        both = [composite(rgb, alpha, torch.full((3,), value)) for value in (0.0, 1.0)]
        latents = model.encode(torch.cat(both))
        self._x_0, self._shape = latents.flatten(1), latents.shape[1:]

    @property
    def schedule(self) -> NoiseSchedule:
        """The model's."""
        return self._model.schedule

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """As the model does."""
        return self._model.encode(images)

    @torch.no_grad()
    def predict_noise(
        self, x_t: Float[Tensor, "B C h w"], log_snr: Float[Tensor, " B"], views: Views
    ) -> Float[Tensor, "B C h w"]:
        """ε of the mixture; the prompt's words for views and guidance have no part in it."""
        products = x_t.flatten(1) @ self._x_0.T
        weights = log_posterior(products, self._x_0.double().square().sum(1), log_snr)
        return eps_from_x_0(x_t, posterior_mean(weights, self._x_0).view_as(x_t), log_snr)

    def draw_latents(self, n: int, generator: torch.Generator) -> list[Float[Tensor, "n C h w"]]:
        """Some of its images on black, and the same on white."""
        half = len(self._x_0) // 2
        drawn = torch.randperm(half, generator=generator)[:n]
        return [self._x_0[drawn + start].view(n, *self._shape) for start in (0, half)]
