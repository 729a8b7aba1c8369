"""Gradients: `backward`, `grad`, `explain`, and functions with a custom derivative."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import graph
from tinygrad_fc.errors import GraphError, ShapeError
from tinygrad_fc.grad_mode import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)
from tinygrad_fc.graph import Node, array_of, as_array, wrap
from tinygrad_fc.legacy import deprecated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.autograd import forward_ad, function, functional, profiler
    from tinygrad_fc.autograd.check import GradcheckError, gradcheck, gradgradcheck
    from tinygrad_fc.autograd.function import Function
    from tinygrad_fc.tensor import Tensor

# Imported on first use, since most training needs none of these.
_LAZY = {"Function": "function", "function": "function", "functional": "functional"}
_LAZY |= {"forward_ad": "forward_ad", "profiler": "profiler"}
_LAZY |= dict.fromkeys(("GradcheckError", "gradcheck", "gradgradcheck"), "check")

# PyTorch's path of the same class: `from tinygrad_fc.autograd.variable import Variable`
sys.modules[f"{__name__}.variable"] = variable = sys.modules[__name__]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_LAZY[name]}")
    return getattr(module, name, module)


def _listed(tensors: Any, name: str) -> list[Any]:
    items = list(tensors) if isinstance(tensors, list | tuple) else [tensors]
    for t in items:
        if not isinstance(t, Node):
            raise TypeError(f"{name} must be tensors, got {type(t).__name__}: use tensor(...)")
    return items


def _inputs(tensors: Any) -> list[Any]:
    """Return `tensors` as a list; raise `GraphError` for one that does not require grad."""
    inputs = _listed(tensors, "inputs")
    for t in inputs:
        if not t._requires_grad:
            raise GraphError(
                f"an input of shape {t.shape} does not require grad, so it has no gradient. "
                "Create it with requires_grad=True, or call requires_grad_() before its first use"
            )
    return inputs


def _seed(root: Any, gradient: Any) -> Any:
    """Return the cotangent of the result `root`: an array, or a tensor if it is recorded."""
    if not root._requires_grad:
        origin = "no operation" if root._op is None else root._op.name
        raise GraphError(
            "this result depends on no tensor that requires grad, so it cannot be differentiated. "
            f"It was computed by {origin}. Create the parameters with requires_grad=True; look for "
            "detach(), .data, .numpy() or no_grad() before it; a gradient that should be "
            "differentiated again needs create_graph=True."
        )
    shape, dtype = root._array.shape, root._array.dtype
    if gradient is None:
        if root._array.size != 1:
            raise ShapeError(
                f"backward() needs a scalar, and this result has shape {shape}: use .mean() or "
                ".sum(), or pass backward(weights) with one weight per element"
            )
        return np.ones_like(root._array)
    actual = np.shape(array_of(gradient))
    if actual != shape:
        raise ShapeError(
            f"the gradient has shape {actual}, expected the shape {shape} of the result"
        )
    if isinstance(gradient, Node) and gradient._requires_grad:
        return gradient.to(dtype)  # type: ignore[attr-defined]
    return as_array(gradient).astype(dtype, copy=False)


def _run(
    roots: Any,
    gradients: Any,
    inputs: Any,
    retain_graph: bool | None,
    create_graph: bool,
    *,
    strict: bool = False,
) -> list[list[Any]]:
    outputs = _listed(roots, "the results")
    weights = list(gradients) if isinstance(gradients, list | tuple) else [gradients]
    if gradients is None or not weights:
        weights = [None] * len(outputs)
    if len(weights) != len(outputs):
        raise ShapeError(
            f"{len(outputs)} results need {len(outputs)} gradients, each a tensor or array of the "
            f"shape of its result, got a {type(gradients).__name__} of {len(weights)}. For one "
            "result with several elements, pass one tensor"
        )
    seeds = list(map(_seed, outputs, weights))
    if create_graph:
        seeds = [g if isinstance(g, Node) else wrap(g) for g in seeds]
    else:
        seeds = [g._array if isinstance(g, Node) else g for g in seeds]
    retain = create_graph if retain_graph is None else retain_graph
    return graph.backward(
        outputs, seeds, inputs, retain_graph=retain, create_graph=create_graph, require_all=strict
    )


class _VariableType(type):
    """The class of `Variable`: each tensor is an instance, and a call returns a leaf."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Node)

    def __call__(
        cls, data: Any, requires_grad: bool | None = None, volatile: bool | None = None
    ) -> Any:
        if volatile is not None:
            deprecated("volatile has no effect. Use `with no_grad():`")
        if not isinstance(data, Node):
            raise TypeError(f"Variable takes a tensor, got {type(data).__name__}: use tensor(...)")
        leaf = wrap(data._array)
        return leaf.requires_grad_(requires_grad) if requires_grad else leaf


