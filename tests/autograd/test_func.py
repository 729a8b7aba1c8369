"""Transformations of functions: formulas, nesting, pytrees, and which results are recorded."""

from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from drawing import T, arrays, close, cotangent, seeds
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import func, nn
from tinygrad_fc.autograd import functional
from tinygrad_fc.core import pytree
from tinygrad_fc.core.errors import GraphError, ShapeError
from tinygrad_fc.distributions import Beta

Pair = namedtuple("Pair", ["left", "right"])  # noqa: PYI024  tests the untyped kind, too


vectors = st.tuples(arrays((2,)), arrays((3,)))


def test_perturbations_are_not_confused() -> None:
    # Siskind and Pearlmutter, 2005: the inner derivative is 1 whatever x is.
    one, three = tg.tensor(1.0), tg.tensor(3.0)
    for outer, at, expected in (
        (lambda x: x * func.grad(lambda y: x + y)(one), one, 1.0),
        (lambda x: x * func.grad(lambda y: x * y)(one), three, 6.0),
        (lambda x: func.grad(lambda y: x * y * y)(x), three, 12.0),  # d/dx 2 x^2
        (lambda x: x * func.jvp(lambda y: x + y, (one,), (one,))[1], one, 1.0),
    ):
        assert func.grad(outer)(at).item() == expected
        assert func.jvp(outer, (at,), (one,))[1].item() == expected


def cubes(x: Any) -> Any:
    return (x**3).sum()


NESTED = {
    "jacrev of grad": lambda x, v: func.jacrev(func.grad(cubes))(x) @ v,
    "jacobian of grad": lambda x, v: functional.jacobian(func.grad(cubes), x) @ v,
    "jvp of grad": lambda x, v: func.jvp(func.grad(cubes), (x,), (v,))[1],
    "grad of jvp": lambda x, v: func.grad(lambda x: func.jvp(cubes, (x,), (v,))[1])(x),
    "vjp of grad": lambda x, v: func.vjp(func.grad(cubes), x)[1](v)[0],
    "grad of vjp": lambda x, v: (
        func.grad(lambda x: (func.vjp(cubes, x)[1](v.sum())[0]).sum())(x) * v / v.sum()
    ),
    "third": lambda x, v: func.grad(lambda x: func.hessian(cubes)(x).sum())(x) * x * v,
}


@pytest.mark.parametrize("name", NESTED)
def test_transformations_nest(name: str) -> None:
    x, v = tg.tensor([0.5, 1.5]), tg.tensor([1.0, 10.0])
    close(NESTED[name](x, v).numpy(), (6 * x * v).numpy(), tolerance=1e-14)


def test_arguments_are_pytrees() -> None:
    parameters = {"w": tg.tensor([2.0, 3.0]), "pair": Pair(tg.tensor(4.0), [tg.tensor(5.0)])}

    def loss(p: Any, x: float) -> Any:
        return (p["w"] ** 2).sum() * x + p["pair"].left * p["pair"].right[0]

    for slope in (
        func.grad(loss)(parameters, 10.0),
        func.vjp(lambda p: loss(p, 10.0), parameters)[1](tg.tensor(1.0))[0],
    ):
        assert slope["w"].tolist() == [40.0, 60.0]
        assert isinstance(slope["pair"], Pair)
        assert (slope["pair"].left.item(), slope["pair"].right[0].item()) == (5.0, 4.0)
    jacobian = func.jacrev(lambda p: p["w"] * p["pair"].right[0])(parameters)
    assert jacobian["w"].tolist() == [[5.0, 0.0], [0.0, 5.0]]
    assert jacobian["pair"].right[0].tolist() == [2.0, 3.0]
    assert jacobian["pair"].left.tolist() == [0.0, 0.0]


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
    assert not take(lambda x: x * x, x).requires_grad
    assert x.grad is None
    assert not x.requires_grad
    # A captured tensor requires grad, or an argument does.
    slope = take(lambda x: x * x * w, x)
    assert slope.requires_grad
    assert tg.autograd.grad(slope, w)[0].item() == pytest.approx(slope.item() / 2)
    tracked = T(np.array(3.0))
    slope = take(lambda x: x * x * x, tracked)
    assert tg.autograd.grad(slope, tracked)[0].item() == pytest.approx(slope.item() * 2 / 3)
    assert tracked.grad is None
    # Under no_grad the derivative is computed, but not recorded.
    with tg.no_grad():
        for derivative in (take(lambda x: x * x * w, x), take(lambda x: x * x * x, tracked)):
            assert not derivative.requires_grad
            assert derivative.item() != 0.0
        assert not tg.is_grad_enabled()
    assert not func.grad_and_value(lambda x: x * x)(x)[1].requires_grad
    assert func.grad(cubes).__name__ == "cubes"
    assert func.grad_and_value(lambda x: x * x * w)(x)[1].requires_grad


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
    message = r"jvp: output .* does not depend on the inputs.*strict=True"
    with pytest.raises(GraphError, match=message):
        func.jvp(lambda x: (x, tg.ones(2)), (x,), (x,), strict=True)
    assert func.jacrev(lambda x: x[:0])(x).shape == (0, 2)
    assert func.jacrev(lambda x: x)(x[:0]).shape == (0, 0)


