"""Functions that know tracers, under the names that the modules of this package find them by.

`np.asarray`, `float` and a few more do not ask NumPy's protocols, so a tracer cannot answer them.
While a trace runs, the modules find these in their place; in other threads they do what those do.
"""

from __future__ import annotations

import functools
import math
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import errors, random
from tinygrad_fc.compiler import known
from tinygrad_fc.compiler.number import Number
from tinygrad_fc.compiler.refusal import asker, refuse_to_catch
from tinygrad_fc.compiler.session import tracing
from tinygrad_fc.compiler.tracer import Tracer
from tinygrad_fc.graph import Node
from tinygrad_fc.ops import linalg
from tinygrad_fc.optim import elementwise, sgd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _made(function: Any) -> Any:
    """Return what makes an array of a constant, in a form that makes a tracer."""

    @functools.wraps(function)
    def make(shape: Any, *args: Any, **kwargs: Any) -> Any:
        watch = tracing()
        if watch is None:
            return function(shape, *args, **kwargs)
        value: Any = {np.ones: 1}.get(function, 0)
        if function is np.full:
            value, *args = args or (kwargs.pop("fill_value"),)  # type: ignore[assignment]
        dtype = args[0] if args else kwargs.get("dtype")
        if dtype is None:
            plain = value.value if type(value) is Number else value
            dtype = np.asarray(plain).dtype if function is np.full else np.float64
        wanted = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
        sizes = np.empty(tuple(map(int, wanted)), "?").shape
        like = np.broadcast_to(np.zeros((), dtype), sizes)
        return known._full_like(watch, like, value)

    return make


def _array(data: Any, dtype: Any = None, *, copy: Any = True, **rest: Any) -> Any:
    watch = tracing()
    if watch is None or not known.traced(data):
        return np.array(data, dtype, copy=copy, **rest)
    if sys._getframe(1).f_code.co_name == "__array__" or asker() == "user":
        return watch.given_out(watch.array(data), "NumPy")
    made = watch.array(data)
    made = made if dtype is None else watch.cast(made, dtype, copy=False)
    return made.copy() if copy else made


def _as_array(data: Any, dtype: Any = None, **rest: Any) -> Any:
    watch = tracing()
    if watch is None or not known.traced(data):
        return np.asarray(data, dtype, **rest)
    if type(data) is Number and (dtype is None or np.dtype(dtype) == np.float64):
        return data  # which is as good, and shorter to read
    if type(data) is Number:
        return watch.emit("fill", None, (data,), {"shape": (), "dtype": np.dtype(dtype)})
    made = watch.array(data)
    return made if dtype is None else watch.cast(made, dtype, copy=False)


class _DoubleMeta(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, np.float64)

    def __call__(cls, x: Any = 0.0) -> Any:
        return x if type(x) is Number else np.float64(x)


class _Double(metaclass=_DoubleMeta):
    """`np.float64`, which a traced number is as good as."""

    dtype = np.dtype(np.float64)


class _NumPy(SimpleNamespace):
    """NumPy with functions that know tracers, in place of those that do not ask its protocols."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


numpy_ = _NumPy(
    array=_array,
    asarray=_as_array,
    asanyarray=_as_array,
    ascontiguousarray=_as_array,
    zeros=_made(np.zeros),
    empty=_made(np.empty),
    ones=_made(np.ones),
    full=_made(np.full),
)
doubles_ = _NumPy(**{**vars(numpy_), "float64": _Double})


def _of_number(function: Any) -> Any:
    """Return a function of plain numbers in a form that takes traced ones."""

    @functools.wraps(function)
    def noted(*args: Any) -> Any:
        watch = tracing()
        if watch is None:
            return function(*args)
        numbers = [_number_in(a) for a in args]
        if not any(type(a) is Number for a in numbers):
            return function(*numbers)
        return watch.number(function, numbers)

    return noted


def _number_in(x: Any) -> Any:
    """Return the traced number of a tensor of one element; what else is given as it is."""
    if isinstance(x, Node):
        x = x._array
    return x.item() if type(x) is Tracer else x


class _Math(SimpleNamespace):
    def __getattr__(self, name: str) -> Any:
        return getattr(math, name)


math_ = _Math(
    **{
        name: _of_number(getattr(math, name))
        for name in ("sqrt", "isnan", "isfinite", "isinf", "exp", "log", "pow", "floor", "ceil")
    }
)


class _Meta(type):
    """Makes a class that is `float` to `isinstance`, and takes traced numbers."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, float)

    def __call__(cls, x: Any = 0.0) -> Any:
        watch = tracing()
        if watch is None:
            return float(x)
        x = _number_in(x)
        # A whole number does as well: Python's arithmetic gives a float where one is wanted.
        return x if type(x) is Number else float(x)


class _Float(metaclass=_Meta):
    pass


def _whole(formula: Any, arrays: Any, numbers: Any) -> None:
    if tracing() is None:
        _IN_PIECES(formula, arrays, numbers)
    else:
        formula(*arrays, *numbers)


_IN_PIECES = elementwise.in_pieces


def _evidence(array: Any) -> Any:
    """Return what an error tells of: the array of the call that is traced."""
    if type(array) is not Tracer:
        return array
    refuse_to_catch()
    return array.shadow


def _ones(n: int, kind: str) -> Any:
    watch = tracing()
    if watch is None:
        return _ONES(n, kind)
    # The cache of what this stands for is not for tracers.
    return watch.array(watch.ones.setdefault((n, kind), np.ones(n, kind)))


_ONES: Callable[..., Any] = linalg._ones


_RNG_OF = random.rng_of


def _rng_of(given: Any) -> Any:
    watch = tracing()
    found = _RNG_OF(given)
    return watch.random(found, found) if watch and isinstance(found, np.random.Generator) else found


def _names(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield names of a module, and what they stand for while a trace runs."""
    there = vars(module)
    if there.get("np") is np:
        yield "np", doubles_ if module.__name__ == "tinygrad_fc.nn.utils" else numpy_
    if there.get("math") is math:
        yield "math", math_
    if there.get("rng_of") is _RNG_OF:
        yield "rng_of", _rng_of
    if there.get("evidence") is errors.evidence and module is not errors:
        yield "evidence", _evidence
    if "float" not in there and module.__name__.startswith(_COUNTING):
        yield "float", _Float
    if module.__name__ != "tinygrad_fc.op":  # whose caches are of rules, not of arrays
        for name, value in there.items():
            if isinstance(value, functools._lru_cache_wrapper):
                yield name, value.__wrapped__


_COUNTING = ("tinygrad_fc.optim", "tinygrad_fc.nn")
"""Where options and counts are made plain numbers of."""
_ELSEWHERE = ("tinygrad_fc.compiler", "tinygrad_fc.testing", "tinygrad_fc.dtypes")


def replacements() -> Iterator[tuple[Any, str, Any]]:
    """Yield names of modules of this package, and what is put in their place."""
    for module in (elementwise, sgd):
        yield module, "in_pieces", _whole
    for name, module in list(sys.modules.items()):
        if name.startswith("tinygrad_fc") and not name.startswith(_ELSEWHERE):
            for key, value in list(_names(module)):
                yield module, key, value
    yield linalg, "_ones", _ones
