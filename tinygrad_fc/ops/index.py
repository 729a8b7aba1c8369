"""Indexing and its adjoint, each the other's rule: NumPy has no scatter that is a function."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.domain import axis, index, item, real
from tinygrad_fc.op import Op
from tinygrad_fc.op import row as op

BASIC = (int, slice, type(None), type(...), np.integer)


def _basic(at: Any) -> bool:
    """Tell whether `at` picks no element twice, so that assigning is adding."""
    for part in at if isinstance(at, tuple) else (at,):
        if not isinstance(part, BASIC) and not (
            isinstance(part, np.ndarray) and part.dtype == bool
        ):
            return False
    return True


def _scatter(g: Any, *, at: Any, shape: Any) -> Any:
    out = np.zeros(shape, g.dtype, like=g)
    if _basic(at):
        out[at] = g
    else:
        np.add.at(out, at, g)
    return out


def _getitem(x: Any, *, at: Any) -> Any:
    out = x[at]
    if isinstance(out, np.generic):
        # A view of one element, which shares the memory as any other view does.
        return x[(*at, ...) if isinstance(at, tuple) else (at, ...)]
    return out


getitem = op(
    _getitem,
    name="indexing",
    domain=(real,),
    settings={"at": item},
    rules=(lambda g, _out, _x, at: scatter(g, at=at, shape=_x.shape),),
)
scatter: Op = op(
    _scatter,
    name="scatter",
    domain=(real("n"),),
    settings={
        "at": lambda x: (np.arange(len(x)) // 2, slice(1, 1 + len(x))),
        "shape": lambda x: ((len(x) + 1,),),
    },
    rules=(lambda g, _out, _x, at, shape: g[at],),
)


def along(at: Any, axis: int) -> tuple[Any, ...]:
    """Return the full index that `take_along_axis` stands for."""
    grid = [
        np.arange(n).reshape([-1 if j == k else 1 for j in range(at.ndim)])
        for k, n in enumerate(at.shape)
    ]
    grid[axis] = at
    return tuple(grid)


def _put_along_axis(g: Any, at: Any, *, axis: int, shape: Any) -> Any:
    out = np.zeros(shape, g.dtype, like=g)
    np.add.at(out, along(at, axis), g)
    return out


def _fitting(x: Any, at: Any) -> list[int]:
    """Return the axes of `x` along which `at` picks: it is no larger elsewhere, and within."""
    smaller = [m <= n for m, n in zip(at.shape, x.shape, strict=True)]
    return [
        k
        for k in axis(x)
        if all(smaller[j] or j == k % x.ndim for j in range(x.ndim))
        and ((at >= -x.shape[k]) & (at < x.shape[k])).all()
    ]


# As PyTorch's gather: the index may be smaller than x, and picks element by element.
gather = op(
    lambda x, at, axis: x[along(at, axis)],
    name="gather",
    domain=(real("b", "n"), index("n")("c", "k")),
    settings={"axis": _fitting},
    rules=(
        lambda g, _out, _x, at, axis: put_along_axis(g, at, axis=axis, shape=_x.shape),
        None,
    ),
)
put_along_axis: Op = op(
    _put_along_axis,
    name="put_along_axis",
    domain=(real("b", "k"), index(3)("b", "k")),
    settings={
        "axis": lambda *_: (1, -1),
        "shape": lambda x, at: ((len(x), 3), (len(x) + 1, 4)),
    },
    rules=(lambda g, _out, _x, at, axis, shape: gather(g, at, axis=axis), None),
)
