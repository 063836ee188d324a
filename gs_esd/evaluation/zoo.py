"""Measures of toy-zoo animals: renderings are compared with the animal's true views.

Notation
    V, M        renderings, and true views on a grid of cameras
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gs_esd.cameras.orbit import Orbit, orbit_cameras
from gs_esd.evaluation.information import inception_metrics
from gs_esd.evaluation.janus import faces_of_azimuths
from gs_esd.render.compositing import composite
from gs_esd.toyzoo.animal import build_animal
from gs_esd.toyzoo.classifier import ZooClassifier
from gs_esd.toyzoo.prompt import UnknownAnimalError, parse_prompt
from gs_esd.toyzoo.tracer import trace

RESOLUTION = 128
"""Pixels a side of renderings and true views."""
ELEVATIONS_DEG = (7.5, 10, 12.5, 15, 17.5, 20, 22.5)
"""Of the true views; renderings are from the middle one, see evaluate.py."""
AZIMUTH_STEP_DEG = 2.0


@dataclass(frozen=True)
class Matches:
    """The true view nearest to each rendering: its azimuth in radians, and the squared error."""

    azimuth: Float[Tensor, " V"]
    mean_squared_error: Float[Tensor, " V"]

    @property
    def psnr_db(self) -> float:
        """The median over the renderings of the PSNR against their matches, in dB."""
        return float((-10 * self.mean_squared_error.log10()).median())


@dataclass(frozen=True)
class ZooMeasures:
    """Numbers of one animal, and what they were made with.

    Attributes:
        classifier: "toyzoo", the classifier behind the Inception metrics.
        views: The number of renderings.
        inception_quality: See gs_esd/evaluation/information.py; so are the next three.
        faces: See gs_esd/evaluation/janus.py, by matching with true views.
        front_share: The share of renderings that show a front; a quarter is right.
        janus_free: Whether there is one front, and not all around.
        psnr_db: See `Matches`.
    """

    classifier: str
    views: int
    inception_quality: float
    inception_variety: float
    inception_gain: float
    view_information: float
    faces: int
    front_share: float
    janus_free: bool
    psnr_db: float


def is_zoo_prompt(prompt: str) -> bool:
    """Whether a prompt names an animal of the toy zoo, so that its true views exist."""
    try:
        parse_prompt(prompt)
    except UnknownAnimalError:
        return False
    return True


def measure_zoo(
    renderings: Float[Tensor, "V H W 3"], prompt: str, orbit: Orbit, classifier: ZooClassifier
) -> ZooMeasures:
    """Measure renderings of a zoo animal, all around it.

    Args:
        renderings: Evenly spaced in azimuth; else as for `match_views`.
        prompt: Names the animal.
        orbit: The distance and field of view of the renderings.
        classifier: Gives the classes of the Inception metrics.

    Raises:
        UserError: the prompt names no animal of the zoo.
    """
    probabilities = classifier.probabilities(to_classifier_input(renderings))
    matches = match_views(renderings, prompt, orbit)
    faces = faces_of_azimuths(matches.azimuth)
    return ZooMeasures(
        classifier="toyzoo",
        views=len(renderings),
        **inception_metrics(probabilities),
        faces=faces.lobes,
        front_share=faces.share,
        janus_free=faces.janus_free,
        psnr_db=matches.psnr_db,
    )


def to_classifier_input(renderings: Float[Tensor, "V H W 3"]) -> Float[Tensor, "V 3 h w"]:
    """Halve the size and scale [0, 1] to [-1, 1], as in the classifier's training images."""
    return 2 * avg_pool2d(renderings.permute(0, 3, 1, 2), 2) - 1


def match_views(
    renderings: Float[Tensor, "V H W 3"], prompt: str, orbit: Orbit, individual: int = 0
) -> Matches:
    """Find the true view nearest to each rendering, by the mean squared error.

    Args:
        renderings: Over white, RGB in [0, 1], RESOLUTION pixels a side, from about the middle of
            ELEVATIONS_DEG.
        prompt: Names the animal.
        orbit: The distance and field of view of the renderings.
        individual: Which animal of the kind; 0 is the canonical one.
    """
    views, azimuths = true_views(prompt, orbit, individual)
    distances = torch.cdist(renderings.flatten(1), views.flatten(1)).square() / views[0].numel()
    error, nearest = distances.min(dim=1)
    return Matches(azimuths[nearest], error)


@lru_cache(maxsize=1)
def true_views(
    prompt: str, orbit: Orbit, individual: int = 0
) -> tuple[Float[Tensor, "M H W 3"], Float[Tensor, " M"]]:
    """An animal over white from a grid of cameras, and the azimuths in radians."""
    azimuths = torch.arange(0, 360, AZIMUTH_STEP_DEG).deg2rad()
    animal = build_animal(parse_prompt(prompt), individual)
    views = []
    for elevation in ELEVATIONS_DEG:
        cameras = orbit_cameras(
            azimuths,
            torch.full_like(azimuths, math.radians(elevation)),
            distance=orbit.distance,
            fov=orbit.fov,
            resolution=RESOLUTION,
        )
        rgba = trace(animal, cameras)
        views.append(composite(rgba[..., :3], rgba[..., 3:], torch.ones(3)))
    return torch.cat(views), azimuths.repeat(len(ELEVATIONS_DEG))
