"""Images of the whole zoo, on which the tiny prior and the classifier are trained.

Notation
    M           images of one subject
"""

import logging
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from gs_esd.cameras.view_names import view_index
from gs_esd.toyzoo.bank import draw_bank
from gs_esd.toyzoo.captions import subjects
from gs_esd.toyzoo.prompt import ZooSubject

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SubjectImages:
    """Images of one subject, premultiplied RGBA, and their views, indices into VIEW_NAMES."""

    subject: ZooSubject
    rgba: UInt8[Tensor, "M 4 H W"]
    views: Int[Tensor, " M"]


def draw_zoo(
    images: int,
    images_a_color: int,
    resolution: int,
    *,
    front_bias: float,
    generator: torch.Generator,
    threads: int,
) -> list[SubjectImages]:
    """Draw every animal in its usual colours and in each colour, favouring the front.

    The orbit is that of gs_esd.config.options.CamerasConfig.

    Args:
        images: of every animal in its usual colours.
        images_a_color: of every animal in each colour.
        resolution: pixels a side.
        front_bias: κ of the azimuth's von Mises distribution.
        generator: on the CPU, of all random numbers.
        threads: images drawn at the same time.
    """
    zoo = []
    for subject in subjects():
        rgba, cameras = draw_bank(
            subject,
            images if subject.color is None else images_a_color,
            resolution,
            front_bias=front_bias,
            elevation=(0.0, math.radians(30)),
            distance=3.0,
            fov=math.radians(40),
            generator=generator,
            threads=threads,
        )
        bytes_ = (255 * rgba).round().to(torch.uint8)
        zoo.append(SubjectImages(subject, bytes_, view_index(cameras.azimuth)))
    log.info("drew %d images of %d subjects", sum(len(s.rgba) for s in zoo), len(zoo))
    return zoo


def on_background(
    rgba: UInt8[Tensor, "N 4 H W"], background: Float[Tensor, "3"]
) -> Float[Tensor, "N 3 H W"]:
    """Composite premultiplied bytes over a solid colour in [0, 1]; images in [-1, 1]."""
    values = rgba.float() / 255
    return 2 * (values[:, :3] + (1 - values[:, 3:]) * background[:, None, None]) - 1
