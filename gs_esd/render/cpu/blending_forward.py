"""Numba kernel: forward alpha blending. Notation in `blending_maths.py`."""

from typing import NamedTuple

import numpy as np
import torch

from gs_esd.render.cpu.blending_maths import (
    BLOCK_ROWS,
    BLOCKS,
    CHECK_EVERY,
    PREFETCH_DISTANCE,
    ZERO,
    Flag,
    P,
    Tables,
    block_place,
    cover,
    fill,
    fused,
    open_blocks,
    open_tile,
    rows_reached,
    shape_in_tile,
    tile_place,
)
from gs_esd.render.cpu.jit.arrays import BitArray, FloatArray
from gs_esd.render.cpu.jit.kernel_cache import inner, kernel
from gs_esd.render.cpu.jit.pixels import store_pixels
from gs_esd.render.cpu.jit.simd import (
    LANES,
    align_stack,
    lane_bits,
    lane_numbers,
    load,
    load_filled,
    prefetch,
    store,
    trailing_zeros,
)
from gs_esd.render.cpu.jit.tracing import Value, Values, absolute, fma, traced
from gs_esd.render.cpu.tiles import ROW, Grid, TileLists


class Canvas(NamedTuple):
    """Working memory of one thread for the tile it blends."""

    T: FloatArray
    sums: FloatArray


def make_canvas(channels: int) -> Canvas:
    """Working memory of one thread; allocated by torch, which aligns it to cache lines."""
    return Canvas(torch.empty(P).numpy(), torch.empty(max(3, channels) * P).numpy())


@kernel()
def blend_forward(
    part: int,
    parts: int,
    grid: Grid,
    lists: TileLists,
    tables: Tables,
    canvas: Canvas,
    colors: FloatArray,
    backgrounds: FloatArray,
    more: Flag,
    image: FloatArray,
    alphas: FloatArray,
    visited: BitArray,
) -> None:
    """Write image [C, H, W, D], alphas [C, H, W, 1] and, for the backward pass, visited [M].

    colors are [C, N, D], backgrounds [C, D]; `more` is True if D > 3. visited[m] has the blocks in
    which members[m] may have been drawn, as bits.
    """
    align_stack()
    T, sums = canvas
    for item in range(part, len(lists.work_order), parts):
        tile = lists.work_order[item]
        camera, left, top, columns, rows = tile_place(grid, tile)
        open_tile(T, tables, columns, rows)
        fill(sums, ZERO)
        _blend_tile(tile, camera, left, top, lists, tables, canvas, colors, more, visited)
        _write_tile(camera, left, top, columns, rows, T, sums, backgrounds, image, alphas)


@inner
def _write_tile(
    camera: int,
    left: int,
    top: int,
    columns: int,
    rows: int,
    T: FloatArray,
    sums: FloatArray,
    backgrounds: FloatArray,
    image: FloatArray,
    alphas: FloatArray,
) -> None:
    """Write a finished tile to image and alphas."""
    _, height, width, D = image.shape
    for block in range(BLOCKS):
        x, y = block_place(block)
        if x < columns and y < rows:
            first = (camera * height + top + y) * width + left + x
            inside = columns - x, rows - y
            alpha = opacity_of(load(T, block * LANES))
            store_pixels(alphas, first, width, 1, inside[0], inside[1], alpha)
            for k in range(D):
                background = load_filled(backgrounds, camera * D + k, 1)[0]
                color = over(load(sums, k * P + block * LANES), alpha, background)
                store_pixels(image, first * D + k, width * D, D, inside[0], inside[1], color)


@traced
def opacity_of(T: Value) -> Value:
    """1 - |T|."""
    return 1.0 - absolute(T)


@traced
def over(color: Value, alpha: Value, background: Value) -> Value:
    """Premultiplied colour over a background."""
    return color + (1.0 - alpha) * background


@inner
def _blend_tile(
    tile: int,
    camera: int,
    left: int,
    top: int,
    lists: TileLists,
    tables: Tables,
    canvas: Canvas,
    colors: FloatArray,
    more: Flag,
    visited: BitArray,
) -> None:
    """Accumulate the colours of a tile's Gaussians in sums, and the remaining light in T."""
    align_stack()
    T, sums = canvas
    N, channels = colors.shape[1], colors.shape[2]
    shapes, members = lists.shapes, lists.members
    constants = load_filled(tables.constants, 0, 10)
    start, end = lists.tile_starts[tile], lists.tile_starts[tile + 1]
    unfinished = 0
    for m in range(start, end):
        if (m - start) % CHECK_EVERY == 0:
            unfinished = open_blocks(T)
        if unfinished == 0:
            visited[m] = 0
            continue
        soon = m + PREFETCH_DISTANCE if m + PREFETCH_DISTANCE < end else m
        prefetch(shapes, (camera * N + members[soon]) * ROW)
        row = load_filled(shapes, (camera * N + members[m]) * ROW, 9)
        shape = shape_in_tile(row, np.float32(left), np.float32(top))
        a, b, c, d = rows_reached(shape, lane_numbers())
        blocks = lane_bits(a) | lane_bits(b) << BLOCK_ROWS
        blocks |= (lane_bits(c) | lane_bits(d) << BLOCK_ROWS) << 2 * BLOCK_ROWS
        blocks &= unfinished
        visited[m] = blocks
        while blocks != 0:
            i = trailing_zeros(blocks) * LANES
            blocks &= blocks - 1
            pixel = load(tables.pixel_x, i), load(tables.pixel_y, i)
            before = load(sums, i), load(sums, P + i), load(sums, 2 * P + i)
            after, weight, color = add_color(pixel, shape, load(T, i), before, row, constants)
            store(T, i, after)
            store(sums, i, color[0])
            store(sums, P + i, color[1])
            store(sums, 2 * P + i, color[2])
            if more is not None:
                for k in range(3, channels):
                    color_k = load_filled(colors, (camera * N + members[m]) * channels + k, 1)[0]
                    store(sums, k * P + i, fused(weight, color_k, load(sums, k * P + i)))


@traced
def add_color(
    pixel: tuple[Value, Value],
    shape: Values,
    T: Value,
    sums: Values,
    row: Values,
    constants: Values,
) -> tuple[Value, Value, Values]:
    """Blend three channels into a block: T behind the Gaussian, its weight, the new sums."""
    x, y, *_ = shape
    *_, weight, after, _ = cover(x - pixel[0], y - pixel[1], shape, T, constants)
    colors = zip(row[6:9], sums, strict=True)
    return after, weight, tuple(fma(weight, color, total) for color, total in colors)
