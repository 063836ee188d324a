"""The backward blending kernels. Notation in `blending_maths.py`.

The backward pass walks front to back, repeating the forward pass bit for bit. With V = dL/d(image),
colours c_i and weights w_i = T_i alpha_i,
    behind_i      = Σ_{j > i} w_j c_j·V + T_final (background·V - dL/d(image's alpha))
    dL/d(alpha_i) = T_i c_i·V - behind_i / (1 - alpha_i).
What is behind nothing is known from the finished image, so each Gaussian only has to take its own
part off: no list of the last Gaussians, no division to recover T.

Every pair of a Gaussian and a tile writes a row of sums of its own, and those are added up in a
fixed order: no atomics, and the same bits whatever the number of threads. A row holds the gradients
of mean (2), conic (3), opacity (1), the D channels, and with absgrad Σ |dL/d(mean)| (2).
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from gs_esd.render.blending_maths import (
    CHECK_EVERY,
    HALF,
    ONE,
    ZERO,
    cover,
    extent_in_tile,
    fill,
    finished,
    first_channels,
    inlined,
    open_tile,
    shape_in_tile,
    three_of,
    tile_place,
)
from gs_esd.render.reference import ALPHA_MAX
from gs_esd.render.simd import (
    LANES,
    Mask,
    Vector,
    absolute,
    fma,
    lane_numbers,
    lane_sum,
    load,
    select,
    splat,
    store,
)
from gs_esd.render.tiles import FloatArray, Grid, LongArray, Splats, TileLists

Moments = tuple[Vector, Vector, Vector, Vector, Vector, Vector]
"""Sums of -dL/d(sigma) times 1, dx, dy, dx², dx dy, dy²."""

COLOR_SUMS = 6  # where the channels begin in a row of sums
SUM_CHUNK = 256  # Gaussians whose rows a thread adds up at a time


class Scratch(NamedTuple):
    """What a thread keeps of the tile at hand; T, behind and V as in the header."""

    T: FloatArray
    behind: FloatArray
    V: FloatArray
    v_color: FloatArray  # [max(3, D) · 8] gradients of the channels, lane by lane


@njit(nogil=True, cache=True)
def blend_backward(
    part: int,
    parts: int,
    grid: Grid,
    lists: TileLists,
    splats: Splats,
    image: FloatArray,
    alphas: FloatArray,
    v_image: FloatArray,
    v_alphas: FloatArray,
    absgrad: bool,
    pair_sums: FloatArray,
) -> None:
    """Write the row of gradient sums of every pair of a Gaussian and a tile."""
    channels, size = image.shape[3], 1 << grid.shift
    P = size * size
    T, behind = np.empty(P, np.float32), np.zeros(P, np.float32)
    V = np.zeros(max(3, channels) * P, np.float32)
    scratch = Scratch(T, behind, V, np.empty(max(3, channels) * LANES, np.float32))
    for item in range(part, len(lists.work_order), parts):
        tile = lists.work_order[item]
        camera, left, top, columns, rows = tile_place(grid, tile)
        open_tile(T, size, columns, rows)
        for y in range(rows):
            for x in range(columns):
                i, image_y, image_x = y * size + x, top + y, left + x
                transmitted = ONE - alphas[camera, image_y, image_x, 0]
                total = -transmitted * v_alphas[camera, image_y, image_x, 0]
                for k in range(channels):
                    V[k * P + i] = v_image[camera, image_y, image_x, k]
                    total += V[k * P + i] * image[camera, image_y, image_x, k]
                behind[i] = total
        end = _gradients_of_tile(
            tile, camera, left, top, grid.shift, lists, splats, absgrad, scratch, pair_sums
        )
        for m in range(end, lists.tile_starts[tile + 1]):
            pair = _pair_number(lists, camera, lists.members[m], left, top, grid.shift)
            for k in range(pair_sums.shape[1]):
                pair_sums[pair, k] = ZERO


@inlined
def _pair_number(lists: TileLists, camera: int, g: int, left: int, top: int, shift: int) -> int:
    """Number of the pair of a Gaussian and the tile at (left, top)."""
    boxes = lists.boxes
    column, row = boxes[camera, g, 0] >> shift, boxes[camera, g, 1] >> shift
    across = (boxes[camera, g, 2] >> shift) - column + 1
    start = lists.pair_starts[camera * boxes.shape[1] + g]
    return start + ((top >> shift) - row) * across + (left >> shift) - column


@njit(nogil=True, cache=True, error_model="numpy")
def _gradients_of_tile(
    tile: int,
    camera: int,
    left: int,
    top: int,
    shift: int,
    lists: TileLists,
    splats: Splats,
    absgrad: bool,
    scratch: Scratch,
    pair_sums: FloatArray,
) -> int:
    """Write the rows of a tile's pairs; returns where in its list drawing came to an end."""
    T, behind, V, v_color = scratch
    P, size, channels, none = len(T), 1 << shift, splats.colors.shape[2], splat(ZERO)
    for m in range(lists.tile_starts[tile], lists.tile_starts[tile + 1]):
        if m % CHECK_EVERY == 0 and finished(T):
            return m
        g = lists.members[m]
        u, v, w, s_max, opacity, x, y = shape_in_tile(lists, splats, camera, g, left, top)
        a, b, c = three_of(splats.conics, camera, g)
        red, green, blue = first_channels(splats.colors, camera, g)
        moments = (none, none, none, none, none, none)
        v_red, v_green, v_blue, abs_x, abs_y = none, none, none, none, none
        fill(v_color, ZERO)
        x0, x1, y0, y1 = extent_in_tile(lists, camera, g, left, top, size)
        for column in range(x0 // LANES * LANES, x1 + 1, LANES):
            dx = splat(x - np.float32(column)) - lane_numbers()
            u_dx, dy = dx * u, y - np.float32(y0)
            sum_0, sum_y, sum_yy = none, none, none
            for i in range(y0 * size + column, y1 * size + column + 1, size):
                before = load(T, i)
                uncapped, alpha, weight, after, drawn = cover(
                    u_dx, v * dy, w * dy * dy, s_max, opacity, before
                )
                store(T, i, after)
                V_red, V_green, V_blue = load(V, i), load(V, P + i), load(V, 2 * P + i)
                v_red, v_green = fma(weight, V_red, v_red), fma(weight, V_green, v_green)
                v_blue = fma(weight, V_blue, v_blue)
                color_V = fma(V_blue, blue, fma(V_green, green, V_red * red))
                for k in range(3, channels):
                    V_k = load(V, k * P + i)
                    color_V = fma(V_k, splats.colors[camera, g, k], color_V)
                    store(v_color, k * LANES, fma(weight, V_k, load(v_color, k * LANES)))
                rest = load(behind, i) - weight * color_V
                store(behind, i, rest)
                fall = _fall(uncapped, alpha, drawn, before * color_V, rest)
                fall_y = fall * dy
                sum_0, sum_y, sum_yy = sum_0 + fall, sum_y + fall_y, fma(fall_y, dy, sum_yy)
                if absgrad:
                    abs_x = abs_x + absolute(fall * fma(dx, a, b * dy))
                    abs_y = abs_y + absolute(fall * fma(dx, b, c * dy))
                dy -= ONE
            moments = _add_column(moments, dx, sum_0, sum_y, sum_yy)
        pair = _pair_number(lists, camera, g, left, top, shift)
        _write_geometry(pair_sums, pair, a, b, c, opacity, moments)
        _write_color(pair_sums, pair, channels, v_red, v_green, v_blue, v_color)
        if absgrad:
            pair_sums[pair, COLOR_SUMS + channels] = lane_sum(abs_x)
            pair_sums[pair, COLOR_SUMS + channels + 1] = lane_sum(abs_y)
    return lists.tile_starts[tile + 1]


@inlined
def _fall(uncapped: Vector, alpha: Vector, drawn: Mask, own: Vector, behind: Vector) -> Vector:
    """-dL/d(sigma) = alpha dL/d(alpha), or zero where alpha is at its cap and so constant."""
    v_alpha = own - behind / (ONE - alpha)
    return select(drawn & (uncapped <= ALPHA_MAX), alpha * v_alpha, splat(ZERO))


@inlined
def _add_column(
    moments: Moments, dx: Vector, sum_0: Vector, sum_y: Vector, sum_yy: Vector
) -> Moments:
    """Moments with those of a column of vectors, which share dx, added."""
    m, m_x, m_y, m_xx, m_xy, m_yy = moments
    sum_x = sum_0 * dx
    return (
        m + sum_0,
        m_x + sum_x,
        m_y + sum_y,
        fma(sum_x, dx, m_xx),
        fma(sum_y, dx, m_xy),
        m_yy + sum_yy,
    )


@inlined
def _write_geometry(
    pair_sums: FloatArray,
    pair: int,
    a: float,
    b: float,
    c: float,
    opacity: float,
    moments: Moments,
) -> None:
    """Write gradients of mean, conic and opacity from the moments of -dL/d(sigma)."""
    m, m_x, m_y, m_xx, m_xy, m_yy = moments
    sum_x, sum_y = lane_sum(m_x), lane_sum(m_y)
    pair_sums[pair, 0] = -(a * sum_x + b * sum_y)
    pair_sums[pair, 1] = -(b * sum_x + c * sum_y)
    pair_sums[pair, 2] = -HALF * lane_sum(m_xx)
    pair_sums[pair, 3] = -lane_sum(m_xy)
    pair_sums[pair, 4] = -HALF * lane_sum(m_yy)
    pair_sums[pair, 5] = lane_sum(m) / opacity


@inlined
def _write_color(
    pair_sums: FloatArray,
    pair: int,
    channels: int,
    v_red: Vector,
    v_green: Vector,
    v_blue: Vector,
    v_color: FloatArray,
) -> None:
    """Write gradients of the channels: three from registers, the others from v_color."""
    store(v_color, 0, v_red)
    store(v_color, LANES, v_green)
    store(v_color, 2 * LANES, v_blue)
    for k in range(channels):
        pair_sums[pair, COLOR_SUMS + k] = lane_sum(load(v_color, k * LANES))


@njit(nogil=True, cache=True)
def sum_pairs(
    part: int, parts: int, pair_starts: LongArray, pair_sums: FloatArray, sums: FloatArray
) -> None:
    """Add up the rows of each Gaussian, in the order of its tiles; sums [C·N, columns]."""
    gaussians, columns = sums.shape
    for chunk in range(part * SUM_CHUNK, gaussians, parts * SUM_CHUNK):
        for g in range(chunk, min(chunk + SUM_CHUNK, gaussians)):
            for k in range(columns):
                sums[g, k] = ZERO
            for pair in range(pair_starts[g], pair_starts[g + 1]):
                for k in range(columns):
                    sums[g, k] += pair_sums[pair, k]
