"""Derivatives of every order, compared with truncated power series."""

from __future__ import annotations

from typing import Any

import numpy as np
from drawing import (
    T,
    arrays,
    checked_array,
    close,
    cotangent,
    seeds,
)
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg


class Jet:
    """A power series in one variable, truncated after order 3, with NumPy arrays as terms."""

    ORDER = 3

    def __init__(self, terms: Any) -> None:
        self.terms = list(terms)

    @staticmethod
    def of(value: Any) -> Jet:
        if isinstance(value, Jet):
            return value
        value = np.asarray(value, float)
        return Jet([value, *[np.zeros_like(value)] * Jet.ORDER])

    def _each(self, function: Any) -> Jet:
        return Jet(function(t) for t in self.terms)

    def _product(self, other: Any, multiply: Any) -> Jet:
        a, b = self.terms, Jet.of(other).terms
        return Jet(
            sum(multiply(a[j], b[k - j]) for j in range(k + 1)) for k in range(Jet.ORDER + 1)
        )

    def _solve(self, slope: Any, first: Any) -> Jet:
        """Return y with y' = slope(y) * self', term by term."""
        y = Jet.of(first)
        for k in range(1, Jet.ORDER + 1):
            s = slope(y).terms
            y.terms[k] = sum(j * self.terms[j] * s[k - j] for j in range(1, k + 1)) / k
        return y

    def __add__(self, other: Any) -> Jet:
        return Jet(a + b for a, b in zip(self.terms, Jet.of(other).terms, strict=True))

    def __neg__(self) -> Jet:
        return self._each(np.negative)

    def __sub__(self, other: Any) -> Jet:
        return self + -Jet.of(other)

    def __mul__(self, other: Any) -> Jet:
        return self._product(other, np.multiply)

    def __matmul__(self, other: Any) -> Jet:
        return self._product(other, np.matmul)

    def exp(self) -> Jet:
        return self._solve(lambda y: y, np.exp(self.terms[0]))

    def tanh(self) -> Jet:
        return self._solve(lambda y: Jet.of(1) - y * y, np.tanh(self.terms[0]))

    def sigmoid(self) -> Jet:
        return self._solve(lambda y: y - y * y, 1 / (1 + np.exp(-self.terms[0])))

    def reciprocal(self) -> Jet:
        return self._solve(lambda y: -(y * y), 1 / self.terms[0])

    def sqrt(self) -> Jet:
        return self._solve(lambda y: y.reciprocal() * 0.5, np.sqrt(self.terms[0]))

    def log(self) -> Jet:
        return self._solve(lambda y: self.reciprocal(), np.log(self.terms[0]))

    def sin(self) -> Jet:
        cos = Jet.of(np.cos(self.terms[0]))
        sin = Jet.of(np.sin(self.terms[0]))
        for k in range(1, Jet.ORDER + 1):
            inner = [j * self.terms[j] for j in range(k + 1)]
            sin.terms[k] = sum(inner[j] * cos.terms[k - j] for j in range(1, k + 1)) / k
            cos.terms[k] = -sum(inner[j] * sin.terms[k - j] for j in range(1, k + 1)) / k
        return sin

    def transposed(self) -> Jet:
        return self._each(np.transpose)

    def summed(self) -> Jet:
        return self._each(lambda t: np.sum(t, axis=0, keepdims=True))

    def indexed(self) -> Jet:
        return self._each(lambda t: t[[0, 0, -1], ::-1][:, :1])


