"""The forward blending kernel. Notation in `blending_maths.py`."""

import numpy as np
from numba import njit

from gs_esd.render.blending_maths import (
    CHECK_EVERY,
    ONE,
    ZERO,
    cover,
    extent_in_tile,
    fill,
    finished,
    first_channels,
    open_tile,
    shape_in_tile,
    tile_place,
)
from gs_esd.render.simd import LANES, fma, lane_numbers, load, splat, store
from gs_esd.render.tiles import FloatArray, Grid, Splats, TileLists


@njit(nogil=True, cache=True)
def blend_forward(
    part: int,
    parts: int,
    grid: Grid,
    lists: TileLists,
    splats: Splats,
    backgrounds: FloatArray,
    image: FloatArray,
    alphas: FloatArray,
) -> None:
    """Write image [C, H, W, D] and alphas [C, H, W, 1]; backgrounds [C, D]."""
    channels, size = image.shape[3], 1 << grid.shift
    P = size * size
    T, sums = np.empty(P, np.float32), np.empty(max(3, channels) * P, np.float32)
    for item in range(part, len(lists.work_order), parts):
        tile = lists.work_order[item]
        camera, left, top, columns, rows = tile_place(grid, tile)
        open_tile(T, size, columns, rows)
        fill(sums, ZERO)
        _blend_tile(tile, camera, left, top, size, lists, splats, T, sums)
        for y in range(rows):
            for x in range(columns):
                i = y * size + x
                transmitted = abs(T[i])
                alphas[camera, top + y, left + x, 0] = ONE - transmitted
                for k in range(channels):
                    color = sums[k * P + i] + transmitted * backgrounds[camera, k]
                    image[camera, top + y, left + x, k] = color


@njit(nogil=True, cache=True)
def _blend_tile(
    tile: int,
    camera: int,
    left: int,
    top: int,
    size: int,
    lists: TileLists,
    splats: Splats,
    T: FloatArray,
    sums: FloatArray,
) -> None:
    """Add the colours of a tile's Gaussians to sums and take what they cover off T."""
    P, channels = len(T), splats.colors.shape[2]
    for m in range(lists.tile_starts[tile], lists.tile_starts[tile + 1]):
        if m % CHECK_EVERY == 0 and finished(T):
            return
        g = lists.members[m]
        u, v, w, s_max, opacity, x, y = shape_in_tile(lists, splats, camera, g, left, top)
        red, green, blue = first_channels(splats.colors, camera, g)
        x0, x1, y0, y1 = extent_in_tile(lists, camera, g, left, top, size)
        for column in range(x0 // LANES * LANES, x1 + 1, LANES):
            u_dx = (splat(x - np.float32(column)) - lane_numbers()) * u
            dy = y - np.float32(y0)
            for i in range(y0 * size + column, y1 * size + column + 1, size):
                _, _, weight, after, _ = cover(
                    u_dx, v * dy, w * dy * dy, s_max, opacity, load(T, i)
                )
                dy -= ONE
                store(T, i, after)
                store(sums, i, fma(weight, red, load(sums, i)))
                store(sums, P + i, fma(weight, green, load(sums, P + i)))
                store(sums, 2 * P + i, fma(weight, blue, load(sums, 2 * P + i)))
                for k in range(3, channels):
                    color = splats.colors[camera, g, k]
                    store(sums, k * P + i, fma(weight, color, load(sums, k * P + i)))
