"""Sorts projected Gaussians into image tiles, nearest first.

Notation
    C cameras, N Gaussians, M pairs of a Gaussian and a tile it touches.
    boxes        [C, N, 4] pixels x0, y0, x1, y1 (both ends included) where alpha can reach 1/255.
    ellipses     [C, N, 4] (u, v, w, s_max): sigma = (u dx + v dy)² + w dy², the conic by Cholesky,
                 which is never negative; and the sigma at which alpha is 1/255.
    pair_starts  [C·N + 1] the pairs of Gaussian g of camera c are numbered from
                 pair_starts[c·N + g] on, tiles row by row: one Gaussian's numbers are consecutive,
                 which makes summing its gradients an ordered loop.
    tile_starts  [C·tiles + 1] the list of tile t is members[tile_starts[t] : tile_starts[t + 1]].
    members      [M] which Gaussian of the tile's camera, nearest first, ties by index.
    work_order   [C·tiles] all tiles, the longest lists first.

Each camera's Gaussians are sorted once and dealt to tiles in that order (a counting sort), which
leaves each tile's list sorted without gsplat's sort of all pairs, of which there are several times
more. Where gsplat takes every tile that meets a box of whole radii, boxes are exact here: only
pixels that gsplat would skip as well are left out.
"""

from math import ceil, floor, log, sqrt
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gs_esd.render.reference import ALPHA_MIN
from gs_esd.render.threads import run_parts

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
LongArray = NDArray[np.int64]

DIGIT_BITS = 11  # three digits cover 32 bits; 2048 counters stay in the first-level cache
EXTENT_SLACK = 1.0001  # a box may be a hair too large, never too small
SIGMA_LIMIT = 5.6  # above ln 255, the largest s_max an opacity of at most 1 can need


class Grid(NamedTuple):
    """How an image of width x height pixels is cut into tiles of 1 << shift pixels."""

    width: int
    height: int
    shift: int
    columns: int
    rows: int


class Splats(NamedTuple):
    """Projected Gaussians, float32: [C, N, 2], [C, N, 3], [C, N, D] and [C, N]."""

    means2d: FloatArray
    conics: FloatArray
    colors: FloatArray
    opacities: FloatArray


class TileLists(NamedTuple):
    """Which Gaussians each tile draws; see the module header for the arrays."""

    boxes: IntArray
    ellipses: FloatArray
    pair_starts: LongArray
    tile_starts: LongArray
    members: IntArray
    work_order: LongArray


