"""Hooks for what ops save for the backward pass, under PyTorch's name."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

from tinygrad_fc.core import grad_mode
from tinygrad_fc.core.errors import ShapeError
from tinygrad_fc.core.node import Node, leaf_of
from tinygrad_fc.core.op import VariadicRule

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.tensors import Tensor

__all__ = ["saved_tensors_hooks"]


class saved_tensors_hooks:  # noqa: N801  PyTorch's spelling
    """Call `pack_hook` with each tensor that ops in the block save for the backward pass.

    The backward pass calls `unpack_hook` with its result, and uses the tensor that this returns, of
    the same shape. A value that rules of two arguments read is saved for each of them. The values
    are plain tensors, without a graph. Unlike in PyTorch, no memory is freed, since each result
    stays part of its graph; and gradients that are recorded (`create_graph=True`) are computed from
    the values themselves. A change in place of a value is not noticed, as in PyTorch: pack a copy
    where that happens. Raises `TypeError` for another result than a tensor, `ShapeError` for
    another shape.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.autograd.graph.saved_tensors_hooks(lambda t: t * 10, lambda packed: packed):
    ...     y = (x * x.detach()).sum()
    >>> y.backward()
    >>> x.grad
    tensor([10., 20.])
    """

    def __init__(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook
        self._before: list[tuple[int, Any]] = []

    def __enter__(self) -> Self:
        flags, hooks = grad_mode.flags, grad_mode.saved_tensors_hooks
        self._before.append((flags.get(), hooks.get()))
        flags.set(flags.get() | grad_mode.SAVED_TENSORS_HOOKS)
        hooks.set(self)
        return self

    def __exit__(self, *exception: object) -> None:
        flags, hooks = self._before.pop()
        grad_mode.flags.set(flags)
        grad_mode.saved_tensors_hooks.set(hooks)

    def op_of(self, node: Any) -> Any:
        """Return the op of `node` with rules that read packed values."""
        op, values = node._op, (node._array, *node._args)
        if type(op.rules) not in (tuple, VariadicRule):  # a `Function`: its context packs
            return op
        needed = [i for i, a in enumerate(node._parents) if a is not None]
        read = {i: _positions(op.values_read_by(i, values[0], values[1:]), values) for i in needed}
        packed = {
            k: self.pack_hook(leaf_of(values[k])) for k in sorted(set().union(*read.values()))
        }
        restoring = copy.copy(op)
        restoring.rules = tuple(
            self._rule(op.rules[i], packed, read.get(i, set())) for i in range(len(node._parents))
        )
        if op.outer is not None:  # whose rule reads the result
            restoring.outer = copy.copy(op.outer)
            restoring.outer.rules = (self._rule(op.outer.rules[0], packed, {0}),)
        return restoring

    def _rule(self, rule: Any, packed: dict[int, Any], read: set[int]) -> Any:
        """Return `rule` with the packed values in the places of the result and the arguments."""

        def restoring(g: Any, *_values: Any, **settings: Any) -> Any:
            if isinstance(g, Node):
                return rule(g, *_values, **settings)
            values = [
                self.unpacked(packed[k], value)._array if k in read and k in packed else value
                for k, value in enumerate(_values)
            ]
            return rule(g, *values, **settings)

        return restoring

    def unpacked(self, packed: Any, value: Any) -> Any:
        """Return the tensor in the place of `value`, a tensor or array that was packed."""
        t = self.unpack_hook(packed)
        if not isinstance(t, Node):
            raise TypeError(
                f"unpack_hook returned a {type(t).__name__}, expected the tensor that was packed. "
                "Wrap an array as tensor(array)"
            )
        if t._array.shape != value.shape:
            raise ShapeError(
                f"unpack_hook returned a tensor of shape {t._array.shape}, expected {value.shape}, "
                "the shape of the tensor that was packed"
            )
        return t


def _positions(read: Any, values: Any) -> set[int]:
    """Return the positions in `values` of the arrays that a rule reads."""
    arrays = [array for _, array in read if hasattr(array, "dtype")]
    return {k for k, value in enumerate(values) if any(value is array for array in arrays)}
