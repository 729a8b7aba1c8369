"""The recorded graph as plain data: ops, values, gradients, parameters and module paths.

`graph(loss)` traverses the recorded graph once, without recursion, and returns a `Graph`, which is
all that `draw` and `explain` read. Printed, it is indented text.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import autograd
from tinygrad_fc.core.device import CPU, move_to_device
from tinygrad_fc.core.errors import GraphError
from tinygrad_fc.core.node import next_seq
from tinygrad_fc.core.printing import number_text, shape_text
from tinygrad_fc.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tinygrad_fc.core.op import Op
    from tinygrad_fc.nn import Module

__all__ = ["Graph", "Leaf", "OpNode", "graph", "record"]


@dataclass(frozen=True, eq=False)
class Leaf:
    """An argument that no op computed: a parameter, or data, which requires no gradient.

    `gradient` is None where there is none, which is not the same as zero.
    """

    name: str
    value: Any
    requires_grad: bool
    gradient: Any = None


@dataclass(frozen=True, eq=False)
class OpNode:
    """One recorded op.

    `number` is its place in `Graph.nodes`. `inputs` has an entry for each argument: the number of
    the node that computed it, a leaf, or None for what is no array. `arguments` are the arrays that
    the op read, `path` is that of the innermost module around it, or "".
    """

    number: int
    op: Op
    inputs: tuple[int | Leaf | None, ...]
    arguments: tuple[Any, ...]
    settings: Mapping[str, Any]
    value: Any
    gradient: Any = None
    path: str = ""

    @property
    def name(self) -> str:
        """The name of the op."""
        return self.op.name

    @property
    def leaves(self) -> list[Leaf]:
        """The arguments that no op computed."""
        return [source for source in self.inputs if isinstance(source, Leaf)]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the result."""
        return np.shape(self.value)


