"""Formulas of the projection of Gaussians, and their vector-Jacobian products.

These functions are traced into the kernels of `projection_kernels.py` (see `jit/tracing.py`), which
also has the notation. A Value is one float64 number per Gaussian, for eight Gaussians; values of
the camera and the call are the same in all lanes.
"""

from typing import NamedTuple

from gs_esd.render.cpu.jit.tracing import (
    Value,
    Values,
    ceil,
    fma,
    log,
    maximum,
    minimum,
    select,
    sqrt,
)
from gs_esd.render.cpu.reference import ALPHA_MIN, MAX_SIGMAS

Two = tuple[Value, Value]
Three = tuple[Value, Value, Value]
Four = tuple[Value, Value, Value, Value]
Rows = tuple[Three, Three, Three]


class Camera(NamedTuple):
    """A camera. Slopes are x/z and y/z; J is evaluated between the low and high ones."""

    W: Rows
    t: Three
    focal: Two
    centre: Two
    low_slope: Two
    high_slope: Two


class Covariance(NamedTuple):
    """cov2d = [[xx, xy], [xy, yy]], one over its determinant, and det(U Uᵀ), without eps2d."""

    xx: Value
    xy: Value
    yy: Value
    det: Value
    inverse_det: Value
    sharp_det: Value


class View(NamedTuple):
    """A Gaussian projected to a camera. `slope` is x/z and y/z, `held` is s (slope clamped)."""

    p: Three
    A: Rows
    inverse_z: Value
    slope: Two
    held: Two
    f: Two
    U: tuple[Three, Three]
    cov2d: Covariance


def dot(a: Three, b: Three) -> Value:
    """Inner product."""
    return fma(a[0], b[0], fma(a[1], b[1], a[2] * b[2]))


def cross(a: Three, b: Three) -> Three:
    """Vector product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def scaled(p: Value, a: Three) -> Three:
    """p a."""
    return p * a[0], p * a[1], p * a[2]


def added(a: Three, b: Three) -> Three:
    """a + b."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def transposed(A: Rows) -> Rows:
    """The transposed matrix."""
    return (
        (A[0][0], A[1][0], A[2][0]),
        (A[0][1], A[1][1], A[2][1]),
        (A[0][2], A[1][2], A[2][2]),
    )


def apply(A: Rows, b: Three) -> Three:
    """Matrix times vector."""
    return dot(A[0], b), dot(A[1], b), dot(A[2], b)


def multiply(A: Rows, B: Rows) -> Rows:
    """Matrix times matrix."""
    columns = transposed(B)
    return apply(columns, A[0]), apply(columns, A[1]), apply(columns, A[2])


def scale_columns(A: Rows, s: Three) -> Rows:
    """A diag(s)."""
    return (
        (A[0][0] * s[0], A[0][1] * s[1], A[0][2] * s[2]),
        (A[1][0] * s[0], A[1][1] * s[1], A[1][2] * s[2]),
        (A[2][0] * s[0], A[2][1] * s[1], A[2][2] * s[2]),
    )


def where(condition: Value, values: Values) -> Values:
    """The values, or zeros where the condition does not hold."""
    return tuple(select(condition, value, 0.0) for value in values)


def rotation(q: Four) -> Rows:
    """Rotation matrix of a quaternion (w, x, y, z) of any length."""
    w, x, y, z = q
    s = 2.0 / (w * w + x * x + y * y + z * z)
    return (
        (1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)),
        (s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x)),
        (s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)),
    )


def rotation_vjp(q: Four, G: Rows) -> Four:
    """dL/dq from G = dL/d(rotation matrix)."""
    w, x, y, z = q
    s = 2.0 / (w * w + x * x + y * y + z * z)
    v_w = x * (G[2][1] - G[1][2]) + y * (G[0][2] - G[2][0]) + z * (G[1][0] - G[0][1])
    v_x = (
        y * (G[0][1] + G[1][0]) + z * (G[0][2] + G[2][0]) + w * (G[2][1] - G[1][2])
        - 2 * x * (G[1][1] + G[2][2])
    )  # fmt: skip
    v_y = (
        x * (G[0][1] + G[1][0]) + z * (G[1][2] + G[2][1]) + w * (G[0][2] - G[2][0])
        - 2 * y * (G[0][0] + G[2][2])
    )  # fmt: skip
    v_z = (
        x * (G[0][2] + G[2][0]) + y * (G[1][2] + G[2][1]) + w * (G[1][0] - G[0][1])
        - 2 * z * (G[0][0] + G[1][1])
    )  # fmt: skip
    # Rotations do not depend on the length of q: the gradient along q is removed.
    along = 0.5 * s * (v_w * w + v_x * x + v_y * y + v_z * z)
    return (
        s * (v_w - along * w),
        s * (v_x - along * x),
        s * (v_y - along * y),
        s * (v_z - along * z),
    )


def view_of(camera: Camera, M: Rows, mean: Three, eps2d: Value) -> View:
    """Project a mean and its half axes."""
    p, A = added(apply(camera.W, mean), camera.t), multiply(camera.W, M)
    inverse_z = 1.0 / p[2]
    slope = p[0] * inverse_z, p[1] * inverse_z
    f = camera.focal[0] * inverse_z, camera.focal[1] * inverse_z
    low, high = camera.low_slope, camera.high_slope
    held = (
        minimum(maximum(slope[0], low[0]), high[0]),
        minimum(maximum(slope[1], low[1]), high[1]),
    )
    U_x, U_y = flatten_axis(A[0], A[2], f[0], held[0]), flatten_axis(A[1], A[2], f[1], held[1])
    return View(p, A, inverse_z, slope, held, f, (U_x, U_y), covariance(U_x, U_y, eps2d))


