"""Parts of a model that are computed again in the backward pass, to save memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tinygrad_fc.autograd.function import Function
from tinygrad_fc.core import pytree
from tinygrad_fc.core.backward import backward_pass
from tinygrad_fc.core.errors import GraphError
from tinygrad_fc.core.grad_mode import enable_grad, is_grad_enabled
from tinygrad_fc.core.node import Node, array_of, leaf_of, next_seq
from tinygrad_fc.random import fork_rng, get_rng_state, set_rng_state

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["checkpoint"]


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    determinism_check: str = "default",
    debug: bool = False,
    **kwargs: Any,
) -> Any:
    """Return `function(*args, **kwargs)`, whose graph is not kept, but computed again when needed.

    The backward pass calls `function` a second time, with the same random numbers if
    `preserve_rng_state`, and so needs its intermediate results only for a while. Gradients flow to
    tensors among the arguments, and to all others that `function` uses. `use_reentrant`,
    `determinism_check` and `debug` have no effect. Raises `GraphError` if the second call returns
    other shapes. Chen et al., "Training deep nets with sublinear memory cost", 2016.

    >>> import tinygrad_fc as tg
    >>> layer, x = tg.nn.Linear(2, 2), tg.ones(1, 2)
    >>> tg.utils.checkpoint.checkpoint(lambda x: layer(x).tanh(), x).sum().backward()
    >>> layer.weight.grad.shape
    Size([2, 2])
    """
    del use_reentrant, determinism_check, debug
    if not is_grad_enabled():
        return function(*args, **kwargs)
    start, random_state = next_seq(), get_rng_state() if preserve_rng_state else None
    leaves, structure = pytree.flatten(function(*args, **kwargs))
    recorded = [t for t in leaves if isinstance(t, Node) and t._requires_grad]
    if not recorded:
        return pytree.unflatten(structure, leaves)
    arrays, inputs = [t._array for t in recorded], _tensors_from_before(recorded, start)
    shapes = [a.shape for a in arrays]
    gradients = partial(_gradients, function, (args, kwargs), random_state, inputs, shapes)
    results = iter(_Recomputed.apply(gradients, arrays, *inputs))
    known = {id(t) for t in recorded}
    return pytree.unflatten(structure, [next(results) if id(t) in known else t for t in leaves])


def _tensors_from_before(outputs: list[Any], start: int) -> list[Any]:
    """Return the tensors that a graph reads, and that are older than the sequence number."""
    older: dict[int, Any] = {}
    seen: set[int] = set()
    reached = list(outputs)
    while reached:
        node = reached.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if node._seq < start:
            older[id(node)] = node
        else:
            reached += node._parents or ()
    return list(older.values())


def _gradients(
    function: Any, arguments: Any, random_state: Any, inputs: Any, shapes: Any, cotangents: Any
) -> list[Any]:
    """Repeat a call, whose recorded results have the `shapes`; return gradients of the `inputs`."""
    create_graph = is_grad_enabled()
    # Copies of arguments end the second graph; without them, derivatives are recorded.
    copies: dict[int, Any] = {}
    if not create_graph:
        copies = {id(t): leaf_of(t._array).requires_grad_() for t in inputs}
    leaves, structure = pytree.flatten(arguments)
    args, kwargs = pytree.unflatten(structure, [copies.get(id(x), x) for x in leaves])
    start = next_seq()
    with enable_grad(), fork_rng(enabled=random_state is not None):
        if random_state is not None:
            set_rng_state(random_state)
        results = pytree.flatten(function(*args, **kwargs))[0]
    recorded = [t for t in results if isinstance(t, Node) and t._requires_grad]
    if [t._array.shape for t in recorded] != shapes:
        raise GraphError(
            f"checkpoint: the second call of the function returned results of shapes "
            f"{[t._array.shape for t in recorded]}, expected {shapes}, as in the first "
            "call. Call a function that depends on its arguments alone"
        )
    used = {id(t) for t in _tensors_from_before(recorded, start)}
    wanted = [t for t in (*copies.values(), *inputs) if id(t) in used]
    pairs = backward_pass(
        recorded,
        cotangents if create_graph else [array_of(g) for g in cotangents],
        wanted,
        create_graph=create_graph,
        call_hooks_of_inputs=False,
    )
    by_id: dict[int, Any] = {id(t): g if isinstance(g, Node) else leaf_of(g) for t, g in pairs}
    result = []
    for t in inputs:  # an argument may be read in another way, too
        ids = (id(copies.get(id(t))), id(t))
        parts = [by_id[key] for key in dict.fromkeys(ids) if key in by_id]
        result.append(sum(parts[1:], parts[0]) if parts else None)
    return result


class _Recomputed(Function):
    """The results of a call, whose backward repeats it by `gradients(cotangents)`."""

    @staticmethod
    def forward(ctx: Any, gradients: Any, arrays: Any, *_inputs: Any) -> Any:
        ctx.gradients = gradients
        return tuple(map(leaf_of, arrays))

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        return None, None, *ctx.gradients(cotangents)
