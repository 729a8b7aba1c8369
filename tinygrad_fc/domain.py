"""Words for where an operation is differentiable, one an argument; and for its settings.

A row of the table says `domain=(real, positive)`, and whoever draws inputs for it (the generated
laws, `tinygrad_fc.testing`) knows from that where its derivative may be asked for. Calling a word
fixes the shape: `real(..., "n", "k")` by letters, where a letter stands for one size wherever it
occurs in the row, `...` for any axes (broadcast between arguments), `"n?"` for an axis that may be
left out where `...` stands for none, and a number for an axis of at least that size. A word that
is not called takes any shape that broadcasts with the others'.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import EllipsisType


@dataclass(frozen=True)
class Domain:
    """A set of values, and the shapes of arrays of them.

    `low` and `high` bound the values, which may come as near as they like but not touch;
    `special` are values worth trying (inside, or on a kink); `without` are values left out;
    `distinct` wants an array without ties; `kind` is `"float"`, `"bool"` or `"index"`;
    `size` is what an index counts, a number or a letter of the other shapes; `condition`
    must hold for a whole array.
    """

    name: str
    low: float = -math.inf
    high: float = math.inf
    special: tuple[float, ...] = ()
    without: tuple[float, ...] = ()
    distinct: bool = False
    kind: str = "float"
    size: int | str | None = None
    shape: tuple[int | str | EllipsisType, ...] | None = None
    condition: Callable[[Any], Any] | None = None

    def __call__(
        self, *shape: int | str | EllipsisType, where: Callable[[Any], Any] | None = None
    ) -> Domain:
        """Return the same values with a shape, by letters and numbers; `"..."` is `...` too.

        `where` is a condition on the array, for what the words can't say.
        """
        told = tuple(... if axis == "..." else axis for axis in shape) if shape else self.shape
        if not shape and where is None:
            told = ()
        return replace(self, shape=told, condition=where or self.condition)

    @property
    def restricted(self) -> bool:
        """Whether there are floats that it leaves out, where a derivative may be infinite."""
        bounded = self.low > -math.inf or self.high < math.inf
        return self.kind == "float" and (bounded or bool(self.without))

    def __repr__(self) -> str:
        if self.shape is None:
            return self.name
        told = ("..." if axis is ... else repr(axis) for axis in self.shape)
        return f"{self.name}({', '.join(told)})"


def interval(
    low: float, high: float, special: tuple[float, ...] = (), without: tuple[float, ...] = ()
) -> Domain:
    """Return the numbers between `low` and `high`, with `special` values worth trying.

    Raises `ValueError` where nothing lies between them.

    >>> interval(-1, 1, special=(0.5,))
    interval(-1, 1)
    """
    if not low < high:
        message = f"interval({low}, {high}) is empty: low must be less than high"
        raise ValueError(message)
    return Domain(f"interval({low:g}, {high:g})", float(low), float(high), special, without)


def index(n: int | str) -> Domain:
    """Return whole numbers that index an axis of size `n`, repeats and negative ones included."""
    return Domain(f"index({n})", kind="index", size=n)


real = Domain("real", special=(0.0, 1.0, -1.0, 0.5))
positive = Domain("positive", low=0.0, special=(1.0, 0.5, 2.0))
nonzero = Domain("nonzero", without=(0.0,), special=(1.0, -1.0))
apart = Domain("apart", distinct=True)
boolean = Domain("boolean", kind="bool")


# The settings of a row are told by functions from its arrays to the values that are legal there.


def axis(x: Any, *_: Any) -> Sequence[int]:
    """One axis of `x`, from either end."""
    return range(-x.ndim, x.ndim)


def axes(x: Any, *_: Any) -> Sequence[Any]:
    """No axis named, one, several, or an empty choice of them."""
    several = [(i, j - x.ndim) for i in range(x.ndim) for j in range(i + 1, x.ndim)]
    return [None, (), *axis(x), *several]


def filled(x: Any, *_: Any) -> Sequence[Any]:
    """As `axes`, but none that leaves a choice among no elements."""
    empty = {k for k in range(-x.ndim, x.ndim) if x.shape[k] == 0}
    several = (a for a in axes(x) if a is not None)
    whole = [] if empty else [None]
    return whole + [a for a in several if empty.isdisjoint(a if isinstance(a, tuple) else (a,))]


def flag(*_: Any) -> Sequence[bool]:
    """On or off."""
    return (False, True)


def order(x: Any, *_: Any) -> Sequence[tuple[int, ...]]:
    """All orders of the axes of `x`."""
    return [tuple(p) for p in permutations(range(x.ndim))]


def reshaped(x: Any, *_: Any) -> Sequence[tuple[int, ...]]:
    """Shapes of as many elements as `x` has."""
    return [x.shape, (x.size,), (1, x.size), x.shape[::-1], (*x.shape, 1)]


def stretched(x: Any, *_: Any) -> Sequence[tuple[int, ...]]:
    """Shapes that `x` broadcasts to."""
    wider = tuple(3 if n == 1 else n for n in x.shape)
    return [x.shape, wider, (2, *wider), (0, *x.shape), (2, 1, *x.shape)]


def item(x: Any, *_: Any) -> Sequence[Any]:
    """Whatever may stand between the brackets of `x[...]`: basic, boolean and fancy."""
    found: list[Any] = [
        ...,
        (),
        None,
        np.zeros(x.shape, bool),
        np.arange(x.size).reshape(x.shape) % 2 == 0,
    ]
    if x.ndim:
        n = x.shape[0]
        found += [slice(None), slice(None, None, -2), (..., slice(1, None)), (slice(0, 1), None)]
        found += [np.arange(n) % 2 == 0, np.array([], np.intp)]
        if n:
            found += [0, -1, [0, 0, -1], (np.array([[0, n - 1], [0, 0]]), ...), np.intp(n - 1)]
    if x.ndim > 1 and all(x.shape[:2]):
        found += [(0, -1), ([0, 0], [-1, -1]), (slice(None), [0, 0]), ([0, 0], None, [0, -1])]
    return found
