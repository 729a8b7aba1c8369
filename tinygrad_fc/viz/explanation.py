"""Explanations: of an op, of a missing gradient, of a backward pass."""

from __future__ import annotations

import inspect
import math
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
from tinygrad_fc.viz.computation_graph import argument_name, graph

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tinygrad_fc.domain import Domain
    from tinygrad_fc.viz.computation_graph import OpNode

__all__ = ["explain"]


class Text(str):
    """A string that notebooks print as it is."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Any, *_: object) -> None:
        printer.text(str(self))


def explain(x: Any, wrt: Tensor | None = None, *, names: Mapping[str, Tensor] | None = None) -> str:
    """Return an explanation of an op, a tensor, or a loss.

    Of an op or a NumPy function: the formula, that of each vjp rule, the domain. Of
    a tensor without gradient: why. Of a scalar result: its backward pass step by step, with the
    document's formula numbers; `names` names leaves, `viz.record(model)` parameters. With `wrt`, a
    leaf or a result: whether the result `x` depends on it. Notebooks print what is returned. Raises
    `TypeError` for anything else.

    >>> import tinygrad_fc as tg
    >>> print(explain(tg.tanh))
    tanh(input)
      y = np.tanh(input)
      gradient of input (real): g * (1 - y * y)
    """
    if isinstance(x, Tensor):
        if wrt is not None:
            return Text(autograd.explain(wrt, x))
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
