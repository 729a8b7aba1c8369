"""NumPy's own functions on tensors: `np.exp(t)`, `np.sum(t, axis=0)`, `array * t`.

A NumPy function that is registered as an op calls the op. Functions with other signatures have an
adapter here, with NumPy's semantics: `np.std(t)` divides by n, `np.median(t)` is the mean of the
two middle elements.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np

from tinygrad_fc import functional as f
from tinygrad_fc.errors import DtypeError, GraphError
from tinygrad_fc.functional.arguments import normalize_dim
from tinygrad_fc.graph import Node, array_of, mutation_lock, record, record_change
from tinygrad_fc.op import NUMPY_NAMES, no_rule_error, registry
from tinygrad_fc.ops import reduce as r
from tinygrad_fc.ops import shape as s
from tinygrad_fc.ops.elementwise import clamp, multiply

MATRIX = 2


_tensor: Any = f.creation.as_tensor


def _reshaped(function: Any) -> Any:
    """Return the adapter of a NumPy function with an axis that changes only the shape."""

    def adapter(a: Any, axis: Any = None) -> Any:
        return s.reshape(a, shape=function(np.broadcast_to(0, a.shape), axis).shape)

    return adapter


def _common(a: Any, b: Any) -> tuple[Any, Any]:
    """Return tensors of the dtype to which NumPy promotes `a` and `b`; ops refuse two dtypes."""
    a, b = _tensor(a), _tensor(b)
    dtype = np.result_type(a.dtype, b.dtype)
    return a.to(dtype), b.to(dtype)


def _dot(a: Any, b: Any) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return multiply(a, b)
    a, b = _common(a, b)
    if np.ndim(b) <= MATRIX:
        return a @ b
    # Every row of a is multiplied by every matrix of b; matmul would pair them.
    return f.linalg.tensordot(a, b, ([-1], [-2]))


# Sorting and selection


def _flat(a: Any, axis: Any) -> tuple[Any, int]:
    """Return `a` and `axis`, or for None the flattened array and 0."""
    return (a.reshape(-1), 0) if axis is None else (a, axis)


def _median(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    axes: Any = range(a.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = [normalize_dim(k, a.ndim, "median") for k in axes]
    rest = [k for k in range(a.ndim) if k not in axes]
    rows = a.permute(*rest, *axes).reshape(*(a.shape[k] for k in rest), -1)
    out = f.reduction.quantile(_float(rows), 0.5, -1)
    return out.reshape([1 if k in axes else a.shape[k] for k in range(a.ndim)]) if keepdims else out


def _unique(
    ar: Any, *, return_inverse: bool = False, return_counts: bool = False, axis: Any = None
) -> Any:
    return f.indexing.unique(ar, True, return_inverse, return_counts, axis)  # noqa: FBT003  PyTorch's


def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    a, k = _flat(_tensor(arr), axis)
    at = array_of(indices)
    if not isinstance(at, np.ndarray) or at.dtype.kind not in "iu":
        raise DtypeError(f"take_along_axis needs an array of integers, got {indices!r:.60}")
    return f.indexing.take_along_dim(a, np.where(at < 0, at + a.shape[k], at), k)  # type: ignore[arg-type]


def _take(a: Any, indices: Any, axis: Any = None) -> Any:
    x, k = _flat(_tensor(a), axis)
    before = (slice(None),) * normalize_dim(k, x.ndim, "take")
    return x[(*before, np.asarray(array_of(indices)))]


def _variance(op: Any, a: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    return op(a, axis=axis, correction=ddof, keepdim=keepdims)


# Matrices


def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return f.shape.diagonal(a, offset, axis1, axis2)


def _float(a: Any) -> Any:
    """Return `a` with integers cast to float64, as NumPy's linear algebra does."""
    a = _tensor(a)
    return a if a.dtype.kind == "f" else a.to(np.float64)


