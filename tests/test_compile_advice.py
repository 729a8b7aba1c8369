"""What a refusal advises, and what a refused trace leaves behind."""

from __future__ import annotations

from collections import UserList
from typing import Any

import numpy as np
import pytest
from test_compile_refusals import (
    array,
    as_float,
    as_list,
    branch,
    counted,
    formatted,
    formatted_to_places,
    indexed,
    item,
    largest,
    leaked,
    loop,
    printed,
    square_root,
    truth,
    w,
)

import tinygrad_fc as tg
from tinygrad_fc.compiler import CompileError

ADVICE = {
    **dict.fromkeys((branch, truth, loop, largest), "Write where(condition, x, y)"),
    **dict.fromkeys((item, as_float, square_root, as_list, array), "return it, and call item()"),
    **dict.fromkeys((counted,), "call item() or numpy() on what the compiled function returns"),
    indexed: "Write x[i] with a tensor x",
    printed: "Return what is to be seen, and print it outside",
    **dict.fromkeys((formatted, formatted_to_places), "Return the tensor, and print it outside"),
    leaked: "keep what the compiled function returns, as in kept.append(leaked(...))",
}


@pytest.mark.parametrize("function", ADVICE, ids=lambda f: f.__name__)
def test_the_advice_fits_what_was_done(function: Any):
    with pytest.raises(CompileError) as caught:
        tg.compile(function, backend="numpy")(tg.tensor([1.0, 3.0]))
    assert ADVICE[function] in str(caught.value)
    others = {advice for advice in ADVICE.values() if advice != ADVICE[function]}
    assert "where(" not in str(caught.value) or "where(" in ADVICE[function]
    assert not any(advice in str(caught.value) for advice in others if "call item" not in advice)


USES: dict[str, Any] = {
    "arithmetic": lambda t: t + 1,
    "a view": lambda t: t[None],
    "item": lambda t: t.item(),
    "numpy": lambda t: np.asarray(t.numpy()),
    "print": str,
    "branch": lambda t: t if t > 0 else -t,
    "backward": lambda t: t.backward(),
    "stack": lambda t: tg.stack([t, t]),
}


@pytest.mark.parametrize("name", USES)
def test_what_a_refused_trace_left_behind_tells_what_it_is(name: str):
    left: Any = UserList()  # which is not emptied, as a list is

    def logging(x: Any) -> float:
        left.append((x * w).sum())
        return float(left[0])  # here

    with pytest.raises(CompileError, match=r"float.. asks for the value"):
        tg.compile(logging, backend="numpy")(tg.ones(2))
    with pytest.raises(CompileError) as caught:
        USES[name](left[0])
    message = str(caught.value)
    assert "made while logging was traced, which was given up" in message
    assert "return float(left[0])  # here" in message
    assert "take it out of where the function put it" in message
