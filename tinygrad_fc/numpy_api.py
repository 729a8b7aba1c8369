"""NumPy's own functions on tensors: `np.exp(t)`, `np.sum(t, axis=0)`, `array * t`.

A function with a row leads to the row. Those whose signature says more than arrays and settings
stand in `numpy_names`.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from tinygrad_fc.errors import DtypeError, GraphError
from tinygrad_fc.graph import Node, changed, changing, record
from tinygrad_fc.numpy_names import ADAPTERS
from tinygrad_fc.op import missing, table
from tinygrad_fc.ops import reduce as r
from tinygrad_fc.ops import scan

REDUCED = {np.add: r.sum_, np.multiply: scan.prod, np.maximum: r.amax, np.minimum: r.amin}


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
