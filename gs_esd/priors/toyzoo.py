"""prior=toyzoo: images of one procedural animal, without their cameras."""

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
    """Draw images of the animal that a prompt names.

    Args:
        config: number of images, of individuals, and bias of the cameras to the front.
        prompt: e.g. "a brown bear".
        resolution: pixels a side.
        orbit: elevations, distance and field of view of the cameras.
        threads: CPU threads of the ray tracer.
        generator: on the CPU.

    Returns:
        Premultiplied RGBA in [0, 1], and the index into VIEW_NAMES of each image, or None unless
        `config.view_prompts`.

    Raises:
        UserError: the prompt names no animal of the zoo.
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
    # Unposed images: the cameras themselves must not reach the prior.
    return rgba, view_index(cameras.azimuth) if config.view_prompts else None
