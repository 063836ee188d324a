"""Numba kernels: projection of Gaussians to cameras, and its analytic gradient.

Notation (one Gaussian, one camera; the formulas are in `projection_maths.py`)
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

Arrays are float32. Arithmetic is float64 (thin Gaussians need it), on eight Gaussians at a time;
for the lanes past the last one see `jit/rows.py`. `reference.py` defines what is culled;
comparisons are written so that NaN fails them.
"""

from math import inf
from typing import Any, NamedTuple

from gs_esd.render.cpu.jit.arrays import DoubleArray, FloatArray, IntArray
from gs_esd.render.cpu.jit.kernel_cache import kernel
from gs_esd.render.cpu.jit.rows import (
    add_vectors,
    first_lanes,
    load_doubles,
    load_row,
    load_rows,
    store_rows,
)
from gs_esd.render.cpu.jit.simd import LANES, align_stack, any_lane
from gs_esd.render.cpu.jit.tracing import (
    Value,
    Values,
    filled_like,
    maximum,
    minimum,
    select,
    sqrt,
    traced,
)
from gs_esd.render.cpu.projection_maths import (
    Camera,
    Four,
    Rows,
    Three,
    Two,
    added,
    apply,
    box_radii,
    conic_of,
    covariance_vjp,
    dot,
    multiply,
    rotation,
    rotation_vjp,
    scale_columns,
    scaled,
    transposed,
    view_of,
    view_vjp,
    where,
)
from gs_esd.render.cpu.reference import ALPHA_MIN, FLOAT32_MAX, RADIUS_LIMIT

CHUNK = 512  # Gaussians per work item; fixed, or sums over chunks would depend on the threads
CAMERA_NUMBERS = 20  # in a row of cameras: W, t, focal, centre, low_slope, high_slope
VIEW_NUMBERS = 12  # in the first three rows of a world-to-camera matrix


class Limits(NamedTuple):
    """Culling limits and blur; see the arguments of `rasterization`."""

    width: float
    height: float
    near_plane: float
    far_plane: float
    radius_clip: float
    eps2d: float
    antialiased: bool


@kernel(error_model="numpy")
def project_forward(
    part: int,
    parts: int,
    means: FloatArray,
    quats: FloatArray,
    scales: FloatArray,
    opacities: FloatArray,
    cameras: DoubleArray,
    limits: Limits,
    radii: IntArray,
    means2d: FloatArray,
    depths: FloatArray,
    conics: FloatArray,
    compensations: FloatArray,
) -> None:
    """Write the projection of every Gaussian to every camera, zeros where it is culled.

    All arrays have rows: opacities are [N, 1], depths and compensations [C, N, 1].
    """
    align_stack()
    N = len(means)
    for chunk in range(part * CHUNK, N, parts * CHUNK):
        last = min(chunk + CHUNK, N) - 1
        for g in range(chunk, last + 1, LANES):
            mean, opacity = load_doubles(means, 3, g, last), load_doubles(opacities, 1, g, last)
            M = _half_axes(load_doubles(quats, 4, g, last), load_doubles(scales, 3, g, last))
            for i in range(len(cameras)):
                camera = load_row(cameras, CAMERA_NUMBERS, i)
                radius, mean2d, depth, conic, rho = _project(M, mean, opacity, camera, limits)
                first, end = i * N + g, i * N + last
                store_rows(radii, first, end, radius)
                store_rows(means2d, first, end, mean2d)
                store_rows(depths, first, end, depth)
                store_rows(conics, first, end, conic)
                store_rows(compensations, first, end, rho)


