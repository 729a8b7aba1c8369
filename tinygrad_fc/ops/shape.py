"""Reshaping, transposing, copying, joining, and casts between float dtypes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fc.core.device import device_of, move_to_device
from tinygrad_fc.core.op import VariadicRule, define, readonly
from tinygrad_fc.domain import axis, axis_permutations, broadcast_shapes, real, reshaped
from tinygrad_fc.ops.indexing import at_axis, scatter_add


@define(
    numpy=np.broadcast_to,
    domain=(real,),
    settings={"shape": broadcast_shapes},
    rules=(lambda g, _out, _x, shape: g,),
)
def broadcast_to(input: Any, *, shape: Any) -> Any:
    """Return `input` repeated, without a copy, to `shape`.

    >>> broadcast_to(np.array([1.0, 2.0]), shape=(2, 2))
    array([[1., 2.],
           [1., 2.]])
    """
    if input.shape == shape:  # a view, so that an assignment sees another tensor of its memory
        return input.view() if input.__class__ is np.ndarray else input
    if shape[-input.ndim or len(shape) :] == input.shape and math.prod(shape) == input.size:
        return input.reshape(shape)  # no element is repeated: a view that can be changed
    return np.broadcast_to(input, shape)


@define(
    np.reshape,
    forward=lambda x, shape: x.reshape(shape),
    domain=(real,),
    settings={"shape": reshaped},
    rules=(lambda g, _out, _x, shape: g.reshape(_x.shape),),
)
def reshape(input: Any, *, shape: Any) -> Any:
    """Return the same elements in another shape.

    >>> reshape(np.arange(4.0), shape=(2, 2))
    array([[0., 1.],
           [2., 3.]])
    """


@define(
    np.transpose,
    forward=lambda x, axes: x.transpose(axes),
    domain=(real,),
    settings={"axes": axis_permutations},
    rules=(
        lambda g, _out, _x, axes: np.transpose(
            g, axes=tuple(np.argsort([k % len(axes) for k in axes]).tolist())
        ),
    ),
)
def transpose(input: Any, *, axes: Any) -> Any:
    """Return `input` with its axes in the order `axes`.

    >>> transpose(np.zeros((2, 3)), axes=(1, 0)).shape
    (3, 2)
    """


@define(
    np.flip,
    forward=lambda x, axis=None: np.flip(x, axis=axis).copy(),
    domain=(real,),
    settings={"axis": axis},
    rules=(lambda g, _out, _x, axis: np.flip(g, axis=axis),),
)
def flip(input: Any, *, axis: Any = None) -> Any:
    """Return a copy of `input` with the elements along `axis` in reverse order.

    >>> flip(np.arange(3.0), axis=0)
    array([2., 1., 0.])
    """


def on_diagonal(rows: int, columns: int, offset: int) -> tuple[Any, ...]:
    """Return the index of a diagonal in matrices whose last two axes are one."""
    start = offset if offset >= 0 else -offset * columns
    count = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    return (..., slice(start, start + count * (columns + 1), columns + 1))


def _diagonal_rule(g: Any, _out: Any, _x: Any, offset: int) -> Any:
    *before, n, m = _x.shape
    gradient: Any = scatter_add(g, at=on_diagonal(n, m, offset), shape=(*before, n * m))
    return gradient.reshape(_x.shape)


@define(domain=(real(..., "n", "m"),), settings={"offset": (0, 1, -1)}, rules=(_diagonal_rule,))
def diagonal(input: Any, *, offset: int) -> Any:
    """Return a view of the diagonals of the matrices in the last two axes.

    >>> diagonal(np.arange(6.0).reshape(2, 3), offset=1)
    array([1., 5.])
    """
    out = np.diagonal(input, offset, -2, -1)
    if out.__class__ is np.ndarray:
        out.flags.writeable = input.flags.writeable  # NumPy returns a view that is read-only
    return out


@define(
    domain=(real,),
    settings={"dtype": (np.dtype("d"), np.dtype("f"))},
    rules=(lambda g, _out, _x, dtype: g,),  # the backward pass casts it back
)
def astype(input: Any, *, dtype: Any) -> Any:
    """Return `input` cast to another dtype; only between floats it has a gradient.

    >>> astype(np.ones(2), dtype=np.float32).dtype
    dtype('float32')
    """
    return input.astype(dtype)


def _to_device_rule(g: Any, _out: Any, _x: Any, where: Any) -> Any:
    return to_device(g, where=device_of(_x))


# Not registered, since the property tests use NumPy arrays only.
@define(name="to", domain=(real,), rules=(_to_device_rule,), registered=False)
def to_device(input: Any, *, where: Any) -> Any:
    """Return `input` on the device `where`."""
    return move_to_device(input, where)


# The arguments of `autograd.Function.forward`, which it must not change.
_argument = define(
    name="argument", domain=(real,), rules=(lambda g, _out, _x: g,), registered=False
)
alias: Any = _argument(readonly)


@define(np.copy, forward=lambda x: x.copy(), domain=(real,), rules=(lambda g, _out, _x: g,))
def copy(input: Any) -> Any:
    """Return a copy.

    >>> copy(np.array([1.0, 2.0]))
    array([1., 2.])
    """


def _concatenate_rule(i: int, g: Any, _out: Any, *_xs: Any, axis: Any, ends: Any) -> Any:
    start = 0 if i == 0 else ends[i - 1]
    return g[at_axis(axis % g.ndim, slice(start, ends[i]))]


@define(
    np.concatenate,
    forward=lambda *xs, axis, ends: np.concatenate(xs, axis=axis),
    domain=(real("n", "k"), real("m", "k")),
    settings={"axis": (0, -2), "ends": lambda x, y: ((x.shape[0], x.shape[0] + y.shape[0]),)},
    rules=VariadicRule(_concatenate_rule),
)
def concatenate(*arrays: Any, axis: Any, ends: Any) -> Any:
    """Return arrays joined along `axis`; `ends` are the indices at which each ends, for the rule.

    >>> concatenate(np.ones(2), np.zeros(1), axis=0, ends=(2, 3))
    array([1., 1., 0.])
    """


@define(
    np.stack,
    forward=lambda *xs, axis: np.stack(xs, axis=axis),
    domain=(real("n"), real("n")),
    settings={"axis": lambda x, y: range(-x.ndim - 1, x.ndim + 1)},
    rules=VariadicRule(lambda i, g, _out, *_xs, axis: g[at_axis(axis % g.ndim, i)]),
)
def stack(*arrays: Any, axis: Any) -> Any:
    """Return arrays of equal shape stacked along a new axis at position `axis`.

    >>> stack(np.ones(2), np.zeros(2), axis=0)
    array([[1., 1.],
           [0., 0.]])
    """
