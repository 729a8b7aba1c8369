"""Dual numbers: tangents equal Jacobian-vector products, alone and under reverse mode."""

from typing import Any

import pytest
from drawing import T, arrays, close, cotangent, seeds
from hypothesis import given

import tinygrad_fc as tg
from tinygrad_fc import func
from tinygrad_fc.autograd import forward_ad
from tinygrad_fc.core.errors import GraphError, ShapeError
from tinygrad_fc.testing import GradientError, check, real


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


class Product(tg.autograd.Function):
    """x * y * factor, and x + y, with a derivative along tangents."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any, factor: float) -> Any:
        ctx.save_for_backward(y, x)
        ctx.save_for_forward(x, y)
        ctx.factor = factor
        return x * y * factor, x + y

    @staticmethod
    def backward(ctx: Any, g: Any, h: Any) -> Any:
        y, x = ctx.saved_tensors
        return g * y * ctx.factor + h, g * x * ctx.factor + h, None

    @staticmethod
    def jvp(ctx: Any, x_t: Any, y_t: Any, factor_t: Any) -> Any:
        assert factor_t is None
        x, y = ctx.saved_tensors
        return (x_t * y + x * y_t) * ctx.factor, x_t + y_t


def test_the_jvp_of_a_function_is_used_in_every_order() -> None:
    def custom(x: Any, y: Any) -> Any:
        product, total = Product.apply(x, y, 3.0)
        return (product * total * x).sum()

    def plain(x: Any, y: Any) -> Any:
        return (3 * x * y * (x + y) * x).sum()

    at, along = (tg.tensor([1.0, 2.0]), tg.tensor([0.5, -3.0])), (tg.ones(2), tg.tensor([2.0, 1.0]))
    for order in (
        lambda f: func.jvp(f, at, along)[1],
        lambda f: func.jvp(func.grad(f), at, along)[1],
        lambda f: func.grad(lambda *xy: func.jvp(f, xy, along)[1])(*at),
        lambda f: func.jvp(lambda *xy: func.jvp(f, xy, along)[1], at, along)[1],
    ):
        assert order(custom).tolist() == pytest.approx(order(plain).tolist())


def test_a_wrong_jvp_is_named_and_found_by_the_kit() -> None:
    for returned, text in (
        (lambda x, y: (x.sum(), y), r"jvp of Wrong returned tangents of \[Size\(\[\]\), .*; exp"),
        (lambda x, y: x, r"jvp of Wrong returned tangents of \[Size\(\[2\]\)\]; expected"),
        (lambda x, y: (x.mul_(2), y), "jvp of Wrong changes an argument in place"),
    ):
        wrong = type(
            "Wrong", (Product,), {"jvp": staticmethod(lambda _c, x, y, _f, r=returned: r(x, y))}
        )
        x = tg.ones(2)
        with pytest.raises((ShapeError, GraphError), match=text):
            func.jvp(lambda x, w=wrong: w.apply(x, x, 2.0), (x,), (x,))
    half = type("Half", (Product,), {"jvp": staticmethod(lambda _c, x, y, _f: (x, x + y))})
    with pytest.raises(GradientError, match="by dual numbers"):
        check(lambda x, y: half.apply(x, y, 2.0), real("n"), real("n"))
