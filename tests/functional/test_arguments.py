"""Errors for invalid arguments, and lists, arrays and numbers accepted in place of tensors."""

import inspect
import pickle
import re
from typing import Any

import numpy as np
import pytest
from drawing import arrays, same
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import linalg
from tinygrad_fc.core.errors import (
    ArgumentError,
    DivisionError,
    DtypeError,
    GraphError,
    LinAlgError,
    RangeError,
    ShapeError,
)

FUNCTIONS = {
    name: function
    for place, modules in ((tg, "tinygrad_fc.functional"), (linalg, linalg.__name__))
    for name, function in vars(place).items()
    if inspect.isfunction(function) and name[0] != "_" and modules in function.__module__
}
# Training steps call them: they are not decorated, and their ops raise clear errors.
PLAIN = {"div", "where", "reshape", "view", "transpose"}
CONVERTING = sorted(n for n, f in FUNCTIONS.items() if f.__name__ not in PLAIN)
OPS = sorted(n for n, op in vars(tg).items() if isinstance(op, tg.Op))
NO_TENSOR = [None, "text", object(), {1: 2}, [None], ["text"]]
RAGGED = [[1.0], [1.0, 2.0]]


def assert_error(name: str, call: Any) -> None:
    """Assert that `call` raises an error of the package that names the function."""
    with pytest.raises((TypeError, ValueError, IndexError), match=re.escape(name)) as raised:
        call()
    assert isinstance(raised.value, RuntimeError)


@pytest.mark.parametrize("name", CONVERTING)
@settings(max_examples=20)
@given(st.sampled_from(NO_TENSOR))
def test_a_non_tensor_raises_an_error_that_names_the_function(name: str, wrong: Any):
    function, x = FUNCTIONS[name], tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    for key, parameter in inspect.signature(function).parameters.items():
        if parameter.annotation not in ("Tensor", "Sequence[Tensor]"):
            continue
        others = {
            k: 0 if p.annotation in ("int", "Any") else x
            for k, p in inspect.signature(function).parameters.items()
            if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
        }
        if key in others:
            assert_error(function.__name__, lambda o=others, k=key: function(**{**o, k: wrong}))


@pytest.mark.parametrize("name", OPS)
@settings(max_examples=15)
@given(st.sampled_from([*NO_TENSOR, RAGGED]), st.booleans())
def test_a_non_numeric_operand_raises_an_error_that_names_the_op(
    name: str, wrong: Any, plain: bool
):
    op = getattr(tg, name)
    # `x == None` is a valid comparison.
    accepts_none = name in ("eq", "ne") or name.startswith("logical_")
    for k in range(len(op.domain) if wrong is not None else 0 if accepts_none else 1):
        operands: list[Any] = [2.0 if plain else tg.ones(2)] * len(op.domain)
        operands[k] = wrong
        assert_error(op.name, lambda o=operands: op(*o))


