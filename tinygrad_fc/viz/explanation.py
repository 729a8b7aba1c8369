"""Explanations: of an op, of a missing gradient, of a backward pass, of one gradient."""

from __future__ import annotations

import inspect
import math
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import autograd
from tinygrad_fc.compiler.formula import forward_text, rule_text
from tinygrad_fc.compiler.naming import FORMULAS, number_layers
from tinygrad_fc.core.errors import GraphError
from tinygrad_fc.core.op import Op, registry
from tinygrad_fc.core.printing import number_text, shape_text
from tinygrad_fc.domain import parse_axis, smallest_sizes
from tinygrad_fc.tensors import Tensor
from tinygrad_fc.viz.computation_graph import Leaf, argument_name, graph

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tinygrad_fc.domain import Domain
    from tinygrad_fc.viz.computation_graph import OpNode

__all__ = ["explain"]

MOST_PATHS = 64


class Text(str):
    """A string that notebooks print as it is."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Any, *_: object) -> None:
        printer.text(str(self))


def explain(x: Any, wrt: Tensor | None = None, *, names: Mapping[str, Tensor] | None = None) -> str:
    """Return an explanation of an op, a tensor, a loss, or of one gradient of a loss.

    Of an op or a NumPy function: the formula, that of each vjp rule, the domain. Of
    a tensor without gradient: why. Of a scalar result: its backward pass step by step, with the
    document's formula numbers. With `wrt`, a leaf or a result before it: every path from the result
    to that, with the product of local derivatives; the sum over paths is the gradient. `names`
    names leaves, `viz.record(model)` parameters. Notebooks print what is returned. Raises
    `TypeError` for anything else, and `GraphError` where `wrt` is not reached or there are more
    than 64 paths.

    >>> import tinygrad_fc as tg
    >>> print(explain(tg.tanh))
    tanh(input)
      y = np.tanh(input)
      gradient of input (real): g * (1 - y * y)
    >>> a = tg.tensor(3.0, requires_grad=True)
    >>> print(explain(a * a + a, a, names={"a": a}))
    gradient of a: 7, the sum over 3 paths
      add (input) <- multiply (input): 1 · 3 = 3
      add (input) <- multiply (other): 1 · 3 = 3
      add (other): 1 = 1
    """
    if isinstance(x, Tensor):
        if wrt is not None:
            return Text(_explain_gradient(x, wrt, names))
        if x.is_leaf or x.numel() != 1:
            return Text(autograd.explain(x))
        return Text(_explain_backward(x, names))
    op = x if isinstance(x, Op) else _op_of(x) if callable(x) else None
    if op is None:
        raise TypeError(
            f"explain takes an op such as tg.tanh or np.tanh, or a tensor; got {x!r:.80}. A "
            "function composed of ops is explained through its result: explain(f(x))."
        )
    return Text(_explain_op(op))


# An op


def _op_of(function: Any) -> Op | None:
    """Return the op of a NumPy function, or of the function that has its name here."""
    ours = (getattr(function, "__module__", None) or "").startswith("tinygrad_fc.functional")
    return registry.get(getattr(np, function.__name__, None) if ours else function)


def _explain_op(op: Op) -> str:
    names = _names(op, len(op.domain))
    arguments = [np.asarray(_sample(domain, op.domain)) for domain in op.domain]
    settings = _required_settings(op, arguments)
    called = ", ".join([*names, *settings])
    out = "out" if "y" in names else "y"
    lines = [f"{op.name}({called})", f"  {out} = {forward_text(op, names, arguments, settings)}"]
    for i, (name, domain) in enumerate(zip(names, op.domain, strict=True)):
        if op.rules is None or domain.kind != "float":
            lines.append(f"  no gradient of {name} ({domain.kind})")
            continue
        lines.append(f"  gradient of {name} ({domain}): {_rule(op, i, names, arguments, settings)}")
    return "\n".join(lines)


def _rule(
    op: Op, i: int, names: Sequence[str], arguments: Sequence[Any], settings: Mapping[str, Any]
) -> str:
    try:
        return rule_text(op, i, names, arguments, settings)
    except GraphError:
        return "no rule"
    except (IndexError, TypeError, ValueError):
        return "depends on the settings"


def _node_rule(node: OpNode, i: int) -> str:
    names = _names(node.op, len(node.arguments))
    return _rule(node.op, i, names, node.arguments, node.settings)


def _sample(domain: Domain, domains: Sequence[Domain]) -> Any:
    """Return an array inside `domain`, each letter of its shape a size of its own."""
    size = {letter: 2 + k for k, letter in enumerate(smallest_sizes(domains))}
    axes = (2, 3) if domain.shape is None else tuple(a for a in domain.shape if a is not ...)
    if domain.shape is not None and len(axes) == 1 and ... in domain.shape:
        axes = (2, *axes)  # a batch
    shape = tuple(size[parse_axis(a).name] if isinstance(a, str) else a for a in axes)
    if domain.kind == "bool":
        return np.ones(shape, bool)
    if domain.kind == "index":
        return np.zeros(shape, int)
    margin = min(1, domain.high - domain.low) / 4
    inside = np.clip(0.5, domain.low + margin, domain.high - margin)
    return inside + np.arange(math.prod(shape)).reshape(shape) / 1024


def _required_settings(op: Op, arguments: Sequence[Any]) -> dict[str, Any]:
    """Return a legal value for each setting without a default, or whose default is not legal."""
    required = {}
    for name, legal in op.settings.items():
        values = [*legal(*arguments)] or [0]
        parameter = inspect.signature(op.forward).parameters.get(name)
        default = inspect.Parameter.empty if parameter is None else parameter.default
        is_legal = default is not None or any(v is None for v in values)
        if default is inspect.Parameter.empty or not is_legal:
            required[name] = values[0]
    return required


# A backward pass


def _explain_backward(loss: Tensor, names: Mapping[str, Tensor] | None) -> str:
    nodes = graph(loss, names=names).nodes
    layers, cited = number_layers((node.name, node.number, {*node.inputs}) for node in nodes)
    name = nodes[-1].name
    lines = [
        f"backward pass of {name}, last op first; g is the cotangent of a result, |g| its norm"
    ]
    for node in reversed(nodes):
        where = f" in {node.path}" if node.path else ""
        size = "absent" if node.gradient is None else number_text(np.linalg.norm(node.gradient))
        lines.append(f"{node.number} {node.name}{where}: g {shape_text(node.shape)}, |g| {size}")
        layer = layers.get(node.number)
        kind = node.name if layer is None or node.name == "linear" else "activation"
        for i, name in _arguments(node):
            formulas = FORMULAS.get((kind, i), ()) if layer is None or layer in cited else ()
            formula = formulas[0 if layer in {None, cited[-1]} else -1] if formulas else None
            shape = shape_text(np.shape(node.arguments[i]))
            rule = _node_rule(node, i)
            number = "" if formula is None else f"  formula ({formula})"
            lines.append(f"    gradient of {name}, {shape}: {rule}{number}")
    return "\n".join(lines)


def _arguments(node: OpNode) -> Iterator[tuple[int, str]]:
    """Yield the number and name of each argument that gets a gradient."""
    for i, source in enumerate(node.inputs):
        if isinstance(source, int):
            yield i, f"{argument_name(node.op, i)} (from {source})"
        elif source is not None and source.requires_grad:
            yield i, source.name


def _names(op: Op, count: int) -> list[str]:
    return [argument_name(op, i).replace("argument ", "x") for i in range(count)]


# One gradient


def _explain_gradient(loss: Tensor, wrt: Any, names: Mapping[str, Tensor] | None) -> str:
    nodes = graph(loss, names=names).nodes
    if loss.numel() != 1:
        raise GraphError(f"explain takes a scalar result, got shape {loss.shape}: add .sum()")
    total = autograd.grad(loss, wrt, retain_graph=True, allow_unused=True)[0]
    if total is None:
        raise GraphError(
            "no path leads from the result to this tensor: it was computed from other tensors"
        )
    read = [pair for n in nodes for pair in zip(n.arguments, n.inputs, strict=True)]
    known = {id(array): leaf.name for array, leaf in read if isinstance(leaf, Leaf)}
    known |= {id(t._array): name for name, t in (names or {}).items()}
    paths = list(islice(_paths(nodes, wrt._array), MOST_PATHS + 1))
    if len(paths) > MOST_PATHS:
        raise GraphError(
            f"more than {MOST_PATHS} paths lead from the result to this tensor, which is why the "
            "backward pass sums at each node. Explain a smaller graph."
        )
    name = known.get(id(wrt._array)) or (f"a result of {wrt._op.name}" if wrt._op else "a leaf")
    count = f"{len(paths)} path{'s' * (len(paths) != 1)}"
    lines = [f"gradient of {name}: {_value(total.numpy())}, the sum over {count}"]
    for path in paths:
        g = np.ones(loss.shape)
        factors = []
        for node, i in path:
            g = _pull_back(node, i, g)
            factors.append(_local(node, i))
        steps = " <- ".join(f"{node.name} ({argument_name(node.op, i)})" for node, i in path)
        product = " · ".join(factors)
        lines.append(f"  {steps}: {product} = {_value(g)}")
    return "\n".join(lines)


def _paths(nodes: Sequence[OpNode], array: Any) -> Iterator[list[tuple[OpNode, int]]]:
    """Yield each way from the last node to where `array` is read, as nodes and arguments."""
    leading: dict[int, list[int]] = {}  # arguments on the way, by the number of the node
    for node in nodes:
        arguments = enumerate(node.arguments)
        on_the_way = [i for i, a in arguments if a is array or node.inputs[i] in leading]
        if on_the_way:
            leading[node.number] = on_the_way
    pending: list[tuple[list[tuple[OpNode, int]], Any]] = [([], len(nodes) - 1)]
    while pending:
        path, number = pending.pop()
        if number is None:
            yield path
            continue
        node = nodes[number]
        for i in reversed(leading[number]):
            source = None if node.arguments[i] is array else node.inputs[i]
            pending.append(([*path, (node, i)], source))


def _pull_back(node: OpNode, i: int, g: Any) -> Any:
    """Return the gradient of argument `i` for the cotangent `g`, in the shape of the argument."""
    rules: Any = node.op.rules
    with np.errstate(all="ignore"):
        out = np.asarray(node.value)
        gradient = np.asarray(rules[i](g, out, *node.arguments, **node.settings))
    shape = np.shape(node.arguments[i])
    extra = gradient.ndim - len(shape)
    stretched = [extra + k for k, n in enumerate(shape) if n != gradient.shape[extra + k]]
    return gradient.sum(axis=(*range(extra), *stretched), keepdims=True).reshape(shape)


def _local(node: OpNode, i: int) -> str:
    """Return the local derivative where it is a number, else the rule."""
    if np.size(node.value) == np.size(node.arguments[i]) == 1:
        return number_text(_pull_back(node, i, np.ones(node.shape)).reshape(()))
    return f"[{_node_rule(node, i)}]"


def _value(array: Any) -> str:
    a = np.asarray(array)
    return number_text(a.reshape(())) if a.size == 1 else np.array2string(a, precision=4)
