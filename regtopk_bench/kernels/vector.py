"""Three LLVM instructions that Numba does not offer, as intrinsics.

Written on vectors of 64 elements, which the compiler cuts into whatever registers the
processor has; a loop with a compaction in it would not be vectorised.
"""

from __future__ import annotations

from typing import Any

import numba.extending
from llvmlite import ir
from numba import types

LANES = 64
_I32 = ir.IntType(32)

intrinsic: Any = numba.extending.intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def accumulate_and_compare(
    typing_context: Any, residual: Any, grad: Any, offset: Any, low: Any
) -> Any:
    """Add 64 elements of grad to residual, then return what `compare` would."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        residual_type, grad_type, _, _ = signature.args
        target = _lanes(context, builder, residual_type, args[0], args[2])
        source = _lanes(context, builder, grad_type, args[1], args[2])
        align = residual_type.dtype.bitwidth // 8
        kept, added = builder.load(target, align=align), builder.load(source, align=align)
        accumulated = builder.fadd(kept, added)
        builder.store(accumulated, target, align=align)
        return _reached(builder, accumulated, residual_type.dtype.bitwidth, args[3])

    return types.uint64(residual, grad, types.intp, low), generate


@intrinsic  # type: ignore[untyped-decorator]
def compare(typing_context: Any, residual: Any, offset: Any, low: Any) -> Any:
    """Return a bit for each of 64 elements whose magnitude reaches low, compared as integers."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        width = signature.args[0].dtype.bitwidth
        source = _lanes(context, builder, signature.args[0], args[0], args[1])
        return _reached(builder, builder.load(source, align=width // 8), width, args[2])

    return types.uint64(residual, types.intp, low), generate


@intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(typing_context: Any, mask: Any) -> Any:
    """Return the position of the lowest bit that is set; the mask must not be 0."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


def _lanes(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any, start: Any) -> Any:
    """Return a pointer to 64 elements of an array."""
    data = context.make_array(array_type)(context, builder, array).data
    floats = ir.VectorType(context.get_value_type(array_type.dtype), LANES)
    return builder.bitcast(builder.gep(data, [start]), floats.as_pointer())


def _reached(builder: ir.IRBuilder, floats: Any, width: int, low: Any) -> Any:
    """Return the mask of the elements whose bits without sign are at least low."""
    integers = ir.VectorType(ir.IntType(width), LANES)
    without_sign = ir.Constant(integers, [(1 << (width - 1)) - 1] * LANES)
    magnitudes = builder.and_(builder.bitcast(floats, integers), without_sign)
    undefined = ir.Constant(integers, ir.Undefined)
    first = builder.insert_element(undefined, low, ir.Constant(_I32, 0))
    everywhere = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
    lows = builder.shuffle_vector(first, undefined, everywhere)
    return builder.bitcast(builder.icmp_signed(">=", magnitudes, lows), ir.IntType(LANES))
