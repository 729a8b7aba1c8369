"""NumPy's own functions on tensors: `np.exp(t)`, `np.sum(t, axis=0)`, `array * t`.

A NumPy function that is registered as an op calls the op. Functions with other signatures have an
adapter here, with NumPy's semantics: `np.std(t)` divides by n, `np.median(t)` is the mean of the
two middle elements. Any other function, such as `np.unique`, is called on the arrays and returns
arrays; if a tensor requires grad, it raises an error.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np

from tinygrad_fc.core.errors import DtypeError, GraphError
from tinygrad_fc.core.graph import call_op, mutation_lock, record_change
from tinygrad_fc.core.node import Node, array_of
from tinygrad_fc.core.op import NUMPY_NAMES, positional, readonly, registry
from tinygrad_fc.core.op_errors import no_rule_error
from tinygrad_fc.core.pytree import mapped
from tinygrad_fc.core.seam import like
from tinygrad_fc.functional import (
    creation,
    elementwise,
    equations,
    indexing,
    joining,
    linalg,
    products,
    reduction,
    shape,
    sorting,
)
from tinygrad_fc.functional.arguments import normalize_dim
from tinygrad_fc.ops import reduce
from tinygrad_fc.ops.arithmetic import multiply
from tinygrad_fc.ops.elementwise import clamp
from tinygrad_fc.ops.indexing import at_axis
from tinygrad_fc.ops.shape import broadcast_to, flip, reshape, transpose

_tensor: Any = creation.as_tensor


def _reshaped(function: Any) -> Any:
    """Return the adapter of a NumPy function with an axis that changes only the shape."""

    def adapter(a: Any, axis: Any = None) -> Any:
        return reshape(a, shape=function(np.broadcast_to(0, a.shape), axis).shape)

    return adapter


# Sorting and selection


def _flat(a: Any, axis: Any) -> tuple[Any, int]:
    """Return a tensor and `axis`, or for None the flattened tensor and 0."""
    return (_tensor(a).reshape(-1), 0) if axis is None else (_tensor(a), axis)


def _take(a: Any, indices: Any, axis: Any = None) -> Any:
    x, k = _flat(a, axis)
    at = np.asarray(array_of(indices), like=like())
    return x[at_axis(normalize_dim(k, x.ndim, "take"), at)]


# Matrices


def _common(a: Any, b: Any) -> tuple[Any, Any]:
    """Return tensors of the dtype to which NumPy promotes `a` and `b`; ops refuse two dtypes."""
    a, b = _tensor(a), _tensor(b)
    dtype = np.result_type(a.dtype, b.dtype)
    return a.to(dtype), b.to(dtype)


def _dot(a: Any, b: Any) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return multiply(a, b)
    a, b = _common(a, b)
    # Every row of a is multiplied by every matrix of b; matmul would pair them.
    return products.tensordot(a, b, ([-1], [-2])) if b.ndim > 2 else a @ b


def _float(a: Any) -> Any:
    """Return `a` with integers and booleans cast to float64, as NumPy does."""
    a = _tensor(a)
    return a if a.dtype.kind == "f" else a.to(np.float64)


def _of_floats(function: Any) -> Any:
    return lambda a, *args, **settings: function(_float(a), *args, **settings)


def _solve(a: Any, b: Any) -> Any:
    a, b = _common(_float(a), _float(b))
    return equations.solve(a, b[None] if b.ndim > 1 and b.shape == a.shape[:-1] else b)


def _same(module: Any, *names: str) -> dict[Any, Any]:
    """Return functions of `module` by NumPy's of the same names and order of arguments."""
    return {getattr(np, name): getattr(module, name) for name in names}


