"""Classification losses: relations, accuracy of extreme logits, errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from drawing import T, close, gradients, slopes
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.errors import DtypeError, RangeError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable

F = nn.functional
seeds = st.integers(0, 2**32 - 1)


@st.composite
def classified(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(draw(seeds))
    n, count = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    return rng.normal(size=(n, count)) * 3, rng.integers(0, count, n)


@given(classified(), seeds)
def test_variants_of_cross_entropy_agree(case: tuple[np.ndarray, np.ndarray], seed: int):
    x, y = case
    rng = np.random.default_rng(seed)
    w, smoothing, ignored = rng.uniform(0.1, 2, x.shape[1]), rng.uniform(), int(rng.integers(-1, 5))
    t, target, weight = tg.tensor(x), tg.tensor(y), tg.tensor(w)
    negative_logs = -(x - np.log(np.exp(x).sum(axis=1, keepdims=True)))
    plain = negative_logs[np.arange(len(y)), y]

    def same(loss: Any, expected: Any) -> None:
        close(loss.numpy(), expected, tolerance=1e-12)

    same(F.cross_entropy(t, target, reduction="none"), plain)
    same(F.cross_entropy(t, target), plain.mean())
    same(F.cross_entropy(t, target, weight, reduction="sum"), (plain * w[y]).sum())
    same(F.cross_entropy(t, target, weight), (plain * w[y]).sum() / w[y].sum())
    same(F.nll_loss(t.log_softmax(1), target, weight), F.cross_entropy(t, target, weight).numpy())
    hot = F.one_hot(target, x.shape[1]).double()
    same(F.cross_entropy(t, hot), plain.mean())
    same(F.cross_entropy(t, hot, weight, reduction="none"), plain * w[y])
    mixed = (1 - smoothing) * plain + smoothing * negative_logs.mean(axis=1)
    same(F.cross_entropy(t, target, label_smoothing=smoothing, reduction="none"), mixed)
    same(F.cross_entropy(t, hot, label_smoothing=smoothing), mixed.mean())
    counted = y != ignored
    if counted.any():
        left = F.cross_entropy(t, target, ignore_index=ignored)
        same(left, F.cross_entropy(tg.tensor(x[counted]), tg.tensor(y[counted])).numpy())
    spread = F.cross_entropy(tg.tensor(x.T[None]), tg.tensor(y[None]), reduction="none")
    same(spread, plain[None])


@given(classified(), st.sampled_from(["mean", "sum", "none"]), seeds)
def test_gradients_of_cross_entropy_equal_numerical_derivatives(
    case: tuple[np.ndarray, np.ndarray], reduction: str, seed: int
):
    x, y = case
    w = np.random.default_rng(seed).uniform(0.1, 2, x.shape[1])

    def loss(a: Any) -> Any:
        t = a if isinstance(a, tg.Tensor) else tg.tensor(a)
        return F.cross_entropy(t, tg.tensor(y), tg.tensor(w), reduction=reduction)

    (actual,) = gradients(loss, [T(x)], seed)
    close(actual, slopes(lambda a: loss(a).numpy(), [x], seed)[0])
    close(actual.sum(axis=1), np.zeros(len(x)))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=4))
def test_cross_entropy_is_finite_for_finite_logits(scores: list[float]):
    spread = max(scores) - min(scores)
    if not math.isfinite(spread):
        return
    x = T(np.array([scores]))
    loss = F.cross_entropy(x, tg.tensor([0]))
    loss.backward()
    assert x.grad is not None
    assert np.isfinite(loss.numpy())
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("logit", [30.0, 50.0, 300.0])
def test_a_small_loss_is_accurate(logit: float):
    x = tg.tensor([[logit, 0.0]])
    expected = math.log1p(math.exp(-logit))
    for target in (tg.tensor([0]), tg.tensor([[1.0, 0.0]])):
        assert F.cross_entropy(x, target).item() == pytest.approx(expected, rel=1e-14)


def test_ignored_samples_do_not_count():
    x = tg.tensor([[0.0, math.inf], [1.0, 2.0]], requires_grad=True)
    loss = F.cross_entropy(x, tg.tensor([-100, 1]), reduction="sum")
    assert loss.item() == pytest.approx(math.log1p(math.exp(-1)))


# Two classes


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0.0, 1.0]))
def test_binary_cross_entropy_is_finite_for_finite_logits(x: float, y: float):
    t = T(np.array([x]))
    loss = F.binary_cross_entropy_with_logits(t, tg.tensor([y]))
    loss.backward()
    assert t.grad is not None
    assert np.isfinite(loss.numpy())
    assert abs(t.grad.item()) <= 1


@given(seeds)
def test_losses_of_logits_and_probabilities_agree(seed: int):
    rng = np.random.default_rng(seed)
    x, y, w = rng.normal(size=(3, 2)) * 3, rng.uniform(size=(3, 2)), rng.uniform(0.1, 3, 2)
    scores, target, weight = tg.tensor(x), tg.tensor(y), tg.tensor(w)
    logits = F.binary_cross_entropy_with_logits(scores, target, weight)
    close(logits.numpy(), F.binary_cross_entropy(scores.sigmoid(), target, weight).numpy())
    one = F.binary_cross_entropy_with_logits(scores, target, pos_weight=tg.ones(2))
    close(one.numpy(), F.binary_cross_entropy_with_logits(scores, target).numpy())
    weighted = F.binary_cross_entropy_with_logits(scores, target, pos_weight=weight)
    p = 1 / (1 + np.exp(-x))
    close(weighted.numpy(), -(w * y * np.log(p) + (1 - y) * np.log(1 - p)).mean())


def test_a_probability_of_0_for_the_target_gives_a_finite_loss():
    p = tg.tensor([0.0, 1.0], requires_grad=True)
    loss = F.binary_cross_entropy(p, tg.tensor([1.0, 0.0]), reduction="none")
    assert loss.tolist() == [100.0, 100.0]
    loss.sum().backward()
    assert p.grad is not None
    assert np.isfinite(p.grad.numpy()).all()


# Modules


def test_weights_are_buffers():
    loss = nn.CrossEntropyLoss(weight=tg.tensor([1.0, 2.0]))
    assert list(loss.state_dict()) == ["weight"]
    assert not list(loss.parameters())
    assert list(nn.BCEWithLogitsLoss(pos_weight=tg.ones(2)).state_dict()) == ["pos_weight"]
    assert not nn.BCEWithLogitsLoss().state_dict()


# Messages

MESSAGES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: F.cross_entropy(tg.zeros(2, 3), tg.tensor([0, 3])),
        RangeError,
        r"a class index is 3, expected 0 to 2 for an input of shape \(2, 3\)",
    ),
    (
        lambda: F.nll_loss(tg.zeros(2, 3), tg.tensor([-1, 0])),
        RangeError,
        "is -1, expected 0 to 2",
    ),
    (
        lambda: F.cross_entropy(tg.zeros(2, 3), tg.tensor([[0], [1]])),
        ShapeError,
        r"indices of shape \(2,\) for 3 classes. .* target.reshape\(\(2,\)\)",
    ),
    (
        lambda: F.cross_entropy(tg.zeros(2, 3), tg.tensor([0, 1, 2])),
        ShapeError,
        "Pass one class index per sample",
    ),
    (
        lambda: F.cross_entropy(tg.zeros(2, 3), tg.zeros(2)),
        DtypeError,
        r"target is float64, expected class indices, .* Write target.long\(\)",
    ),
    (
        lambda: F.cross_entropy(tg.zeros(1, 2), tg.tensor([[0, 1]])),
        DtypeError,
        "target is int64 .* expected float probabilities",
    ),
    (
        lambda: F.cross_entropy(tg.zeros(2, 3), tg.tensor([0, 1]), tg.ones(2)),
        ShapeError,
        r"weight has shape \(2,\), expected one per class: \(3,\)",
    ),
    (
        lambda: F.cross_entropy(tg.tensor([0, 1]), tg.zeros(2, 3)),
        DtypeError,
        r"int64 of shape \(2,\) and target float64 .* Swap the arguments: cross_entropy",
    ),
    (lambda: F.one_hot(tg.tensor([3]), 2), RangeError, "are 3 to 3, expected 0 to 1"),
    (
        lambda: F.binary_cross_entropy(tg.tensor([2.0]), tg.tensor([1.0])),
        ValueError,
        "input has a value outside .* Apply sigmoid, or use binary_cross_entropy_with_logits",
    ),
    (
        lambda: F.gaussian_nll_loss(tg.zeros(2), tg.zeros(2), tg.tensor([1.0, -1.0])),
        ValueError,
        "var has a negative element, expected at least 0",
    ),
    (
        lambda: F.gaussian_nll_loss(tg.zeros(2, 3), tg.zeros(2, 3), tg.ones(3)),
        ShapeError,
        r"var has shape \(3,\) and input \(2, 3\)",
    ),
    (
        lambda: F.mse_loss(tg.zeros(2), tg.zeros(2), weight=tg.ones(1)),
        ShapeError,
        r"elements of shape \(2,\) and weight \(1,\), expected one weight per element",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), MESSAGES)
def test_invalid_arguments(call: Callable[[], Any], kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        call()
