"""The width of the inputs that a check tries, and of the calls that it makes with them."""

from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from tinygrad_fc.domain import Domain, index, interval, positive, real
from tinygrad_fc.testing import GradientError, check_vjp, inputs
from tinygrad_fc.testing.strategies import first_examples

LENGTHS = (6, 8, 10, 16, 33, 64)


def _within(low: float, high: float) -> Any:
    return lambda x: ((low < x) & (x < high)).any()


# fmt: off
REGIONS: list[tuple[tuple[Domain, ...], dict[str, Any]]] = [
    ((real,), {
        **{f"{low} to {high}": _within(low, high) for low, high in (
            (2.13, 2.24), (0.3, 0.36), (5.6, 5.9), (1, 1.001), (-130, -100), (300, 1e4),
            (1e4, 1e9), (-1e9, -1e6), (0, 1e-6),
        )},
        "negative zero": lambda x: np.signbit(x[x == 0]).any(),
        "ten and more digits": lambda x: ((x * 1024) % 1 != 0).any(),
        "even numbers": lambda x: ((x % 2 == 0) & (np.abs(x) > 3)).any(),
        "one sign": lambda x: x.size > 2 and (x > 0).all(),
        "sorted": lambda x: x.size > 2 and (np.diff(x.ravel()) > 0).all(),
        "a wide range": lambda x: x.size > 1 and np.ptp(x) > 1e3,
        **{f"{n} axes": lambda x, n=n: x.ndim == n for n in (0, 1, 2, 4)},
        "an inner axis of 1": lambda x: x.ndim > 2 and 1 in x.shape[1:-1],
        "more rows than columns": lambda x: x.ndim == 2 and x.shape[0] > x.shape[1] > 1,
        "twice as many columns": lambda x: x.ndim == 2 and x.shape[1] >= 2 * x.shape[0] > 2,
        "6 entries": lambda x: x.size == 6,
    }),
    ((positive,), {"small": _within(0, 1e-5), "large": _within(1e4, np.inf)}),
    ((interval(-1, 1),), {"near the edge": lambda x: (1 - x * x < 1e-4).any()}),
    ((interval(0, 1, closed=True),), {"the edge": lambda x: (x == 1).any()}),
    ((interval(1, np.inf, special=(np.nan,), closed=True),),
     {"infinity": lambda x: np.isinf(x).any(), "NaN": lambda x: np.isnan(x).any()}),
    ((real, real), {
        "large": lambda x, y: (np.abs(x) > 1e5).any(),
        "tiny": lambda x, y: ((np.abs(x) < 1e-5) & (x != 0)).any(),
        "generic": lambda x, y: ((x * 256) % 1 != 0).any(),
        "many": lambda x, y: x.size > 30,
        "long": lambda x, y: max(x.shape, default=0) > 5,
        "both stretched": lambda x, y: (x + y).shape not in {x.shape, y.shape},
        "axes of 1": lambda x, y: 1 in x.shape and 1 in y.shape and (x + y).size > 1,
        "fewer axes": lambda x, y: x.ndim < y.ndim and x.size > 1,
        "stretched along the last axis": lambda x, y: y.shape[-1:] == (1,) != x.shape[-1:],
        "stretched along the first of three": lambda x, y: x.ndim == 3 and len(x) < len(x + y),
    }),
    ((real("n", "k"), real("k", "m")), {
        **{f"inner products of {n}": lambda a, b, n=n: a.shape[1] == n for n in LENGTHS},
        "one row": lambda a, b: len(a) == 1 and a.shape[1] > 1,
        "one inner product": lambda a, b: a.shape[1] == 1 and min(len(a), b.shape[1]) > 1,
        "wide and tall": lambda a, b: len(a) < a.shape[1] > b.shape[1],
    }),
    ((real("n"), index("n")("k")), {
        "from the end": lambda w, i: (i < 0).any(),
        "repeated, apart": lambda w, i: i.size > 2 and i[0] == i[-1] and i[1] != i[0],
        "descending": lambda w, i: i.size > 1 and (np.diff(i) < 0).all(),
        "more than there are": lambda w, i: i.size > w.size,
        "the last one": lambda w, i: (i == len(w) - 1).any(),
    }),
]
# fmt: on


def test_the_first_examples_reach_every_region() -> None:
    """A rule that is wrong in one region only is found by no input elsewhere."""
    for domains, regions in REGIONS:
        tried = [*first_examples(domains)]
        for name, is_reached in regions.items():
            assert any(is_reached(*arrays) for arrays in tried), (domains, name)


def test_wide_inputs_are_drawn() -> None:
    (domains, regions) = next(row for row in REGIONS if row[0] == (real, real))
    missed = {"large", "tiny", "generic", "axes of 1", "fewer axes"}

    @settings(max_examples=200, database=None, derandomize=True)
    @given(inputs(*domains))
    def drawn(arrays: Any) -> None:
        missed.difference_update([name for name in missed if regions[name](*arrays)])

    drawn()
    assert not missed


_first, _fifth = count(), count()
CALLS: dict[str, Any] = {
    "unaligned": lambda x, g: not g.flags.aligned,
    "reversed": lambda x, g: any(s < 0 for s in x.strides),
    "read-only": lambda x, g: not g.flags.writeable,
    "ones": lambda x, g: g.size and (g == 1).all(),
    "constant": lambda x, g: g.size > 1 and np.ptp(g) == 0 != g.flat[0],
    "large": lambda x, g: np.abs(g) > 1e4,
    "tiny": lambda x, g: (np.abs(g) < 1e-5) & (g != 0),
    "positive": lambda x, g: g.size > 1 and (g > 0).all(),
    "the first call": lambda x, g: next(_first) == 0,
    "every fifth call": lambda x, g: next(_fifth) % 5 == 4,
}


@pytest.mark.parametrize("name", CALLS)
def test_rules_that_are_wrong_for_some_calls_are_found(name: str) -> None:
    def vjp(g: Any, _out: Any, x: Any) -> Any:
        return (g * np.cos(x) * np.where(CALLS[name](x, g), 1.5, 1)).astype(x.dtype)

    with pytest.raises(GradientError):
        check_vjp(np.sin, vjp, real)


def test_rules_that_are_wrong_for_the_same_array_or_dtypes_are_found() -> None:
    for wrong in (lambda x, y: x is y, lambda x, y: x.dtype == y.dtype == np.float32):

        def vjp(g: Any, _out: Any, x: Any, y: Any, wrong: Any = wrong) -> Any:
            return g * y * g.dtype.type(1 + wrong(x, y) / 2), g * x

        with pytest.raises(GradientError):
            check_vjp(np.multiply, vjp, real("n"), real("n"))
