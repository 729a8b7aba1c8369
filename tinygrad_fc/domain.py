"""Input domains: where an op is differentiable, one an argument; and the values of its settings.

An op says `domain=(real, positive)`, and code that draws inputs for it (`tinygrad_fc.testing`)
takes them from there. Calling a domain fixes the shape: `real(..., "n", "k")` by letters, where a
letter stands for one size wherever it occurs in the op, `...` for any axes (broadcast between
arguments), `"n?"` for an axis that may be left out where `...` stands for none, `"n>=2"` for one of
2 or more, and a number for an axis of that very size. A domain that is not called takes any shape
that broadcasts with the others'.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import permutations
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import EllipsisType

__tracebackhide__ = True  # pytest shows what was asked for, not how it was read


class Domain(NamedTuple):
    """A set of values, and the shapes of arrays of them: `real`, `positive`, `interval(0, 1)`.

    Without a shape it takes all shapes that broadcast; calling it fixes one.

    >>> real("batch", 3), positive(..., "n>=2"), index("n")("batch")
    (real('batch', 3), positive(..., 'n>=2'), index('n')('batch'))

    `low` and `high` are bounds, which belong to it if it is `closed`; `special` are values worth
    trying, inside or at a kink; `without` are excluded values; `distinct` excludes ties; `kind` is
    `"float"`, `"bool"` or `"index"`; `size` is the size of the axis that an index counts, a number
    or a letter of another shape (with `low` 0 an index does not count from the end); `condition`
    must hold for the whole array.
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
    closed: bool = False

    def __call__(
        self,
        *shape: int | str | EllipsisType | Sequence[int | str | EllipsisType],
        where: Callable[[Any], Any] | None = None,
    ) -> Domain:
        """Return the same values with a shape, by letters and numbers; `"..."` is `...` too.

        `real((3, 4))` is `real(3, 4)`. `where` is a function of the array, true where it is in the
        domain. Raises `TypeError` or `ValueError` for an invalid axis.
        """
        axes: Any = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        axes = tuple(
            ... if axis in (..., "...") else _size(axis, 0, f"an axis of {self.name}")
            for axis in axes
        )
        if axes.count(...) > 1:
            raise ValueError(
                f"{self.name}{axes} has `...` twice: it stands for all other axes, once"
            )
        if where is None:
            return self._replace(shape=axes)
        # A condition alone is one on any shape.
        return self._replace(shape=axes if shape else self.shape, condition=partial(holds, where))

    def contains(self, x: Any) -> Any:
        """Return elementwise whether `x` lies in the domain; NaN does where it is special."""
        if self.closed:
            inside = (x >= self.low) & (x <= self.high)
        else:
            inside = (x > self.low) & (x < self.high)
        if any(v != v for v in self.special):  # noqa: PLR0124  NaN
            inside |= np.isnan(x)
        return inside & ~np.isin(x, self.without)

    @property
    def restricted(self) -> bool:
        """Whether there are floats that it leaves out, where a derivative may be infinite."""
        bounded = self.low > -math.inf or self.high < math.inf
        return self.kind == "float" and (bounded or bool(self.without))

    def __repr__(self) -> str:
        if self.shape is None:
            return self.name
        axes_ = ("..." if axis is ... else repr(axis) for axis in self.shape)
        return f"{self.name}({', '.join(axes_)})"


def holds(condition: Callable[..., Any], *arrays: Any) -> bool:
    """Return whether arrays meet a condition; `TypeError` where that is an array of answers."""
    met = condition(*arrays)
    if np.ndim(met):
        raise TypeError(
            "where= is a condition on whole arrays, and returned an array of shape "
            f"{np.shape(met)}: write np.all(...) around it, or choose a domain such as positive"
        )
    return bool(met)


def _size(value: Any, least: int, what: str) -> Any:
    """Return the size of an axis, a number or a letter; raise an error for anything else."""
    if isinstance(value, str):
        return named(value) and value
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{what} is a letter, as {'n'!r}, or a whole number; got {value!r:.80}")
    if value < least:
        raise ValueError(f"{what} is {value}; expected at least {least}, or a letter, as {'n'!r}")
    return int(value)


