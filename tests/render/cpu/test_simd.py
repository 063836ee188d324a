"""Vector intrinsics: loads, stores, sums, masks and the exponential."""

import numpy as np
import pytest
from numba import njit

from gs_esd.render.cpu.blending_maths import TABLES, exp_minus
from gs_esd.render.cpu.jit.pixels import load_pixels, store_pixels
from gs_esd.render.cpu.jit.simd import (
    align_stack,
    any_lane,
    eight_sums,
    lane_bits,
    lane_numbers,
    lane_sum,
    load,
    load_filled,
    splat,
    store,
    trailing_zeros,
)
from gs_esd.render.cpu.jit.tracing import Value, Values, traced

RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=64).astype(np.float32)


@traced
def above(x: Value, y: Value) -> Value:
    return x > y


@traced
def decayed(s: Value, constants: Values) -> Value:
    return exp_minus(s, constants[:6])


@njit
def loads_and_stores(numbers, out):
    store(out, 0, load(numbers, 3))
    for k, filled in enumerate(load_filled(numbers, 5, 2)):
        store(out, 8 + 8 * k, filled)
    store(out, 24, splat(np.float32(7)))
    store(out, 32, lane_numbers())


@njit
def bits_above(numbers, threshold):
    chosen = above(load(numbers, 0), splat(threshold))
    return lane_bits(chosen), any_lane(chosen)


@njit
def lowest_bit(bits):
    return trailing_zeros(bits)


@njit
def sums(numbers, out):
    vectors = (
        load(numbers, 0), load(numbers, 8), load(numbers, 16), load(numbers, 24),
        load(numbers, 32), load(numbers, 40), load(numbers, 48), load(numbers, 56),
    )  # fmt: skip
    store(out, 0, eight_sums(*vectors))
    for k in range(8):
        out[8 + k] = lane_sum(load(numbers, 8 * k))


@njit
def copy_pixels(source, target, first, row_step, step, columns, rows):
    store_pixels(target, first, row_step, step, columns, rows,
                 load_pixels(source, first, row_step, step, columns, rows))  # fmt: skip


@njit
def read_pixels(source, first, row_step, step, columns, rows, out):
    store(out, 0, load_pixels(source, first, row_step, step, columns, rows))


@njit
def decay(x, constants, out):
    for i in range(0, len(x), 8):
        store(out, i, decayed(load(x, i), load_filled(constants, 0, 10)))


def test_loads_and_stores() -> None:
    out = np.zeros(40, np.float32)
    loads_and_stores(NUMBERS, out)
    expected = [NUMBERS[3:11], NUMBERS[[5] * 8], NUMBERS[[6] * 8], [7] * 8, range(8)]
    np.testing.assert_array_equal(out, np.concatenate([np.float32(row) for row in expected]))


def test_masks_are_bits() -> None:
    expected = sum(1 << lane for lane in range(8) if NUMBERS[lane] > 0.25)
    assert bits_above(NUMBERS, np.float32(0.25)) == (expected, True)
    assert bits_above(NUMBERS, np.float32(9)) == (0, False)


@pytest.mark.parametrize("bit", [0, 1, 17, 31])
def test_lowest_bit(bit: int) -> None:
    assert lowest_bit((1 << bit) | (1 << 31)) == bit


def test_sums_of_lanes_have_a_fixed_order() -> None:
    out = np.zeros(16, np.float32)
    sums(NUMBERS, out)
    rows = NUMBERS.reshape(8, 8)
    halves = rows[:, :4] + rows[:, 4:]
    quarters = halves[:, :2] + halves[:, 2:]
    expected = quarters[:, 0] + quarters[:, 1]
    np.testing.assert_array_equal(out, np.concatenate([expected, expected]))


@pytest.mark.parametrize(("columns", "rows"), [(4, 2), (9, 9), (1, 1), (3, 2), (2, 1)])
def test_pixels_beyond_the_image(columns: int, rows: int) -> None:
    width, channels = 6, 3
    source = RNG.normal(size=(5, width, channels)).astype(np.float32)
    target, first = np.zeros_like(source), 1 * width * channels + 1 * channels + 2
    copy_pixels(source, target, first, width * channels, channels, columns, rows)
    expected = np.zeros_like(source)
    block = slice(1, 1 + min(rows, 2)), slice(1, 1 + min(columns, 4)), 2
    expected[block] = source[block]
    np.testing.assert_array_equal(target, expected)
    out = np.zeros(8, np.float32)
    read_pixels(source, first, width * channels, channels, columns, rows, out)
    padding = (0, 2 - min(rows, 2)), (0, 4 - min(columns, 4))
    np.testing.assert_array_equal(out.reshape(2, 4), np.pad(source[block], padding, mode="edge"))


def test_accuracy_of_the_exponential() -> None:
    x = np.linspace(0, 5.6, 8000, dtype=np.float32)
    out = np.empty_like(x)
    decay(x, TABLES.constants, out)
    np.testing.assert_allclose(out, np.exp(-x.astype(np.float64)), rtol=2.5e-6)


@njit
def aligned():
    align_stack()


def test_stack_alignment() -> None:
    aligned()
    (code,) = aligned.inspect_llvm().values()
    assert "alignstack(64)" in code
