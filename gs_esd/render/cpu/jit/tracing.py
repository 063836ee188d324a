"""A small tracer that inlines Python functions into numba kernels as LLVM IR.

numba compiles every @njit function that a kernel calls separately, which takes a tenth of a second
however short the function is. A `traced` function avoids that. It is an ordinary Python function
that is called once, while the kernel is compiled, with placeholders for its arguments: every
operation on a `Value` appends an instruction to the kernel. Tuples, calls of further functions and
loops over constant ranges run in Python and leave no instructions.

A traced function cannot branch on a value: use `select`, or branch in the kernel.

Values are numbers (float32 or float64), booleans, or vectors of eight of one kind (see `simd.py`).
Where kinds are mixed, a Python number takes the other operand's kind, a scalar is broadcast to the
vector's lanes and kind, and otherwise float32 is promoted to float64. Every operation rounds
separately, in the order in which it is written.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any, TypeVar, Union

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin

from gs_esd.render.cpu.jit.simd import (
    DOUBLES_IR,
    LANES,
    MASK_IR,
    VECTOR_IR,
    doubles,
    fill_lanes,
    mask,
    vector,
)

_BOOLEAN, _FLOAT, _DOUBLE = ir.IntType(1), ir.FloatType(), ir.DoubleType()
_KINDS = {
    types.boolean: _BOOLEAN,
    types.float32: _FLOAT,
    types.float64: _DOUBLE,
    mask: MASK_IR,
    vector: VECTOR_IR,
    doubles: DOUBLES_IR,
}

_BITS_OF_SQRT_HALF = 0x3FE6A09E667F3BCD  # as a float64, whose exponent begins at bit 52

Operand = Union["Value", float]
Values = tuple[Any, ...]  # of Value; how many depends on the function
Function = TypeVar("Function", bound=Callable[..., Any])


class Value:
    """Placeholder for a number, a boolean, or a vector of eight, that the kernel will compute."""

    def __init__(self, builder: ir.IRBuilder, llvm: ir.Value) -> None:
        self.builder, self.llvm = builder, llvm

    @property
    def element(self) -> ir.Type:
        """The type of one lane."""
        return self.llvm.type.element if self.is_vector else self.llvm.type

    @property
    def is_vector(self) -> bool:
        """Whether it is a vector of eight lanes."""
        return isinstance(self.llvm.type, ir.VectorType)

    @cached_property
    def filled(self) -> "Value":
        """The scalar broadcast to all lanes."""
        return Value(self.builder, fill_lanes(self.builder, self.llvm))

    def __add__(self, other: Operand) -> "Value":
        return _emit("fadd", self, other)

    def __radd__(self, other: float) -> "Value":
        return _emit("fadd", other, self)

    def __sub__(self, other: Operand) -> "Value":
        return _emit("fsub", self, other)

    def __rsub__(self, other: float) -> "Value":
        return _emit("fsub", other, self)

    def __mul__(self, other: Operand) -> "Value":
        return _emit("fmul", self, other)

    def __rmul__(self, other: float) -> "Value":
        return _emit("fmul", other, self)

    def __truediv__(self, other: Operand) -> "Value":
        return _emit("fdiv", self, other)

    def __rtruediv__(self, other: float) -> "Value":
        return _emit("fdiv", other, self)

    def __neg__(self) -> "Value":
        return _emit("fneg", self)

    def __lt__(self, other: Operand) -> "Value":
        return _compare("<", self, other)

    def __le__(self, other: Operand) -> "Value":
        return _compare("<=", self, other)

    def __gt__(self, other: Operand) -> "Value":
        return _compare(">", self, other)

    def __ge__(self, other: Operand) -> "Value":
        return _compare(">=", self, other)

    def __and__(self, other: "Value") -> "Value":
        return _emit("and_", self, other)

    def __or__(self, other: "Value") -> "Value":
        return _emit("or_", self, other)


def _promoted(*operands: Operand) -> list[Value]:
    """The operands converted to one common kind."""
    values = [x for x in operands if isinstance(x, Value)]
    deciding = [x for x in values if x.is_vector] or values
    element = _DOUBLE if any(x.element == _DOUBLE for x in deciding) else deciding[0].element
    promoted = []
    for x in operands:
        if not isinstance(x, Value):
            x = Value(values[0].builder, ir.Constant(element, float(x)))
        x = _converted(x, element)
        promoted.append(x.filled if deciding[0].is_vector and not x.is_vector else x)
    return promoted


def _converted(x: Value, element: ir.Type) -> Value:
    """Convert a scalar or vector between float32 and float64."""
    if x.element == element:
        return x
    kind = ir.VectorType(element, LANES) if x.is_vector else element
    convert = x.builder.fpext if element == _DOUBLE else x.builder.fptrunc
    return Value(x.builder, convert(x.llvm, kind))


def _emit(instruction: str, *operands: Operand) -> Value:
    """Append an arithmetic or logical instruction."""
    values = _promoted(*operands)
    builder = values[0].builder
    return Value(builder, getattr(builder, instruction)(*(x.llvm for x in values)))


def _compare(relation: str, x: Operand, y: Operand) -> Value:
    """Append an ordered comparison: false if either operand is NaN."""
    a, b = _promoted(x, y)
    return Value(a.builder, a.builder.fcmp_ordered(relation, a.llvm, b.llvm))


def _call(function: str, *operands: Operand) -> Value:
    """Append a call of an LLVM intrinsic, such as llvm.sqrt."""
    values = _promoted(*operands)
    builder, kind = values[0].builder, values[0].llvm.type
    suffix = (f"v{LANES}" if values[0].is_vector else "") + values[0].element.intrinsic_name
    callee = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * len(values)), f"llvm.{function}.{suffix}"
    )
    return Value(builder, builder.call(callee, [x.llvm for x in values]))


def traced(function: Function) -> Function:
    """Decorator: let kernels call a Python function of values and tuples of values."""

    class Template(AbstractTemplate):
        key = function

        def generic(self, args: tuple[types.Type, ...], kws: dict[str, types.Type]) -> Any:
            return signature(_result_type(function, args), *args)

    def lower(context: Any, builder: ir.IRBuilder, sig: Any, args: Sequence[ir.Value]) -> ir.Value:
        result = function(*_placeholders(builder, sig.args, args))
        return _assemble(context, builder, sig.return_type, result)

    infer_global(function, types.Function(Template))
    lower_builtin(function, types.VarArg(types.Any))(lower)
    return function


@cache
def _result_type(function: Callable[..., Any], kinds: tuple[types.Type, ...]) -> types.Type:
    """The numba type of a traced function's result, found by tracing it in a throw-away module."""
    ir_types = [_ir_type(kind) for kind in kinds]
    dry_run = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), ir_types), "dry_run")
    builder = ir.IRBuilder(dry_run.append_basic_block())
    return _numba_type(function(*_placeholders(builder, kinds, dry_run.args)))


