"""Gradients: `backward`, `grad`, `explain`, and functions with a custom derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.errors import warn_deprecated
from tinygrad_fc.core.grad_mode import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
)
from tinygrad_fc.core.gradients import backward, checked_inputs, gradients_of
from tinygrad_fc.core.graph import state
from tinygrad_fc.core.lazy import lazy_names
from tinygrad_fc.core.node import Node, array_of, leaf_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.autograd import forward_ad, function, functional, graph, profiler
    from tinygrad_fc.autograd.check import GradcheckError, gradcheck, gradgradcheck
    from tinygrad_fc.autograd.function import Function
    from tinygrad_fc.tensors import Tensor

# Imported on first use, since most training needs none of these.
_LAZY = {
    name: name for name in ("forward_ad", "function", "functional", "graph", "profiler", "variable")
}
_LAZY |= {name: f"check:{name}" for name in ("GradcheckError", "gradcheck", "gradgradcheck")}
__getattr__ = lazy_names(__name__, _LAZY | {"Function": "function:Function"})


class _VariableType(type):
    """The class of `Variable`: each tensor is an instance, and a call returns a leaf."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Node)

    def __call__(
        cls, data: Any, requires_grad: bool | None = None, volatile: bool | None = None
    ) -> Any:
        if volatile is not None:
            warn_deprecated("volatile has no effect. Use `with no_grad():`")
        if not isinstance(data, Node):
            raise TypeError(f"Variable takes a tensor, got {type(data).__name__}: use tensor(...)")
        leaf = leaf_of(array_of(data))
        return leaf.requires_grad_(requires_grad) if requires_grad else leaf


class Variable(metaclass=_VariableType):
    """`Variable(data, requires_grad=False)` is a leaf that shares the memory of a tensor.

    The class is PyTorch's older name of tensors: they are its instances.

    >>> import tinygrad_fc as tg
    >>> tg.autograd.Variable(tg.ones(2), requires_grad=True)
    tensor([1., 1.], requires_grad=True)
    """


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
        warn_deprecated(
            "only_inputs has no effect. Use backward() for the gradients of other leaves"
        )
    if is_grads_batched:
        raise NotImplementedError("is_grads_batched is not supported: call grad once per gradient")
    if materialize_grads and allow_unused is False:
        raise ValueError("materialize_grads=True implies allow_unused, which is False")
    sources = checked_inputs(inputs)
    strict = not (allow_unused or materialize_grads)
    pairs = gradients_of(outputs, grad_outputs, sources, retain_graph, create_graph, strict=strict)
    gradients: dict[int, Any] = {id(t): g if isinstance(g, Node) else leaf_of(g) for t, g in pairs}
    if materialize_grads:
        for t in sources:
            gradients.setdefault(id(t), leaf_of(np.zeros_like(array_of(t))))
    return tuple(gradients.get(id(t)) for t in sources)  # type: ignore[misc]


def _dependence(tensor: Tensor, loss: Tensor) -> str:
    gradient: Tensor | None = grad(loss, tensor, retain_graph=True, allow_unused=True)[0]
    if gradient is None:
        return (
            "not reached: no path leads from the loss to it. Look for a copy, no_grad(), detach(), "
            ".data and .numpy() between them"
        )
    kind = "leaf" if tensor._op is None else f"result of {tensor._op.name}"
    return f"the loss depends on this {kind}, with a gradient of norm {gradient.norm().item():.4g}"


def explain(tensor: Tensor, loss: Tensor | None = None) -> str:
    """Return why `tensor` has or lacks a gradient, in a sentence or two.

    With a scalar `loss`: whether that depends on the tensor, a leaf or a result.

    >>> import tinygrad_fc as tg
    >>> print(tg.explain(tg.tensor([1.0], requires_grad=True)))
    no gradient yet: backward() has not been called since this tensor was created
    """
    if loss is not None and tensor.requires_grad:
        return _dependence(tensor, loss)
    if tensor._grad is not None:
        return "it has a gradient: the sum over all backward passes since `.grad` was last None"
    if not tensor.requires_grad:
        return "it does not require grad: pass requires_grad=True, or call requires_grad_()"
    if not tensor.is_leaf:
        return (
            f"it is a result of {tensor._op.name}, and only leaves get a gradient. Call "  # type: ignore[union-attr]
            "retain_grad() on it before backward(), or use autograd.grad"
        )
    if state.last_backward < tensor._seq:
        return "no gradient yet: backward() has not been called since this tensor was created"
    return (
        "not reached: no backward pass since its creation depended on it, or zero_grad() cleared "
        "it. Look for a copy, no_grad(), detach(), .data and .numpy() between it and the result"
    )


__all__ = ["Function", "GradcheckError", "Variable", "backward", "detect_anomaly", "enable_grad"]
__all__ += ["explain", "forward_ad", "function", "functional", "grad", "gradcheck", "gradgradcheck"]
__all__ += ["graph", "inference_mode", "no_grad", "profiler"]
__all__ += ["set_detect_anomaly", "set_grad_enabled"]
