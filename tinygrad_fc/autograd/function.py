"""Functions with a derivative of their own, in PyTorch's spelling.

A subclass of `Function` has one op for all its calls;
`calls` tells how a call is recorded, `rules` how its `backward` runs.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np

from tinygrad_fc import grad_mode
from tinygrad_fc.autograd.calls import Call, lent
from tinygrad_fc.autograd.context import FunctionCtx
from tinygrad_fc.autograd.rules import FunctionOp, in_place
from tinygrad_fc.errors import GraphError
from tinygrad_fc.graph import Node

if TYPE_CHECKING:
    from collections.abc import Callable


class Function:
    """An operation whose derivative is written by hand: subclass it, and call `apply`.

    `forward(ctx, *args)` gets what `apply` was given, computes without recording and returns a
    tensor or a tuple of them. `backward(ctx, *grads)` gets the gradient of each result and
    returns one for each argument, of its shape; None where there is none. Or leave `ctx` out of
    `forward`, and define `setup_context(ctx, inputs, output)`. A `backward` made of operations of
    tensors is differentiated in turn. Raises `GraphError` or `ShapeError`, by the name of the
    class, for a gradient of another shape, a count that is off, and what is changed in place.

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

    _function_op: FunctionOp

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._function_op = FunctionOp(cls, separate=_separate(cls))

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: `apply` is what calls it. Raises `GraphError`."""
        del args, kwargs
        name = type(self).__name__
        raise GraphError(f"{name} is not called through an instance: write {name}.apply(...)")

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Return the result or results; to be defined by the subclass."""
        del args, kwargs
        raise NotImplementedError(
            "define forward(ctx, *args), a static method that returns the result"
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep in `ctx` what `backward` needs; where this is defined, `forward` gets no `ctx`."""
        del ctx, inputs, output

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Return the gradient of each argument; to be defined by the subclass."""
        del ctx, grads
        raise NotImplementedError(
            "define backward(ctx, *grads), a static method that returns a gradient for each "
            "argument of forward; or hand in x.detach() where no gradient is wanted"
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call the operation: return what `forward` returns, recorded.

        Takes the arguments of `forward` (after `ctx`), tensors and others. Raises `TypeError`
        where `forward` returns something that is no tensor and so would have no gradient.
        """
        args, named = _bound(cls, args, kwargs)
        ctx = FunctionCtx(tuple(isinstance(a, Node) and a._requires_grad for a in args))
        inputs = tuple(lent(a) if isinstance(a, Node) else a for a in args)
        with grad_mode.no_grad():
            result = _forward(cls, ctx, inputs, named)
        results = result if isinstance(result, tuple) else (result,)
        _refuse(cls.__name__, ctx, results)
        made = Call(ctx, args, inputs, results).recorded(cast("FunctionOp", cls._function_op), args)
        return tuple(made) if isinstance(result, tuple) else made[0]


def _separate(cls: type[Function]) -> bool:
    """Tell whether the context is set up apart from `forward`."""
    return cls.setup_context is not Function.setup_context


def _bound(
    cls: type[Function], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments by position, and those that `forward` takes by name only."""
    separate = _separate(cls)
    if not kwargs and not separate:
        return args, kwargs
    signature = inspect.signature(cls.forward)
    bound = signature.bind(*args, **kwargs) if separate else signature.bind(None, *args, **kwargs)
    if separate:
        bound.apply_defaults()  # so that backward has a gradient to return for each argument
    for name, value in bound.kwargs.items():
        if isinstance(value, Node) and value._requires_grad:
            raise GraphError(
                f"{cls.__name__} was given {name}, which requires grad, by a name only, and "
                "backward returns gradients by position: make it an ordinary argument of forward"
            )
    return bound.args[not separate :], bound.kwargs


def _forward(
    cls: type[Function], ctx: FunctionCtx, inputs: tuple[Any, ...], named: dict[str, Any]
) -> Any:
    try:
        if not _separate(cls):
            return cls.forward(ctx, *inputs, **named)
        result = cls.forward(*inputs, **named)
        cls.setup_context(ctx, inputs, result)
    except (ValueError, GraphError) as error:
        if in_place(error):
            raise GraphError(
                f"forward of {cls.__name__} changes an argument in place, and others may need "
                "that: return a new tensor (`x * 2` for `x.mul_(2)`), or change a copy (x.clone())"
            ) from error
        raise
    return result


def _refuse(name: str, ctx: FunctionCtx, results: tuple[Any, ...]) -> None:
    """Raise where a result would have no gradient without a word, or a mark has no result."""
    wrong = [t for t in results if isinstance(t, np.ndarray | np.generic | list | dict | tuple)]
    if wrong or not any(isinstance(t, Node) for t in results):
        kind = type((wrong or results or (None,))[0]).__name__
        raise TypeError(
            f"forward of {name} must return a tensor or a tuple of tensors, got {kind}, which "
            "would have no gradient: wrap an array as tensor(array), return (x, y) for [x, y]"
        )
    if not {id(t) for t in ctx._plain} <= {id(t) for t in results}:
        raise GraphError(
            f"mark_non_differentiable in {name} got a tensor that forward does not return: mark "
            "the very tensors that are returned"
        )


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Say of a `backward` that it has no derivative itself: a decorator, below `@staticmethod`.

    It runs without recording, so that it may compute with NumPy. Whoever differentiates what it
    returned gets a `GraphError`, not a wrong number.

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


__all__ = ["Function", "FunctionCtx", "once_differentiable"]
