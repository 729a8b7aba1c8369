"""The seam of the library: the calls that traces and profiles observe, and may answer.

While an observer is active, the bit `OBSERVED` of `grad_mode.flags` is set in its thread or task,
and the library asks the observer for the arrays and gradients of tensors, and to call ops, rules,
modules and optimizers. Without one, the library does what the methods of `Observer` do here.
"""

from __future__ import annotations

from contextlib import nullcontext
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

from tinygrad_fc.core.grad_mode import OBSERVED, flags

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

_flags = flags.get
_active: ContextVar[Any] = ContextVar("tinygrad_fc_observer", default=None)


class Observer:
    """What the library calls at its seam. A trace and a profile are subclasses."""

    like: Any = None
    """NumPy's `like=` for arrays that are created from nothing."""
    fuses = True
    """Whether `Sequential` may call two layers as one op."""

    def read(self, tensor: Any) -> Any:
        """Return the array of a tensor."""
        return tensor._array

    def write(self, tensor: Any, array: Any) -> None:
        """Give a tensor another array."""
        tensor._array = array

    def stored(self, array: Any) -> Any:
        """Return what a new tensor holds for an array."""
        return array

    def grad(self, tensor: Any) -> Any:
        """Return the gradient of a tensor."""
        return tensor._grad

    def set_grad(self, tensor: Any, grad: Any, *, in_place: bool = False) -> None:
        """Set the gradient of a tensor.

        `in_place` says that the library changes the existing gradient where its array allows it.
        """
        del in_place
        tensor._grad = grad

    def call(self, op: Any, arrays: Sequence[Any], settings: Any) -> Any:
        """Return the result of the forward function of an op."""
        return op.forward(*arrays, **settings) if settings else op.plain(*arrays)

    def rules(self, op: Any) -> Any:
        """Return the vjp rules of an op."""
        return op.rules

    def module(self, module: Any) -> AbstractContextManager[None]:
        """Return the context in which a module is called."""
        del module
        return nullcontext()

    def groups(self, optimizer: Any) -> Any:
        """Return the parameter groups of an optimizer."""
        return vars(optimizer)["param_groups"]

    def state(self, optimizer: Any) -> Any:
        """Return the state of an optimizer."""
        return vars(optimizer)["state"]

    def step(self, optimizer: Any) -> AbstractContextManager[None]:
        """Return the context of an optimizer's update, after a check of its learning rates."""
        optimizer.check_rates(optimizer.param_groups)
        return nullcontext()

    def generator(self, generator: Any) -> Any:
        """Return NumPy's generator, from which a generator draws."""
        return generator.own_rng

    def once(self, problem: str) -> None:
        """Observe a side effect that each call of a function repeats, such as a new seed."""


def observer() -> Any:
    """Return the active observer of this thread or task, or None."""
    return _active.get() if _flags() & OBSERVED else None


def like() -> Any:
    """Return NumPy's `like=` for arrays that are created from nothing: a tracer, or None."""
    by = observer()
    return None if by is None else by.like


def observed(by: Observer, function: Callable[[], Any]) -> Any:
    """Return `function()`, observed by `by`.

    It runs in a copy of the context: afterwards `by` observes nothing, also if an exception or a
    keyboard interrupt ended it.
    """

    def run() -> Any:
        start(by)
        return function()

    return copy_context().run(run)


def start(by: Any) -> tuple[Any, int]:
    """Make `by` the observer of this context; return what `stop` takes."""
    before = _active.get(), _flags()
    _active.set(by)
    flags.set(before[1] | OBSERVED)
    return before


def stop(before: tuple[Any, int]) -> None:
    """Undo a call of `start`."""
    _active.set(before[0])
    flags.set((_flags() & ~OBSERVED) | (before[1] & OBSERVED))
