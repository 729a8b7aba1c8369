"""What a refusal advises, and what a refused trace leaves behind."""

from __future__ import annotations

import logging
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
from twins import same

import tinygrad_fc as tg
from tinygrad_fc.compiler import CompileError

ADVICE = {
    **dict.fromkeys((branch, loop, largest), "Write where(condition, x, y)"),
    **dict.fromkeys((item, as_float, square_root, as_list, array), "return it, and call item()"),
    **dict.fromkeys((counted,), "call item() or numpy() on what the compiled function returns"),
    truth: "Return it, and check it outside of the compiled function.",
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


def printed_shape(x: Any) -> Any:
    print(x.shape)  # noqa: T201  here
    return x


def logged(x: Any) -> Any:
    logging.getLogger("tests").warning("a step")
    return x


def saved(x: Any) -> Any:
    tg.save({"w": w}, "never.safetensors")
    return x


def checked_alone(x: Any) -> Any:
    assert tg.isfinite(x.sum()), "and what is wrong"
    return x


def input_gradient(x: Any) -> Any:
    x = x.requires_grad_()
    return x * 2


def input_frozen(x: Any) -> Any:
    x.requires_grad = not x.requires_grad
    return x * 2


def part_of_a_batch(x: Any) -> Any:
    x["x"].requires_grad_()
    return x["x"] * 2


ONES = tg.ones(2)
TOLD: dict[str, tuple[Any, Any, str]] = {
    "print": (printed_shape, ONES, "mistake, printed_shape.__wrapped__(...) runs it as it is"),
    "log": (logged, ONES, "to look for a mistake, logged.__wrapped__(...) runs it as it is"),
    "lambda": (lambda x: print(1) or x, ONES, "compiled.__wrapped__(...) runs it"),  # noqa: T201
    "save": (saved, ONES, "Call save() outside of the compiled function"),
    "assert": (checked_alone, ONES, "Return it, and check it outside of the compiled function."),
    "argument": (input_gradient, ONES, "Write x = x.detach().requires_grad_(), which is"),
    "off": (input_frozen, tg.ones(2, requires_grad=True), "Write x = x.detach(), which is"),
    "batch": (part_of_a_batch, {"x": ONES}, "Write x = x.detach().requires_grad_(), which is"),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_to_write_instead(name: str, tmp_path: Any, monkeypatch: Any):
    monkeypatch.chdir(tmp_path)
    function, x, advice = TOLD[name]
    with pytest.raises(CompileError) as caught:
        tg.compile(function, backend="numpy")(x)
    assert advice in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_gradients_of_an_input_as_advised():
    @tg.compile(backend="numpy")
    def gradient(x: Any) -> Any:
        x = x.detach().requires_grad_()
        (x * x).sum().backward()
        return x.grad

    x = tg.tensor([1.0, 3.0])
    for _ in range(2):
        same("gradient", gradient(x), x * 2)
    assert not x.requires_grad
    assert x.grad is None


def test_an_epoch_takes_the_parts_of_a_batch_one_by_one():
    batch = {"x": tg.ones(50, 3), "y": tg.ones(50)}
    step = tg.compile(lambda x, y: (x.sum(1) * y).sum(), backend="numpy")
    with pytest.raises(TypeError) as caught:
        step.epoch([[0, 1]], batch)
    message = str(caught.value)
    assert message.endswith("step.epoch(order, batch['x'], batch['y'])")
    assert "tensor(" not in message
    assert step.epoch([[0, 1]], batch["x"], batch["y"]).tolist() == [6.0]
    with pytest.raises(TypeError, match=r"got an object of type object\. Write step\.epoch\("):
        step.epoch([[0, 1]], object())


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