@kernel(error_model="numpy")
def project_backward(
    part: int,
    parts: int,
    means: FloatArray,
    quats: FloatArray,
    scales: FloatArray,
    cameras: DoubleArray,
    limits: Limits,
    radii: IntArray,
    v_means2d: FloatArray,
    v_depths: FloatArray,
    v_conics: FloatArray,
    v_compensations: FloatArray,
    v_means: FloatArray,
    v_quats: FloatArray,
    v_scales: FloatArray,
    v_views: DoubleArray,
) -> None:
    """Write gradients, summed over cameras, to v_means, v_quats and v_scales.

    Those of W and t are added to v_views [chunks, C, 12, 8], eight partial sums of each number row
    by row, unless that is empty.
    """
    align_stack()
    N, C = len(means), len(cameras)
    for chunk in range(part * CHUNK, N, parts * CHUNK):
        last = min(chunk + CHUNK, N) - 1
        for g in range(chunk, last + 1, LANES):
            mean, quat = load_doubles(means, 3, g, last), load_doubles(quats, 4, g, last)
            scale = load_doubles(scales, 3, g, last)
            M, seen, sums = _half_axes(quat, scale), first_lanes(0), _no_sums(mean)
            for i in range(C):
                first, end = i * N + g, i * N + last
                visible = _both_positive(load_rows(radii, 2, first, end))
                if any_lane(visible):
                    camera = load_row(cameras, CAMERA_NUMBERS, i)
                    v_p, v_A = _project_vjp(
                        M, mean, visible, camera, limits,
                        load_doubles(v_means2d, 2, first, end),
                        load_doubles(v_depths, 1, first, end),
                        load_doubles(v_conics, 3, first, end),
                        load_doubles(v_compensations, 1, first, end),
                    )  # fmt: skip
                    seen, sums = _either(seen, visible), _add_camera(sums, camera, v_p, v_A)
                    if len(v_views) > 0:
                        counted = _both(visible, first_lanes(last + 1 - g))
                        v_view = _camera_vjp(counted, v_p, mean, v_A, M)
                        add_vectors(v_views, (chunk // CHUNK * C + i) * VIEW_NUMBERS, v_view)
            v_mean, v_quat, v_scale = _parameters_vjp(quat, scale, seen, sums)
            store_rows(v_means, g, last, v_mean)
            store_rows(v_quats, g, last, v_quat)
            store_rows(v_scales, g, last, v_scale)


@traced
def _half_axes(quat: Four, scale: Three) -> Rows:
    """M."""
    return scale_columns(rotation(quat), scale)


def _camera_of(row: Values) -> Camera:
    """Unpack a row of the cameras array."""
    W = (row[0:3], row[3:6], row[6:9])
    return Camera(W, row[9:12], row[12:14], row[14:16], row[16:18], row[18:20])


@traced
def _project(
    M: Rows, mean: Three, opacity: tuple[Value], camera_row: Values, limits: Any
) -> tuple[Values, ...]:
    """Radii, mean and depth on the image, conic, and rho; zeros where the Gaussian is culled."""
    camera = _camera_of(camera_row)
    view = view_of(camera, M, mean, limits.eps2d)
    z, cov2d = view.p[2], view.cov2d
    mean_x = camera.focal[0] * view.slope[0] + camera.centre[0]
    mean_y = camera.focal[1] * view.slope[1] + camera.centre[1]
    rho = sqrt(cov2d.sharp_det * cov2d.inverse_det)
    alpha = select(limits.antialiased, opacity[0] * rho, opacity[0])
    radius_x, radius_y = box_radii(cov2d.xx, cov2d.yy, alpha)
    visible = (
        (limits.near_plane <= z) & (z <= limits.far_plane)
        & (cov2d.det > 0.0) & (cov2d.inverse_det > 0.0)
        & (maximum(cov2d.xx, cov2d.yy) < FLOAT32_MAX * cov2d.det)
        & (alpha >= ALPHA_MIN) & (alpha < inf)
        & ((radius_x > limits.radius_clip) | (radius_y > limits.radius_clip))
        & (-radius_x < mean_x) & (mean_x < limits.width + radius_x)
        & (-radius_y < mean_y) & (mean_y < limits.height + radius_y)
    )  # fmt: skip
    radii = minimum(radius_x, RADIUS_LIMIT), minimum(radius_y, RADIUS_LIMIT)
    outputs = radii, (mean_x, mean_y), (z,), conic_of(cov2d), (rho,)
    return tuple(where(visible, values) for values in outputs)


@traced
def _both_positive(radii: Two) -> Value:
    """Where both radii are positive: the Gaussian is visible."""
    return (radii[0] > 0.0) & (radii[1] > 0.0)


@traced
def _both(a: Value, b: Value) -> Value:
    """a and b."""
    return a & b


@traced
def _either(a: Value, b: Value) -> Value:
    """a or b."""
    return a | b


@traced
def _no_sums(mean: Three) -> tuple[Three, Rows]:
    """Zeros for v_mean and v_M, before any camera is added."""
    zero = filled_like(mean[0], 0.0)
    zeros = (zero, zero, zero)
    return zeros, (zeros, zeros, zeros)


@traced
def _project_vjp(
    M: Rows,
    mean: Three,
    visible: Value,
    camera_row: Values,
    limits: Any,
    v_mean2d: Two,
    v_depth: tuple[Value],
    v_conic: Three,
    v_rho: tuple[Value],
) -> tuple[Values, tuple[Values, Values, Values]]:
    """v_p and v_A, zeros where the Gaussian is not visible."""
    camera = _camera_of(camera_row)
    view = view_of(camera, M, mean, limits.eps2d)
    v_U = covariance_vjp(view.U, view.cov2d, limits.eps2d, v_conic, v_rho[0])
    v_p, v_A = view_vjp(camera, view, v_U, v_mean2d, v_depth[0])
    return where(visible, v_p), (
        where(visible, v_A[0]),
        where(visible, v_A[1]),
        where(visible, v_A[2]),
    )


@traced
def _add_camera(
    sums: tuple[Three, Rows], camera_row: Values, v_p: Three, v_A: Rows
) -> tuple[Three, Rows]:
    """Add one camera's contribution to v_mean and v_M."""
    v_mean, v_M = sums
    to_world = transposed(_camera_of(camera_row).W)
    v_M_here = multiply(to_world, v_A)
    return added(v_mean, apply(to_world, v_p)), (
        added(v_M[0], v_M_here[0]),
        added(v_M[1], v_M_here[1]),
        added(v_M[2], v_M_here[2]),
    )


@traced
def _camera_vjp(counted: Value, v_p: Three, mean: Three, v_A: Rows, M: Rows) -> Values:
    """dL/dW = v_p meanᵀ + v_A Mᵀ beside dL/dt = v_p, row by row; 0 outside the counted lanes."""
    v_W = multiply(v_A, transposed(M))
    rows = [(*added(scaled(v_p[k], mean), v_W[k]), v_p[k]) for k in range(3)]
    return where(counted, rows[0] + rows[1] + rows[2])


@traced
def _parameters_vjp(
    quat: Four, scale: Three, seen: Value, sums: tuple[Three, Rows]
) -> tuple[Three, Values, Values]:
    """Gradients of mean, quaternion and scale; zeros where all cameras cull the Gaussian."""
    v_mean, v_M = sums
    v_quat = rotation_vjp(quat, scale_columns(v_M, scale))
    columns, v_columns = transposed(rotation(quat)), transposed(v_M)
    v_scale = tuple(dot(columns[k], v_columns[k]) for k in range(3))
    return v_mean, where(seen, v_quat), where(seen, v_scale)