def _solve(a: Any, b: Any) -> Any:
    a, b = _common(_float(a), _float(b))
    if b.ndim == 1:
        return f.linalg.solve(a, b[:, None])[..., 0]
    return f.linalg.solve(a, b[None] if b.shape == a.shape[:-1] else b)


ADAPTERS: dict[Any, Any] = {
    np.where: f.elementwise.where,
    np.nonzero: f.elementwise.where,
    np.cumsum: lambda a, axis=None: r.cumsum(*_flat(a, axis)),
    np.cumprod: lambda a, axis=None: r.cumprod(*_flat(a, axis)),
    np.concatenate: lambda arrays, axis=0: f.shape.cat(list(arrays), axis),
    np.stack: lambda arrays, axis=0: f.shape.stack(list(arrays), axis),
    np.transpose: lambda a, axes=None: s.transpose(
        a, axes=tuple(range(a.ndim))[::-1] if axes is None else tuple(axes)
    ),
    np.swapaxes: f.shape.transpose,
    np.reshape: lambda a, shape: s.reshape(a, shape=shape),
    np.ravel: lambda a: s.reshape(a, shape=(-1,)),
    np.squeeze: _reshaped(np.squeeze),
    np.expand_dims: _reshaped(np.expand_dims),
    np.broadcast_to: lambda array, shape: s.broadcast_to(array, shape=shape),
    np.flip: lambda m, axis=None: s.flip(m, axis=axis),
    np.clip: lambda a, a_min=None, a_max=None, *, min=None, max=None: clamp(
        a, min if a_min is None else a_min, max if a_max is None else a_max
    ),
    np.var: functools.partial(_variance, r.var),
    np.std: functools.partial(_variance, r.std),
    np.dot: _dot,
    np.outer: lambda a, b: np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1)),
    np.einsum: f.linalg.einsum,
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a: a.numel(),
    np.zeros_like: lambda a, dtype=None: f.creation.zeros_like(a, dtype=dtype),
    np.ones_like: lambda a, dtype=None: f.creation.ones_like(a, dtype=dtype),
    np.full_like: f.creation.full_like,
    np.array_equal: lambda a1, a2: bool(np.array_equal(array_of(a1), array_of(a2))),
    np.allclose: lambda a, b, rtol=1e-5, atol=1e-8: bool(
        np.allclose(array_of(a), array_of(b), rtol, atol)
    ),
    np.sort: lambda a, axis=-1: f.indexing.sort(*_flat(a, axis)).values,
    np.median: _median,
    np.unique: _unique,
    np.bincount: lambda x, weights=None, minlength=0: f.indexing.bincount(
        x, None if weights is None else _tensor(weights).to(np.float64), minlength
    ),
    np.searchsorted: lambda a, v, side="left", sorter=None: f.indexing.searchsorted(
        a, v, side=side, sorter=sorter
    ),
    np.take_along_axis: _take_along_axis,
    np.take: _take,
    np.argwhere: f.indexing.nonzero,
    np.hstack: lambda tup: f.shape.hstack([_tensor(x) for x in tup]),
    np.vstack: lambda tup: f.shape.vstack([_tensor(x) for x in tup]),
    np.tile: lambda A, reps: f.shape.tile(A, reps if np.ndim(reps) else (reps,)),
    np.repeat: lambda a, repeats, axis=None: f.shape.repeat_interleave(a, repeats, axis),
    np.roll: lambda a, shift, axis=None: f.shape.roll(a, shift, axis),
    np.moveaxis: f.shape.movedim,
    np.tril: lambda m, k=0: f.shape.tril(m, k),
    np.triu: lambda m, k=0: f.shape.triu(m, k),
    np.diag: lambda v, k=0: f.shape.diag(v, k),
    np.diagonal: _diagonal,
    np.trace: lambda a, offset=0, axis1=0, axis2=1: _diagonal(a, offset, axis1, axis2).sum(-1),
    np.inner: lambda a, b: f.linalg.inner(*_common(a, b)),
    np.tensordot: lambda a, b, axes=2: f.linalg.tensordot(*_common(a, b), axes),
    np.kron: lambda a, b: f.linalg.kron(_tensor(a), _tensor(b)),
    np.linalg.norm: lambda x, ord=None, axis=None, keepdims=False: f.linalg.norm(
        _float(x), ord, axis, keepdims
    ),
    np.linalg.solve: _solve,
    np.linalg.inv: lambda a: f.linalg.inv(_float(a)),
    np.linalg.det: lambda a: f.linalg.det(_float(a)),
    np.linalg.slogdet: lambda a: f.linalg.slogdet(_float(a)),
    np.linalg.svd: lambda a, full_matrices=True: f.linalg.svd(_float(a), full_matrices),
    np.linalg.svdvals: lambda x: f.linalg.svdvals(_float(x)),
    np.linalg.cholesky: lambda a, *, upper=False: f.linalg.cholesky(_float(a), upper=upper),
}


