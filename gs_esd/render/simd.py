"""Eight float32 lanes at once, as a number type for numba kernels.

numba does not vectorise the blending loops by itself: it must allow for negative indices and for
overlapping arrays. So they are written with vectors: `load` eight neighbours of an array, calculate
with + - * / and comparisons, `select`, `store`. Numbers mix in and fill all lanes. LLVM maps a
vector onto what the processor has: one AVX register, two SSE or NEON registers.

Rounding depends only on the operations written down, never on how the loop around them is compiled:
the one fused operation is `fma`. The backward kernels rely on that when they repeat the decisions
of the forward kernels.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typeconv import Conversion
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, lower_cast, models, register_model

LANES = 8

_VECTOR_IR = ir.VectorType(ir.FloatType(), LANES)
_MASK_IR = ir.VectorType(ir.IntType(1), LANES)


class Vector(types.Type):
    """Eight float32 lanes. Real numbers convert to it by filling all lanes."""

    def __init__(self) -> None:
        super().__init__(name="float32x8")

    def can_convert_from(self, typingctx: Any, other: types.Type) -> Conversion | None:
        """Let numba accept a number where a vector is expected."""
        return Conversion.safe if isinstance(other, types.Number) else None


class Mask(types.Type):
    """Eight booleans."""

    def __init__(self) -> None:
        super().__init__(name="boolx8")


vector = Vector()
mask = Mask()


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: types.Type) -> None:
        super().__init__(manager, fe_type, _VECTOR_IR)


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: types.Type) -> None:
        super().__init__(manager, fe_type, _MASK_IR)


def _splat(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """All lanes equal to a float32."""
    one_lane = builder.insert_element(
        ir.Constant(_VECTOR_IR, ir.Undefined), value, ir.IntType(32)(0)
    )
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one_lane, one_lane, lanes)


@lower_cast(types.Number, Vector)
def _number_to_vector(
    context: Any, builder: Any, fromty: types.Type, toty: types.Type, value: Any
) -> Any:
    return _splat(builder, context.cast(builder, value, fromty, types.float32))


def _define_operator(
    function: Callable[..., Any],
    operand: types.Type,
    result: types.Type,
    emit: Callable[..., ir.Value],
) -> None:
    """Give a Python operator a meaning for two vectors, a vector and a number, or two masks."""

    class Template(AbstractTemplate):
        def generic(self, args: tuple[types.Type, ...], kws: dict[str, types.Type]) -> Any:
            fits = all(
                arg == operand or (operand == vector and isinstance(arg, types.Number))
                for arg in args
            )
            if operand in args and fits:
                return signature(result, operand, operand)
            return None

    def lower(
        context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]
    ) -> ir.Value:
        return emit(builder, *args)

    infer_global(function)(Template)
    lower_builtin(function, operand, operand)(lower)


_define_operator(operator.add, vector, vector, ir.IRBuilder.fadd)
_define_operator(operator.sub, vector, vector, ir.IRBuilder.fsub)
_define_operator(operator.mul, vector, vector, ir.IRBuilder.fmul)
_define_operator(operator.truediv, vector, vector, ir.IRBuilder.fdiv)
_define_operator(operator.gt, vector, mask, lambda b, x, y: b.fcmp_ordered(">", x, y))
_define_operator(operator.le, vector, mask, lambda b, x, y: b.fcmp_ordered("<=", x, y))
_define_operator(operator.and_, mask, mask, ir.IRBuilder.and_)


def _element_pointer(
    context: Any, builder: Any, array_type: Any, array: Any, index: Any
) -> ir.Value:
    """Address of an element of a contiguous float32 array, as that of a vector."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR_IR.as_pointer())


@intrinsic
def load(typingctx: Any, array: types.Type, index: types.Type) -> Any:
    """The eight elements of a contiguous float32 array from a flat, non-negative index on."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        return builder.load(_element_pointer(context, builder, sig.args[0], *args), align=4)

    return signature(vector, array, types.intp), emit


@intrinsic
def store(typingctx: Any, array: types.Type, index: types.Type, value: types.Type) -> Any:
    """Write eight elements of a contiguous float32 array from a flat, non-negative index on."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        pointer = _element_pointer(context, builder, sig.args[0], *args[:2])
        builder.store(args[2], pointer, align=4)
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, vector), emit


@intrinsic
def splat(typingctx: Any, value: types.Type) -> Any:
    """A number in all lanes."""
    return signature(vector, vector), lambda context, builder, sig, args: args[0]


@intrinsic
def lane_numbers(typingctx: Any) -> Any:
    """0, 1, ..., 7."""
    numbers = ir.Constant(_VECTOR_IR, [float(lane) for lane in range(LANES)])
    return signature(vector), lambda context, builder, sig, args: numbers


@intrinsic
def fma(typingctx: Any, x: types.Type, y: types.Type, z: types.Type) -> Any:
    """x * y + z, rounded once where the processor can do so quickly."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        kind = ir.FunctionType(_VECTOR_IR, [_VECTOR_IR] * 3)
        name = f"llvm.fmuladd.v{LANES}f32"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)

    return signature(vector, vector, vector, vector), emit


@intrinsic
def minimum(typingctx: Any, x: types.Type, y: types.Type) -> Any:
    """The smaller of each pair of lanes."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        return builder.select(builder.fcmp_ordered("<", *args), *args)

    return signature(vector, vector, vector), emit


@intrinsic
def absolute(typingctx: Any, x: types.Type) -> Any:
    """The magnitude of each lane."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        kind = ir.FunctionType(_VECTOR_IR, [_VECTOR_IR])
        name = f"llvm.fabs.v{LANES}f32"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)

    return signature(vector, vector), emit


@intrinsic
def select(typingctx: Any, chosen: types.Type, x: types.Type, y: types.Type) -> Any:
    """Lanes of x where chosen, of y elsewhere."""
    return signature(
        vector, mask, vector, vector
    ), lambda context, builder, sig, args: builder.select(*args)


@intrinsic
def any_lane(typingctx: Any, chosen: types.Type) -> Any:
    """Whether any lane is true."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        bits = builder.bitcast(args[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, bits.type(0))

    return signature(types.boolean, mask), emit


@intrinsic
def lane_sum(typingctx: Any, x: types.Type) -> Any:
    """The sum of all lanes, always in the same order: halves, quarters, eighths."""

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
