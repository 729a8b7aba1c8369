"""The table of instructions: how each function is traced, simplified and printed.

`define` adds an entry. The tracer (`tracer`), the recording of a program (`ir`) and the printers
read it. Without an entry for native code an error names the function, and NumPy runs the program;
without one for JavaScript the page says so. A ufunc needs an entry only where it is not written as
`np.name(x)`, or for JavaScript.
"""

from __future__ import annotations

import inspect
import math
import operator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.ops import arithmetic, special
from tinygrad_fc.ops.shape import on_diagonal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.compiler.ir import ProgramBuilder, Value

RECORDED, CREATED, CONVERTED, WHOLE = "recorded", "created", "converted", "whole op"
MOVED, REDUCED = "moved", "reduced"


@dataclass(frozen=True)
class Entry:
    """The entry of a function.

    `traced` says what a call with tracers does: RECORDED, one instruction; CREATED or CONVERTED, an
    array that NumPy makes without asking a tracer; WHOLE, the forward function of an op whose call
    is one instruction; or a function that is called instead. `number` is Python's function of plain
    numbers. `simplified(builder, value)` returns the value of a call that needs no instruction, or
    None; `is_view`, whether the result may share the memory of the first argument.

    `numpy` is a text with `{0}`, `{1}` for arguments, or a function of the value that returns such
    a text; empty, the function is called by its name. `native` is a function of Numba's numbers
    (`numba_codegen.Number`), which a ufunc is itself; or `lowered` is the method of `Lowering` that
    translates a call. `js` is the name in runtime.js; `cells` says how the page shows a cell of the
    result: MOVED, a cell of the first argument; REDUCED, from the cells along the axis. `sign` and
    `rank` are the sign of an operator in formulas, and how strongly it binds.
    """

    traced: Any = None
    number: Any = None
    simplified: Callable[[ProgramBuilder, Value], Value | None] | None = None
    is_view: bool = False
    numpy: Any = ""
    native: Any = None
    lowered: str = ""
    js: str = ""
    cells: str = ""
    sign: str = ""
    rank: int = 0


TABLE: dict[Any, Entry] = {}
_UNKNOWN = Entry()


def define(*functions: Any, **entry: Any) -> None:
    """Add an entry for functions, and for Python's function of numbers in their place."""
    for function in functions:
        TABLE[function] = Entry(**entry)
    if entry.get("number"):
        TABLE[entry["number"]] = Entry(**entry)


def _define_by_code(*functions: Any, **entry: Any) -> None:
    """Add an entry for functions whose own code in NumPy calls methods of the tracer."""
    for function in functions:
        define(function, traced=inspect.unwrap(function), **entry)


def entry_of(function: Any) -> Entry:
    """Return the entry of a function; an empty one where it has none."""
    return TABLE.get(function, _UNKNOWN)


# Functions that programs call beside NumPy's


def cast(x: Any, dtype: Any) -> Any:
    """Return `x` as an array of `dtype`."""
    return x.astype(dtype)


def put(x: Any, at: Any, value: Any) -> Any:
    """Return a copy of `x` in which the elements at `at` are `value`."""
    x = x.copy()
    x[at] = value
    return x


def add_at(x: Any, at: Any, value: Any) -> Any:
    """Return a copy of `x` to whose elements at `at`, repeated ones too, `value` is added."""
    x = x.copy()
    np.add.at(x, at, value)
    return x


def item(x: Any) -> Any:
    """Return the one element of `x` as a Python number."""
    return x.item()


