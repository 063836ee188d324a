"""Numbers made of CLIP's features: how well images show what a prompt says, and from where.

Notation
    V, P, K     images of one object, other prompts, descriptions of views
    x_v, y      unit feature of image v, and of the object's own prompt
    s           CLIP's logit scale, its inverse temperature

    CLIP score  100 max(x_v · y, 0)                     arXiv 2104.08718 without its factor 2.5
    R-precision the share of v with x_v · y > x_v · y'  for every other prompt y'
                                                        arXiv 2112.01455, section 4
    p(k | x_v)  softmax_k (s x_v · y_k)                 arXiv 2103.00020, section 3.1

The **Janus proxy** counts the ranges of azimuths where CLIP surely sees a front. It is a proxy:
CLIP was not made to tell sides, and tells them badly of some objects. Compare it with images.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.evaluation.janus import Faces, count_faces

SURE = 2 / 3
"""The probability from which a front, or that it is none, is taken to be seen: two to one."""


def clip_score(images: Float[Tensor, "V D"], prompt: Float[Tensor, " D"]) -> Float[Tensor, " V"]:
    """The CLIP score of each image, in [0, 100]. Features have unit length."""
    return 100 * (images @ prompt).clamp(min=0)


def r_precision(
    images: Float[Tensor, "V D"], prompt: Float[Tensor, " D"], rivals: Float[Tensor, "P D"]
) -> float:
    """The share of images that are nearer to their own prompt than to any rival, in [0, 1].

    A tie counts as wrong, so that features that tell nothing apart score 0. Features have unit
    length; the own prompt must not be among the rivals.
    Raises ValueError without rivals.
    """
    if len(rivals) == 0:
        raise ValueError("R-precision needs at least one other prompt")
    nearest_rival = (images @ rivals.T).amax(dim=1)
    return float((images @ prompt > nearest_rival).float().mean())


def view_prompts(prompt: str) -> list[str]:
    """A description of each of VIEW_NAMES for `view_probabilities`: "front view of a corgi"."""
    return [f"{view} view of {prompt}" for view in VIEW_NAMES]


def view_probabilities(
    images: Float[Tensor, "V D"], descriptions: Float[Tensor, "K D"], logit_scale: float
) -> Float[Tensor, "V K"]:
    """Which of the descriptions CLIP takes each image for; rows sum to one.

    Features have unit length; logit_scale is CLIP's own.
    """
    return torch.softmax(logit_scale * images @ descriptions.T, dim=1)


def faces_proxy(probabilities: Float[Tensor, "V 3"]) -> Faces:
    """The Janus proxy: faces on a circle of images, as CLIP sees them.

    probabilities: of VIEW_NAMES for images from evenly spaced azimuths, as `view_probabilities`
        gives them. Where neither a front nor its absence is SURE, an image parts no two fronts.
    """
    front = probabilities[:, VIEW_NAMES.index("front")]
    return count_faces(front >= SURE, front <= 1 - SURE)