X, AT, TWO = tg.tensor([[1.0, 2.0], [3.0, 4.0]]), tg.tensor([0]), tg.ones(2)
LEAF = tg.ones(2, requires_grad=True)
ONE_OF_A_BATCH = tg.stack([tg.eye(2), tg.zeros(2, 2)])
SINGULAR = r"inv: the matrix of shape \(2, 2\) is singular.*add a small number to the diagonal"
WRONG: list[tuple[Any, type[Exception], str]] = [
    # Of another kind
    (lambda: tg.kron(X, None), DtypeError, "kron .*needs a tensor for `other`, got None"),
    (lambda: tg.meshgrid(TWO, None), DtypeError, "meshgrid .*a tensor for `tensors`, got None"),
    (lambda: tg.tensordot(X, X, "a"), ShapeError, r"signature is tensordot\(a, b, dims=2\)"),
    (lambda: tg.fmod(X, None), DtypeError, r"argument 1 \(other\) is None.* an array or a num"),
    (lambda: X.isclose(X, rtol=None), DtypeError, "isclose cannot take.*rtol=None"),
    (lambda: tg.vstack(X), DtypeError, r"a list or tuple of tensors, \[x, y\],.*`tensors`"),
    (lambda: X.amax("x"), DtypeError, r"amax cannot take \(2, 2\), dim='x'"),
    (lambda: tg.eye(2, dtype=3), DtypeError, r"signature is eye\(n, m=None"),
    (lambda: tg.zeros(5, size=(2,)), DtypeError, r"sizes \(5,\) and size=.*pass one of them"),
    (lambda: tg.zeros(2, dtyp=X.dtype), DtypeError, "zeros .* unexpected keyword argument 'dtyp'"),
    (lambda: X + RAGGED, DtypeError, "cannot make an operand of add.*rows of equal length"),
    (lambda: X.clone().fill_(None), DtypeError, "operand of fill_ of None: .* are object"),
    (
        lambda: X.clone().__setitem__(0, "1"),
        DtypeError,
        r"operand of x\[\.\.\.\] = y of '1': .*<U1",
    ),
    (lambda: tg.tensor(1j, dtype=tg.float64), DtypeError, "a tensor of 1j: .* are complex128"),
    (lambda: tg.sub(X, X, alpha=1j), DtypeError, "alpha=1j: .* be complex128; pass real"),
    (lambda: X * "a", DtypeError, "cannot make an operand of multiply of 'a'.*<U1"),
    (lambda: TWO.gather(0, AT.double()), DtypeError, r"index\.long\(\)"),
    (lambda: TWO.masked_select(TWO), DtypeError, r"mask\.bool\(\)"),
    (lambda: TWO.index_add(0, AT, AT), DtypeError, "equal ones"),
    (lambda: tg.addcdiv(AT, AT, AT), DtypeError, "addcdiv: got dtype int64"),
    (lambda: X.median((0, 1)), DtypeError, "must be an integer"),
    (lambda: linalg.det(X.long()), DtypeError, r"expected floats.*x\.double"),
    (lambda: AT.softmax(0), DtypeError, "softmax: expected floats, got int64. .*x.double"),
    (lambda: 1 - (X > 0), DtypeError, r"subtract: expected numbers, got bool.*x.long\(\)"),
    (lambda: X @ X.long(), DtypeError, "or floats, got float64 and int64. Convert one of them"),
    (lambda: tg.add(AT, AT, alpha=0.5), DtypeError, "alpha is 0.5; expected an integer"),
    # Out of range
    (lambda: TWO.index_select(0, AT + 2), RangeError, "expected 0 to 1"),
    (lambda: tg.ones(3).narrow(0, 2, 2), RangeError, "elements 2 to 2 . 2 exceed axis 0"),
    (X.cumsum, TypeError, "cumsum needs a dim"),
    (lambda: X.cumsum(2), RangeError, "cumsum cannot take .*axis 2 is out of bounds"),
    (lambda: TWO.quantile(1.5), ValueError, r"q is 1.5, expected in"),
    (lambda: TWO.quantile(0.5, interpolation="linaer"), ValueError, "expected one of lower"),
    (lambda: tg.diff(X, -1), ValueError, "n is -1, expected at least 0"),
    (lambda: tg.polygamma(-1, X), ValueError, "expected 0 to 100"),
    (lambda: AT // 0, DivisionError, r"integer division by 0.*x\.double\(\)"),
    # Shapes
    (lambda: tg.ones(3).roll((1, 1), 0), ArgumentError, "expected a shift for each"),
    (lambda: tg.ones(2, 1).unflatten(1, ()), ShapeError, "product of sizes"),
    (lambda: tg.ones(6).unflatten(0, (-2, -3)), ShapeError, "product of sizes"),
    (lambda: tg.inner(TWO, tg.ones(3)), ShapeError, "^inner: got shape.*sizes of the last axes"),
    (lambda: tg.tensor(1.0).index_select(0, AT[:0]), ShapeError, "for a 0-d tensor"),
    (lambda: tg.zeros(0).quantile(0.5), ShapeError, "quantile: got shape"),
    (lambda: tg.cdist(tg.ones(2, 3), X), ShapeError, "expected rows of equal length"),
    (lambda: X.norm("nuc", 0), ArgumentError, "two axes"),
    (lambda: tg.zeros(2, out=tg.ones(3)), ShapeError, r"cannot change a tensor \(3,\) float64 by"),
    (lambda: linalg.inv(X[:1]), ShapeError, r"inv: got shape \(1, 2\); .* square"),
    (lambda: tg.norm(TWO, "x"), ArgumentError, "ord is .x., expected"),
    (lambda: linalg.svd(TWO), ShapeError, r"expected matrices \(\.\.\., n"),
    (lambda: tg.cross(tg.eye(3), X), ShapeError, "expected size 3 of axis -1"),
    (lambda: linalg.norm(X, 3), ArgumentError, "-2, inf or -inf, two axes"),
    # Of other kinds and sizes
    (lambda: X.reshape(2, -3), ShapeError, r"sizes of at least -1, not \(2, -3\)"),
    (lambda: X.view(-2, 3), ShapeError, "sizes of at least -1"),
    (lambda: X.clone().requires_grad_("no"), DtypeError, "'no'; expected True or False"),
    (lambda: tg.ones(2, requires_grad=1), DtypeError, "1; expected True or False"),
    (lambda: X.clone().resize_(-1), ArgumentError, r"sizes is \(-1,\), expected sizes of at least"),
    (lambda: X.clone().exponential_(-1.0), ArgumentError, "lambd is -1.0, expected above 0"),
    (lambda: tg.where(X, X, X), DtypeError, "a condition of bool: condition != 0"),
    (lambda: X.masked_fill(X.long(), 0), DtypeError, "int64; expected a mask of bool"),
    (lambda: tg.tensor([1, 2]) ** -1, ArgumentError, "negative integer powers"),
    (lambda: X.to("gpu"), DtypeError, "'gpu'; expected a dtype such as tg.float32, or a device"),
    # Values without a result
    (lambda: linalg.inv(tg.ones(2, 2)), LinAlgError, SINGULAR),
    (lambda: linalg.inv(ONE_OF_A_BATCH), LinAlgError, r"\(1,\) of the batch of .* is singular"),
    (lambda: linalg.solve(0 * X, TWO), LinAlgError, "is singular"),
    (lambda: linalg.cholesky(-X), LinAlgError, "cholesky: .* is not positive definite.*eigenvalue"),
    (lambda: linalg.matrix_norm(X * tg.nan, 2), LinAlgError, "did not converge"),
    (lambda: LEAF.scatter(0, AT, TWO[:1], reduce="multiply"), GraphError, "has no gradient"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_messages_name_the_function_and_the_invalid_argument(
    call: Any, error: type[Exception], message: str
):
    with pytest.raises(error, match=message) as raised:
        call()
    assert isinstance(raised.value, RuntimeError)  # which PyTorch's users catch
    assert isinstance(raised.value, np.linalg.LinAlgError) == (error is LinAlgError)


def test_errors_have_their_cause_and_clear_ones_are_unchanged():
    with pytest.raises(DtypeError) as raised:
        tg.kron(X, None)
    assert isinstance(raised.value.__cause__, TypeError)
    with pytest.raises(TypeError, match="required positional argument: 'other'") as raised:
        tg.kron(X)  # type: ignore[call-arg]
    assert not isinstance(raised.value, RuntimeError)


# Numbers, lists and arrays in place of tensors


@given(arrays(st.just((2, 2))), arrays(st.just((2, 2))))
def test_lists_are_accepted_in_place_of_tensors(a: Any, b: Any):
    at = np.array([1, 0])
    for f in (
        tg.kron,
        tg.inner,
        tg.tensordot,
        tg.mm,
        tg.addcmul,
        lambda x, y, *z: tg.index_add(x, 0, at.tolist(), y),
        lambda x, y, *z: tg.scatter_add(x, 1, at[:, None].tolist(), y),
        lambda x, y, *z: tg.hstack([x, y]),
        lambda x, y, *z: tg.meshgrid(x[0], y[1])[1],
        lambda x, y, *z: tg.einsum("ij,jk", x, y),
        lambda x, y, *z: tg.tril(x),
        lambda x, y, *z: tg.div(x, [[9.0]], rounding_mode="floor"),
        lambda x, y, *z: tg.scatter(x, 1, at[:, None].tolist(), 1.0),
        lambda x, y, *z: tg.sum(x),
        lambda x, y, *z: tg.var_mean(x)[0],
    ):
        third = [a] if f is tg.addcmul else []
        expected = f(*map(tg.tensor, (a, b, *third)))
        out = f(*(v.tolist() for v in (a, b, *third)))
        assert isinstance(out, tg.Tensor)
        same(out, expected.numpy())


# The wrapper


@pytest.mark.parametrize("name", CONVERTING)
def test_a_wrapped_function_has_its_docstring_signature_and_pickle(name: str):
    function = FUNCTIONS[name]
    assert pickle.loads(pickle.dumps(function)) is function
    assert function.__doc__
    assert function.__globals__ is vars(inspect.getmodule(inspect.unwrap(function)))
    assert inspect.signature(function) == inspect.signature(inspect.unwrap(function))
