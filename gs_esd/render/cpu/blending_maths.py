"""Formulas and helpers that the forward and the backward blending kernels share.

Notation, for one tile of one camera
    block      4 × 2 pixels, one vector. A tile has 4 columns and 8 rows of them, numbered down the
               columns. Small Gaussians cover fewer blocks of this shape than rows of eight pixels.
    P          pixels of a tile, stored block by block.
    blocks     a set of blocks as the bits of a number.
    T          [P] remaining transmittance of a pixel. A finished pixel stores its final value with
               a minus sign: every later comparison then fails, without a second mask.
    sums       [max(3, D)·P] accumulated colour, channel by channel. The loop over the first three
               channels is unrolled, which makes RGB images fast; further ones are looped over.
    V          [max(3, D)·P] dL/d(image); v_q is dL/dq of any other quantity q.
    shapes, (x, y), (u, v, w, fade) are those of `tiles.py`.
    s          (u dx + v dy)² + w dy² + fade, so that alpha = exp(-s) before its cap.

Kernels loop, load and store; formulas are traced (see `jit/tracing.py`). Every operation rounds
separately (no fast-math), so that the backward pass repeats the forward pass's decisions exactly.
"""

from typing import Any, Literal, NamedTuple

import numpy as np

from gs_esd.render.cpu.jit.arrays import FloatArray
from gs_esd.render.cpu.jit.kernel_cache import inlined, inner
from gs_esd.render.cpu.jit.pixels import BLOCK_HEIGHT, BLOCK_WIDTH
from gs_esd.render.cpu.jit.simd import LANES, lane_bits, load, store
from gs_esd.render.cpu.jit.tracing import (
    Value,
    Values,
    absolute,
    filled_like,
    fma,
    minimum,
    select,
    sqrt,
    traced,
)
from gs_esd.render.cpu.reference import ALPHA_MAX, TRANSMITTANCE_MIN
from gs_esd.render.cpu.tiles import S_MAX, TILE, Grid

P = TILE * TILE
BLOCK_COLUMNS, BLOCK_ROWS = TILE // BLOCK_WIDTH, TILE // BLOCK_HEIGHT
BLOCKS = BLOCK_COLUMNS * BLOCK_ROWS
CHECK_EVERY = 16  # Gaussians between two checks of which blocks are finished
PREFETCH_DISTANCE = 4  # Gaussians between prefetching a row of shapes and reading it
MARGIN = 1e-5  # more than the rounding error of s, which is used up to ln 255 = 5.54
ZERO = np.float32(0)  # Python's own would turn arithmetic into float64

Flag = Literal[True] | None
"""A compile-time switch: numba removes the branch of a None."""


class Shape(NamedTuple):
    """A Gaussian relative to the first pixel of a tile; each number in all lanes."""

    x: Value
    y: Value
    u: Value
    v: Value
    w: Value
    fade: Value


class Constants(NamedTuple):
    """Numbers that the loops use, each in all lanes (why they are loaded: see `Tables`)."""

    decay: Values
    one: Value
    alpha_max: Value
    transmittance_min: Value
    s_max: Value


class Tables(NamedTuple):
    """Read-only arrays: the coordinates of a tile's pixels [P], and `Constants`.

    The latter are loaded from memory because LLVM rebuilds a literal constant, with two
    instructions, in every iteration of a loop that has no free register. Loaded values are spilled.
    """

    pixel_x: FloatArray
    pixel_y: FloatArray
    constants: FloatArray


def _make_tables() -> Tables:
    """Compute `TABLES`."""
    column, row, y, x = np.indices(
        (BLOCK_COLUMNS, BLOCK_ROWS, BLOCK_HEIGHT, BLOCK_WIDTH), np.float32
    )
    # exp(-s/8) on [0, 5.6] as a minimax quintic, highest power first; its 8th power is within 2e-6.
    decay = (
        -1.7842895816418592e-07,
        9.710098190697405e-06,
        -0.0003241679221304961,
        0.007810665432700068,
        -0.12499906742196108,
        0.9999999205160792,
    )
    constants = np.array([*decay, 1, ALPHA_MAX, TRANSMITTANCE_MIN, S_MAX], np.float32)
    return Tables(
        (BLOCK_WIDTH * column + x).reshape(-1), (BLOCK_HEIGHT * row + y).reshape(-1), constants
    )


TABLES = _make_tables()


@traced
def exp_minus(s: Value, decay: Values) -> Value:
    """exp(-s) for s in [0, 5.6], as an 8th power; by Estrin's scheme, for lower latency."""
    square = s * s
    high, middle = fma(s, decay[0], decay[1]), fma(s, decay[2], decay[3])
    p = fma(square, fma(square, high, middle), fma(s, decay[4], decay[5]))
    p = p * p
    p = p * p
    return p * p