ADAPTERS: dict[Any, Any] = {
    **_same(creation, "full_like", "ones_like", "zeros_like"),
    **_same(products, "einsum", "kron"),
    **_same(joining, "hstack", "stack", "tile", "vstack"),
    **_same(shape, "diag", "diagonal", "ravel", "tril", "triu"),
    np.allclose: lambda a, b, *rest, **named: np.allclose(array_of(a), array_of(b), *rest, **named),
    np.argwhere: indexing.nonzero,
    np.array_equal: elementwise.equal,
    np.concatenate: joining.cat,
    np.moveaxis: shape.movedim,
    np.nonzero: elementwise.where,
    np.repeat: joining.repeat_interleave,
    np.swapaxes: shape.transpose,
    np.where: elementwise.where,
    np.broadcast_to: lambda array, shape: broadcast_to(array, shape=shape),
    np.clip: clamp,
    np.cumprod: lambda a, axis=None: reduce.cumprod(*_flat(a, axis)),
    np.cumsum: lambda a, axis=None: reduce.cumsum(*_flat(a, axis)),
    np.dot: _dot,
    np.expand_dims: _reshaped(np.expand_dims),
    np.flip: lambda m, axis=None: flip(m, axis=axis),
    np.inner: lambda a, b: products.inner(*_common(a, b)),
    np.median: lambda a, axis=None, *, keepdims=False: reduction.quantile(
        _float(a), 0.5, axis, keepdims
    ),
    np.ndim: lambda a: a.ndim,
    np.outer: lambda a, b: np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1)),
    np.reshape: lambda a, shape: reshape(a, shape=shape),
    np.roll: lambda a, shift, axis=None: shape.roll(a, shift, axis),
    np.shape: lambda a: a.shape,
    np.size: lambda a: a.numel(),
    np.sort: lambda a, axis=-1: sorting.sort(*_flat(a, axis)).values,
    np.squeeze: _reshaped(np.squeeze),
    np.std: functools.partial(reduce.std, correction=0),
    np.take: _take,
    np.tensordot: lambda a, b, axes=2: products.tensordot(*_common(a, b), axes),
    np.trace: lambda a, *args, **settings: np.diagonal(a, *args, **settings).sum(-1),
    np.transpose: lambda a, axes=None: a.T if axes is None else transpose(a, axes=tuple(axes)),
    np.var: functools.partial(reduce.var, correction=0),
    np.linalg.solve: _solve,
    **{
        getattr(np.linalg, name): _of_floats(getattr(linalg, name))
        for name in ("cholesky", "det", "inv", "norm", "slogdet", "svd", "svdvals")
    },
}
ALIASES: dict[Any, Any] = {np.amax: np.max, np.amin: np.min, np.around: np.round}
RENAMED = NUMPY_NAMES | {"axis1": "dim1", "axis2": "dim2", "k": "diagonal"}
RENAMED |= {"a_min": "min", "a_max": "max"}
REDUCED: dict[Any, Any] = {np.add: reduce.sum, np.multiply: reduce.prod}
REDUCED |= {np.maximum: reduce.amax, np.minimum: reduce.amin}


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
        return _call_accepted(called, REDUCED[called], inputs, settings | kwargs)
    function = called if method == "__call__" else getattr(called, method)
    op = registry.get(function)
    if op is None:
        return _call_on_arrays(function, inputs, kwargs)
    return _call_accepted(called, op, inputs, kwargs)


def _call_on_arrays(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Return the result of a function without a rule on the arrays of tensors: arrays.

    The arrays are read-only. Raises `NoRuleError` if a tensor requires grad, whose gradient would
    be lost.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, Node) and value._requires_grad:
            count = sum(isinstance(a, Node | np.ndarray) for a in args)
            raise no_rule_error(function, count or 1)
        return readonly(array_of(value))

    args, kwargs = mapped(plain, (tuple(args), kwargs))
    return function(*args, **kwargs)


def _call_accepted(called: Any, op: Any, inputs: Any, settings: dict[str, Any]) -> Any:
    rest = [k for k in settings if k not in op.accepted and settings[k] is not None]
    if rest:
        raise DtypeError(f"{called.__name__} of tensors takes no {', '.join(rest)}: use x.numpy()")
    return call_op(op, tuple(inputs), {k: settings[k] for k in settings if k in op.accepted})


def function(called: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Implement `__array_function__`: call the adapter or the op of the function."""
    called = ALIASES.get(called, called)
    if args and called in (np.mean, np.std, np.var):
        args = (_float(args[0]), *args[1:])
    adapter = ADAPTERS.get(called)
    if adapter is not None:
        signature = inspect.signature(adapter)
        kwargs = {k if k in signature.parameters else RENAMED.get(k, k): kwargs[k] for k in kwargs}
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise DtypeError(
                f"{called.__name__} of a tensor: {error}; leave that out, or use x.numpy()"
            ) from error
        return adapter(*args, **kwargs)
    op = registry.get(called)
    if op is None:
        return _call_on_arrays(called, args, kwargs)
    # NumPy 2.0 has functions without a signature; those in Python are wrapped.
    names = positional(inspect.unwrap(called))[0] or op.operands
    arguments = dict(zip(names, args, strict=False)) | kwargs
    arrays = [arguments.pop(name) for name in names[: len(op.domain)]]
    settings = {k if k in op.accepted else RENAMED.get(k, k): arguments[k] for k in arguments}
    return _call_accepted(called, op, arrays, settings)
