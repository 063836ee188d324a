"""The steps of the projection of one Gaussian, and their vector-Jacobian products.

Notation in `projection_kernels.py`, into whose kernels these functions are inlined. They work on
float64 numbers and tuples of them.
"""

from math import log, sqrt

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gs_esd.render.reference import ALPHA_MIN, MAX_SIGMAS

Two = tuple[float, float]
Three = tuple[float, float, float]
Four = tuple[float, float, float, float]
Rows = tuple[Three, Three, Three]
FloatArray = NDArray[np.float32]

inlined = njit(nogil=True, forceinline=True, error_model="numpy")


@inlined
def dot(a: Three, b: Three) -> float:
    """Inner product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inlined
def combine(p: float, a: Three, q: float, b: Three) -> Three:
    """p a + q b."""
    return p * a[0] + q * b[0], p * a[1] + q * b[1], p * a[2] + q * b[2]


@inlined
def transposed(A: Rows) -> Rows:
    """The transposed matrix."""
    return (
        (A[0][0], A[1][0], A[2][0]),
        (A[0][1], A[1][1], A[2][1]),
        (A[0][2], A[1][2], A[2][2]),
    )


@inlined
def apply(A: Rows, b: Three) -> Three:
    """Matrix times vector."""
    return dot(A[0], b), dot(A[1], b), dot(A[2], b)


@inlined
def multiply(A: Rows, B: Rows) -> Rows:
    """Matrix times matrix."""
    columns = transposed(B)
    return apply(columns, A[0]), apply(columns, A[1]), apply(columns, A[2])


@inlined
def scale_columns(A: Rows, s: Three) -> Rows:
    """A diag(s)."""
    return (
        (A[0][0] * s[0], A[0][1] * s[1], A[0][2] * s[2]),
        (A[1][0] * s[0], A[1][1] * s[1], A[1][2] * s[2]),
        (A[2][0] * s[0], A[2][1] * s[1], A[2][2] * s[2]),
    )


@inlined
def add_rows(A: Rows, B: Rows) -> Rows:
    """Sum of matrices."""
    return (
        combine(1.0, A[0], 1.0, B[0]),
        combine(1.0, A[1], 1.0, B[1]),
        combine(1.0, A[2], 1.0, B[2]),
    )


@inlined
def row_of(array: FloatArray, g: int) -> Three:
    """Row g of an [N, 3] array."""
    return float(array[g, 0]), float(array[g, 1]), float(array[g, 2])


@inlined
def unit_quaternion(quats: FloatArray, g: int) -> tuple[Four, float]:
    """Row g of quats normalised, and one over its length."""
    w, x, y, z = float(quats[g, 0]), float(quats[g, 1]), float(quats[g, 2]), float(quats[g, 3])
    inverse = 1.0 / sqrt(w * w + x * x + y * y + z * z)
    return (w * inverse, x * inverse, y * inverse, z * inverse), inverse


@inlined
def rotation(q: Four) -> Rows:
    """Rotation matrix of a unit quaternion (w, x, y, z)."""
    w, x, y, z = q
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )


@inlined
def rotation_vjp(q: Four, G: Rows, inverse_norm: float) -> Four:
    """dL/d(quaternion before normalisation) from G = dL/d(rotation matrix)."""
    w, x, y, z = q
    v_w = 2 * (x * (G[2][1] - G[1][2]) + y * (G[0][2] - G[2][0]) + z * (G[1][0] - G[0][1]))
    v_x = 2 * (
        y * (G[0][1] + G[1][0]) + z * (G[0][2] + G[2][0]) + w * (G[2][1] - G[1][2])
        - 2 * x * (G[1][1] + G[2][2])
    )  # fmt: skip
    v_y = 2 * (
        x * (G[0][1] + G[1][0]) + z * (G[1][2] + G[2][1]) + w * (G[0][2] - G[2][0])
        - 2 * y * (G[0][0] + G[2][2])
    )  # fmt: skip
    v_z = 2 * (
        x * (G[0][2] + G[2][0]) + y * (G[1][2] + G[2][1]) + w * (G[1][0] - G[0][1])
        - 2 * z * (G[0][0] + G[1][1])
    )  # fmt: skip
    # Normalising removes what points along the quaternion.
    along = v_w * w + v_x * x + v_y * y + v_z * z
    return (
        (v_w - along * w) * inverse_norm,
        (v_x - along * x) * inverse_norm,
        (v_y - along * y) * inverse_norm,
        (v_z - along * z) * inverse_norm,
    )


@inlined
def hold(value: float, low: float, high: float) -> float:
    """value kept within [low, high]."""
    return min(max(value, low), high)


@inlined
def flatten_axis(
    A_i: Three, A_z: Three, position: float, z: float, focal: float, low: float, high: float
) -> Three:
    """U_i = f_i (A_i - s_i A_z) for one image axis."""
    f = focal / z
    return combine(f, A_i, -f * hold(position / z, low, high), A_z)


@inlined
def flatten_axis_vjp(
    A_i: Three,
    A_z: Three,
    position: float,
    z: float,
    focal: float,
    low: float,
    high: float,
    v_U: Three,
) -> tuple[Three, Three, float, float]:
    """v_A_i, this axis' part of v_A_z, and of dL/d(position) and dL/dz."""
    f, slope = focal / z, position / z
    s = hold(slope, low, high)
    v_f = dot(v_U, A_i) - s * dot(v_U, A_z)
    # A slope that is held does not move with the mean.
    v_s = -f * dot(v_U, A_z) if low <= slope <= high else 0.0
    v_A_i = (f * v_U[0], f * v_U[1], f * v_U[2])
    v_A_z = (-f * s * v_U[0], -f * s * v_U[1], -f * s * v_U[2])
    return v_A_i, v_A_z, v_s / z, -(v_f * f + v_s * slope) / z


