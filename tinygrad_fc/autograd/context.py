"""What the `forward` of a `Function` leaves for its `backward`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from tinygrad_fc.errors import GraphError
from tinygrad_fc.graph import Node

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


class FunctionCtx:
    """What `forward` leaves for `backward`: saved tensors, and any attribute.

    Tensors are best kept with `save_for_backward`; an attribute, or a list or dict in one, serves
    too. `needs_input_grad` tells for each argument of `apply` whether it requires grad. An
    argument or a result that is kept is part of the graph in derivatives of higher order. What
    `forward` computed on the way is a constant there: let `backward` compute that anew, or return
    it as one more result.

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

    __slots__ = ("__dict__", "_materialize", "_plain", "_saved", "needs_input_grad")

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._saved: tuple[Any, ...] = ()
        self._plain: tuple[Any, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for `backward`, which finds them in `saved_tensors`.

        Raises `TypeError` for anything else. One that is changed in place before the backward
        pass is found out there.
        """
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, Node):
                raise TypeError(
                    f"save_for_backward keeps tensors, and argument {i} is {type(t).__name__}: "
                    "keep other things as attributes (ctx.factor = factor)"
                )
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` was given, in that order."""
        return self._saved

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Let these results never require grad; those that are not floats never do anyway."""
        self._plain = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Hand `backward` zeros (the default) or None for a result that no gradient came from."""
        self._materialize = bool(value)

    def mark_dirty(self, *tensors: Tensor) -> NoReturn:
        """Refuse: no argument is ever changed in place here. Raises `GraphError`."""
        del tensors
        raise GraphError(
            "mark_dirty is not there, since no argument is ever changed in place here: let forward "
            "return a new tensor (`return x * 2` for `x.mul_(2)`), and use that from then on"
        )
