"""Projection of Gaussians to cameras and its analytic gradient: the numba kernels.

Notation (one Gaussian, one camera; the steps are in `projection_maths.py`)
    R, M      rotation matrix of the quaternion; M = R diag(scales), whose columns are half axes, so
              that Σ = M Mᵀ.
    W, t      world-to-camera rotation and translation; A = W M, with rows A_x, A_y, A_z.
    x, y, z   the mean in camera coordinates; p is all three.
    f, s      per image axis: focal length over depth, and slope x/z or y/z, held within a margin
              around the image.
    U         J A, the half axes on the image: U_x = f_x (A_x - s_x A_z), U_y = f_y (A_y - s_y A_z).
    cov2d     U Uᵀ + eps2d·I = [[xx, xy], [xy, yy]]; conic (a, b, c) = (yy, -xy, xx) / det.
    rho       sqrt(det(U Uᵀ) / det), the compensation of antialiased rendering.
    v_q       dL/dq of any quantity q.

Inputs and outputs are float32. Arithmetic is float64, which costs nothing in scalar code and which
thin Gaussians need. Threes of numbers are tuples, which numba keeps in registers; 3 x 3 matrices
are three rows. `reference.py` defines what is culled; comparisons are such that NaN fails them.
"""

from math import inf, sqrt
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gs_esd.render.projection_maths import (
    FloatArray,
    Rows,
    Three,
    add_rows,
    apply,
    box_radii,
    combine,
    covariance,
    covariance_vjp,
    flatten_axis,
    flatten_axis_vjp,
    inlined,
    multiply,
    rotation,
    rotation_vjp,
    row_of,
    scale_columns,
    transposed,
    unit_quaternion,
)
from gs_esd.render.reference import ALPHA_MIN, FLOAT32_MAX, RADIUS_LIMIT

CHUNK = (
    512  # Gaussians a thread takes at a time; fixed, or sums over chunks would vary with threads
)


class Cameras(NamedTuple):
    """Cameras in float64. Slopes are x/z and y/z; the low and high ones bound where J is taken."""

    rotations: NDArray[np.float64]  # [C, 3, 3]
    translations: NDArray[np.float64]  # [C, 3]
    focals: NDArray[np.float64]  # [C, 2]
    centres: NDArray[np.float64]  # [C, 2]
    low_slopes: NDArray[np.float64]  # [C, 2]
    high_slopes: NDArray[np.float64]  # [C, 2]


@inlined
def _matrix(matrices: NDArray[np.float64], i: int) -> Rows:
    """The i-th of several 3 x 3 matrices."""
    return (
        (matrices[i, 0, 0], matrices[i, 0, 1], matrices[i, 0, 2]),
        (matrices[i, 1, 0], matrices[i, 1, 1], matrices[i, 1, 2]),
        (matrices[i, 2, 0], matrices[i, 2, 1], matrices[i, 2, 2]),
    )


@inlined
def _to_camera(cameras: Cameras, i: int, W: Rows, mean: Three) -> Three:
    """(x, y, z) of a mean in camera i."""
    t = cameras.translations
    return combine(1.0, apply(W, mean), 1.0, (t[i, 0], t[i, 1], t[i, 2]))


@inlined
def _flatten(cameras: Cameras, i: int, A: Rows, p: Three) -> tuple[Three, Three]:
    """U_x and U_y."""
    f, low, high = cameras.focals, cameras.low_slopes, cameras.high_slopes
    U_x = flatten_axis(A[0], A[2], p[0], p[2], f[i, 0], low[i, 0], high[i, 0])
    U_y = flatten_axis(A[1], A[2], p[1], p[2], f[i, 1], low[i, 1], high[i, 1])
    return U_x, U_y


@inlined
def _flatten_vjp(
    cameras: Cameras, i: int, A: Rows, p: Three, v_U_x: Three, v_U_y: Three
) -> tuple[Rows, Three]:
    """v_A, and dL/dp through J."""
    f, low, high = cameras.focals, cameras.low_slopes, cameras.high_slopes
    v_A_x, v_A_z, v_x, v_z = flatten_axis_vjp(
        A[0], A[2], p[0], p[2], f[i, 0], low[i, 0], high[i, 0], v_U_x
    )
    v_A_y, v_A_z_too, v_y, v_z_too = flatten_axis_vjp(
        A[1], A[2], p[1], p[2], f[i, 1], low[i, 1], high[i, 1], v_U_y
    )
    return (v_A_x, v_A_y, combine(1.0, v_A_z, 1.0, v_A_z_too)), (v_x, v_y, v_z + v_z_too)


