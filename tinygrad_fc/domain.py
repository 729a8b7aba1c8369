"""Input domains, one per argument of an op, and the valid values of its settings.

An op states `domain=(real, positive)`, and `tinygrad_fc.testing` generates random inputs from these
domains. Calling a domain fixes the shape, as in `real(..., "n", "k")`. A name is a size that is the
same everywhere in the op; `"n>=2"` bounds it from below; `"n?"` is an axis that may be absent if
`...` is empty; `...` is any number of axes, which broadcast between arguments; a number is a fixed
size. A domain without a shape allows all shapes that broadcast with the other arguments.
"""

from __future__ import annotations

import math
import operator
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import EllipsisType

__tracebackhide__ = True  # hide this module in pytest tracebacks


class Domain(NamedTuple):
    """A set of values, and the shapes of arrays of them: `real`, `positive`, `interval(0, 1)`.

    Without a shape it allows all shapes that broadcast; calling it fixes one.

    >>> real("batch", 3), positive(..., "n>=2"), index("n")("batch")
    (real('batch', 3), positive(..., 'n>=2'), index('n')('batch'))

    `low` and `high` are bounds, included if `closed`; `special` are values that tests include, such
    as kinks; `without` are excluded values; `distinct` means that no two elements are equal; `kind`
    is `"float"`, `"bool"`, `"index"`, or `"constant"` for floats without a gradient; `size`, for an
    index, is the size of the indexed axis, a number or an axis name (negative indices are included
    unless `low` is 0); `condition` is a predicate on the whole array; `mapping` computes the array
    from one with these bounds and shape; `form` is the format of its `repr`, which `map` extends.
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
    mapping: Callable[[Any], Any] | None = None
    form: str = "{}"

    def __call__(
        self,
        *shape: int | str | EllipsisType | Sequence[int | str | EllipsisType],
        where: Callable[[Any], Any] | None = None,
    ) -> Domain:
        """Return the domain with a shape of axis names and sizes; `"..."` means `...`.

        `real((3, 4))` is `real(3, 4)`. `where` is a predicate on the whole array, for example that
        it is positive definite. Raises `TypeError` or `ValueError` for an invalid axis.
        """
        axes: Any = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        axes = tuple(... if axis in (..., "...") else _parse_size(axis) for axis in axes)
        if where is None:
            return self._replace(shape=axes)
        # A condition without a shape applies to arrays of every shape.
        return self._replace(shape=axes if shape else self.shape, condition=partial(holds, where))

    def map(self, function: Callable[[Any], Any]) -> Domain:
        """Return the domain of the arrays `function(x)`, for `x` of this domain.

        `function` takes and returns NumPy arrays of floats and is smooth, so that a gradient can
        be compared along the directions that stay in the domain, and only along these. `where=` is
        a condition on its results.

        >>> real("n", "n").map(lambda a: a - a.T)
        real('n', 'n').map(<lambda>)
        """
        first, name = self.mapping, getattr(function, "__name__", type(function).__name__)
        both = function if first is None else lambda x: function(first(x))
        return self._replace(form=f"{self.form}.map({name})", mapping=both)

    def contains(self, x: Any) -> Any:
        """Return elementwise whether `x` is in the domain; NaN is if it is one of `special`."""
        if self.closed:
            inside = (x >= self.low) & (x <= self.high)
        else:
            inside = (x > self.low) & (x < self.high)
        if any(v != v for v in self.special):  # noqa: PLR0124  NaN
            inside |= np.isnan(x)
        return inside & ~np.isin(x, self.without)

    @property
    def restricted(self) -> bool:
        """Whether the domain excludes floats; at its bounds a derivative may be infinite."""
        bounded = self.low > -math.inf or self.high < math.inf
        return self.kind == "float" and (bounded or bool(self.without))

    def __repr__(self) -> str:
        if self.shape is None:
            return self.form.format(self.name)
        axes_ = ("..." if axis is ... else repr(axis) for axis in self.shape)
        return self.form.format(f"{self.name}({', '.join(axes_)})")


def holds(condition: Callable[..., Any], *arrays: Any) -> bool:
    """Return whether arrays satisfy `condition`; raise `TypeError` if it returns an array.

    >>> holds(lambda x: (x > 0).all(), np.ones(3))
    True
    """
    met = condition(*arrays)
    if np.ndim(met):
        raise TypeError(
            "where= is a condition on whole arrays, and returned an array of shape "
            f"{np.shape(met)}: write np.all(...) around it, or choose a domain such as positive"
        )
    return bool(met)


def _parse_size(value: Any) -> Any:
    """Return the size of an axis, a number or a name; raise an error for anything else."""
    if isinstance(value, str):
        parse_axis(value)  # raises for an invalid name
        return value
    return operator.index(value)


class NamedAxis(NamedTuple):
    """A named axis of a shape, whether it may be absent, and its smallest size.

    >>> parse_axis("n?").optional
    True
    """

    name: str
    optional: bool
    minimum: int


def parse_axis(axis: str) -> NamedAxis:
    """Parse "n", "n?" or "n>=2"; raise `ValueError` for anything else.

    >>> parse_axis("n>=2")
    NamedAxis(name='n', optional=False, minimum=2)
    """
    name, _, low = axis.removesuffix("?").partition(">=")
    bounded = low.isdecimal() and axis == f"{name}>={low}"
    if not name.isidentifier() or not (bounded or axis in (name, f"{name}?")):
        raise ValueError(
            f'{axis!r} is not an axis; expected a name such as "n", "n>=2" for at least 2, '
            'or "n?" for an axis that may be missing'
        )
    return NamedAxis(name, axis.endswith("?"), int(low or 0))


def smallest_sizes(domains: Iterable[Domain]) -> dict[str, int]:
    """Return the smallest size of every named axis, in order of first occurrence.

    >>> smallest_sizes([real("n", "k>=2"), real("n>=3")])
    {'n': 3, 'k': 2}
    """
    sizes: dict[str, int] = {}
    for domain in domains:
        for axis in domain.shape or ():
            if isinstance(axis, str):
                name, _, size = parse_axis(axis)
                sizes[name] = max(size, sizes.get(name, 0))
    return sizes


def interval(
    low: float,
    high: float,
    special: Sequence[float] = (),
    without: Sequence[float] = (),
    *,
    closed: bool = False,
) -> Domain:
    """Return the numbers between `low` and `high`, with `special` values that tests include.

    `closed=True` includes the bounds, also infinite ones. NaN is included if it is special. Raises
    `ValueError` if the interval is empty.

    >>> interval(-1, 1, special=(0.5,))
    interval(-1, 1)
    """
    if not low < high:
        raise ValueError(f"interval({low}, {high}) is empty: low must be less than high")
    ends = f"{low:g}, {high:g}" + ", closed=True" * closed
    values = (*special, float(low), float(high)) if closed else tuple(special)
    name = f"interval({ends})"
    return Domain(name, float(low), float(high), values, tuple(without), closed=closed)


def index(n: int | str | None = None, *, negative: bool = True) -> Domain:
    """Return the domain of indices of an axis of size `n`, repeats included.

    `negative=False` excludes negative indices, as for the class indices of a loss. Raises
    `TypeError` or `ValueError` unless `n` is a size or an axis name.

    >>> from tinygrad_fc.domain import index
    >>> index("n", negative=False)
    index('n', negative=False)
    """
    size, low, option = _parse_size(n), -math.inf if negative else 0, ", negative=False"
    return Domain(f"index({size!r}{'' if negative else option})", low, kind="index", size=size)


real = Domain("real", special=(0.0, 1.0, -1.0, 0.5))
positive = Domain("positive", low=0.0, special=(1.0, 0.5, 2.0))
nonzero = Domain("nonzero", without=(0.0,), special=(1.0, -1.0))
distinct = Domain("distinct", special=(0.0, 1.0, -1.0, 0.5), distinct=True)
boolean = Domain("boolean", kind="bool")


def constant(domain: Domain) -> Domain:
    """Return the domain of an argument of floats from `domain` that has no gradient.

    >>> constant(positive("n"))
    constant(positive('n'))
    """
    return domain._replace(form=f"constant({domain.form})", kind="constant")


# Structured arrays: a smooth function computes them from arrays of plain numbers.


def _transposed(a: Any) -> Any:
    return a.swapaxes(-1, -2)


def _symmetric(a: Any) -> Any:
    return (a + _transposed(a)) / 2


def _positive_definite(a: Any) -> Any:
    return _symmetric(a @ _transposed(a)) + np.eye(a.shape[-1], dtype=a.dtype) / 2


def _orthogonal(a: Any) -> Any:
    skew, one = (a - _transposed(a)) / 2, np.eye(a.shape[-1])
    return np.linalg.solve(one + skew, one - skew).astype(a.dtype)


def _simplex(a: Any) -> Any:
    e = np.exp(a - a.max(-1, keepdims=True, initial=-np.inf))
    return e / e.sum(-1, keepdims=True)


def _increasing(a: Any) -> Any:  # inputs are above -4, so that each step is above 0.25
    steps = np.concatenate([a[..., :1], a[..., 1:] + 4.25], axis=-1)
    return steps.cumsum(-1)


def _unit_vectors(a: Any) -> Any:
    return a / np.sqrt((a * a).sum(-1, keepdims=True))


def _structured(name: str, domain: Domain, mapping: Callable[[Any], Any], *axes: str) -> Domain:
    return domain._replace(name=name, shape=(..., *axes), mapping=mapping)


_bounded = interval(-4, 4, (0.0, 1.0, -1.0, 0.5))
symmetric = _structured("symmetric", real, _symmetric, "n", "n")
positive_definite = _structured("positive_definite", _bounded, _positive_definite, "n", "n")
orthogonal = _structured("orthogonal", _bounded, _orthogonal, "n", "n")
lower_triangular = _structured("lower_triangular", nonzero, np.tril, "n", "n")
simplex = _structured("simplex", _bounded, _simplex, "n>=1")
increasing = _structured("increasing", _bounded, _increasing, "n")
unit_vectors = _structured("unit_vectors", nonzero, _unit_vectors, "n>=1")


# For `settings` of an op: functions from its arrays to valid values of a keyword argument.


def axis(x: Any, *_: Any) -> Sequence[int]:
    """Return all axes of `x`, counted from the front and from the end.

    >>> list(axis(np.ones((2, 3))))
    [-2, -1, 0, 1]
    """
    return range(-x.ndim, x.ndim)


def axes(x: Any, *_: Any) -> Sequence[Any]:
    """Return None, all axes, and pairs of axes.

    >>> axes(np.ones((2, 3)))
    [None, -2, -1, 0, 1, (0, -1)]
    """
    several = [(i, j - x.ndim) for i in range(x.ndim) for j in range(i + 1, x.ndim)]
    return [None, *axis(x), *several]


def nonempty_axes(x: Any, *_: Any) -> Sequence[Any]:
    """Return `axes(x)` without those that would reduce zero elements.

    >>> nonempty_axes(np.ones((2, 0)))
    [-2, 0]
    """
    return [a for a in axes(x) if np.all(x.shape if a is None else np.take(x.shape, a))]


def true_or_false(*_: Any) -> Sequence[bool]:
    """Return False and True.

    >>> true_or_false()
    (False, True)
    """
    return (False, True)


def axis_permutations(x: Any, *_: Any) -> Sequence[tuple[int, ...]]:
    """Return all permutations of the axes of `x`.

    >>> axis_permutations(np.ones((2, 3)))
    [(0, 1), (1, 0)]
    """
    return [tuple(p) for p in permutations(range(x.ndim))]


def reshaped(x: Any, *_: Any) -> Sequence[tuple[int, ...]]:
    """Return shapes that `x` can be reshaped to.

    >>> reshaped(np.ones((2, 3)))
    [(2, 3), (6,), (1, 6), (3, 2), (2, 3, 1)]
    """
    return [x.shape, (x.size,), (1, x.size), x.shape[::-1], (*x.shape, 1)]


def broadcast_shapes(x: Any, *_: Any) -> Sequence[tuple[int, ...]]:
    """Return shapes that `x` broadcasts to.

    >>> broadcast_shapes(np.ones((2, 1)))
    [(2, 1), (2, 3), (2, 2, 3), (0, 2, 1), (2, 1, 2, 1)]
    """
    wider = tuple(3 if n == 1 else n for n in x.shape)
    return [x.shape, wider, (2, *wider), (0, *x.shape), (2, 1, *x.shape)]


def indices(x: Any, *_: Any) -> Sequence[Any]:
    """Return indices of `x[...]`: basic, boolean and advanced ones.

    >>> len(indices(np.ones(3)))
    16
    """
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
