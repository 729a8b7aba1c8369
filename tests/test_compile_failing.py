"""Calls that fail: nothing is changed but what the function itself had changed by then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.errors import RangeError

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE = tg.tensor(np.arange(12.0).reshape(4, 3))
FAILING: dict[str, Callable[[Any], Any]] = {
    "rows": lambda i: TABLE[i],
    "rows of rows": lambda i: TABLE[i][i],
    "one of each row": lambda i: TABLE[i, 0],
    "multiplied": lambda i: (TABLE[i] * 2).sum(),
}


def stepping(does: list[str], state: tg.Tensor) -> Callable[[Any], Any]:
    """Return a function that changes `state` and takes rows, in this order."""

    def step(i: Any) -> Any:
        taken = []
        for name in does:
            if name in FAILING:
                taken.append(FAILING[name](i))
            else:
                state.add_(1) if name == "count" else state.mul_(2)
        return sum((x.sum() * 2 for x in taken), start=state * 1)

    return step


@given(
    st.lists(st.sampled_from([*FAILING, "count", "scale"]), min_size=1, max_size=5),
    st.integers(0, 5),
)
def test_a_call_that_fails_changes_nothing_that_comes_after(does: list[str], row: int) -> None:
    states = [tg.ones(2), tg.ones(2)]
    eager, other = (stepping(does, state) for state in states)
    compiled = tg.compile(other, backend="numpy")
    for i in (tg.tensor([0]), tg.tensor([1]), tg.tensor([row])):
        made, failed, before = [], [], states[0].numpy().copy()
        for call in (eager, compiled):
            try:
                made.append(call(i).numpy())
            except RangeError:
                failed.append(call)
        assert len(failed) in (0, 2)
        left = states[0].numpy()
        if failed and (states[1].numpy() == before).all():
            left = before
        np.testing.assert_array_equal(states[1].numpy(), left)
        states[1].copy_(states[0])
        if made:
            np.testing.assert_array_equal(*made)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_step_that_fails_leaves_the_parameters(backend: str) -> None:
    if backend == "numba":
        pytest.importorskip("numba")
    model = nn.Linear(3, 3)
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @tg.compile(backend=backend)
    def step(x: Any, i: Any) -> Any:
        weights = TABLE[i]
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach() * weights

    x = tg.ones(2, 3)
    for row in (1, 2):
        step(x, tg.tensor([row]))
    before = model.weight.detach().numpy().copy()
    with pytest.raises(RangeError):
        step(x, tg.tensor([4]))
    np.testing.assert_array_equal(model.weight.detach().numpy(), before)