@njit(nogil=True, cache=True, error_model="numpy")
def project_forward(
    part: int,
    parts: int,
    means: FloatArray,
    quats: FloatArray,
    scales: FloatArray,
    opacities: FloatArray,
    cameras: Cameras,
    width: int,
    height: int,
    near_plane: float,
    far_plane: float,
    radius_clip: float,
    eps2d: float,
    antialiased: bool,
    radii: NDArray[np.int32],
    means2d: FloatArray,
    depths: FloatArray,
    conics: FloatArray,
    compensations: FloatArray,
) -> None:
    """Write what every camera sees of every Gaussian, zeros where it is culled."""
    for chunk in range(part * CHUNK, len(means), parts * CHUNK):
        for g in range(chunk, min(chunk + CHUNK, len(means))):
            M = scale_columns(rotation(unit_quaternion(quats, g)[0]), row_of(scales, g))
            mean = row_of(means, g)
            for i in range(len(cameras.focals)):
                W = _matrix(cameras.rotations, i)
                x, y, z = _to_camera(cameras, i, W, mean)
                U_x, U_y = _flatten(cameras, i, multiply(W, M), (x, y, z))
                xx, xy, yy, det, sharp_det = covariance(U_x, U_y, eps2d)
                rho = sqrt(sharp_det / det)
                mean_x = cameras.focals[i, 0] * x / z + cameras.centres[i, 0]
                mean_y = cameras.focals[i, 1] * y / z + cameras.centres[i, 1]
                alpha = opacities[g] * (rho if antialiased else 1.0)
                radius_x, radius_y = box_radii(xx, yy, alpha)
                if not (
                    near_plane <= z <= far_plane
                    and 0.0 < det < inf
                    and max(xx, yy) < FLOAT32_MAX * det
                    and ALPHA_MIN <= alpha < inf
                    and (radius_x > radius_clip or radius_y > radius_clip)
                    and -radius_x < mean_x < width + radius_x
                    and -radius_y < mean_y < height + radius_y
                ):
                    radius_x, radius_y, mean_x, mean_y, z = 0.0, 0.0, 0.0, 0.0, 0.0
                    xx, xy, yy, det, rho = 0.0, 0.0, 0.0, 1.0, 0.0
                radii[i, g, 0] = int(min(radius_x, RADIUS_LIMIT))
                radii[i, g, 1] = int(min(radius_y, RADIUS_LIMIT))
                means2d[i, g, 0], means2d[i, g, 1], depths[i, g] = mean_x, mean_y, z
                conics[i, g, 0], conics[i, g, 1], conics[i, g, 2] = yy / det, -xy / det, xx / det
                compensations[i, g] = rho


@njit(nogil=True, cache=True, error_model="numpy")
def project_backward(
    part: int,
    parts: int,
    means: FloatArray,
    quats: FloatArray,
    scales: FloatArray,
    cameras: Cameras,
    eps2d: float,
    radii: NDArray[np.int32],
    v_means2d: FloatArray,
    v_depths: FloatArray,
    v_conics: FloatArray,
    v_compensations: FloatArray,
    v_means: FloatArray,
    v_quats: FloatArray,
    v_scales: FloatArray,
    v_views: NDArray[np.float64],
) -> None:
    """Add gradients, summed over cameras, to v_means, v_quats and v_scales, which come as zeros.

    Those of W and t go to v_views [chunks, C, 3, 4], unless that is empty.
    """
    zero = (0.0, 0.0, 0.0)
    for chunk in range(part * CHUNK, len(means), parts * CHUNK):
        for g in range(chunk, min(chunk + CHUNK, len(means))):
            seen, v_mean, v_M = False, zero, (zero, zero, zero)
            quat, inverse_norm = unit_quaternion(quats, g)
            R, mean, scale = rotation(quat), row_of(means, g), row_of(scales, g)
            M = scale_columns(R, scale)
            for i in range(len(cameras.focals)):
                if radii[i, g, 0] <= 0 or radii[i, g, 1] <= 0:
                    continue
                seen = True
                W = _matrix(cameras.rotations, i)
                p, A = _to_camera(cameras, i, W, mean), multiply(W, M)
                U_x, U_y = _flatten(cameras, i, A, p)
                v_conic = (v_conics[i, g, 0], v_conics[i, g, 1], v_conics[i, g, 2])
                v_U_x, v_U_y = covariance_vjp(U_x, U_y, eps2d, v_conic, v_compensations[i, g])
                v_A, v_p = _flatten_vjp(cameras, i, A, p, v_U_x, v_U_y)
                v_x = cameras.focals[i, 0] * v_means2d[i, g, 0] / p[2]
                v_y = cameras.focals[i, 1] * v_means2d[i, g, 1] / p[2]
                v_z = v_depths[i, g] - (v_x * p[0] + v_y * p[1]) / p[2]
                v_p = combine(1.0, v_p, 1.0, (v_x, v_y, v_z))
                v_mean = combine(1.0, v_mean, 1.0, apply(transposed(W), v_p))
                v_M = add_rows(v_M, multiply(transposed(W), v_A))
                if len(v_views) > 0:
                    _add_view_gradient(v_views, chunk // CHUNK, i, v_p, mean, v_A, M)
            if seen:
                v_quat = rotation_vjp(quat, scale_columns(v_M, scale), inverse_norm)
                v_scale = _column_dots(R, v_M)
                for k in range(3):
                    v_means[g, k], v_scales[g, k] = v_mean[k], v_scale[k]
                for k in range(4):
                    v_quats[g, k] = v_quat[k]


@inlined
def _column_dots(A: Rows, B: Rows) -> Three:
    """Inner products of the columns of A with those of B."""
    return (
        A[0][0] * B[0][0] + A[1][0] * B[1][0] + A[2][0] * B[2][0],
        A[0][1] * B[0][1] + A[1][1] * B[1][1] + A[2][1] * B[2][1],
        A[0][2] * B[0][2] + A[1][2] * B[1][2] + A[2][2] * B[2][2],
    )


@inlined
def _add_view_gradient(
    v_views: NDArray[np.float64], chunk: int, i: int, v_p: Three, mean: Three, v_A: Rows, M: Rows
) -> None:
    """Add dL/dW = v_p meanᵀ + v_A Mᵀ and dL/dt = v_p."""
    v_W = multiply(v_A, transposed(M))
    for row in range(3):
        for column in range(3):
            v_views[chunk, i, row, column] += v_p[row] * mean[column] + v_W[row][column]
        v_views[chunk, i, row, 3] += v_p[row]
