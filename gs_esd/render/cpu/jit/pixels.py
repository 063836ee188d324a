"""Loads and stores of blocks of 4 × 2 pixels of an image as vectors of eight lanes."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from gs_esd.render.cpu.jit.simd import LANES, VECTOR_IR, vector

BLOCK_WIDTH, BLOCK_HEIGHT = 4, 2


@intrinsic
def load_pixels(
    typingctx: Any,
    array: types.Type,
    first: types.Type,
    row_step: types.Type,
    step: types.Type,
    columns: types.Type,
    rows: types.Type,
) -> Any:
    """Load one channel of 4 × 2 pixels; lanes beyond the image repeat a pixel at its edge.

    `first` is the flat index of the first pixel in a contiguous float32 array, `step` the distance
    to the next pixel and `row_step` to the next row. columns and rows, at least 1, are the pixels
    that lie inside the image, counted from the first.
    """

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        pixels = ir.Constant(VECTOR_IR, ir.Undefined)
        for lane, pointer in enumerate(_pixel_pointers(context, builder, sig, args)):
            pixels = builder.insert_element(pixels, builder.load(pointer), ir.IntType(32)(lane))
        return pixels

    return signature(vector, array, *[types.intp] * 5), emit


@intrinsic
def store_pixels(
    typingctx: Any,
    array: types.Type,
    first: types.Type,
    row_step: types.Type,
    step: types.Type,
    columns: types.Type,
    rows: types.Type,
    pixels: types.Type,
) -> Any:
    """Store one channel of 4 × 2 pixels where `load_pixels` reads it, nothing beyond the image."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        pointers = _pixel_pointers(context, builder, sig, args)
        # Lanes beyond the image point at its edge. In reverse order, the pixel there is last.
        for lane in reversed(range(LANES)):
            builder.store(builder.extract_element(args[6], ir.IntType(32)(lane)), pointers[lane])
        return context.get_dummy_value()

    return signature(types.void, array, *[types.intp] * 5, vector), emit


def _pixel_pointers(
    context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]
) -> list[ir.Value]:
    """Addresses of the pixels of a block, clamped to the image."""
    array, first, row_step, step, columns, rows = args[:6]
    data, long = context.make_array(sig.args[0])(context, builder, array).data, ir.IntType(64)

    def steps(count: int, inside: ir.Value, step: ir.Value) -> list[ir.Value]:
        last = builder.sub(inside, long(1))
        numbers = (
            builder.select(builder.icmp_signed("<", long(i), last), long(i), last)
            for i in range(count)
        )
        return [builder.mul(number, step) for number in numbers]

    along, down = steps(BLOCK_WIDTH, columns, step), steps(BLOCK_HEIGHT, rows, row_step)
    return [builder.gep(data, [builder.add(first, builder.add(y, x))]) for y in down for x in along]
