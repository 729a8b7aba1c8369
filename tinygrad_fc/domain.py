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
import re
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import EllipsisType

__tracebackhide__ = True  # pytest shows what was asked for, not how it was read


_LETTER = r"[^\W\d]\w*"
_NAMED = rf"({_LETTER})(?:(\?)|>=(\d+))?"
"""An axis with a letter: `"n"`, `"n?"` or `"n>=2"`."""


@dataclass(frozen=True)
class Domain:
    """A set of values, and the shapes of arrays of them: `real`, `positive`, `interval(0, 1)`.

    As it is, it draws any shapes that broadcast. Called, it has a shape: a letter or name is an
    axis of one size wherever it occurs beside, `"n>=2"` one of 2 or more, `"n?"` one that may be
    missing, a number one of that very size, `...` any other axes. `where` is a condition on the
    array. An axis or a condition that is none raises `TypeError` or `ValueError`.

    >>> real("batch", 3), positive(..., "n>=2"), index("n")("batch")
    (real('batch', 3), positive(..., 'n>=2'), index('n')('batch'))

    Of its fields `low` and `high` bound the values, which may come as near as they like but not
    touch unless it is `closed`; `special` are values worth trying (inside, or on a kink); `without`
    are values left out;
    `distinct` wants an array without ties; `kind` is `"float"`, `"bool"` or `"index"`; `size` is
    what an index counts, a number or a letter of the other shapes, and one with `low` 0 does not
    count from the end; `condition` must hold for a whole array.
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

        The axes may stand in a tuple, as NumPy has them: `real((3, 4))` is `real(3, 4)`. `where` is
        a condition on the array, for what domains cannot say.

        Raises `TypeError` or `ValueError` for what is no axis.
        """
        given: Any = where
        if not (given is None or callable(given)):
            raise TypeError(
                f"where is a function of the array that tells whether to take it; got {given}"
            )
        first = shape[0] if len(shape) == 1 else None
        axes: Any = tuple(first) if isinstance(first, tuple | list) else shape
        if axes.count(...) + axes.count("...") > 1:
            raise ValueError(
                f"{self.name}{axes} has `...` twice: it stands for all other axes, once"
            )
        axes_: Any = tuple(_axis(axis, self.name) for axis in axes)
        if where is not None and not shape:  # a condition alone, on any shape
            axes_ = self.shape
        return replace(
            self, shape=axes_, condition=partial(holds, where) if where else self.condition
        )

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
    """Tell whether arrays meet a condition; raises `TypeError` where it tells of each number."""
    met = condition(*arrays)
    if np.ndim(met):
        raise TypeError(
            "where= is a condition on whole arrays, and returned an array of shape "
            f"{np.shape(met)}: write np.all(...) around it, or choose a domain such as positive"
        )
    return bool(met)


def _size(value: Any, letter: str, least: int, message: str) -> Any:
    """Return the size of an axis, a number or a letter; raise `message` where it is none."""
    named = isinstance(value, str)
    number = isinstance(value, Integral) and not isinstance(value, bool)
    if (named and re.fullmatch(letter, value)) or (number and value >= least):
        return value if named else int(value)
    raise (ValueError if named or number else TypeError)(f"{message}; got {value!r:.80}")


def _axis(axis: Any, name: str) -> Any:
    """Return an axis of the shape of `name`."""
    if axis is ... or axis == "...":
        return ...
    message = (
        f'an axis of {name} is a name, as "n" or "batch" ("n>=2" for one of 2 or more, "n?" where '
        "it may be left out), a whole number for that very size, or `...` for any axes"
    )
    return _size(axis, _NAMED, 0, message)


class Named(NamedTuple):
    """What a letter of a shape says."""

    letter: str
    optional: bool
    least: int


def named(axis: str) -> Named:
    """Return what is said by an axis with a letter: `"n"`, `"n?"` or `"n>=2"`."""
    found = re.fullmatch(_NAMED, axis)
    if found is None:
        raise ValueError(f"{axis!r} names no axis")
    return Named(found[1], bool(found[2]), int(found[3] or 0))


def least(words: Iterable[Domain]) -> dict[str, int]:
    """Return how long, at least, each axis with a letter is, in the order of the letters."""
    found: dict[str, int] = {}
    for word in words:
        for axis in word.shape or ():
            if isinstance(axis, str):
                letter, _, size = named(axis)
                found[letter] = max(size, found.get(letter, 0))
    return found


def _numbers(values: Any) -> bool:
    return isinstance(values, tuple | list) and all(isinstance(v, Real) for v in values)


def interval(
    low: float,
    high: float,
    special: Sequence[float] = (),
    without: Sequence[float] = (),
    *,
    closed: bool = False,
) -> Domain:
    """Return the numbers between `low` and `high`, with `special` values worth trying.

    With `closed=True` the ends belong to it, infinite ones too; NaN does where it is special.

    Raises `ValueError` where nothing lies between them, or a special value does not.

    >>> interval(-1, 1, special=(0.5,))
    interval(-1, 1)
    """
    if not (_numbers((low, high)) and _numbers(special) and _numbers(without)):
        raise TypeError(
            "interval takes two numbers, and tuples of numbers as special= and without=; got "
            f"interval({low!r}, {high!r}, special={special!r}, without={without!r})"
        )
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
    """Return whole numbers that index an axis of size `n`, repeats included.

    Negative ones count from the end: `negative=False` leaves them out, for functions that take none
    (class indices of a loss).

    Raises `TypeError` or `ValueError` where `n` is no size, a number or a letter of a shape.
    """
    message = (
        "index takes the size of the axis that it counts: a whole number, at least 1, or a letter "
        'of a shape, as index("n") beside real("n")'
    )
    size = _size(n, _LETTER, 1, message)
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
