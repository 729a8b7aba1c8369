"""What generated code reads and writes: memory of a known layout, as Numba's own arrays are not.

A `Memory` is an address and, in its type, what it holds and which of the function's memories it
is. No two of them overlap, and every load and store says so to LLVM ("noalias"): only then are
loops over several of them vectorized without checks, of which LLVM gives up after a few. Its
length is known to who wrote the source; an index is not checked, and never negative.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LINE = 64
"""Bytes of a cache line, to which temporaries are aligned."""


class Memory(types.Type):
    """The type of memory number `scope` of `scopes`, which holds elements of `dtype`."""

    mutable = True

    def __init__(self, dtype: Any, scope: int, scopes: int) -> None:
        self.dtype, self.scope, self.scopes = dtype, scope, scopes
        super().__init__(f"Memory({dtype}, {scope}, {scopes})")


@register_model(Memory)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Memory) -> None:
        super().__init__(manager, kind, manager.lookup(kind.dtype).get_data_type().as_pointer())


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:  # noqa: ARG002
        memory, at = args
        if isinstance(memory, Memory) and isinstance(at, types.Integer):
            return signature(memory.dtype, memory, types.intp)
        return None


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:  # noqa: ARG002
        memory, at, _ = args
        if isinstance(memory, Memory) and isinstance(at, types.Integer):
            return signature(types.none, memory, types.intp, memory.dtype)
        return None


def _model(context: Any, dtype: Any) -> Any:
    return context.data_model_manager[dtype]


def _bytes(context: Any, dtype: Any) -> int:
    return int(context.get_abi_sizeof(_model(context, dtype).get_data_type()))


def _marked(module: Any, kind: Memory) -> tuple[Any, Any]:
    """Return the metadata for accesses to `kind`: where they go, and where they don't."""
    known = module.__dict__.setdefault("_scopes_of_memory", {})
    if kind.scope not in known:
        domain = module.add_metadata(["memory"])
        alone = [module.add_metadata([f"memory {k}", domain]) for k in range(kind.scopes)]
        others = [scope for k, scope in enumerate(alone) if k != kind.scope]
        known[kind.scope] = (
            module.add_metadata([alone[kind.scope]]),
            module.add_metadata(others) if others else None,
        )
    found: tuple[Any, Any] = known[kind.scope]
    return found


def _mark(builder: Any, access: Any, kind: Memory) -> None:
    within, without = _marked(builder.module, kind)
    access.set_metadata("alias.scope", within)
    if without is not None:
        access.set_metadata("noalias", without)


