"""What PyTorch shows of the graph: `grad_fn`, and the handles of hooks."""

from __future__ import annotations

import re
from numbers import Number
from typing import TYPE_CHECKING, Any, Self

from tinygrad_fc.core.node import next_seq

if TYPE_CHECKING:
    from tinygrad_fc.tensors import Tensor


class GradFn:
    """A graph node as PyTorch's `grad_fn`: the name of its op, and the nodes of its arguments.

    >>> import tinygrad_fc as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> (x.exp() * 2).sum().grad_fn.next_functions
    ((<MultiplyBackward>, 0),)
    """

    __slots__ = ("_node",)

    def __init__(self, node: Any) -> None:
        self._node = node

    def name(self) -> str:
        """Return the name of the op and "Backward", or "AccumulateGrad" for a leaf."""
        op = self._node._op
        words = re.sub(r"\W+", "_", op.name).split("_") if op else ()
        return "".join(w.title() for w in words) + "Backward" if op else "AccumulateGrad"

    @property
    def next_functions(self) -> tuple[tuple[GradFn | None, int], ...]:
        """A pair (node, 0) per argument; the node is None if the argument does not require grad.

        Arguments that are numbers are last, as in PyTorch. Leaves and freed graphs have no pairs.
        """
        pairs = zip(self._node._args or (), self._node._parents or (), strict=True)
        tensors_first = sorted(pairs, key=lambda pair: isinstance(pair[0], Number))
        return tuple((None if node is None else GradFn(node), 0) for _, node in tensors_first)

    @property
    def variable(self) -> Tensor:
        """The leaf of an "AccumulateGrad" node; raise `AttributeError` for other nodes."""
        if self._node._op is not None:
            raise AttributeError(f"{self.name()} has no attribute 'variable': only leaves have one")
        return self._node  # type: ignore[no-any-return]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and other._node is self._node

    def __hash__(self) -> int:
        return hash(id(self._node))

    def __repr__(self) -> str:
        return f"<{self.name()}>"


class RemovableHandle:
    """The handle of a hook, returned by `register_hook`; `remove()` removes the hook.

    The constructor sets `hooks[id] = hook`, and `flag[id] = True` in each of the `flags`.
    """

    __slots__ = ("id", "registries")

    def __init__(self, hooks: dict[int, Any], hook: Any, *flags: dict[int, Any]) -> None:
        self.id = next_seq()
        self.registries = (hooks, *flags)
        for registry, value in ((hooks, hook), *((flag, True) for flag in flags)):
            registry[self.id] = value

    def remove(self) -> None:
        """Remove the hook; repeated calls have no effect."""
        for registry in self.registries:
            registry.pop(self.id, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()
