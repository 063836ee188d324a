"""The kernels in C (kernels.c), compiled if a compiler is found, in place of the numba kernels.

    kernels = c_kernels()
    if kernels is not None:
        with kernels:
            image, alphas, info = rasterization(...)  # compute gradients in the block, too

C gets its constants from the numba kernels, and computes the same bits with the flags below. A call
by ctypes takes about 10 µs more than a call of a numba kernel; an image with gradients has eight.
"""

import ctypes
import shutil
import subprocess
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from gs_esd.render.cpu import (
    blending,
    blending_maths,
    projection,
    projection_kernels,
    reference,
    tiles,
)
from gs_esd.render.cpu.blending_backward import Scratch
from gs_esd.render.cpu.blending_forward import Canvas
from gs_esd.render.cpu.blending_maths import Flag, Tables
from gs_esd.render.cpu.jit.arrays import BitArray, DoubleArray, FloatArray, IntArray, LongArray
from gs_esd.render.cpu.projection_kernels import Limits
from gs_esd.render.cpu.tiles import Grid, Splats, TileLists

SOURCE = Path(__file__).with_name("kernels.c")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = (
    "-std=c11",
    "-O3",
    "-march=native",
    "-ffp-contract=off",  # else the backward pass could decide differently from the forward pass
    "-fno-math-errno",  # makes a square root one instruction
    "-shared",
    "-fPIC",
)
CONSTANTS = {
    "TILE": tiles.TILE,
    "TILES_CHUNK": tiles.CHUNK,
    "TILES_AHEAD": tiles.PREFETCH_DISTANCE,
    "DIGIT_BITS": tiles.DIGIT_BITS,
    "EXTENT_SLACK": tiles.EXTENT_SLACK,
    "S_MAX": tiles.S_MAX,
    "MARGIN": blending_maths.MARGIN,
    "CHECK_EVERY": blending_maths.CHECK_EVERY,
    "BLENDING_AHEAD": blending_maths.PREFETCH_DISTANCE,
    "PROJECTION_CHUNK": projection_kernels.CHUNK,
    "ALPHA_MIN": reference.ALPHA_MIN,
    "MAX_SIGMAS": reference.MAX_SIGMAS,
    "FLOAT32_MAX": reference.FLOAT32_MAX,
    "RADIUS_LIMIT": reference.RADIUS_LIMIT,
}

_Address = ctypes.c_char * 0


