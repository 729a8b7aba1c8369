"""Errors with the path of the layer that raised them.

An exception propagates through `Module.__call__` of all enclosing modules, innermost first. Each
adds a name, so that the message contains the path of the layer as in `state_dict`.
"""

from __future__ import annotations

import copyreg
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.errors import ShapeError

if TYPE_CHECKING:
    from tinygrad_fc.nn.module import Module

    # A layer's name in the module around it, the layer, and the shape that it returned.
    Previous = tuple[str, Module, tuple[int, ...]]

__all__ = ["LayerError"]


class _Path:
    """Names of the modules through which an exception has propagated, outermost first.

    It holds no module, so that a caught or pickled exception keeps no model alive.
    """

    def __init__(self, last: int = 0, last_class: str = "") -> None:
        self.last = last  # id of the last module that the exception left
        self.last_class = last_class
        self.names: list[str] = []
        self.note = ""

    def prepend(self, outer: Module, name: str | None) -> list[str]:
        """Note that the exception leaves `outer`; return the added names.

        They are the name that `outer` has for the submodule from which the exception came.
        """
        # `last` is `outer` if Sequential.forward has added the name already.
        if name is None and self.last not in (0, id(outer)):
            names = (path for path, module in outer.named_modules() if id(module) == self.last)
            name = next(names, f"<{self.last_class}>")
        added = [name] if name else []
        self.names[:0] = added
        self.last, self.last_class = id(outer), type(outer).__name__
        return added

    def __str__(self) -> str:
        if not self.names:
            return self.last_class
        return f"layer {'.'.join(self.names)!r} of {self.last_class}"


class LayerError(ShapeError):
    """A layer got an input of a shape that it cannot take.

    `layer` was called with `input`, whose `axis` must have size `expected`, the value of the
    layer's attribute named `setting`. The message adds the layer's path in the model and, in a
    `Sequential`, the previous layer and its output shape.

    >>> import tinygrad_fc as tg
    >>> net = tg.nn.Sequential(tg.nn.Linear(4, 5), tg.nn.Sigmoid(), tg.nn.Linear(8, 3))
    >>> net(tg.zeros(2, 4))
    Traceback (most recent call last):
        ...
    tinygrad_fc.nn.layer_error.LayerError: layer '2' of Sequential, Linear(in_features=8, ...
    """

    def __init__(self, layer: Any, input: Any, *, axis: int, expected: int, setting: str) -> None:
        super().__init__()
        self.layer = _short(layer)
        self.shape: tuple[int, ...] = np.shape(input)
        self.axis, self.expected, self.setting = axis, expected, setting
        self._path = _Path(id(layer), type(layer).__name__)
        self._previous: list[str] = []  # path of the layer before it
        self._returned = ""

    def prepend(self, outer: Module, name: str | None, previous: Previous | None) -> None:
        """Prepend the name in `outer`; `previous` is the layer before the one that raised."""
        added = self._path.prepend(outer, name)
        if self._previous:
            self._previous[:0] = added
        elif previous is not None and previous[2] == self.shape:
            self._previous = [previous[0]]
            self._returned = f"({_short(previous[1])}) returned {self.shape}"

    def __reduce__(self) -> Any:
        return copyreg.__newobj__, (type(self),), vars(self)  # type: ignore[attr-defined]

    def __str__(self) -> str:
        where = f"{self._path}, " if self._path.names else ""
        size = f"axis {self.axis} has size {self.shape[self.axis]}" if self.shape else "no axis"
        previous = ""
        if self._previous:
            previous = f" The layer before it, {'.'.join(self._previous)!r} {self._returned}."
        return (
            f"{where}{self.layer}, got an input of shape {self.shape}: {size}, but its "
            f"{self.setting} is {self.expected}.{previous} {self._fix()}"
        )

    def _fix(self) -> str:
        if not self._previous and len(self.shape) > 1 and self.shape[0] == self.expected:
            return f"Pass `x.T`: axis 0 has size {self.expected}, and samples go along axis 0."
        if not self._previous and len(self.shape) == 1 and self.expected == 1:
            return "Pass `x.reshape(-1, 1)`: one row per sample."
        other = "the layer before it" if self._previous else "the input"
        if not self.shape:
            return f"Give {other} an axis of size {self.expected}."
        return (
            f"Set its {self.setting} to {self.shape[self.axis]}, or make {other} {self.expected} "
            "wide."
        )


_warned = False


def check_size(layer: Any, input: Any, axis: int, expected: int, setting: str) -> None:
    """Raise `LayerError` if the input has an `axis`, and it is not of the size `expected`.

    Warn, once in a process, if its dtype is wider than that of the weight.
    """
    if -input.ndim <= axis < input.ndim and input.shape[axis] != expected:
        raise LayerError(layer, input, axis=axis, expected=expected, setting=setting)
    if layer.weight is not None and input.dtype != layer.weight.dtype:
        warn_if_promoted(layer, input.dtype)


def warn_if_promoted(layer: Any, dtype: Any) -> None:
    """Warn once if `dtype`, in which `layer` computes, is a float wider than its weight.

    The layers after it get the wider results, so that only the first one is named.
    """
    global _warned  # noqa: PLW0603  one warning per process
    own = layer.weight.dtype
    if dtype.kind == "f" and dtype.itemsize > own.itemsize and not _warned:
        warnings.warn(
            f"{_short(layer)}: the input is {dtype} and the weight {own}; expected one dtype. The "
            f"layer computes in {dtype}, which takes longer. Convert the input, x.to({own}), or "
            f"the layer, layer.to({dtype})",
            stacklevel=3,
        )
        _warned = True  # not before, since a filter may raise


def add_path(
    error: Exception, outer: Module, name: str | None = None, previous: Previous | None = None
) -> None:
    """Add to the path of `error` the name that `outer` has for the module that raised it.

    `name` is this name, and `previous` the layer whose output was its input; both are optional.
    """
    if isinstance(error, LayerError):
        error.prepend(outer, name, previous)
        return
    path = vars(error).setdefault("_path", _Path())
    path.prepend(outer, name)
    notes = getattr(error, "__notes__", [])
    if path.note in notes:
        notes.remove(path.note)
    path.note = f"raised in {path}"
    error.add_note(path.note)


def _short(layer: object) -> str:
    text = repr(layer)
    return text if "\n" not in text else type(layer).__name__
