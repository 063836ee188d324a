"""Which words for its view a camera's prompt gets, and how strongly others are pushed away.

Notation (azimuth and elevation as in gs_esd/cameras/orbit.py, in radians)
    V           PROMPT_VIEWS, the views that prompts have words for
    weights     [B, V] of the views' prompts for each camera; rows sum to one
    r           share of the nearer of two views, 1 when the camera looks straight at it
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
PUSHED_AWAY = (FRONT, SIDE)
"""The views that Perp-Neg turns away from; nothing is ever mistaken for its back."""

ViewWeights = Callable[[Cameras], Float[Tensor, "B V"]]
"""How much of each of PROMPT_VIEWS is in the prompt of a camera."""


def nearest_view(front: float, back: float, overhead: float) -> ViewWeights:
    """One view a camera, as in DreamFusion (arXiv 2209.14988).

    front, back: how far the azimuth may lie from 0 and from π for these views.
    overhead: the elevation above which it is that view.
    """

    def weights(cameras: Cameras) -> Float[Tensor, "B V"]:
        from_front = angle_from_front(cameras.azimuth)
        view = torch.full_like(from_front, SIDE, dtype=torch.long)
        view[from_front <= front] = FRONT
        view[from_front >= math.pi - back] = BACK
        view[cameras.elevation > overhead] = OVERHEAD
        return (view[:, None] == torch.arange(len(PROMPT_VIEWS), device=view.device)).to(from_front)

    return weights


def interpolated_views(overhead: float) -> ViewWeights:
    """The two nearest of front, side and back, linear in azimuth, as Perp-Neg has it.

    Above the elevation `overhead` it is that view alone.
    """

    def weights(cameras: Cameras) -> Float[Tensor, "B V"]:
        quarters = angle_from_front(cameras.azimuth) / (0.5 * math.pi)  # [0, 2]
        front, back = (1 - quarters).clamp(min=0), (quarters - 1).clamp(min=0)
        around = torch.stack([front, 1 - front - back, back, torch.zeros_like(front)], dim=1)
        above = torch.eye(len(PROMPT_VIEWS), device=around.device)[OVERHEAD]
        return torch.where((cameras.elevation > overhead)[:, None], above, around)

    return weights


def negative_weights(weights: Float[Tensor, "B V"]) -> Float[Tensor, "B 2"]:
    """How strongly Perp-Neg turns each camera away from PUSHED_AWAY; zero or negative.

    Between front and side, with r the front's share:     front -4 (e^(-r/2) - e^(-1/2)),
                                                           side -4 (e^(-(1-r)/2) - e^(-1/2))
    between side and back, with r the side's share:       front -(e^(-r/2) + 4 - 5 e^(-1/2)),
                                                           side -(e^(-r/2) - e^(-1/2))
    A view that the camera looks straight at is not turned away from; seen from overhead, none is.

    The form a e^(-br) + c is that of Perp-Neg (arXiv 2304.04968); a and b are the values that
    threestudio found (threestudio/models/prompt_processors/base.py), c follows from continuity.
    weights: of `interpolated_views`.
    """
    front, side, back, overhead = weights.unbind(1)
    end = math.exp(-0.5)
    before = torch.stack([(-front / 2).exp() - end, (-side / 2).exp() - end], dim=1)
    behind = torch.stack([(-side / 2).exp() + 4 - 5 * end, (-side / 2).exp() - end], dim=1)
    negative = torch.where((back > 0)[:, None], -behind, -4 * before)
    return torch.where((overhead > 0)[:, None], 0.0, negative)
