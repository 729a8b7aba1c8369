"""Losses: errors, reductions, values, distances."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from drawing import T, close, cotangent
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.errors import DtypeError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable

F = nn.functional
few = settings(max_examples=settings.default.max_examples // 5)  # for tests of every layer
seeds = st.integers(0, 2**32 - 1)

# Losses of a prediction and a target of one shape: add a line for a new one.
LOSSES: dict[str, Callable[..., Any]] = {
    "mse_loss": F.mse_loss,
    "l1_loss": F.l1_loss,
    "smooth_l1_loss": F.smooth_l1_loss,
    "huber_loss": F.huber_loss,
    "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "kl_div": F.kl_div,
    "poisson_nll_loss": F.poisson_nll_loss,
    "gaussian_nll_loss": lambda x, y, **more: F.gaussian_nll_loss(x, y, tg.ones_like(x), **more),
    "hinge_embedding_loss": F.hinge_embedding_loss,
    "soft_margin_loss": F.soft_margin_loss,
    "margin_ranking_loss": lambda x, y, **more: F.margin_ranking_loss(x, x * 2, y, **more),
    "multilabel_soft_margin_loss": F.multilabel_soft_margin_loss,
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


@every
def test_predictions_must_be_tensors(name: str):
    with pytest.raises(DtypeError, match=r"target is a list, expected a tensor"):
        LOSSES[name](tg.zeros(2), [0.0, 0.0])
    if "lambda" not in repr(LOSSES[name]):
        with pytest.raises(DtypeError, match=r"input is a ndarray, expected a tensor"):
            LOSSES[name](np.zeros(2), tg.zeros(2))


@every
@few
@given(seeds, st.sampled_from([(3,), (2, 4), (1, 1), ()]))
def test_reductions_are_mean_and_sum_of_the_elements(name: str, seed: int, shape: tuple[int, ...]):
    if "multilabel" in name and not shape:
        return
    x, y = (np.random.default_rng(seed + k).uniform(0.01, 1, shape) for k in range(2))
    losses = LOSSES[name](tg.tensor(x), tg.tensor(y), reduction="none").numpy()
    assert losses.shape == (shape[:-1] if "multilabel" in name else shape)
    for reduction, of in (("mean", np.mean), ("sum", np.sum)):
        close(LOSSES[name](tg.tensor(x), tg.tensor(y), reduction=reduction).numpy(), of(losses))
    with pytest.raises(ValueError, match="reduction is 'average', expected one of mean, sum, none"):
        LOSSES[name](tg.tensor(x), tg.tensor(y), reduction="average")


@every
@pytest.mark.parametrize("kind", [np.int64, np.bool_, np.float32])
def test_float32_is_preserved_for_targets_of_any_dtype(name: str, kind: Any):
    x = tg.tensor(np.full((2, 3), 0.5, np.float32), requires_grad=True)
    loss = LOSSES[name](x, tg.tensor(np.ones((2, 3), kind)))
    loss.backward()
    assert loss.dtype == np.float32
    assert x.grad is not None
    assert x.grad.dtype == np.float32


# Values


@given(seeds, st.floats(0.1, 5))
def test_huber_and_smooth_l1_equal_their_formulas(seed: int, delta: float):
    x, y = (np.random.default_rng(seed + k).normal(size=6) * 3 for k in range(2))
    d = np.abs(x - y)
    actual = F.huber_loss(tg.tensor(x), tg.tensor(y), "none", delta)
    close(actual.numpy(), np.where(d <= delta, d * d / 2, delta * (d - delta / 2)))
    smooth = F.smooth_l1_loss(tg.tensor(x), tg.tensor(y), reduction="none", beta=delta)
    close(smooth.numpy(), actual.numpy() / delta)
    straight = F.smooth_l1_loss(tg.tensor(x), tg.tensor(y), reduction="none", beta=0)
    close(straight.numpy(), d)


@given(seeds)
def test_divergence_is_0_for_equal_distributions_else_positive(seed: int):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(4), 3), rng.dirichlet(np.ones(4), 3)
    log_p, target = tg.tensor(p).log(), tg.tensor(q)
    divergence = F.kl_div(log_p, target, reduction="batchmean")
    assert divergence.item() >= 0
    close(F.kl_div(log_p, tg.tensor(p), reduction="sum").numpy(), 0)
    logs = F.kl_div(log_p, target.log(), reduction="batchmean", log_target=True)
    close(logs.numpy(), divergence.numpy())


def test_a_target_probability_of_0_adds_nothing_to_the_divergence():
    x = tg.tensor([0.5, 0.5]).log().requires_grad_()
    loss = F.kl_div(x, tg.tensor([1.0, 0.0]), reduction="sum")
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert x.grad is not None
    assert x.grad.tolist() == [-1.0, 0.0]


@given(seeds)
def test_gaussian_nll_is_the_negative_log_density(seed: int):
    rng = np.random.default_rng(seed)
    mean, x, var = rng.normal(size=4), rng.normal(size=4), rng.uniform(0.1, 3, 4)
    actual = F.gaussian_nll_loss(*map(tg.tensor, (mean, x, var)), full=True, reduction="none")
    density = np.exp(-((x - mean) ** 2) / (2 * var)) / np.sqrt(2 * np.pi * var)
    close(actual.numpy(), -np.log(density))


def test_a_clamped_variance_is_unchanged_and_has_a_gradient():
    var = tg.tensor([0.0, 2.0], requires_grad=True)
    loss = F.gaussian_nll_loss(tg.ones(2), tg.zeros(2), var, eps=0.5, reduction="sum")
    loss.backward()
    assert var.tolist() == [0.0, 2.0]
    assert var.grad is not None
    close(var.grad.numpy(), [(1 / 0.5 - 1 / 0.5**2) / 2, (1 / 2 - 1 / 4) / 2])


@given(seeds)
def test_poisson_nll_is_minimal_at_the_count(seed: int):
    count = np.random.default_rng(seed).integers(2, 20, 3).astype(float)
    rate = T(np.log(count))
    F.poisson_nll_loss(rate, tg.tensor(count), reduction="sum").backward()
    assert rate.grad is not None
    close(rate.grad.numpy(), np.zeros(3))
    full = F.poisson_nll_loss(rate.detach(), tg.tensor(count), full=True, reduction="none")
    exact = [-math.log(math.exp(-n) * n**n / math.factorial(int(n))) for n in count]
    assert np.abs(full.numpy() - exact).max() < 1 / (
        12 * count.min()
    )  # error of Stirling's formula


# Distances


@given(seeds, st.sampled_from([1, 2, 3.0, math.inf, -math.inf, 0]))
def test_distances_equal_numpys_norms(seed: int, p: float):
    x, y = (np.random.default_rng(seed + k).normal(size=(3, 4)) for k in range(2))
    actual = F.pairwise_distance(tg.tensor(x), tg.tensor(y), p, eps=0.0)
    close(actual.numpy(), np.linalg.norm(x - y, p, axis=1))
    unit = F.normalize(tg.tensor(x), dim=1)
    close(np.linalg.norm(unit.numpy(), axis=1), np.ones(3))
    cosine = F.cosine_similarity(tg.tensor(x), tg.tensor(y)).numpy()
    close(cosine, (unit.numpy() * F.normalize(tg.tensor(y)).numpy()).sum(axis=1))
    assert (np.abs(cosine) <= 1 + 1e-12).all()


@pytest.mark.parametrize("p", [1, 2, 3.0, math.inf])
def test_distances_of_zero_vectors_have_finite_gradients(p: float):
    x = tg.zeros(1, 3).requires_grad_()
    F.pairwise_distance(x, tg.zeros(1, 3), p, eps=0.0).backward(tg.tensor(cotangent((1,), 0)))
    F.cosine_similarity(x, tg.ones(1, 3)).sum().backward()
    assert x.grad is not None
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_of_empty_tensors(reduction: str):
    x = tg.zeros(0, 3).requires_grad_()
    loss = F.mse_loss(x, tg.zeros(0, 3), reduction=reduction)
    assert np.isnan(loss.numpy()).any() == (reduction == "mean")
    if reduction != "none":
        loss.backward()
        assert x.grad is not None
        assert x.grad.shape == (0, 3)