@traced
def shape_in_tile(row: Values, left: Any, top: Any) -> Values:
    """The shape in a row of `shapes`, relative to the tile that begins at pixel (left, top)."""
    return Shape(row[0] - left, row[1] - top, *row[2:6])


@traced
def rows_reached(shape: Values, lane_numbers: Value) -> Values:
    """Per column of blocks: the rows of blocks, one per lane, in which alpha can reach 1/255.

    In a row of pixels alpha reaches 1/255 where |u dx + v dy| <= reach, with reach² = s_max - fade
    - w dy². u dx + v dy decreases over the four columns of a block, so its two ends decide; they
    are computed as in `cover`. Where reach² < 0, reach is NaN, which fails the comparisons.
    """
    x, y, u, v, w, fade = shape
    reached = []
    limit = (S_MAX + MARGIN) - fade
    dy = [y - (2.0 * lane_numbers + parity) for parity in (0.0, 1.0)]
    reach = [sqrt(limit - w * d * d) for d in dy]
    for column in range(BLOCK_COLUMNS):
        first, last = u * (x - 4.0 * column), u * (x - (4.0 * column + 3.0))
        even, odd = (
            (fma(v, d, last) <= r) & (-r <= fma(v, d, first))
            for d, r in zip(dy, reach, strict=True)
        )
        reached.append(even | odd)
    return tuple(reached)


@traced
def cover(dx: Value, dy: Value, shape: Values, T: Value, constants: Values) -> Values:
    """Alpha and blending weight of a Gaussian at the pixels of a block.

    Returns u dx + v dy, alpha before the cap of 0.999, alpha, the weight, T behind the Gaussian,
    and the mask of pixels at which it is drawn.
    """
    _, _, u, v, w, fade = shape
    decay, _, alpha_max, transmittance_min, s_max = Constants(constants[:6], *constants[6:])
    root = fma(v, dy, u * dx)
    s = fma(root, root, fma(w * dy, dy, fade))
    uncapped = exp_minus(s, decay)
    alpha = select(s <= s_max, minimum(uncapped, alpha_max), 0.0)
    weight = alpha * T
    after = T - weight
    drawn = after > transmittance_min
    after = select(drawn, after, -absolute(T))
    return root, uncapped, alpha, select(drawn, weight, 0.0), after, drawn


@inlined
def tile_place(grid: Grid, tile: int) -> tuple[int, int, int, int, int]:
    """Camera of a tile, its first pixel (left, top), and its columns and rows inside the image."""
    tiles = grid.columns * grid.rows
    camera, index = tile // tiles, tile % tiles
    left, top = index % grid.columns * TILE, index // grid.columns * TILE
    columns = grid.width - left if grid.width - left < TILE else TILE
    rows = grid.height - top if grid.height - top < TILE else TILE
    return camera, left, top, columns, rows


@inlined
def fill(array: FloatArray, value: float) -> None:
    """array[:] = value, without numba's slice assignment, which takes seconds to compile."""
    for i in range(len(array)):
        array[i] = value


@inner
def open_tile(T: FloatArray, tables: Tables, columns: int, rows: int) -> None:
    """Set T to 1 for pixels inside the image, to 0 outside."""
    size = np.float32(columns), np.float32(rows)
    for i in range(0, P, LANES):
        store(T, i, full_inside(load(tables.pixel_x, i), load(tables.pixel_y, i), size))


@traced
def full_inside(x: Value, y: Value, size: Any) -> Value:
    """1 where a pixel is within the size, 0 elsewhere."""
    return select((x < size[0]) & (y < size[1]), filled_like(x, 1.0), 0.0)


@inlined
def block_place(block: int) -> tuple[int, int]:
    """The first pixel (x, y) of a block."""
    return block // BLOCK_ROWS * BLOCK_WIDTH, block % BLOCK_ROWS * BLOCK_HEIGHT


@inner
def open_blocks(T: FloatArray) -> int:
    """The blocks with an unfinished pixel, as bits."""
    blocks = 0
    for block in range(BLOCKS):
        if lane_bits(is_open(load(T, block * LANES))) != 0:
            blocks |= 1 << block
    return blocks


@traced
def is_open(T: Value) -> Value:
    """Whether pixels are unfinished."""
    return T > 0.0


@traced
def fused(x: Value, y: Value, z: Value) -> Value:
    """x y + z, see `fma`."""
    return fma(x, y, z)
