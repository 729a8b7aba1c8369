"""Errors at the first call of what is compiled: those of the function itself, in the same words."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twins import same

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.compiler import CompileError
from tinygrad_fc.nn import functional as F
from tinygrad_fc.random import default_generator

t, nan = tg.tensor, float("nan")


def told(call: Any) -> tuple[type[BaseException], str]:
    """Return what is raised, and its words."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  whichever it is
        call()
    return type(caught.value), str(caught.value)


@given(
    batch=st.integers(1, 6),
    count=st.integers(1, 5),
    at=st.integers(0),
    off=st.one_of(st.integers(0, 200), st.integers(-90, -1)),
    loss=st.sampled_from((F.cross_entropy, F.nll_loss, F.multi_margin_loss)),
)
def test_a_wrong_label_is_told_of_as_it_is_without_compiling(
    batch: int, count: int, at: int, off: int, loss: Any
):
    labels = np.zeros(batch, int)
    labels[at % batch] = off if off < 0 else count + off
    x, y = tg.zeros(batch, count), t(labels)
    kind, words = told(lambda: loss(x, y))
    assert kind is tg.errors.RangeError
    assert words.endswith(f"it is {labels[at % batch]}")
    compiled = tg.compile(loss, backend="numpy")
    assert told(lambda: compiled(x, y)) == (kind, words)
    right = tg.zeros(batch, dtype=tg.int64)
    same("a right call", compiled(x, right), loss(x, right))
    assert told(lambda: compiled(x, y)) == (kind, words), "in later calls too"


def divided(x: Any, y: Any) -> Any:
    return x // y


def at(x: Any, i: Any) -> Any:
    return x[i, i]


def clipped(x: Any) -> Any:
    w = tg.ones(2, requires_grad=True)
    (w * x).sum().backward()
    return nn.utils.clip_grad_norm_([w], 1.0, error_if_nonfinite=True)


def one_hot(x: Any) -> Any:
    return F.one_hot(x, 3)


def without_replacement(x: Any) -> Any:
    return tg.multinomial(x, 2)


ODD = t([0, 5])
WRONG: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "inv": (tg.linalg.inv, (tg.zeros(2, 2),)),
    "inv of a batch": (tg.linalg.inv, (tg.stack([tg.eye(2), tg.ones(2, 2)]),)),
    "solve": (tg.linalg.solve, (tg.zeros(2, 2), tg.ones(2))),
    "cholesky": (tg.linalg.cholesky, (-tg.eye(2),)),
    "mse_loss": (F.mse_loss, (tg.ones(2, 2), t([[0.0, nan], [nan, 2.0]]))),
    "binary_cross_entropy": (F.binary_cross_entropy, (t([0.5, 1.5]), t([0.0, 1.0]))),
    "gaussian_nll_loss": (F.gaussian_nll_loss, (tg.ones(1), tg.ones(1), -tg.ones(1))),
    "embedding": (F.embedding, (ODD, tg.ones(4, 2))),
    "one_hot": (one_hot, (ODD,)),
    "index": (at, (tg.ones(3, 3), ODD)),
    "division": (divided, (ODD, ODD)),
    "bernoulli": (tg.bernoulli, (t([0.5, 1.5]),)),
    "multinomial": (without_replacement, (t([0.0, 0.0]),)),
    "multinomial of too few": (without_replacement, (t([0.0, 1.0]),)),
    "clip_grad_norm_": (clipped, (t([nan, 1.0]),)),
}


@pytest.mark.parametrize("name", WRONG)
def test_values_that_are_refused_are_told_of_as_they_are_without_compiling(name: str):
    function, wrong = WRONG[name]
    assert told(lambda: tg.compile(function, backend="numpy")(*wrong)) == told(
        lambda: function(*wrong)
    )


def test_labels_that_are_ignored_are_taken_at_the_first_call():
    compiled = tg.compile(F.cross_entropy, backend="numpy")
    x = tg.rand(3, 4)
    for labels in ([0, -100, 3], [0, 1, 3], [-100, 2, 3]):
        same("loss", compiled(x, t(labels)), F.cross_entropy(x, t(labels)))
    assert len(compiled.programs) == 2, "with such labels, and without"


