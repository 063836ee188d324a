"""Traced formulas agree with numpy, and loads and stores of rows with indexing."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from numba import njit

from gs_esd.render.cpu.jit.rows import (
    add_vectors,
    first_lanes,
    load_block,
    load_doubles,
    load_row,
    load_rows,
    load_vectors,
    store_block,
    store_rows,
    store_vectors,
)
from gs_esd.render.cpu.jit.simd import any_lane
from gs_esd.render.cpu.jit.tracing import (
    Value,
    ceil,
    double,
    filled_like,
    fma,
    log,
    maximum,
    minimum,
    select,
    sqrt,
    traced,
)

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(8, 3)).astype(np.float32)


class Options(NamedTuple):
    """A named tuple as a kernel's argument."""

    offset: float
    negated: bool


@traced
def arithmetic(columns: tuple[Value, Value, Value], options: Any) -> tuple[Value, ...]:
    a, b, c = columns
    signed = select(options.negated, -a, a)
    return (
        1 + a - 2 * b / (3 - c),
        sqrt(c * c) + options.offset,
        fma(a, b, c),
        minimum(maximum(a, b), 0.25),
        select((a > b) & (b <= c) | (a < -1.0), signed, 7.0),
        ceil(a) + filled_like(b, 0.5),
    )


@traced
def third(x: Value) -> Value:
    return x / 3


@traced
def logarithm(columns: tuple[Value]) -> tuple[Value]:
    return (log(columns[0]),)


@traced
def nested(a: Value, row: tuple[Value, Value]) -> tuple[Value, tuple[tuple[Value], Value]]:
    return a * row[0], ((a * row[1],), a >= 0.0)


@njit
def run_arithmetic(rows, options, out):
    store_rows(out, 0, 7, arithmetic(load_rows(rows, 3, 0, 7), options))


@njit
def run_arithmetic_in_double(rows, options, out):
    store_rows(out, 0, 7, arithmetic(load_doubles(rows, 3, 0, 7), options))


@njit
def run_third(x):
    return third(np.float32(x)), third(x)


@njit
def run_logarithm(rows, out):
    for row in range(0, len(rows), 8):
        add_vectors(out, row // 8, logarithm(load_doubles(rows, 1, row, len(rows) - 1)))


@njit
def run_nested(rows, pair, out):
    (a,) = load_rows(rows, 1, 0, 7)
    first, ((second,), positive) = nested(a, load_row(pair, 2, 1))
    store_rows(out, 0, 7, (first, second))
    return any_lane(positive)


@pytest.mark.parametrize("kernel", [run_arithmetic, run_arithmetic_in_double])
def test_operations(kernel: Any) -> None:
    a, b, c = ROWS.astype(np.float64).T
    for options in (Options(0.125, False), Options(4.0, True)):
        out = np.zeros((8, 6), np.float32)
        kernel(ROWS, options, out)
        expected = [
            1 + a - 2 * b / (3 - c),
            np.abs(c) + options.offset,
            a * b + c,
            np.minimum(np.maximum(a, b), 0.25),
            np.where((a > b) & (b <= c) | (a < -1), -a if options.negated else a, 7),
            np.ceil(a) + 0.5,
        ]
        np.testing.assert_allclose(out.T, expected, rtol=2e-6, atol=1e-6)


def test_precision_of_scalars() -> None:
    assert run_third(1.0) == (np.float32(1) / np.float32(3), 1 / 3)


def test_nested_tuples() -> None:
    out = np.zeros((8, 2), np.float32)
    pair = np.array([[1.0, 1.0], [2.0, -4.0]])
    assert run_nested(ROWS[:, :1].copy(), pair, out)
    assert not run_nested(-np.abs(ROWS[:, :1]), pair, np.zeros_like(out))
    np.testing.assert_array_equal(out, ROWS[:, :1] * pair[1])


def test_traced_functions_can_be_called_from_python() -> None:
    assert third(6.0) == 2.0  # type: ignore[arg-type]


def test_conversion_to_float64() -> None:
    @traced
    def tenth(x: Value) -> Value:
        return double(x) / 10

    @njit
    def run(x):
        return tenth(x)

    assert run(np.float32(1)) == 0.1


def test_accuracy_of_the_logarithm() -> None:
    x = np.exp(np.linspace(-80, 80, 4096)).astype(np.float32)[:, None]
    x[:4, 0] = (1.0, np.nextafter(np.float32(1), np.float32(2)), 2**-0.5, 2**0.5)
    out = np.zeros((512, 8))
    run_logarithm(x, out)
    expected = np.log(x.astype(np.float64)).reshape(512, 8)
    np.testing.assert_allclose(out, expected, rtol=1e-13)


@njit
def double_rows(rows, numbers, flags, out_rows, out_numbers, out_flags):
    last = len(rows) - 1
    for g in range(0, len(rows), 8):
        store_rows(out_rows, g, last, load_doubles(rows, 3, g, last))
        store_rows(out_numbers, g, last, load_rows(numbers, 2, g, last))
        store_rows(out_flags, g, last, load_rows(flags, 1, g, last))


@njit
def move_blocks(rows, vectors, out):
    last = len(rows) - 1
    for g in range(0, len(rows), 8):
        for column in (0, 3):
            store_vectors(vectors, 0, load_block(rows, column, g, last))
            store_block(out, column, g, last, load_vectors(vectors, 8, 0))
    return vectors


@njit
def choose_first(count, ones, out):
    for n in range(count):
        chosen = first_lanes(n)
        store_rows(out[n], 0, 7, _chosen(chosen, load_rows(ones, 1, 0, 7)))


@traced
def _chosen(chosen: Value, ones: tuple[Value]) -> tuple[Value]:
    return (select(chosen, ones[0], 0.0),)


@pytest.mark.parametrize("N", [1, 2, 7, 8, 9, 16, 23])
def test_rows_of_any_number(N: int) -> None:
    rows, flags = RNG.normal(size=(N, 3)).astype(np.float32), RNG.random((N, 1)) > 0.5
    numbers = RNG.integers(-9, 9, size=(N, 2)).astype(np.int32)
    inputs = (rows, numbers, flags)
    outputs = [np.full((N + 1, a.shape[1]), 99, a.dtype) for a in (rows, numbers, rows[:, :1])]
    double_rows(*inputs, *(a[:N] for a in outputs))
    for given, out in zip(inputs, outputs, strict=True):
        np.testing.assert_array_equal(out[:N], given)
        assert (out[N] == 99).all()


@pytest.mark.parametrize("N", [1, 8, 13])
def test_blocks_are_transposed_both_ways(N: int) -> None:
    rows = RNG.normal(size=(N, 11)).astype(np.float32)
    out = np.zeros((N + 1, 11), np.float32)
    vectors = move_blocks(rows, np.zeros((8, 8), np.float32), out[:N])
    np.testing.assert_array_equal(out[:N], rows)
    assert (out[N] == 0).all()
    first = (N - 1) // 8 * 8
    repeated = rows[np.minimum(np.arange(first, first + 8), N - 1)]
    np.testing.assert_array_equal(vectors, repeated[:, 3:].T)


def test_first_lanes() -> None:
    out = np.zeros((10, 8, 1), np.float32)
    choose_first(10, np.ones((8, 1), np.float32), out)
    np.testing.assert_array_equal(out[:, :, 0], np.arange(8) < np.arange(10)[:, None])
