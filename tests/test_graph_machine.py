"""Random programs of ops, in-place changes and backward passes, compared with dual numbers.

The reference stores with each tensor its derivatives by all elements of all leaves, computed in
NumPy from the values that the ops read. Whatever changes in place afterwards, a backward pass
returns these derivatives or raises an error; it raises only if something on its path was changed
or freed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from drawing import T, close, cotangent, numbers, seeds
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import tinygrad_fc as tg
from tinygrad_fc.errors import GraphError

SHAPES = ((), (2,), (1, 2), (2, 1), (2, 2))  # all of which broadcast together
LARGEST = 50.0

pick = st.integers(0, 2**16)
floats = numbers(-2, 2)


@dataclass(eq=False)
class Call:
    """A recorded call: the arrays it read, whether one changed, and whether the graph is freed."""

    arrays: list[np.ndarray]
    calls: list[Call]
    changed: bool = False
    freed: bool = False

    def all(self) -> list[Call]:
        result = [self]
        for call in result:
            result += [c for c in call.calls if c not in result]
        return result


@dataclass(eq=False)
class Dual:
    """A tensor and its derivatives by all leaves; axis 0 is that of the elements of the leaf."""

    tensor: Any
    slopes: dict[Dual, np.ndarray] = field(default_factory=dict)
    call: Call | None = None
    grad: np.ndarray | None = None

    @property
    def array(self) -> np.ndarray:
        return np.asarray(self.tensor.numpy())


def times(slope: np.ndarray, factor: np.ndarray, ndim: int) -> np.ndarray:
    """Return `slope`, which has one more leading axis, times the broadcast `factor`."""
    short = ndim - (slope.ndim - 1)
    return slope.reshape(slope.shape[:1] + (1,) * short + slope.shape[1:]) * factor


# Ops of tensors, and the factors of their derivatives, of arrays.
ELEMENTWISE: dict[str, tuple[Any, Any]] = {
    "add": (lambda x, y: x + y, lambda x, y: (1, 1)),
    "subtract": (lambda x, y: x - y, lambda x, y: (1, -1)),
    "multiply": (lambda x, y: x * y, lambda x, y: (y, x)),
    "maximum": (tg.maximum, lambda x, y: ((x > y) + 0.5 * (x == y), (y > x) + 0.5 * (x == y))),
    "where": (lambda x, y: tg.where(x > y, x, y * 2), lambda x, y: (x > y, 2.0 * (x <= y))),
    "sin": (tg.sin, lambda x: (np.cos(x),)),
    "tanh": (tg.tanh, lambda x: (1 - np.tanh(x) ** 2,)),
    "square": (lambda x: x**2, lambda x: (2 * x,)),
    "scale": (lambda x: 0.5 * x - 1, lambda x: (0.5,)),
}
RESHAPING: dict[str, tuple[Any, Any]] = {
    "transpose": (lambda x: x.mT if x.ndim > 1 else x.view(-1), np.transpose),
    "flatten": (lambda x: x.reshape(-1), lambda a: a.reshape(-1)),
    "reverse": (
        lambda x: x[..., ::-1] if x.ndim else x[...],
        lambda a: a[..., ::-1] if a.ndim else a,
    ),
    "column": (
        lambda x: x[..., :1] if x.ndim else x[None],
        lambda a: a[..., :1] if a.ndim else a[None],
    ),
    "sum": (lambda x: x.sum(dim=-1) if x.ndim else x.sum(), lambda a: a.sum(-1) if a.ndim else a),
    "clone": (lambda x: x.clone(), np.copy),
    "cat": (lambda x: tg.stack([x, x])[1], np.copy),
}
CHANGES: dict[str, Any] = {
    "data": lambda t, c: t.data.add_(c),
    "detach": lambda t, c: t.detach().mul_(c),
    "no_grad": lambda t, c: t.add_(c),
    "augmented": lambda t, c: t.data.__isub__(c),
    "slice": lambda t, c: t.data.reshape(-1)[:1].fill_(c),
    "transposed": lambda t, c: t.data.T.add_(c),
    "setitem": lambda t, c: t.data.__setitem__(..., c),
    "shared": lambda t, c: tg.from_numpy(t._array).mul_(c),
    "clamp": lambda t, c: t.detach().clamp_(c - 1, c),
    "zero": lambda t, c: t.detach().zero_(),
    "copy": lambda t, c: t.data.copy_(tg.tensor(c)),
    "random": lambda t, c: t.data.uniform_(-1, 1),
}


class Programs(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.duals: list[Dual] = []
        self.calls: list[Call] = []
        self.indices: list[Any] = []

    def leaves(self) -> list[Dual]:
        return [d for d in self.duals if d.tensor.is_leaf and d.tensor.requires_grad]

    def chosen(self, k: int) -> Dual:
        return self.duals[k % len(self.duals)]

    def add(
        self, tensor: Any, saw: list[Any], slopes: dict[Dual, np.ndarray], *operands: Dual
    ) -> None:
        """Store a result with its reference."""
        if np.abs(tensor.numpy()).max(initial=0) > LARGEST or tensor.shape not in SHAPES:
            return
        assert tensor.requires_grad == bool(slopes)
        dual = Dual(tensor, slopes)
        if slopes:
            calls = [d.call for d in operands if d.call is not None]
            dual.call = Call([*saw, dual.array], calls)
            self.calls.append(dual.call)
        self.duals.append(dual)

    # Steps

    @initialize(a=hnp.arrays(float, (2, 2), elements=floats), b=floats)
    def first(self, a: np.ndarray, b: float) -> None:
        self.make(a, requires_grad=True)
        self.make(np.asarray(b), requires_grad=True)
        self.indices.append(tg.tensor([1, 0]))

    @rule(
        a=st.sampled_from(SHAPES).flatmap(lambda s: hnp.arrays(float, s, elements=floats)),
        flag=st.booleans(),
    )
    def draw(self, a: np.ndarray, flag: bool) -> None:
        self.make(a, requires_grad=flag)

    def make(self, a: np.ndarray, *, requires_grad: bool) -> None:
        dual = Dual(T(a) if requires_grad else tg.from_numpy(a))
        if requires_grad:
            dual.slopes = {dual: np.eye(a.size).reshape(a.size, *a.shape)}
        self.duals.append(dual)

    @rule(name=st.sampled_from(sorted(ELEMENTWISE)), i=pick, j=pick, recorded=st.integers(0, 4))
    def elementwise(self, name: str, i: int, j: int, recorded: int) -> None:
        call, factors = ELEMENTWISE[name]
        operands = [self.chosen(i), self.chosen(j)][
            : call.__code__.co_argcount if hasattr(call, "__code__") else 1 + (name == "maximum")
        ]
        saw = [d.array for d in operands]
        with tg.set_grad_enabled(bool(recorded)):
            out = call(*(d.tensor for d in operands))
        slopes: dict[Dual, np.ndarray] = {}
        if recorded:
            for d, factor in zip(operands, factors(*(np.array(a) for a in saw)), strict=True):
                for leaf, slope in d.slopes.items():
                    term = times(slope, np.asarray(factor), out.ndim)
                    term = np.broadcast_to(term, (slope.shape[0], *out.shape))
                    slopes[leaf] = slopes.get(leaf, 0) + term
        self.add(out, saw, slopes, *operands)

    @rule(name=st.sampled_from(sorted(RESHAPING)), i=pick)
    def reshaping(self, name: str, i: int) -> None:
        call, same = RESHAPING[name]
        d = self.chosen(i)
        slopes = {
            leaf: np.array([same(s) for s in slope]) if len(slope) else slope
            for leaf, slope in d.slopes.items()
        }
        self.add(call(d.tensor), [d.array], slopes, d)

    @rule(i=pick, j=pick)
    def matmul(self, i: int, j: int) -> None:
        a, b = self.chosen(i), self.chosen(j)
        if a.tensor.ndim != 2 or b.tensor.ndim != 2 or a.tensor.shape[1] != b.tensor.shape[0]:
            return
        slopes: dict[Dual, np.ndarray] = {leaf: s @ b.array for leaf, s in a.slopes.items()}
        for leaf, s in b.slopes.items():
            slopes[leaf] = slopes.get(leaf, 0) + a.array @ s
        self.add(a.tensor @ b.tensor, [a.array, b.array], slopes, a, b)

    @rule(i=pick, k=pick)
    def take(self, i: int, k: int) -> None:
        d, at = self.chosen(i), self.indices[k % len(self.indices)]
        if not d.tensor.ndim or d.tensor.shape[0] != 2:
            return
        slopes = {leaf: slope[:, at.numpy()] for leaf, slope in d.slopes.items()}
        self.add(d.tensor[at], [d.array, at.numpy()], slopes, d)

    @rule(i=pick, how=st.sampled_from(["data", "detach"]))
    def share(self, i: int, how: str) -> None:
        t = self.chosen(i).tensor
        self.duals.append(Dual(t.data if how == "data" else t.detach()))

    @rule(a=st.lists(st.integers(0, 1), min_size=2, max_size=2))
    def new_index(self, a: list[int]) -> None:
        self.indices.append(tg.tensor(a))

    # Changes

    def mark_changed(self, array: np.ndarray) -> None:
        for call in self.calls:
            if any(np.shares_memory(array, a) for a in call.arrays):
                call.changed = True

    @rule(i=pick, how=st.sampled_from(sorted(CHANGES)), c=floats)
    def change(self, i: int, how: str, c: float) -> None:
        t = self.chosen(i).tensor
        before = t.numpy()
        with tg.no_grad():
            CHANGES[how](t, c)
        assert np.shares_memory(t.numpy(), before)
        self.mark_changed(before)

    @rule(i=pick, c=floats)
    def invalid_change(self, i: int, c: float) -> None:
        t = self.chosen(i).tensor
        before = t.numpy().copy()
        with pytest.raises(RuntimeError):
            t.data.add_(tg.full((3,), c))
        if t.requires_grad and t.is_leaf:
            with pytest.raises(GraphError):
                t.add_(c)
        assert np.array_equal(t.numpy(), before)

    @rule(k=pick, v=st.integers(0, 1))
    def change_index(self, k: int, v: int) -> None:
        at = self.indices[k % len(self.indices)]
        at.fill_(v)
        self.mark_changed(at.numpy())

    @rule(i=pick, c=floats)
    def replace(self, i: int, c: float) -> None:
        leaf = self.leaves()[i % len(self.leaves())]
        self.mark_changed(leaf.array)
        leaf.tensor.data = tg.full(leaf.tensor.shape, c)

    # Backward passes

    @precondition(lambda self: self.calls)
    @rule(
        k=pick,
        seed=seeds,
        retain=st.booleans(),
        how=st.sampled_from(["backward", "grad", "hook", "inputs"]),
    )
    def backward(self, k: int, seed: int, retain: bool, how: str) -> None:
        roots = [d for d in self.duals if d.call is not None]
        root = roots[k % len(roots)]
        weights = cotangent(root.tensor.shape, seed)
        calls = root.call.all()
        expected = {
            leaf: np.asarray([(weights * s).sum() for s in slope]).reshape(leaf.tensor.shape)
            for leaf, slope in root.slopes.items()
        }
        before = [(d, d.tensor.grad) for d in self.leaves()]
        try:
            got = self.run_backward(root, tg.from_numpy(weights), expected, retain=retain, how=how)
        except (GraphError, ZeroDivisionError):
            got = None
        if got is None:
            assert how == "hook" or any(c.freed or c.changed for c in calls)
            assert all(d.tensor.grad is g for d, g in before)
            return
        assert not any(c.freed for c in calls)
        if not retain:
            for c in calls:
                c.freed = True
        for leaf, e in expected.items():
            if leaf in got:
                if how == "grad":
                    close(got[leaf].numpy(), e, tolerance=1e-9)
                else:
                    leaf.grad = e if leaf.grad is None else leaf.grad + e

    def run_backward(
        self, root: Dual, weights: Any, expected: Any, *, retain: bool, how: str
    ) -> Any:
        leaves = list(expected)
        if how == "grad":
            gradients = tg.autograd.grad(
                root.tensor, [d.tensor for d in leaves], weights, retain_graph=retain
            )
            return dict(zip(leaves, gradients, strict=True))
        if how == "inputs":
            root.tensor.backward(
                weights, retain_graph=retain, inputs=[d.tensor for d in leaves[:1]]
            )
            return leaves[:1]
        if how == "hook":

            def fail(_: Any) -> None:
                raise ZeroDivisionError

            with leaves[0].tensor.register_hook(fail):
                root.tensor.backward(weights, retain_graph=retain)
        root.tensor.backward(weights, retain_graph=retain)
        return leaves

    @rule(i=pick)
    def clear_grad(self, i: int) -> None:
        leaf = self.leaves()[i % len(self.leaves())]
        leaf.tensor.grad = leaf.grad = None

    def teardown(self) -> None:
        for d in self.duals:
            # the slot, since reading the `.grad` of a result warns
            assert (d.tensor._grad is None) == (d.grad is None)
            if d.grad is not None:
                close(d.tensor._grad.numpy(), d.grad, tolerance=1e-9)


Programs.TestCase.settings = settings(stateful_step_count=40)
TestPrograms = Programs.TestCase