class Variable(metaclass=_VariableType):
    """`Variable(data, requires_grad=False)` is a leaf that shares the memory of a tensor.

    The class is PyTorch's older name of tensors: they are its instances.

    >>> import tinygrad_fc as tg
    >>> tg.autograd.Variable(tg.ones(2), requires_grad=True)
    tensor([1., 1.], requires_grad=True)
    """


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradients of the results `tensors` to the `.grad` of the leaves.

    `grad_tensors` are the cotangents of `tensors`. The other arguments are those of
    `Tensor.backward`.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> tg.autograd.backward(w * 3, tg.tensor([1.0, 10.0]))
    >>> w.grad
    tensor([ 3., 30.])
    """
    if inputs is not None and not (inputs := _inputs(inputs)):
        raise ValueError("inputs is empty: omit it for the gradients of all leaves")
    graph.accumulate_gradients(_run(tensors, grad_tensors, inputs, retain_graph, create_graph))


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
    only_inputs: bool = True,
) -> tuple[Tensor, ...]:
    """Return the gradients of `outputs` with respect to `inputs`; no `.grad` changes.

    `grad_outputs` are the cotangents of `outputs`. An input on which no output depends raises
    `GraphError`, gets None with `allow_unused`, or zeros with `materialize_grads`. `create_graph`
    records the backward pass, for gradients of gradients. Raises `GraphError` as `Tensor.backward`
    does.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> (slope,) = tg.autograd.grad(x**3, x, create_graph=True)
    >>> tg.autograd.grad(slope, x)
    (tensor(18.),)
    """
    if not only_inputs:
        deprecated("only_inputs has no effect. Use backward() for the gradients of other leaves")
    if is_grads_batched:
        raise NotImplementedError("is_grads_batched is not supported: call grad once per gradient")
    if materialize_grads and allow_unused is False:
        raise ValueError("materialize_grads=True implies allow_unused, which is False")
    sources = _inputs(inputs)
    strict = not (allow_unused or materialize_grads)
    pairs = _run(outputs, grad_outputs, sources, retain_graph, create_graph, strict=strict)
    gradients: dict[int, Any] = {id(t): g if isinstance(g, Node) else wrap(g) for t, g in pairs}
    if materialize_grads:
        for t in sources:
            gradients.setdefault(id(t), wrap(np.zeros_like(t._array)))
    return tuple(gradients.get(id(t)) for t in sources)  # type: ignore[misc]


def explain(tensor: Tensor) -> str:
    """Return why `tensor` has or lacks a gradient, in a sentence or two.

    >>> import tinygrad_fc as tg
    >>> print(tg.explain(tg.tensor([1.0], requires_grad=True)))
    no gradient yet: backward() has not been called since this tensor was created
    """
    if tensor._grad is not None:
        return "it has a gradient: the sum over all backward passes since `.grad` was last None"
    if not tensor.requires_grad:
        return "it does not require grad: pass requires_grad=True, or call requires_grad_()"
    if not tensor.is_leaf:
        return (
            f"it is a result of {tensor._op.name}, and only leaves get a gradient. Call "  # type: ignore[union-attr]
            "retain_grad() on it before backward(), or use autograd.grad"
        )
    if graph.state.last_backward < tensor._seq:
        return "no gradient yet: backward() has not been called since this tensor was created"
    return (
        "not reached: no backward pass since its creation depended on it, or zero_grad() cleared "
        "it. Look for a copy, no_grad(), detach(), .data and .numpy() between it and the result"
    )


__all__ = ["Function", "GradcheckError", "Variable", "backward", "detect_anomaly", "enable_grad"]
__all__ += ["explain", "forward_ad", "function", "functional", "grad", "gradcheck", "gradgradcheck"]
__all__ += ["inference_mode", "no_grad", "profiler", "set_grad_enabled"]
