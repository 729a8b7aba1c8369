"""The same program, with `tinygrad_fc` and with PyTorch in the place of `tg`, must say the same."""

from typing import Any

import numpy as np
import pytest
from against_torch import agree, compare_programs
from drawing import arrays, cotangent, seeds
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
import tinygrad_fc.func  # loaded when named

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # inside PyTorch


def several(tg: Any, x: Any, y: Any) -> Any:
    return (x * y).sin().sum() * y, tg.exp(x) * x.sum()


def number(tg: Any, x: Any, y: Any) -> Any:
    return (x.sin() * (y * y).sum()).sum() + tg.tanh(x * y.sum()).sum() * y.sum()


vectors = st.tuples(arrays((2,)), arrays((3, 1)))


@given(vectors, seeds)
def test_functional(xy: Any, seed: int) -> None:
    def program(tg: Any, x: Any, y: Any, u: Any, w: Any, v: Any, z: Any) -> Any:
        F = tg.autograd.functional
        f = lambda x, y: several(tg, x, y)  # noqa: E731
        n = lambda x, y: number(tg, x, y)  # noqa: E731
        return (
            F.vjp(f, (x, y), (u, w)),
            F.jvp(f, (x, y), (v, z)),
            F.jacobian(f, (x, y)),
            F.jacobian(lambda x: f(x, y)[0], x),
            F.jacobian(lambda x: f(x, y), x),
            F.jacobian(lambda x, y: f(x, y)[1], (x, y)),
            F.hessian(n, (x, y)),
            F.hessian(lambda x: n(x, y), x),
            F.vhp(n, (x, y), (v, z)),
            F.hvp(n, (x, y), (v, z)),
        )

    shapes = ((3, 1), (2,), (2,), (3, 1))
    compare_programs(program, *xy, *(cotangent(s, seed + k) for k, s in enumerate(shapes)))


@given(vectors, seeds)
def test_func(xy: Any, seed: int) -> None:
    def program(tg: Any, x: Any, y: Any, u: Any, w: Any, v: Any, z: Any) -> Any:
        func = tg.func

        def f(x: Any, y: Any) -> Any:
            a, b = several(tg, x, y)
            return {"a": a, "b": [b]}

        def n(x: Any, y: Any) -> Any:
            return number(tg, x, y)

        value, pull = func.vjp(f, x, y)
        return (
            func.grad(n)(x, y),
            func.grad(n, argnums=(1, 0))(x, y),
            func.grad(n, argnums=-1)(x, y),
            func.grad(lambda p: n(p["x"], p["y"]))({"x": x, "y": y}),
            func.grad(lambda x, y: (n(x, y), x * 2), has_aux=True)(x, y),
            func.grad_and_value(lambda x, y: (n(x, y), x * 2), has_aux=True)(x, y),
            value,
            pull({"a": u, "b": [w]}),
            func.vjp(lambda x: (n(x, y), x * 2), x, has_aux=True)[2],
            func.jvp(f, (x, y), (v, z)),
            func.jacrev(f, argnums=(0, 1))(x, y),
            func.jacrev(f, argnums=1)(x, y),
            func.jacrev(lambda x: (n(x, y), x * 2), has_aux=True)(x),
            func.jvp(lambda x: (n(x, y), x * 2), (x,), (v,), has_aux=True),
            func.hessian(n)(x, y),
            func.hessian(n, argnums=(0, 1))(x, y),
            func.grad(lambda x: func.grad(n, 1)(x, y).sum())(x),
            func.jacrev(func.jacrev(lambda x: tg.exp(x) * x.sum()))(x),
            func.jacfwd(f, argnums=(0, 1))(x, y),
            func.jacfwd(lambda x: (n(x, y), x * 2), has_aux=True)(x),
            func.vmap(lambda x, y: x * y.sin(), in_dims=(0, None))(x, y),
            func.vmap(lambda x, y: {"a": x * y, "b": [y.exp()]}, (None, 0), {"a": 1, "b": 0})(x, y),
            func.vmap(func.grad(n), in_dims=(None, 0))(x, y),
            func.vmap(func.vmap(lambda x, y: x * y, (None, 0)), (0, None), 1)(x, y[:, 0]),
            func.vmap(lambda x, *, y: x * y)(x, y=x),
        )

    shapes = ((3, 1), (2,), (2,), (3, 1))
    compare_programs(program, *xy, *(cotangent(s, seed + k) for k, s in enumerate(shapes)))


@given(vectors, seeds)
def test_forward_ad(xy: Any, seed: int) -> None:
    def program(tg: Any, x: Any, y: Any, v: Any, w: Any) -> Any:
        ad = tg.autograd.forward_ad
        with ad.dual_level():
            a, b = several(tg, ad.make_dual(x, v), ad.make_dual(y, w))
            return tuple(ad.unpack_dual(a)), tuple(ad.unpack_dual(b)), ad.unpack_dual(x).tangent

    compare_programs(program, *xy, *(cotangent(s, seed) for s in ((2,), (3, 1))))


def test_gradients_of_results_whose_graph_was_used_or_is_shared() -> None:
    def program(tg: Any, x: Any) -> Any:
        x.requires_grad_()
        w = (x * 3).detach().requires_grad_()
        outside = tg.exp(w)
        found = [tg.autograd.grad((x * outside).sum(), x)]
        outside.sum().backward()  # which the pass before left alone
        middle = x * 2
        (g,) = tg.autograd.grad((middle * middle).sum(), middle)
        found.append(tg.autograd.grad(middle.sum(), x))  # as it did what it stopped at
        return found, g, w.grad

    compare_programs(program, np.array([1.0, 2.0]))


# Gradients in memory, hooks of inner inputs, digits


def a_gradient_in_a_buffer(t: Any, w: Any) -> Any:
    flat = t.zeros(4)
    w.grad = flat[1:3]
    (w * w).sum().backward()
    return flat.tolist()


def zeroed_in_place(t: Any, w: Any) -> Any:
    (w * w).sum().backward()
    gradient = w.grad
    t.optim.SGD([w], lr=1.0).zero_grad(set_to_none=False)
    return gradient.tolist(), w.grad is gradient


def an_inner_input_with_a_hook(t: Any, w: Any) -> Any:
    y = w * 3
    y.register_hook(lambda g: g * 10)
    w.register_hook(lambda g: g * 7)
    loss = (y * 2).sum()
    results = [t.autograd.grad(loss, inputs, retain_graph=True) for inputs in ([y, w], [w])]
    return [g.tolist() for gradients in results for g in gradients]


def last_of_a_float32_cumsum(t: Any, w: Any) -> Any:
    x = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    return (t.tensor(x) * w.detach()[0].float()).cumsum(0)[-1].item()


def rates_of_multiplicative_lr_in_a_sequence(t: Any, w: Any) -> Any:
    optimizer, schedulers = t.optim.SGD([w], lr=1.0), t.optim.lr_scheduler
    first = schedulers.ConstantLR(optimizer, 0.5, 2)
    second = schedulers.MultiplicativeLR(optimizer, lambda _: 0.5)
    scheduler, rates = schedulers.SequentialLR(optimizer, [first, second], [3]), []
    for _ in range(6):
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


SAME = (a_gradient_in_a_buffer, zeroed_in_place, an_inner_input_with_a_hook)
SAME += (last_of_a_float32_cumsum, rates_of_multiplicative_lr_in_a_sequence)


@pytest.mark.parametrize("program", SAME, ids=lambda p: p.__name__)
def test_programs_return_the_same(program: Any):
    agree(*(program(t, t.tensor([1.0, 2.0], requires_grad=True)) for t in (tg, torch)), 0)
