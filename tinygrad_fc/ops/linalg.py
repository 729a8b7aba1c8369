"""Products of matrices and vectors."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinygrad_fc.domain import real
from tinygrad_fc.op import Chain, Each
from tinygrad_fc.op import row as op
from tinygrad_fc.ops import elementwise
from tinygrad_fc.ops.shape import broadcast_to


def _matmul(x: Any, y: Any) -> Any:
    # For two matrices `dot` is the same product at half the cost of the call.
    if x.__class__ is y.__class__ is np.ndarray and x.ndim == 2 == y.ndim:
        try:
            return x.dot(y)
        except ValueError as error:
            raise ValueError(
                f"axis 1 of the first has size {x.shape[1]} and axis 0 of the second {y.shape[0]}, "
                "and they must be one size. Transpose one of them (x.T)"
            ) from error
    return x @ y


def _left(g: Any, out: Any, x: Any, y: Any) -> Any:
    if y.ndim == 1:
        return g[..., None] * y
    if x.ndim == 1:
        return (y @ g[..., None])[..., 0]
    return g @ y.swapaxes(-1, -2)


def _right(g: Any, out: Any, x: Any, y: Any) -> Any:
    if x.ndim == 1:
        return x[:, None] * g[..., None, :] if y.ndim > 1 else x * g
    if y.ndim == 1:
        return (g[..., None, :] @ x)[..., 0, :]
    return x.swapaxes(-1, -2) @ g


matmul = op(
    np.matmul,
    forward=_matmul,
    domain=(real(..., "n?", "k"), real(..., "k", "m?")),
    rules=(_left, _right),
)


# A layer: x (..., in), weight (out, in), bias (out,), formula (3) for a batch of samples.


def _weighed(x: Any, weight: Any) -> Any:
    if not x.ndim:
        raise ValueError("the input is a number and has no axis to be weighed")
    return x.dot(weight.T)


def _linear(x: Any, weight: Any, bias: Any) -> Any:
    out = _weighed(x, weight)
    out += bias
    return out


def _rows(v: Any) -> Any:
    return v if v.ndim == 2 else v.reshape(math.prod(v.shape[:-1]), v.shape[-1])


@functools.lru_cache(maxsize=64)
def _ones(n: int, kind: str) -> Any:
    return np.ones(n, kind)


def _column_sums(g: Any) -> Any:
    # A product with ones sums a small batch in a third of the time of a reduction.
    return _ones(len(g), g.dtype.char).dot(g) if g.__class__ is np.ndarray else np.add.reduce(g)


linear = op(
    _linear,
    name="linear",
    domain=(real(..., "i"), real("o", "i"), real("o")),
    rules=(
        lambda g, out, x, weight, bias: _matmul(g, weight),
        lambda g, out, x, weight, bias: _matmul(_rows(g).T, _rows(x)),
        lambda g, out, x, weight, bias: _column_sums(_rows(g)),
    ),
)
product_linear = op(
    _weighed,
    name="linear",
    domain=(real(..., "i"), real("o", "i")),
    rules=(
        lambda g, out, x, weight: _matmul(g, weight),
        lambda g, out, x, weight: _matmul(_rows(g).T, _rows(x)),
    ),
)

# Formula (4): the layer with its activation.
linear_sigmoid, linear_tanh, linear_relu = (
    Chain(linear, act) for act in (elementwise.sigmoid, elementwise.tanh, elementwise.relu)
)


def _einsum_slope(i: int, g: Any, out: Any, *xs: Any, equation: str) -> Any:
    inputs, result = equation.split("->")
    terms = inputs.split(",")
    mine = terms.pop(i)
    others = [x for k, x in enumerate(xs) if k != i]
    # An index that stands nowhere else was summed over: repeat along it.
    known = set(result).union(*terms)
    kept = "".join(k for k in mine if k in known)
    share = einsum_(g, *others, equation=f"{','.join([result, *terms])}->{kept}")
    # An axis of size 1 was broadcast to the others' size: sum over it.
    sizes = dict(zip(mine, xs[i].shape, strict=True))
    wide = tuple(j for j, k in enumerate(kept) if sizes[k] == 1 != share.shape[j])
    if wide:
        share = share.sum(axis=wide, keepdims=True)
    found = dict(zip(kept, share.shape, strict=True))
    return broadcast_to(share.reshape(tuple(found.get(k, 1) for k in mine)), shape=xs[i].shape)


einsum_ = op(
    lambda *xs, equation: np.einsum(equation, *xs, optimize=len(xs) > 2),
    name="einsum",
    domain=(real("n", "k"), real("k", "m")),
    settings={"equation": lambda *_: ("ij,jk->ik", "ij,jk->", "ij,jk->kji", "ij,jk->k")},
    rules=Each(_einsum_slope),
)
"""Explicit equations without ellipsis or repeated indices in a term; `einsum` makes them so."""