ALIASES: dict[Any, Any] = {np.amax: np.max, np.amin: np.min, np.around: np.round}
REDUCED = {np.add: r.sum, np.multiply: r.prod, np.maximum: r.amax, np.minimum: r.amin}


def ufunc(called: Any, method: str, inputs: Any, kwargs: dict[str, Any]) -> Any:
    """Implement `__array_ufunc__`: call the op of the ufunc, or of its method such as `reduce`."""
    if kwargs.get("out") is not None:
        if any(isinstance(a, Node) and a._requires_grad for a in (*inputs, *kwargs["out"])):
            raise GraphError(
                f"{called.__name__} cannot write the result of a tensor that requires grad to "
                "out=, which has no gradient: write `a = a + t` for `a += t`, or use t.detach()"
            )
        plain = [array_of(a) for a in inputs]
        if not any(isinstance(a, Node) for a in kwargs["out"]):
            with mutation_lock:  # a tensor may share the array
                result = getattr(called, method)(*plain, **kwargs)
                record_change(*(a for a in kwargs["out"] if a is not None))
            return result
    if method == "reduce" and called in REDUCED:
        settings = {"dim": kwargs.pop("axis", 0), "keepdim": kwargs.pop("keepdims", False)}
        return _record(called, REDUCED[called], inputs, settings, kwargs)
    function = called if method == "__call__" else getattr(called, method)
    op = registry.get(function)
    if op is None:
        raise no_rule_error(function, len(inputs))
    return _record(called, op, inputs, {}, kwargs)


def _record(called: Any, op: Any, inputs: Any, settings: Any, rest: dict[str, Any]) -> Any:
    rest = {k: v for k, v in rest.items() if v is not None}
    if rest:
        raise DtypeError(
            f"{called.__name__} of a tensor does not take {', '.join(rest)}: leave it out, or use "
            "x.numpy()"
        )
    return record(op, tuple(inputs), settings)


def function(called: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Implement `__array_function__`: call the adapter or the op of the function."""
    called = ALIASES.get(called, called)
    adapter = ADAPTERS.get(called)
    if adapter is not None:
        try:
            inspect.signature(adapter).bind(*args, **kwargs)
        except TypeError as error:
            raise DtypeError(
                f"{called.__name__} of a tensor: {error}; leave that out, or use x.numpy()"
            ) from error
        return adapter(*args, **kwargs)
    op = registry.get(called)
    if op is None:
        raise no_rule_error(called, sum(isinstance(a, Node | np.ndarray) for a in args) or 1)
    names = list(inspect.signature(called).parameters)
    arguments = dict(zip(names, args, strict=False)) | kwargs
    arrays = [arguments.pop(name) for name in names[: len(op.domain)]]
    settings = {}
    for name in list(arguments):
        ours = name if name in op.accepted else NUMPY_NAMES.get(name)
        if ours in op.accepted:
            settings[ours] = arguments.pop(name)
    return _record(called, op, arrays, settings, arguments)
