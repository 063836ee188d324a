"""Bins projected Gaussians into image tiles and sorts each tile's list by depth, nearest first.

Notation
    C cameras, N Gaussians, M pairs of a Gaussian and a tile that its bounding box overlaps.
    shapes       [C, N, 16] the numbers of a Gaussian that blending reads repeatedly, one cache line
                 each: (x, y) its mean, with the centre of the first pixel at (0, 0); (u, v, w,
                 fade), with which alpha is exp(-s) for s = (u dx + v dy)² + w dy² + fade (the first
                 two terms are the Cholesky factors of the conic, never negative, and
                 fade = -ln opacity); three channels.
    boxes        [C, N, 4] in tiles: first column and row, last column and row.
    order        [C, N] the drawn[c] Gaussians of camera c that are not culled, nearest first, ties
                 by index.
    tile_starts  [C·tiles + 1] the list of tile t is members[tile_starts[t] : tile_starts[t + 1]].
    members      [M] indices of Gaussians, list by list, nearest first.
    work_order   [C·tiles] all tiles, the longest lists first.

Each camera's Gaussians are sorted once and distributed to tiles in that order (a counting sort),
so each tile's list is sorted without gsplat's sort of all (Gaussian, tile) pairs, which are several
times as many. gsplat adds a Gaussian to every tile that overlaps a box of whole-pixel radii; boxes
here are exact, and omit only pixels that gsplat skips as well.
"""

import math
from typing import NamedTuple

import numpy as np
import torch

from gs_esd.render.cpu.arguments import TILE_SIZE
from gs_esd.render.cpu.jit.arrays import FloatArray, IntArray, LongArray
from gs_esd.render.cpu.jit.kernel_cache import kernel
from gs_esd.render.cpu.jit.rows import load_doubles, load_rows, store_rows
from gs_esd.render.cpu.jit.simd import LANES, align_stack, prefetch
from gs_esd.render.cpu.jit.threads import run_parts
from gs_esd.render.cpu.jit.tracing import (
    Value,
    Values,
    ceil,
    double,
    floor,
    log,
    maximum,
    minimum,
    select,
    sqrt,
    traced,
)
from gs_esd.render.cpu.reference import ALPHA_MIN

TILE = TILE_SIZE
DIGIT_BITS = 11  # three digits cover 32 bits; 2048 counters stay in the first-level cache
CHUNK = 4096  # Gaussians per work item
PREFETCH_DISTANCE = 8  # Gaussians between prefetching a box and reading it
EXTENT_SLACK = 1.0001  # a box may be slightly too large, never too small
S_MAX = math.log(1 / ALPHA_MIN)

ROW = 16  # numbers in a row of shapes, of which 9 are used
U = 2  # the column of u in it


class Grid(NamedTuple):
    """An image of width × height pixels as columns × rows of tiles."""

    width: int
    height: int
    columns: int
    rows: int


class Splats(NamedTuple):
    """Projected Gaussians, float32: [C, N, 2], [C, N, 3], [C, N, D] and [C, N]."""

    means2d: FloatArray
    conics: FloatArray
    colors: FloatArray
    opacities: FloatArray


class TileLists(NamedTuple):
    """The depth-sorted Gaussians of each tile; the arrays are described in the module header."""

    shapes: FloatArray
    tile_starts: LongArray
    members: IntArray
    work_order: LongArray