# The steps of a program: for tensors, for jets, and the number of operands.
STEPS: dict[str, tuple[Any, Any, int]] = {
    "add": (lambda x, y: x + y, lambda x, y: x + y, 2),
    "subtract": (lambda x, y: x - y, lambda x, y: x - y, 2),
    "multiply": (lambda x, y: x * y, lambda x, y: x * y, 2),
    "divide": (lambda x, y: x / (y * y + 1), lambda x, y: x * (y * y + 1).reciprocal(), 2),
    "scale": (lambda x: 0.5 * x - 1, lambda x: x * 0.5 - 1, 1),
    "square": (lambda x: x**2, lambda x: x * x, 1),
    "cube": (lambda x: x**3, lambda x: x * x * x, 1),
    "sin": (tg.sin, Jet.sin, 1),
    "exp": (lambda x: (x * 0.25).exp(), lambda x: (x * 0.25).exp(), 1),
    "tanh": (tg.tanh, Jet.tanh, 1),
    "sigmoid": (tg.sigmoid, Jet.sigmoid, 1),
    "sqrt": (lambda x: tg.sqrt(x * x + 1), lambda x: (x * x + 1).sqrt(), 1),
    "log": (lambda x: tg.log(x * x + 1), lambda x: (x * x + 1).log(), 1),
    "matmul": (lambda x, y: x @ y.mT * 0.5, lambda x, y: x @ y.transposed() * 0.5, 2),
    "sum": (lambda x: x.sum(dim=0, keepdim=True), Jet.summed, 1),
    "index": (lambda x: x[[0, 0, -1], ::-1][:, :1], Jet.indexed, 1),
    "turn": (lambda x: x.mT, Jet.transposed, 1),
    "where": (
        lambda x, y: tg.where(tg.tensor([[True], [False], [True]]), x, y),
        lambda x, y: x * MASK + y * (1 - MASK),
        2,
    ),
}
MASK = np.array([[1.0], [0.0], [1.0]])
steps = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 99), st.integers(0, 99)),
    min_size=1,
    max_size=6,
)


def run(kind: int, chosen: Any, x: Any) -> Any:
    """Return the scalar result of a program for `x` (3, 3)."""
    values = [x]
    for name, i, j in chosen:
        step = STEPS[name]
        operands = [values[i % len(values)], values[j % len(values)]][: step[2]]
        values.append(step[kind](*operands) * 1 + x)  # of the shape of x, and dependent on it
    out = values[-1] * values[-1] + values[-1]
    return out.sum() if kind == 0 else out._each(np.sum)


@given(steps, arrays((3, 3), low=-1, high=1), arrays((3, 3), low=-1, high=1))
def test_derivatives_of_random_programs_up_to_order_3(chosen: Any, a: Any, direction: Any):
    x, v = T(a), tg.from_numpy(direction)
    series = run(1, chosen, Jet([a, direction, np.zeros_like(a), np.zeros_like(a)])).terms
    derivative = run(0, chosen, x)
    close(derivative.item(), series[0], tolerance=1e-11)
    for k, factorial in ((1, 1), (2, 2), (3, 6)):
        (slope,) = tg.autograd.grad(derivative, x, create_graph=True)
        assert slope.shape == x.shape
        derivative = (slope * v).sum()
        assert np.abs(derivative.item() - factorial * series[k]) <= 1e-10 * (
            1 + np.abs(slope.numpy() * direction).sum()
        )
        if not derivative.requires_grad:  # it is constant, and so are those of higher order
            assert not any(t.any() for t in series[k + 1 :])
            break


@given(arrays((2, 2)), seeds)
def test_gradients_of_backward_with_create_graph_are_differentiable(a: Any, seed: int):
    x = T(a)
    weights = tg.from_numpy(cotangent(a.shape, seed))
    (x**3).backward(weights, create_graph=True)
    assert x.grad.requires_grad
    close(x.grad.detach().numpy(), 3 * a**2 * weights.numpy(), tolerance=1e-14)
    (second,) = tg.autograd.grad(x.grad.sum(), x)
    close(checked_array(second, x), 6 * a * weights.numpy(), tolerance=1e-14)


@given(arrays((3,)), seeds)
def test_a_gradient_is_differentiable_by_its_cotangent(a: Any, seed: int):
    # Forward mode by two backward passes needs it.
    x, u = T(a), T(cotangent((3,), seed))
    (g,) = tg.autograd.grad(x**2, x, u, create_graph=True)
    (pushed,) = tg.autograd.grad(g, u, tg.ones(3))
    close(checked_array(pushed, u), 2 * a, tolerance=1e-14)
