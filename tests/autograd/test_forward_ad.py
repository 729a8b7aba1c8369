"""Dual numbers: tangents equal Jacobian-vector products, alone and under reverse mode."""

from __future__ import annotations

from typing import Any

import pytest
from drawing import T, arrays, close, cotangent, seeds
from hypothesis import given

import tinygrad_fc as tg
from tinygrad_fc import func
from tinygrad_fc.autograd import forward_ad


def test_tangents_end_with_their_level() -> None:  # tests/parity compares their values
    x, y, v = tg.tensor([1.0, 2.0]), tg.ones(3, 1), tg.ones(2)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, v)
        assert forward_ad.unpack_dual(dual).tangent is v
        result = (dual * y).sin()
        assert not any(t.requires_grad for t in forward_ad.unpack_dual(result))
        assert forward_ad.unpack_dual(y * 2).tangent is None
    assert forward_ad.unpack_dual(result).tangent is None


@given(arrays((3,)), seeds)
def test_the_gradient_of_a_tangent_is_a_second_derivative(a: Any, seed: int) -> None:
    x, v = T(a), tg.from_numpy(cotangent((3,), seed))
    with forward_ad.dual_level():
        y = (forward_ad.make_dual(x, v) ** 3).sum() * x[0]
        primal, tangent = forward_ad.unpack_dual(y)
        (second,) = tg.autograd.grad(tangent, x, retain_graph=True)
        (first,) = tg.autograd.grad(primal, x)
    direct = x.detach()
    close(first.numpy(), func.grad(lambda x: (x**3).sum() * x[0])(direct).numpy(), tolerance=1e-12)
    expected = func.grad(lambda x: (3 * x**2 * v).sum() * x[0])(direct)
    close(second.numpy(), expected.numpy(), tolerance=1e-12)


def test_errors() -> None:
    x = tg.ones(2)
    with pytest.raises(RuntimeError, match="make_dual: there is no level"):
        forward_ad.make_dual(x, x)
    with forward_ad.dual_level():
        with pytest.raises(RuntimeError, match="levels do not nest"):
            forward_ad.enter_dual_level()
        with pytest.raises(RuntimeError, match="levels do not nest"), forward_ad.dual_level():
            pass
        with pytest.raises(ValueError, match=r"expected one of shape \(2,\)"):
            forward_ad.make_dual(x, tg.ones(3))
        with pytest.raises(TypeError, match="must be a tensor of floats"):
            forward_ad.make_dual(x.long(), x)
