"""Functions with a custom derivative, under PyTorch's names.

A subclass of `Function` is one op, whose rules run its `backward`: see `function_op`.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tinygrad_fc.assignment import own_argument
from tinygrad_fc.autograd.function_op import (
    NO_KWARGS,
    FunctionCall,
    FunctionOp,
    recorded,
    user_code,
)
from tinygrad_fc.core import grad_mode, graph
from tinygrad_fc.core.errors import GraphError
from tinygrad_fc.core.graph import call_op
from tinygrad_fc.core.node import Node, array_of, leaf_of, owner, set_array
from tinygrad_fc.ops.shape import alias

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.tensors import Tensor

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx:
    """The context in which `forward` saves tensors and attributes for `backward`.

    Higher-order derivatives take into account the arguments and results that `forward` saves, with
    `save_for_backward` or as attributes, also in lists and dicts. Any other saved tensor is a
    constant: compute it in `backward`, or return it as an additional result. `needs_input_grad`
    says for each argument of `apply` whether it requires grad.

    >>> import tinygrad_fc as tg
    >>> class Scale(tg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x, factor):
    ...         ctx.factor = factor
    ...         return x * factor
    ...
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         return g * ctx.factor, None
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> Scale.apply(x, 3).sum().backward()
    >>> x.grad
    tensor([3., 3.])
    """

    __slots__ = (
        *("__dict__", "_dirty", "_forward", "_non_differentiable", "_packed", "_saved"),
        "needs_input_grad",
    )

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._saved: tuple[Any, ...] = ()
        self._forward: tuple[Any, ...] = ()
        self._packed: Any = None  # hooks of saved tensors, and what they have packed
        self._non_differentiable: tuple[Any, ...] = ()
        self._dirty: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Save tensors, or None, as the `saved_tensors` of `backward`.

        Raises `TypeError` for other values. The backward pass raises `GraphError` if a saved tensor
        has been changed in place.
        """
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, Node):
                raise TypeError(
                    f"save_for_backward: argument {i} is {type(t).__name__}, expected a tensor or "
                    "None. Set other values as attributes (ctx.factor = factor)"
                )
        self._saved = tensors
        if grad_mode.flags.get() & grad_mode.SAVED_TENSORS_HOOKS:
            hooks = grad_mode.saved_tensors_hooks.get()
            self._packed = hooks, [t if t is None else hooks.pack_hook(t.detach()) for t in tensors]

    def save_for_forward(self, *tensors: Any) -> None:
        """Save tensors, or None, for `jvp`, which else gets what is saved for `backward`."""
        self._forward = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The arguments of `save_for_backward`."""
        if self._packed is not None:
            hooks, packed = self._packed
            values = zip(self._saved, packed, strict=True)
            return tuple(None if t is None else hooks.unpacked(p, t) for t, p in values)
        return self._saved

    saved_variables = saved_tensors  # its name in early PyTorch

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Declare results that never require grad, as results that are not floats."""
        self._non_differentiable = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Declare arguments that `forward` changes in place and returns."""
        self._dirty = tensors
        for t in tensors:
            own_argument(t)


class Function:
    """An operation with a custom derivative: subclass it, and call `apply`.

    `forward(ctx, *args)` gets the arguments of `apply`, computes without recording, and returns a
    tensor or a tuple of tensors. `backward(ctx, *grads)` gets the gradient of each result and
    returns one gradient per argument, None for no gradient. For a `forward` without `ctx`, define
    `setup_context(ctx, inputs, output)`. A `backward` that consists of operations on tensors can be
    differentiated again. Forward mode (`forward_ad`, `func.jvp`) calls `jvp(ctx, *tangents)`, which
    gets a tangent per argument, None for one that is no tensor of floats, and returns the tangents
    of the results; without a `jvp` it differentiates `backward` by the gradients. Raises
    `GraphError` or `ShapeError`, with the name of the class, for a wrong number or shape of
    gradients and for changes in place.

    >>> import tinygrad_fc as tg
    >>> class Exp(tg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         y = tg.exp(x)
    ...         ctx.save_for_backward(y)
    ...         return y
    ...
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (y,) = ctx.saved_tensors
    ...         return g * y
    >>> x = tg.tensor(0.0, requires_grad=True)
    >>> Exp.apply(x).backward()
    >>> x.grad
    tensor(1.)
    """

    jvp: Any = None
    """A static method `jvp(ctx, *tangents)` that returns the tangent of each result."""
    _op: FunctionOp

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._op = FunctionOp(cls, separate=cls.setup_context is not Function.setup_context)

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Return the result or results; every subclass defines this method."""
        raise NotImplementedError("define forward(ctx, *args), a static method, in the subclass")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save for `backward`; if a subclass defines it, `forward` gets no `ctx`."""

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Return the gradient of each argument; every subclass defines this method."""
        raise NotImplementedError("define backward(ctx, *grads), a static method, in the subclass")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Return the recorded result or results of `forward` for these arguments.

        Arguments by name and defaults need a `setup_context`, as in PyTorch. Raises `TypeError`
        unless `forward` returns a tensor or a tuple with a tensor.
        """
        op = cast("FunctionOp", cls._op)
        if op.separate:
            bound = inspect.signature(cls.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        ctx = FunctionCtx(tuple(isinstance(a, Node) and a._requires_grad for a in args))
        # `forward` gets recorded aliases, so that arguments that it saves are part of the graph.
        # One that it changes in place becomes a copy, which is then assigned to the argument.
        inputs = tuple(call_op(alias, (a,), NO_KWARGS) if isinstance(a, Node) else a for a in args)
        with user_code(f"forward of {cls.__name__}", None):
            if op.separate:
                result = cls.forward(*inputs, **kwargs)
                cls.setup_context(ctx, inputs, result)
            else:
                result = cls.forward(ctx, *inputs, **kwargs)
        results = result if isinstance(result, tuple) else (result,)
        wrong = [t for t in results if isinstance(t, np.ndarray | np.generic | list | dict | tuple)]
        if wrong or not any(isinstance(t, Node) for t in results):
            kind = type((wrong or results or (None,))[0]).__name__
            raise TypeError(
                f"forward of {cls.__name__} returned {kind}, "
                "expected a tensor or a tuple of tensors. Wrap an array as tensor(array), return "
                "(x, y) for [x, y]"
            )
        changed = _write_back(args, inputs, results)
        undeclared = {id(t) for t in results} - {id(t) for t in ctx._dirty}
        unmarked = [c and id(t) in undeclared for c, t in zip(changed, inputs, strict=True)]
        if any(
            u and (graph.base_of(a) is not None or (a.is_leaf and a._requires_grad))
            for u, a in zip(unmarked, args, strict=True)
        ):
            raise GraphError(
                f"forward of {cls.__name__} changes an argument in place, which other code may "
                "need. Call ctx.mark_dirty(x) and return x, or change a copy (x.clone())"
            )
        # An argument that is changed without a mark, and returned, becomes the result. Earlier
        # calls read its state before.
        sources = [t if c else a for c, t, a in zip(changed, inputs, args, strict=True)]
        call = FunctionCall(ctx, sources, inputs, results)
        before = [_state_of(a) if u else a for u, a in zip(unmarked, args, strict=True)]
        tensors = recorded(op, before, call)
        for k, t in enumerate(results):
            for a, i, u in zip(args, inputs, unmarked, strict=True):
                if t is not i or (not u and id(t) in undeclared):
                    continue
                if u and tensors[k]._requires_grad:
                    graph.become(a, tensors[k])
                    graph.record_change()
                elif u:
                    set_array(a, array_of(tensors[k]))
                else:
                    a[...] = tensors[k]
                tensors[k] = a
        return tuple(tensors) if isinstance(result, tuple) else tensors[0]


def _write_back(args: Any, inputs: Any, results: Any) -> list[bool]:
    """Return which arguments `forward` changed; store a change of one that is not a result."""
    changed = []
    for a, t in zip(args, inputs, strict=True):
        changed.append(isinstance(a, Node) and owner(array_of(t)) is not owner(array_of(a)))
        if changed[-1] and all(t is not r for r in results):
            a.data.copy_(t)  # as under no_grad
    return changed


def _state_of(t: Any) -> Any:
    """Return a tensor with the state of `t`, before it becomes another result."""
    return graph.keep_state(t) if t._requires_grad else leaf_of(array_of(t))


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a `backward` that cannot be differentiated, below `@staticmethod`.

    The decorated `backward` runs without recording, so that it may compute with NumPy.
    Differentiating its result raises `GraphError`.

    >>> import numpy as np, tinygrad_fc as tg
    >>> from tinygrad_fc.autograd.function import once_differentiable
    >>> class Cube(tg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...
    ...     @staticmethod
    ...     @once_differentiable
    ...     def backward(ctx, g):
    ...         return tg.from_numpy(3 * g.numpy() * np.square(ctx.saved_tensors[0].numpy()))
    >>> x = tg.tensor([2.0], requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor([12.])
    """

    @functools.wraps(backward)
    def once(ctx: Any, *grads: Any) -> Any:
        with grad_mode.no_grad():
            return backward(ctx, *grads)

    once.once = True  # type: ignore[attr-defined]
    return once


class InplaceFunction(Function):
    """PyTorch's base class of functions that change an argument: call `ctx.mark_dirty` in them."""
