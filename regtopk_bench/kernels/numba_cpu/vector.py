"""A few LLVM instructions that Numba does not offer, as intrinsics on 64 elements at a time.

The compiler cuts the vectors into whatever registers the processor has. A plain loop with a
selection in it would not be vectorised.
"""

from __future__ import annotations

from typing import Any

import numba.extending
from llvmlite import ir
from numba import types

LANES = 64
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_I32S = ir.VectorType(_I32, LANES)
_MASKS: Any = types.UniTuple(types.uint64, 2)  # type: ignore[no-untyped-call]

intrinsic: Any = numba.extending.intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def accumulate_and_compare(
    typing_context: Any,
    residual: Any,
    grad: Any,
    at: Any,
    factors: Any,
    factors_at: Any,
    low: Any,
    high: Any,
) -> Any:
    """Add 64 elements of grad to residual, then return what `compare` would."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        target = _lanes(context, builder, signature.args[0], args[0], args[2])
        source = _lanes(context, builder, signature.args[1], args[1], args[2])
        align = signature.args[0].dtype.bitwidth // 8
        kept, added = builder.load(target, align=align), builder.load(source, align=align)
        accumulated = builder.fadd(kept, added)
        builder.store(accumulated, target, align=align)
        return _compare(context, builder, signature.args[3], accumulated, args[3:])

    return _MASKS(residual, grad, types.intp, factors, types.intp, low, low), generate


@intrinsic  # type: ignore[untyped-decorator]
def compare(
    typing_context: Any,
    residual: Any,
    at: Any,
    factors: Any,
    factors_at: Any,
    low: Any,
    high: Any,
) -> Any:
    """Return two masks of 64 bits: the scores that reach low, and those that reach high.

    A score is the magnitude times the factor; its bits are compared as an integer.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        source = _lanes(context, builder, signature.args[0], args[0], args[1])
        align = signature.args[0].dtype.bitwidth // 8
        loaded = builder.load(source, align=align)
        return _compare(context, builder, signature.args[2], loaded, args[2:])

    return _MASKS(residual, types.intp, factors, types.intp, low, low), generate


@intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(typing_context: Any, mask: Any) -> Any:
    """Return the position of the lowest bit that is set; the mask must not be 0."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.intp(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def count_bits(typing_context: Any, mask: Any) -> Any:
    """Return how many bits are set."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.intp(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def bit_plane(typing_context: Any, numbers: Any, at: Any, bit: Any) -> Any:
    """Return this bit of 64 elements of an array of uint32, as a mask."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        source = _lanes(context, builder, signature.args[0], args[0], args[1])
        wanted = _everywhere(builder, _I32S, builder.shl(ir.Constant(_I32, 1), args[2]))
        found = builder.and_(builder.load(source, align=4), wanted)
        mask = builder.icmp_unsigned("!=", found, ir.Constant(_I32S, [0] * LANES))
        return builder.bitcast(mask, _I64)

    return types.uint64(numbers, types.intp, types.uint32), generate


@intrinsic  # type: ignore[untyped-decorator]
def set_bit_plane(typing_context: Any, numbers: Any, at: Any, bit: Any, mask: Any) -> Any:
    """Set this bit in those of 64 elements of an array of uint32 that are in the mask."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        target = _lanes(context, builder, signature.args[0], args[0], args[1])
        value = _everywhere(builder, _I32S, builder.shl(ir.Constant(_I32, 1), args[2]))
        chosen = builder.bitcast(args[3], ir.VectorType(ir.IntType(1), LANES))
        added = builder.select(chosen, value, ir.Constant(_I32S, [0] * LANES))
        builder.store(builder.or_(builder.load(target, align=4), added), target, align=4)
        return context.get_dummy_value()

    return types.void(numbers, types.intp, types.uint32, types.uint64), generate


def _lanes(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any, start: Any) -> Any:
    """Return a pointer to 64 elements of an array."""
    data = context.make_array(array_type)(context, builder, array).data
    floats = ir.VectorType(context.get_value_type(array_type.dtype), LANES)
    return builder.bitcast(builder.gep(data, [start]), floats.as_pointer())


def _compare(
    context: Any, builder: ir.IRBuilder, factors_type: Any, accumulated: Any, args: Any
) -> Any:
    """Return the masks of `compare`, given the factors, the offset into them, and the bounds."""
    factors, factors_at, low, high = args
    width = factors_type.dtype.bitwidth
    integers = ir.VectorType(ir.IntType(width), LANES)
    source = _lanes(context, builder, factors_type, factors, factors_at)
    product = builder.fmul(accumulated, builder.load(source, align=width // 8))
    # The sign goes last: infinity times 0 is a NaN whose sign is set.
    without_sign = ir.Constant(integers, [(1 << (width - 1)) - 1] * LANES)
    scores = builder.and_(builder.bitcast(product, integers), without_sign)
    masks = []
    for bound in (low, high):
        # Greater than the bound minus one: there is no instruction for "at least".
        below = builder.sub(bound, ir.Constant(bound.type, 1))
        reached = builder.icmp_signed(">", scores, _everywhere(builder, integers, below))
        masks.append(builder.bitcast(reached, _I64))
    return context.make_tuple(builder, _MASKS, masks)


def _everywhere(builder: ir.IRBuilder, vector: Any, scalar: Any) -> Any:
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
    zeros = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, zeros)
