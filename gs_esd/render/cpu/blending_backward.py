"""Numba kernel: the gradient of alpha blending. Notation in `blending_maths.py`.

The backward pass goes front to back, repeating the forward pass bit for bit. With V = dL/d(image),
colours c_i and weights w_i = T_i alpha_i,
    behind_i  = Σ_{j > i} w_j c_j·V + T_final (background·V - dL/d(image's alpha))
    dL/d(s_i) = -alpha_i dL/d(alpha_i) = -alpha_i (T_i c_i·V - behind_i / (1 - alpha_i))
              = (alpha_i behind_{i-1} - w_i c_i·V) / (1 - alpha_i).
behind_{-1}, with all Gaussians behind it, follows from the finished image; each Gaussian then
subtracts its own contribution. This needs no index of each pixel's last Gaussian and no division to
recover T, as a pass from back to front does.

Every (Gaussian, tile) pair writes a row of sums of its own, which `gradient_sums.py` adds up.
"""

from typing import NamedTuple

import numpy as np
import torch

from gs_esd.render.cpu.blending_maths import (
    BLOCKS,
    PREFETCH_DISTANCE,
    ZERO,
    Flag,
    P,
    Tables,
    block_place,
    cover,
    fill,
    fused,
    open_tile,
    shape_in_tile,
    tile_place,
)
from gs_esd.render.cpu.gradient_sums import MOMENTS
from gs_esd.render.cpu.jit.arrays import BitArray, FloatArray
from gs_esd.render.cpu.jit.kernel_cache import inlined, inner, kernel
from gs_esd.render.cpu.jit.pixels import load_pixels
from gs_esd.render.cpu.jit.simd import (
    LANES,
    align_stack,
    eight_sums,
    lane_sum,
    load,
    load_filled,
    prefetch,
    splat,
    store,
    trailing_zeros,
)
from gs_esd.render.cpu.jit.tracing import Value, Values, absolute, fma, select, traced
from gs_esd.render.cpu.tiles import ROW, Grid, TileLists


class Scratch(NamedTuple):
    """Working memory of one thread for the tile at hand; T, behind and V as in the header."""

    T: FloatArray
    behind: FloatArray
    V: FloatArray
    v_color: FloatArray  # [max(3, D) · 8] gradients of the channels, lane by lane


def make_scratch(channels: int) -> Scratch:
    """Zeroed working memory of one thread; allocated by torch, which aligns it to cache lines."""
    channels = max(3, channels)
    sizes = (P, P, channels * P, channels * LANES)
    return Scratch(*(torch.zeros(size).numpy() for size in sizes))


@kernel()
def blend_backward(
    part: int,
    parts: int,
    grid: Grid,
    lists: TileLists,
    tables: Tables,
    scratch: Scratch,
    colors: FloatArray,
    image: FloatArray,
    alphas: FloatArray,
    v_image: FloatArray,
    v_alphas: FloatArray,
    visited: BitArray,
    more: Flag,
    absgrad: Flag,
    rows_of_sums: FloatArray,
) -> None:
    """Write the row of sums of every (Gaussian, tile) pair."""
    align_stack()
    for item in range(part, len(lists.work_order), parts):
        tile = lists.work_order[item]
        camera, left, top, columns, rows = tile_place(grid, tile)
        open_tile(scratch.T, tables, columns, rows)
        _read_tile(camera, left, top, columns, rows, image, alphas, v_image, v_alphas, scratch)
        _gradients_of_tile(
            tile, camera, left, top, lists, tables, scratch, colors, visited, more, absgrad,
            rows_of_sums,
        )  # fmt: skip


@inner
def _read_tile(
    camera: int,
    left: int,
    top: int,
    columns: int,
    rows: int,
    image: FloatArray,
    alphas: FloatArray,
    v_image: FloatArray,
    v_alphas: FloatArray,
    scratch: Scratch,
) -> None:
    """Read V, and compute `behind` in front of all Gaussians; undefined outside the image."""
    _, height, width, D = image.shape
    for block in range(BLOCKS):
        x, y = block_place(block)
        if x < columns and y < rows:
            i, first = block * LANES, (camera * height + top + y) * width + left + x
            inside = columns - x, rows - y
            alpha = load_pixels(alphas, first, width, 1, inside[0], inside[1])
            v_alpha = load_pixels(v_alphas, first, width, 1, inside[0], inside[1])
            behind = gradient_of_t_final(alpha, v_alpha)
            for k in range(D):
                place, steps = first * D + k, (width * D, D)
                V = load_pixels(v_image, place, steps[0], steps[1], inside[0], inside[1])
                color = load_pixels(image, place, steps[0], steps[1], inside[0], inside[1])
                behind = fused(V, color, behind)
                store(scratch.V, k * P + i, V)
            store(scratch.behind, i, behind)


@traced
def gradient_of_t_final(alpha: Value, v_alpha: Value) -> Value:
    """T_final dL/d(T_final), from the gradient of the image's alpha."""
    return (alpha - 1.0) * v_alpha


