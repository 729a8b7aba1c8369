"""Inputs for a check: a hypothesis strategy for arrays, and the examples that come first.

Everything that matters is drawn: shapes by hypothesis' `mutually_broadcastable_shapes`, numbers
entry by entry from three bytes each, so that an example is its arrays and shrinks to few, small,
plain numbers. Numbers have at most 24 significant bits: they are the same in float32, and a step
of a numerical derivative adds to them exactly.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import cycle, islice, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.domain import parse_axis, real, smallest_sizes
from tinygrad_fc.testing.function import SEEDS, meet
from tinygrad_fc.testing.options import CheckOptions, with_known_axes

try:
    from hypothesis import reject
    from hypothesis import strategies as st
    from hypothesis.extra.numpy import mutually_broadcastable_shapes
except ImportError as error:
    raise ImportError(
        "drawing inputs needs hypothesis, which is not installed: pip install "
        "'tinygrad-fc[testing]'. At given arrays nothing is drawn"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tinygrad_fc.domain import Domain
    from tinygrad_fc.testing.function import Case
    from tinygrad_fc.testing.report import Array
    from tinygrad_fc.testing.run import Plan

__tracebackhide__ = True  # pytest shows the lines of the user
Shape = tuple[int, ...]
Sizes = dict[str, int]

# Shapes

SQUARE, MIXED, ODD, LONG, DEEP = range(5)
_SHAPE_KINDS = st.sampled_from(
    (SQUARE, SQUARE, SQUARE, MIXED, MIXED, MIXED, MIXED, ODD, ODD, LONG, DEEP)
)
_LIMITS = {SQUARE: (3, 3, 1), MIXED: (3, 4, 1), ODD: (2, 3, 0), LONG: (2, 12, 4), DEEP: (4, 3, 1)}
"""The most axes, the longest and the shortest axis of broadcast shapes."""
_BYTE = st.integers(0, 255)
_TEN = st.integers(0, 9)
MOST_ENTRIES = 4096
DRAWN_ENTRIES = 128
"""The most numbers of an array that are drawn one by one; longer arrays are random, by a seed."""
SIZES = (33, 64, 6, 16, 10, 8)
"""Long axes, at which code may switch to blocks, unrolled loops or another algorithm."""
LONGEST = (131, 1003)
"""Axes longer than blocks of 64, 128 and 1,000; only one axis at a time is as long."""


@lru_cache(maxsize=64)
def _broadcastable(count: int, kind_of_shape: int, beside: bool) -> st.SearchStrategy[Any]:
    axes, longest, shortest = _LIMITS[kind_of_shape]
    axes = min(axes, 2) if beside else axes
    return mutually_broadcastable_shapes(
        num_shapes=count, max_dims=axes, min_side=shortest, max_side=longest
    )


def _patterns(domains: Sequence[Domain]) -> list[Sequence[Any]]:
    return [(...,) if d.shape is None else d.shape for d in domains]


def _draw_shapes(draw: st.DrawFn, domains: Sequence[Domain]) -> tuple[list[Shape], Sizes]:
    """Draw a shape for each domain, which fit together, and the sizes of named axes."""
    kind_of_shape = draw(_SHAPE_KINDS)
    patterns = _patterns(domains)
    batched = [i for i, p in enumerate(patterns) if ... in p]
    common = 2 + draw(_BYTE) % 3
    batch: list[Shape] = [()] * len(domains)
    beside = any(len(p) > 1 for p in patterns)
    if batched and not (beside and draw(_TEN) < 4):
        shapes = draw(_broadcastable(len(batched), kind_of_shape, beside)).input_shapes
        if draw(_TEN) < 5:  # arguments of one shape, the usual case
            shapes = [max(shapes, key=lambda s: (math.prod(s), len(s)))] * len(batched)
        if kind_of_shape == SQUARE:
            shapes = [tuple(min(n, 1) if n < 2 else common for n in s) for s in shapes]
        for i, shape in zip(batched, shapes, strict=True):
            batch[i] = shape

    def size() -> int:
        if kind_of_shape == SQUARE:
            return common
        number = draw(_BYTE)
        if kind_of_shape == ODD:
            return (2, 3, 1, 0)[number % 4]
        if kind_of_shape == LONG and number >= 128:
            return SIZES[number % 6] if number < 224 else 1 + number % 64
        return 1 + number % (9 if kind_of_shape == LONG else 4)

    optional = draw(_TEN) < 7
    shapes, sizes = _filled(patterns, batch, size, smallest_sizes(domains), optional=optional)
    if max(map(math.prod, shapes), default=1) > MOST_ENTRIES:
        reject()
    return shapes, sizes


def _filled(
    patterns: Sequence[Sequence[Any]],
    batch: Sequence[Shape],
    size: Callable[[], int],
    shortest: Sizes,
    *,
    optional: bool = True,
) -> tuple[list[Shape], Sizes]:
    """Return the shapes of patterns, with `batch` for `...` and `size()` for each new name.

    Where a batch is empty, an axis that may be left out is there only with `optional`.
    """
    shapes, sizes = [], {}
    for pattern, part in zip(patterns, batch, strict=True):
        shape: Shape = ()
        for axis in pattern:
            if axis is ...:
                shape += part
            elif isinstance(axis, int):
                shape += (axis,)
            elif part or optional or not parse_axis(axis).optional:
                name = parse_axis(axis).name
                if name not in sizes:
                    number, low = size(), shortest[name]
                    sizes[name] = number if number >= low else low + number % 3
                shape += (sizes[name],)
        shapes.append(shape)
    return shapes, sizes


# Numbers: three bytes each. The first byte chooses the kind of the number.

SPECIAL, WHOLE, EIGHTHS, GENERIC, WIDE, DECADES, BESIDE, SCALED, EQUAL = range(9)
KIND_OF_BYTE = np.array([SPECIAL, WHOLE, EIGHTHS, GENERIC, DECADES, BESIDE, WIDE, SPECIAL])
KINDS_OF_ARRAYS = (None, None, None, SPECIAL, WHOLE, EIGHTHS, GENERIC, WIDE, DECADES, SCALED)
"""The kind of all numbers of an array; None for a mixture."""
MAGNITUDES = 61
"""Powers of 2 from 2^-30 to 2^30."""


def _zigzag(m: Array) -> Array:
    """Return 0, 1, -1, 2, -2, ... for 0, 1, 2, ...: small bytes are small numbers."""
    return np.where(m % 2, (m + 1) // 2, -(m // 2))


def _free(kind: Array, a: Array, b: Array) -> Array:
    """Return numbers of the whole line for bytes."""
    sign = 1.0 - 2 * (a % 2)
    choices = [
        _zigzag(a % 17) / 1.0,
        _zigzag(a) / 8,
        _zigzag(256 * a + b) / 8192,
        sign * np.ldexp(1 + b / 256, _zigzag(a // 2 % 17)),
        sign * np.ldexp(1 + b % 8 / 8, _zigzag(a // 2 % MAGNITUDES)),
    ]
    kinds = [WHOLE, EIGHTHS, GENERIC, WIDE, DECADES]
    return np.select([kind == k for k in kinds], choices, choices[1])


def special_values(domain: Domain) -> tuple[float, ...]:
    """Return the special values of `domain`, or one number inside."""
    if domain.special:
        return domain.special
    low, high = max(domain.low, -1e6), min(domain.high, 1e6)
    return ((low + high) / 2 if high - low <= 64 else low + 1 if low > -1e6 else high - 1,)


def numbers(domain: Domain, raw: Array, of_kind: int | None = None) -> Array:
    """Return numbers in `domain`, exact in float32, for an array `(N, 3)` of bytes."""
    kind, a, b = KIND_OF_BYTE[raw[:, 0] % 8], raw[:, 1].astype(int), raw[:, 2].astype(int)
    if of_kind is not None:
        kind = np.full_like(kind, of_kind)
    values = np.array(special_values(domain), float)
    chosen = values[a % len(values)]
    edges = [v for v in (domain.low, domain.high, *domain.without) if np.isfinite(v)]
    around = np.array([*values, *edges])[a % (len(values) + len(edges))]
    low, high = domain.low, domain.high
    x = _free(kind, a, b)
    if of_kind == SCALED:  # numbers of one magnitude
        x = np.ldexp(_free(0 * kind + GENERIC, a, b), _zigzag(raw[:1, 0].astype(int) % MAGNITUDES))
    if high - low <= 64:
        near = np.ldexp(1.0, -1 - (b % 24)) * np.where(a % 2, -1, 1)
        fraction = np.where(kind == DECADES, np.sign(near) - near, _zigzag(256 * a + b) / 32768.5)
        x = (low + high) / 2 + (high - low) / 2 * fraction
    elif low > -np.inf or high < np.inf:
        size = np.where(x == 0, 1, np.abs(x))
        x = np.where(domain.contains(x), x, low + size if low > -np.inf else high - size)
    with np.errstate(invalid="ignore"):
        beside = around + np.ldexp(_zigzag(a) / 16, -(b % 24))
    x = np.where(kind == SPECIAL, np.where((b % 2 == 1) & (chosen == 0), -0.0, chosen), x)
    x = np.where(kind == BESIDE, beside, x).astype(np.float32).astype(float)
    x = np.where(domain.contains(x), x, values[0])
    if domain.distinct:
        x[np.argsort(x, kind="stable")] += np.arange(x.size)
    return np.asarray(x)


def _draw_values(draw: st.DrawFn, domain: Domain, shape: Shape, sizes: Sizes) -> Array:
    n = math.prod(shape)
    if domain.kind in {"bool", "index"}:
        raw = _draw_bytes(draw, n).astype(np.intp)
        if domain.kind == "bool":
            return np.asarray(raw % 2 == 1).reshape(shape)
        if n and not _count(domain, sizes):
            reject()
        repeated = n > 1 and draw(_TEN) > 6
        return _indices(domain, shape, sizes, 0 * raw + raw[0] if repeated else raw + np.arange(n))
    raw = _draw_bytes(draw, 3 * n).reshape(n, 3)
    return numbers(domain, raw, draw(st.sampled_from(KINDS_OF_ARRAYS))).reshape(shape)


def _draw_bytes(draw: st.DrawFn, n: int) -> Array:
    """Draw bytes one by one, or a seed for many random ones."""
    if n <= 3 * DRAWN_ENTRIES:
        return np.frombuffer(draw(st.binary(min_size=n, max_size=n)), np.uint8)
    return np.random.default_rng(draw(_BYTE)).integers(0, 256, n)


def _count(domain: Domain, sizes: Sizes) -> int:
    """Return how many places an index of `domain` has; 0 where it is not known."""
    return sizes.get(domain.size, 0) if isinstance(domain.size, str) else int(domain.size or 0)


def _indices(domain: Domain, shape: Shape, sizes: Sizes, raw: Array) -> Array:
    """Return indices, from the end too where the domain has negative ones."""
    count = _count(domain, sizes)
    index = raw % max(count, 1)
    if domain.low < 0:
        index = np.where(raw // max(count, 1) % 2 == 1, index - count, index)
    return index.astype(np.intp).reshape(shape)


def draw_arrays(
    draw: st.DrawFn, domains: Sequence[Domain], shapes: Sequence[Any] | None = None
) -> tuple[Array, ...]:
    """Draw an array for each domain; with `shapes`, of one of these."""
    fitting, sizes = (
        _draw_shapes(draw, domains) if shapes is None else draw(st.sampled_from(shapes))
    )
    return tuple(_draw_values(draw, d, s, sizes) for d, s in zip(domains, fitting, strict=True))


# Examples that every check begins with: the shapes and numbers at which bugs are usual.


class Template(NamedTuple):
    """Shapes for all arguments, and what their numbers are."""

    batch: tuple[Shape, ...]
    """What `...` stands for in each argument."""
    sizes: tuple[int, ...]
    """The sizes of named axes, in turn."""
    kind: int = EIGHTHS
    """The kind of the numbers; `EQUAL` for one number everywhere."""
    single: float = 0.0
    """The number that fills the first argument; 0 for numbers of `kind`."""


SINGLE = (-7, -14, 4, 5, 6, 7, 8, 9, 30)
"""Exponents of 2 of single numbers: small ones, those around the overflow of exp, a large one."""


def templates(domains: Sequence[Domain]) -> list[Template]:
    """Return the shapes to begin with, and their numbers: what is smallest first."""
    count, patterns = len(domains), _patterns(domains)
    batched = [i for i, p in enumerate(patterns) if ... in p]
    names = range(len(smallest_sizes(domains)))

    def all_of(*batch: int) -> tuple[Shape, ...]:
        return (batch,) * count

    def except_for(k: int, size: int, others: int) -> tuple[int, ...]:
        return tuple(size if j == k else others for j in names)

    usual = [Template(all_of(), (2,)), Template(all_of(1), (1,)), Template(all_of(2), (3,))]
    usual += [Template(all_of(2, 2), (2,), SPECIAL), Template(all_of(2, 3), (4, 3, 2, 5), WHOLE)]
    empty = [Template(all_of(2), except_for(k, 0, 2), WHOLE) for k in names]
    empty += [Template(b, (2,)) for b in (all_of(0), all_of(2, 0), all_of(0, 2))] * bool(batched)
    ones = [Template(all_of(2), except_for(k, 1, 3), WHOLE) for k in names]
    ones += [Template(b, (3,)) for b in (all_of(2, 1), all_of(1, 2))] * bool(batched)
    kinds = (EQUAL, SPECIAL, BESIDE, WHOLE, DECADES, GENERIC)
    values = [Template(all_of(3), (3,), kind) for kind in kinds]
    powers = [Template(all_of(1), (1,), single=s * 2.0**e) for e in SINGLE for s in (1, -1)]
    large = _large_templates(count)
    longest = [Template(all_of(), except_for(k, n, 2), WIDE) for n in LONGEST for k in names]
    longest += [Template(all_of(n), (2,), WIDE) for n in LONGEST] * (not names and bool(batched))
    mixed = [t for pair in zip_longest(longest, large[2:]) for t in pair if t is not None]
    large = [*large[:2], *mixed]
    rest = zip_longest(empty, _broadcast_templates(count, batched), values, ones, large)
    return usual + [t for several in rest for t in several if t is not None] + powers


def _large_templates(count: int) -> list[Template]:
    """Return templates with a long axis, many axes, named axes of 9, more rows or columns."""
    kinds = (GENERIC, DECADES, EIGHTHS, WIDE, GENERIC, BESIDE)
    long = [
        Template(((SIZES[k],),) * count, tuple(SIZES[(k + 2 * j) % 6] for j in range(3)), kind)
        for k, kind in enumerate(kinds)
    ]
    sizes = {(2, 1, 3, 2): 5, (): 9, (3, 2): 4, (2, 5): 5}
    return long + [Template((shape,) * count, (size,), GENERIC) for shape, size in sizes.items()]


def _broadcast_templates(count: int, batched: Sequence[int]) -> list[Template]:
    """Return templates in which one argument is broadcast to the shape of the others."""
    if len(batched) < 2:
        return []
    pairs: list[tuple[Shape, Shape]] = [((2, 2), s) for s in ((2,), (1, 2), (), (2, 1))]
    pairs += [((3, 1), (1, 2)), ((0,), (1,)), ((0,), ()), ((2, 0), (2, 1)), ((1,), ())]
    pairs += [((2, 3, 2), (1, 2)), ((2, 3, 2), (1, 3, 2))]
    return [
        Template(tuple(small if k == i else large for k in range(count)), (2,))
        for large, small in pairs
        for i in batched
    ]


def template_shapes(domains: Sequence[Domain], template: Template) -> tuple[list[Shape], Sizes]:
    """Return the shapes of a template, and the sizes of named axes."""
    shortest, batch = smallest_sizes(domains), template.batch
    sizes = [*islice(cycle(template.sizes), len(shortest))]
    if math.prod((*np.broadcast_shapes(*batch), *sizes)) > MOST_ENTRIES:
        batch = ((),) * len(domains)
    # Names come in the order of `smallest_sizes`.
    shapes, named = _filled(_patterns(domains), batch, iter(sizes).__next__, shortest)
    if max(map(math.prod, shapes)) > MOST_ENTRIES:  # one name twice
        return template_shapes(domains, template._replace(sizes=(3,)))
    return shapes, named


def _template_values(template: Template, i: int, domain: Domain, shape: Shape) -> Array:
    n = math.prod(shape)
    rng = np.random.default_rng([0 if template.kind == EQUAL else i, *shape])
    raw = rng.integers(0, 256, (n, 3))
    if template.single and i == 0 and domain.contains(template.single):
        return np.full(shape, template.single)
    if template.kind == EQUAL:
        raw[:] = (0, 1, 0)
    elif template.kind == EIGHTHS and n <= 8:
        raw[:, 1] %= 32
    elif template.kind == SPECIAL:
        raw[:, 1:] = np.stack([np.arange(n) + i, np.full(n, n % 2)], 1)  # -0.0 for odd n
    kind = SPECIAL if template.kind == EQUAL else template.kind
    return numbers(domain, raw, kind).reshape(shape)


def first_examples(domains: Sequence[Domain]) -> Iterator[tuple[Array, ...]]:
    """Yield the arrays that every check begins with."""
    seen = set()
    for template in templates(domains):
        shapes, sizes = template_shapes(domains, template)
        arrays: list[Array] = []
        for i, (domain, shape) in enumerate(zip(domains, shapes, strict=True)):
            n = math.prod(shape)
            if domain.kind == "bool":
                arrays.append((np.arange(n) % 3 != 1).reshape(shape))
            elif domain.kind == "index":
                raw = np.arange(n) * (template.kind not in {SPECIAL, EQUAL})
                raw = raw[::-1] if template.kind == WHOLE else raw
                if n and not _count(domain, sizes):
                    break
                arrays.append(_indices(domain, shape, sizes, raw))
            else:
                arrays.append(_template_values(template, i, domain, shape))
        key = repr([(a.shape, a.tobytes()) for a in arrays])
        if len(arrays) == len(domains) and key not in seen:
            seen.add(key)
            yield tuple(arrays)


# Cases of a plan

_SEED = st.integers(0, SEEDS - 1)


def first_cases(plan: Plan) -> Iterator[Case]:
    """Yield the first cases of a check."""
    shapes = _few_shapes(plan)
    for k, arrays in enumerate(first_examples(plan.domains)):
        if shapes is not None and [a.shape for a in arrays] not in [s for s, _ in shapes]:
            continue
        choices = plan.choices(arrays)
        if all(choices.values()):
            settings = {name: several[k % len(several)] for name, several in choices.items()}
            yield plan.case(arrays, k % SEEDS, settings)


@st.composite
def drawn_cases(draw: st.DrawFn, plan: Plan) -> Case:
    """Draw a case: arrays, the settings of an op, and the seed of directions."""
    arrays = draw_arrays(draw, plan.domains, _few_shapes(plan))
    choices = plan.choices(arrays)
    if not all(choices.values()):
        reject()
    settings = {name: several[draw(_BYTE) % len(several)] for name, several in choices.items()}
    return plan.case(arrays, draw(_SEED), settings)


def _few_shapes(plan: Plan) -> list[Any] | None:
    """Return the only shapes for a function that is compiled for each; None for others."""
    if not plan.function.few_shapes:
        return None
    count, names = len(plan.domains), len(smallest_sizes(plan.domains))
    several = ((2, 2), (2,)), ((1,), (1,)), ((3, 2), (4, 3, 2, 5)), ((64,), (64, 2)), ((0,), (0, 2))
    few = [Template((batch,) * count, sizes) for batch, sizes in several]
    if names:
        few = [t._replace(batch=((2,) * (len(t.batch[0]) > 1),) * count) for t in few]
    return [template_shapes(plan.domains, template) for template in few]


# Public strategies


def inputs(*domains: Domain, dtype: Any = np.float64) -> st.SearchStrategy[tuple[Array, ...]]:
    """Return a hypothesis strategy for a tuple of arrays, one for each domain, that fit together.

    Shapes and numbers are those that `check` draws: special values, ties, small, large and
    generic numbers; 0-d, empty, square, long and broadcast shapes. `dtype` is that of floats.

    >>> from tinygrad_fc.testing import positive
    >>> inputs(positive("n", 3)).example()[0].shape[1] == 3  # doctest: +SKIP
    True
    """
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind.kind != "f":
        raise TypeError(f"inputs: dtype is {dtype!r:.80}. Give that of floats, such as np.float32")
    return _inputs(with_known_axes(domains or (real,)), kind)


@st.composite
def _inputs(draw: st.DrawFn, domains: Sequence[Domain], dtype: np.dtype[Any]) -> tuple[Array, ...]:
    arrays = draw_arrays(draw, domains)
    if mapping := CheckOptions().mapping(domains):
        arrays = tuple(mapping(arrays))
    if not meet(domains, arrays):
        reject()
    return tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays)
