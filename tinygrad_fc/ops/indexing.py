"""Indexing, its adjoint, which adds values to zeros, and assignment to an index."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from tinygrad_fc.core.device import refuse_dask
from tinygrad_fc.core.errors import check_dtypes
from tinygrad_fc.core.node import Node, array_of, owner
from tinygrad_fc.core.op import define
from tinygrad_fc.domain import indices, real

_PLAIN = frozenset((int, slice, type(None)))
_PLAIN_BOUNDS = frozenset((int, type(None)))
# Parts that make a list a tuple of indices
_TUPLE_PARTS = (Node, list, tuple, slice, type(None), type(...))
BASIC = (int, slice, type(None), type(...), np.integer)


def at_axis(axis: int, *at: Any) -> tuple[Any, ...]:
    """Return the index that applies `at` to the axes from `axis` on, and takes all of the others.

    >>> at_axis(1, 0)
    (slice(None, None, None), 0)
    """
    return (slice(None),) * axis + at


def is_basic(at: Any) -> bool:
    """Return whether NumPy returns a view for the index `at`."""
    return all(isinstance(p, BASIC) and p.__class__ is not bool for p in _parts(at))


def _parts(at: Any) -> tuple[Any, ...]:
    return at if isinstance(at, tuple) else (at,)


def _cannot_repeat(at: Any) -> bool:
    """Return whether the index `at`, by the types of its parts, never selects an element twice.

    Then assignment equals addition to zeros. Arrays of integers may repeat.
    """
    return all(
        isinstance(part, BASIC) or (isinstance(part, np.ndarray) and part.dtype == bool)
        for part in _parts(at)
    )


def copied_index(at: Any) -> Any:
    """Return the index `at` as PyTorch reads it, with copies of its arrays and tensors.

    An array of uint8 is a mask, and one without axes a number. Vjp rules read the index later, when
    the caller may have changed the originals.
    """
    if at.__class__ is int:
        return at
    if at.__class__ is slice:
        parts = (at.start, at.stop, at.step)
        return (
            at if _PLAIN_BOUNDS.issuperset(map(type, parts)) else slice(*map(copied_index, parts))
        )
    if isinstance(at, list) and not any(isinstance(part, _TUPLE_PARTS) for part in at):
        at = np.asarray(at, None if at else np.intp)
    if isinstance(at, tuple | list):
        return tuple(map(copied_index, at))
    array = array_of(at)
    refuse_dask(array, "an index")
    if not hasattr(array, "dtype") or isinstance(array, np.generic):
        return array
    expected = "integers or booleans: use index.long(), or a mask such as x > 0"
    check_dtypes(array.dtype.kind != "f", "an index", expected, array)
    if array.dtype == np.uint8:
        return array.astype(bool)
    return array.copy() if array.dtype.kind == "b" or array.ndim else operator.index(array)


def steps_of(at: Any, ndim: int) -> tuple[Any, ...]:
    """Return one or two NumPy indices, in succession, for PyTorch's meaning of `at`.

    NumPy takes an integer beside index arrays for an index array: if a slice stands between them,
    the selected axes come first. PyTorch applies integers first: `x[0, :, i]` is `x[0][:, i]`. An
    ellipsis that stands for no axis separates index arrays in NumPy only.
    """
    if at.__class__ is not tuple or _PLAIN.issuperset(map(type, at)):
        return (at,)
    kinds = [
        "slice" if p is None or p is ... or isinstance(p, slice)
        else "number" if isinstance(p, int | np.integer) and not isinstance(p, bool)
        else "array"
        for p in at
    ]  # fmt: skip
    if "array" not in kinds:
        return (at,)
    first: list[Any] = []
    for part, kind in zip(at, kinds, strict=True):
        if kind == "array":  # a mask selects from as many axes as it has
            is_mask = (part if hasattr(part, "dtype") else np.asarray(part)).dtype == bool
            first += [slice(None)] * (np.ndim(part) if is_mask else 1)
        elif part is not None:
            first.append(slice(None) if isinstance(part, slice) else part)
    if any(part is ... for part in at) and len(first) > ndim:
        return steps_of(tuple(part for part in at if part is not ...), ndim)
    selected = [k for k, kind in enumerate(kinds) if kind != "slice"]
    if "number" not in kinds or selected[-1] - selected[0] == len(selected) - 1:
        return (at,)
    return tuple(first), tuple(p for p, kind in zip(at, kinds, strict=True) if kind != "number")


def _getitem_rule(g: Any, _out: Any, _x: Any, at: Any) -> Any:
    return scatter_add(g, at=at, shape=_x.shape)


@define(name="indexing", domain=(real,), settings={"at": indices}, rules=(_getitem_rule,))
def getitem(input: Any, *, at: Any) -> Any:
    """Return `input[at]`, a view where NumPy returns one, else contiguous in memory.

    >>> getitem(np.array([1.0, 2.0, 3.0]), at=slice(1, None))
    array([2., 3.])
    """
    out = input[at]
    if isinstance(out, np.generic):
        # A 0-d view in place of a NumPy scalar, so that in-place changes reach `input`.
        return input[(*at, ...) if isinstance(at, tuple) else (at, ...)]
    if out.__class__ is not np.ndarray or out.flags.c_contiguous or owner(out) is owner(input):
        return out
    return np.ascontiguousarray(out)  # NumPy permutes the axes in memory, PyTorch does not


@define(
    domain=(real("n"),),
    settings={
        "at": lambda x: (np.arange(len(x)) // 2, slice(1, 1 + len(x))),
        "shape": lambda x: ((len(x) + 1,),),
    },
    rules=(lambda g, _out, _x, at, shape: g[at],),
)
def scatter_add(source: Any, *, at: Any, shape: Any) -> Any:
    """Return zeros of `shape` with `source` added at the index `at`, repeats included.

    >>> scatter_add(np.array([1.0, 2.0]), at=np.array([0, 0]), shape=(3,))
    array([3., 0., 0.])
    """
    out = np.zeros(shape, source.dtype, like=source)
    if _cannot_repeat(at):
        out[at] = source
    else:
        _add_repeated(out, at, source)
    return out


def _add_repeated(out: Any, at: Any, source: Any) -> None:
    """Add `source` to `out` at the index `at`, which may select an element several times."""
    at = at[0] if at.__class__ is tuple and len(at) == 1 else at
    is_usual = out.__class__ is np.ndarray and out.dtype.kind == "f" and out.flags.c_contiguous
    if is_usual and source.size > SMALL_SOURCE:  # NumPy is fast for vectors
        places = None
        if _is_integers(at):
            width = out[:1].size
            places = (at.ravel() % len(out) * width)[:, None] + np.arange(width)
        elif at.__class__ is tuple and len(at) == out.ndim and all(map(_is_integers, at)):
            places = np.ravel_multi_index(at, out.shape, mode="wrap")
        if places is not None:
            out, at, source = out.reshape(-1), places.ravel(), source.ravel()
    np.add.at(out, at, source)


SMALL_SOURCE = 300
"""The number of elements up to which `np.add.at` is faster with the index as it is."""


def _is_integers(at: Any) -> bool:
    return at.__class__ is np.ndarray and at.dtype.kind in "iu"


def _overwritten_rule(g: Any, _out: Any, _x: Any, _values: Any, at: Any) -> Any:
    return index_put(g, 0.0, at=at)


def _assigned_rule(g: Any, _out: Any, _x: Any, _values: Any, at: Any) -> Any:
    part: Any = getitem(g, at=at)
    if _cannot_repeat(at):
        return part
    like = array_of(g)
    order = np.arange(math.prod(part.shape), like=like).reshape(part.shape)
    last = np.zeros(g.shape, np.int64, like=like)
    last[at] = order
    return np.where(last[at] == order, part, 0)


def _row_indices(x: Any, values: Any) -> list[Any]:
    n, m = len(x), len(values)
    return [*([slice(m)] if m <= n else []), *([np.arange(m) % n] if n else [])]


@define(
    domain=(real("n", "k"), real("m", "k")),
    settings={"at": _row_indices},
    rules=(_overwritten_rule, _assigned_rule),
)
def index_put(input: Any, values: Any, *, at: Any) -> Any:
    """Return `input` with `values`, of the shape of `input[at]`, at the index `at`.

    Of values for the same element, the last counts and gets the gradient.

    >>> index_put(np.array([1.0, 2.0]), 3.0, at=0)
    array([3., 2.])
    """
    out = input.copy()
    out[at] = values
    return out


# Without create_graph, `n` calls change one array in the backward pass, in linear time.


def _select_in_place(backward_pass: Any, node: Any, g: Any) -> None:
    (x,), (array,), at = node._parents, node._args, node._settings["at"]
    if backward_pass.is_needed(x):
        total = backward_pass.changeable(x, array)
        if _cannot_repeat(at):
            total[at] += g
        else:
            _add_repeated(total, at, g)


def _assign_in_place(backward_pass: Any, node: Any, g: Any) -> None:
    (before, values), at = node._parents, node._settings["at"]
    if backward_pass.is_needed(values):
        dtype = node._args[1].dtype
        # A copy, since `g` changes.
        gradient = np.array(_assigned_rule(g, None, None, None, at), dtype)
        backward_pass.add(values, gradient, is_owned=True)
    if backward_pass.is_needed(before):
        g = backward_pass.unaliased(node, g)
        g[at] = 0
        backward_pass.add(before, g, is_owned=True)


getitem.run_in_place, index_put.run_in_place = _select_in_place, _assign_in_place


def _elements_rule(g: Any, _out: Any, _x: Any, places: Any) -> Any:
    gradient: Any = scatter_add(g, at=places, shape=(math.prod(_x.shape),))
    return gradient.reshape(_x.shape)


@define(
    name="gather",
    domain=(real("n", "k"),),
    settings={"places": lambda x: (np.arange(x.size) // 2, np.arange(x.size).reshape(x.shape))},
    rules=(_elements_rule,),
)
def elements(input: Any, *, places: Any) -> Any:
    """Return the elements at `places` of the flattened `input`.

    >>> elements(np.array([[1.0, 2.0], [3.0, 4.0]]), places=np.array([3, 0]))
    array([4., 1.])
    """
    return input.reshape(-1)[places]


def flat_index(at: Any, axis: int, shape: tuple[int, ...]) -> Any:
    """Return the flat indices that `torch.gather(x, axis, at)` reads in an `x` of `shape`."""
    places = at if at.dtype == np.int64 else at.astype(np.int64)
    if len(shape) == 1:
        return places.copy()  # rules read it later
    steps = [math.prod(shape[k + 1 :]) for k in range(len(shape))]
    places = places if steps[axis] == 1 else places * steps[axis]
    for k, n in enumerate(at.shape):
        if k != axis:
            starts = np.arange(n, like=at) * steps[k]
            places = places + starts.reshape(-1, *[1] * (len(shape) - k - 1))
    return places
