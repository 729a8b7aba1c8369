"""Context-local switches: recording of gradients, detection of anomalies, compiled functions.

The state is one integer in a `ContextVar`, so that each thread and each async task has its own
and the recorder reads it once per call. The states that `with` blocks replaced are a linked stack
in a second one: a switch object holds no state, and may be shared, nested and entered again.
"""

from __future__ import annotations

import functools
import inspect
from contextlib import ContextDecorator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["enable_grad", "inference_mode", "is_grad_enabled", "no_grad", "set_grad_enabled"]

RECORD = 1
DETECT_ANOMALY = 2
UNCOMPILED = 4
SAVED_TENSORS_HOOKS = 8
OBSERVED = 16  # see `seam`
FORWARD_MODE = 32  # see `autograd.function_op.ForwardMode`

flags: ContextVar[int] = ContextVar("tinygrad_fc_flags", default=RECORD)
saved_tensors_hooks: ContextVar[Any] = ContextVar("tinygrad_fc_saved_tensors_hooks", default=None)
_replaced: ContextVar[tuple[int, Any] | None] = ContextVar("tinygrad_fc_replaced", default=None)

F = TypeVar("F", bound="Callable[..., Any]")


class Switch(ContextDecorator):
    """Turns one bit of the mode on or off, for a `with` block or for every call of a function."""

    bit = RECORD

    def __init__(self, on: Any) -> None:
        self.on = bool(on)

    def __enter__(self) -> Self:
        before = flags.get()
        _replaced.set((before, _replaced.get()))
        flags.set(before | self.bit if self.on else before & ~self.bit)
        return self

    def __exit__(self, *exception: object) -> None:
        before, rest = _replaced.get()  # type: ignore[misc]
        flags.set(before)
        _replaced.set(rest)

    def __call__(self, function: F) -> F:
        """Decorate a function, or a generator function.

        Write `with` in an asynchronous function.
        """
        if not inspect.isgeneratorfunction(function):
            return super().__call__(function)

        # The switch is on only while the body runs, not in the caller between two values.
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            values = function(*args, **kwargs)
            resume, sent = values.send, None
            while True:
                with self:
                    try:
                        value = resume(sent)
                    except StopIteration as stop:
                        return stop.value
                try:
                    resume, sent = values.send, (yield value)
                except GeneratorExit:
                    with self:
                        values.close()
                    raise
                except BaseException as error:  # noqa: BLE001  the generator may catch it
                    resume, sent = values.throw, error

        return wrapped  # type: ignore[return-value]


class _Fixed(Switch):
    """A switch whose setting is its name: `no_grad` decorates with and without parentheses."""

    setting = True

    @overload
    def __new__(cls, function: None = None) -> Self: ...
    @overload
    def __new__(cls, function: F) -> F: ...  # type: ignore[misc]  # as a decorator
    def __new__(cls, function: Any = None) -> Any:
        """Return the switch, or the decorated function."""
        self = super().__new__(cls)
        self.on = cls.setting
        return self if function is None else self(function)

    def __init__(self, *_: Any, **__: Any) -> None:
        """Leave the arguments to `__new__`."""


class no_grad(_Fixed):  # noqa: N801  PyTorch's spelling
    """Record nothing inside: results do not require grad. A context manager or decorator.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> with tg.no_grad():
    ...     (w * 2).requires_grad
    False
    """

    setting = False


class enable_grad(_Fixed):  # noqa: N801  PyTorch's spelling
    """Record inside, though a `no_grad` is around it. A context manager or decorator.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> with tg.no_grad(), tg.enable_grad():
    ...     (w * 2).requires_grad
    True
    """


class set_grad_enabled(Switch):  # noqa: N801  PyTorch's spelling
    """Switch recording on or off, at once; as a context manager, until its end.

    >>> import tinygrad_fc as tg
    >>> with tg.set_grad_enabled(False):
    ...     tg.is_grad_enabled()
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)
        self._before: int | None = flags.get()
        flags.set(self._before | self.bit if self.on else self._before & ~self.bit)

    def _undo(self) -> None:
        # As a context manager or decorator it does not switch at once.
        if self._before is not None:
            flags.set(self._before)
            self._before = None

    def __enter__(self) -> Self:
        self._undo()
        return super().__enter__()

    def __call__(self, function: F) -> F:
        """Decorate a function; see `Switch`."""
        self._undo()
        return super().__call__(function)


class inference_mode(no_grad):  # noqa: N801  PyTorch's spelling
    """`no_grad` under PyTorch's other name; with `mode` False `enable_grad`.

    `mode` is a boolean, or a function to decorate.

    >>> import tinygrad_fc as tg
    >>> with tg.inference_mode():
    ...     tg.is_grad_enabled()
    False
    """

    @overload
    def __new__(cls, mode: bool | None = None) -> Self: ...
    @overload
    def __new__(cls, mode: F) -> F: ...  # type: ignore[misc]  # as a decorator
    def __new__(cls, mode: Any = None) -> Any:
        """Return a switch, or the decorated function."""
        if mode is False:
            return enable_grad()
        return super().__new__(cls, None if mode is True else mode)


class detect_anomaly(Switch):  # noqa: N801  PyTorch's spelling
    """Raise at the first op that returns NaN or infinity for finite arguments.

    Forward and vjp rules are checked; the error names the op, the index and the arguments there. It
    costs a pass over every result, so use it for debugging.

    >>> import tinygrad_fc as tg
    >>> with tg.autograd.detect_anomaly():
    ...     tg.log(tg.tensor([1.0, 0.0]))
    Traceback (most recent call last):
        ...
    tinygrad_fc.core.errors.AnomalyError: log returned -inf at index (1,) for finite arguments: ...
    """

    bit = DETECT_ANOMALY

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(check_nan)


class set_detect_anomaly(set_grad_enabled):  # noqa: N801  PyTorch's spelling
    """Switch `detect_anomaly` on or off, at once; as a context manager, until its end.

    >>> import tinygrad_fc as tg
    >>> with tg.autograd.set_detect_anomaly(True):
    ...     tg.sqrt(tg.tensor(-1.0))
    Traceback (most recent call last):
        ...
    tinygrad_fc.core.errors.AnomalyError: sqrt returned nan at index () for finite arguments: ...
    """

    bit = DETECT_ANOMALY

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        super().__init__(mode and check_nan)


class uncompiled(Switch):  # noqa: N801  like the others
    """Run compiled functions as the functions from which they were compiled."""

    bit = UNCOMPILED


def is_grad_enabled() -> bool:
    """Return whether calls are recorded.

    >>> import tinygrad_fc as tg
    >>> with tg.no_grad():
    ...     tg.is_grad_enabled()
    False
    """
    return bool(flags.get() & RECORD)
