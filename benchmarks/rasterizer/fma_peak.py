"""Measures a core's peak of float32 operations per second, by fused multiply-adds."""

import operator
import time
from functools import reduce

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gs_esd.render.cpu.jit.simd import LANES, load, store
from gs_esd.render.cpu.jit.threads import run_parts
from gs_esd.render.cpu.jit.tracing import Value, Values, fma, traced

ACCUMULATORS = 12  # a result takes 4 or 5 cycles and two start in each, so 10 keep a core busy
STEPS = 10_000_000
TRIALS = 7


def measure_peak() -> float:
    """Peak of one thread in operations per second; the best of TRIALS."""
    spin(1)  # compiles
    seconds = []
    for _ in range(TRIALS):
        started = time.process_time()
        spin(1)
        seconds.append(time.process_time() - started)
    return 2 * LANES * ACCUMULATORS * STEPS / min(seconds)


def spin(items: int) -> None:
    """Do `items` pieces of arithmetic, in parallel if there are threads."""

    def work(part: int, parts: int) -> None:
        for _ in range(part, items, parts):
            _multiply_and_add(STEPS, np.ones(LANES, np.float32))

    run_parts(work, items)


@njit(nogil=True)
def _multiply_and_add(steps: int, numbers: NDArray[np.float32]) -> None:
    """steps × ACCUMULATORS fused operations on an argument, which cannot be optimised away."""
    x = load(numbers, 0)
    sums: Values = (x, x, x, x, x, x, x, x, x, x, x, x)
    for _ in range(steps):
        sums = _next(sums, x)
    store(numbers, 0, _total(sums))


@traced
def _next(sums: Values, x: Value) -> Values:
    """Each sum times x, plus x."""
    return tuple(fma(total, x, x) for total in sums)


@traced
def _total(sums: Values) -> Value:
    """The sum of all accumulators."""
    return reduce(operator.add, sums)
