"""Gradient clipping, and parameters as a vector."""

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.nn import utils


def parameters(*grads: Any) -> list[Any]:
    params = []
    for grad in grads:
        p = nn.Parameter(np.zeros(np.shape(grad), np.asarray(grad).dtype))
        p.grad = tg.tensor(grad)
        params.append(p)
    return params


# tests/parity compares clipped gradients, norms of every order, and vectors with PyTorch's


@pytest.mark.parametrize("scale", [1e300, 1e-300, 5e-324])
@pytest.mark.parametrize(("order", "expected"), [(2, 5), (3, 91 ** (1 / 3))])
def test_norms_neither_overflow_nor_underflow(scale: float, order: int, expected: float):
    total = utils.clip_grad_norm_(parameters([3 * scale, 4 * scale]), 1.0, order).item()
    assert total == pytest.approx(expected * scale, rel=1e-9)


def test_float16_gradients_are_clipped_although_their_norm_overflows():
    half = parameters(np.full(9, 60000, np.float16))
    assert utils.clip_grad_norm_(half, 3.0).item() == math.inf  # 180000 overflows in float16
    np.testing.assert_allclose(half[0].grad.numpy(), 1, rtol=1e-3)


def test_clipping_without_gradients_and_of_a_single_parameter():
    p, q = parameters([3.0, 4.0], [1.0])
    q.grad = None
    for params, norm in ((iter([p, q]), 5), ([q], 0), ([], 0), (p, 5)):
        assert utils.clip_grad_norm_(params, 5).item() == pytest.approx(norm)
    assert q.grad is None


def test_backward_detects_a_clipped_gradient_that_it_needs():
    w = tg.tensor([2.0], requires_grad=True)
    (w**3).sum().backward(create_graph=True)
    later = (w.grad * w.grad).sum()
    utils.clip_grad_norm_([w], 1.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        later.backward()


def test_vectors_of_another_shape_or_dtype_change_nothing():
    model = nn.Linear(2, 1)
    before = utils.parameters_to_vector(model.parameters()).tolist()
    for wrong in (tg.zeros(2), tg.zeros(4), tg.zeros(3, 1)):
        with pytest.raises(ValueError, match=r"expected \(3,\), the number of elements"):
            utils.vector_to_parameters(wrong, model.parameters())
    with pytest.raises(TypeError, match="vec is int64, expected floats"):
        utils.vector_to_parameters(tg.arange(3), model.parameters())
    assert utils.parameters_to_vector(model.parameters()).tolist() == before
