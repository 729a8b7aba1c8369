"""Derivatives of gradients, by the argument and by the cotangent."""

from __future__ import annotations

from typing import Any

from drawing import T, arrays, checked_array, close, cotangent, seeds
from hypothesis import given

import tinygrad_fc as tg


@given(arrays((2, 2)), seeds)
def test_gradients_of_backward_with_create_graph_are_differentiable(a: Any, seed: int):
    x = T(a)
    weights = tg.from_numpy(cotangent(a.shape, seed))
    (x**3).backward(weights, create_graph=True)
    assert x.grad.requires_grad
    close(x.grad.detach().numpy(), 3 * a**2 * weights.numpy(), tolerance=1e-14)
    (second,) = tg.autograd.grad(x.grad.sum(), x)
    close(checked_array(second, x), 6 * a * weights.numpy(), tolerance=1e-14)


@given(arrays((3,)), seeds)
def test_a_gradient_is_differentiable_by_its_cotangent(a: Any, seed: int):
    # Forward mode by two backward passes needs it.
    x, u = T(a), T(cotangent((3,), seed))
    (g,) = tg.autograd.grad(x**2, x, u, create_graph=True)
    (pushed,) = tg.autograd.grad(g, u, tg.ones(3))
    close(checked_array(pushed, u), 2 * a, tolerance=1e-14)
