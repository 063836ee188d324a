"""View-dependent colours from spherical harmonics: the autograd function around the kernels."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from gs_esd.render.cpu.jit.arrays import FloatArray
from gs_esd.render.cpu.jit.simd import LANES
from gs_esd.render.cpu.jit.threads import run_parts
from gs_esd.render.cpu.reference import SH_0
from gs_esd.render.cpu.spherical_harmonics_kernels import (
    CHUNK,
    MAX_HARMONICS,
    shade_backward,
    shade_forward,
)


def shade(
    degree: int,
    means: Float[Tensor, "N 3"],
    coefficients: Float[Tensor, "*CN K 3"],
    viewmats: Float[Tensor, "C 4 4"],
    visible: Bool[Tensor, "C N"],
) -> Float[Tensor, "C N 3"]:
    """Colours of the Gaussians from each camera; same result as `reference.shade`, by kernels."""
    if degree == 0:  # independent of the direction: plain torch is as fast as a kernel
        return (0.5 + SH_0 * coefficients[..., 0, :]).clamp(min=0).expand(*visible.shape, 3)
    positions = torch.linalg.inv(viewmats)[:, :3, 3]
    sets = coefficients if coefficients.dim() == 4 else coefficients[None]
    return _Shade.apply(means, sets, positions, visible, degree)


class _Shade(torch.autograd.Function):
    """Differentiable in means, coefficients [sets, N, K, 3] and camera positions [C, 3]."""

    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        coefficients: Tensor,
        positions: Tensor,
        visible: Tensor,
        degree: int,
    ) -> Tensor:
        C, N = visible.shape
        K = coefficients.shape[2]
        rows = coefficients.flatten(2)
        inputs = [t.detach().contiguous() for t in (means, rows, positions, visible[..., None])]
        colors = torch.empty(C, N, 3)
        arrays = [t.numpy() for t in (*inputs, colors)]
        run_parts(
            lambda part, parts: shade_forward(
                part, parts, (degree + 1) ** 2, *arrays, _scratch(3 * K), _scratch(MAX_HARMONICS)
            ),
            -(-N // CHUNK),
        )
        ctx.save_for_backward(*inputs, colors)
        ctx.degree = degree
        return colors

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v_colors: Tensor) -> tuple[Tensor | None, ...]:
        means, coefficients, positions, _, _ = ctx.saved_tensors
        sets, N, numbers = coefficients.shape
        chunks, C = -(-N // CHUNK), len(positions)
        v_means, v_coefficients = torch.empty_like(means), torch.empty_like(coefficients)
        tensors = (*ctx.saved_tensors, v_colors.contiguous(), v_means, v_coefficients)
        arrays = [t.numpy() for t in tensors]
        v_positions = np.zeros((chunks if ctx.needs_input_grad[2] else 0, C, 3, LANES))
        run_parts(
            lambda part, parts: shade_backward(
                part, parts, (ctx.degree + 1) ** 2, *arrays, v_positions,
                *(_scratch(rows) for rows in (numbers, numbers, MAX_HARMONICS, MAX_HARMONICS)),
            ),
            chunks,
        )  # fmt: skip
        # Summed over chunks and lanes in a fixed order, so independent of the threads.
        v_position = torch.from_numpy(v_positions.sum(axis=(0, 3))).float()
        return v_means, v_coefficients.view(sets, N, numbers // 3, 3), v_position, None, None


def _scratch(rows: int) -> FloatArray:
    """Zeroed working memory of one thread."""
    return np.zeros((rows, LANES), np.float32)
