"""Losses: shapes, dtypes, extreme values."""

import math
from typing import Any

import numpy as np
import pytest
from drawing import T, cotangent
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.core.errors import DtypeError, ShapeError

F = nn.functional

# Losses of a prediction and a target of one shape
NAMES = """mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy kl_div poisson_nll_loss
binary_cross_entropy_with_logits hinge_embedding_loss soft_margin_loss
multilabel_soft_margin_loss"""
LOSSES: dict[str, Any] = {
    **{name: getattr(F, name) for name in NAMES.split()},
    "gaussian_nll_loss": lambda x, y, **more: F.gaussian_nll_loss(x, y, tg.ones_like(x), **more),
    "margin_ranking_loss": lambda x, y, **more: F.margin_ranking_loss(x, x * 2, y, **more),
}
every = pytest.mark.parametrize("name", LOSSES)


@every
@pytest.mark.parametrize("shapes", [((5, 1), (5,)), ((5,), (5, 1)), ((5, 2), (5,)), ((2,), ())])
def test_losses_do_not_broadcast(name: str, shapes: Any):
    first, second = shapes
    with pytest.raises(ShapeError) as caught:
        LOSSES[name](tg.zeros(*first), tg.zeros(*second))
    message = str(caught.value)
    assert message.startswith(f"{name}: input has shape {first} and target {second}")
    if math.prod(first) == math.prod(second):
        assert message.endswith(f"target.reshape({first})")
        assert "They would broadcast to (5, 5)" in message
    assert ("They do not broadcast" in message) == (first == (5, 2))


@every
def test_arguments_of_another_kind(name: str):
    x = tg.full((2, 2), 0.5)
    with pytest.raises(ValueError, match="reduction is 'average', expected one of mean, sum, none"):
        LOSSES[name](x, x, reduction="average")
    with pytest.raises(DtypeError, match=r"target is a list, expected a tensor"):
        LOSSES[name](tg.zeros(2), [0.0, 0.0])
    if "lambda" not in repr(LOSSES[name]):
        with pytest.raises(DtypeError, match=r"input is a ndarray, expected a tensor"):
            LOSSES[name](np.zeros(2), tg.zeros(2))


@every
@pytest.mark.parametrize("kind", [np.int64, np.bool_, np.float32])
def test_float32_is_preserved_for_targets_of_any_dtype(name: str, kind: Any):
    x = tg.tensor(np.full((2, 3), 0.5, np.float32), requires_grad=True)
    loss = LOSSES[name](x, tg.tensor(np.ones((2, 3), kind)))
    loss.backward()
    assert loss.dtype == np.float32
    assert x.grad.dtype == np.float32


# Values; tests/parity compares those of all losses with PyTorch's


def test_a_target_probability_of_0_adds_nothing_to_the_divergence():
    x = tg.tensor([0.5, 0.5]).log().requires_grad_()
    loss = F.kl_div(x, tg.tensor([1.0, 0.0]), reduction="sum")
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert x.grad.tolist() == [-1.0, 0.0]


def test_a_clamped_variance_is_unchanged():
    var = tg.tensor([0.0, 2.0], requires_grad=True)
    F.gaussian_nll_loss(tg.ones(2), tg.zeros(2), var, eps=0.5).backward()
    assert var.tolist() == [0.0, 2.0]


# Distances


@pytest.mark.parametrize("p", [1, 2, 3.0, math.inf])
def test_distances_of_zero_vectors_have_finite_gradients(p: float):
    x = tg.zeros(1, 3).requires_grad_()
    F.pairwise_distance(x, tg.zeros(1, 3), p, eps=0.0).backward(tg.tensor(cotangent((1,), 0)))
    F.cosine_similarity(x, tg.ones(1, 3)).sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


# Classification


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=2, max_size=4), finite, st.sampled_from([0.0, 1.0]))
def test_cross_entropies_are_finite_for_finite_logits(scores: list[float], logit: float, y: float):
    x, z = T(np.array([scores])), T(np.array([logit]))
    losses = [F.binary_cross_entropy_with_logits(z, tg.tensor([y]))]
    if math.isfinite(max(scores) - min(scores)):
        losses.append(F.cross_entropy(x, tg.tensor([0])))
    for loss, t in zip(losses, (z, x), strict=False):
        loss.backward()
        assert np.isfinite(loss.numpy())
        assert (abs(t.grad.numpy()) <= 1).all()


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


def test_a_probability_of_0_for_the_target_gives_a_finite_loss():
    p = tg.tensor([0.0, 1.0], requires_grad=True)
    loss = F.binary_cross_entropy(p, tg.tensor([1.0, 0.0]), reduction="none")
    assert loss.tolist() == [100.0, 100.0]
    loss.sum().backward()
    assert np.isfinite(p.grad.numpy()).all()
