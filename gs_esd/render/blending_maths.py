"""The steps of blending that the forward and the backward kernels share.

Notation, for one tile of one camera
    size, P    side of a tile, and its pixels, stored row by row; a vector is eight neighbours.
    T          [P] transmittance left at a pixel. A finished pixel keeps its final one with a minus
               sign, which makes every later test fail without a second mask.
    sums       [max(3, D)·P] colour so far, channel by channel. The first three channels are written
               out, so that pictures are quick; further ones are looped over.
    V          [max(3, D)·P] dL/d(image); v_q is dL/dq of any other quantity q.
    boxes, ellipses (u, v, w, s_max) and pairs are those of `tiles.py`.

The loops index whole arrays: of a view of one row numba would count the references, atomically, for
every Gaussian.
"""

import numpy as np
from numba import njit

from gs_esd.render.reference import ALPHA_MAX, TRANSMITTANCE_MIN
from gs_esd.render.simd import (
    LANES,
    Mask,
    Vector,
    absolute,
    any_lane,
    fma,
    load,
    minimum,
    select,
    splat,
)
from gs_esd.render.tiles import FloatArray, Grid, Splats, TileLists

CHECK_EVERY = 16  # Gaussians between two looks at whether a whole tile is finished
# Python's own numbers would turn arithmetic with them into float64.
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)

inlined = njit(nogil=True, forceinline=True, error_model="numpy")


@inlined
def exp_minus(s: Vector) -> Vector:
    """exp(-s) for s in [0, 5.6], to 2e-6 of itself: a minimax quintic of exp(-s/8), 8th power."""
    p = fma(s, -1.7842895816418592e-07, 9.710098190697405e-06)
    p = fma(p, s, -0.0003241679221304961)
    p = fma(p, s, 0.007810665432700068)
    p = fma(p, s, -0.12499906742196108)
    p = fma(p, s, 0.9999999205160792)
    p = p * p
    p = p * p
    return p * p


@inlined
def cover(
    u_dx: Vector, v_dy: float, w_dy2: float, s_max: float, opacity: float, T: Vector
) -> tuple[Vector, Vector, Vector, Vector, Mask]:
    """Alpha before its cap, alpha, weight, next T, and where the Gaussian is drawn, at 8 pixels."""
    root = u_dx + v_dy
    sigma = fma(root, root, w_dy2)
    uncapped = exp_minus(sigma) * opacity
    alpha = select(sigma <= s_max, minimum(uncapped, ALPHA_MAX), splat(ZERO))
    after = fma(alpha * -ONE, T, T)
    drawn = after > TRANSMITTANCE_MIN
    weight = select(drawn, alpha * T, splat(ZERO))
    return uncapped, alpha, weight, select(drawn, after, absolute(T) * -ONE), drawn


@inlined
def tile_place(grid: Grid, tile: int) -> tuple[int, int, int, int, int]:
    """Camera of a tile, its first pixel (left, top), and its columns and rows inside the image."""
    size = 1 << grid.shift
    camera, index = tile // (grid.columns * grid.rows), tile % (grid.columns * grid.rows)
    left, top = index % grid.columns * size, index // grid.columns * size
    return camera, left, top, min(size, grid.width - left), min(size, grid.height - top)


@inlined
def extent_in_tile(
    lists: TileLists, camera: int, g: int, left: int, top: int, size: int
) -> tuple[int, int, int, int]:
    """First and last column, first and last row of a Gaussian's box within a tile."""
    boxes = lists.boxes
    return (
        max(boxes[camera, g, 0] - left, 0),
        min(boxes[camera, g, 2] - left, size - 1),
        max(boxes[camera, g, 1] - top, 0),
        min(boxes[camera, g, 3] - top, size - 1),
    )


@inlined
def shape_in_tile(
    lists: TileLists, splats: Splats, camera: int, g: int, left: int, top: int
) -> tuple[float, float, float, float, float, float, float]:
    """u, v, w, s_max, opacity, and the mean as seen from the centre of the tile's first pixel."""
    ellipses, means2d = lists.ellipses, splats.means2d
    return (
        ellipses[camera, g, 0],
        ellipses[camera, g, 1],
        ellipses[camera, g, 2],
        ellipses[camera, g, 3],
        splats.opacities[camera, g],
        means2d[camera, g, 0] - np.float32(left) - HALF,
        means2d[camera, g, 1] - np.float32(top) - HALF,
    )


@inlined
def three_of(array: FloatArray, camera: int, g: int) -> tuple[float, float, float]:
    """Row [camera, g] of an array [C, N, 3]."""
    return array[camera, g, 0], array[camera, g, 1], array[camera, g, 2]


@inlined
def first_channels(
    colors: FloatArray, camera: int, g: int
) -> tuple[np.float32, np.float32, np.float32]:
    """The first three channels of a colour, zero where there are fewer."""
    channels = colors.shape[2]
    return (
        colors[camera, g, 0],
        colors[camera, g, 1] if channels > 1 else ZERO,
        colors[camera, g, 2] if channels > 2 else ZERO,
    )


@inlined
def fill(array: FloatArray, value: float) -> None:
    """array[:] = value, which would take numba seconds more to compile."""
    for i in range(len(array)):
        array[i] = value


@njit(nogil=True, cache=True)
def finished(T: FloatArray) -> bool:
    """Whether no pixel of the tile takes any more."""
    for i in range(0, len(T), LANES):
        if any_lane(load(T, i) > ZERO):
            return False
    return True


@njit(nogil=True, cache=True)
def open_tile(T: FloatArray, size: int, columns: int, rows: int) -> None:
    """Full transmittance for pixels inside the image, none for those outside."""
    fill(T, ZERO)
    for y in range(rows):
        for x in range(columns):
            T[y * size + x] = ONE
