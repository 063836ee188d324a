"""Numba kernels: colours from spherical harmonics, and their gradients.

Notation
    K          coefficients a Gaussian has; the first (degree + 1)² are used.
    sets       1 if all cameras share the coefficients, else C.
    x, y, z    the unit direction from the camera to the mean.
    Y_k        the harmonics of `reference.sh_basis`; colour = max(0, ½ + Σ Y_k coefficient_k).
    v_q        dL/dq of any quantity q.

Kernels process eight Gaussians at a time, in float32; each row of an array named _8 is a vector.
For the lanes past the last Gaussian see `jit/rows.py`.
"""

from gs_esd.render.cpu.jit.arrays import BoolArray, DoubleArray, FloatArray
from gs_esd.render.cpu.jit.kernel_cache import inlined, kernel
from gs_esd.render.cpu.jit.rows import (
    add_vectors,
    first_lanes,
    load_block,
    load_row,
    load_rows,
    load_vectors,
    store_block,
    store_rows,
    store_vectors,
)
from gs_esd.render.cpu.jit.simd import LANES, align_stack
from gs_esd.render.cpu.jit.tracing import (
    Value,
    Values,
    double,
    filled_like,
    fma,
    select,
    sqrt,
    traced,
)
from gs_esd.render.cpu.reference import (
    SH_0,
    SH_1,
    SH_2_XY,
    SH_2_ZZ,
    SH_3_XXX,
    SH_3_XYZ,
    SH_3_XZZ,
    SH_3_ZZZ,
)

CHUNK = 512  # Gaussians per work item; fixed, or sums over chunks would depend on the threads
MAX_HARMONICS = 16

Three = tuple[Value, Value, Value]
Four = tuple[Value, Value, Value, Value]


@kernel(error_model="numpy")
def shade_forward(
    part: int,
    parts: int,
    used: int,
    means: FloatArray,
    coefficients: FloatArray,
    positions: FloatArray,
    visible: BoolArray,
    colors: FloatArray,
    coefficients_8: FloatArray,
    Y_8: FloatArray,
) -> None:
    """Write colours [C, N, 3], ½ where not visible, from coefficients [sets, N, 3 K]."""
    align_stack()
    N, C, sets = len(means), len(positions), len(coefficients)
    for chunk in range(part * CHUNK, N, parts * CHUNK):
        last = min(chunk + CHUNK, N) - 1
        for g in range(chunk, last + 1, LANES):
            mean = load_rows(means, 3, g, last)
            for own in range(sets):
                _load_coefficients(
                    coefficients, 3 * used, own * N + g, own * N + last, coefficients_8
                )
                for camera in range(own, C, sets):
                    first, end = camera * N + g, camera * N + last
                    seen = load_rows(visible, 1, first, end)
                    direction = _directed(mean, load_row(positions, 3, camera))
                    store_vectors(Y_8, 0, _basis(direction, seen))
                    color = _grey(mean)
                    for k in range(used):
                        color = _add_harmonic(
                            color, load_vectors(Y_8, 1, k), load_vectors(coefficients_8, 3, 3 * k)
                        )
                    store_rows(colors, first, end, _lit(color, seen))


