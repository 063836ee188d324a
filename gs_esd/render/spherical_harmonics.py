"""Colours from spherical harmonics and their gradient, as numba kernels.

Notation
    K          coefficients a Gaussian has; the first (degree + 1)² are used.
    sets       1 if all cameras share the coefficients, else C.
    x, y, z    the unit direction from the camera to the mean.
    Y_k        the harmonics of `reference.sh_basis`; colour = max(0, ½ + Σ Y_k coefficient_k).
    v_q        dL/dq of any quantity q.
"""

from math import sqrt
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numba import njit
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from gs_esd.render.reference import (
    SH_0,
    SH_1,
    SH_2_XY,
    SH_2_ZZ,
    SH_3_XXX,
    SH_3_XYZ,
    SH_3_XZZ,
    SH_3_ZZZ,
)
from gs_esd.render.threads import run_parts

CHUNK = (
    512  # Gaussians a thread takes at a time; fixed, or sums over chunks would vary with threads
)

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]


def shade(
    degree: int,
    means: Float[Tensor, "N 3"],
    coefficients: Float[Tensor, "*CN K 3"],
    viewmats: Float[Tensor, "C 4 4"],
    visible: Bool[Tensor, "C N"],
) -> Float[Tensor, "C N 3"]:
    """Colours of the Gaussians from each camera; the kernels' version of `reference.shade`."""
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
        inputs = [t.detach().contiguous() for t in (means, coefficients, positions, visible)]
        colors = torch.empty(C, N, 3)
        arrays = [t.numpy() for t in (*inputs, colors)]
        run_parts(lambda part, parts: _shade_forward(part, parts, degree, *arrays), -(-N // CHUNK))
        ctx.save_for_backward(*inputs, colors)
        ctx.degree = degree
        return colors

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v_colors: Tensor) -> tuple[Tensor | None, ...]:
        means, coefficients, positions, _, _ = ctx.saved_tensors
        chunks = -(-len(means) // CHUNK)
        v_means, v_coefficients = torch.empty_like(means), torch.empty_like(coefficients)
        v_positions = np.zeros((chunks, *positions.shape))
        tensors = (*ctx.saved_tensors, v_colors.contiguous(), v_means, v_coefficients)
        arrays = [t.numpy() for t in tensors]
        run_parts(
            lambda part, parts: _shade_backward(part, parts, ctx.degree, *arrays, v_positions),
            chunks,
        )
        v_positions_sum = torch.from_numpy(v_positions.sum(axis=0)).float()
        return v_means, v_coefficients, v_positions_sum, None, None


@njit(nogil=True, cache=True, error_model="numpy")
def _shade_forward(
    part: int,
    parts: int,
    degree: int,
    means: FloatArray,
    coefficients: FloatArray,
    positions: FloatArray,
    visible: NDArray[np.bool_],
    colors: FloatArray,
) -> None:
    """Write colours [C, N, 3], ½ where not visible."""
    used = (degree + 1) ** 2
    Y = np.empty(16)
    for chunk in range(part * CHUNK, len(means), parts * CHUNK):
        for g in range(chunk, min(chunk + CHUNK, len(means))):
            for camera in range(len(positions)):
                own = camera if len(coefficients) > 1 else 0
                total = (0.5, 0.5, 0.5)
                if visible[camera, g]:
                    x, y, z, _ = _direction(means, positions, camera, g)
                    _fill_basis(degree, x, y, z, Y)
                    for k in range(used):
                        total = (
                            total[0] + Y[k] * coefficients[own, g, k, 0],
                            total[1] + Y[k] * coefficients[own, g, k, 1],
                            total[2] + Y[k] * coefficients[own, g, k, 2],
                        )
                for channel in range(3):
                    # Written so that NaN stays NaN.
                    colors[camera, g, channel] = 0.0 if total[channel] < 0.0 else total[channel]


@njit(nogil=True, cache=True, error_model="numpy")
def _shade_backward(
    part: int,
    parts: int,
    degree: int,
    means: FloatArray,
    coefficients: FloatArray,
    positions: FloatArray,
    visible: NDArray[np.bool_],
    colors: FloatArray,
    v_colors: FloatArray,
    v_means: FloatArray,
    v_coefficients: FloatArray,
    v_positions: DoubleArray,
) -> None:
    """Write v_means and v_coefficients summed over cameras; add to v_positions [chunks, C, 3]."""
    used = (degree + 1) ** 2
    Y, v_Y = np.empty(16), np.zeros(16)
    for chunk in range(part * CHUNK, len(means), parts * CHUNK):
        for g in range(chunk, min(chunk + CHUNK, len(means))):
            for own in range(len(coefficients)):
                for k in range(coefficients.shape[2]):
                    for channel in range(3):
                        v_coefficients[own, g, k, channel] = 0.0
            v_mean = (0.0, 0.0, 0.0)
            for camera in range(len(positions)):
                if not visible[camera, g]:
                    continue
                own = camera if len(coefficients) > 1 else 0
                x, y, z, inverse_distance = _direction(means, positions, camera, g)
                _fill_basis(degree, x, y, z, Y)
                for k in range(used):
                    v_Y[k] = 0.0
                for channel in range(3):
                    if colors[camera, g, channel] <= 0.0:
                        continue
                    v_color = v_colors[camera, g, channel]
                    for k in range(used):
                        v_Y[k] += coefficients[own, g, k, channel] * v_color
                        v_coefficients[own, g, k, channel] += Y[k] * v_color
                v_x, v_y, v_z = _basis_vjp(x, y, z, v_Y)
                # Normalising removes what points along the direction.
                along = v_x * x + v_y * y + v_z * z
                v_offset = (
                    (v_x - along * x) * inverse_distance,
                    (v_y - along * y) * inverse_distance,
                    (v_z - along * z) * inverse_distance,
                )
                v_mean = (v_mean[0] + v_offset[0], v_mean[1] + v_offset[1], v_mean[2] + v_offset[2])
                for axis in range(3):
                    v_positions[chunk // CHUNK, camera, axis] -= v_offset[axis]
            v_means[g, 0], v_means[g, 1], v_means[g, 2] = v_mean


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def _direction(
    means: FloatArray, positions: FloatArray, camera: int, g: int
) -> tuple[float, float, float, float]:
    """Unit direction from camera to mean, and one over their distance."""
    x = float(means[g, 0]) - float(positions[camera, 0])
    y = float(means[g, 1]) - float(positions[camera, 1])
    z = float(means[g, 2]) - float(positions[camera, 2])
    inverse_distance = 1.0 / sqrt(x * x + y * y + z * z)
    return x * inverse_distance, y * inverse_distance, z * inverse_distance, inverse_distance


@njit(nogil=True, cache=True, forceinline=True)
def _fill_basis(degree: int, x: float, y: float, z: float, Y: DoubleArray) -> None:
    """Write Y_k for all k up to the degree."""
    xx, yy, zz = x * x, y * y, z * z
    Y[0] = SH_0
    if degree > 0:
        Y[1], Y[2], Y[3] = -SH_1 * y, SH_1 * z, -SH_1 * x
    if degree > 1:
        Y[4], Y[5], Y[7] = SH_2_XY * x * y, -SH_2_XY * y * z, -SH_2_XY * x * z
        Y[6], Y[8] = SH_2_ZZ * (3 * zz - 1), SH_2_XY * 0.5 * (xx - yy)
    if degree > 2:
        Y[9], Y[15] = -SH_3_XXX * y * (3 * xx - yy), -SH_3_XXX * x * (xx - 3 * yy)
        Y[10], Y[14] = SH_3_XYZ * x * y * z, SH_3_XYZ * 0.5 * z * (xx - yy)
        Y[11], Y[13] = -SH_3_XZZ * y * (5 * zz - 1), -SH_3_XZZ * x * (5 * zz - 1)
        Y[12] = SH_3_ZZZ * z * (5 * zz - 3)


@njit(nogil=True, cache=True, forceinline=True)
def _basis_vjp(x: float, y: float, z: float, v_Y: DoubleArray) -> tuple[float, float, float]:
    """Σ_k v_Y_k dY_k/d(x, y, z), the three taken as independent; unused v_Y are zero."""
    xx, yy, zz = x * x, y * y, z * z
    v_x = (
        -SH_1 * v_Y[3]
        + SH_2_XY * (y * v_Y[4] - z * v_Y[7] + x * v_Y[8])
        - SH_3_XXX * (6 * x * y * v_Y[9] + 3 * (xx - yy) * v_Y[15])
        + SH_3_XYZ * (y * z * v_Y[10] + x * z * v_Y[14])
        - SH_3_XZZ * (5 * zz - 1) * v_Y[13]
    )
    v_y = (
        -SH_1 * v_Y[1]
        + SH_2_XY * (x * v_Y[4] - z * v_Y[5] - y * v_Y[8])
        - SH_3_XXX * (3 * (xx - yy) * v_Y[9] - 6 * x * y * v_Y[15])
        + SH_3_XYZ * (x * z * v_Y[10] - y * z * v_Y[14])
        - SH_3_XZZ * (5 * zz - 1) * v_Y[11]
    )
    v_z = (
        SH_1 * v_Y[2]
        + SH_2_XY * (-y * v_Y[5] - x * v_Y[7])
        + SH_2_ZZ * 6 * z * v_Y[6]
        + SH_3_XYZ * (x * y * v_Y[10] + 0.5 * (xx - yy) * v_Y[14])
        - SH_3_XZZ * 10 * z * (y * v_Y[11] + x * v_Y[13])
        + SH_3_ZZZ * (15 * zz - 3) * v_Y[12]
    )
    return v_x, v_y, v_z
