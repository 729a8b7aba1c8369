"""Dtypes of results: PyTorch's, for every op, dtype, kind of operand and default dtype."""

import operator
from typing import Any

import numpy as np
import pytest
from against_torch import DTYPES, agree, outcome
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg

torch = pytest.importorskip("torch")


def functions(names: str) -> dict[str, Any]:
    return {n: lambda t, x, y, n=n: getattr(t, n)(x, y) for n in names.split()}


def in_place(names: str) -> dict[str, Any]:
    return {name: lambda _t, x, y, name=name: getattr(x.clone(), name)(y) for name in names.split()}


def first(x: Any) -> Any:
    return x[0] if getattr(x, "ndim", 0) else x


def assigned(_t: Any, x: Any, y: Any) -> Any:
    x = x.clone()
    x[...] = y
    return x


MASK = [True, False]
# Lines of the tables have the dtypes of functions compared, too: here are those of numbers, scalars
# of NumPy, changes in place, and arguments that the tables do not draw.
UNARY: dict[str, Any] = {
    "mean(dtype)": lambda t, x: x.mean(dtype=t.float32),
    "softmax(dtype)": lambda t, x: t.softmax(x, 0, dtype=t.float64),
    "x + 300": lambda _t, x: x + 300,
    "where(x, 1.0, 0)": lambda t, x: t.where(x > 0, 1.0, 0),
    "where(x, 1, 0)": lambda t, x: t.where(x > 0, 1, 0),
    "clamp(numbers)": lambda t, x: t.clamp(x, 0.5, 1.5),
    "layer_norm": lambda t, x: t.nn.functional.layer_norm(x, x.shape[-1:] or (1,)),
}
OPERATORS = ("add", "sub", "mul", "truediv", "pow", "floordiv", "mod", "eq", "ne", "lt", "ge")
BINARY: dict[str, Any] = {
    **{name: lambda _t, x, y, name=name: getattr(operator, name)(x, y)
       for name in (*OPERATORS, "and_")},
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


def operand(dtype: str, kind: str) -> Any:
    """Return the operand 1, 2 of a dtype: an array, its last element, or that as a number."""
    array = np.array([True, True] if dtype == "bool" else [1, 2], dtype)
    if kind == "NumPy scalar":
        return array[1]
    return {"tensor": array, "0-d tensor": np.array(array[1]), "number": array[1].item()}[kind]


dtypes = st.sampled_from([*DTYPES, "uint8"])
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
    st.sampled_from(["float32", "float64"]),
    st.booleans(),
)
def test_dtypes_of_results(entry: Any, x: Any, y: Any, default: str, reflected: bool):
    tg.set_default_dtype(default)
    torch.set_default_dtype(getattr(torch, default))
    name, call = entry
    operands = [x] if name in UNARY else [y, x] if reflected and name in OPERATORS else [x, y]
    arrays = [operand(*each) for each in operands]
    with np.errstate(all="ignore"):
        ours, theirs = (outcome(t, call, arrays) for t in (tg, torch))
    errors = [isinstance(result, Exception) for result in (ours, theirs)]
    # PyTorch's functions take tensors only, and refuse booleans here and there; NumPy's do not.
    if isinstance(theirs, TypeError) and "dtype" not in str(theirs):
        return
    if any(errors) and any(dtype == "bool" for dtype, _ in operands):
        return
    if any(errors):
        assert all(errors), (name, operands, ours, theirs)
    else:
        agree(ours, theirs, 1e-5)


# Halves, whose sums and squares overflow at 65504: both add in float32


def layer(name: str, *args: Any, training: bool = True) -> Any:
    def call(t: Any, x: Any) -> Any:
        module = getattr(t.nn, name)(*args).half().train(training)
        if not training:
            module.running_mean.fill_(50.0)
            module.running_var.fill_(6000.0)
        return module(x)

    return call


HALVES: dict[str, Any] = {
    "LayerNorm": layer("LayerNorm", 1024),
    "RMSNorm": layer("RMSNorm", 1024),
    "BatchNorm1d": layer("BatchNorm1d", 1024),
    "BatchNorm1d(eval)": layer("BatchNorm1d", 1024, training=False),
    "GroupNorm": layer("GroupNorm", 4, 1024),
    **{name: lambda _t, x, name=name: getattr(x, name)(dim=1) for name in (
        "var", "std", "norm", "sum", "mean", "softmax", "log_softmax",
    )},
    "normalize": lambda t, x: t.nn.functional.normalize(x),
    "norm(1)": lambda t, x: t.linalg.vector_norm(x / 16, 1, 1),
    "mse_loss": lambda t, x: t.nn.functional.mse_loss(x / 4, -x.detach() / 4),
    "bias": lambda t, x: t.zeros(4096, 1, dtype=t.float16) + x[0, :4],
}  # fmt: skip


@pytest.mark.parametrize("name", HALVES)
def test_halves_accumulate_in_float32(name: str):
    rng, results = np.random.default_rng(0), []
    array = rng.normal(0, 81, (8, 1024)).astype("e")
    for t in (tg, torch):
        x = t.tensor(array, requires_grad=True)
        y = HALVES[name](t, x)
        g = np.random.default_rng(1).uniform(0.5, 1, tuple(y.shape)).astype("e")
        y.backward(t.tensor(g / 8))
        results.append([y.detach(), x.grad])
    for ours, theirs in zip(*results, strict=True):
        assert str(theirs.dtype) == "torch.float16"
        assert np.isfinite(theirs.numpy()).all()
        agree(ours, theirs, 4e-3)
