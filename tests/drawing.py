"""Strategies of the tests of the core, and gradients under random cotangents.

Cotangents are random, since a cotangent of ones hides errors.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc.core.op import Op, registry
from tinygrad_fc.testing import inputs

Array = np.ndarray[Any, Any]
FLOATS = (np.float64, np.float32)


def numbers(low: float = -3, high: float = 3, *, width: int = 64) -> st.SearchStrategy[float]:
    """Return floats at which no derivative of these tests overflows, 0 and ±1 included."""
    floats = st.floats(low, high, width=width).map(lambda x: x if abs(x) > 1e-6 else 0.0)
    return floats.filter(lambda x: low <= x <= high) | st.sampled_from(
        [x for x in (0.0, 1.0, -1.0, 0.5) if low <= x <= high]
    )


shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
seeds = st.integers(0, 2**32 - 1)


def arrays(
    shape: Any = shapes, *, dtype: Any = np.float64, low: float = -3, high: float = 3
) -> st.SearchStrategy[Array]:
    """Return arrays of floats, 0-d and empty ones included."""
    width = 8 * np.dtype(dtype).itemsize
    low, high = float(np.asarray(low, dtype)), float(np.asarray(high, dtype))
    return hnp.arrays(dtype, shape, elements=numbers(low, high, width=width))


def laid_out(a: Array, layout: str) -> Array:
    """Return the values of `a` in another memory layout."""
    if layout == "fortran":
        return np.asfortranarray(a)
    if layout == "reversed":
        return np.flip(np.flip(a).copy())
    if layout == "strided":
        wide = np.full([2 * n for n in a.shape], 7, a.dtype)
        wide[(slice(None, None, 2),) * a.ndim] = a
        return wide[(slice(None, None, 2),) * a.ndim]
    a = a.copy()
    a.flags.writeable = layout != "readonly"
    return a


LAYOUTS = ("plain", "fortran", "reversed", "strided", "readonly")
layouts = st.sampled_from(LAYOUTS)


class Plain(tg.nn.Module):
    """A module with its keyword arguments as attributes, without `super().__init__()`."""

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


def T(array: Any) -> tg.Tensor:
    """Return a tensor that requires grad and shares the memory of `array`."""
    return tg.as_tensor(array).requires_grad_()


def function(forward: Any, backward: Any, name: str = "Own") -> Any:
    """Return an `autograd.Function` of two functions."""
    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(name, (tg.autograd.Function,), methods)


def cotangent(shape: tuple[int, ...], seed: int, dtype: Any = np.float64) -> Array:
    """Return random numbers, none of them 0 or 1."""
    return np.asarray(np.random.default_rng(seed).uniform(1.1, 2.9, shape), dtype)


def checked_array(gradient: tg.Tensor | None, x: tg.Tensor) -> Array:
    """Return the array of the gradient of `x`; assert its shape, dtype and memory."""
    assert gradient is not None
    assert gradient.shape == x.shape
    assert gradient.dtype == x.dtype
    array = gradient.numpy()
    assert type(array) is np.ndarray
    assert type(gradient.data.add_(0)) is tg.Tensor  # it can be updated in place
    assert not np.shares_memory(array, x.numpy())
    return array


def gradients(function: Any, inputs: Sequence[tg.Tensor], seed: int) -> list[Array]:
    """Return the gradients of `inputs` under a random cotangent."""
    for x in inputs:
        x.grad = None
    out = function(*inputs)
    weights = cotangent(out.shape, seed, out.dtype)
    before = weights.copy()
    out.backward(tg.from_numpy(weights))
    assert np.array_equal(weights, before)
    return [checked_array(x.grad, x) for x in inputs]


def assert_equal_derivatives(f: Any, g: Any, x: Array, seed: int, orders: int = 3) -> None:
    """Assert that two functions of a tensor have the same value and derivatives at `x`."""
    inputs = T(x.copy()), T(x.copy())
    results = f(inputs[0]), g(inputs[1])
    for k in range(orders + 1):
        close(*(result.detach().numpy() for result in results), tolerance=1e-11)
        if k == orders or not all(result.requires_grad for result in results):
            return
        weights = tg.from_numpy(cotangent(results[0].shape, seed + k))
        (first,), (second,) = (
            tg.autograd.grad(result, t, weights, create_graph=True, materialize_grads=True)
            for result, t in zip(results, inputs, strict=True)
        )
        results = first, second


def close(actual: Any, expected: Any, *, tolerance: float = 1e-7) -> None:
    """Assert that all elements agree within `tolerance` times 1 + the largest magnitude."""
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    assert actual.shape == expected.shape
    scale = 1 + max(np.abs(expected).max(initial=0), np.abs(actual).max(initial=0))
    assert np.abs(actual - expected).max(initial=0) <= tolerance * scale


def same(actual: Any, expected: Any) -> None:
    """Assert that a tensor has exactly the values, the shape and the dtype of an array."""
    assert type(actual) is tg.Tensor
    assert type(actual.numpy()) is np.ndarray
    np.testing.assert_array_equal(actual.numpy(), np.asarray(expected), strict=True)


# Calls of ops

OPS = [op for op in dict.fromkeys(registry.values()) if op.is_builtin]


def domains(op: Op) -> list[Any]:
    """Return the domain of `op`, all floats, and numbers near 0: there a rule may read more."""
    wide, zeros = (
        tuple(
            d._replace(low=-width, high=width, without=(), special=(0.0,), distinct=False)
            if d.kind == "float"
            else d
            for d in op.domain
        )
        for width in (np.inf, 1e-300)
    )
    return [op.domain, wide, zeros]


@st.composite
def calls(
    draw: st.DrawFn, op: Op, size: int = 0, kinds: slice = slice(None), dtype: Any = np.float64
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Draw operands of at least `size` elements, of some kinds of domains, and settings of `op`."""
    drawn = draw(inputs(*draw(st.sampled_from(domains(op)[kinds])), dtype=dtype))
    operands = drawn if isinstance(drawn, tuple) else (drawn,)
    assume(all(a.size >= size for a in operands))
    chosen = {}
    for name, values in op.settings.items():
        legal = list(values(*operands))
        assume(legal)
        chosen[name] = draw(st.sampled_from(legal))
    return operands, chosen
