"""View-dependent prompting: weights of the view prompts per camera, and Perp-Neg's weights.

Notation (azimuth and elevation as in gs_esd/cameras/orbit.py, in radians)
    V           number of PROMPT_VIEWS, each of which has a prompt ("a corgi, front view")
    weights     [B, V], weights of the view prompts for each camera; rows sum to one
    r           weight of one of the two nearest views, 1 when the camera is exactly there
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.orbit import Cameras
from gs_esd.cameras.view_names import VIEW_NAMES, angle_from_front

PROMPT_VIEWS = (*VIEW_NAMES, "overhead")
FRONT, SIDE, BACK, OVERHEAD = range(4)
NEGATIVE_VIEWS = (FRONT, SIDE)
"""Views whose prompts Perp-Neg uses as negative prompts: models do not mistake others for backs."""

ViewWeightsFn = Callable[[Cameras], Float[Tensor, "B V"]]
"""Weights of the view prompts for each camera."""


def nearest_view(front: float, back: float, overhead: float) -> ViewWeightsFn:
    """Weights of the one nearest view, as in DreamFusion (arXiv 2209.14988).

    Args:
        front: largest angle between the azimuth of a front view and 0, in radians.
        back: largest angle between the azimuth of a back view and π, in radians.
        overhead: elevation above which a view is overhead, in radians.
    """

    def weights(cameras: Cameras) -> Float[Tensor, "B V"]:
        from_front = angle_from_front(cameras.azimuth)
        view = torch.full_like(from_front, SIDE, dtype=torch.long)
        view[from_front <= front] = FRONT
        view[from_front >= math.pi - back] = BACK
        view[cameras.elevation > overhead] = OVERHEAD
        return (view[:, None] == torch.arange(len(PROMPT_VIEWS), device=view.device)).to(from_front)

    return weights


def interpolated_views(overhead: float) -> ViewWeightsFn:
    """Weights of the two nearest of front, side and back, linear in azimuth, as in Perp-Neg.

    Args:
        overhead: elevation above which a view is overhead alone, in radians.
    """

    def weights(cameras: Cameras) -> Float[Tensor, "B V"]:
        quarters = angle_from_front(cameras.azimuth) / (0.5 * math.pi)  # [0, 2]
        front, back = (1 - quarters).clamp(min=0), (quarters - 1).clamp(min=0)
        around = torch.stack([front, 1 - front - back, back, torch.zeros_like(front)], dim=1)
        above = torch.eye(len(PROMPT_VIEWS), device=around.device)[OVERHEAD]
        return torch.where((cameras.elevation > overhead)[:, None], above, around)

    return weights


def perp_neg_weights(weights: Float[Tensor, "B V"]) -> Float[Tensor, "B 2"]:
    """Weights of the prompts of NEGATIVE_VIEWS in Perp-Neg for each camera; zero or negative.

    Between front and side, with r the front's weight:    front -4 (e^(-r/2) - e^(-1/2)),
                                                           side -4 (e^(-(1-r)/2) - e^(-1/2))
    between side and back, with r the side's weight:      front -(e^(-r/2) + 4 - 5 e^(-1/2)),
                                                           side -(e^(-r/2) - e^(-1/2))
    A view at which the camera is exactly has weight zero, and so have all from overhead.

    The form a e^(-br) + c is that of Perp-Neg (arXiv 2304.04968); a and b are the values of
    threestudio (threestudio/models/prompt_processors/base.py), c follows from continuity.

    Args:
        weights: of `interpolated_views`.
    """
    front, side, back, overhead = weights.unbind(1)
    end = math.exp(-0.5)
    before = torch.stack([(-front / 2).exp() - end, (-side / 2).exp() - end], dim=1)
    behind = torch.stack([(-side / 2).exp() + 4 - 5 * end, (-side / 2).exp() - end], dim=1)
    negative = torch.where((back > 0)[:, None], -behind, -4 * before)
    return torch.where((overhead > 0)[:, None], 0.0, negative)
