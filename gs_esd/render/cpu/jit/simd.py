"""Explicit SIMD for numba kernels: types of eight-lane vectors, their loads and stores.

LLVM does not vectorise the blending loops by itself: it must allow for negative indices and for
aliasing arrays. So they are written with vectors: loads and stores are here, arithmetic is in
traced functions (see `tracing.py`). LLVM maps a vector to the registers of the processor: one AVX
register, or two SSE or NEON registers.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic, models, register_model

LANES = 8

VECTOR_IR = ir.VectorType(ir.FloatType(), LANES)
DOUBLES_IR = ir.VectorType(ir.DoubleType(), LANES)
MASK_IR = ir.VectorType(ir.IntType(1), LANES)


class Vector(types.Type):
    """Eight float32 lanes."""

    def __init__(self) -> None:
        super().__init__(name="float32x8")


class Doubles(types.Type):
    """Eight float64 lanes."""

    def __init__(self) -> None:
        super().__init__(name="float64x8")


class Mask(types.Type):
    """Eight booleans."""

    def __init__(self) -> None:
        super().__init__(name="boolx8")


vector = Vector()
doubles = Doubles()
mask = Mask()


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: types.Type) -> None:
        super().__init__(manager, fe_type, VECTOR_IR)


@register_model(Doubles)
class _DoublesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: types.Type) -> None:
        super().__init__(manager, fe_type, DOUBLES_IR)


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: types.Type) -> None:
        super().__init__(manager, fe_type, MASK_IR)


def fill_lanes(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Emit the broadcast of a scalar to all lanes."""
    lane = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    lane = builder.insert_element(lane, value, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(lane, lane, lanes)


def _element_pointer(
    context: Any, builder: Any, array_type: Any, array: Any, index: Any
) -> ir.Value:
    """Address of an element of a contiguous float32 array, as a pointer to a vector."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), VECTOR_IR.as_pointer())


@intrinsic
def load(typingctx: Any, array: types.Type, index: types.Type) -> Any:
    """Load eight elements of a contiguous float32 array, from a flat, non-negative index on."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        return builder.load(_element_pointer(context, builder, sig.args[0], *args), align=4)

    return signature(vector, array, types.intp), emit


@intrinsic
def store(typingctx: Any, array: types.Type, index: types.Type, value: types.Type) -> Any:
    """Store eight elements of a contiguous float32 array, from a flat, non-negative index on."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        pointer = _element_pointer(context, builder, sig.args[0], *args[:2])
        builder.store(args[2], pointer, align=4)
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, vector), emit


@intrinsic
def splat(typingctx: Any, value: types.Type) -> Any:
    """Broadcast a float32 number to all lanes."""
    return signature(vector, types.float32), lambda context, builder, sig, args: fill_lanes(
        builder, args[0]
    )


@intrinsic
def lane_numbers(typingctx: Any) -> Any:
    """The vector 0, 1, ..., 7."""
    numbers = ir.Constant(VECTOR_IR, [float(lane) for lane in range(LANES)])
    return signature(vector), lambda context, builder, sig, args: numbers


@intrinsic
def any_lane(typingctx: Any, chosen: types.Type) -> Any:
    """Whether any lane is true."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        bits = builder.bitcast(args[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, bits.type(0))

    return signature(types.boolean, mask), emit


@intrinsic
def lane_sum(typingctx: Any, x: types.Type) -> Any:
    """The sum of all lanes, in a fixed order: halves, quarters, eighths."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        total, half = args[0], LANES // 2
        while half:
            order = ir.Constant(
                ir.VectorType(ir.IntType(32), LANES), [lane % half + half for lane in range(LANES)]
            )
            total = builder.fadd(total, builder.shuffle_vector(total, total, order))
            half //= 2
        return builder.extract_element(total, ir.IntType(32)(0))

    return signature(types.float32, vector), emit


@intrinsic(prefer_literal=True)
def load_filled(typingctx: Any, array: types.Type, index: types.Type, count: types.Type) -> Any:
    """A tuple of `count` elements of a contiguous float32 array, each broadcast to a vector."""
    numbers = range(count.literal_value)

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        data = context.make_array(array)(context, builder, args[0]).data
        places = [builder.add(args[1], ir.IntType(64)(k)) for k in numbers]
        vectors = [
            fill_lanes(builder, builder.load(builder.gep(data, [place]))) for place in places
        ]
        return context.make_tuple(builder, sig.return_type, vectors)

    result = types.UniTuple(vector, len(numbers))
    return signature(result, array, types.intp, count), emit


@intrinsic
def align_stack(typingctx: Any) -> Any:
    """Align the stack of the calling function to 64 bytes, for spilled vectors.

    numba aligns it to 16 bytes; depending on the process's addresses, spilled vectors then cross
    cache lines, and a loop takes up to 1.5 times as long. Call it in the kernel and in the
    functions it calls: either may be inlined.
    """

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        attributes = builder.function.attributes
        attributes.add("nounwind")  # true anyway; llvmlite writes no alignment for an empty set
        attributes.alignstack = 64
        return context.get_dummy_value()

    return signature(types.void), emit


@intrinsic
def prefetch(typingctx: Any, array: types.Type, index: types.Type) -> Any:
    """Prefetch the cache line of the element at a flat index, which may be out of bounds."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [pointer, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return signature(types.void, array, types.intp), emit


@intrinsic
def lane_bits(typingctx: Any, chosen: types.Type) -> Any:
    """A mask as an integer: bit i is lane i."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        return builder.zext(builder.bitcast(args[0], ir.IntType(LANES)), ir.IntType(64))

    return signature(types.int64, mask), emit


@intrinsic
def trailing_zeros(typingctx: Any, bits: types.Type) -> Any:
    """Index of the lowest set bit of a non-zero integer."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return signature(types.int64, types.int64), emit


@intrinsic
def eight_sums(
    typingctx: Any,
    a: types.Type,
    b: types.Type,
    c: types.Type,
    d: types.Type,
    e: types.Type,
    f: types.Type,
    g: types.Type,
    h: types.Type,
) -> Any:
    """A vector of the lane sums of eight vectors, each in the order of `lane_sum`."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        a, b, c, d, e, f, g, h = args
        # Only the first step crosses the 128-bit halves of a register, which is slow.
        ae, bf, cg, dh = (
            _fold(builder, x, y, [0, 1, 2, 3, 8, 9, 10, 11], 4)
            for x, y in ((a, e), (b, f), (c, g), (d, h))
        )
        ab, cd = (
            _fold(builder, x, y, [0, 1, 8, 9, 4, 5, 12, 13], 2) for x, y in ((ae, bf), (cg, dh))
        )
        return _fold(builder, ab, cd, [0, 2, 8, 10, 4, 6, 12, 14], 1)

    return signature(vector, *[vector] * 8), emit


def _fold(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, lanes: list[int], step: int) -> ir.Value:
    """For the given lanes of x and y: the lane plus the one `step` further on."""
    kind = ir.VectorType(ir.IntType(32), LANES)
    near = builder.shuffle_vector(x, y, ir.Constant(kind, lanes))
    far = builder.shuffle_vector(x, y, ir.Constant(kind, [lane + step for lane in lanes]))
    return builder.fadd(near, far)