def total(x: Any) -> Any:
    return x.sum()


@pytest.mark.parametrize(("call", "kind", "text"), [
    (func.grad(lambda x: x), ShapeError, r"must return one number, .* got \[\(2,\)\]"),
    (func.grad(lambda x: (x.sum(),)), ShapeError, r"must return one number"),
    (func.jacrev(lambda x: x > 0), TypeError, "got a tensor of bool"),
    (lambda x: func.grad(total)({}), TypeError, "nested in tuples, lists and dicts, got none"),
    (func.grad(total, 1), ValueError, r"argnums is 1, .* of the 1 positional arguments"),
    (func.grad(total, ()), ValueError, r"argnums is \(\), expected one"),
    (func.grad(total, (0, -1)), ValueError, r"argnums is \(0, -1\), expected .* none twice"),
    (func.grad(total, "0"), ValueError, r"argnums is '0', expected one"),
    (func.grad(total, has_aux=True), TypeError, r"returns a pair, \(output, aux\), got Tensor"),
    (lambda x: func.vjp(lambda x: {"a": x}, x)[1]([x]), ShapeError, r"vjp: .* the same structure"),
    (lambda x: func.vjp(total, x)[1](x), ShapeError, r"shapes \[\(2,\)\], expected .* outputs"),
])  # fmt: skip
def test_errors(call: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=text):
        call(tg.tensor([1.0, 2.0]))
    assert tg.is_grad_enabled()


def test_functional_call_replaces_parameters_for_one_call():
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    own = dict(model.named_parameters())
    x = tg.tensor([[1.0, 2.0]])
    weights = {name: tg.zeros(*p.shape) for name, p in own.items()}
    first, second = ({k: weights[k]} for k in weights)
    for state, arguments in ((weights, (x,)), ((first, second), x)):
        assert func.functional_call(model, state, arguments).tolist() == [[0, 0]]
    slopes = func.grad(lambda weights: func.functional_call(model, weights, x).sum())(own)
    model(x).sum().backward()
    for name, p in own.items():
        assert np.array_equal(slopes[name].numpy(), p.grad.numpy())
    func.functional_call(model, {"0.nothing": x}, x)  # ignored, as in PyTorch
    with pytest.raises(ValueError, match="several dicts have the same name"):
        func.functional_call(model, (first, first), x)
    assert all(p is own[name] for name, p in model.named_parameters())
    tied = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(2)))
    shared = tied[1].weight = tied[0].weight
    for names in (["0.weight"], ["1.weight"], ["0.weight", "1.weight"]):
        weights = {name: 2 * tg.eye(2) for name in names}
        assert func.functional_call(tied, weights, tg.ones(1, 2)).tolist() == [[4, 4]]
    assert tied[0].weight is tied[1].weight is shared


def test_functional_call_in_threads():
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    x = tg.rand(5, 3)
    scales = [float(k) for k in range(8)]
    states = [{n: p * k for n, p in model.state_dict().items()} for k in scales]
    expected = [func.functional_call(model, state, x).tolist() for state in states]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda s: func.functional_call(model, s, x).tolist(), states * 20))
    assert found == expected * 20


def test_random_numbers_of_vmap() -> None:
    for randomness, distinct in (("same", 2), ("different", 8)):
        drawn = func.vmap(lambda x: x + tg.rand(2), randomness=randomness)(tg.zeros(4))
        assert len(set(drawn.flatten().tolist())) == distinct
    generator = tg.Generator()
    for draw in (
        lambda x: x + tg.rand(2),
        nn.functional.dropout,
        lambda x: x.clone().normal_(),
        lambda x: x.bernoulli(generator=generator),
        lambda x: Beta(x + 1, x + 1).sample(),
    ):
        with pytest.raises(RuntimeError, match=r"vmap: .* random numbers.*randomness='different'"):
            func.vmap(draw)(tg.zeros(4))
    assert tg.rand(2).shape == (2,)


def test_vmap_refuses_changes_that_rows_would_add_up() -> None:
    total, x = tg.zeros(3), tg.ones(4, 3)
    layer = nn.BatchNorm1d(3)
    for call in (
        func.vmap(total.add_),
        func.vmap(lambda row: total.__iadd__(1) + row),
        func.vmap(lambda row: total.__setitem__(0, 1.0) or row),
        func.vmap(func.vmap(total[0].add_)),
        func.vmap(lambda row: layer(row.expand(2, 3))),
        lambda x: func.vmap(lambda row, whole: whole.mul_(2) * row, in_dims=(0, None))(x, total),
    ):
        with pytest.raises(GraphError, match=r"vmap: .* add up\. Return .*x\.clone\(\)"):
            call(x)


