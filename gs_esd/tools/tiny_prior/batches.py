"""Training batches of the tiny prior: noisy latents, captions, and the ideal denoiser's v.

Notation
    M           images of one subject
    N, C, h, w  images of a batch, and their latents' shape; D = C h w
    T           timesteps
    x_t, v      alpha x_0 + sigma eps, and the v-prediction alpha eps - sigma x_0 (arXiv 2202.00512)
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.diffusion.ideal_denoiser import log_posterior, posterior_mean
from gs_esd.diffusion.parameterization import training_target
from gs_esd.diffusion.process import add_noise, eps_from_x_0
from gs_esd.toyzoo.captions import caption
from gs_esd.toyzoo.prompt import ZooSubject
from gs_esd.toyzoo.training_images import SubjectImages, on_background

UNCOLORED_SHARE = 0.6
"""Share of images with the animal's own colours."""
VIEW_SHARE = 0.5
"""Share of captions that name the view."""
EMPTY_SHARE = 0.1
"""Share of empty captions, for classifier-free guidance."""
VIEW_LOG_SNRS = (-6.0, -2.0)
"""The range of log SNR at which views become distinguishable: the hardest to learn, and where λ has
an effect."""
VIEW_LOG_SNRS_SHARE = 0.7
"""Share of noise levels that are drawn from that range only."""

Encode = Callable[[Float[Tensor, "N 3 H W"]], Float[Tensor, "N C h w"]]


@dataclass(frozen=True)
class SubjectLatents:
    """Latents of all images of one subject on black, then on white, and the views they are of."""

    subject: ZooSubject
    latents: Float[Tensor, "M C h w"]
    squared_norms: Float[Tensor, " M"]
    views: Int[Tensor, " M"]


@dataclass(frozen=True)
class NoisyBatch:
    """Inputs and targets of a denoiser: noisy latents, timesteps, captions, and v."""

    x_t: Float[Tensor, "N C h w"]
    timestep: Int[Tensor, " N"]
    captions: list[str]
    target: Float[Tensor, "N C h w"]

    def shares(self, n: int) -> list["NoisyBatch"]:
        """Split the batch into `n` nearly equal parts; into fewer if it has fewer images."""
        of_tensors = (
            x.tensor_split(min(n, len(x))) for x in (self.x_t, self.timestep, self.target)
        )
        captions = iter(self.captions)
        return [
            NoisyBatch(x_t, timestep, list(islice(captions, len(x_t))), target)
            for x_t, timestep, target in zip(*of_tensors, strict=True)
        ]


def encode_zoo(
    zoo: list[SubjectImages], encode: Encode, device: torch.device
) -> list[SubjectLatents]:
    """Encode all images of every subject on black and on white, on the device.

    These two backgrounds can be recognised at almost any noise level. With random colours, noise
    hides the background up to the levels at which views become distinguishable, and the prior
    cannot recognise a view before it recognises the outline.
    """
    encoded = []
    for each in zoo:
        shades = (torch.full((3,), shade, device=device) for shade in (0.0, 1.0))
        latents = torch.cat([encode(on_background(each.rgba.to(device), s)) for s in shades])
        norms = latents.flatten(1).square().sum(1)
        encoded.append(SubjectLatents(each.subject, latents, norms, each.views.repeat(2)))
    return encoded


@dataclass(frozen=True)
class BatchMaker:
    """Draws batches for v-prediction, whose targets are those of the ideal denoiser.

    The mean of v over all images that could have become x_t has a closed form. It has the same
    expectation as the v of the drawn image, without its variance (arXiv 2302.00670).
    """

    zoo: list[SubjectLatents]
    log_snr: Float[Tensor, " T"]
    rows: int
    """Images per batch."""
    alike: int = 1
    """Images in a row that share subject, view, caption and noise level, which takes less time."""

    def draw(self, generator: torch.Generator, choice: random.Random) -> NoisyBatch:
        """Draw a batch, on the zoo's device; random numbers come from the CPU."""
        parts = [self._draw_alike(generator, choice) for _ in range(self.rows // self.alike)]
        return NoisyBatch(
            torch.cat([part.x_t for part in parts]),
            torch.cat([part.timestep for part in parts]),
            [words for part in parts for words in part.captions],
            torch.cat([part.target for part in parts]),
        )

    def _draw_alike(self, generator: torch.Generator, choice: random.Random) -> NoisyBatch:
        images = self._draw_subject(choice)
        shown, view = self._draw_view(images, generator, choice)
        n = self.alike
        x_0 = images.latents[shown[torch.randint(len(shown), (n,), generator=generator)]]
        timestep = self._draw_timestep(generator, choice).expand(n)
        eps = torch.randn(x_0.shape, generator=generator).to(x_0)
        log_snr = self.log_snr[timestep].to(x_0)
        x_t = add_noise(x_0, eps, log_snr)
        words = "" if choice.random() < EMPTY_SHARE else caption(images.subject, view, choice)
        return NoisyBatch(x_t, timestep, n * [words], mean_v(x_t, log_snr, images, shown))

    def _draw_subject(self, choice: random.Random) -> SubjectLatents:
        uncolored = choice.random() < UNCOLORED_SHARE
        return choice.choice([s for s in self.zoo if (s.subject.color is None) == uncolored])

    def _draw_timestep(self, generator: torch.Generator, choice: random.Random) -> Int[Tensor, "1"]:
        lowest, highest = VIEW_LOG_SNRS
        of_views = ((lowest <= self.log_snr) & (self.log_snr <= highest)).nonzero()[:, 0]
        allowed = torch.arange(len(self.log_snr))
        if choice.random() < VIEW_LOG_SNRS_SHARE:
            allowed = of_views
        return allowed[torch.randint(len(allowed), (1,), generator=generator)]

    def _draw_view(
        self, images: SubjectLatents, generator: torch.Generator, choice: random.Random
    ) -> tuple[Int[Tensor, " m"], str | None]:
        """The images that a caption describes, and the view that it names, if any."""
        if choice.random() >= VIEW_SHARE:
            return torch.arange(len(images.views)), None
        view = images.views[torch.randint(len(images.views), (1,), generator=generator)]
        return (images.views == view).nonzero()[:, 0], VIEW_NAMES[int(view)]


def mean_v(
    x_t: Float[Tensor, "N C h w"],
    log_snr: Float[Tensor, " N"],
    images: SubjectLatents,
    shown: Int[Tensor, " m"],
) -> Float[Tensor, "N C h w"]:
    """E[v | x_t] if x_0 is one of the `shown` images with equal probability."""
    flat = images.latents.flatten(1)
    allowed = torch.zeros(len(x_t), len(flat), dtype=torch.bool, device=flat.device)
    allowed[:, shown] = True
    products = x_t.flatten(1) @ flat.T
    log_weights = log_posterior(products, images.squared_norms, log_snr, allowed)
    x_0 = posterior_mean(log_weights, flat).view_as(x_t)
    eps = eps_from_x_0(x_t, x_0, log_snr)
    return training_target(x_0, eps, log_snr, "v_prediction")