@kernel(error_model="numpy")
def shade_backward(
    part: int,
    parts: int,
    used: int,
    means: FloatArray,
    coefficients: FloatArray,
    positions: FloatArray,
    visible: BoolArray,
    colors: FloatArray,
    v_colors: FloatArray,
    v_means: FloatArray,
    v_coefficients: FloatArray,
    v_positions: DoubleArray,
    coefficients_8: FloatArray,
    v_coefficients_8: FloatArray,
    Y_8: FloatArray,
    v_Y_8: FloatArray,
) -> None:
    """Write v_means and v_coefficients, summed over cameras.

    Parts of the sum of v_positions are added to [chunks, C, 3, 8], unless that is empty.
    """
    align_stack()
    N, C, sets = len(means), len(positions), len(coefficients)
    for chunk in range(part * CHUNK, N, parts * CHUNK):
        last = min(chunk + CHUNK, N) - 1
        for g in range(chunk, last + 1, LANES):
            mean = load_rows(means, 3, g, last)
            v_mean = _nothing(mean)
            for own in range(sets):
                _load_coefficients(
                    coefficients, 3 * used, own * N + g, own * N + last, coefficients_8
                )
                for k in range(used):
                    store_vectors(v_coefficients_8, 3 * k, _nothing(mean))
                for camera in range(own, C, sets):
                    first, end = camera * N + g, camera * N + last
                    seen = load_rows(visible, 1, first, end)
                    v_color = _lit_vjp(
                        load_rows(colors, 3, first, end), load_rows(v_colors, 3, first, end), seen
                    )
                    direction = _directed(mean, load_row(positions, 3, camera))
                    store_vectors(Y_8, 0, _basis(direction, seen))
                    for k in range(used):
                        coefficient = load_vectors(coefficients_8, 3, 3 * k)
                        store_vectors(v_Y_8, k, _dot(coefficient, v_color))
                        v_coefficient = _add_harmonic(
                            load_vectors(v_coefficients_8, 3, 3 * k),
                            load_vectors(Y_8, 1, k),
                            v_color,
                        )
                        store_vectors(v_coefficients_8, 3 * k, v_coefficient)
                    v_offset = _basis_vjp(direction, load_vectors(v_Y_8, MAX_HARMONICS, 0), seen)
                    v_mean = _sum(v_mean, v_offset)
                    if len(v_positions) > 0:
                        v_position = _position_vjp(v_offset, first_lanes(last + 1 - g))
                        add_vectors(v_positions, (chunk // CHUNK * C + camera) * 3, v_position)
                _store_coefficients(v_coefficients, own * N + g, own * N + last, v_coefficients_8)
            store_rows(v_means, g, last, v_mean)


@inlined
def _load_coefficients(
    coefficients: FloatArray, numbers: int, first: int, last: int, coefficients_8: FloatArray
) -> None:
    """Transpose the used coefficients of eight Gaussians into vectors, eight columns at a time."""
    for column in range(0, numbers, LANES):
        # The last block begins earlier, so that it ends with the row.
        start = min(column, len(coefficients_8) - LANES)
        store_vectors(coefficients_8, start, load_block(coefficients, start, first, last))


@inlined
def _store_coefficients(
    coefficients: FloatArray, first: int, last: int, coefficients_8: FloatArray
) -> None:
    """Transpose vectors back into the coefficients of eight Gaussians."""
    for column in range(0, len(coefficients_8), LANES):
        start = min(column, len(coefficients_8) - LANES)
        store_block(coefficients, start, first, last, load_vectors(coefficients_8, LANES, start))


@traced
def _nothing(mean: Three) -> Three:
    """Zeros."""
    zero = filled_like(mean[0], 0.0)
    return zero, zero, zero


@traced
def _grey(mean: Three) -> Three:
    """½ per channel, the colour without harmonics."""
    half = filled_like(mean[0], 0.5)
    return half, half, half


@traced
def _directed(mean: Three, position: Three) -> Four:
    """The unit direction (x, y, z), and one over the distance."""
    offset = mean[0] - position[0], mean[1] - position[1], mean[2] - position[2]
    inverse = 1.0 / sqrt(_dot(offset, offset)[0])
    return offset[0] * inverse, offset[1] * inverse, offset[2] * inverse, inverse


@traced
def _dot(a: Three, b: Three) -> tuple[Value]:
    """Inner product."""
    return (fma(a[0], b[0], fma(a[1], b[1], a[2] * b[2])),)


@traced
def _sum(a: Three, b: Three) -> Three:
    """a + b."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


@traced
def _add_harmonic(total: Three, Y: tuple[Value], coefficient: Three) -> Three:
    """total + Y coefficient."""
    return (
        fma(Y[0], coefficient[0], total[0]),
        fma(Y[0], coefficient[1], total[1]),
        fma(Y[0], coefficient[2], total[2]),
    )


@traced
def _lit(color: Three, seen: tuple[Value]) -> Values:
    """Colours clamped at 0 (NaN stays NaN), ½ where not visible."""
    return tuple(select(seen[0] > 0.0, select(c < 0.0, 0.0, c), 0.5) for c in color)


@traced
def _lit_vjp(color: Three, v_color: Three, seen: tuple[Value]) -> Values:
    """dL/d(color before `_lit`)."""
    dark = [(c <= 0.0) | (seen[0] <= 0.0) for c in color]
    return tuple(select(d, 0.0, v) for d, v in zip(dark, v_color, strict=True))


@traced
def _basis(direction: Four, seen: tuple[Value]) -> Values:
    """Y_0 to Y_15, zeros where not visible."""
    x, y, z, _ = direction
    xx, yy, zz = x * x, y * y, z * z
    Y = (
        filled_like(x, SH_0),
        -SH_1 * y,
        SH_1 * z,
        -SH_1 * x,
        SH_2_XY * x * y,
        -SH_2_XY * y * z,
        SH_2_ZZ * (3 * zz - 1),
        -SH_2_XY * x * z,
        SH_2_XY * 0.5 * (xx - yy),
        -SH_3_XXX * y * (3 * xx - yy),
        SH_3_XYZ * x * y * z,
        -SH_3_XZZ * y * (5 * zz - 1),
        SH_3_ZZZ * z * (5 * zz - 3),
        -SH_3_XZZ * x * (5 * zz - 1),
        SH_3_XYZ * 0.5 * z * (xx - yy),
        -SH_3_XXX * x * (xx - 3 * yy),
    )
    return tuple(select(seen[0] > 0.0, Y_k, 0.0) for Y_k in Y)


@traced
def _basis_vjp(direction: Four, v_Y: Values, seen: tuple[Value]) -> Values:
    """dL/d(mean - position), zeros where not visible; v_Y must be 0 for unused harmonics."""
    x, y, z, inverse_distance = direction
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
    # The gradient of normalising: only what is orthogonal to the direction remains.
    along = v_x * x + v_y * y + v_z * z
    v_offset = v_x - along * x, v_y - along * y, v_z - along * z
    return tuple(select(seen[0] > 0.0, v * inverse_distance, 0.0) for v in v_offset)


@traced
def _position_vjp(v_offset: Three, counted: Value) -> Values:
    """dL/d(position), 0 outside the counted lanes; in float64, for precise long sums."""
    return tuple(select(counted, double(-v), 0.0) for v in v_offset)
