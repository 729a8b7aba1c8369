"""Products with a Jacobian, from either side: what functions of derivatives are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import grad_mode
from tinygrad_fc.autograd import grad
from tinygrad_fc.graph import record, wrap
from tinygrad_fc.ops import shape as s

if TYPE_CHECKING:
    from collections.abc import Sequence

    Maybe = Sequence[Any]  # of tensors, with None where there is no dependence


def fresh(t: Any, *, create: bool) -> Any:
    """Return `t` as a tensor to differentiate by; with `create`, a part of the graph of `t`.

    It is never `t` itself, which the function may also have from elsewhere, as a constant.
    """
    if create and t._requires_grad:
        return record(s.reshape, (t,), {"shape": t._array.shape})
    return t.detach().requires_grad_()


def gradients(outputs: Maybe, inputs: Sequence[Any], weights: Maybe, *, create: bool) -> list[Any]:
    """Return the gradient of `outputs`, weighed, by each input; None where there is none."""
    pairs = [
        (t, v) for t, v in zip(outputs, weights, strict=True) if t is not None and t._requires_grad
    ]
    if not pairs:
        return [None] * len(inputs)
    tracked, seeds = zip(*pairs, strict=True)
    return list(
        grad(tracked, inputs, seeds, retain_graph=True, create_graph=create, allow_unused=True)
    )


def pushed(outputs: Maybe, inputs: Sequence[Any], v: Maybe, *, create: bool) -> list[Any]:
    """Return the derivative of each output along `v`; None where there is none.

    The gradient is linear in its weights u: it is J^T u, whose own gradient by u, weighed by v,
    is J v. So the value of u does not matter (J. Townsend, "A new trick for calculating Jacobian
    vector products", 2017).
    """
    tracked = [t for t in outputs if t is not None and t._requires_grad]
    with grad_mode.enable_grad():
        u = [wrap(np.zeros_like(t._array)).requires_grad_() for t in tracked]
        back = gradients(tracked, inputs, u, create=True)
    found = iter(gradients(back, u, v, create=create))
    return [next(found) if t is not None and t._requires_grad else None for t in outputs]


def rows(output: Any, inputs: Sequence[Any], *, create: bool) -> list[list[Any]]:
    """Return for each input the gradients of the elements of `output`, one after another."""
    found: list[list[Any]] = [[] for _ in inputs]
    for k in range(output._array.size):
        one = np.zeros(output._array.shape, output._array.dtype)
        one.reshape(-1)[k] = 1
        for column, g in zip(
            found, gradients((output,), inputs, (wrap(one),), create=create), strict=True
        ):
            column.append(g)
    return found


def stacked(column: Sequence[Any], output: Any, t: Any) -> Any:
    """Return the Jacobian of `output` by `t`, whose rows are in `column`."""
    shape = (*output._array.shape, *t._array.shape)
    if not column:
        return wrap(np.zeros(shape, t._array.dtype))
    return record(s.reshape, (record(s.stack, column, {"axis": 0}),), {"shape": shape})
