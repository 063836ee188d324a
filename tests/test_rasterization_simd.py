"""Vectors of eight lanes do what numpy does."""

import numpy as np
import pytest
from numba import njit

from gs_esd.render.blending_maths import exp_minus
from gs_esd.render.simd import (
    absolute,
    any_lane,
    fma,
    lane_numbers,
    lane_sum,
    load,
    minimum,
    select,
    splat,
    store,
)

RNG = np.random.default_rng(0)
X, Y, Z = RNG.normal(size=(3, 8)).astype(np.float32)


@njit
def arithmetic(x, y, z, out):
    a, b, c = load(x, 0), load(y, 0), load(z, 0)
    store(out, 0, a + b)
    store(out, 8, a - 2.0 * b)
    store(out, 16, a * b / (1 + absolute(c)))
    store(out, 24, fma(a, b, c))
    store(out, 32, minimum(a, 0.25))
    store(out, 40, select((a > b) & (b <= c), a, splat(7)))
    store(out, 48, lane_numbers())
    return any_lane(a > 100.0), any_lane(a <= 100.0)


@njit
def total(x):
    return lane_sum(load(x, 0))


@njit
def decay(x, out):
    for i in range(0, len(x), 8):
        store(out, i, exp_minus(load(x, i)))


def test_operations() -> None:
    out = np.zeros((7, 8), np.float32)
    assert arithmetic(X, Y, Z, out.reshape(-1)) == (False, True)
    expected = [
        X + Y,
        X - 2 * Y,
        X * Y / (1 + np.abs(Z)),
        X.astype(np.float64) * Y + Z,
        np.minimum(X, 0.25),
        np.where((X > Y) & (Y <= Z), X, 7),
        np.arange(8),
    ]
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6)


def test_sum_of_lanes_has_a_fixed_order() -> None:
    halves = X[:4] + X[4:]
    quarters = halves[:2] + halves[2:]
    assert total(X) == quarters[0] + quarters[1]
    assert total(X.astype(np.float32)) == pytest.approx(float(X.sum()), rel=1e-5)


def test_exponential_is_accurate_where_it_is_used() -> None:
    x = np.linspace(0, 5.6, 8000, dtype=np.float32)
    out = np.empty_like(x)
    decay(x, out)
    np.testing.assert_allclose(out, np.exp(-x.astype(np.float64)), rtol=2.5e-6)
