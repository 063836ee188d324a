"""What CLIP measures of a splat's renderings, or of any images of one prompt.

Every group of numbers names the model that made them: CLIP's numbers compare only within one model,
one number of views and one path of the camera.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Orbit
from gs_esd.errors import UserError
from gs_esd.evaluation.clip import Clip
from gs_esd.evaluation.clip_scores import (
    clip_score,
    faces_proxy,
    r_precision,
    view_probabilities,
    view_prompts,
)
from gs_esd.evaluation.zoo_views import ELEVATION, render_around

RESOLUTION = 224
"""Pixels a side of renderings for networks, as most of them take them."""


@dataclass(frozen=True)
class ClipMeasures:
    """How well images show their prompt; see gs_esd/evaluation/clip_scores.py.

    clip_revision: see `VisionFiles`.
    clip_score: the mean over the images. clip_score_lowest: that of the worst of them.
    clip_rivals: how many other prompts R-precision had to tell the own one from; both are None
        where none were given.
    """

    clip_backbone: str
    clip_revision: str
    clip_logit_scale: float
    clip_score: float
    clip_score_lowest: float
    clip_r_precision: float | None
    clip_rivals: int | None


@dataclass(frozen=True)
class ProxyMeasures:
    """How the renderings for CLIP were made, and the Janus proxy of them."""

    clip_views: int
    clip_elevation_deg: float
    clip_resolution: int
    clip_background: str
    faces_proxy: int
    front_share_proxy: float
    janus_free_proxy: bool


@dataclass(frozen=True)
class Rivals:
    """The prompts that R-precision has to tell an object's own prompt from, and their features."""

    prompts: list[str]
    features: Float[Tensor, "P D"]

    def without(self, prompt: str) -> Float[Tensor, "p D"]:
        """The features of all prompts but one. Raises UserError if none are left."""
        others = torch.tensor([_same(each) != _same(prompt) for each in self.prompts])
        if not others.any():
            raise UserError(f'--rivals holds no prompt but "{prompt}" itself: add wrong answers')
        return self.features[others]


def read_rivals(path: Path, clip: Clip) -> Rivals:
    """The prompts in a text file, one a line. Raises UserError where there are none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"--rivals {path} cannot be read ({error})") from error
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise UserError(f"--rivals {path} is empty: give a text file with one prompt a line")
    return Rivals(prompts, clip.of_prompts(prompts))


def render_for_networks(
    splats: ParameterDict, orbit: Orbit, views: int
) -> Float[Tensor, "V H W 3"]:
    """Renderings once around a splat, of RESOLUTION, for CLIP and other classifiers."""
    return render_around(splats, orbit, views, RESOLUTION)


def measure_around(
    clip: Clip, renderings: Float[Tensor, "V H W 3"], prompt: str, rivals: Rivals | None
) -> tuple[ClipMeasures, ProxyMeasures]:
    """Measure what `render_for_networks` gave of a splat of a prompt.

    Raises UserError for rivals that hold no other prompt.
    """
    features = clip.of_images(renderings)
    descriptions = clip.of_prompts(view_prompts(prompt))
    faces = faces_proxy(view_probabilities(features, descriptions, clip.logit_scale))
    proxy = ProxyMeasures(
        clip_views=len(renderings),
        clip_elevation_deg=round(math.degrees(ELEVATION), 6),
        clip_resolution=renderings.shape[1],
        clip_background="white",
        faces_proxy=faces.lobes,
        front_share_proxy=faces.share,
        janus_free_proxy=faces.janus_free,
    )
    return measure_features(clip, features, prompt, rivals), proxy


def measure_features(
    clip: Clip, features: Float[Tensor, "V D"], prompt: str, rivals: Rivals | None
) -> ClipMeasures:
    """Measure images of a prompt by what `clip.of_pictures` gave of them.

    Raises UserError for rivals that hold no other prompt.
    """
    own = clip.of_prompts([prompt])[0]
    scores = clip_score(features, own)
    others = None if rivals is None else rivals.without(prompt)
    return ClipMeasures(
        clip_backbone=clip.files.path,
        clip_revision=clip.files.revision,
        clip_logit_scale=clip.logit_scale,
        clip_score=float(scores.mean()),
        clip_score_lowest=float(scores.min()),
        clip_r_precision=None if others is None else r_precision(features, own, others),
        clip_rivals=None if others is None else len(others),
    )


def as_line(*measures: Any) -> dict[str, Any]:
    """The fields of measures (dataclasses) for a line of JSON, without those that are None."""
    fields = {name: value for each in measures for name, value in asdict(each).items()}
    return {name: value for name, value in fields.items() if value is not None}


def _same(prompt: str) -> str:
    """Prompts that differ in spaces and capitals are one to CLIP."""
    return " ".join(prompt.casefold().split())
