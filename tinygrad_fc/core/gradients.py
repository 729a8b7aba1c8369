"""Gradients of results that users name: checks of cotangents and inputs, then the backward pass."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.backward import accumulate_gradients, backward_pass
from tinygrad_fc.core.errors import GraphError, ShapeError
from tinygrad_fc.core.node import Node, array_of, as_array, leaf_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.tensors import Tensor


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
    if inputs is not None and not (inputs := checked_inputs(inputs)):
        raise ValueError("inputs is empty: omit it for the gradients of all leaves")
    for t in inputs or ():
        if not t.is_leaf:
            t.retain_grad()  # as in PyTorch: its gradient is that after its hooks
    pairs = gradients_of(tensors, grad_tensors, inputs, retain_graph, create_graph)
    if inputs is not None:  # the pass has added the gradients that are retained
        pairs = [pair for pair in pairs if not pair[0].retains_grad]
    accumulate_gradients(pairs)


def _listed(tensors: Any, name: str) -> list[Any]:
    is_one = isinstance(tensors, Node) or not isinstance(tensors, Iterable)
    items = [tensors] if is_one else list(tensors)
    for t in items:
        if not isinstance(t, Node):
            raise TypeError(f"{name} must be tensors, got {type(t).__name__}: use tensor(...)")
    return items


def checked_inputs(tensors: Any) -> list[Any]:
    """Return `tensors` as a list; raise `GraphError` for one that does not require grad.

    A saved leaf in the `backward` of a `Function` is replaced by the leaf.
    """
    inputs = [
        t._parents[0] if t._parents and getattr(t._op, "aliases_leaf", False) else t
        for t in _listed(tensors, "inputs")
    ]
    for t in inputs:
        if not t._requires_grad:
            raise GraphError(
                f"an input of shape {t.shape} does not require grad, so it has no gradient. "
                "Create it with requires_grad=True, or call requires_grad_() before its first use"
            )
    return inputs


def cotangent_of(output: Any, gradient: Any) -> Any:
    """Return the cotangent of the result `output`: an array, or a tensor if it is recorded."""
    if not output._requires_grad:
        origin = "no operation" if output._op is None else output._op.name
        raise GraphError(
            "this result depends on no tensor that requires grad, so it cannot be differentiated. "
            f"It was computed by {origin}. Create the parameters with requires_grad=True; look for "
            "detach(), .data, .numpy() or no_grad() before it; a gradient that should be "
            "differentiated again needs create_graph=True."
        )
    shape, dtype = output._array.shape, output._array.dtype
    if gradient is None:
        if output._array.size != 1:
            raise ShapeError(
                f"backward() needs a scalar, and this result has shape {shape}: use .mean() or "
                ".sum(), or pass backward(weights) with one weight per element, which is "
                "grad_outputs=weights in grad"
            )
        return np.ones_like(array_of(output))
    actual = np.shape(array_of(gradient))
    if actual != shape:
        raise ShapeError(
            f"the gradient has shape {actual}, expected the shape {shape} of the result"
        )
    if isinstance(gradient, Node) and gradient._requires_grad:
        return gradient.to(dtype)  # type: ignore[attr-defined]
    return as_array(gradient).astype(dtype, copy=False)


def gradients_of(
    outputs: Any,
    gradients: Any,
    inputs: Any,
    retain_graph: bool | None,
    create_graph: bool,
    *,
    strict: bool = False,
) -> list[list[Any]]:
    """Return the pairs [tensor, gradient] of the backward pass from `outputs`, after checks.

    `gradients` are the cotangents of `outputs`, by default 1 for a scalar. `strict` raises for an
    input that is not reached.
    """
    outputs = _listed(outputs, "the results")
    weights = list(gradients) if isinstance(gradients, list | tuple) else [gradients]
    if gradients is None or not weights:
        weights = [None] * len(outputs)
    if len(weights) != len(outputs):
        raise ShapeError(
            f"{len(outputs)} results need {len(outputs)} gradients, each a tensor or array of the "
            f"shape of its result, got a {type(gradients).__name__} of {len(weights)}. For one "
            "result with several elements, pass one tensor"
        )
    cotangents = list(map(cotangent_of, outputs, weights))
    if create_graph:
        cotangents = [g if isinstance(g, Node) else leaf_of(g) for g in cotangents]
    else:
        cotangents = [array_of(g) for g in cotangents]
    retain = create_graph if retain_graph is None else retain_graph
    return backward_pass(
        outputs,
        cotangents,
        inputs,
        retain_graph=retain,
        create_graph=create_graph,
        require_all=strict,
    )
