"""Failures in several axes are made small: only those that are needed have more than one entry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_fc.domain import least
from tinygrad_fc.testing import GradientError, arrays, check_vjp, index, interval, real
from tinygrad_fc.testing.case import Case, Rule
from tinygrad_fc.testing.smaller import _axes, _cut

WORDS = (
    (real, real),
    (real(..., "n"), real("n?", "m>=2")),
    (real("n>=2", 3, "m"), index("m")("n"), real("m")),
)


@settings(max_examples=40)
@given(st.data(), st.sampled_from(WORDS))
def test_what_is_cut_still_fits_together(data: st.DataObject, words: Any) -> None:
    drawn = data.draw(arrays(*words))
    case = Case(Rule("f", len, len), words, drawn, {})
    for label in {name for _, _, name in _axes(case)}:
        for made in _cut(case, label):
            sizes = {name: made.arrays[i].shape[axis] for i, axis, name in _axes(made)}
            assert sum(sum(a.shape) for a in made.arrays) < sum(sum(a.shape) for a in drawn)
            assert all(sizes.get(name, 2) >= size for name, size in least(words).items())
            if words[0].shape is None:
                np.broadcast_shapes(*(a.shape for a in made.arrays))
            elif len(words) == 3:
                x, i, y = made.arrays
                assert x.shape == (len(i), 3, len(y))
                assert not i.size or i.max() < len(y)


def test_axes_that_do_not_matter_have_one_entry() -> None:
    def softmax(x: Any) -> Any:
        e = np.exp(x)
        return e / e.sum(1, keepdims=True)

    def along_another(g: Any, out: Any, _x: Any) -> Any:
        return out * (g - (g * out).sum(2, keepdims=True))

    once: Any = {"order": 1, "dtypes": "float64", "max_examples": 40}
    with pytest.raises(GradientError) as caught:
        check_vjp(softmax, along_another, interval(-3, 3)("a", "b", "c"), **once)
    assert caught.value.arrays[0].size == 2
