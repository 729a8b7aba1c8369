"""Every row of the table, compiled: the function and its derivative, as eager has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from twins import same

import tinygrad_fc as tg
from tinygrad_fc.testing.strategies import draw_arrays
from tinygrad_fc.testing.tensors import registered_ops

if TYPE_CHECKING:
    from tinygrad_fc import Op

few = settings(max_examples=max(2, settings.default.max_examples // 50))


@pytest.mark.parametrize("op", registered_ops(), ids=lambda op: op.name)
@few
@given(data=st.data())
def test_a_row_compiled(op: Op, data: st.DataObject):
    arrays = draw_arrays(data.draw, op.domain)
    chosen: dict[str, Any] = {}
    for name, legal in op.settings.items():
        choices = list(legal(*arrays))
        if not choices:
            reject()
        chosen[name] = choices[data.draw(st.integers(0, len(choices) - 1))]
    if any(
        not word.condition(x) for word, x in zip(op.domain, arrays, strict=True) if word.condition
    ):
        reject()
    tensors = [tg.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]

    def applied(*tensors: Any) -> Any:
        out = op(*tensors, **chosen)
        if not out.requires_grad:
            return out
        wanted = [t for t in tensors if t.requires_grad]
        slopes = tg.autograd.grad(out, wanted, tg.cos(out.detach()), allow_unused=True)
        return out.detach(), slopes

    with np.errstate(all="ignore"):
        try:
            expected = applied(*tensors)
        except tg.errors.GraphError:  # an argument that has no rule
            tensors = [t.detach() for t in tensors]
            expected = applied(*tensors)
        compiled = tg.compile(applied, backend="numpy")
        for _ in range(2):
            same(op.name, compiled(*tensors), expected)
