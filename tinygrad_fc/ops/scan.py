"""Running sums and products along an axis, and the product of all.

Their derivatives divide by nothing, and so are right where an element is 0, in every order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fc.domain import axes, axis, flag, real
from tinygrad_fc.op import Op, quiet
from tinygrad_fc.op import row as op
from tinygrad_fc.ops.elementwise import joint, product
from tinygrad_fc.ops.reduce import spread

along = {"axis": axis}

cumsum = op(
    np.cumsum,
    domain=(real(..., "n"),),
    settings=along,
    rules=(
        lambda g, out, x, axis=-1: np.flip(np.cumsum(np.flip(g, axis=axis), axis=axis), axis=axis),
    ),
)


def _before(x: Any) -> Any:
    """Return the product of what stands before each element of the last axis."""
    running = cumprod(x, axis=-1)
    return np.concatenate([np.ones_like(x[..., :1]), running[..., :-1]], axis=-1)


def _cumprod_slope(g: Any, out: Any, x: Any, axis: Any = -1) -> Any:
    if not x.size:
        return g
    x, g = x.swapaxes(axis, -1), g.swapaxes(axis, -1)
    # A later result is what stands before an element, times the element, times the factors up to
    # there: their sum is share[i] = g[i] + x[i + 1] * share[i + 1], in steps of 1, 2, 4, ...
    share, factor, step = g[..., ::-1], x[..., ::-1], 1
    factor = np.concatenate([np.ones_like(factor[..., :1]), factor[..., :-1]], axis=-1)
    while step < x.shape[-1]:
        later = product(share[..., :-step], factor[..., step:])
        share = np.concatenate([share[..., :step], share[..., step:] + later], axis=-1)
        both = joint(factor[..., :-step], factor[..., step:])
        factor = np.concatenate([factor[..., :step], both], axis=-1)
        step *= 2
    return product(share[..., ::-1], _before(x)).swapaxes(axis, -1)


cumprod: Op = op(
    np.cumprod,
    forward=quiet(np.cumprod),
    domain=(real(..., "n"),),
    settings=along,
    rules=(_cumprod_slope,),
)


def _prod_slope(g: Any, out: Any, x: Any, axis: Any = None, keepdims: Any = False) -> Any:
    if not x.size:
        return spread(g, x.shape, axis, keepdims)
    # The axes that are reduced, last and made one.
    over = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    gone = [k % x.ndim for k in over]
    order = (*(k for k in range(x.ndim) if k not in gone), *gone)
    row = np.transpose(x, order)
    flat = row.reshape((*row.shape[: x.ndim - len(gone)], math.prod(x.shape[k] for k in gone)))
    others: Any = joint(_before(flat), _before(flat[..., ::-1])[..., ::-1])
    back = tuple(np.argsort(order).tolist())
    others = np.transpose(others.reshape(row.shape), back)
    return product(spread(g, x.shape, axis, keepdims), others)


prod = op(
    np.prod,
    forward=quiet(
        lambda x, axis=None, keepdims=False: np.multiply.reduce(x, axis=axis, keepdims=keepdims)
    ),
    domain=(real,),
    settings={"axis": axes, "keepdims": flag},
    rules=(_prod_slope,),
)
