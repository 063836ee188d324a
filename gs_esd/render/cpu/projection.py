"""Projection of Gaussians to cameras: the autograd function around the numba kernels."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from gs_esd.render.cpu.arguments import Settings
from gs_esd.render.cpu.jit.arrays import DoubleArray, as_array
from gs_esd.render.cpu.jit.simd import LANES
from gs_esd.render.cpu.jit.threads import run_parts
from gs_esd.render.cpu.pipeline import Projection
from gs_esd.render.cpu.projection_kernels import (
    CHUNK,
    VIEW_NUMBERS,
    Limits,
    project_backward,
    project_forward,
)
from gs_esd.render.cpu.reference import JACOBIAN_MARGIN


def project(
    means: Float[Tensor, "N 3"],
    quats: Float[Tensor, "N 4"],
    scales: Float[Tensor, "N 3"],
    opacities: Float[Tensor, " N"],
    viewmats: Float[Tensor, "C 4 4"],
    Ks: Float[Tensor, "C 3 3"],
    settings: Settings,
) -> Projection:
    """Project Gaussians to every camera; same result as `reference.project`, by numba kernels."""
    radii, means2d, depths, conics, compensations = _Project.apply(
        means, quats, scales, viewmats, opacities, Ks, settings
    )
    antialiased = settings.rasterize_mode == "antialiased"
    return Projection(radii, means2d, depths, conics, compensations if antialiased else None)


class _Project(torch.autograd.Function):
    """Differentiable in means, quats, scales and viewmats; opacities are used for culling only."""

    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        viewmats: Tensor,
        opacities: Tensor,
        Ks: Tensor,
        settings: Settings,
    ) -> tuple[Tensor, ...]:
        N, C = len(means), len(viewmats)
        inputs = [as_array(t) for t in (means, quats, scales, opacities[:, None])]
        cameras, limits = _cameras(viewmats, Ks, settings), _limits(settings)
        radii = torch.empty(C, N, 2, dtype=torch.int32)
        means2d, depths, conics, compensations = (torch.empty(C, N, k) for k in (2, 1, 3, 1))
        outputs = [t.numpy() for t in (radii, means2d, depths, conics, compensations)]
        run_parts(
            lambda part, parts: project_forward(part, parts, *inputs, cameras, limits, *outputs),
            -(-N // CHUNK),
        )
        ctx.mark_non_differentiable(radii)
        ctx.save_for_backward(means, quats, scales, radii)
        ctx.cameras, ctx.limits = cameras, limits
        return radii, means2d, depths[..., 0], conics, compensations[..., 0]

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        v_radii: Any,
        v_means2d: Tensor,
        v_depths: Tensor,
        v_conics: Tensor,
        v_compensations: Tensor,
    ) -> tuple[Tensor | None, ...]:
        *parameters, radii = ctx.saved_tensors
        C, N, _ = radii.shape
        v_outputs = (v_means2d, v_depths[..., None], v_conics, v_compensations[..., None])
        v_parameters = [torch.empty(t.shape) for t in parameters]
        chunks, needs_viewmats = -(-N // CHUNK), ctx.needs_input_grad[3]
        v_views = np.zeros((chunks if needs_viewmats else 0, C, VIEW_NUMBERS, LANES))
        inputs, gradients, results = (
            [as_array(t) for t in tensors]
            for tensors in (parameters, (radii, *v_outputs), v_parameters)
        )
        run_parts(
            lambda part, parts: project_backward(
                part, parts, *inputs, ctx.cameras, ctx.limits, *gradients, *results, v_views
            ),
            chunks,
        )
        v_viewmats = None
        if needs_viewmats:
            # Summed over chunks and lanes in a fixed order, so independent of the threads.
            v_rows = torch.from_numpy(v_views.sum(axis=(0, 3))).float()
            v_viewmats = torch.nn.functional.pad(v_rows.view(C, 3, 4), (0, 0, 0, 1))
        return *v_parameters, v_viewmats, None, None, None


def _limits(settings: Settings) -> Limits:
    """The settings that the kernels use, as numbers of fixed types."""
    # As floats: numba compiles a kernel again for every combination of int and float arguments.
    return Limits(
        float(settings.width),
        float(settings.height),
        float(settings.near_plane),
        float(settings.far_plane),
        float(settings.radius_clip),
        float(settings.eps2d),
        settings.rasterize_mode == "antialiased",
    )


def _cameras(
    viewmats: Float[Tensor, "C 4 4"], Ks: Float[Tensor, "C 3 3"], settings: Settings
) -> DoubleArray:
    """One row of CAMERA_NUMBERS float64 numbers per camera, as the kernels read them."""
    views, intrinsics = as_array(viewmats), as_array(Ks).astype(np.float64)
    focal, centre = intrinsics[:, [0, 1], [0, 1]], intrinsics[:, :2, 2]
    size = np.array([settings.width, settings.height], np.float64)
    margin = JACOBIAN_MARGIN * 0.5 * size / focal
    low_slope, high_slope = -centre / focal - margin, (size - centre) / focal + margin
    rotation = views[:, :3, :3].reshape(-1, 9)
    rows = (rotation, views[:, :3, 3], focal, centre, low_slope, high_slope)
    return np.concatenate(rows, axis=1, dtype=np.float64)
