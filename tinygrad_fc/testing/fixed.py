"""The inputs that every check begins with, whatever is drawn after them.

Bugs of empty arrays, single numbers, square arrays beside one that broadcasts, ties and repeated
indices are found by the right shape, not by many tries: such shapes are few, and tried always.
"""

from __future__ import annotations

import math
from itertools import count, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.domain import least, named
from tinygrad_fc.testing.case import Case
from tinygrad_fc.testing.drawing import anywhere, long_enough, numbers, special
from tinygrad_fc.testing.plan import SALTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tinygrad_fc.domain import Domain
    from tinygrad_fc.testing.plan import Plan

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

SPECIAL, SMALL, WHOLE, SIZES = "special", "small", "whole", "sizes"
GRID, SAME, NEAR, POWER, EVEN = "grid", "same", "near", "power", "even"
"""What the numbers are: special values, eighths, whole ones, of all sizes; all tuples of special
values, one for each argument; the same for all arguments, or nearly; about a power of 2; all over
what is drawn most."""
POWERS = (-7, -14, 4, 5, 6, 7, 8, 9)
"""Of 2: what is small for float32, and where exponentials are finite, or not by far."""
LONG = 9
"""Longer than what is drawn: axes are, for some rules, cut into pieces of 8."""
MOST = 64
"""How many tuples of special values are tried at once."""


class Form(NamedTuple):
    """Shapes for all arguments, and what their numbers are."""

    batch: Shape
    """What `...` stands for."""
    size: int
    """That of the axes with letters; 0 where each has another."""
    odd: tuple[int, int] | None = None
    """Which letter has another size, and that size."""
    part: tuple[int, Shape] | None = None
    """Which argument has other axes for `...`, and these."""
    values: str = SMALL
    at: int = -1
    """Which special value numbers are near to; which power of 2 they are about."""
    negative: bool = False
    """Whether those of the first argument are less than 0."""


def forms(words: Sequence[Domain]) -> list[Form]:
    """Return what is tried for arguments of these domains: what is least first."""
    patterns = [(...,) if w.shape is None else w.shape for w in words]
    letters = least(words)
    batched = [i for i, p in enumerate(patterns) if ... in p]
    plain = all(p == (...,) for p in patterns)
    ones, square = Form((1,), 1), Form((2, 2), 2, values=SPECIAL)
    usual = [Form((), 2), ones, Form((2,), 3), square, Form((2, 3), 0, values=WHOLE)]
    empty = [Form((2,), 2, (k, 0)) for k in range(len(letters))]
    empty += [Form(b, 2) for b in ((0,), (2, 0), (0, 2))] * bool(batched)
    one = [Form((2,), 3, (k, 1), values=WHOLE) for k in range(len(letters))]
    single = [Form((2, 1), 3), Form((1, 2), 3)] * bool(batched)
    parts = []
    if len(batched) > 1:
        told: list[tuple[Shape, Shape]] = [((2, 2), p) for p in ((2,), (), (1, 2), (2, 1))]
        told += [((0,), (1,)), ((0,), ()), ((2, 0), (2, 1)), ((1,), ())]
        parts = [Form(b, 2, part=(i, p)) for b, p in told for i in batched]
    more = [square._replace(values=v) for v in (SAME, SIZES, NEAR)]
    more += [Form((3,), 3, values=v) for v in (SPECIAL, NEAR, WHOLE, SIZES, SAME)]
    most = max((len(special(w)) for w in words if w.kind == "float"), default=1)
    more += [Form((3,), 3, values=NEAR, at=k) for k in range(min(most, 4))]
    # One alone: where one number in an array overflows, nothing is told of the others.
    far = [Form((1,), 1, values=POWER, at=k, negative=n) for k in POWERS for n in (False, True)]
    far += [Form((LONG,), 1, values=EVEN)] * bool(batched)
    far += [Form((1,), LONG, values=EVEN)] * bool(letters)
    if plain:
        more.insert(0, Form((grid_size(words),), 1, values=GRID))
    rest = zip_longest(empty, parts, more, one, single)
    return usual + [f for several in rest for f in several if f is not None] + far


def grid_size(words: Sequence[Domain]) -> int:
    """Return how many tuples there are of a special value for each argument."""
    return min(math.prod(len(special(w)) for w in words), MOST)