class Named(NamedTuple):
    """An axis of a shape that has a letter."""

    letter: str
    optional: bool
    least: int


def named(axis: str) -> Named:
    """Return the parts of an axis with a letter; `ValueError` unless "n", "n?" or "n>=2"."""
    letter, _, low = axis.removesuffix("?").partition(">=")
    bounded = low.isdecimal() and axis == f"{letter}>={low}"
    if not letter.isidentifier() or not (bounded or axis in (letter, f"{letter}?")):
        raise ValueError(
            f'{axis!r} names no axis; expected a letter or name, as "n", "n>=2" for at least 2, '
            'or "n?" for an axis that may be missing'
        )
    return Named(letter, axis.endswith("?"), int(low or 0))


def least(domains: Iterable[Domain]) -> dict[str, int]:
    """Return the smallest size of each axis with a letter, in the order of the letters."""
    sizes: dict[str, int] = {}
    for domain in domains:
        for axis in domain.shape or ():
            if isinstance(axis, str):
                letter, _, size = named(axis)
                sizes[letter] = max(size, sizes.get(letter, 0))
    return sizes


def interval(
    low: float,
    high: float,
    special: Sequence[float] = (),
    without: Sequence[float] = (),
    *,
    closed: bool = False,
) -> Domain:
    """Return the numbers between `low` and `high`, with `special` values worth trying.

    With `closed=True` the ends, also infinite ones, belong to it; NaN does if it is special. Raises
    `ValueError` where nothing lies between them, or a special value does not.

    >>> interval(-1, 1, special=(0.5,))
    interval(-1, 1)
    """
    if not low < high:
        raise ValueError(f"interval({low}, {high}) is empty: low must be less than high")
    for v in special:
        if (not low < v < high and not math.isnan(v)) or v in without:
            raise ValueError(
                f"interval({low}, {high}): the special value {v} is outside, where nothing is drawn"
            )
    ends = f"{low:g}, {high:g}" + ", closed=True" * closed
    values = (*special, float(low), float(high)) if closed else tuple(special)
    return Domain(
        *(f"interval({ends})", float(low), float(high), values, tuple(without)), closed=closed
    )


def index(n: int | str | None = None, *, negative: bool = True) -> Domain:
    """Return indices of an axis of size `n`, repeats included.

    Negative ones count from the end; `negative=False` excludes them, as for the class indices of a
    loss. Raises `TypeError` or `ValueError` unless `n` is a number or a letter of a shape.
    """
    size = _size(n, 1, "the size of the axis of an index")
    if negative:
        return Domain(f"index({size!r})", kind="index", size=size)
    return Domain(f"index({size!r}, negative=False)", low=0, kind="index", size=size)


real = Domain("real", special=(0.0, 1.0, -1.0, 0.5))
positive = Domain("positive", low=0.0, special=(1.0, 0.5, 2.0))
nonzero = Domain("nonzero", without=(0.0,), special=(1.0, -1.0))
distinct = Domain("distinct", special=(0.0, 1.0, -1.0, 0.5), distinct=True)
boolean = Domain("boolean", kind="bool")


# The settings of an op are functions from its arrays to the values that are legal for them.


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
    """Indices of `x[...]`: basic, boolean and advanced ones."""
    even = np.arange(x.size).reshape(x.shape) % 2 == 0
    items: list[Any] = [..., (), None, np.zeros(x.shape, bool), even]
    if x.ndim:
        n = x.shape[0]
        items += [slice(None), slice(None, None, -2), (..., slice(1, None)), (slice(0, 1), None)]
        items += [np.arange(n) % 2 == 0, np.array([], np.intp)]
        if n:
            items += [0, -1, [0, 0, -1], (np.array([[0, n - 1], [0, 0]]), ...), np.intp(n - 1)]
    if x.ndim > 1 and all(x.shape[:2]):
        items += [(0, -1), ([0, 0], [-1, -1]), (slice(None), [0, 0]), ([0, 0], None, [0, -1])]
    return items
