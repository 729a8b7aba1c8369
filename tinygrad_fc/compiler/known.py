"""Which of NumPy's functions the tracer knows, and how it takes them.

`PLAIN` functions make one array, whose shape depends on shapes and settings alone: they are noted
down as they are. `SPECIAL` ones are put in terms of other instructions, or ask nothing of values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.number import Number
from tinygrad_fc.compiler.program import Part
from tinygrad_fc.compiler.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.compiler.recorder import Recorder

PLAIN = frozenset(
    getattr(np, name)
    for name in (
        *("dot", "vdot", "inner", "tensordot", "einsum", "kron", "cross", "trace"),
        *("concatenate", "stack", "vstack", "hstack", "dstack", "column_stack", "tile", "roll"),
        *("flip", "rot90", "diag", "diagonal", "tril", "triu", "take", "take_along_axis"),
        *("mean", "var", "std", "median", "nanmean", "nansum", "cumsum", "cumprod", "diff"),
        *("argmax", "argmin", "argsort", "sort", "clip", "round", "around", "real", "imag"),
        *("isclose", "count_nonzero", "searchsorted", "interp", "convolve", "pad", "ptp"),
        *("average", "percentile", "quantile", "nan_to_num", "logspace", "linspace", "block"),
        *("apply_along_axis", "digitize", "partition", "argpartition", "trapezoid", "sinc", "i0"),
    )
    if hasattr(np, name)
) | frozenset(
    getattr(np.linalg, name)
    for name in ("solve", "inv", "det", "cholesky", "norm", "pinv", "matrix_power", "multi_dot")
)

RAISING = frozenset(getattr(np.linalg, name) for name in ("solve", "inv", "cholesky"))
"""Those of them that raise by values, which an operation may catch: it is noted down whole."""

POWERS = {1: np.positive, -1: np.reciprocal, 0.5: np.sqrt, 2: np.square}
"""What NumPy's `x ** y` does in place of `np.power` for floats, by y."""

WARNINGS = {np.exp: {"over", "under"}, np.negative: set[str]()}
"""What a function may warn of, where that is not everything."""


def key(*parts: Any) -> Any:
    """Return what tells `parts` from others: numbers and words by value, the rest by identity."""
    return tuple(
        key(*part) if isinstance(part, tuple) else part if type(part) in (int, str) else id(part)
        for part in parts
    )


def traced(a: Any) -> bool:
    """Tell whether a tracer or a traced number is `a`, or is in it."""
    if type(a) is Tracer or type(a) is Number:
        return True
    if isinstance(a, list | tuple):
        return any(map(traced, a))
    return isinstance(a, dict) and any(map(traced, a.values()))


def alike(a: Any, b: Any) -> bool:
    """Tell whether two arrays hold the same, NaNs and signs of zeros too."""
    if not isinstance(a, np.ndarray) or a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(a.tobytes() == b.tobytes())


def template(a: Any, operands: list[Any]) -> Any:
    """Return an argument with parts in place of arrays and numbers, added to `operands`."""
    if type(a) in (Tracer, Number) or isinstance(a, np.ndarray):
        operands.append(a)
        return Part(len(operands) - 1)
    if isinstance(a, list | tuple):
        parts = [template(part, operands) for part in a]
        return parts if isinstance(a, list) else tuple(parts)
    if isinstance(a, dict):
        return {key: template(part, operands) for key, part in a.items()}
    if isinstance(a, slice):
        return slice(*(template(part, operands) for part in (a.start, a.stop, a.step)))
    return a


def call(count: int) -> dict[str, Any]:
    """Return the settings of a call with `count` operands and nothing else."""
    return {"inputs": tuple(map(Part, range(count))), "named": {}}


def whole(at: Any) -> Any:
    """Return an index that is an array as a tuple of one, as others are."""
    return (at,) if isinstance(at, Part) else at


def later(at: Any) -> Any:
    """Return an index whose parts stand one place further back."""
    if isinstance(at, Part):
        return Part(at.index + 1)
    return tuple(map(later, at)) if isinstance(at, tuple) else at


def inverse(axes: Sequence[int]) -> tuple[int, ...]:
    """Return the order of axes that takes `axes` back."""
    return tuple(int(k) for k in np.argsort(axes))


# Functions in terms of others


def _reduced(ufunc: Any) -> Any:
    def noted(
        recorder: Recorder,
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        **rest: Any,
    ) -> Any:
        rest = {k: v for k, v in rest.items() if v is not np._NoValue}
        made = recorder.reduce(ufunc, recorder.array(a), axis, dtype, **rest)
        return made if out is None else recorder.stored(out, made)

    return noted


def _extreme(ufunc: Any) -> Any:
    def noted(recorder: Recorder, a: Any, axis: Any = None, out: Any = None, **rest: Any) -> Any:
        return _reduced(ufunc)(recorder, a, axis, None, out, **rest)

    return noted


def _truth(ufunc: Any) -> Any:
    def noted(
        recorder: Recorder, a: Any, axis: Any = None, out: Any = None, keepdims: Any = False
    ) -> Any:
        keepdims = False if keepdims is np._NoValue else keepdims
        return _reduced(ufunc)(recorder, a, axis, None, out, keepdims=keepdims)

    return noted


def _outer(recorder: Recorder, a: Any, b: Any, out: Any = None) -> Any:
    rows, columns = (recorder.reshape(recorder.array(x), -1) for x in (a, b))
    made = recorder.outer(np.multiply, rows, columns)
    return made if out is None else recorder.stored(out, made)


def _where(recorder: Recorder, condition: Any, *choices: Any) -> Any:
    if not choices:
        return recorder.unknown("np.where of a condition alone")
    return recorder.generic(np.where, (condition, *choices), {})


