"""Tensors in NumPy's operators and functions: recorded with the correct gradient, or an error."""

import operator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawing import FLOATS, T, arrays, checked_array, close, gradients, seeds
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.core.errors import DtypeError, GraphError, NoRuleError
from tinygrad_fc.core.pytree import flatten
from tinygrad_fc.domain import real
from tinygrad_fc.testing import assert_vjp

DIFFERENTIABLE = ("add", "sub", "mul", "truediv", "pow", "mod", "matmul")
OPERATORS = (*DIFFERENTIABLE, "floordiv", "eq", "ne", "lt", "le", "gt", "ge")
# Kinds of the other operand, as functions of an array.
OTHERS = {
    "array": lambda a: a,
    "read-only array": lambda a: np.broadcast_to(a, a.shape),
    "reversed array": lambda a: a[::-1].copy()[::-1],
    "array of another dtype": lambda a: a.astype(np.float32),
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(map(tuple, a.tolist())) if a.ndim > 1 else tuple(a.tolist()),
    "tensor": tg.tensor,
    "float": lambda a: float(a.flat[0]),
    "int": lambda a: round(float(a.flat[0])) + 2,
    "NumPy scalar": lambda a: a.flat[0],
    "0-d array": lambda a: np.asarray(a.flat[0]),
    "0-d tensor": lambda a: tg.tensor(a.flat[0]),
}


@pytest.mark.parametrize("name", OPERATORS)
@given(
    st.sampled_from(sorted(OTHERS)),
    st.booleans(),
    arrays((2, 2), low=0.5),
    arrays((2,), low=0.5) | arrays((2, 2), low=0.5),
    seeds,
)
def test_operators_with_all_kinds_of_operands_in_both_orders(
    name: str, kind: str, reflected: bool, a: Any, b: Any, seed: int
):
    operate, other = getattr(operator, name), OTHERS[kind](b)

    def both(x: Any, other: Any) -> Any:
        return operate(other, x) if reflected else operate(x, other)

    plain = other.numpy() if isinstance(other, tg.Tensor) else np.asarray(other)
    if name == "matmul" and plain.ndim == 0:
        with pytest.raises((ValueError, TypeError), match="matmul cannot take"):
            both(T(a), other)
        return
    x = T(a)
    out = both(x, other)
    assert type(out) is tg.Tensor
    assert out.numpy().dtype.kind in "fb"
    expected = both(x.numpy(), plain)
    if name in ("pow", "matmul"):  # cubes are products; BLAS adds up by the strides
        np.testing.assert_array_max_ulp(out.numpy(), expected, 2)
    else:
        assert np.array_equal(out.numpy(), expected)
    assert out.dtype == expected.dtype
    assert out.requires_grad is (name in DIFFERENTIABLE)
    if out.requires_grad:
        (got,) = gradients(lambda x: both(x, other), [x], seed)
        (expected,) = gradients(lambda x: both(x, tg.tensor(plain)), [x], seed)
        close(got, expected, tolerance=1e-14)


def test_augmented_assignment_with_arrays():
    x, a = T(np.ones(2)), np.ones(2)
    for step in (operator.iadd, operator.imul, operator.imatmul, operator.ipow):
        with pytest.raises(GraphError, match=r"a = a \+ t"):
            step(a, x)
    a += x.detach()
    assert type(a) is np.ndarray
    assert a.tolist() == [2, 2]
    y = x * 1
    y += a
    y.sum().backward()
    assert x.grad.tolist() == [1, 1]


# NumPy's functions