@inlined
def covariance(U_x: Three, U_y: Three, eps2d: float) -> tuple[float, float, float, float, float]:
    """xx, xy, yy, det with eps2d added, and the determinant without."""
    xx, xy, yy = dot(U_x, U_x), dot(U_x, U_y), dot(U_y, U_y)
    # |U_x × U_y|² instead of xx yy - xy²: nothing cancels, however thin the Gaussian.
    cross = (
        U_x[1] * U_y[2] - U_x[2] * U_y[1],
        U_x[2] * U_y[0] - U_x[0] * U_y[2],
        U_x[0] * U_y[1] - U_x[1] * U_y[0],
    )
    sharp_det = dot(cross, cross)
    det = sharp_det + eps2d * (xx + yy) + eps2d * eps2d
    return xx + eps2d, xy, yy + eps2d, det, sharp_det


@inlined
def covariance_vjp(
    U_x: Three, U_y: Three, eps2d: float, v_conic: Three, v_rho: float
) -> tuple[Three, Three]:
    """v_U_x and v_U_y from the gradients of conic and compensation."""
    xx, xy, yy, det, sharp_det = covariance(U_x, U_y, eps2d)
    a, b, c = yy / det, -xy / det, xx / det
    # The conic is the inverse P of cov2d, so dL/d(cov2d) = -P V P, V the matrix of v_conic.
    v_a, half_v_b, v_c = v_conic[0], 0.5 * v_conic[1], v_conic[2]
    top, corner = a * v_a + b * half_v_b, a * half_v_b + b * v_c
    low, bottom = b * v_a + c * half_v_b, b * half_v_b + c * v_c
    v_xx = -(top * a + corner * b)
    v_xy = -2 * (top * b + corner * c)
    v_yy = -(low * b + bottom * c)
    if v_rho != 0.0:
        ratio = sharp_det / det
        v_det = v_rho / (2 * sqrt(ratio) * det)
        v_xx += v_det * (yy - eps2d - ratio * yy)
        v_yy += v_det * (xx - eps2d - ratio * xx)
        v_xy -= 2 * v_det * xy * (1 - ratio)
    return combine(2 * v_xx, U_x, v_xy, U_y), combine(v_xy, U_x, 2 * v_yy, U_y)


@inlined
def box_radii(xx: float, yy: float, alpha: float) -> Two:
    """Half sizes, in whole pixels, of the box where alpha can reach 1/255."""
    sigmas = min(MAX_SIGMAS, sqrt(2 * log(max(alpha, ALPHA_MIN) / ALPHA_MIN)))
    return float(np.ceil(sigmas * sqrt(xx))), float(np.ceil(sigmas * sqrt(yy)))