def _shape(
    form: Form, i: int, word: Domain, letters: dict[str, int], shortest: dict[str, int]
) -> Shape:
    """Return the shape of argument `i`, and note how long the axes with letters are."""
    batch = form.batch
    if form.part is not None and form.part[0] == i:
        batch = form.part[1]
    shape: Shape = ()
    for axis in (...,) if word.shape is None else word.shape:
        if axis is ...:
            shape += batch
        elif isinstance(axis, int):
            shape += (axis,)
        elif batch or not named(axis).optional:
            letter, k = named(axis).letter, len(letters)
            usual = form.size or (4, 3, 2, 5)[k % 4]
            size = form.odd[1] if form.odd is not None and form.odd[0] == k else usual
            letters.setdefault(letter, long_enough(size, shortest[letter]))
            shape += (letters[letter],)
    return shape


def _floats(form: Form, i: int, word: Domain, shape: Shape, repeats: int) -> Array:
    rng = np.random.default_rng([i, *shape, len(form.values)])
    n = math.prod(shape)
    if form.values == GRID:
        tried = special(word)
        found = np.array([tried[k // repeats % len(tried)] for k in range(n)], float)
        return found.reshape(shape)
    kind, m = rng.integers(0, 256, n), rng.integers(0, 256, n)
    if form.values == SPECIAL:
        kind, m = 0 * kind, m + i
    elif form.values in {WHOLE, SAME}:
        kind, m = 0 * kind + 1, 128 + 8 * (m % 7 - 3)
    elif form.values == SIZES:
        kind |= 3
    elif form.values == NEAR:
        m = 128 + m % 16 - 8
    elif form.values == EVEN:
        kind, m = 0 * kind + 1, 4 + rng.permutation(np.arange(n) * 248 // max(n - 1, 1))
    elif form.values == POWER:
        kind = 0 * kind + 4 * (16 + form.at) + 3
        m = m if i else m % 128 + 128 * (not form.negative)
    else:
        kind, m = 0 * kind + 1, 128 + m % 32 - 16
    if form.values == SAME:
        m = 0 * m + 136
    if form.values == NEAR and word.kind == "float" and not word.distinct:
        at = special(word)[form.at % len(special(word))]
        near = at + np.ldexp(m - 128.0, -8 - 5 * (kind % 2))
        inside = (near > word.low) & (near < word.high) & ~np.isin(near, word.without)
        return np.where(inside, near, at).reshape(shape)
    return numbers(word, kind, m).reshape(shape)


def _whole(form: Form, word: Domain, shape: Shape, n: int) -> Array | None:
    """Return indices: the same one again and again, or each in turn, from either end if legal."""
    size = math.prod(shape)
    if size and not n:
        return None
    each = np.arange(size) * (form.values not in {SPECIAL, SAME})
    turned = each % max(n, 1)
    if word.low < 0:
        turned = np.where(each % 3 == 2, -1, 1) * turned
    return turned.astype(np.intp).reshape(shape)


def _arrays(form: Form, words: Sequence[Domain]) -> tuple[Array, ...] | None:
    """Return arrays of this form, None where there are none: an index into nothing."""
    letters: dict[str, int] = {}
    shortest = least(words)
    shapes = [_shape(form, i, w, letters, shortest) for i, w in enumerate(words)]
    found, repeats = [], 1
    for i, (word, shape) in enumerate(zip(words, shapes, strict=True)):
        if word.kind == "bool":
            made: Array | None = (np.arange(math.prod(shape)) % 3 != 1).reshape(shape)
        elif word.kind == "index":
            n = letters.get(word.size, 0) if isinstance(word.size, str) else int(word.size or 0)
            made = _whole(form, word, shape, n)
        else:
            made = _floats(form, i, word, shape, repeats)
            repeats *= len(special(word))
        if made is None:
            return None
        found.append(made)
    return tuple(found)


def fixed(plan: Plan, most: int, *, wide: bool = False) -> Iterator[Case]:
    """Return the first cases of a check, `most` of them; with `wide` outside of the domain too."""
    __tracebackhide__ = True
    words = plan.words
    if wide:
        words = tuple(anywhere(w) if w.kind == "float" else w for w in words)
    made, seen = 0, set()
    for k, form in zip(count(), forms(words), strict=False):
        arrays = _arrays(form, words)
        if arrays is None:
            continue
        # Where a domain fixes all sizes forms give the same.
        same = repr([(a.shape, a.tobytes()) for a in arrays])
        if same in seen:
            continue
        seen.add(same)
        choices = {name: list(legal(*arrays)) for name, legal in plan.settings.items()}
        if not all(choices.values()):
            continue
        settings = {name: several[k % len(several)] for name, several in choices.items()}
        case = Case(
            *(plan.rule, words, arrays, settings, k % SALTS, plan.strict, plan.floats),
            plan.options.where,
        )
        if case.legal() and made < most:
            made += 1
            yield case
