"""NumPy's own functions on tensors: `np.exp(t)`, `np.sum(t, axis=0)`, `array * t`.

A function with a row leads to the row. The few whose signature says more than arrays and
settings stand here, with NumPy's meaning: `np.std(t)` divides by n.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from tinygrad_fc import functions as f
from tinygrad_fc.errors import DtypeError, GraphError, ShapeError
from tinygrad_fc.graph import Node, changed, changing, record
from tinygrad_fc.op import missing, table
from tinygrad_fc.ops import reduce as r
from tinygrad_fc.ops import shape as s
from tinygrad_fc.ops.elementwise import multiply

MATRIX = 2
REDUCED = {np.add: r.sum_, np.maximum: r.amax, np.minimum: r.amin}


def ufunc(called: Any, method: str, inputs: Any, kwargs: dict[str, Any]) -> Any:
    """Call the row of a ufunc, or of its `reduce`."""
    if kwargs.get("out") is not None:
        if any(isinstance(a, Node) and a._requires_grad for a in (*inputs, *kwargs["out"])):
            raise GraphError(
                f"{called.__name__} was told to write a tensor that requires grad into an array, "
                "which would drop its gradient: write `a = a + t` for `a += t`, or use t.detach()"
            )
        plain = [a._array if isinstance(a, Node) else a for a in inputs]
        if not any(isinstance(a, Node) for a in kwargs["out"]):
            with changing:  # a tensor may share the array
                result = getattr(called, method)(*plain, **kwargs)
                changed(*(a for a in kwargs["out"] if a is not None))
            return result
    if method == "reduce" and called in REDUCED:
        settings = {"axis": kwargs.pop("axis", 0), "keepdims": kwargs.pop("keepdims", False)}
        return _plain(called, REDUCED[called], inputs, settings, kwargs)
    function = called if method == "__call__" else getattr(called, method)
    row = table.get(function)
    if row is None:
        raise missing(function, len(inputs))
    return _plain(called, row, inputs, {}, kwargs)


def _plain(called: Any, row: Any, inputs: Any, settings: Any, rest: dict[str, Any]) -> Any:
    rest = {k: v for k, v in rest.items() if v is not None}
    if rest:
        message = (
            f"{called.__name__} of a tensor does not take {', '.join(rest)}: leave it out, or use "
            "x.numpy()"
        )
        raise DtypeError(message)
    return record(row, tuple(inputs), settings)


def function(called: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Call the row of another function of NumPy's, told its arguments as NumPy is."""
    adapter = ADAPTERS.get(called)
    if adapter is not None:
        try:
            inspect.signature(adapter).bind(*args, **kwargs)
        except TypeError as error:
            message = f"{called.__name__} of a tensor: {error}; leave that out, or use x.numpy()"
            raise DtypeError(message) from error
        return adapter(*args, **kwargs)
    row = table.get(called)
    if row is None:
        raise missing(called, sum(isinstance(a, Node | np.ndarray) for a in args) or 1)
    names = list(inspect.signature(called).parameters)
    given = dict(zip(names, args, strict=False)) | kwargs
    arrays = [given.pop(name) for name in names[: len(row.domain)]]
    settings = {k: given.pop(k) for k in list(given) if k in row.settings}
    return _plain(called, row, arrays, settings, given)


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    return f.pointwise.where(condition, x, y)


def _cumsum(a: Any, axis: Any = None) -> Any:
    return r.cumsum(a.reshape(-1) if axis is None else a, axis=0 if axis is None else axis)


def _concatenate(arrays: Any, axis: Any = 0) -> Any:
    if axis is None:
        return f.shape.cat([np.reshape(a, -1) for a in arrays])  # type: ignore[misc]
    return f.shape.cat(arrays, axis)