def make_grid(width: int, height: int, tile_size: int) -> Grid:
    """Cut an image into tiles; tile_size is a power of two."""
    columns, rows = -(-width // tile_size), -(-height // tile_size)
    return Grid(width, height, tile_size.bit_length() - 1, columns, rows)


def sort_into_tiles(splats: Splats, depths: FloatArray, radii: IntArray, grid: Grid) -> TileLists:
    """Make the depth-ordered list of every tile of every camera.

    depths [C, N] are positive, radii [C, N, 2] zero where a Gaussian is culled.
    """
    C, N = depths.shape
    boxes, ellipses = np.empty((C, N, 4), np.int32), np.empty((C, N, 4), np.float32)
    order, counts = np.empty((C, N), np.int32), np.zeros(C, np.int64)
    pair_starts = np.zeros(C * N + 1, np.int64)
    tile_starts = np.zeros(C * grid.columns * grid.rows + 1, np.int64)
    run_parts(
        lambda part, parts: _count(
            part, parts, grid, splats, depths, radii, boxes, ellipses, order, counts, pair_starts,
            tile_starts,
        ),
        C,
    )  # fmt: skip
    # The longest lists first: threads that take every other tile then finish together.
    work_order = np.argsort(-tile_starts[1:], kind="stable")
    np.cumsum(pair_starts, out=pair_starts)
    np.cumsum(tile_starts, out=tile_starts)
    members, cursors = np.empty(tile_starts[-1], np.int32), tile_starts[:-1].copy()
    run_parts(
        lambda part, parts: _deal(part, parts, grid, boxes, order, counts, cursors, members), C
    )
    return TileLists(boxes, ellipses, pair_starts, tile_starts, members, work_order)


@njit(nogil=True, cache=True, error_model="numpy")
def _count(
    part: int,
    parts: int,
    grid: Grid,
    splats: Splats,
    depths: FloatArray,
    radii: IntArray,
    boxes: IntArray,
    ellipses: FloatArray,
    order: IntArray,
    counts: LongArray,
    pair_starts: LongArray,
    tile_starts: LongArray,
) -> None:
    """Per camera: boxes, ellipses, depth order, and numbers of tiles and of Gaussians in them."""
    C, N = depths.shape
    for camera in range(part, C, parts):
        drawn = 0
        for g in range(N):
            if radii[camera, g, 0] <= 0 or radii[camera, g, 1] <= 0:
                continue
            x0, y0, x1, y1 = _measure(camera, g, grid, splats, radii, ellipses)
            if x1 < x0 or y1 < y0:
                continue
            boxes[camera, g, 0], boxes[camera, g, 1] = x0, y0
            boxes[camera, g, 2], boxes[camera, g, 3] = x1, y1
            order[camera, drawn] = g
            drawn += 1
            first_column, last_column = x0 >> grid.shift, x1 >> grid.shift
            first_row, last_row = y0 >> grid.shift, y1 >> grid.shift
            pairs = (last_column - first_column + 1) * (last_row - first_row + 1)
            pair_starts[camera * N + g + 1] = pairs
            for row in range(first_row, last_row + 1):
                row_start = (camera * grid.rows + row) * grid.columns
                for column in range(first_column, last_column + 1):
                    tile_starts[row_start + column + 1] += 1
        counts[camera] = drawn
        _sort_by_depth(depths[camera], order[camera, :drawn])


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def _measure(
    camera: int, g: int, grid: Grid, splats: Splats, radii: IntArray, ellipses: FloatArray
) -> tuple[int, int, int, int]:
    """Write a Gaussian's ellipse and return the box of pixel centres in it."""
    a = float(splats.conics[camera, g, 0])
    b = float(splats.conics[camera, g, 1])
    c = float(splats.conics[camera, g, 2])
    s_max = min(log(float(splats.opacities[camera, g]) / ALPHA_MIN), SIGMA_LIMIT)
    u = sqrt(0.5 * a)
    v = 0.5 * b / u if u > 0.0 else 0.0
    ellipses[camera, g, 0], ellipses[camera, g, 1] = u, v
    ellipses[camera, g, 2], ellipses[camera, g, 3] = max(0.5 * c - v * v, 0.0), s_max
    extent_x, extent_y = float(radii[camera, g, 0]), float(radii[camera, g, 1])
    det = a * c - b * b
    if det > 0.0:
        reach = max(2.0 * s_max, 0.0) / det
        extent_x = min(extent_x, EXTENT_SLACK * sqrt(reach * c))
        extent_y = min(extent_y, EXTENT_SLACK * sqrt(reach * a))
    x = float(splats.means2d[camera, g, 0]) - 0.5
    y = float(splats.means2d[camera, g, 1]) - 0.5
    return (
        ceil(min(max(x - extent_x, 0.0), float(grid.width))),
        ceil(min(max(y - extent_y, 0.0), float(grid.height))),
        floor(max(min(x + extent_x, grid.width - 1.0), -1.0)),
        floor(max(min(y + extent_y, grid.height - 1.0), -1.0)),
    )


@njit(nogil=True, cache=True)
def _sort_by_depth(depths: FloatArray, order: IntArray) -> None:
    """Sort indices by depth in place, ties in order: radix sort on the bits of positive floats."""
    count, mask = len(order), (1 << DIGIT_BITS) - 1
    keys = np.empty(count, np.float32)
    for i in range(count):
        keys[i] = depths[order[i]]
    bits = keys.view(np.uint32)
    sorted_bits, sorted_order = np.empty_like(bits), np.empty_like(order)
    starts = np.empty(mask + 2, np.int64)
    for shift in (0, DIGIT_BITS, 2 * DIGIT_BITS):
        for digit in range(mask + 2):
            starts[digit] = 0
        for i in range(count):
            starts[((bits[i] >> shift) & mask) + 1] += 1
        for digit in range(mask):
            starts[digit + 1] += starts[digit]
        for i in range(count):
            digit = (bits[i] >> shift) & mask
            sorted_bits[starts[digit]], sorted_order[starts[digit]] = bits[i], order[i]
            starts[digit] += 1
        for i in range(count):
            bits[i], order[i] = sorted_bits[i], sorted_order[i]


@njit(nogil=True, cache=True)
def _deal(
    part: int,
    parts: int,
    grid: Grid,
    boxes: IntArray,
    order: IntArray,
    counts: LongArray,
    cursors: LongArray,
    members: IntArray,
) -> None:
    """Per camera: hand the Gaussians to their tiles, nearest first."""
    for camera in range(part, len(counts), parts):
        for rank in range(counts[camera]):
            g = order[camera, rank]
            first_column = boxes[camera, g, 0] >> grid.shift
            last_column = boxes[camera, g, 2] >> grid.shift
            first_row = boxes[camera, g, 1] >> grid.shift
            last_row = boxes[camera, g, 3] >> grid.shift
            for row in range(first_row, last_row + 1):
                row_start = (camera * grid.rows + row) * grid.columns
                for column in range(first_column, last_column + 1):
                    members[cursors[row_start + column]] = g
                    cursors[row_start + column] += 1