# Functions of the array alone, and others
ALONE = "sum var cumsum transpose ravel flip copy prod cumprod median sort tril"
FUNCTIONS: dict[str, Any] = {
    **{name: getattr(np, name) for name in ALONE.split()},
    "log": lambda x: np.log(x + 2),
    "sum(all)": lambda x: np.sum(a=x, axis=(0, -1), keepdims=True),
    "max": lambda x: np.max(x, axis=0),
    "amin": lambda x: np.amin(x, 1, keepdims=True),
    "mean": lambda x: np.mean(x, axis=0, keepdims=True),
    "std": lambda x: np.std(x, axis=0, ddof=1),
    "norm": np.linalg.norm,
    "where": lambda x: np.where(np.eye(3) > 0, x, 0.0),
    "clip": lambda x: np.clip(x, -0.4, 0.6),
    "clip(named)": lambda x: np.clip(x, a_min=-0.4, a_max=0.6),
    "dot": lambda x: np.dot(x, np.ones(3)),
    "dot(number)": lambda x: np.dot(2.0, x),
    "dot(stack)": lambda x: np.dot(x, CUBE),
    "outer": lambda x: np.outer(x, [1.0, 2.0]),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "reshape": lambda x: np.reshape(x, (1, 9)),
    "squeeze": lambda x: np.squeeze(x[None], axis=0),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 3, 3)),
    "concatenate": lambda x: np.concatenate([x, np.ones((1, 3)), x]),
    "stack": lambda x: np.stack([x, 2 * x], axis=1),
    "add.reduce": np.add.reduce,
    "add.reduce(None)": lambda x: np.add.reduce(x, axis=None),
    "median(axis)": lambda x: np.median(x[:2], axis=0, keepdims=True),
    "sort(flat)": lambda x: np.sort(x, axis=None),
    "take": lambda x: np.take(x, [[0, -1]], axis=1),
    "take(flat)": lambda x: np.take(x, [8, 0]),
    "hstack": lambda x: np.hstack([x, np.ones((3, 1))]),
    "vstack": lambda x: np.vstack([x, np.ones(3)]),
    "tile": lambda x: np.tile(x, (2, 1, 2)),
    "repeat": lambda x: np.repeat(x, [1, 0, 2], axis=1),
    "repeat(flat)": lambda x: np.repeat(x, 2),
    "roll": lambda x: np.roll(x, (1, -1), axis=(0, 1)),
    "moveaxis": lambda x: np.moveaxis(x[None], 0, -1),
    "triu": lambda x: np.triu(x, 1),
    "diag": lambda x: np.diag(x, 1),
    "diagonal": lambda x: np.diagonal(np.stack([x, x]), 1, axis1=2, axis2=1),
    "trace": lambda x: np.trace(x, offset=-1),
    "inner": lambda x: np.inner(np.eye(3), x),
    "tensordot": lambda x: np.tensordot(CUBE, x, axes=([1], [0])),
    "tensordot(count)": lambda x: np.tensordot(x, x),
    "kron": lambda x: np.kron(x, [[1.0, 2.0]]),
    "norm(order)": lambda x: np.linalg.norm(x * APART, 1),
    "norm(rows)": lambda x: np.linalg.norm(x * APART[:, None], np.inf, (0, 1), keepdims=True),
    "solve": lambda x: np.linalg.solve(x + 3 * np.eye(3), [1.0, 2.0, 3.0]),
    "solve(matrix)": lambda x: np.linalg.solve(np.stack([np.eye(3)] * 3), x),
    "inv": lambda x: np.linalg.inv(x + 3 * np.eye(3)),
    "det": np.linalg.det,
    "slogdet": lambda x: np.linalg.slogdet(x + 3 * np.eye(3)).logabsdet,
    "cholesky": lambda x: np.linalg.cholesky(x @ x.T + np.eye(3)),
    "svd": lambda x: np.linalg.svd(x * APART + 300 * np.diag([2.0, 4.0, 9.0])).S,
    "svdvals": lambda x: np.linalg.svdvals(x + np.diag([3.0, 6.0, 9.0])),
}
CUBE = np.random.default_rng(0).normal(size=(2, 3, 4))
APART = np.array([1.0, 10.0, 100.0])  # sums differ so much that their order is constant nearby


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@given(seeds, st.sampled_from(FLOATS))
@settings(max_examples=settings.default.max_examples // 5)
def test_numpy_functions_equal_numpy_and_are_recorded(name: str, seed: int, dtype: Any):
    function = FUNCTIONS[name]
    # The elements of a permutation are distinct and away from all bounds.
    a = np.random.default_rng(seed).permutation(9).reshape(3, 3) * 0.19 - 0.71
    a = a.astype(dtype)
    x = T(a)
    out = function(x)
    assert type(out) is tg.Tensor
    assert out.requires_grad
    expected = function(a)
    assert out.shape == expected.shape
    if name != "dot(number)":  # NumPy's treats the number as float64
        assert out.dtype == expected.dtype
    close(out.detach().numpy(), expected, tolerance=20 * np.finfo(dtype).eps)

    def vjp(g: Any, _out: Any, a: Any) -> Any:
        x = T(a)
        (gradient,) = tg.autograd.grad(function(x), x, tg.tensor(g))
        return checked_array(gradient, x)

    assert_vjp(function, vjp, a)


ALONG_AXES = (np.argmax, np.argmin, np.all, np.any, np.count_nonzero, np.argsort)
WITHOUT_DERIVATIVE: list[Any] = [
    *(np.sign, np.floor, np.rint, np.isnan, np.around, lambda x: np.round(x, 1)),
    *(partial(function, axis=axis) for function in ALONG_AXES for axis in (0, -1)),
    *(np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, lambda x: np.full_like(x, 7)),
    *(np.argwhere, np.nonzero, lambda x: np.where(x > 0), lambda x: np.mean(x > 0)),
    *(lambda x: np.array_equal(x, x), lambda x: np.array_equal(x, x + 1)),
    lambda x: np.allclose(x, x + 1e-12),
    lambda x: np.linalg.slogdet(x).sign,
]


@pytest.mark.parametrize("function", WITHOUT_DERIVATIVE)
def test_numpy_functions_without_derivative_equal_numpy(function: Any):
    a = np.array([[0.2, -1.7], [2.5, 0.0]])
    expected, _ = flatten(function(a))
    actual, _ = flatten(function(T(a)))
    for x, y in zip(actual, expected, strict=True):
        assert type(x) is tg.Tensor or isinstance(x, int)
        np.testing.assert_array_equal(x, y)  # which raises for a tensor that requires grad


# Functions without a rule


WITHOUT_RULE = {
    "np.convolve": (np.convolve, lambda x: (x[0], np.ones(2))),
    "np.linalg.cond": (np.linalg.cond, lambda x: (x,)),
    "np.diff": (np.diff, lambda x: (x,)),
    "np.spacing": (np.spacing, lambda x: (x,)),
    "np.heaviside": (np.heaviside, lambda x: (x, 0.5)),
    "np.modf": (np.modf, lambda x: (x,)),
    "np.dstack": (np.dstack, lambda x: ([x, x],)),
    "np.multiply.outer": (np.multiply.outer, lambda x: (x, np.ones(2))),
    "np.hypot.reduce": (np.hypot.reduce, lambda x: (x,)),
    "np.fft.fft": (np.fft.fft, lambda x: (x,)),
}


@pytest.mark.usefixtures("_registry_restored")
@pytest.mark.parametrize("name", sorted(WITHOUT_RULE))
def test_a_function_without_a_rule_raises_with_the_code_that_adds_one(name: str):
    function, arguments = WITHOUT_RULE[name]
    x = T(np.array([[2.0, 1.0], [1.0, 3.0]]))
    with pytest.raises(NoRuleError) as raised:
        function(*arguments(x))
    message = str(raised.value)
    assert message.startswith(f"{name} has no rule for tensors. Add one: tinygrad_fc.op({name}, ")
    assert f"{name}(x.detach())" in message
    if name in ("np.modf", "np.dstack", "np.hypot.reduce", "np.fft.fft"):
        return
    line = message.partition("Add one: ")[2].partition(", with the gradient")[0]
    eval(line.replace("...", "g * 0"), {"tinygrad_fc": tg, "np": np, "real": real})  # noqa: S307  our own text
    out = function(*arguments(x))
    plain = function(*(a.numpy() if isinstance(a, tg.Tensor) else a for a in arguments(x)))
    assert np.array_equal(out.numpy(), plain)
    assert out.requires_grad


WITHOUT_GRADIENT: dict[str, Any] = {
    **{name: lambda x, f=f, of=of: f(*of(x)) for name, (f, of) in WITHOUT_RULE.items()},
    "unique": np.unique,
    "histogram": lambda x: np.histogram(x, bins=x[0]),
    "interp": lambda x: np.interp(x[0], x[0], np.arange(2.0)),
    "percentile": lambda x: np.percentile(x, q=50),
    "split": lambda x: np.split(x, 2),
    "linspace": lambda x: np.linspace(x.min(), x.max(), 3),
    "linalg.eigh": np.linalg.eigh,
    "polyfit": lambda x: np.polyfit(x[0], x[1], 1),
    "a list": lambda x: np.lexsort([x[0], x[1]]),
}


@pytest.mark.parametrize("name", WITHOUT_GRADIENT)
@given(seeds)
def test_a_function_without_a_rule_computes_where_no_tensor_requires_grad(name: str, seed: int):
    a = np.random.default_rng(seed).integers(-8, 8, (2, 2)).astype(float)
    a[0] = np.sort(a[0])
    a[0, 1] += 1  # an increasing row, for `interp` and bins
    call = WITHOUT_GRADIENT[name]
    expected, _ = flatten(call(a))
    actual, _ = flatten(call(tg.tensor(a)))
    for x, y in zip(actual, expected, strict=True):
        assert isinstance(x, np.ndarray | np.generic)
        np.testing.assert_array_equal(x, y)
    with pytest.raises((NoRuleError, GraphError)):
        call(T(a))


def test_a_function_without_a_rule_changes_no_tensor(tmp_path: Path):
    x = tg.tensor([[2.0, 1.0], [1.0, 3.0]])
    with pytest.raises(ValueError, match="read-only"):
        np.fill_diagonal(x, 0.0)
    np.save(tmp_path / "x.npy", x)
    assert np.load(tmp_path / "x.npy").tolist() == x.tolist() == [[2, 1], [1, 3]]


# Errors


UNSUPPORTED = {
    "where": lambda x: np.add(x, 1, where=np.array([True, False])),
    "dtype": lambda x: np.exp(x, dtype=np.float32),
    "casting": lambda x: np.add(x, 1, casting="unsafe"),
    "initial": lambda x: np.sum(x, initial=3.0),
    "initial of a ufunc": lambda x: np.add.reduce(x, initial=1.0),
    "dtype of several": lambda x: np.concatenate([x, x], dtype=np.float32),
    "order": lambda x: np.reshape(x, (2, 1), order="F"),
    "mean": lambda x: np.var(x, mean=1.0),
    "dtype of clip": lambda x: np.clip(x, 0, 1, dtype=np.float32),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
@pytest.mark.parametrize("recorded", [True, False])
def test_unsupported_arguments_raise_an_error_that_names_them(name: str, recorded: bool):
    x = tg.tensor([1.0, 1.0], requires_grad=recorded)
    argument = name.split(maxsplit=1)[0]
    with pytest.raises(DtypeError, match=rf"of (tensors|a tensor).*({argument}|positional)"):
        UNSUPPORTED[name](x)


A = np.zeros(2)
WRITING: list[Any] = [  # into an array; the others would drop the gradient
    lambda x: np.add(x, 1, out=A),
    lambda x: np.add(1, A, out=x),
    lambda x: np.add.reduce(x, axis=0, out=A[0:1].reshape(())),
    lambda x: np.sum(x, out=A[:1].reshape(())),
    lambda x: np.concatenate([x[:1], x[1:]], out=A),
    lambda x: np.add.at(A, [0], x[:1]),
    lambda x: np.copyto(A, x),
    lambda x: np.put(A, [0], x[:1]),
    lambda x: A.__setitem__(slice(None), x),
    lambda x: np.dot(x, x, out=A[:1].reshape(())),
]
CONVERTING: list[Any] = [
    np.asarray,
    np.array,
    lambda x: np.array([x, x]),
    lambda x: np.array([x[0], 1.0]),
    np.vectorize(float),
    lambda x: np.array(x.data.requires_grad_()),
    lambda x: np.random.default_rng(0).normal(x),
    np.from_dlpack,
    lambda x: tg.tensor([[x]]),
]


@pytest.mark.parametrize("call", [*WRITING, *CONVERTING])
def test_writing_into_an_array_and_converting_to_one_raise(call: Any):
    x = T(np.ones(2))
    message = r"detach|numpy\(\)" if call in CONVERTING else None
    with pytest.raises((GraphError, DtypeError, NoRuleError, BufferError), match=message):
        call(x)
    assert A.tolist() == [0, 0]
    assert x.tolist() == [1, 1]


@given(arrays((2,)))
def test_an_unrecorded_tensor_converts_to_an_array(a: Any):
    x = tg.tensor(a)
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert not np.asarray(x).flags.writeable
    array = np.array(x)
    array += 1
    assert np.array_equal(x.numpy(), a)
    assert np.asarray(x, dtype=np.float32).dtype == np.float32
    assert np.array_equal(np.array([x, x]), [a, a])
    assert np.array_equal(np.from_dlpack(x), a)
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype=np.float32, copy=False)


@pytest.mark.usefixtures("_registry_restored")
def test_a_function_without_a_signature_takes_a_rule():
    """Functions of NumPy 2.0 that are written in C have none; `np.vdot` is one."""
    rules = (lambda g, _out, _x, y: g * y, lambda g, _out, x, _y: g * x)
    op = tg.op(np.vdot, domain=(real, real), rules=rules)
    x, y = T(np.array([1.0, 2.0])), T(np.array([3.0, 4.0]))
    np.vdot(x, y).backward()
    op(x, y).backward()
    assert x.grad.tolist() == [6, 8]
    assert y.grad.tolist() == [2, 4]