def make_grid(width: int, height: int) -> Grid:
    """Divide an image of width × height pixels into tiles."""
    return Grid(width, height, -(-width // TILE), -(-height // TILE))


def sort_into_tiles(splats: Splats, depths: FloatArray, radii: IntArray, grid: Grid) -> TileLists:
    """Make the depth-sorted list of Gaussians of every tile of every camera.

    Args:
        splats: projected Gaussians.
        depths: [C, N], positive.
        radii: [C, N, 2] in pixels, zero where a Gaussian is culled.
        grid: the tiles of an image.
    """
    C, N = depths.shape
    chunks, tiles = -(-N // CHUNK), grid.columns * grid.rows
    # torch aligns memory to cache lines, numpy does not.
    shapes, boxes = torch.empty(C, N, ROW).numpy(), np.empty((C, N, 4), np.int32)
    counts = np.zeros((C, chunks, tiles), np.int64)
    columns_of_numbers = splats._replace(opacities=splats.opacities[..., None])
    run_parts(
        lambda part, parts: _measure(
            part, parts, grid, columns_of_numbers, radii, shapes, boxes, counts
        ),
        C * chunks,
    )
    order, drawn, bits = np.empty((C, N), np.int32), np.empty(C, np.int64), depths.view(np.int32)
    run_parts(
        lambda part, parts: _sort(part, parts, bits, radii, make_counters(N), order, drawn), C
    )
    lengths = counts.sum(axis=1).reshape(-1)
    tile_starts = np.concatenate([[0], np.cumsum(lengths)])
    members, cursors = np.empty(tile_starts[-1], np.int32), tile_starts[:-1].copy()
    loads = lengths.reshape(C, grid.rows, grid.columns).sum(axis=(0, 2))
    run_parts(
        lambda part, parts: _distribute(
            *_share(loads, part, parts), grid, boxes, order, drawn, cursors, members
        ),
        grid.rows,
    )
    # Longest lists first: threads that process every n-th tile then finish at about the same time.
    work_order = np.argsort(-lengths, kind="stable")
    return TileLists(shapes, tile_starts, members, work_order)


@kernel(error_model="numpy")
def _measure(
    part: int,
    parts: int,
    grid: Grid,
    splats: Splats,
    radii: IntArray,
    shapes: FloatArray,
    boxes: IntArray,
    counts: LongArray,
) -> None:
    """Write shapes and boxes; count the Gaussians [C, chunks, tiles] whose box overlaps a tile.

    Rows of culled Gaussians are undefined.
    """
    align_stack()
    C, N, channels = splats.colors.shape
    chunks, size = counts.shape[1], (float(grid.width), float(grid.height))
    for item in range(part, C * chunks, parts):
        camera, chunk = item // chunks, item % chunks
        end = camera * N + min((chunk + 1) * CHUNK, N)
        for g in range(camera * N + chunk * CHUNK, end, LANES):
            last = end - 1
            conic, radius = load_doubles(splats.conics, 3, g, last), load_rows(radii, 2, g, last)
            mean = load_doubles(splats.means2d, 2, g, last)
            opacity = load_doubles(splats.opacities, 1, g, last)
            if channels == 1:
                color = _three_of_one(load_rows(splats.colors, 1, g, last))
            elif channels == 2:
                color = _three_of_two(load_rows(splats.colors, 2, g, last))
            else:
                color = load_rows(splats.colors, 3, g, last)
            shape, box = _shape_and_box(conic, mean, opacity, radius, size)
            store_rows(shapes, g, last, _row(shape, color))
            store_rows(boxes, g, last, box)
        for g in range(chunk * CHUNK, end - camera * N):
            if radii[camera, g, 0] > 0 and radii[camera, g, 1] > 0:
                for row in range(boxes[camera, g, 1], boxes[camera, g, 3] + 1):
                    first = row * grid.columns
                    for tile in range(first + boxes[camera, g, 0], first + boxes[camera, g, 2] + 1):
                        counts[camera, chunk, tile] += 1


@traced
def _three_of_one(color: Values) -> Values:
    """Pad one channel to three; the others are never read."""
    return color * 3


@traced
def _three_of_two(color: Values) -> Values:
    """Pad two channels to three; the last is never read."""
    return color + color[:1]


@traced
def _row(shape: Values, color: Values) -> Values:
    """One row of `shapes`."""
    return *shape, *map(double, color)


@traced
def _shape_and_box(
    conic: Values, mean: Values, opacity: Values, radius: Values, size: Values
) -> tuple[Values, Values]:
    """(x, y, u, v, w, fade), and the box in tiles."""
    a, b, c = conic
    u, (x, y) = sqrt(0.5 * a), (mean[0] - 0.5, mean[1] - 0.5)
    v = select(u > 0.0, 0.5 * b / u, 0.0)
    fade = -log(opacity[0])
    shape = x, y, u, v, maximum(0.5 * c - v * v, 0.0), fade
    return shape, _box(conic, (x, y), fade, radius, size)


def _box(conic: Values, mean: Values, fade: Value, radius: Values, size: Values) -> Values:
    """First and last column and row of tiles in which alpha can reach 1/255."""
    a, b, c = conic
    det = a * c - b * b
    reach = maximum(2.0 * (S_MAX - fade), 0.0) / det
    low, high = [], []
    for x, variance, limit, pixels in zip(mean, (c, a), map(double, radius), size, strict=True):
        extent = select(det > 0.0, minimum(limit, EXTENT_SLACK * sqrt(reach * variance)), limit)
        low.append(floor(minimum(maximum(ceil(x - extent), 0.0), pixels) / TILE))
        high.append(floor(maximum(minimum(x + extent, pixels - 1.0), -1.0) / TILE))
    return *low, *high


def make_counters(N: int) -> tuple[LongArray, LongArray, LongArray]:
    """Working memory of one thread's radix sort of N keys."""
    return (
        np.empty(N, np.int64),
        np.empty(N, np.int64),
        np.empty((3, (1 << DIGIT_BITS) + 1), np.int64),
    )


@kernel()
def _sort(
    part: int,
    parts: int,
    depths: IntArray,
    radii: IntArray,
    scratch: tuple[LongArray, LongArray, LongArray],
    order: IntArray,
    drawn: LongArray,
) -> None:
    """Sort each camera's visible Gaussians by depth, ties by index: a stable radix sort.

    The bits of positive floats, read as integers, have the order of the floats.
    """
    C, N = depths.shape
    mask = (1 << DIGIT_BITS) - 1
    keys, other, starts = scratch
    for camera in range(part, C, parts):
        for digit in range(3):
            for i in range(mask + 2):
                starts[digit, i] = 0
        count = 0
        for g in range(N):
            if radii[camera, g, 0] > 0 and radii[camera, g, 1] > 0:
                key = np.int64(depths[camera, g])
                keys[count] = key << 32 | g
                count += 1
                for digit in range(3):
                    starts[digit, (key >> digit * DIGIT_BITS & mask) + 1] += 1
        for digit in range(3):
            for i in range(mask):
                starts[digit, i + 1] += starts[digit, i]
            for i in range(count):
                value = keys[i] >> 32 + digit * DIGIT_BITS & mask
                other[starts[digit, value]] = keys[i]
                starts[digit, value] += 1
            keys, other = other, keys
        for i in range(count):
            order[camera, i] = keys[i]
        drawn[camera] = count


def _share(loads: LongArray, part: int, parts: int) -> tuple[int, int]:
    """First and end row of tiles of one work item, for about equal numbers of Gaussians."""
    before = np.cumsum(loads) - loads
    first, end = np.searchsorted(before, loads.sum() * np.array([part, part + 1]) / parts)
    return int(first), int(end) if part + 1 < parts else len(loads)


@kernel()
def _distribute(
    first_row: int,
    end_row: int,
    grid: Grid,
    boxes: IntArray,
    order: IntArray,
    drawn: LongArray,
    cursors: LongArray,
    members: IntArray,
) -> None:
    """Append Gaussians, nearest first, to the lists of their tiles, in some rows of tiles."""
    C, N = order.shape
    for camera in range(C):
        start = camera * grid.rows * grid.columns
        for rank in range(drawn[camera]):
            soon = rank + PREFETCH_DISTANCE if rank + PREFETCH_DISTANCE < drawn[camera] else rank
            prefetch(boxes, (camera * N + order[camera, soon]) * 4)
            g = order[camera, rank]
            x0, y0 = boxes[camera, g, 0], boxes[camera, g, 1]
            x1, y1 = boxes[camera, g, 2], boxes[camera, g, 3]
            for row in range(max(y0, first_row), min(y1 + 1, end_row)):
                first = start + row * grid.columns
                # Unsigned, so that numba emits no code for negative indices.
                for tile in range(np.uint64(first + x0), np.uint64(first + x1 + 1)):
                    members[np.uint64(cursors[tile])] = g
                    cursors[tile] += 1