def flatten_axis(A_i: Three, A_z: Three, f: Value, s: Value) -> Three:
    """U_i = f_i (A_i - s_i A_z) for one image axis."""
    return scaled(f, added(A_i, scaled(-s, A_z)))


def flatten_axis_vjp(
    A_i: Three, A_z: Three, f: Value, s: Value, v_U: Three
) -> tuple[Three, Three, Value, Value]:
    """v_A_i, this axis' contribution to v_A_z, v_f and v_s."""
    along, across = dot(v_U, A_i), dot(v_U, A_z)
    v_A_i = scaled(f, v_U)
    return v_A_i, scaled(-s, v_A_i), along - s * across, -f * across


def view_vjp(
    camera: Camera, view: View, v_U: tuple[Three, Three], v_mean2d: Two, v_z: Value
) -> tuple[Three, Rows]:
    """v_p and v_A; v_z is dL/d(depth)."""
    A, f, slope, held = view.A, view.f, view.slope, view.held
    v_A_x, v_A_z, v_f_x, v_s_x = flatten_axis_vjp(A[0], A[2], f[0], held[0], v_U[0])
    v_A_y, v_A_z_too, v_f_y, v_s_y = flatten_axis_vjp(A[1], A[2], f[1], held[1], v_U[1])
    # A clamped slope does not move with the mean; the projected mean always does.
    low, high = camera.low_slope, camera.high_slope
    v_x = select((low[0] <= slope[0]) & (slope[0] <= high[0]), v_s_x, 0.0)
    v_y = select((low[1] <= slope[1]) & (slope[1] <= high[1]), v_s_y, 0.0)
    v_x, v_y = v_x + camera.focal[0] * v_mean2d[0], v_y + camera.focal[1] * v_mean2d[1]
    fall = v_f_x * f[0] + v_f_y * f[1] + v_x * slope[0] + v_y * slope[1]
    v_p = v_x * view.inverse_z, v_y * view.inverse_z, v_z - fall * view.inverse_z
    return v_p, (v_A_x, v_A_y, added(v_A_z, v_A_z_too))


def covariance(U_x: Three, U_y: Three, eps2d: Value) -> Covariance:
    """cov2d and its determinants."""
    xx, xy, yy = dot(U_x, U_x), dot(U_x, U_y), dot(U_y, U_y)
    # |U_x × U_y|² instead of xx yy - xy²: no cancellation, however thin the Gaussian.
    normal = cross(U_x, U_y)
    sharp_det = dot(normal, normal)
    det = sharp_det + eps2d * (xx + yy) + eps2d * eps2d
    return Covariance(xx + eps2d, xy, yy + eps2d, det, 1.0 / det, sharp_det)


def covariance_vjp(
    U: tuple[Three, Three], cov2d: Covariance, eps2d: Value, v_conic: Three, v_rho: Value
) -> tuple[Three, Three]:
    """v_U_x and v_U_y from the gradients of conic and compensation."""
    v_xx, v_xy, v_yy = added(
        conic_vjp(conic_of(cov2d), v_conic), compensation_vjp(cov2d, eps2d, v_rho)
    )
    return (
        added(scaled(2 * v_xx, U[0]), scaled(v_xy, U[1])),
        added(scaled(v_xy, U[0]), scaled(2 * v_yy, U[1])),
    )


def conic_of(cov2d: Covariance) -> Three:
    """(a, b, c)."""
    inverse = cov2d.inverse_det
    return cov2d.yy * inverse, -cov2d.xy * inverse, cov2d.xx * inverse


def conic_vjp(conic: Three, v_conic: Three) -> Three:
    """v_xx, v_xy and v_yy."""
    # The conic is the inverse P of cov2d, so dL/d(cov2d) = -P V P, V the matrix of v_conic.
    a, b, c = conic
    v_a, half_v_b, v_c = v_conic[0], 0.5 * v_conic[1], v_conic[2]
    top, corner = a * v_a + b * half_v_b, a * half_v_b + b * v_c
    low, bottom = b * v_a + c * half_v_b, b * half_v_b + c * v_c
    return -(top * a + corner * b), -2 * (top * b + corner * c), -(low * b + bottom * c)


def compensation_vjp(cov2d: Covariance, eps2d: Value, v_rho: Value) -> Three:
    """v_xx, v_xy and v_yy; zero where rho is, whose gradient would be infinite."""
    ratio = cov2d.sharp_det * cov2d.inverse_det
    v_det = select(ratio > 0.0, 0.5 * v_rho * cov2d.inverse_det / sqrt(ratio), 0.0)
    return (
        v_det * (cov2d.yy - eps2d - ratio * cov2d.yy),
        -2 * v_det * cov2d.xy * (1 - ratio),
        v_det * (cov2d.xx - eps2d - ratio * cov2d.xx),
    )


def box_radii(xx: Value, yy: Value, alpha: Value) -> Two:
    """Half width and height, in whole pixels, of the box where alpha can reach 1/255."""
    sigmas_squared = minimum(MAX_SIGMAS**2, 2 * log(maximum(alpha * (1 / ALPHA_MIN), 1.0)))
    return ceil(sqrt(sigmas_squared * xx)), ceil(sqrt(sigmas_squared * yy))
