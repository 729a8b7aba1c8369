"""Random programs of ops, in-place changes and backward passes.

The reference stores with each recorded tensor its derivatives by all elements of all leaves, as
they are when it is recorded. Whatever changes in place afterwards, a backward pass returns these
derivatives or raises an error; it raises only if something on its path was changed or freed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from drawing import T, close, cotangent, seeds
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import tinygrad_fc as tg
from tinygrad_fc.core.errors import GraphError

SHAPES = ((), (2,), (1, 2), (2, 1), (2, 2))  # all of which broadcast together
LARGEST = 50.0

pick = st.integers(0, 2**16)
numbers = st.sampled_from([-1.3, -0.7, 0.4, 1.9])


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
class Variable:
    """A tensor, and of each of its elements the derivatives by the leaves when it was recorded."""

    tensor: Any
    leaves: list[Variable] = field(default_factory=list)
    derivatives: list[Any] = field(default_factory=list)
    call: Call | None = None
    grad: np.ndarray | None = None

    @property
    def array(self) -> np.ndarray:
        return np.asarray(self.tensor.numpy())

    def gradients(self, weights: np.ndarray) -> dict[Variable, np.ndarray]:
        """Return the gradients of the leaves under a cotangent."""
        rows = zip(weights.ravel(), self.derivatives, strict=True)
        terms = [[w * d.numpy() for d in row] for w, row in rows]
        return dict(zip(self.leaves, map(sum, zip(*terms, strict=True)), strict=True))


OPS: dict[str, Any] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "maximum": lambda x, y: x.maximum(y),
    "where": lambda x, y: tg.where(x > y, x, y * 2),
    "matmul": lambda x, y: x @ y if x.ndim == y.ndim == 2 and x.shape[1] == len(y) else x - y,
    "sin": lambda x: x.sin(),
    "tanh": lambda x: x.tanh(),
    "square": lambda x: x**2,
    "scale": lambda x: 0.5 * x - 1,
    "transpose": lambda x: x.mT if x.ndim > 1 else x.view(-1),
    "flatten": lambda x: x.reshape(-1),
    "reverse": lambda x: x[..., ::-1] if x.ndim else x[...],
    "column": lambda x: x[..., :1] if x.ndim else x[None],
    "sum": lambda x: x.sum(dim=-1) if x.ndim else x.sum(),
    "clone": lambda x: x.clone(),
    "cat": lambda x: tg.stack([x, x])[1],
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
        self.variables: list[Variable] = []
        self.calls: list[Call] = []
        self.indices: list[Any] = []
        self.operands: list[Variable] = []  # of recorded calls: what a change may spoil

    def leaves(self) -> list[Variable]:
        return [v for v in self.variables if v.tensor.is_leaf and v.tensor.requires_grad]

    def chosen(self, k: int) -> Variable:
        return self.variables[k % len(self.variables)]

    def add(self, tensor: Any, operands: list[Variable], *more: np.ndarray) -> None:
        """Store a result, with its derivatives if it is recorded."""
        if np.abs(tensor.numpy()).max(initial=0) > LARGEST or tensor.shape not in SHAPES:
            return
        result = Variable(tensor)
        if tensor.requires_grad:
            calls = [v.call for v in operands if v.call is not None]
            result.call = Call([*(v.array for v in operands), *more, result.array], calls)
            result.leaves = list(dict.fromkeys(leaf for v in operands for leaf in v.leaves))
            leaves = [leaf.tensor for leaf in result.leaves]
            units = np.eye(tensor.numel()).reshape(-1, *tensor.shape)
            try:
                result.derivatives = [
                    tg.autograd.grad(tensor, leaves, unit, retain_graph=True)
                    for unit in map(tg.tensor, units)
                ]
            except GraphError:
                assert any(c.freed or c.changed for c in result.call.all())
                return
            self.calls.append(result.call)
            self.operands += operands
        self.variables.append(result)

    # Steps

    @initialize(seed=seeds)
    def first(self, seed: int) -> None:
        self.draw((2, 2), seed, flag=True)
        self.draw((), seed + 1, flag=True)
        self.indices.append(tg.tensor([1, 0]))

    @rule(shape=st.sampled_from(SHAPES), seed=seeds, flag=st.booleans())
    def draw(self, shape: tuple[int, ...], seed: int, flag: bool) -> None:
        a = np.asarray(np.random.default_rng(seed).uniform(-2, 2, shape))
        variable = Variable(T(a) if flag else tg.from_numpy(a))
        if flag:
            variable.leaves = [variable]
        self.variables.append(variable)

    def op(self, name: str, i: int, j: int, recorded: int) -> None:
        operands = [self.chosen(i), self.chosen(j)][: OPS[name].__code__.co_argcount]
        with tg.set_grad_enabled(bool(recorded)):
            out = OPS[name](*(v.tensor for v in operands))
        assert out.requires_grad == (bool(recorded) and any(v.leaves for v in operands))
        self.add(out, operands)

    # Three of the rules are ops, so that these are drawn more often than other steps.
    drawn_op = rule(name=st.sampled_from(sorted(OPS)), i=pick, j=pick, recorded=st.integers(0, 4))
    one, another, third = drawn_op(op), drawn_op(op), drawn_op(op)

    @rule(i=pick, k=pick)
    def take(self, i: int, k: int) -> None:
        v, at = self.chosen(i), self.indices[k % len(self.indices)]
        if v.tensor.ndim and v.tensor.shape[0] == 2:
            self.add(v.tensor[at], [v], at.numpy())

    @rule(i=pick, how=st.sampled_from(["data", "detach"]))
    def share(self, i: int, how: str) -> None:
        t = self.chosen(i).tensor
        self.variables.append(Variable(t.data if how == "data" else t.detach()))

    @rule(a=st.lists(st.integers(0, 1), min_size=2, max_size=2))
    def new_index(self, a: list[int]) -> None:
        self.indices.append(tg.tensor(a))

    # Changes

    def mark_changed(self, array: np.ndarray) -> None:
        for call in self.calls:
            if any(np.shares_memory(array, a) for a in call.arrays):
                call.changed = True

    @precondition(lambda self: self.operands)
    @rule(i=pick, how=st.sampled_from(sorted(CHANGES)), c=numbers)
    def change(self, i: int, how: str, c: float) -> None:
        t = self.operands[i % len(self.operands)].tensor
        before = t.numpy()
        with tg.no_grad():
            CHANGES[how](t, c)
        assert np.shares_memory(t.numpy(), before)
        self.mark_changed(before)

    @rule(k=pick, v=st.integers(0, 1))
    def change_index(self, k: int, v: int) -> None:
        at = self.indices[k % len(self.indices)]
        at.fill_(v)
        self.mark_changed(at.numpy())

    @rule(i=pick, c=numbers)
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
        retain |= how == "inputs"  # which would free only the calls on the paths to them
        roots = [v for v in self.variables if v.call is not None]
        root = roots[k % len(roots)]
        weights = cotangent(root.tensor.shape, seed)
        calls, expected = root.call.all(), root.gradients(weights)
        before = [(v, v.tensor.grad) for v in self.leaves()]
        try:
            got = self.run_backward(root, tg.from_numpy(weights), expected, retain=retain, how=how)
        except (GraphError, ZeroDivisionError):
            got = None
        if got is None:
            assert how == "hook" or any(c.freed or c.changed for c in calls)
            assert all(v.tensor.grad is g for v, g in before)
            return
        if not retain:
            for c in calls:
                c.freed = True  # unless its rules read nothing
        for leaf, e in expected.items():
            if leaf in got:
                if how == "grad":
                    close(got[leaf].numpy(), e, tolerance=1e-9)
                else:
                    leaf.grad = e if leaf.grad is None else leaf.grad + e

    def run_backward(
        self, root: Variable, weights: Any, expected: Any, *, retain: bool, how: str
    ) -> Any:
        leaves = list(expected)
        if how == "grad":
            gradients = tg.autograd.grad(
                root.tensor, [v.tensor for v in leaves], weights, retain_graph=retain
            )
            return dict(zip(leaves, gradients, strict=True))
        if how == "inputs":
            root.tensor.backward(
                weights, retain_graph=retain, inputs=[v.tensor for v in leaves[:1]]
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
        for v in self.variables:
            # the slot, since reading the `.grad` of a result warns
            assert (v.tensor._grad is None) == (v.grad is None)
            if v.grad is not None:
                close(v.tensor._grad.numpy(), v.grad, tolerance=1e-9)


examples = 5 * settings.default.max_examples
Programs.TestCase.settings = settings(max_examples=examples, stateful_step_count=40)
TestPrograms = Programs.TestCase
