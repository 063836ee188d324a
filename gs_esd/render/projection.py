"""Projection of Gaussians to cameras, as an autograd function over numba kernels."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from gs_esd.render.arguments import Settings
from gs_esd.render.pipeline import Projection
from gs_esd.render.projection_kernels import CHUNK, Cameras, project_backward, project_forward
from gs_esd.render.reference import JACOBIAN_MARGIN
from gs_esd.render.threads import run_parts


def project(
    means: Float[Tensor, "N 3"],
    quats: Float[Tensor, "N 4"],
    scales: Float[Tensor, "N 3"],
    opacities: Float[Tensor, " N"],
    viewmats: Float[Tensor, "C 4 4"],
    Ks: Float[Tensor, "C 3 3"],
    settings: Settings,
) -> Projection:
    """Project Gaussians to every camera; the kernels' version of `reference.project`."""
    radii, means2d, depths, conics, compensations = _Project.apply(
        means, quats, scales, viewmats, opacities, Ks, settings
    )
    antialiased = settings.rasterize_mode == "antialiased"
    return Projection(radii, means2d, depths, conics, compensations if antialiased else None)


class _Project(torch.autograd.Function):
    """Differentiable in means, quats, scales and viewmats; opacities only decide what is culled."""

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
        inputs = [t.detach().contiguous().numpy() for t in (means, quats, scales, opacities)]
        cameras = _cameras(viewmats, Ks, settings)
        radii = torch.empty(C, N, 2, dtype=torch.int32)
        outputs = [torch.empty(C, N, *rest) for rest in ((2,), (), (3,), ())]
        arrays = [t.numpy() for t in (radii, *outputs)]
        run_parts(
            lambda part, parts: project_forward(
                part, parts, *inputs, cameras, settings.width, settings.height,
                settings.near_plane, settings.far_plane, settings.radius_clip, settings.eps2d,
                settings.rasterize_mode == "antialiased", *arrays,
            ),
            -(-N // CHUNK),
        )  # fmt: skip
        ctx.mark_non_differentiable(radii)
        ctx.save_for_backward(means, quats, scales, radii)
        ctx.cameras, ctx.eps2d = cameras, settings.eps2d
        return radii, *outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *v_outputs: Tensor) -> tuple[Tensor | None, ...]:
        *parameters, radii = ctx.saved_tensors
        C, N, _ = radii.shape
        inputs = [t.detach().contiguous().numpy() for t in parameters]
        v_projected = [t.contiguous().numpy() for t in v_outputs[1:]]
        v_parameters = [torch.zeros(t.shape) for t in parameters]
        chunks = -(-N // CHUNK)
        wants_views = ctx.needs_input_grad[3]
        v_views = np.zeros((chunks if wants_views else 0, C, 3, 4))
        run_parts(
            lambda part, parts: project_backward(
                part, parts, *inputs, ctx.cameras, ctx.eps2d, radii.numpy(), *v_projected,
                *(t.numpy() for t in v_parameters), v_views,
            ),
            chunks,
        )  # fmt: skip
        v_viewmats = None
        if wants_views:
            # The sum runs over chunks in order, whoever computed them.
            v_rows = torch.from_numpy(v_views.sum(axis=0)).float()
            v_viewmats = torch.nn.functional.pad(v_rows, (0, 0, 0, 1))
        return *v_parameters, v_viewmats, None, None, None


def _cameras(
    viewmats: Float[Tensor, "C 4 4"], Ks: Float[Tensor, "C 3 3"], settings: Settings
) -> Cameras:
    """What the kernels need to know of the cameras."""
    views, intrinsics = viewmats.detach().double().numpy(), Ks.detach().double().numpy()
    focal, centre = intrinsics[:, [0, 1], [0, 1]], intrinsics[:, :2, 2]
    size = np.array([settings.width, settings.height], np.float64)
    margin = JACOBIAN_MARGIN * 0.5 * size / focal
    return Cameras(
        rotations=np.ascontiguousarray(views[:, :3, :3]),
        translations=np.ascontiguousarray(views[:, :3, 3]),
        focals=np.ascontiguousarray(focal),
        centres=np.ascontiguousarray(centre),
        low_slopes=-centre / focal - margin,
        high_slopes=(size - centre) / focal + margin,
    )
