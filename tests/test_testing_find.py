"""Wrong rules that live in a small region, or in what is kept between calls, are found always."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tinygrad_fc.testing import GradientError, check_vjp, positive, real
from tinygrad_fc.testing.case import Case, Rule
from tinygrad_fc.testing.options import asked
from tinygrad_fc.testing.plan import Plan, laws_for
from tinygrad_fc.testing.search import _Search

if TYPE_CHECKING:
    from collections.abc import Callable

quiet = np.errstate(all="ignore")
REGIONS: dict[str, Callable[[Any], Any]] = {
    "around one": lambda x: (np.abs(x - 1) < 0.1) & (x != 1),
    "around minus one": lambda x: (np.abs(x + 1) < 0.1) & (x != -1),
    "a few hundreds": lambda x: (x > 256) & (x < 600),
    "a few hundreds below 0": lambda x: (x < -256) & (x > -600),
}


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_within_the_domain(region: str) -> None:
    def vjp(g: Any, _out: Any, x: Any) -> Any:
        return g * np.where(REGIONS[region](x), 3, 2).astype(x.dtype) * x

    with pytest.raises(GradientError) as caught:
        check_vjp(np.square, vjp, real)
    assert caught.value.kind == "value"


@quiet
@pytest.mark.parametrize("domain", [real, positive])
@pytest.mark.parametrize("limit", [50, 100])
def test_a_bound_below_the_largest_exponent(domain: Any, limit: float) -> None:
    with pytest.raises(GradientError):
        check_vjp(np.exp, lambda g, out, x: g * np.exp(np.minimum(x, limit)), domain)


def test_a_gradient_read_from_the_last_call_of_the_function() -> None:
    kept = {}

    def sine(x: Any) -> Any:
        kept[x.shape, x.dtype] = np.cos(x)
        return np.sin(x)

    with pytest.raises(GradientError, match="Something is kept between calls") as caught:
        check_vjp(sine, lambda g, out, x: g * kept[x.shape, x.dtype], real)
    assert caught.value.kind == "nondeterministic"


def test_beside_an_empty_array() -> None:
    def twice(g: Any, _out: Any, x: Any, _b: Any) -> Any:
        return g[:, None] + 0 * x, 2 * g

    with pytest.raises(GradientError) as caught:
        check_vjp(lambda x, b: x.sum(1) + b, twice, np.zeros((2, 0)), np.ones(2))
    assert caught.value.argument == 1


def _twice(x: Any) -> Any:
    """Return what x is multiplied by in a wrong slope of its square: beyond 2 it is not 2."""
    return np.where(x > 2, 3, 2).astype(x.dtype)


def test_what_is_made_small_is_not_traced() -> None:
    traced = set()

    def vjp(g: Any, _out: Any, x: Any) -> Any:
        traced.add(sys.gettrace())
        return g * _twice(x) * x

    before = sys.gettrace()
    with pytest.raises(GradientError):
        check_vjp(np.square, vjp, real)
    assert traced == {before}


def test_what_is_made_small_is_asked_once_and_the_law_that_failed_first() -> None:
    rule = Rule("square", np.square, lambda g, out, x: g * _twice(x) * x)
    plan = Plan(rule, (real,), laws_for(asked(), rule, second=False), asked(), {})
    search = _Search(plan, 1)

    def calls(*x: float) -> int:
        before = rule.calls["all"]
        with suppress(GradientError):
            search.hold(Case(rule, (real,), (np.array(x),), {}, floats=(0,)))
            assert max(x) <= 2
        return rule.calls["all"] - before

    whole = calls(1.0)
    assert calls(3.0) > whole
    assert calls(3.0) == 0
    assert 0 < calls(1.0) < 0.75 * whole
    assert calls(1.0) == 0