def test_vmap_changes_batches_and_new_tensors_in_place() -> None:
    x = tg.ones(4, 3)
    assert func.vmap(lambda row: row.add_(1).sum())(x).tolist() == [6] * 4
    assert x.tolist() == [[2] * 3] * 4  # as in PyTorch

    def new(row: Any) -> Any:
        y = tg.zeros(3)
        for k in range(3):
            y[k] = row[k] * 2
        return func.vmap(lambda v: v.clone().add_(1))(y)

    assert func.vmap(new)(x).tolist() == [[5] * 3] * 4


def test_a_result_without_a_batch_is_the_same_for_all_rows() -> None:
    x, nan = tg.arange(3.0), tg.tensor(float("nan"))
    for value in (x, 3, "text", nan):
        assert func.vmap(lambda _, value=value: value, out_dims=None)(x) is value
    with pytest.raises(ValueError, match="out_dims is None for a result that differs by row"):
        func.vmap(tg.sin, out_dims=None)(x)


ERRORS_OF_VMAP: list[Any] = [
    (lambda x: func.vmap(tg.sin)(3.0), r"in_dims is 0, expected axes of tensors, .* got \[3.0"),
    (func.vmap(tg.sin, in_dims={"a": 0}), "does not fit a pytree"),
    (lambda x: func.vmap(lambda d: d, in_dims=({"a": 0},))({"b": x}), "does not fit a pytree"),
    (func.vmap(tg.sin, in_dims=None), "in_dims is None, expected axes"),
    (func.vmap(tg.sin, in_dims=2), "in_dims is 2, expected axes"),
    (lambda x: func.vmap(tg.add)(x, x[:1]), "of one size"),
    (lambda x: func.vmap(tg.sin)(x[:0]), "of at least 1"),
    (func.vmap(lambda x: (x, x), out_dims=(0,)), "does not fit a pytree"),
    (lambda x: func.vmap(tg.sin, randomness="no"), "randomness is 'no', expected one of error"),
]


@pytest.mark.parametrize(("call", "text"), ERRORS_OF_VMAP)
def test_errors_of_vmap(call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call(tg.tensor([1.0, 2.0]))


# tests/parity compares the values of vmap and jacfwd
@given(arrays((3, 2)), arrays((3, 2)), seeds)
def test_gradients_flow_through_vmap_of_pytrees(a: Any, b: Any, seed: int) -> None:
    x, y, u = T(a), T(b), tg.from_numpy(cotangent((2, 3), seed))
    out = func.vmap(
        lambda d, *, k: {"rows": (d["a"] * d["b"]).sin() + k, "all": (d["b"], 3)},
        in_dims=({"a": -1, "b": None},),
        out_dims={"rows": 1, "all": None},
    )({"a": x, "b": y[:, 0]}, k=0.0)
    expected = (x * y[:, :1]).sin()
    close(out["rows"].numpy(), expected.numpy())
    assert out["all"][1] == 3
    got = tg.autograd.grad(out["rows"], (x, y), u.T)
    for g, e in zip(got, tg.autograd.grad(expected, (x, y), u.T), strict=True):
        close(g.numpy(), e.numpy(), tolerance=1e-11)


@given(vectors, seeds)
def test_linearize_is_jvp_at_a_point(xy: Any, seed: int) -> None:
    def function(x: Any, y: Any) -> Any:
        return {"a": x.sum() * y, "b": [tg.exp(x)[:, None] * y, (x[0].sin(),)], "c": tg.ones(2)}

    x, y = map(tg.from_numpy, xy)
    value, push = func.linearize(function, x, y)
    for k in range(2):
        v = tuple(tg.from_numpy(cotangent(t.shape, seed + k)) for t in (x, y))
        again, along = func.jvp(function, (x, y), v)
        for got, right in ((push(*v), along), (value, again)):
            for a, b in zip(pytree.flatten(got)[0], pytree.flatten(right)[0], strict=True):
                assert a.tolist() == b.tolist()
    assert func.jacfwd(lambda x: x)(x[:0]).shape == (0, 0)
    assert func.jvp(lambda x: (x**2, x), (x,), (x,), has_aux=True)[2].tolist() == x.tolist()


def test_modules_are_stacked() -> None:
    models = [nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).eval() for _ in range(4)]
    parameters, buffers = func.stack_module_state(models)
    x = tg.rand(4, 5, 3)
    assert all(p.requires_grad and p.is_leaf for p in parameters.values())
    assert not any(b.requires_grad for b in buffers.values())

    def call(parameters: Any, buffers: Any, x: Any) -> Any:
        return func.functional_call(models[0], (parameters, buffers), x)

    out = func.vmap(call)(parameters, buffers, x)
    for k, model in enumerate(models):
        assert out[k].tolist() == model(x[k]).tolist()
    out.sum().backward()
    assert parameters["0.weight"].grad.shape == (4, 2, 3)
    for wrong in ([], [models[0], nn.ReLU()], [models[0], models[1].train()]):
        with pytest.raises(RuntimeError, match="expected at least one, all of the same class"):
            func.stack_module_state(wrong)
