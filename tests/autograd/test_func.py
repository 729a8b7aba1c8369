"""Transformations of functions: formulas, nesting, pytrees, and which results are recorded."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
from drawing import T, arrays, close, cotangent, seeds
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import func, nn
from tinygrad_fc.autograd import functional
from tinygrad_fc.errors import GraphError, ShapeError

Pair = namedtuple("Pair", ["left", "right"])  # noqa: PYI024  tests the untyped kind, too


def number(x: Any, y: Any) -> Any:
    return (x.sin() * (y * y).sum()).sum() + (x**3).sum() + (y**2 * 0.5).sum() * y.sum()


vectors = st.tuples(arrays((2,)), arrays((3,)))


@given(vectors)
def test_grad_and_hessian_equal_autograd_functional(xy: Any) -> None:
    xy = tuple(map(tg.from_numpy, xy))
    expected = functional.vjp(number, xy)[1]
    slope, value = func.grad_and_value(number, argnums=(0, 1))(*xy)
    assert value.item() == number(*xy).item()
    for a, b in zip(slope, expected, strict=True):
        assert a.tolist() == b.tolist()
    for k in (0, 1, -1, -2):
        assert func.grad(number, k)(*xy).tolist() == expected[k].tolist()
    hessian = func.hessian(number, (1, 0))(*xy)
    expected = functional.hessian(number, xy)
    for i in (0, 1):
        for j in (0, 1):
            close(hessian[i][j].numpy(), expected[1 - i][1 - j].numpy(), tolerance=1e-11)
    close(func.hessian(number)(*xy).numpy(), expected[0][0].numpy(), tolerance=1e-11)


@given(vectors, seeds)
def test_vjp_and_jvp_are_products_with_the_jacobian(xy: Any, seed: int) -> None:
    def function(x: Any, y: Any) -> Any:
        return {"a": x.sum() * y, "b": [tg.exp(x), (x[0] * y.sin(),)]}

    x, y = map(tg.from_numpy, xy)
    value, pull = func.vjp(function, x, y)
    jacobian = func.jacrev(function, (0, 1))(x, y)
    leaves = (value["a"], value["b"][0], value["b"][1][0])
    rows = (jacobian["a"], jacobian["b"][0], jacobian["b"][1][0])
    u = [tg.from_numpy(cotangent(t.shape, seed + k)) for k, t in enumerate(leaves)]
    v = tuple(tg.from_numpy(cotangent(t.shape, seed + k)) for k, t in enumerate((x, y)))
    pulled = pull({"b": [u[1], (u[2],)], "a": u[0]})  # dicts in any order
    again, pushed = func.jvp(function, (x, y), v)
    pushed = (pushed["a"], pushed["b"][0], pushed["b"][1][0])
    for k, t in enumerate((x, y)):
        expected = sum(w.numpy() @ row[k].numpy() for w, row in zip(u, rows, strict=True))
        close(pulled[k].numpy(), expected, tolerance=1e-11)
        assert pulled[k].shape == t.shape
    for row, got in zip(rows, pushed, strict=True):
        close(got.numpy(), row[0].numpy() @ v[0].numpy() + row[1].numpy() @ v[1].numpy())
    assert again["b"][1][0].tolist() == value["b"][1][0].tolist()


@given(st.floats(-2, 2), st.integers(1, 5))
def test_nested_grad_is_the_higher_derivative(at: float, order: int) -> None:
    derivative = tg.sin
    for _ in range(order):
        derivative = func.grad(derivative)
    expected = math.sin(at + order * math.pi / 2)
    assert abs(derivative(tg.tensor(at)).item() - expected) < 1e-12


def test_perturbations_are_not_confused() -> None:
    # Siskind and Pearlmutter, 2005: the inner derivative is 1 whatever x is.
    one = tg.tensor(1.0)
    outer = func.grad(lambda x: x * func.grad(lambda y: x + y)(one))
    assert outer(one).item() == 1.0
    outer = func.grad(lambda x: x * func.grad(lambda y: x * y)(one))
    assert outer(tg.tensor(3.0)).item() == 6.0
    same = func.grad(lambda x: func.grad(lambda y: x * y * y)(x))  # d/dx 2 x^2
    assert same(tg.tensor(3.0)).item() == 12.0
    by_jvp = func.jvp(lambda x: x * func.jvp(lambda y: x + y, (one,), (one,))[1], (one,), (one,))
    assert by_jvp[1].item() == 1.0


def test_transformations_nest() -> None:
    x = tg.tensor([0.5, 1.5])

    def f(x: Any) -> Any:
        return (x**3).sum()

    expected = np.diag(6 * x.numpy())
    assert func.jacrev(func.grad(f))(x).tolist() == expected.tolist()
    assert functional.jacobian(func.grad(f), x).tolist() == expected.tolist()
    v = tg.tensor([1.0, 10.0])
    assert func.jvp(func.grad(f), (x,), (v,))[1].tolist() == [3.0, 90.0]
    assert func.grad(lambda x: func.jvp(f, (x,), (v,))[1])(x).tolist() == [3.0, 90.0]
    assert func.vjp(func.grad(f), x)[1](v)[0].tolist() == [3.0, 90.0]
    assert func.grad(lambda x: func.vjp(f, x)[1](tg.tensor(2.0))[0].sum())(x).tolist() == [
        6.0,
        18.0,
    ]
    assert func.grad(lambda v: (func.vjp(lambda x: x**2, x)[1](v)[0]).sum())(v).tolist() == [
        1.0,
        3.0,
    ]
    third = func.jacrev(func.jacrev(func.jacrev(f)))(x)
    assert third.shape == (2, 2, 2)
    assert third[0, 0, 0].item() == 6.0
    assert func.grad(lambda x: func.hessian(f)(x).sum())(x).tolist() == [6.0, 6.0]


def test_arguments_are_pytrees() -> None:
    parameters = {
        "w": tg.tensor([2.0, 3.0]),
        "b": [tg.tensor(1.0)],
        "pair": Pair(tg.tensor(4.0), (tg.tensor(5.0),)),
    }

    def loss(p: Any, x: float) -> Any:
        return (p["w"] ** 2).sum() * x + p["b"][0] + p["pair"].left * p["pair"].right[0]

    slope = func.grad(loss)(parameters, 10.0)
    assert set(slope) == {"w", "b", "pair"}
    assert slope["w"].tolist() == [40.0, 60.0]
    assert slope["b"][0].item() == 1.0
    assert isinstance(slope["pair"], Pair)
    assert slope["pair"].left.item() == 5.0
    assert slope["pair"].right[0].item() == 4.0
    (pulled,) = func.vjp(lambda p: loss(p, 1.0), parameters)[1](tg.tensor(1.0))
    assert pulled["w"].tolist() == [4.0, 6.0]
    jacobian = func.jacrev(lambda p: p["w"] * p["b"][0])(parameters)
    assert jacobian["w"].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert jacobian["b"][0].tolist() == [2.0, 3.0]
    assert jacobian["pair"].left.tolist() == [0.0, 0.0]


def test_has_aux_and_keyword_arguments() -> None:
    x = tg.tensor(3.0)

    def f(x: Any, *, k: float = 1.0) -> Any:
        return x * x * k, {"twice": x * 2, "note": "text"}

    slope, aux = func.grad(f, has_aux=True)(x, k=2.0)
    assert (slope.item(), aux["twice"].item(), aux["note"]) == (12.0, 6.0, "text")
    assert not aux["twice"].requires_grad
    (value, aux), slope = func.value_and_grad(f, has_aux=True)(x)
    assert (value.item(), aux["note"], slope.item()) == (9.0, "text", 6.0)
    slope, (value, aux) = func.grad_and_value(f, has_aux=True)(x)
    assert (value.item(), aux["note"], slope.item()) == (9.0, "text", 6.0)
    value, pull, aux = func.vjp(f, x, has_aux=True)
    assert (value.item(), aux["note"], pull(tg.tensor(1.0))[0].item()) == (9.0, "text", 6.0)
    value, slope, aux = func.jvp(f, (x,), (x,), has_aux=True)
    assert (value.item(), aux["note"], slope.item()) == (9.0, "text", 18.0)
    slope, aux = func.jacrev(f, has_aux=True)(x)
    assert (slope.item(), aux["note"]) == (6.0, "text")
    value, slope = func.value_and_grad(lambda x: x**2)(x)
    assert (value.item(), slope.item()) == (9.0, 6.0)
    assert func.grad(f).__name__ == "f"


ALL = {
    "grad": lambda f, x: func.grad(f)(x),
    "value_and_grad": lambda f, x: func.value_and_grad(f)(x)[1],
    "vjp": lambda f, x: func.vjp(f, x)[1](tg.tensor(1.0))[0],
    "jvp": lambda f, x: func.jvp(f, (x,), (tg.ones_like(x),))[1],
    "jacrev": lambda f, x: func.jacrev(f)(x),
    "hessian": lambda f, x: func.hessian(lambda x: f(x) * x)(x) / 2,
}


@pytest.mark.parametrize("name", ALL)
def test_results_are_recorded_if_they_depend_on_a_recorded_tensor(name: str) -> None:
    take = ALL[name]
    x, w = tg.tensor(3.0), T(np.array(2.0))
    slope = take(lambda x: x * x, x)
    assert not slope.requires_grad
    assert not func.grad_and_value(lambda x: x * x)(x)[1].requires_grad
    assert func.grad_and_value(lambda x: x * x * w)(x)[1].requires_grad
    assert x.grad is None
    assert not x.requires_grad
    # A captured tensor requires grad, or an argument does.
    slope = take(lambda x: x * x * w, x)
    assert slope.requires_grad
    assert tg.autograd.grad(slope, w)[0].item() == pytest.approx(slope.item() / 2)
    tracked = T(np.array(3.0))
    slope = take(lambda x: x * x * x, tracked)
    assert tg.autograd.grad(slope, tracked)[0].item() == pytest.approx(
        2 * slope.item() / 3 if name != "hessian" else slope.item() / 3 * 2
    )
    assert tracked.grad is None
    # Under no_grad the derivative is computed, but not recorded.
    with tg.no_grad():
        for derivative in (take(lambda x: x * x * w, x), take(lambda x: x * x * x, tracked)):
            assert not derivative.requires_grad
            assert derivative.item() != 0.0
        assert not tg.is_grad_enabled()


def test_values_computed_under_no_grad_are_constants() -> None:
    def f(x: Any) -> Any:
        with tg.no_grad():
            c = x**2
        return x - c

    assert func.grad(f)(tg.tensor(3.0)).item() == 1.0


def test_captured_graphs_are_not_freed() -> None:
    w = T(np.array([2.0, 3.0]))
    outside = (w * w).exp()
    x = tg.tensor([1.0, 1.0])
    slope = func.grad(lambda x: (x * x * outside).sum())(x)
    func.jacrev(lambda x: x * outside)(x)
    func.hessian(lambda x: (x * x * outside).sum())(x)
    assert w.grad is None
    close(
        tg.autograd.grad(slope.sum(), w, retain_graph=True)[0].numpy(),
        4 * w.numpy() * outside.numpy(),
    )
    outside.sum().backward()


def test_the_function_of_vjp_may_be_called_repeatedly() -> None:
    _, pull = func.vjp(lambda x: x**2, tg.tensor([1.0, 2.0]))
    for k in (1.0, 3.0):
        (g,) = pull(tg.tensor([k, 10 * k]))
        assert g.tolist() == [2 * k, 40 * k]
        assert not g.requires_grad
    weights = T(np.array([1.0, 1.0]))
    assert pull(weights)[0].requires_grad
    with tg.no_grad():
        assert not pull(weights)[0].requires_grad
    _, along = func.jvp(lambda x: x**2, (tg.tensor([1.0, 2.0]),), (weights,))
    assert tg.autograd.grad(along.sum(), weights)[0].tolist() == [2.0, 4.0]


def test_independent_outputs_have_derivative_0_or_raise_if_strict() -> None:
    x = tg.tensor([1.0, 2.0])
    assert func.grad(lambda x: tg.tensor(1.0))(x).tolist() == [0.0, 0.0]
    assert func.jacrev(lambda x: tg.ones(2))(x).tolist() == [[0.0, 0.0]] * 2
    assert func.jvp(lambda x: tg.ones(2), (x,), (x,))[1].tolist() == [0.0, 0.0]
    with pytest.raises(
        GraphError, match=r"jvp: output .* does not depend on the inputs.*strict=True"
    ):
        func.jvp(lambda x: (x, tg.ones(2)), (x,), (x,), strict=True)
    assert func.jacrev(lambda x: x[:0])(x).shape == (0, 2)
    assert func.jacrev(lambda x: x)(x[:0]).shape == (0, 0)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            func.grad(lambda x: x),
            ShapeError,
            r"grad: the function must return one number, .* got \[\(2,\)\]: use .sum",
        ),
        (
            func.grad(lambda x: (x.sum(),)),
            ShapeError,
            r"must return one number",
        ),
        (func.value_and_grad(lambda x: x), ShapeError, "grad: the function"),
        (
            func.grad(lambda x: 3.0),
            TypeError,
            "grad: the value of the function must be a tensor of floats .*, got float",
        ),
        (func.jacrev(lambda x: x > 0), TypeError, "got a tensor of bool"),
        (
            lambda x: func.grad(lambda x: x.sum())(2.0),
            TypeError,
            "grad: an argument to differentiate by must be a tensor of floats .*, got float",
        ),
        (lambda x: func.grad(lambda x: x.sum())(x.long()), TypeError, "got a tensor of int64"),
        (
            lambda x: func.grad(lambda x: x.sum())({}),
            TypeError,
            "tensors nested in tuples, lists and dicts, got none",
        ),
        (
            func.grad(lambda x: x.sum(), 1),
            ValueError,
            r"argnums is 1, expected one or more of the 1 positional arguments",
        ),
        (func.grad(lambda x: x.sum(), ()), ValueError, r"argnums is \(\), expected one"),
        (
            func.grad(lambda x: x.sum(), (0, -1)),
            ValueError,
            r"argnums is \(0, -1\), expected .* none twice",
        ),
        (
            func.grad(lambda x: x.sum(), "0"),
            ValueError,
            r"argnums is '0', expected one",
        ),
        (
            func.grad(lambda x: x.sum(), has_aux=True),
            TypeError,
            r"grad: with has_aux the function returns a pair, \(output, aux\), got Tensor",
        ),
        (
            lambda x: func.vjp(lambda x: (x, x), x)[1](x),
            ShapeError,
            r"vjp: v has the shapes .* in the same structure",
        ),
        (
            lambda x: func.vjp(lambda x: {"a": x}, x)[1]([x]),
            ShapeError,
            r"vjp: v has the shapes .* in the same structure",
        ),
        (
            lambda x: func.vjp(lambda x: x, x)[1](x[:1]),
            ShapeError,
            r"vjp: v has the shapes \[\(1,\)\], expected the shapes \[\(2,\)\] of the outputs",
        ),
        (
            lambda x: func.jvp(lambda x: x, (x,), (x, x)),
            ShapeError,
            r"jvp: v has the shapes",
        ),
        (
            lambda x: func.jvp(lambda x: x, (x,), (x[0],)),
            ShapeError,
            "jvp: v has the shapes",
        ),
    ],
)
def test_errors(call: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=text):
        call(tg.tensor([1.0, 2.0]))
    assert tg.is_grad_enabled()


def test_keyword_arguments_may_have_any_name():
    def f(x: Any, *, name: Any = 1, func: Any = 1, args: Any = 1, argnums: Any = 1) -> Any:
        return x * name * func * args * argnums

    named = {"name": 2, "func": 3, "args": 5, "argnums": 7}
    x = tg.tensor(2.0)
    assert func.grad(f)(x, **named).item() == 210
    assert func.value_and_grad(f)(x, **named)[1].item() == 210
    assert func.jacrev(f)(x, **named).item() == 210
    assert func.grad(lambda x, has_aux: (x * has_aux, 1), has_aux=True)(x, has_aux=3)[0].item() == 3


def test_functional_call_replaces_parameters_for_one_call():
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    own = dict(model.named_parameters())
    x = tg.tensor([[1.0, 2.0]])
    weights = {name: tg.zeros(*p.shape) for name, p in own.items()}
    assert func.functional_call(model, weights, (x,)).tolist() == [[0, 0]]
    assert all(p is own[name] for name, p in model.named_parameters())

    def loss(weights: Any) -> Any:
        return func.functional_call(model, weights, x).sum()

    slopes = func.grad(loss)(own)
    model(x).sum().backward()
    for name, p in own.items():
        assert np.array_equal(slopes[name].numpy(), p.grad.numpy())
    with pytest.raises(KeyError, match=r"no parameter or buffer '0\.nothing'"):
        func.functional_call(model, {"0.nothing": x}, x)
    assert all(p is own[name] for name, p in model.named_parameters())


def test_functional_call_replaces_a_shared_parameter_under_all_its_names():
    class Tied(nn.Module):
        def __init__(self) -> None:
            self.layers = [nn.Linear(2, 2, bias=False) for _ in range(2)]
            self.layers[1].weight = self.layers[0].weight

        def forward(self) -> Any:
            return self.layers[1](self.layers[0](tg.ones(1, 2)))

    model = Tied()
    for names in (["layers.0.weight"], ["layers.1.weight"], ["layers.0.weight", "layers.1.weight"]):
        weights = {name: 2 * tg.eye(2) for name in names}
        assert func.functional_call(model, weights).tolist() == [[4, 4]]
    assert model.layers[0].weight is model.layers[1].weight