def c_kernels() -> AbstractContextManager[None] | None:
    """A reusable context manager in which the rasterizer runs on C; None without a compiler."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    return _Patched(_Kernels(build(compiler))) if compiler else None


def build(compiler: str) -> ctypes.CDLL:
    """Compile and load the kernels."""
    constants = [f"-D{name}={value!r}" for name, value in CONSTANTS.items()]
    with TemporaryDirectory() as folder:
        library = Path(folder) / "rasterizer_kernels.so"
        command = [compiler, *FLAGS, *constants, str(SOURCE), "-o", str(library), "-lm"]
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(library))


class _Patched(AbstractContextManager[None]):
    """Replaces the numba kernels by C wherever they are called."""

    def __init__(self, kernels: "_Kernels") -> None:
        self._patches = [
            patch.multiple(
                projection,
                project_forward=kernels.project_forward,
                project_backward=kernels.project_backward,
            ),
            patch.multiple(
                tiles, _measure=kernels.measure, _sort=kernels.sort, _distribute=kernels.deal
            ),
            patch.multiple(
                blending,
                blend_forward=kernels.blend_forward,
                blend_backward=kernels.blend_backward,
                sum_visits=kernels.sum_visits,
            ),
        ]

    def __enter__(self) -> None:
        with ExitStack() as stack:
            for replacement in self._patches:
                stack.enter_context(replacement)
            self._entered = stack.pop_all()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered.close()


class _Kernels:
    """The C functions behind the signatures of the numba kernels."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def _call(self, name: str, sizes: tuple[int, ...], *arrays: NDArray[Any]) -> None:
        """Call a function, all of whose sizes come before its arrays."""
        function = _function(self._library, name, len(sizes), len(arrays))
        # The quickest way to an array's address, and one that insists on contiguous memory.
        function(*sizes, *[_Address.from_buffer(array.data) for array in arrays])

    def project_forward(
        self,
        part: int,
        parts: int,
        means: FloatArray,
        quats: FloatArray,
        scales: FloatArray,
        opacities: FloatArray,
        cameras: DoubleArray,
        limits: Limits,
        *outputs: NDArray[Any],
    ) -> None:
        sizes, numbers = (part, parts, len(means), len(cameras)), np.array(limits, np.float64)
        inputs = means, quats, scales, opacities
        self._call("project_forward", sizes, *inputs, cameras, numbers, *outputs)

    def project_backward(
        self,
        part: int,
        parts: int,
        means: FloatArray,
        quats: FloatArray,
        scales: FloatArray,
        cameras: DoubleArray,
        limits: Limits,
        *gradients: NDArray[Any],
    ) -> None:
        *_, v_views = gradients
        sizes = part, parts, len(means), len(cameras), len(v_views) > 0
        inputs, numbers = (means, quats, scales), np.array(limits, np.float64)
        self._call("project_backward", sizes, *inputs, cameras, numbers, *gradients)

    def measure(
        self,
        part: int,
        parts: int,
        grid: Grid,
        splats: Splats,
        radii: IntArray,
        shapes: FloatArray,
        boxes: IntArray,
        counts: LongArray,
    ) -> None:
        _, chunks, tiles = counts.shape
        sizes = *splats.colors.shape, chunks, grid.width, grid.height, grid.columns, tiles
        self._call("measure", (part, parts, *sizes), *splats, radii, shapes, boxes, counts)

    def sort(
        self,
        part: int,
        parts: int,
        depths: IntArray,
        radii: IntArray,
        scratch: tuple[LongArray, LongArray, LongArray],
        order: IntArray,
        drawn: LongArray,
    ) -> None:
        sizes = part, parts, *depths.shape
        self._call("sort", sizes, depths, radii, *scratch, order, drawn)

    def deal(
        self,
        first_row: int,
        end_row: int,
        grid: Grid,
        boxes: IntArray,
        order: IntArray,
        drawn: LongArray,
        cursors: LongArray,
        members: IntArray,
    ) -> None:
        sizes = first_row, end_row, *order.shape, grid.columns, grid.rows
        self._call("deal", sizes, boxes, order, drawn, cursors, members)

    def blend_forward(
        self,
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
        sizes = part, parts, *colors.shape[1:], grid.width, grid.height, len(lists.work_order)
        inputs = *lists, *tables, *canvas, colors, backgrounds
        self._call("blend_forward", sizes, *inputs, image, alphas, visited)

    def blend_backward(
        self,
        part: int,
        parts: int,
        grid: Grid,
        lists: TileLists,
        tables: Tables,
        scratch: Scratch,
        colors: FloatArray,
        image: FloatArray,
        alphas: FloatArray,
        v_image: FloatArray,
        v_alphas: FloatArray,
        visited: BitArray,
        more: Flag,
        absgrad: Flag,
        rows_of_sums: FloatArray,
    ) -> None:
        sizes = part, parts, *colors.shape[1:], grid.width, grid.height, len(lists.work_order)
        sizes += rows_of_sums.shape[1], absgrad is not None
        inputs = *lists, *tables, *scratch, colors, image, alphas, v_image, v_alphas
        self._call("blend_backward", sizes, *inputs, visited, rows_of_sums)

    def sum_visits(
        self,
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
        C, N, channels = splats.colors.shape
        tiles, length = len(lists.work_order) // C, rows_of_sums.shape[1]
        sizes = part, parts, C, N, channels, tiles, length, absgrad is not None
        inputs = *lists[:3], visited, rows_of_sums, splats.conics, splats.opacities
        self._call("sum_visits", sizes, *inputs, chosen, totals, *v_splats, v_absolute)


@cache
def _function(library: ctypes.CDLL, name: str, sizes: int, arrays: int) -> Any:
    """A function that takes so many sizes, then so many arrays."""
    function = library[name]
    function.argtypes = [*sizes * [ctypes.c_int64], *arrays * [ctypes.c_void_p]]
    function.restype = None
    return function