def training() -> tuple[Any, Any, Any, list[Any]]:
    """Return a step, its model and optimizer, and what it counts."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout())
    adam, calls = optim.Adam(model.parameters()), [0]

    @tg.compile(backend="numpy")
    def step(x: Any, y: Any) -> Any:
        adam.zero_grad()
        calls[0] += 1
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        adam.step()
        return loss.detach()

    return step, model, adam, calls


X, RIGHT, WRONG_LABELS = tg.rand(8, 3), tg.arange(8) % 4, tg.arange(8) % 4 + 1


@pytest.mark.parametrize("way", ["step", "epoch"])
def test_a_step_that_is_given_a_wrong_label_changes_nothing(way: str):
    step, model, adam, calls = training()
    run = step if way == "step" else lambda x, y: step.epoch(tg.arange(8).reshape(2, 4), x, y)
    before, drawn = copy.deepcopy(model.state_dict()), default_generator.get_state()
    kind, words = told(lambda: run(X, WRONG_LABELS))
    assert kind is tg.errors.RangeError
    assert "a class index lies outside 0 to 3, the classes of a prediction of shape (" in words
    assert words.endswith("it is 4")
    for name, value in model.state_dict().items():
        same(name, value, before[name])
    same("random numbers", default_generator.get_state(), drawn)
    assert all(p.grad is None for p in model.parameters())
    assert not adam.state
    assert calls == [0]
    assert not step.programs
    assert np.isfinite(run(X, RIGHT).numpy()).all()


CAUGHT: dict[str, tuple[Any, tuple[Any, ...], tuple[Any, ...]]] = {
    "a class": (F.nll_loss, (tg.zeros(1, 2), t([2])), (tg.zeros(1, 2), t([1]))),
    "a matrix": (tg.linalg.inv, (tg.zeros(2, 2),), (tg.eye(2) * 2,)),
    "an index": (at, (tg.ones(3, 3), ODD), (tg.ones(3, 3), t([0, 2]))),
    "a division": (divided, (t([4, 4]), t([0, 2])), (t([4, 4]), t([1, 2]))),
    "a power": (lambda x, y: x**y, (t([2]), t([-1])), (t([2]), t([1]))),
}


@pytest.mark.parametrize("name", CAUGHT)
def test_an_error_of_values_that_the_function_catches_is_refused_not_kept(name: str):
    function, wrong, right = CAUGHT[name]

    @tg.compile(backend="numpy")
    def guarded(*args: Any) -> Any:
        try:
            return function(*args)
        except (ValueError, TypeError, IndexError, ArithmeticError):
            return args[0] * 0

    with pytest.raises(CompileError, match="an error that depends on values is caught inside"):
        guarded(*wrong)
    same("a right call", guarded(*right), function(*right))


SINGULAR = ("inv", "inv of a batch", "solve", "cholesky")


@pytest.mark.parametrize("name", SINGULAR)
def test_a_singular_matrix_in_a_later_call_is_told_of_in_the_same_words(name: str):
    function, (wrong, *rest) = WRONG[name]
    compiled = tg.compile(function, backend="numpy")
    right = tg.eye(2) * 2 + tg.zeros_like(wrong)
    for _ in range(2):
        same("a right call", compiled(right, *rest), function(right, *rest))
    assert told(lambda: compiled(wrong, *rest)) == told(lambda: function(wrong, *rest))


def test_the_gradient_at_a_singular_matrix_in_a_later_call():
    @tg.compile(backend="numpy")
    def gradient(x: Any) -> Any:
        x = x.detach().requires_grad_()
        tg.linalg.slogdet(x)[1].backward()
        return x.grad

    for x in (tg.eye(2) * 3, tg.ones(2, 2), tg.eye(2)):
        same("gradient", gradient(x), gradient.__wrapped__(x))


def test_an_error_of_shapes_may_be_caught():
    @tg.compile(backend="numpy")
    def turned(x: Any, y: Any) -> Any:
        try:
            return x @ y
        except ValueError:
            return x @ y.T

    x = tg.rand(2, 3)
    for y in (tg.rand(2, 3), tg.rand(3, 2)):
        same("product", turned(x, y), turned.__wrapped__(x, y))
