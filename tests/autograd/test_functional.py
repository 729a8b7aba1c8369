"""`autograd.functional`: formulas, and agreement of products, Jacobians and Hessians."""

from typing import Any

import numpy as np
import pytest
from drawing import FLOATS, T, arrays, close, cotangent, seeds
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.autograd import functional as F
from tinygrad_fc.core.errors import GraphError, ShapeError
from tinygrad_fc.core.pytree import flatten


def number(x: Any, y: Any) -> Any:
    return (x.sin() * (y * y).sum()).sum() + (x**3).sum() + (y**2 * 0.5).sum() * y.sum()


@st.composite
def points(draw: st.DrawFn) -> tuple[Any, Any]:
    dtype = draw(st.sampled_from(FLOATS))
    y = draw(arrays(draw(st.sampled_from([(), (1,), (2,), (2, 1), (0,)])), dtype=dtype))
    shape = draw(st.sampled_from([y.shape, (1,) * y.ndim, ()]))
    return tg.from_numpy(draw(arrays(shape, dtype=dtype))), tg.from_numpy(y)


def like(tensors: Any, seed: int) -> tuple[Any, ...]:
    """Return random numbers of the shapes and dtypes of `tensors`."""
    return tuple(tg.from_numpy(cotangent(t.shape, seed, t.dtype)) for t in tensors)


def within(actual: Any, expected: Any) -> None:
    """Assert that nests of tensors agree, up to rounding."""
    for a, b in zip(flatten(actual)[0], flatten(expected)[0], strict=True):
        close(a.numpy(), b.numpy(), tolerance=1e-4 if a.dtype == np.float32 else 1e-11)


@given(points(), seeds)
def test_results_with_create_graph_are_differentiable(xy: Any, seed: int) -> None:
    xy = tuple(T(t.numpy().copy()) for t in xy)
    v = like(xy, seed)
    hessian = F.hessian(number, xy)

    for function in (
        lambda *inputs: F.vjp(number, inputs, create_graph=True)[1],
        lambda *inputs: F.jacobian(number, inputs, create_graph=True),
    ):
        within(F.jacobian(function, xy), hessian)
    product = F.vhp(number, xy, v)[1]
    within(F.vjp(lambda *inputs: F.jvp(number, inputs, v, create_graph=True)[1], xy)[1], product)
    # The results are part of the graph of the inputs themselves.
    gradient = F.vjp(number, xy, create_graph=True)[1]
    within(tg.autograd.grad(gradient, xy, v, materialize_grads=True), product)
    third = F.hessian(number, xy, create_graph=True)
    plain = [f(number, xy) for f in (F.jacobian, F.hessian, F.vjp)]
    plain += [f(number, xy, v) for f in (F.jvp, F.vhp, F.hvp)]
    assert not any(t.requires_grad for t in flatten(plain)[0])
    value, seconds = F.hvp(number, xy, v, create_graph=True)
    assert all(t.requires_grad for t in (*third[0], *third[1], value, *seconds) if t.numel())


def test_v_is_part_of_the_graph_and_a_captured_input_a_constant() -> None:
    x, v = T(np.array([2.0, 3.0])), T(np.array([3.0, 4.0]))
    for product in (F.vjp, F.jvp):
        (slope,) = tg.autograd.grad(product(lambda x: x**2, x, v, create_graph=True)[1].sum(), v)
        assert slope.tolist() == [4.0, 6.0]
        assert not product(lambda x: x**2, x, v)[1].requires_grad
    assert F.jacobian(lambda y: x * y, x).tolist() == [[2.0, 0.0], [0.0, 3.0]]
    gradient = F.vjp(lambda y: (x * y).sum(), x, create_graph=True)[1]
    assert tg.autograd.grad(gradient.sum(), x)[0].tolist() == [1.0, 1.0]


def test_captured_graphs_are_not_freed() -> None:
    w, x = T(np.array([2.0, 3.0])), tg.tensor([1.0, 1.0])
    outside = (w * w).exp()
    for take in (F.jacobian, lambda f, x: F.vjp(f, x, x), lambda f, x: F.jvp(f, x, x)):
        take(lambda x: x * outside, x)
    F.hessian(lambda x: (x * x * outside).sum(), x)
    assert w.grad is None
    assert x.grad is None
    assert not x.requires_grad
    outside.sum().backward()
    close(w.grad.numpy(), 2 * w.numpy() * np.exp(w.numpy() ** 2))


def test_strict_raises_for_any_independent_output_or_gradient() -> None:
    x, y = tg.tensor([1.0, 2.0]), tg.tensor([3.0])
    for name, call in (
        ("vjp", lambda **k: F.vjp(lambda x, y: x, (x, y), x, **k)),
        ("jacobian", lambda **k: F.jacobian(lambda x, y: (x[0] * y, x), (x, y), **k)),
        ("jvp", lambda **k: F.jvp(lambda x: (x, tg.ones(2)), x, x, **k)),
        ("vhp", lambda **k: F.vhp(lambda x, y: (x**2).sum() + y.sum(), (x, y), (x, y), **k)),
        ("hvp", lambda **k: F.hvp(lambda x, y: (x**2).sum(), (x, y), (x, y), **k)),
        ("hessian", lambda **k: F.hessian(lambda x: x.sum(), x, **k)),
        ("vjp", lambda **k: F.vjp(lambda x: x.sum(), x, create_graph=True, **k)),
    ):
        call()
        with pytest.raises(GraphError, match=f"{name}: .*not depend on the inputs, .*strict"):
            call(strict=True)


@pytest.mark.parametrize("name", ["vjp", "jvp", "vhp", "hvp", "jacobian", "hessian"])
def test_values_other_than_float_tensors_raise(name: str) -> None:
    take, x = getattr(F, name), tg.tensor(2.0)
    argument = f"{'jacobian' if name == 'hessian' else name}: an argument to differentiate by"
    with pytest.raises(TypeError, match=rf"{argument} must be a tensor of floats .*, got float"):
        take(lambda x: x, 2.0)
    with pytest.raises(TypeError, match=rf"{argument} must be a tensor of floats .*, got int"):
        take(lambda x, y: x, (x, 2))
    with pytest.raises(TypeError, match=rf"{name}: the value of the function must be .*, got str"):
        take(lambda x: "text", x)
    with pytest.raises(TypeError, match=rf"{argument} must be .*, got a tensor of int64"):
        take(lambda x: x, tg.tensor(2))


def test_an_invalid_v_raises() -> None:
    x, y = tg.tensor([1.0, 2.0]), tg.tensor([3.0])
    with pytest.raises(ShapeError, match="v is None, expected a tensor for each of the outputs"):
        F.vjp(lambda x: x, x)
    for take in (F.jvp, F.vhp, F.hvp):
        with pytest.raises(ShapeError, match="v is None, expected a tensor for each of the inputs"):
            take(lambda x: x.sum(), x)
        with pytest.raises(ShapeError, match=r"has the shapes \[\(1,.* expected .* of the inputs"):
            take(lambda x: x.sum(), x, (y, x))
        with pytest.raises(TypeError, match=r"v must be a tensor of floats .*, got ndarray"):
            take(lambda x: x.sum(), x, np.ones(2))
    for take in (F.vhp, F.hvp, lambda f, x, v: F.hessian(f, x)):
        with pytest.raises(ShapeError, match=r"the function must return one number"):
            take(lambda x: x * 2, x, x)
