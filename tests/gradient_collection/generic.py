"""Rules that are wrong in a region of generic inputs only: numbers, shapes, memory, cotangents.

Each is right elsewhere, so that it is found by the width of the inputs alone. `python -m
tests.gradient_collection --only generic` measures that.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.domain import index, interval, positive, real

from .case import Case, by, fitted, like
from .formulas import embedding_vjp, turned

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.domain import Domain

    Condition = Callable[..., Any]

GENERIC: dict[str, Case] = {}


def _add(name: str, forward: Any, vjp: Any, *domains: Domain) -> None:
    name = f"generic: {name}"
    assert name not in GENERIC, name
    GENERIC[name] = Case(name, forward, vjp, domains, bug="generic")


def _half_more(wrong: Any) -> Any:
    return np.where(wrong, 1.5, 1.0)


def _sine(name: str, wrong: Condition) -> None:
    """Add a sine whose gradient is half as large again where `wrong(x, g)` holds."""
    rule = lambda g, _, x: g * np.cos(x) * _half_more(wrong(x, g))  # noqa: E731
    _add(name, np.sin, fitted(rule), real)


def _product(name: str, wrong: Condition) -> None:
    """Add a product that broadcasts, whose first gradient is wrong where `wrong(x, y, g)` holds."""
    rule = lambda g, _, x, y: (g * y * _half_more(wrong(x, y, g)), g * x)  # noqa: E731
    _add(name, np.multiply, fitted(rule), real, real)


def _matmul(name: str, wrong: Condition) -> None:
    """Add a matrix product whose first gradient is wrong where `wrong(a, b)` holds."""
    rule = lambda g, _, a, b: (g @ turned(b) * _half_more(wrong(a, b)), turned(a) @ g)  # noqa: E731
    _add(name, np.matmul, fitted(rule), real("n", "k"), real("k", "m"))


def _gather(name: str, wrong: Condition) -> None:
    """Add a selection of entries whose gradient is wrong where `wrong(w, i)` holds."""

    def rule(g: Any, out: Any, w: Any, i: Any) -> Any:
        return embedding_vjp(g, out, w, i)[0] * _half_more(wrong(w, i)), None

    _add(name, lambda w, i: w[i], fitted(rule), real("n"), index("n")("k"))


# fmt: off
# Numbers
_sine("2.13 to 2.24", lambda x, g: (x > 2.13) & (x < 2.24))
_sine("-0.73 to -0.68", lambda x, g: (x > -0.73) & (x < -0.68))
_sine("0.3 to 0.36", lambda x, g: (x > 0.3) & (x < 0.36))
_sine("5.6 to 5.9", lambda x, g: (x > 5.6) & (x < 5.9))
_sine("-3.4 to -3.3", lambda x, g: (x > -3.4) & (x < -3.3))
_sine("0.91 to 0.99", lambda x, g: (x > 0.91) & (x < 0.99))
_sine("20 to 30", lambda x, g: (x > 20) & (x < 30))
_sine("-130 to -100", lambda x, g: (x > -130) & (x < -100))
_sine("above 300", lambda x, g: x > 300)
_sine("above 1e4", lambda x, g: x > 1e4)
_sine("beyond 1e5", lambda x, g: np.abs(x) > 1e5)
_sine("below -1e6", lambda x, g: x < -1e6)
_sine("small, not 0", lambda x, g: (np.abs(x) < 1e-3) & (x != 0))
_sine("tiny, not 0", lambda x, g: (np.abs(x) < 1e-6) & (x != 0))
_sine("just above 1", lambda x, g: (x > 1) & (x < 1.001))
_sine("negative zero", lambda x, g: np.signbit(x) & (x == 0))
_sine("no eighth", lambda x, g: (x * 8) % 1 != 0)
_sine("ten and more digits", lambda x, g: (x * 1024) % 1 != 0)
_sine("even numbers", lambda x, g: (x % 2 == 0) & (np.abs(x) > 3))
_sine("all of one sign", lambda x, g: x.size > 2 and bool((x > 0).all()))
_sine("sorted", lambda x, g: x.size > 2 and bool((np.diff(x.ravel()) > 0).all()))
_sine("a wide range", lambda x, g: x.size > 1 and np.ptp(x) > 1e3)
_sine("a narrow range", lambda x, g: x.size > 1 and 0 < np.ptp(x) < 0.1)
_add("log clamped at 1e-5", np.log, by(lambda x, y: 1 / np.maximum(x, 1e-5)), positive)
_add("reciprocal clamped at 1e-4", np.reciprocal, by(lambda x, y: -1 / np.maximum(x, 1e-4) ** 2),
     positive)
_add("arctanh clamped near 1", np.arctanh, by(lambda x, y: 1 / np.maximum(1 - x * x, 1e-4)),
     interval(-1, 1))
_add("exp clipped at 20", np.exp, by(lambda x, y: np.exp(np.minimum(x, 20))), interval(-60, 60))
_add("sqrt at a large number", np.sqrt, by(lambda x, y: np.where(x > 1e4, 0, 1 / (2 * y))),
     positive)
_add("a closed end", np.exp, by(lambda x, y: np.where(x == 1, 0, y)), interval(0, 1, closed=True))
_add("infinity", np.arctan, by(lambda x, y: x / (x + x**3)), interval(1, np.inf, closed=True))
_add("NaN", lambda x: like(x, np.where(np.isnan(x), 0, x)), by(lambda x, y: x / x),
     interval(1, 4, special=(np.nan,), closed=True))

# Shapes
_product("both stretched", lambda x, y, g: g.shape not in {x.shape, y.shape})
_product("both of one axis of 1", lambda x, y, g: 1 in x.shape and 1 in y.shape and g.size > 1)
_product("x of fewer axes", lambda x, y, g: x.ndim < y.ndim and x.size > 1)
_product("y stretched along the last axis", lambda x, y, g: y.shape[-1:] == (1,) != x.shape[-1:])
_product("x stretched along the first of three",
         lambda x, y, g: x.ndim == 3 and x.shape[0] < len(g))
_sine("an axis of 5 and more", lambda x, g: max(x.shape, default=0) >= 5)
_sine("a last axis of 7 and more", lambda x, g: x.ndim > 0 and x.shape[-1] >= 7)
_sine("more than 30 entries", lambda x, g: x.size > 30)
_sine("more than 16 entries", lambda x, g: x.size > 16)
_sine("4 axes", lambda x, g: x.ndim == 4)
_sine("3 axes", lambda x, g: x.ndim == 3)
_sine("an inner axis of 1", lambda x, g: x.ndim > 2 and 1 in x.shape[1:-1])
_sine("more rows than columns", lambda x, g: x.ndim == 2 and x.shape[0] > x.shape[1] > 1)
_sine("twice as many columns", lambda x, g: x.ndim == 2 and x.shape[1] >= 2 * x.shape[0] > 2)
_sine("6 entries", lambda x, g: x.size == 6)
_matmul("one row", lambda a, b: len(a) == 1 and a.shape[1] > 1)
_matmul("one inner product", lambda a, b: a.shape[1] == 1 and min(len(a), b.shape[1]) > 1)
_matmul("long inner products", lambda a, b: a.shape[1] >= 5)
_matmul("wide and tall", lambda a, b: len(a) < a.shape[1] > b.shape[1])

# Indices
_gather("from the end", lambda w, i: bool((i < 0).any()))
_gather("repeated, apart", lambda w, i: i.size > 2 and i[0] == i[-1] and i[1] != i[0])
_gather("descending", lambda w, i: i.size > 1 and bool((np.diff(i) < 0).all()))
_gather("more than there are", lambda w, i: i.size > w.size)
_gather("the last one", lambda w, i: bool((i == len(w) - 1).any()))

# Memory, calls, cotangents
_sine("unaligned", lambda x, g: not g.flags.aligned)
_sine("reversed", lambda x, g: any(s < 0 for s in x.strides))
_sine("read-only", lambda x, g: not g.flags.writeable)
_product("the same array", lambda x, y, g: x is y)
_product("float32 beside float64", lambda x, y, g: x.dtype == np.float32 and y.dtype == np.float32)
_sine("ones", lambda x, g: g.size > 0 and bool((g == 1).all()))
_sine("a constant cotangent", lambda x, g: g.size > 1 and np.ptp(g) == 0 != g.flat[0])
_sine("a large cotangent", lambda x, g: np.abs(g) > 1e4)
_sine("a tiny cotangent", lambda x, g: (np.abs(g) < 1e-5) & (g != 0))
_sine("a positive cotangent", lambda x, g: g.size > 1 and bool((g > 0).all()))
_CALLS = count(), count()
_sine("the first call", lambda x, g: next(_CALLS[0]) == 0)
_sine("every fifth call", lambda x, g: next(_CALLS[1]) % 5 == 4)
# fmt: on
