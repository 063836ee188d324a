"""Size and height of splats as photographs framed singly have the object in their middle.

A short run with box-normalised cameras leaves the object of any size and height. Before the fit it
is brought to where the photographs have it on average, so that it fills the frame of the orbit, and
shifts and magnifications begin about 0.
"""

import math
from dataclasses import replace

import torch
from torch.nn import Parameter, ParameterDict

from gs_esd.cameras.orbit import Orbit
from gs_esd.registration.search import Registration


@torch.no_grad()
def fill_frame(
    splats: ParameterDict, found: Registration, orbit: Orbit
) -> tuple[ParameterDict, Registration]:
    """Splats scaled about the origin and moved along the axis, and what is left of the framing.

    To first order in size over distance; the fit does the rest.

    Args:
        splats: raw parameters.
        found: the cameras that a search has found for them.
        orbit: of the search.

    Returns:
        A copy of the splats, and cameras of a mean shift down and mean log magnification of 0.
    """
    log_scale, down = float(found.log_scale.mean()), float(found.shift[:, 1].mean())
    frame = 2 * orbit.distance * math.tan(0.5 * orbit.fov)
    up = -down * frame / math.cos(float(found.elevation.mean()))
    scale = math.exp(log_scale)
    moved = {name: value.detach().clone() for name, value in splats.items()}
    moved["means"] = scale * moved["means"]
    moved["means"][:, 2] += up
    moved["scales"] += log_scale
    shift = found.shift - torch.tensor([0.0, down])
    left = replace(found, shift=shift, log_scale=found.log_scale - log_scale)
    return ParameterDict({name: Parameter(value) for name, value in moved.items()}), left
