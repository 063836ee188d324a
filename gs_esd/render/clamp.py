"""Clamp renderings to colours that can be shown, with a gradient that leads back to them.

Spherical harmonics give colours of any size. A viewer clips each Gaussian's to [0, 1], and images
outside of that are none that a prior was trained on. threestudio-3dgs clamps the image over its
background; here premultiplied colours are clamped to [0, alpha], which is what Gaussians of colours
in [0, 1] can make, and puts the image over every background in [0, 1].

The gradient of `torch.clamp` is 0 outside: a colour that is too bright would stay so forever.
"""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from gs_esd.render.renderings import Renderings


def clamp_renderings(renderings: Renderings) -> Renderings:
    """Renderings with premultiplied colours clamped to [0, alpha]."""
    return replace(renderings, rgb=clamp_below(renderings.rgb, renderings.alpha))


def clamp_below(
    values: Float[Tensor, "*shape"], ceiling: Float[Tensor, "*ceiling"]
) -> Float[Tensor, "*shape"]:
    """Clamp to [0, ceiling] with a one-sided gradient outside.

    Where a value is inside, its gradient passes. Outside, it passes if descending along it moves
    the value back to the range, and is 0 if it would move the value further away.

    Args:
        values: what to clamp.
        ceiling: of a shape that broadcasts to that of the values; gets no gradient.
    """
    clamped: Tensor = _ClampBelow.apply(values, ceiling.detach())
    return clamped


class _ClampBelow(torch.autograd.Function):
    """Differentiable in the values, not in the ceiling."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ceiling: Tensor) -> Tensor:
        ctx.save_for_backward(values < 0, values > ceiling)
        return torch.minimum(values.clamp(min=0), ceiling)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        below, above = ctx.saved_tensors
        leads_away = (below & (gradient > 0)) | (above & (gradient < 0))
        return gradient.masked_fill(leads_away, 0), None