@inner
def _gradients_of_tile(
    tile: int,
    camera: int,
    left: int,
    top: int,
    lists: TileLists,
    tables: Tables,
    scratch: Scratch,
    colors: FloatArray,
    visited: BitArray,
    more: Flag,
    absgrad: Flag,
    rows_of_sums: FloatArray,
) -> None:
    """Write the rows of sums of a tile's Gaussians."""
    align_stack()
    T, behind, V, v_color = scratch
    none, N, channels = splat(ZERO), colors.shape[1], colors.shape[2]
    shapes, members = lists.shapes, lists.members
    constants = load_filled(tables.constants, 0, 10)
    start, end = lists.tile_starts[tile], lists.tile_starts[tile + 1]
    for m in range(start, end):
        blocks = np.int64(visited[m])
        if blocks == 0:
            continue
        soon = m + PREFETCH_DISTANCE if m + PREFETCH_DISTANCE < end else m
        prefetch(shapes, (camera * N + members[soon]) * ROW)
        row = load_filled(shapes, (camera * N + members[m]) * ROW, 9)
        shape = shape_in_tile(row, np.float32(left), np.float32(top))
        moments: Values = (none, none, none, none, none, none)
        v_rgb: Values = (none, none, none)
        absolutes: Values = (none, none)
        if more is not None:
            fill(v_color, ZERO)
        while blocks != 0:
            i = trailing_zeros(blocks) * LANES
            blocks &= blocks - 1
            offset = offset_to(shape, load(tables.pixel_x, i), load(tables.pixel_y, i))
            covered = cover(offset[0], offset[1], shape, load(T, i), constants)
            weight = covered[3]
            store(T, i, covered[4])
            V_rgb = load(V, i), load(V, P + i), load(V, 2 * P + i)
            color_V, v_rgb = add_color_gradient(weight, row, V_rgb, v_rgb)
            if more is not None:
                for k in range(3, channels):
                    V_k = load(V, k * P + i)
                    color_k = load_filled(colors, (camera * N + members[m]) * channels + k, 1)[0]
                    color_V, v_k = add_channel_gradient(
                        weight, color_k, V_k, color_V, load(v_color, k * LANES)
                    )
                    store(v_color, k * LANES, v_k)
            rest, v_s = gradient_of_s(covered, color_V, load(behind, i), constants)
            store(behind, i, rest)
            moments = add_moments(moments, v_s, offset)
            if absgrad is not None:
                absolutes = add_absolutes(absolutes, v_s, covered[0], offset[1], shape)
        store(rows_of_sums, m * rows_of_sums.shape[1], eight_sums(*moments, v_rgb[0], v_rgb[1]))
        _write_rest(m, channels, v_rgb[2], v_color, more, absolutes, absgrad, rows_of_sums)


@inlined
def _write_rest(
    m: int,
    channels: int,
    v_blue: Value,
    v_color: FloatArray,
    more: Flag,
    absolutes: Values,
    absgrad: Flag,
    rows_of_sums: FloatArray,
) -> None:
    """Write the numbers of a row of sums after the first eight."""
    if channels > 2:
        rows_of_sums[m, MOMENTS + 2] = lane_sum(v_blue)
    if more is not None:
        for k in range(3, channels):
            rows_of_sums[m, MOMENTS + k] = lane_sum(load(v_color, k * LANES))
    if absgrad is not None:
        rows_of_sums[m, MOMENTS + channels] = lane_sum(absolutes[0])
        rows_of_sums[m, MOMENTS + channels + 1] = lane_sum(absolutes[1])


@traced
def offset_to(shape: Values, x: Value, y: Value) -> tuple[Value, Value]:
    """(dx, dy) from pixels to the mean."""
    return shape[0] - x, shape[1] - y


@traced
def add_color_gradient(
    weight: Value, row: Values, V: Values, v_rgb: Values
) -> tuple[Value, Values]:
    """c·V of the first three channels, and their gradients with a block's added."""
    color_V = fma(V[2], row[8], fma(V[1], row[7], V[0] * row[6]))
    return color_V, tuple(fma(weight, V_k, v_k) for V_k, v_k in zip(V, v_rgb, strict=True))


@traced
def add_channel_gradient(
    weight: Value, color: Value, V: Value, color_V: Value, v_color: Value
) -> tuple[Value, Value]:
    """c·V with one more channel, and that channel's gradient with a block's added."""
    return fma(V, color, color_V), fma(weight, V, v_color)


@traced
def gradient_of_s(
    covered: Values, color_V: Value, behind: Value, constants: Values
) -> tuple[Value, Value]:
    """`behind` of the next Gaussian, and v_s: 0 where alpha is at its cap and so constant."""
    _, uncapped, alpha, weight, _, drawn = covered
    _, _, _, _, _, _, one, alpha_max, _, _ = constants
    own = weight * color_V
    v_s = (alpha * behind - own) * (one / (one - alpha))
    return behind - own, select(drawn & (uncapped <= alpha_max), v_s, 0.0)


@traced
def add_moments(moments: Values, v_s: Value, offset: tuple[Value, Value]) -> Values:
    """Add a block's v_s times dx, dy, dx², dx dy, dy², 1 to their sums."""
    x, y, xx, xy, yy, one = moments
    dx, dy = offset
    v_x, v_y = v_s * dx, v_s * dy
    return x + v_x, y + v_y, fma(v_x, dx, xx), fma(v_x, dy, xy), fma(v_y, dy, yy), one + v_s


@traced
def add_absolutes(
    absolutes: tuple[Value, Value], v_s: Value, root: Value, dy: Value, shape: Values
) -> tuple[Value, Value]:
    """Add a block's |dL/d(mean)| to their sums, without their factors: 2u in x, 2 in y."""
    _, _, _, v, w, _ = shape
    along_x, along_y = absolutes
    return along_x + absolute(v_s * root), along_y + absolute(v_s * fma(root, v, w * dy))
