"""Numba kernel: adds up the rows of sums that `blending_backward.py` writes, into gradients.

A row holds sums over the pixels of one (Gaussian, tile) pair: of v_s times dx, dy, dx², dx dy, dy²,
1; the gradients of the D channels; and with absgrad |v_s (u dx + v dy)| and
|v_s (v (u dx + v dy) + w dy)|. Rows are added in a fixed order, without atomics: the same bits for
any number of threads. Notation in `blending_maths.py`.
"""

from typing import Any

import numpy as np

from gs_esd.render.cpu.blending_maths import PREFETCH_DISTANCE, ZERO, Flag
from gs_esd.render.cpu.jit.arrays import BitArray, FloatArray, IntArray
from gs_esd.render.cpu.jit.kernel_cache import kernel
from gs_esd.render.cpu.jit.rows import load_row
from gs_esd.render.cpu.jit.simd import LANES, load, prefetch, store
from gs_esd.render.cpu.jit.tracing import Value, Values, select, traced
from gs_esd.render.cpu.tiles import Splats, TileLists, U

TWO = np.float32(2)
MOMENTS = 6  # numbers of a row of sums before the channels


def row_length(channels: int, absgrad: Flag) -> int:
    """Numbers in a row of sums; at least one vector, the least that is written at once."""
    return max(MOMENTS + channels + (2 if absgrad else 0), LANES)


@kernel()
def sum_visits(
    part: int,
    parts: int,
    lists: TileLists,
    visited: BitArray,
    rows_of_sums: FloatArray,
    splats: Splats,
    absgrad: Flag,
    chosen: IntArray,
    totals: FloatArray,
    v_splats: Splats,
    v_absolute: FloatArray,
) -> None:
    """Add up the rows of each Gaussian, in the order of its tiles, and write its gradients.

    Each thread processes its own range of Gaussians and skips the rows of others. v_splats have the
    shapes of splats, v_absolute is [C, N, 2]. Working memory: chosen [M], one per thread, and
    totals [N, row length].
    """
    C, N, channels = splats.colors.shape
    length, tiles = rows_of_sums.shape[1], (len(lists.tile_starts) - 1) // C
    low, high = N * part // parts, N * (part + 1) // parts
    members = lists.members
    for camera in range(C):
        for g in range(low, high):
            for k in range(length):
                totals[g, k] = ZERO
        start, end = lists.tile_starts[camera * tiles], lists.tile_starts[(camera + 1) * tiles]
        count = 0
        for m in range(start, end):
            # Branchless: a branch would be mispredicted about every other time.
            chosen[count] = m
            count += (low <= members[m]) & (members[m] < high) & (visited[m] != 0)
        for i in range(count):
            ahead = i + 2 * PREFETCH_DISTANCE
            soon = ahead if ahead < count else i
            prefetch(totals, members[chosen[soon]] * length)
            m = chosen[i]
            to = members[m] * length
            store(totals, to, added(load(totals, to), load(rows_of_sums, m * length)))
            for k in range(LANES, length):
                totals[members[m], k] += rows_of_sums[m, k]
        for g in range(low, high):
            conic = load_row(splats.conics, 3, camera * N + g)
            sums = load_row(totals, MOMENTS, g)
            v_mean, v_conic, v_opacity = _gradients(sums, conic, splats.opacities[camera, g])
            v_splats.means2d[camera, g, 0], v_splats.means2d[camera, g, 1] = v_mean
            for k in range(3):
                v_splats.conics[camera, g, k] = v_conic[k]
            v_splats.opacities[camera, g] = v_opacity
            for k in range(channels):
                v_splats.colors[camera, g, k] = totals[g, MOMENTS + k]
            if absgrad is not None:
                u = lists.shapes[camera, g, U]
                v_absolute[camera, g, 0] = (u + u) * totals[g, MOMENTS + channels]
                v_absolute[camera, g, 1] = TWO * totals[g, MOMENTS + channels + 1]


@traced
def _gradients(sums: Values, conic: Values, opacity: Any) -> tuple[Values, Values, Any]:
    """Gradients of mean, conic and opacity; s = ½ (a dx² + c dy²) + b dx dy - ln opacity."""
    x, y, xx, xy, yy, one = sums
    a, b, c = conic
    v_mean = a * x + b * y, b * x + c * y
    # A culled Gaussian may have opacity 0 or NaN.
    return v_mean, (0.5 * xx, xy, 0.5 * yy), select(opacity > 0.0, -one / opacity, 0.0)


@traced
def added(x: Value, y: Value) -> Value:
    """x + y."""
    return x + y
