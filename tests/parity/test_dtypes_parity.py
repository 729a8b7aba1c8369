"""Dtypes of results: PyTorch's, for every op, dtype, kind of operand and default dtype."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg

torch = pytest.importorskip("torch")

if TYPE_CHECKING:
    from collections.abc import Iterator

DTYPES = ("bool", "uint8", "int8", "int32", "int64", "float32", "float64")
DEFAULTS = ("float32", "float64")


def functions(names: str, place: str = "") -> dict[str, Any]:
    """Return calls `t.name(*operands)` of the library `t`, or of a module of it."""
    return {
        name: lambda t, *xs, name=name: getattr(
            operator.attrgetter(place)(t) if place else t, name
        )(*xs)
        for name in names.split()
    }


def in_place(names: str) -> dict[str, Any]:
    return {name: lambda _t, x, y, name=name: getattr(x.clone(), name)(y) for name in names.split()}


def first(x: Any) -> Any:
    return x[0] if getattr(x, "ndim", 0) else x


def assigned(_t: Any, x: Any, y: Any) -> Any:
    x = x.clone()
    x[...] = y
    return x


MASK = [True, False]
UNARY: dict[str, Any] = {
    **functions(
        "exp exp2 expm1 log log2 log10 log1p sin cos tan atan asin acos sinh cosh tanh asinh sqrt "
        "rsqrt reciprocal sigmoid isinf erf lgamma digamma logit relu abs neg sign floor "
        "ceil trunc round isnan isfinite sum mean prod std var amax amin max min "
        "nan_to_num count_nonzero logical_not norm"
    ),
    **functions(
        "silu mish logsigmoid gelu elu selu celu leaky_relu softplus softsign hardsigmoid "
        "hardswish hardshrink softshrink",
        "nn.functional",
    ),
    "softmax": lambda t, x: t.softmax(x, 0),
    "log_softmax": lambda t, x: t.log_softmax(x, 0),
    "logsumexp": lambda t, x: t.logsumexp(x, 0),
    "cumsum": lambda t, x: t.cumsum(x, 0),
    "cumprod": lambda t, x: t.cumprod(x, 0),
    "sum(dtype)": lambda t, x: x.sum(dtype=t.float32),
    "mean(dtype)": lambda t, x: x.mean(dtype=t.float32),
    "softmax(dtype)": lambda t, x: t.softmax(x, 0, dtype=t.float64),
    "x ** 2": lambda _t, x: x**2,
    "x / 255": lambda _t, x: x / 255,
    "x + 300": lambda _t, x: x + 300,
    "2 ** x": lambda _t, x: 2**x,
    "1 / x": lambda _t, x: 1 / x,
    "where(x, 1.0, 0)": lambda t, x: t.where(x > 0, 1.0, 0),
    "where(x, 1, 0)": lambda t, x: t.where(x > 0, 1, 0),
    "clamp(numbers)": lambda t, x: t.clamp(x, 0.5, 1.5),
    "layer_norm": lambda t, x: t.nn.functional.layer_norm(x, x.shape[-1:] or (1,)),
}
BINARY: dict[str, Any] = {
    **{name: lambda _t, x, y, name=name: getattr(operator, name)(x, y) for name in (
        "add", "sub", "mul", "truediv", "pow", "floordiv", "mod", "eq", "ne", "lt", "ge", "and_",
    )},
    **functions(
        "fmod remainder maximum minimum atan2 hypot logaddexp xlogy clamp clamp_max matmul outer "
        "isclose logical_and bitwise_xor kron"
    ),
    **{name: lambda t, x, y, name=name: getattr(t.nn.functional, name)(first(x), first(y))
       for name in ("mse_loss", "smooth_l1_loss", "l1_loss")},
    **in_place(
        "add_ sub_ mul_ div_ pow_ copy_ fmod_ remainder_ floor_divide_ clamp_ "
        "__iadd__ __isub__ __imul__ __itruediv__"
    ),
    "where": lambda t, x, y: t.where(t.tensor(MASK), x, y),
    "masked_fill": lambda t, x, y: x.masked_fill(t.tensor(MASK), first(y)),
    "masked_fill_": lambda t, x, y: x.clone().masked_fill_(t.tensor(MASK), first(y)),
    "cat": lambda t, x, y: t.cat([x, y]),
    "stack": lambda t, x, y: t.stack([x, y]),
    "lerp": lambda t, x, y: t.lerp(x, y, 0.5),
    "addcmul": lambda t, x, y: t.addcmul(x, y, y),
    "addcdiv": lambda t, x, y: t.addcdiv(x, y, y),
    "add(alpha)": lambda t, x, y: t.add(x, y, alpha=2),
    "div(trunc)": lambda t, x, y: t.div(x, y, rounding_mode="trunc"),
    "div(floor)": lambda t, x, y: t.div(x, y, rounding_mode="floor"),
    "linear": lambda t, x, y: t.nn.functional.linear(x, t.stack([y, y])),
    "x[...] = y": assigned,
}  # fmt: skip
OPERATORS = {"add", "sub", "mul", "truediv", "pow", "floordiv", "mod", "eq", "ne", "lt", "ge"}


@pytest.fixture(autouse=True, scope="module")
def _restored_default_dtypes() -> Iterator[None]:
    before = torch.get_default_dtype()
    yield
    tg.set_default_dtype(tg.float64)
    torch.set_default_dtype(before)


def made(t: Any, dtype: str, kind: str) -> Any:
    """Return the operand 1, 2 of a dtype: a tensor, its last element, or that as a number."""
    values = [True, True] if dtype == "bool" else [1, 2]
    if kind == "NumPy scalar":
        return np.dtype(dtype).type(values[1])
    if kind == "number":
        return {"b": bool, "u": int, "i": int, "f": float}[np.dtype(dtype).kind](values[1])
    return t.tensor(values if kind == "tensor" else values[1], dtype=getattr(t, dtype))


def outcome(t: Any, call: Any, operands: list[tuple[str, str]]) -> Any:
    """Return the dtype and values of a call; None if it raises, "signature" for a TypeError."""
    try:
        result = call(t, *(made(t, *x) for x in operands))
    except TypeError as error:  # of PyTorch: functions that take tensors only
        return None if t is tg or "dtype" in str(error) else "signature"
    except (RuntimeError, AttributeError, OverflowError):
        return None
    array = np.asarray(result.numpy())
    return str(array.dtype), array


def assert_agree(name: str, call: Any, operands: list[tuple[str, str]]) -> None:
    expected = outcome(torch, call, operands)
    if expected == "signature":
        return
    got = outcome(tg, call, operands)
    if any(dtype == "bool" for dtype, _ in operands) and (expected is None or got is None):
        return  # PyTorch refuses booleans here and there; this library does so where NumPy does
    assert (got is None) == (expected is None), (name, operands, got, expected)
    if got is not None:
        assert got[0] == expected[0], (name, operands, got, expected)
        np.testing.assert_allclose(got[1], expected[1], rtol=1e-5, err_msg=f"{name} {operands}")


dtypes = st.sampled_from(DTYPES)
tensors = st.tuples(dtypes, st.sampled_from(["tensor", "0-d tensor"]))
scalars = st.tuples(dtypes, st.sampled_from(["number", "NumPy scalar"])).filter(
    lambda x: x != ("bool", "NumPy scalar")  # which PyTorch reads as a float
)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=600)
@given(
    st.sampled_from([*BINARY.items()] * 2 + [*UNARY.items()]),
    tensors,
    tensors | scalars,
    st.sampled_from(DEFAULTS),
    st.booleans(),
)
def test_dtypes_of_results(entry: Any, x: Any, y: Any, default: str, reflected: bool):
    tg.set_default_dtype(default)
    torch.set_default_dtype(getattr(torch, default))
    name, call = entry
    operands = [x] if name in UNARY else [y, x] if reflected and name in OPERATORS else [x, y]
    with np.errstate(all="ignore"):
        assert_agree(name, call, operands)
