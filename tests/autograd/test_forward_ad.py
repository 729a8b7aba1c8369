"""Dual numbers: tangents equal Jacobian-vector products, alone and under reverse mode."""

from __future__ import annotations

from typing import Any

import pytest
from drawing import T, arrays, close, cotangent, seeds
from hypothesis import given

import tinygrad_fc as tg
from tinygrad_fc import func, nn
from tinygrad_fc.autograd import forward_ad


@given(arrays((2,)), arrays((3, 1)), seeds)
def test_tangents_are_products_with_the_jacobian(a: Any, b: Any, seed: int) -> None:
    def f(x: Any, y: Any) -> Any:
        return (x * y).sin() * tg.exp(x).sum()

    x, y = map(tg.from_numpy, (a, b))
    v, w = (tg.from_numpy(cotangent(t.shape, seed)) for t in (x, y))
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, v)
        assert forward_ad.unpack_dual(dual).tangent is v
        value, along = forward_ad.unpack_dual(f(dual, y))
        both = forward_ad.unpack_dual(f(dual, forward_ad.make_dual(y, w)))
        assert forward_ad.unpack_dual(y * 2).tangent is None
        result = f(dual, y)
    assert forward_ad.unpack_dual(result).tangent is None
    assert not any(t.requires_grad for t in (value, along))
    assert value.tolist() == f(x, y).tolist()
    zero = tg.zeros_like(y)
    for got, tangent in ((along, zero), (both.tangent, w)):
        close(got.numpy(), func.jvp(f, (x, y), (v, tangent))[1].numpy(), tolerance=1e-12)


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


def test_a_module_with_dual_parameters() -> None:
    model, x = nn.Linear(3, 2), tg.rand(4, 3)
    own = dict(model.named_parameters())
    tangents = {name: tg.rand(*p.shape) for name, p in own.items()}
    with forward_ad.dual_level():
        duals = {name: forward_ad.make_dual(p, tangents[name]) for name, p in own.items()}
        along = forward_ad.unpack_dual(func.functional_call(model, duals, x)).tangent
    close(along.detach().numpy(), (x @ tangents["weight"].T + tangents["bias"]).numpy())


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
