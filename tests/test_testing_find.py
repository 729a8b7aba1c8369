"""Wrong rules that live in a small region, or in what is kept between calls, are found always."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tinygrad_fc.testing import GradientError, check_vjp, positive, real

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
