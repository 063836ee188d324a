"""Pictures of the whole zoo with their captions, and what a perfect prior would make of noise.

Notation
    M           pictures of one subject
    N, C, h, w  pictures of a batch, and their latents' shape
    x_t, v      alpha x_0 + sigma eps, and the v-prediction alpha eps - sigma x_0 (arXiv 2202.00512)
"""

import logging
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from gs_esd.gaussian_mixture import log_posterior, posterior_mean
from gs_esd.noise import add_noise, noise_from_denoised
from gs_esd.priors.denoiser import prediction_of
from gs_esd.toyzoo.bank import draw_bank
from gs_esd.toyzoo.captions import caption, subjects
from gs_esd.toyzoo.prompt import ZooSubject
from gs_esd.view_names import VIEW_NAMES, view_index
from gs_esd.views import black_or_white

PLAIN_SHARE = 0.5
"""How often an animal comes in its own colours."""
VIEW_SHARE = 0.5
"""How often a caption says from where a picture was taken."""
EMPTY_SHARE = 0.1
"""How often a caption is dropped, for classifier-free guidance."""

log = logging.getLogger(__name__)

Encode = Callable[[Float[Tensor, "N 3 H W"]], Float[Tensor, "N C h w"]]


@dataclass(frozen=True)
class SubjectPictures:
    """Pictures of one subject, premultiplied RGBA, and the views they are of."""

    subject: ZooSubject
    rgba: UInt8[Tensor, "M 4 H W"]
    views: Int[Tensor, " M"]


@dataclass(frozen=True)
class NoisyBatch:
    """What a denoiser is trained on: noisy latents, their captions, and what it should answer."""

    x_t: Float[Tensor, "N C h w"]
    timestep: Int[Tensor, " N"]
    captions: list[str]
    target: Float[Tensor, "N C h w"]

    def shares(self, n: int) -> list["NoisyBatch"]:
        """The batch in `n` parts, as near to equal as may be; fewer if it has fewer pictures."""
        of_tensors = (
            x.tensor_split(min(n, len(x))) for x in (self.x_t, self.timestep, self.target)
        )
        captions = iter(self.captions)
        return [
            NoisyBatch(x_t, timestep, list(islice(captions, len(x_t))), target)
            for x_t, timestep, target in zip(*of_tensors, strict=True)
        ]


def draw_zoo(
    pictures: int,
    pictures_a_color: int,
    resolution: int,
    *,
    front_bias: float,
    generator: torch.Generator,
    threads: int,
) -> list[SubjectPictures]:
    """`pictures` of every animal, and `pictures_a_color` in each colour, from a biased orbit.

    The orbit is that of gs_esd.config.CamerasConfig.
    """
    zoo = []
    for subject in subjects():
        rgba, cameras = draw_bank(
            subject,
            pictures if subject.color is None else pictures_a_color,
            resolution,
            front_bias=front_bias,
            elevation=(0.0, math.radians(30)),
            distance=3.0,
            fov=math.radians(40),
            generator=generator,
            threads=threads,
        )
        bytes_ = (255 * rgba).round().to(torch.uint8)
        zoo.append(SubjectPictures(subject, bytes_, view_index(cameras.azimuth)))
    log.info("drew %d pictures of %d subjects", sum(len(s.rgba) for s in zoo), len(zoo))
    return zoo


@dataclass(frozen=True)
class BatchMaker:
    """Draws batches for v-prediction; the target is the exact one for the pictures at hand.

    A batch is made of groups of one caption and one background, black or white. Both are known in
    whatever noise; where any colour was possible, the side that an animal shows was known only at
    levels at which renderings betray it too, and λ had nothing to act on. Within a group the mean
    of v over all pictures that could have become x_t is known in closed form; it teaches the same
    as the one picture that did, with less noise (arXiv 2302.00670).
    """

    zoo: list[SubjectPictures]
    encode: Encode
    log_snr: Float[Tensor, " T"]
    groups: int
    rows: int
    references: int
    """Pictures that a group's mean is taken over."""
    device: torch.device
    """Where batches are made; random numbers are drawn on the CPU all the same."""

    def draw(self, generator: torch.Generator, choice: random.Random) -> NoisyBatch:
        """A batch of groups x rows pictures."""
        parts = [self._draw_group(generator, choice) for _ in range(self.groups)]
        return NoisyBatch(
            torch.cat([part.x_t for part in parts]),
            torch.cat([part.timestep for part in parts]),
            [words for part in parts for words in part.captions],
            torch.cat([part.target for part in parts]),
        )

    def _draw_group(self, generator: torch.Generator, choice: random.Random) -> NoisyBatch:
        pictures = self._draw_subject(choice)
        shown, view = self._draw_view(pictures, generator, choice)
        picked = shown[torch.randperm(len(shown), generator=generator)[: self.references]]
        background = black_or_white(generator).to(self.device)
        references = self.encode(on_background(pictures.rgba[picked].to(self.device), background))
        x_0 = references[torch.randint(len(picked), (self.rows,), generator=generator)]
        timestep = torch.randint(len(self.log_snr), (self.rows,), generator=generator)
        eps = torch.randn(x_0.shape, generator=generator).to(self.device)
        log_snr = self.log_snr[timestep].to(self.device)
        x_t = add_noise(x_0, eps, log_snr)
        captions = [
            "" if choice.random() < EMPTY_SHARE else caption(pictures.subject, view, choice)
            for _ in range(self.rows)
        ]
        return NoisyBatch(x_t, timestep, captions, mean_v(x_t, log_snr, references))

    def _draw_subject(self, choice: random.Random) -> SubjectPictures:
        plain = choice.random() < PLAIN_SHARE
        return choice.choice([s for s in self.zoo if (s.subject.color is None) == plain])

    def _draw_view(
        self, pictures: SubjectPictures, generator: torch.Generator, choice: random.Random
    ) -> tuple[Int[Tensor, " m"], str | None]:
        """Which pictures a caption is for, and the view that it names, as often as it is taken."""
        if choice.random() >= VIEW_SHARE:
            return torch.arange(len(pictures.views)), None
        view = pictures.views[torch.randint(len(pictures.views), (1,), generator=generator)]
        return (pictures.views == view).nonzero()[:, 0], VIEW_NAMES[int(view)]


def on_background(
    rgba: UInt8[Tensor, "N 4 H W"], background: Float[Tensor, "3"]
) -> Float[Tensor, "N 3 H W"]:
    """Pictures in [-1, 1] of premultiplied bytes over a solid colour in [0, 1]."""
    values = rgba.float() / 255
    return 2 * (values[:, :3] + (1 - values[:, 3:]) * background[:, None, None]) - 1


def mean_v(
    x_t: Float[Tensor, "N C h w"],
    log_snr: Float[Tensor, " N"],
    pictures: Float[Tensor, "M C h w"],
) -> Float[Tensor, "N C h w"]:
    """E[v | x_t] where x_0 is one of `pictures`, all equally likely."""
    flat = pictures.flatten(1)
    products = x_t.flatten(1) @ flat.T  # [N, M]
    log_weights = log_posterior(products, flat.double().square().sum(1), log_snr)
    x_0 = posterior_mean(log_weights, flat).view_as(x_t)
    eps = noise_from_denoised(x_t, x_0, log_snr)
    return prediction_of(x_0, eps, log_snr, "v_prediction")
