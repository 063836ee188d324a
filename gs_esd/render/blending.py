"""Blending of projected Gaussians as an autograd function over the kernels."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from gs_esd.render.arguments import Settings
from gs_esd.render.blending_backward import COLOR_SUMS, SUM_CHUNK, blend_backward, sum_pairs
from gs_esd.render.blending_forward import blend_forward
from gs_esd.render.pipeline import Projection
from gs_esd.render.threads import run_parts
from gs_esd.render.tiles import Splats, make_grid, sort_into_tiles


def blend(
    projection: Projection,
    opacities: Float[Tensor, "C N"],
    colors: Float[Tensor, "C N D"],
    backgrounds: Float[Tensor, "C D"] | None,
    settings: Settings,
) -> tuple[Float[Tensor, "C H W D"], Float[Tensor, "C H W 1"]]:
    """Blend projected Gaussians front to back; the kernels' version of `reference.blend`.

    With settings.absgrad the backward pass sets `projection.means2d.absgrad` [C, N, 2], the sum
    over pixels of |dL/d(means2d)|.
    """
    if backgrounds is None:
        backgrounds = colors.new_zeros(len(colors), colors.shape[-1])
    return _Blend.apply(
        projection.means2d, projection.conics, colors, opacities, backgrounds,
        projection.depths.detach(), projection.radii, settings,
    )  # fmt: skip


class _Blend(torch.autograd.Function):
    """Differentiable in means2d, conics, colours, opacities and backgrounds, not in depths."""

    @staticmethod
    def forward(
        ctx: Any,
        means2d: Tensor,
        conics: Tensor,
        colors: Tensor,
        opacities: Tensor,
        backgrounds: Tensor,
        depths: Tensor,
        radii: Tensor,
        settings: Settings,
    ) -> tuple[Tensor, Tensor]:
        splats = Splats(*(_array(t) for t in (means2d, conics, colors, opacities)))
        grid = make_grid(settings.width, settings.height, settings.tile_size)
        lists = sort_into_tiles(splats, _array(depths), _array(radii), grid)
        C, _, D = colors.shape
        image = torch.empty(C, grid.height, grid.width, D)
        alphas = torch.empty(C, grid.height, grid.width, 1)
        outputs = (_array(backgrounds), image.numpy(), alphas.numpy())
        run_parts(
            lambda part, parts: blend_forward(part, parts, grid, lists, splats, *outputs),
            len(lists.work_order),
        )
        ctx.save_for_backward(means2d, conics, colors, opacities, image, alphas)
        ctx.grid, ctx.lists, ctx.absgrad = grid, lists, settings.absgrad
        return image, alphas

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v_image: Tensor, v_alphas: Tensor) -> tuple[Tensor | None, ...]:
        means2d, conics, colors, opacities, image, alphas = ctx.saved_tensors
        grid, lists = ctx.grid, ctx.lists
        splats = Splats(*(_array(t) for t in (means2d, conics, colors, opacities)))
        arrays = [_array(t) for t in (image, alphas, v_image, v_alphas)]
        C, N, D = colors.shape
        columns = COLOR_SUMS + D + (2 if ctx.absgrad else 0)
        pair_sums = np.empty((len(lists.members), columns), np.float32)
        run_parts(
            lambda part, parts: blend_backward(
                part, parts, grid, lists, splats, *arrays, ctx.absgrad, pair_sums
            ),
            len(lists.work_order),
        )
        sums = torch.empty(C * N, columns)
        run_parts(
            lambda part, parts: sum_pairs(part, parts, lists.pair_starts, pair_sums, sums.numpy()),
            -(-C * N // SUM_CHUNK),
        )
        v_means2d, v_conics, v_opacities, v_colors, absgrad = sums.reshape(C, N, columns).split(
            [2, 3, 1, D, columns - COLOR_SUMS - D], dim=-1
        )
        if ctx.absgrad:
            means2d.absgrad = absgrad
        v_backgrounds = None
        if ctx.needs_input_grad[4]:
            v_backgrounds = ((1 - alphas) * v_image).sum(dim=(1, 2))
        return v_means2d, v_conics, v_colors, v_opacities[..., 0], v_backgrounds, None, None, None


def _array(tensor: Tensor) -> np.ndarray:
    """A contiguous array with the tensor's values, without a copy where possible."""
    return tensor.detach().contiguous().numpy()
