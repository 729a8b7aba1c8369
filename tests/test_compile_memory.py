"""Memory of compiled steps: what is shared is told of, and what nobody has is freed."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from twins import same

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.compiler import CompileError

X = tg.tensor([1.0, 2.0])


def test_memory_that_an_argument_of_a_later_call_shares():
    w = tg.tensor([1.0, 2.0])
    memory = np.zeros(4)
    part = tg.from_numpy(memory[:2])

    def changes(x: Any) -> Any:
        w.add_(1.0)
        part.add_(1.0)
        return x * 2

    compiled = tg.compile(changes, backend="numpy")
    for x in (X, tg.from_numpy(memory[2:])):
        same("result", compiled(x), x * 2)
    views = (w.detach(), w.data, tg.from_numpy(w.numpy()[::-1]), tg.from_numpy(memory[1:3]))
    for x in views:
        before = w.numpy().copy()
        with pytest.raises(CompileError, match="shares its memory"):
            compiled(x)
        same("w", w.numpy(), before)


def test_arguments_that_share_memory():
    def changes(x: Any, y: Any) -> Any:
        x.add_(1.0)
        return x * y

    compiled = tg.compile(changes, backend="numpy")
    compiled(tg.ones(2), tg.ones(2))
    x = tg.ones(3)
    with pytest.raises(CompileError, match="shares its memory"):
        compiled(tg.from_numpy(x.numpy()[1:]), tg.from_numpy(x.numpy()[:2]))
    same("x", x, tg.ones(3))


def test_what_is_kept_comes_to_share_the_memory_that_is_changed():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9)

    @tg.compile(backend="numpy")
    def step() -> None:
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()

    for _ in range(3):
        step()
    optimizer.state[w]["momentum_buffer"] = w.detach()[:]
    before = w.numpy().copy()
    with pytest.raises(CompileError, match="shares its memory"):
        step()
    np.testing.assert_array_equal(w.numpy(), before)


def test_an_argument_with_the_array_of_a_tensor_from_outside():
    w = tg.tensor([1.0, 2.0])
    compiled = tg.compile(lambda x: x * w, backend="numpy")
    for x in (w.detach(), X, w.detach()):
        same("result", compiled(x), x * w)


def test_compiled_steps_are_freed():
    def made(*, refused: bool) -> list[Any]:
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
        adam = optim.Adam(model.parameters())
        scale = np.ones(1)

        @tg.compile(backend="numpy")
        def step(x: Any) -> Any:
            adam.zero_grad()
            loss = (model(x) * scale).sum() + float(scale[0])
            loss.backward()
            adam.step()
            return float(loss) if refused else loss

        x = tg.ones(4, 2)
        for _ in range(3):
            if refused:
                with pytest.raises(CompileError):
                    step(x)
            else:
                step(x)
                step.epoch([[0, 1], [2, 3]], x)
        return [weakref.ref(thing) for thing in (step, model, adam, model[0].weight, x)]

    for refused in (False, True):
        found = made(refused=refused)
        gc.collect()
        assert not any(reference() is not None for reference in found)