@lower_builtin(operator.getitem, Memory, types.intp)
def _load(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    place = builder.gep(args[0], [args[1]], inbounds=True)
    loaded = builder.load(place, align=_bytes(context, kind.dtype))
    _mark(builder, loaded, kind)
    return _model(context, kind.dtype).from_data(builder, loaded)


@lower_builtin(operator.setitem, Memory, types.intp, types.Any)
def _store(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    place = builder.gep(args[0], [args[1]], inbounds=True)
    data = _model(context, kind.dtype).as_data(builder, args[2])
    _mark(builder, builder.store(data, place, align=_bytes(context, kind.dtype)), kind)
    return context.get_dummy_value()


def _literal(*numbers: Any) -> bool:
    return all(isinstance(number, types.Literal) for number in numbers)


@intrinsic(prefer_literal=True)
def memory(typing: Any, array: Any, scope: Any, scopes: Any) -> Any:  # noqa: ARG001
    """Return the memory of a C-contiguous array."""
    if not _literal(scope, scopes):
        return None
    kind = Memory(array.dtype, scope.literal_value, scopes.literal_value)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.make_array(sig.args[0])(context, builder, args[0]).data

    return signature(kind, array, scope, scopes), generate


@intrinsic(prefer_literal=True)
def stack(typing: Any, dtype: Any, count: Any, scope: Any, scopes: Any) -> Any:  # noqa: ARG001
    """Return memory on the stack for `count` elements, a few kilobytes at most."""
    if not _literal(count, scope, scopes):
        return None
    kind = Memory(dtype.dtype, scope.literal_value, scopes.literal_value)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:  # noqa: ARG001
        element = _model(context, kind.dtype).get_data_type()
        with builder.goto_entry_block():
            place = builder.alloca(ir.ArrayType(element, max(count.literal_value, 1)))
            place.align = LINE
        return builder.bitcast(place, element.as_pointer())

    return signature(kind, dtype, count, scope, scopes), generate


@intrinsic(prefer_literal=True)
def within(typing: Any, work: Any, start: Any, dtype: Any, scope: Any, scopes: Any) -> Any:  # noqa: ARG001
    """Return the memory that begins `start` bytes into the array of bytes `work`."""
    if not _literal(scope, scopes):
        return None
    kind = Memory(dtype.dtype, scope.literal_value, scopes.literal_value)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        base = context.make_array(sig.args[0])(context, builder, args[0]).data
        place = builder.gep(base, [args[1]], inbounds=True)
        return builder.bitcast(place, _model(context, kind.dtype).get_data_type().as_pointer())

    return signature(kind, work, types.intp, dtype, scope, scopes), generate


@intrinsic
def shifted(typing: Any, place: Any, count: Any) -> Any:  # noqa: ARG001
    """Return the memory that begins `count` elements after the beginning of `place`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.gep(args[0], [args[1]], inbounds=True)

    return signature(place, place, types.intp), generate


@intrinsic(prefer_literal=True)
def gemm(
    typing: Any,  # noqa: ARG001
    address: Any,
    bits: Any,
    left: Any,
    right: Any,
    out: Any,
    turned: Any,
    sizes: Any,
    starts: Any,
    steps: Any,
) -> Any:
    """Call BLAS: out = left @ right, in row-major order.

    `address` is that of cblas_?gemm, whose whole numbers have `bits`; `turned` tells which of the
    factors are transposed, `sizes` are m, n and k, `starts` the first elements and `steps` the
    distances of rows, of left, right and out.
    """
    if not _literal(bits):
        return None

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = sig.args[2].dtype
        number = _model(context, kind).get_data_type()
        whole = ir.IntType(bits.literal_value)
        pointer = number.as_pointer()
        flag = ir.IntType(32)
        m, n, k = (
            builder.trunc(x, whole) if bits.literal_value < 64 else x
            for x in cgutils.unpack_tuple(builder, args[6], 3)
        )
        starts_, steps_ = (cgutils.unpack_tuple(builder, args[i], 3) for i in (7, 8))
        steps_ = [builder.trunc(x, whole) if bits.literal_value < 64 else x for x in steps_]
        x, y, z = (builder.gep(args[2 + i], [starts_[i]]) for i in range(3))
        turns = [
            builder.select(t, ir.Constant(flag, 112), ir.Constant(flag, 111))
            for t in cgutils.unpack_tuple(builder, args[5], 2)
        ]
        kinds = [flag, flag, flag, whole, whole, whole, number, pointer, whole, pointer, whole]
        kinds += [number, pointer, whole]
        function = builder.inttoptr(args[0], ir.FunctionType(ir.VoidType(), kinds).as_pointer())
        one, zero = ir.Constant(number, 1.0), ir.Constant(number, 0.0)
        given = [ir.Constant(flag, 101), *turns, m, n, k, one, x, steps_[0], y, steps_[1]]
        builder.call(function, [*given, zero, z, steps_[2]])
        return context.get_dummy_value()

    types_ = (address, bits, left, right, out, turned, sizes, starts, steps)
    unified = [types.UniTuple(types.intp, 3) if t in (sizes, starts, steps) else t for t in types_]
    unified[0] = types.intp
    unified[5] = types.UniTuple(types.boolean, 2)
    return signature(types.none, *unified), generate
