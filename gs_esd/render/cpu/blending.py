"""Alpha blending of projected Gaussians: the autograd function around the numba kernels."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from gs_esd.render.cpu.arguments import Settings
from gs_esd.render.cpu.blending_backward import blend_backward, make_scratch
from gs_esd.render.cpu.blending_forward import blend_forward, make_canvas
from gs_esd.render.cpu.blending_maths import TABLES, Flag
from gs_esd.render.cpu.gradient_sums import row_length, sum_visits
from gs_esd.render.cpu.jit.arrays import as_array
from gs_esd.render.cpu.jit.threads import run_parts
from gs_esd.render.cpu.pipeline import Projection
from gs_esd.render.cpu.tiles import Splats, make_grid, sort_into_tiles


def blend(
    projection: Projection,
    opacities: Float[Tensor, "C N"],
    colors: Float[Tensor, "C N D"],
    backgrounds: Float[Tensor, "C D"] | None,
    settings: Settings,
) -> tuple[Float[Tensor, "C H W D"], Float[Tensor, "C H W 1"]]:
    """Blend projected Gaussians front to back; same result as `reference.blend`, by numba kernels.

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
        splats = Splats(*(as_array(t) for t in (means2d, conics, colors, opacities)))
        grid = make_grid(settings.width, settings.height)
        lists = sort_into_tiles(splats, as_array(depths), as_array(radii), grid)
        C, _, D = colors.shape
        more: Flag = True if D > 3 else None
        image = torch.empty(C, grid.height, grid.width, D)
        alphas = torch.empty(C, grid.height, grid.width, 1)
        visited = np.empty(len(lists.members), np.uint32)
        outputs = (image.numpy(), alphas.numpy(), visited)
        run_parts(
            lambda part, parts: blend_forward(
                part, parts, grid, lists, TABLES, make_canvas(D), splats.colors,
                as_array(backgrounds), more, *outputs,
            ),
            len(lists.work_order),
        )  # fmt: skip
        ctx.save_for_backward(means2d, conics, colors, opacities, image, alphas)
        ctx.grid, ctx.lists, ctx.visited, ctx.more = grid, lists, visited, more
        ctx.absgrad = True if settings.absgrad else None
        return image, alphas

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v_image: Tensor, v_alphas: Tensor) -> tuple[Tensor | None, ...]:
        means2d, conics, colors, opacities, image, alphas = ctx.saved_tensors
        lists, visited, absgrad = ctx.lists, ctx.visited, ctx.absgrad
        splats = Splats(*(as_array(t) for t in (means2d, conics, colors, opacities)))
        arrays = [as_array(t) for t in (image, alphas, v_image, v_alphas)]
        C, N, D = colors.shape
        length = row_length(D, absgrad)
        rows_of_sums = np.empty((len(lists.members), length), np.float32)
        run_parts(
            lambda part, parts: blend_backward(
                part, parts, ctx.grid, lists, TABLES, make_scratch(D), splats.colors, *arrays,
                visited, ctx.more, absgrad, rows_of_sums,
            ),
            len(lists.work_order),
        )  # fmt: skip
        gradients = [torch.empty(t.shape) for t in (means2d, conics, colors, opacities)]
        v_splats, v_absolute = (
            Splats(*map(as_array, gradients)),
            torch.empty(C, N if absgrad else 0, 2),
        )
        totals = np.empty((N, length), np.float32)
        run_parts(
            lambda part, parts: sum_visits(
                part, parts, lists, visited, rows_of_sums, splats, absgrad,
                np.empty(len(lists.members), np.int32), totals, v_splats, v_absolute.numpy(),
            ),
            N,
        )  # fmt: skip
        if absgrad:
            means2d.absgrad = v_absolute
        v_backgrounds = None
        if ctx.needs_input_grad[4]:
            v_backgrounds = ((1 - alphas) * v_image).sum(dim=(1, 2))
        return *gradients, v_backgrounds, None, None, None