def _full_like(recorder: Recorder, a: Any, value: Any, dtype: Any = None, **shape: Any) -> Any:
    wanted = shape.get("shape")
    if type(value) is Tracer or isinstance(value, np.ndarray):
        made = recorder.array(value)
        made = recorder.cast(made, dtype or a.dtype)
        return recorder.emit("expand", None, (made,), {"shape": wanted or a.shape}).copy()
    settings = {
        "shape": a.shape if wanted is None else tuple(wanted),
        "dtype": np.dtype(a.dtype if dtype is None else dtype),
    }
    return recorder.emit("fill", None, (value,), settings)


def _copyto(
    recorder: Recorder, dst: Any, src: Any, casting: Any = "same_kind", where: Any = True
) -> None:
    target, value = recorder.array(dst), recorder.array(src)
    if not np.can_cast(value.dtype, target.dtype, casting) and not np.isscalar(src):
        np.copyto(target.shadow.copy(), value.shadow, casting=casting)  # which raises
    if where is not True:
        value = recorder.generic(np.where, (where, recorder.cast(value, target.dtype), target), {})
    recorder.assign(target, ..., value)


def _broadcast_to(recorder: Recorder, array: Any, shape: Any, **_: Any) -> Any:
    wanted = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    return recorder.view("expand", (recorder.array(array),), {"shape": tuple(map(int, wanted))})


def _moved(of: Any) -> Any:
    """Return a function of an array's axes alone, by what it does to the numbers of the axes."""

    def noted(recorder: Recorder, a: Any, *args: Any, **kwargs: Any) -> Any:
        a = recorder.array(a)
        sizes = np.empty(tuple(range(2, 2 + a.ndim)), "?")
        return recorder.transpose(a, [n - 2 for n in of(sizes, *args, **kwargs).shape])

    return noted


def _reshaped(of: Any) -> Any:
    """Return a function that takes axes of size 1 in or out."""

    def noted(recorder: Recorder, a: Any, *args: Any, **kwargs: Any) -> Any:
        a = recorder.array(a)
        return recorder.reshape(a, of(np.broadcast_to(np.True_, a.shape), *args, **kwargs).shape)

    return noted


def _as_truth(function: Any) -> Any:
    def noted(recorder: Recorder, *args: Any, **kwargs: Any) -> Any:
        return recorder.generic(function, args, kwargs).item()

    return noted


def _text(recorder: Recorder, a: Any, *_: Any, **__: Any) -> str:
    return recorder.text(a)


def _of_shadows(function: Any) -> Any:
    """Return a function that asks for shapes and dtypes only."""

    def noted(recorder: Recorder, *args: Any, **kwargs: Any) -> Any:
        if function in (np.may_share_memory, np.shares_memory):
            recorder.layout(f"np.{function.__name__}")
        plain = [a.shadow if type(a) is Tracer else a for a in args]
        plain = [a.value if type(a) is Number else a for a in plain]
        return function(*plain, **kwargs)

    return noted


def _result_type(recorder: Recorder, *args: Any) -> Any:
    del recorder
    return np.result_type(*(a.dtype if type(a) is Tracer else a for a in args))


SPECIAL: dict[Any, Any] = {
    np.sum: _reduced(np.add),
    np.prod: _reduced(np.multiply),
    np.max: _extreme(np.maximum),
    np.min: _extreme(np.minimum),
    np.amax: _extreme(np.maximum),
    np.amin: _extreme(np.minimum),
    np.any: _truth(np.logical_or),
    np.all: _truth(np.logical_and),
    np.where: _where,
    np.outer: _outer,
    np.zeros_like: lambda recorder, a, dtype=None, **rest: _full_like(
        recorder, a, 0, dtype, **rest
    ),
    np.empty_like: lambda recorder, a, dtype=None, **rest: _full_like(
        recorder, a, 0, dtype, **rest
    ),
    np.ones_like: lambda recorder, a, dtype=None, **rest: _full_like(recorder, a, 1, dtype, **rest),
    np.full_like: _full_like,
    np.copyto: _copyto,
    np.copy: lambda recorder, a, order="K", **_: recorder.array(a).copy(order),
    np.reshape: lambda recorder, a, shape, order="C", **_: recorder.reshape(
        recorder.array(a), shape, order
    ),
    np.ravel: lambda recorder, a, order="C": recorder.reshape(recorder.array(a), -1, order),
    np.transpose: lambda recorder, a, axes=None: recorder.transpose(recorder.array(a), axes),
    np.swapaxes: _moved(np.swapaxes),
    np.moveaxis: _moved(np.moveaxis),
    np.squeeze: _reshaped(np.squeeze),
    np.expand_dims: _reshaped(np.expand_dims),
    np.atleast_1d: _reshaped(np.atleast_1d),
    np.atleast_2d: _reshaped(np.atleast_2d),
    np.broadcast_to: _broadcast_to,
    np.allclose: _as_truth(np.allclose),
    np.array_equal: _as_truth(np.array_equal),
    np.shape: _of_shadows(np.shape),
    np.ndim: _of_shadows(np.ndim),
    np.size: _of_shadows(np.size),
    np.result_type: _result_type,
    np.can_cast: _of_shadows(np.can_cast),
    np.may_share_memory: _of_shadows(np.may_share_memory),
    np.shares_memory: _of_shadows(np.shares_memory),
    np.isrealobj: _of_shadows(np.isrealobj),
    np.iscomplexobj: _of_shadows(np.iscomplexobj),
    np.array2string: _text,
    np.array_repr: _text,
    np.array_str: _text,
    np.format_float_positional: _text,
}