def rng_call(rng: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    """Return random numbers from a NumPy generator; never shared, never left out."""
    return getattr(rng, method)(*args, **kwargs)


# Simplifications


def _unchanged(_: Any, value: Value, argument: int = 0) -> Value | None:
    """Return the argument where the result is the same array."""
    x = value.args[argument]
    same = (getattr(x, "shape", ...), getattr(x, "dtype", ...)) == (value.shape, value.dtype)
    return x if same else None


def uniform(array: Any) -> Any:
    """Return the number that all elements of an array are; None where they differ."""
    same = array.size and array.tobytes() == array.flat[0].tobytes() * array.size
    return array.flat[0] if same else None


def known_number(x: Any) -> Any:
    """Return the number that an argument is, or that all elements of a constant are, or None."""
    if type(x) in (int, float):
        return x
    return uniform(x.sample) if getattr(x, "is_constant", False) else None


def _reshaped(builder: ProgramBuilder, value: Value) -> Value | None:
    x, shape = value.args
    if x.function is np.reshape:
        return builder.emit(np.reshape, (x.args[0], shape))
    axis = x.kwargs.get("axis", 0)
    if x.kwargs.get("keepdims") and shape == np.empty(x.args[0].shape, "?").sum(axis).shape:
        return builder.emit(x.function, x.args, {"axis": axis})  # a sum, for example
    return _unchanged(builder, value)


def _transposed(_: Any, value: Value) -> Value | None:
    """Return the array whose axes are in order after one transposition, or after two."""
    x, axes = value.args
    before, first = x.args if x.function is np.transpose else (x, range(len(value.shape)))
    numbers = np.empty(tuple(range(len(value.shape))), "?")
    order = numbers.transpose(first).transpose(axes).shape
    return before if order == numbers.shape else None


def _by_neutral(neutral: int | None, builder: ProgramBuilder, value: Value) -> Value | None:
    """Return the first argument if the second is the neutral number; -0.0 is no 0."""
    number = known_number(value.args[1])
    is_neutral = number is not None and number == neutral and not np.signbit(number)
    return _unchanged(builder, value) if is_neutral else None


def _chosen(builder: ProgramBuilder, value: Value) -> Value | None:
    """Return x or y of `where` if its condition is the same number everywhere."""
    condition = known_number(value.args[0])
    return None if condition is None else _unchanged(builder, value, 1 if condition else 2)


def _same(x: Any) -> Any:
    return x


# How calls of tracers become other calls


def _reduced(ufunc: Any, x: Any, axis: Any = None, **kwargs: Any) -> Any:
    return ufunc.reduce(x, axis=axis, **kwargs)


def _like(function: Any, x: Any, *fill: Any, dtype: Any = None, **_: Any) -> Any:
    return x.builder.record(function, x.shape, *fill, np.dtype(dtype or x.dtype))


def _swapped(x: Any, axis1: int, axis2: int) -> Any:
    return x.transpose(np.empty(tuple(range(x.ndim)), "?").swapaxes(axis1, axis2).shape)


def _diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Return the diagonals in two axes as a part of x, by a slice or by indices."""
    x = np.moveaxis(x, (axis1, axis2), (-2, -1))
    *before, n, m = x.shape
    if x.flags.c_contiguous:
        return x.reshape(*before, n * m)[on_diagonal(n, m, offset)]
    layout = np.diagonal(x.layout, offset, -2, -1)
    k = np.arange(layout.shape[-1], like=x)
    at = x.builder.values(((..., k + max(-offset, 0), k + max(offset, 0))[not before :],))[0]
    back = partial(x.builder.record, put, x, at)
    return x.part(operator.getitem, at, back=back, layout=layout)


def _spread(x: Any, shape: Any, **_: Any) -> Any:
    return x.part(np.broadcast_to, tuple(shape))


def _clipped(x: Any, a_min: Any = None, a_max: Any = None, **ends: Any) -> Any:
    """Return the clipped array by two ufuncs, which is faster than `np.clip`."""
    for ufunc, end in ((np.maximum, ends.get("min", a_min)), (np.minimum, ends.get("max", a_max))):
        x = x if end is None else ufunc(x, end)
    return x


def _by_counts(function: Any, x: Any, counts: Any, axis: Any = None) -> Any:
    if hasattr(counts, "value") and not counts.value.is_constant:
        counts.read(f"the shape of np.{function.__name__} depends on the value")
    return (x if hasattr(x, "value") else counts).builder.record(function, x, counts, axis=axis)


def _type_of(x: Any) -> Any:
    """Return what promotes as `x` does: the dtype of an array that is traced, or a number."""
    if not hasattr(x, "layout"):
        return x
    return x.value.sample if x.is_number else x.dtype


def _copied(to: Any, x: Any, where: Any = True, **_: Any) -> None:
    to.write(x if where is True else np.where(where, x, to))


def _squeezed(x: Any, axis: Any = None) -> Any:
    return x.reshape(np.empty(x.shape, "?").squeeze(axis).shape)


# How calls are printed


def _dot_text(value: Value) -> str:
    return "{0}.dot({1})" if value.args[0].shape else ""


def _transpose_text(value: Value) -> str:
    return "{0}.transpose({1})" if value.args[1] else "{0}.T"


def _full_text(value: Value) -> str:
    return "" if value.args[0] else "np.array({1}, {2})"


def _draw_text(value: Value) -> str:
    names = ["", "", *[""] * len(value.args[2:]), *(f"{key}=" for key in value.kwargs)]
    places = ", ".join(f"{name}{{{k}}}" for k, name in enumerate(names) if k > 1)
    return f"{{0}}.{value.args[1]}({places})"


# Operators

for _sign, _ufunc, _number, _shown, _rank in (
    ("+", np.add, operator.add, " + ", 1),
    ("-", np.subtract, operator.sub, " \N{MINUS SIGN} ", 1),
    ("*", np.multiply, operator.mul, "·", 2),
    ("/", np.true_divide, operator.truediv, " / ", 2),
    ("//", np.floor_divide, operator.floordiv, " // ", 2),
    ("%", np.remainder, operator.mod, " mod ", 2),
    ("**", np.power, operator.pow, "^", 4),
    ("==", np.equal, operator.eq, " = ", 0),
    ("!=", np.not_equal, operator.ne, " ≠ ", 0),
    ("<", np.less, operator.lt, " < ", 0),
    ("<=", np.less_equal, operator.le, " ≤ ", 0),
    (">", np.greater, operator.gt, " > ", 0),
    (">=", np.greater_equal, operator.ge, " ≥ ", 0),
):
    define(
        _ufunc,
        number=_number,
        simplified=partial(_by_neutral, {"-": 0, "*": 1, "/": 1, "**": 1}.get(_sign)),
        numpy=f"{{0}} {_sign} {{1}}",
        native=_ufunc,
        js=_ufunc.__name__,
        sign=_shown,
        rank=_rank,
    )
define(np.bitwise_and, numpy="{0} & {1}", js="bitwise_and")
define(np.bitwise_or, numpy="{0} | {1}", js="bitwise_or")
define(np.bitwise_xor, numpy="{0} ^ {1}")
define(np.negative, number=operator.neg, numpy="-{0}", native=np.negative, js="negative")
define(np.invert, numpy="~{0}")
# In formulas of rules: products and quotients that are 0 where the cotangent is.
define(arithmetic.multiply_no_nan, arithmetic.multiply_no_nan_symmetric, numpy="{0} * {1}")
define(arithmetic.divide_no_nan, numpy="{0} / {1}")

# Functions of elements

_UFUNCS = """
cos cosh exp exp2 expm1 isfinite isnan log log10 log1p log2 logical_and logical_not logical_or
maximum minimum reciprocal sign sin sinh square tan tanh
"""
for _name in _UFUNCS.split():
    define(getattr(np, _name), js=_name)
define(np.absolute, np.fabs, number=operator.abs, native=np.absolute, js="absolute")
define(np.positive, number=operator.pos, native=_same, js="positive")
define(np.sqrt, number=math.sqrt, native=np.sqrt, js="sqrt")
define(np.where, traced=RECORDED, simplified=_chosen, native=np.where, js="where")
define(np.clip, traced=_clipped)
define(special.erf.forward, traced=WHOLE, native=lambda x: x.exact(math.erf), js="erf")
define(special.ndtr.forward, traced=WHOLE, native=lambda x: x.ndtr(), js="ndtr")
define(special.lgamma.forward, special.ndtri.forward, special.polygamma.forward, traced=WHOLE)

# Reductions and products

_REDUCING: Any = (np.add, np.multiply, np.maximum, np.minimum, np.logical_and, np.logical_or)
_REDUCTIONS = (np.sum, np.prod, np.max, np.min, np.all, np.any)
for _reducing, _function in zip(_REDUCING, _REDUCTIONS, strict=True):
    define(_reducing.reduce, lowered="reduce", js=_function.__name__, cells=REDUCED)
    define(_function, traced=partial(_reduced, _reducing))
define(np.dot, traced=RECORDED, numpy=_dot_text, lowered="dot", js="dot")
define(np.matmul, lowered="dot", js="dot")
define(np.linalg.norm, traced=RECORDED, js="norm")
define(np.vdot, traced=RECORDED, lowered="dot", js="vdot")
define(np.argmax, traced=RECORDED, lowered="extremum", js="argmax", cells=REDUCED)
define(np.argmin, traced=RECORDED, lowered="extremum")

# Shapes, indices and copies

_VIEW: Any = {"is_view": True, "cells": MOVED}
_define_by_code(np.reshape, simplified=_reshaped, numpy="{0}.reshape({1})", js="reshape", **_VIEW)
_define_by_code(
    np.transpose, simplified=_transposed, numpy=_transpose_text, js="transpose", **_VIEW
)
_define_by_code(np.flip, np.moveaxis, np.ndim, np.shape, np.size)
define(np.broadcast_to, traced=_spread, simplified=_unchanged, js="broadcast", **_VIEW)
define(np.concatenate, traced=RECORDED, lowered="join", js="concatenate", cells=MOVED)
define(np.stack, traced=RECORDED, lowered="join", js="stack", cells=MOVED)
define(operator.getitem, numpy="{0}[{1}]", lowered="gather", js="getitem", cells=MOVED)
define(put, lowered="put", js="put", cells=MOVED)
define(add_at, lowered="put", js="addAt")
define(cast, simplified=_unchanged, numpy="{0}.astype({1})", native=_same, js="cast")
define(item, numpy="{0}.item()", native=_same, js="item", cells=MOVED)
define(rng_call, numpy=_draw_text, js="rngCall")
define(np.cumsum, traced=RECORDED, js="cumsum")
define(np.argsort, traced=RECORDED, js="argsort")

# Arrays that NumPy makes without asking a tracer

define(np.array, np.asarray, np.ascontiguousarray, traced=CONVERTED)
define(np.zeros, np.ones, np.empty, np.arange, np.eye, traced=CREATED)
define(np.full, traced=CREATED, numpy=_full_text, native=_same, js="full")
define(np.zeros_like, np.empty_like, traced=partial(_like, np.zeros))
define(np.ones_like, traced=partial(_like, np.ones))
define(np.full_like, traced=partial(_like, np.full))

# Functions that call others, or that only NumPy has

define(np.ravel, traced=lambda x, **_: x.reshape(-1))
define(np.squeeze, traced=_squeezed)
define(np.diagonal, traced=_diagonal)
define(np.swapaxes, traced=_swapped)
define(np.copy, traced=lambda x, **_: x.copy())
define(np.copyto, traced=_copied)
define(np.repeat, traced=partial(_by_counts, np.repeat))
define(np.delete, traced=partial(_by_counts, np.delete))
define(np.result_type, traced=lambda *args: np.result_type(*map(_type_of, args)))
_ONLY_NUMPY = """
allclose array_equal count_nonzero cumprod diag diff einsum hstack inner isclose kron mean
median nan_to_num outer pad partition roll round searchsorted sort std take take_along_axis
tensordot tile trace tril triu var vstack linalg.cholesky linalg.det linalg.eigh linalg.inv
linalg.pinv linalg.slogdet linalg.solve linalg.svd
"""
for _name in _ONLY_NUMPY.split():
    define(operator.attrgetter(_name)(np), traced=RECORDED)
