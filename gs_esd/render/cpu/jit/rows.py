"""Loads and stores of eight rows of an array as vectors, one vector per column.

Arrays are contiguous; rows are indexed through all dimensions but the last. Of the eight rows from
`first` on, those past `last` are replaced by `last`. At the end of an array the spare lanes repeat
the last row, compute the same result and write it to the same place: no masks are needed, and
nothing outside the array is read or written.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from gs_esd.render.cpu.jit.simd import DOUBLES_IR, LANES, MASK_IR, VECTOR_IR, doubles, mask, vector

_LONG, _INT = ir.IntType(64), ir.IntType(32)


@intrinsic(prefer_literal=True)
def load_rows(
    typingctx: Any, array: types.Type, columns: types.Type, first: types.Type, last: types.Type
) -> Any:
    """Load the first `columns` (a literal) of a float32, int32 or bool array as float32 vectors."""
    return _gathering(vector, array, columns)


@intrinsic(prefer_literal=True)
def load_doubles(
    typingctx: Any, array: types.Type, columns: types.Type, first: types.Type, last: types.Type
) -> Any:
    """Load the first `columns` (a literal) of a float32 array as float64 vectors."""
    return _gathering(doubles, array, columns)


def _gathering(result: types.Type, array: types.Type, columns: types.Type) -> Any:
    """Signature and code generator of a load of rows, element by element."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> ir.Value:
        kind = ir.VectorType(context.get_data_type(array.dtype), LANES)
        values = [ir.Constant(kind, ir.Undefined)] * columns.literal_value
        rows = _row_pointers(context, builder, array, args[0], _LONG(0), *args[2:])
        for lane, row in enumerate(rows):
            for k, value in enumerate(values):
                number = builder.load(builder.gep(row, [_LONG(k)]))
                values[k] = builder.insert_element(value, number, _INT(lane))
        if not isinstance(array.dtype, types.Float):
            values = [builder.sitofp(value, VECTOR_IR) for value in values]
        if result == doubles:
            values = [builder.fpext(value, DOUBLES_IR) for value in values]
        return context.make_tuple(builder, sig.return_type, values)

    results = types.UniTuple(result, columns.literal_value)
    return signature(results, array, columns, types.intp, types.intp), emit


@intrinsic
def store_rows(
    typingctx: Any, array: types.Type, first: types.Type, last: types.Type, values: types.Type
) -> Any:
    """Store float32 or float64 vectors to the first columns of a float32 or int32 array."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> ir.Value:
        rows = _row_pointers(context, builder, array, args[0], _LONG(0), *args[1:3])
        columns = [builder.extract_value(args[3], k) for k in range(len(values))]
        columns = [_converted(builder, column, array.dtype) for column in columns]
        for lane, row in enumerate(rows):
            for k, column in enumerate(columns):
                number = builder.extract_element(column, _INT(lane))
                builder.store(number, builder.gep(row, [_LONG(k)]))
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, types.intp, values), emit


@intrinsic
def load_block(
    typingctx: Any, array: types.Type, column: types.Type, first: types.Type, last: types.Type
) -> Any:
    """Load eight columns of a float32 array, from `column` on, as vectors."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> ir.Value:
        rows = _row_pointers(context, builder, array, *args)
        pointers = [builder.bitcast(row, VECTOR_IR.as_pointer()) for row in rows]
        vectors = [builder.load(pointer, align=4) for pointer in pointers]
        return context.make_tuple(builder, sig.return_type, _transposed(builder, vectors))

    result = types.UniTuple(vector, LANES)
    return signature(result, array, types.intp, types.intp, types.intp), emit


@intrinsic
def store_block(
    typingctx: Any,
    array: types.Type,
    column: types.Type,
    first: types.Type,
    last: types.Type,
    values: types.Type,
) -> Any:
    """Store vectors to eight columns of a float32 array, from `column` on."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> ir.Value:
        rows = _row_pointers(context, builder, array, *args[:4])
        vectors = [builder.extract_value(args[4], k) for k in range(LANES)]
        for row, vector_of_row in zip(rows, _transposed(builder, vectors), strict=True):
            builder.store(vector_of_row, builder.bitcast(row, VECTOR_IR.as_pointer()), align=4)
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, types.intp, types.intp, values), emit


@intrinsic(prefer_literal=True)
def load_row(typingctx: Any, array: types.Type, columns: types.Type, row: types.Type) -> Any:
    """Load the first `columns` (a literal) of one row as scalars."""
    width = columns.literal_value

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> ir.Value:
        pointer = _row_pointer(context, builder, array, args[0], _LONG(0), args[2])
        numbers = [builder.load(builder.gep(pointer, [_LONG(k)])) for k in range(width)]
        return context.make_tuple(builder, sig.return_type, numbers)

    return signature(types.UniTuple(array.dtype, width), array, columns, types.intp), emit


@intrinsic(prefer_literal=True)
def load_vectors(typingctx: Any, array: types.Type, count: types.Type, row: types.Type) -> Any:
    """Load `count` (a literal) rows of a float32 [.., 8] array as vectors."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> ir.Value:
        pointer = _row_pointer(context, builder, array, args[0], _LONG(0), args[2])
        vectors = builder.bitcast(pointer, VECTOR_IR.as_pointer())
        pointers = [builder.gep(vectors, [_LONG(k)]) for k in range(count.literal_value)]
        values = [builder.load(pointer, align=4) for pointer in pointers]
        return context.make_tuple(builder, sig.return_type, values)

    result = types.UniTuple(vector, count.literal_value)
    return signature(result, array, count, types.intp), emit


