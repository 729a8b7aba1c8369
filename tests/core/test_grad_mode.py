"""Grad modes of blocks, functions, generators, tasks and threads; `detect_anomaly`."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from drawing import T
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.core.errors import AnomalyError


@pytest.fixture(autouse=True)
def _enabled_before_and_after() -> Iterator[None]:
    assert tg.is_grad_enabled()
    yield
    assert tg.is_grad_enabled()


MODES = {
    "no_grad": (tg.no_grad, False),
    "enable_grad": (tg.enable_grad, True),
    "inference_mode": (tg.inference_mode, False),
    "inference_mode(mode=True)": (lambda: tg.inference_mode(mode=True), False),
    "inference_mode(mode=False)": (lambda: tg.inference_mode(mode=False), True),
    "set_grad_enabled(False)": (lambda: tg.set_grad_enabled(False), False),
    "set_grad_enabled(True)": (lambda: tg.set_grad_enabled(True), True),
    "set_grad_enabled(mode=False)": (lambda: tg.set_grad_enabled(mode=False), False),
}
modes = st.lists(st.sampled_from(sorted(MODES)), max_size=6)


class OopsError(Exception):
    pass


@given(modes, st.integers(0, 6))
def test_modes_nest_and_are_restored_after_an_error(names: list[str], fails: int):
    x = T(np.ones(2))
    # One context may be entered several times; `set_grad_enabled` sets the mode when it is called.
    contexts = {name: MODES[name][0]() for name in names if "set" not in name}

    def nested(k: int, *, expected: bool) -> None:
        assert tg.is_grad_enabled() is expected
        assert (x * 2).requires_grad is expected
        if k == fails:
            raise OopsError
        if k < len(names):
            grad_mode, on = MODES[names[k]]
            try:
                with contexts.get(names[k]) or grad_mode():
                    nested(k + 1, expected=on)
            finally:
                assert tg.is_grad_enabled() is expected

    if fails <= len(names):
        with pytest.raises(OopsError):
            nested(0, expected=True)
    else:
        nested(0, expected=True)


@pytest.mark.parametrize("name", sorted(MODES))
def test_every_mode_is_a_decorator(name: str):
    grad_mode, on = MODES[name]

    @grad_mode()
    def function(x: int, *, fail: bool = False) -> tuple[int, bool]:
        """Return x and the mode."""
        if fail:
            raise OopsError
        return x, tg.is_grad_enabled()

    bare = tg.no_grad(tg.is_grad_enabled)
    assert (bare(), tg.inference_mode(bare)()) == (False, False)
    assert function.__name__ == "function"
    assert function.__doc__ == "Return x and the mode."
    assert function(3) == (3, on)
    with pytest.raises(OopsError):
        function(3, fail=True)
    assert tg.is_grad_enabled()
    with tg.set_grad_enabled(not on):
        assert function(4) == (4, on)
        assert tg.is_grad_enabled() is not on


def test_set_grad_enabled_as_a_statement():
    tg.set_grad_enabled(False)
    assert not tg.is_grad_enabled()
    tg.set_grad_enabled(True)
    assert tg.is_grad_enabled()
    with tg.no_grad():
        tg.set_grad_enabled(True)
        assert tg.is_grad_enabled()


# Generators


def test_a_generator_has_its_mode_only_while_its_body_runs():
    closed = []

    @tg.no_grad()
    def body() -> Any:
        """Return what is sent."""
        try:
            sent = yield tg.is_grad_enabled()
            try:
                yield sent
            except ValueError:
                yield tg.is_grad_enabled()
            return "done"
        finally:
            closed.append(tg.is_grad_enabled())

    generator, other = body(), body()
    for step, expected in (
        (lambda: next(generator), False),
        (lambda: next(other), False),
        (lambda: generator.send("sent"), "sent"),
        (lambda: generator.throw(ValueError()), False),
    ):
        assert step() == expected
        assert tg.is_grad_enabled()
    with pytest.raises(StopIteration, match="done"):
        next(generator)
    other.close()
    assert closed == [False, False]
    assert body.__doc__ == "Return what is sent."


# Tasks and threads


def test_tasks_have_their_own_modes():
    async def plain() -> set[bool]:
        seen = set()
        for _ in range(5):
            seen.add(tg.is_grad_enabled())
            await asyncio.sleep(0)
        return seen

    async def block() -> set[bool]:
        with tg.no_grad():
            return await plain()

    async def main() -> None:
        assert await asyncio.gather(plain(), block(), plain()) == [{True}, {False}, {True}]
        with tg.no_grad():
            assert await asyncio.create_task(plain()) == {False}  # a task inherits the mode
        assert tg.is_grad_enabled()

    asyncio.run(main())


@given(st.lists(modes, min_size=8, max_size=8))
def test_eight_threads_change_modes_at_once(programs: list[list[str]]):
    def work(names: list[str]) -> bool:
        for name in names:
            grad_mode, on = MODES[name]
            with grad_mode():
                if (T(np.ones(1)) * 2).requires_grad is not on:
                    return False
        return tg.is_grad_enabled()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, programs))


# What is recorded


def test_unrecorded_results_are_leaves():
    x = T(np.array([2.0]))
    with tg.no_grad():
        y = x * 3
        created = tg.ones(2, requires_grad=True)
    assert not y.requires_grad
    assert y.is_leaf
    assert created.requires_grad
    y.requires_grad_()
    (y * x).backward()
    assert y.grad.tolist() == [2]
    assert x.grad.tolist() == [6]


def test_backward_under_no_grad_with_and_without_create_graph():
    x = T(np.array([2.0]))
    y = x**3
    with tg.no_grad():
        y.backward(retain_graph=True)
        assert not x.grad.requires_grad
        (slope,) = tg.autograd.grad(y, x, create_graph=True)
        assert not tg.is_grad_enabled()
    assert tg.autograd.grad(slope, x)[0].tolist() == [12]


# detect_anomaly


@pytest.mark.parametrize("operation", [tg.log, tg.sqrt])
@given(st.integers(0, 5))
def test_an_anomaly_names_op_index_and_argument(operation: Any, at: int):
    a = np.full((2, 3), 2.0)
    a[divmod(at, 3)] = -1.0
    x = T(a)
    with tg.autograd.detect_anomaly(), pytest.raises(AnomalyError) as raised:
        tg.sum(operation(x * 1))
    message = str(raised.value)
    assert message.startswith(f"{operation.name} returned nan at index {divmod(at, 3)} for finite")
    assert "argument 0 there is -1.0" in message
    assert np.isnan(operation(x).numpy()).sum() == 1


def test_an_infinite_derivative_is_an_anomaly_of_the_backward_pass():
    x = T(np.array([4.0, 0.0]))
    with tg.autograd.detect_anomaly():
        y = x.sqrt()
        message = r"^sqrt for argument 0.*: the gradient is inf at index \(1,\)"
        with pytest.raises(AnomalyError, match=message):
            y.sum().backward()
        assert x.grad is None
        with pytest.raises(AnomalyError, match=r"inf at index \(1,\)"):
            tg.autograd.grad(x.sqrt().sum(), x, create_graph=True)
    y.sum().backward()
    assert x.grad.tolist() == [0.25, np.inf]


def test_non_finite_arguments_are_no_anomaly_and_constants_are_checked():
    x = T(np.array([np.nan, np.inf, 1.0]))
    with tg.autograd.detect_anomaly():
        (x * 2).sum()
        (x * 2)[:1].backward()
        with pytest.raises(AnomalyError, match="log returned -inf"):
            tg.log(tg.zeros(1))
    with tg.autograd.detect_anomaly(check_nan=False):
        tg.log(tg.zeros(1))
    tg.log(tg.zeros(1))