@dataclass(frozen=True, eq=False)
class Graph:
    """The ops that a result was computed by, in the order of recording; the last is the result.

    Its `repr` has each op above what it reads, indented. An op that is read twice is written out
    once, and referred to by its number.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> y = w.exp()
    >>> graph((y * y).sum(), names={"w": w})
    2 sum, scalar
      1 multiply, 2
        0 exp, 2
          w, 2, requires grad
        0 exp, as above
    """

    nodes: Sequence[OpNode]

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Pairs of the numbers of a node and of one that reads its result, each pair once."""
        pairs = ((i, node.number) for node in self.nodes for i in node.inputs if isinstance(i, int))
        return list(dict.fromkeys(pairs))

    def __repr__(self) -> str:
        lines: list[str] = []
        written: set[int] = set()
        pending: list[tuple[int, int | Leaf]] = [(0, len(self.nodes) - 1)]
        while pending:
            depth, item = pending.pop()
            indent = "  " * min(depth, DEEPEST)
            if isinstance(item, Leaf):
                needs = ", requires grad" * item.requires_grad
                lines.append(f"{indent}{item.name}, {shape_text(item.value.shape)}{needs}")
                continue
            node = self.nodes[item]
            place = f", in {node.path}" * bool(node.path)
            rest = "as above" if item in written else f"{shape_text(node.shape)}{place}"
            lines.append(f"{indent}{item} {node.name}, {rest}")
            read = () if item in written else reversed(node.inputs)
            pending += [(depth + 1, source) for source in read if source is not None]
            written.add(item)
        return "\n".join(lines)


LONGEST, DEEPEST = 14, 40
"""Characters of an array that is written out, and steps of indentation at most."""

# Module paths: an op belongs to the calls whose span has its number in the order of recording.

# Of each call the numbers before and after it, and the path of the module.
_recorded: list[tuple[list[tuple[int, int, str]], list[tuple[str, Any]]]] = []
_active = 0


@contextmanager
def record(model: Module) -> Iterator[None]:
    """Record module paths and parameter names for the graphs computed in the block.

    Forward hooks note each call of `model` and of its submodules; they also keep `Sequential` from
    fusing a layer with its activation. The paths stay known until the next block begins.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc import nn, viz
    >>> model = nn.Sequential(nn.Linear(2, 1), nn.Tanh())
    >>> with viz.record(model):
    ...     loss = model(tg.ones(3, 2)).sum()
    >>> [(node.path, node.name) for node in viz.graph(loss).nodes]
    [('0', 'linear'), ('1', 'tanh'), ('', 'sum')]
    """
    global _active  # noqa: PLW0603  one block may lie in another
    if not _active:
        _recorded.clear()
    calls: list[tuple[int, int, str]] = []
    # The arrays of parameters are held with their names: no other array gets the id of one.
    _recorded.append((calls, [(name, p._array) for name, p in model.named_parameters()]))
    paths = {id(module): path for path, module in model.named_modules()}
    starts: list[int] = []  # of the calls that are running: they nest

    def before(*_: Any) -> None:
        starts.append(next_seq())

    def after(module: Module, *_: Any) -> None:
        calls.append((starts.pop(), next_seq(), paths[id(module)]))

    handles = []
    for module in model.modules():
        handles.append(module.register_forward_pre_hook(before, prepend=True))
        handles.append(module.register_forward_hook(after, always_call=True))
    _active += 1
    try:
        yield
    finally:
        _active -= 1
        for handle in handles:
            handle.remove()


# The traversal


def graph(
    loss: Tensor, *, gradients: bool = True, names: Mapping[str, Tensor] | None = None
) -> Graph:
    """Return the graph that `loss` was computed by, with the gradient of every node.

    Gradients are those of `autograd.grad`; every `.grad` stays as it is. They are None where
    `loss` has more than one element or with `gradients=False`. `names` maps names to leaves for
    display; parameters of a model are named by `record`. A layer fused with its activation is
    shown as two nodes. Raises `GraphError` for a tensor that records nothing, and for a graph that
    `backward()` has freed.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor(3.0, requires_grad=True)
    >>> for node in graph(w * w + 1, names={"w": w}).nodes:
    ...     print(node.number, node.name, node.value, node.gradient)
    0 multiply 9.0 1.0
    1 add 10.0 1.0
    """
    tensors = _collect(loss)
    leaves = {id(p): p for t in tensors for p in t._parents if p is not None and p._op is None}
    gradient_of: dict[int, Any] = {}
    if gradients and loss._array.size == 1:
        targets = [*tensors, *leaves.values()]
        computed = autograd.grad(loss, targets, retain_graph=True, allow_unused=True)
        gradient_of = {
            id(t): None if g is None else g._array for t, g in zip(targets, computed, strict=True)
        }
    builder = _Builder(gradient_of, names or {})
    for t in tensors:
        builder.add(t)
    return Graph(builder.nodes)


def _collect(loss: Tensor) -> list[Any]:
    """Return all recorded results that `loss` depends on, itself included, in recording order."""
    if not isinstance(loss, Tensor):
        raise TypeError(f"graph takes a tensor, got {type(loss).__name__}")
    if not loss.requires_grad or loss._op is None:
        raise GraphError(
            f"this tensor of shape {loss.shape} has no graph: no op with an argument that requires "
            "grad computed it. Draw a result of tensors that require grad."
        )
    tensors: dict[int, Any] = {id(loss): loss}
    pending: list[Any] = [loss]
    while pending:
        t = pending.pop()
        if t._parents is None:
            raise GraphError(
                f"the graph of {t._op.name} was freed by backward(). Draw or explain a graph "
                "before backward(), or call backward(retain_graph=True)."
            )
        for parent in t._parents:
            if parent is not None and parent._op is not None and id(parent) not in tensors:
                tensors[id(parent)] = parent
                pending.append(parent)
    return sorted(tensors.values(), key=lambda t: t._seq)


class _Builder:
    """Appends nodes for tensors; knows gradients by the id of the tensor."""

    def __init__(self, gradients: dict[int, Any], names: Mapping[str, Tensor]) -> None:
        self.gradients = gradients
        self.names = {id(array): name for _, known in _recorded for name, array in known}
        self.names |= {id(t._array): name for name, t in names.items()}
        self.calls = sorted((call for calls, _ in _recorded for call in calls), reverse=True)
        self.nodes: list[OpNode] = []
        self.numbers: dict[int, int] = {}

    def source(self, op: Op, i: int, parent: Any, array: Any) -> int | Leaf | None:
        """Return the node or leaf that an argument is, or None for what is no array."""
        if id(parent) in self.numbers:
            return self.numbers[id(parent)]
        value = np.array(move_to_device(array, CPU))
        if value.dtype == object:  # which None and custom calls have
            return None
        # A copy: parameters are changed in place after the backward pass.
        name = self.names.get(id(array)) or argument_name(op, i)
        return Leaf(name, value, parent is not None, self.gradients.get(id(parent)))

    def add(self, t: Any) -> None:
        op, args, gradient = t._op, t._args, self.gradients.get(id(t))
        parents = enumerate(zip(t._parents, args, strict=True))
        inputs = [self.source(op, i, parent, array) for i, (parent, array) in parents]
        around = (path for first, last, path in self.calls if first < t._seq < last)
        path = next(around, "")  # the call that began last is the innermost
        read = (tuple(inputs), tuple(args), t._settings)
        if op.outer is not None:
            z = np.asarray(op.inner.forward(*args))
            cotangent = None if gradient is None else op.outer.rules[0](gradient, t._array, None)
            self.nodes.append(OpNode(len(self.nodes), op.inner, *read, z, cotangent, path))
            op, read = op.outer, ((len(self.nodes) - 1,), (z,), t._settings)
        self.numbers[id(t)] = len(self.nodes)
        self.nodes.append(OpNode(len(self.nodes), op, *read, t._array, gradient, path))


def argument_name(op: Op, i: int) -> str:
    """Return the name of argument `i` of `op`."""
    return op.operands[i] if i < len(op.operands) else f"argument {i}"


def magnitude_text(array: Any) -> str:
    """Return a small array, or the largest magnitude of a larger one; "absent" for None.

    >>> magnitude_text(np.array([1.0, -2.0])), magnitude_text(np.arange(9.0)), magnitude_text(None)
    ('[1 -2]', '|max| 8', 'absent')
    """
    if array is None:
        return "absent"
    a = np.asarray(array)
    if not a.size:
        return "empty"
    text = " ".join(np.array2string(a, formatter={"float_kind": "{:.3g}".format}).split())
    if a.size > 1 and len(text) <= LONGEST:
        return text
    return number_text(a.reshape(())) if a.size == 1 else f"|max| {number_text(np.abs(a).max())}"