@intrinsic
def store_vectors(typingctx: Any, array: types.Type, row: types.Type, values: types.Type) -> Any:
    """Store vectors to rows of a float32 [.., 8] array."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> ir.Value:
        pointer = _row_pointer(context, builder, array, args[0], _LONG(0), args[1])
        vectors = builder.bitcast(pointer, VECTOR_IR.as_pointer())
        for k in range(len(values)):
            value = builder.extract_value(args[2], k)
            builder.store(value, builder.gep(vectors, [_LONG(k)]), align=4)
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, values), emit


@intrinsic
def add_vectors(typingctx: Any, array: types.Type, row: types.Type, values: types.Type) -> Any:
    """Add float64 vectors to rows of a float64 [.., 8] array."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> ir.Value:
        pointer = _row_pointer(context, builder, array, args[0], _LONG(0), args[1])
        vectors = builder.bitcast(pointer, DOUBLES_IR.as_pointer())
        for k in range(len(values)):
            place = builder.gep(vectors, [_LONG(k)])
            total = builder.fadd(builder.load(place, align=8), builder.extract_value(args[2], k))
            builder.store(total, place, align=8)
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, values), emit


@intrinsic
def first_lanes(typingctx: Any, count: types.Type) -> Any:
    """A mask of the first `count` lanes."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> ir.Value:
        lanes = ir.Constant(MASK_IR, ir.Undefined)
        for lane in range(LANES):
            counted = builder.icmp_signed("<", _LONG(lane), args[0])
            lanes = builder.insert_element(lanes, counted, _INT(lane))
        return lanes

    return signature(mask, types.intp), emit


def _row_pointer(
    context: Any, builder: Any, array_type: Any, array: Any, column: Any, row: Any
) -> ir.Value:
    """Address of a column of a row."""
    array = context.make_array(array_type)(context, builder, array)
    width = builder.extract_value(array.shape, array_type.ndim - 1)
    return builder.gep(array.data, [builder.add(builder.mul(row, width), column)])


def _row_pointers(
    context: Any, builder: Any, array_type: Any, array: Any, column: Any, first: Any, last: Any
) -> list[ir.Value]:
    """Addresses of a column of eight rows."""
    rows = [builder.add(first, _LONG(lane)) for lane in range(LANES)]
    rows = [builder.select(builder.icmp_signed("<", row, last), row, last) for row in rows]
    return [_row_pointer(context, builder, array_type, array, column, row) for row in rows]


def _converted(builder: Any, value: ir.Value, kind: types.Type) -> ir.Value:
    """Convert a vector to the element type of a float32 or int32 array."""
    if isinstance(kind, types.Integer):
        return builder.fptosi(value, ir.VectorType(_INT, LANES))
    return value if value.type == VECTOR_IR else builder.fptrunc(value, VECTOR_IR)


def _transposed(builder: Any, rows: list[ir.Value]) -> list[ir.Value]:
    """Transpose eight vectors of eight lanes: exchange halves, quarters, then neighbours."""
    distance = LANES // 2
    while distance:
        low = [j if not j & distance else LANES + j - distance for j in range(LANES)]
        high = [j + distance if not j & distance else LANES + j for j in range(LANES)]
        orders = [ir.Constant(ir.VectorType(_INT, LANES), order) for order in (low, high)]
        exchanged = list(rows)
        for i in range(LANES):
            if not i & distance:
                pair = rows[i], rows[i + distance]
                exchanged[i] = builder.shuffle_vector(*pair, orders[0])
                exchanged[i + distance] = builder.shuffle_vector(*pair, orders[1])
        rows, distance = exchanged, distance // 2
    return rows