def _ir_type(kind: types.Type) -> ir.Type:
    """The LLVM type of a value, or a tuple of values."""
    if isinstance(kind, types.BaseTuple):
        return ir.LiteralStructType([_ir_type(part) for part in kind])
    return _KINDS[kind]


def _numba_type(result: Any) -> types.Type:
    """The numba type of a value, or a tuple of values."""
    if isinstance(result, tuple):
        return types.BaseTuple.from_types([_numba_type(part) for part in result])
    return next(kind for kind, ir_type in _KINDS.items() if ir_type == result.llvm.type)


def _placeholders(
    builder: ir.IRBuilder, kinds: Sequence[types.Type], arguments: Sequence[ir.Value]
) -> list[Any]:
    """Values, or tuples of values, for LLVM arguments; named tuples keep their field names."""
    placeholders: list[Any] = []
    for kind, argument in zip(kinds, arguments, strict=True):
        if isinstance(kind, types.BaseTuple):
            parts = [builder.extract_value(argument, i) for i in range(len(kind))]
            make = kind.instance_class._make if hasattr(kind, "instance_class") else tuple
            placeholders.append(make(_placeholders(builder, list(kind), parts)))
        else:
            placeholders.append(Value(builder, argument))
    return placeholders


def _assemble(context: Any, builder: ir.IRBuilder, kind: types.Type, result: Any) -> ir.Value:
    """The LLVM value of a traced function's result."""
    if isinstance(result, Value):
        return result.llvm
    parts = [_assemble(context, builder, *pair) for pair in zip(kind, result, strict=True)]
    return context.make_tuple(builder, kind, parts)


def filled_like(x: Value, number: float) -> Value:
    """A constant of the kind of x, in all its lanes."""
    return _promoted(x, number)[1]


def double(x: Value) -> Value:
    """x converted to float64."""
    return _converted(x, _DOUBLE)


def fma(x: Operand, y: Operand, z: Operand) -> Value:
    """x y + z, fused (rounded once) where the processor has such an instruction."""
    return _call("fmuladd", x, y, z)


def sqrt(x: Value) -> Value:
    """The square root."""
    return _call("sqrt", x)


def absolute(x: Value) -> Value:
    """The absolute value."""
    return _call("fabs", x)


def log(x: Value) -> Value:
    """The natural logarithm of a float64 vector of positive numbers, accurate to 13 digits."""
    m, n = _mantissa_and_exponent(x)
    # ln m = 2 artanh(r), as a series up to r¹⁵.
    r = (m - 1) / (m + 1)
    series = filled_like(r, 2 / 15)
    for k in range(13, 0, -2):
        series = fma(series, r * r, 2 / k)
    return fma(r, series, n * math.log(2))


def _mantissa_and_exponent(x: Value) -> tuple[Value, Value]:
    """m in [sqrt(½), sqrt(2)) and an integer n with x = m 2ⁿ; x as for `log`."""
    builder, bits = x.builder, ir.VectorType(ir.IntType(64), LANES)
    number = builder.bitcast(x.llvm, bits)
    shift, least = ir.Constant(bits, [52] * LANES), ir.Constant(bits, [_BITS_OF_SQRT_HALF] * LANES)
    n = builder.ashr(builder.sub(number, least), shift)
    m = builder.sub(number, builder.shl(n, shift))
    n = builder.trunc(n, ir.VectorType(ir.IntType(32), LANES))
    return (
        Value(builder, builder.bitcast(m, x.llvm.type)),
        Value(builder, builder.sitofp(n, x.llvm.type)),
    )


def ceil(x: Value) -> Value:
    """Round up to an integer."""
    return _call("ceil", x)


def floor(x: Value) -> Value:
    """Round down to an integer."""
    return _call("floor", x)


def select(condition: Value, x: Operand, y: Operand) -> Value:
    """x where the condition holds, else y."""
    a, b = _promoted(x, y)
    if condition.is_vector and not a.is_vector:
        a, b = a.filled, b.filled
    return Value(a.builder, a.builder.select(condition.llvm, a.llvm, b.llvm))


def minimum(x: Operand, y: Operand) -> Value:
    """The smaller one; y if either is NaN."""
    a, b = _promoted(x, y)
    return select(a < b, a, b)


def maximum(x: Operand, y: Operand) -> Value:
    """The larger one; y if either is NaN."""
    a, b = _promoted(x, y)
    return select(a > b, a, b)
