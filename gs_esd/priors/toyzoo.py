"""prior=toyzoo: a bank of images of one procedural animal, cameras unknown."""

import logging

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gs_esd.cameras.orbit import Orbit
from gs_esd.cameras.view_names import view_index
from gs_esd.config.options import ToyZooPriorConfig
from gs_esd.toyzoo.bank import draw_bank
from gs_esd.toyzoo.prompt import parse_prompt

log = logging.getLogger(__name__)


def draw_images(
    config: ToyZooPriorConfig,
    prompt: str,
    resolution: int,
    orbit: Orbit,
    threads: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "M 4 H W"], Int[Tensor, " M"] | None]:
    """Images of the animal a prompt names, and the views they are of.

    The images are premultiplied RGBA in [0, 1]. The views, indices into VIEW_NAMES, are None
    unless prior.view_prompts asks for them.
    Raises UserError for a prompt that names no animal of the zoo.
    """
    subject = parse_prompt(prompt)
    if subject.ignored:
        log.warning("the toy zoo ignores: %s", ", ".join(subject.ignored))
    rgba, cameras = draw_bank(
        subject,
        config.num_images,
        resolution,
        front_bias=config.front_bias,
        elevation=(orbit.elevation_min, orbit.elevation_max),
        distance=orbit.distance,
        fov=orbit.fov,
        individuals=config.individuals,
        generator=generator,
        threads=threads,
    )
    # The cameras are what distillation has to find out: no more than a view's name leaves this.
    return rgba, view_index(cameras.azimuth) if config.view_prompts else None