def _dot(a: Any, b: Any) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return multiply(a, b)
    if np.ndim(b) <= MATRIX:
        return a @ b
    # Every row of a with every matrix of b, where matmul would pair them.
    letters, free = "abcdefghijklmnopqrstuvwxy", np.ndim(a) - 1
    left, right = letters[:free], letters[free : free + np.ndim(b) - 1]
    equation = f"{left}z,{right[:-1]}z{right[-1]}->{left}{right}"
    operands = (x if isinstance(x, Node) else np.asarray(x) for x in (a, b))
    return f.products.einsum(equation, *operands)


def _squeeze(a: Any, axis: Any = None) -> Any:
    gone = axis if isinstance(axis, tuple | list) else () if axis is None else (axis,)
    if any(a.shape[k] != 1 for k in gone):
        raise ShapeError(
            f"squeeze takes out axes of size 1, and of a tensor of shape {a.shape} was told {axis}"
        )
    return f.shape.squeeze(a, axis)


def _expand_dims(a: Any, axis: Any) -> Any:
    several = axis if isinstance(axis, tuple | list) else (axis,)
    ndim = a.ndim + len(several)
    for k in sorted(f.shape.wrapped(k, ndim, "expand_dims") for k in several):
        a = f.shape.unsqueeze(a, k)
    return a


ADAPTERS: dict[Any, Any] = {
    np.where: _where,
    np.cumsum: _cumsum,
    np.concatenate: _concatenate,
    np.stack: lambda arrays, axis=0: f.shape.stack(arrays, axis),
    np.transpose: lambda a, axes=None: s.transpose(
        a, axes=tuple(range(a.ndim))[::-1] if axes is None else tuple(axes)
    ),
    np.reshape: lambda a, shape: s.reshape(a, shape=shape),
    np.ravel: lambda a: s.reshape(a, shape=(-1,)),
    np.squeeze: _squeeze,
    np.expand_dims: _expand_dims,
    np.broadcast_to: lambda array, shape: s.broadcast_to(array, shape=shape),
    np.flip: lambda m, axis=None: s.flip(m, axis=axis),
    np.clip: lambda a, a_min=None, a_max=None, *, min=None, max=None: f.pointwise.clamp(
        a, min if a_min is None else a_min, max if a_max is None else a_max
    ),
    np.amax: lambda a, axis=None, *, keepdims=False: r.amax(a, axis=axis, keepdims=keepdims),
    np.amin: lambda a, axis=None, *, keepdims=False: r.amin(a, axis=axis, keepdims=keepdims),
    np.var: lambda a, axis=None, *, ddof=0, keepdims=False: r.var(
        a, axis=axis, correction=ddof, keepdims=keepdims
    ),
    np.std: lambda a, axis=None, *, ddof=0, keepdims=False: r.std(
        a, axis=axis, correction=ddof, keepdims=keepdims
    ),
    np.dot: _dot,
    np.outer: lambda a, b: np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1)),
    np.einsum: f.products.einsum,
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a: a.numel(),
    np.zeros_like: lambda a, dtype=None: f.making.zeros_like(a, dtype=dtype),
    np.ones_like: lambda a, dtype=None: f.making.ones_like(a, dtype=dtype),
    np.full_like: lambda a, fill_value, dtype=None: f.making.full_like(a, fill_value, dtype=dtype),
    np.linalg.norm: lambda x, ord=None, axis=None, keepdims=False: _norm(x, ord, axis, keepdims),
    np.array_equal: lambda a1, a2: bool(np.array_equal(_detached(a1), _detached(a2))),
    np.allclose: lambda a, b, rtol=1e-5, atol=1e-8: bool(
        np.allclose(_detached(a), _detached(b), rtol, atol)
    ),
}


def _norm(x: Any, ord: Any, axis: Any, keepdims: bool) -> Any:
    if ord is None or (ord == 2 and isinstance(axis, int)):
        return r.norm(x, axis=axis, keepdims=keepdims)
    raise missing(np.linalg.norm)


def _detached(a: Any) -> Any:
    return a._array if isinstance(a, Node) else a
