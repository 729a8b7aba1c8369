"""Errors that say which layer they come from.

An exception that rises out of a model passes the `__call__` of every module around its origin,
innermost first. Each adds its name, so that the message has the layer's path in the model: the
name that `get_submodule` and `state_dict` know it by. Nothing is paid for while all goes well.
"""

from __future__ import annotations

import copyreg
from typing import TYPE_CHECKING, Any

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.nn.parameter import Parameter

if TYPE_CHECKING:
    from tinygrad_fc.nn.module import Module

    # A layer's name in the module around it, the layer, and the shape of what it returned.
    Before = tuple[str, Module, tuple[int, ...]]

__all__ = ["LayerError"]

# How many calls back a layer's input is followed to find the layer that made it.
_NEAR = 8


class Trail:
    """The names of the modules that an exception has risen through, outermost first.

    It is pickled without the modules themselves: an exception that crosses over to another
    process does not take the model along.
    """

    def __init__(self, origin: Module | None = None) -> None:
        self.names: list[str] = []
        self.root = ""
        self.note = ""
        self._inner = origin

    def rise(self, outer: Module, name: str | None = None) -> list[str]:
        """Note that `outer` is left; return the name that what was left last has in it, if any.

        `name` is that name where `outer` knows it: one layer may be held under several.
        """
        if name is None and self._inner not in (None, outer):
            name = _name(outer, self._inner)
        added = [name] if name else []
        self.names[:0] = added
        self._inner = outer
        self.root = type(outer).__name__
        return added

    def annotate(self, error: Exception) -> None:
        """Make the path the last note of `error`, which a traceback shows below its message."""
        notes = getattr(error, "__notes__", [])
        if self.note in notes:
            notes.remove(self.note)
        self.note = f"raised in {self or self.root}"
        error.add_note(self.note)

    def __bool__(self) -> bool:
        return bool(self.names)

    def __str__(self) -> str:
        return f"layer {'.'.join(self.names)!r} of {self.root}"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_inner": None}


class LayerError(ShapeError):
    """A layer was given an input that it cannot take.

    `layer` is the module, `given` what it got, whose `axis` should have the size `wanted`, which
    is the layer's setting named `setting`. The message adds the layer's path in the model and
    what the layer before it returned, as far as the exception has risen. Raise it `from` the
    error of NumPy's that told of the misfit, where there is one.

    >>> import tinygrad_fc as tg
    >>> net = tg.nn.Sequential(tg.nn.Linear(4, 5), tg.nn.Sigmoid(), tg.nn.Linear(8, 3))
    >>> net(tg.zeros(2, 4))
    Traceback (most recent call last):
        ...
    tinygrad_fc.nn.error.LayerError: layer '2' of Sequential, Linear(in_features=8, ...
    """

    def __init__(self, layer: Any, given: Any, *, axis: int, wanted: int, setting: str) -> None:
        super().__init__()
        self.layer = _short(layer)
        self.shape: tuple[int, ...] = tuple(given.shape)
        self.axis, self.wanted, self.setting = axis, wanted, setting
        self.before: list[str] = []
        self.returned = ""
        self.trail = Trail(layer)
        self._source = _source(given)

    def rise(self, outer: Module, name: str | None, before: Before | None) -> None:
        """Note that `outer` is left; look in it for the layer that made the input."""
        added = self.trail.rise(outer, name)
        if self.before:
            self.before[:0] = added
        elif before is not None and before[2] == self.shape:
            self._came_from(*before)
        elif self._source is not None and added:
            parameter, shape = self._source
            for path, held in outer.named_parameters():
                if held is parameter:
                    owner = path.rpartition(".")[0]
                    self._came_from(owner, dict(outer.named_modules()).get(owner, outer), shape)
                    break

    def _came_from(self, name: str, layer: Module, shape: tuple[int, ...]) -> None:
        self.before = [name]
        self.returned = f"({_short(layer)}) returned {shape}"
        self._source = None

    def __reduce__(self) -> Any:
        return copyreg.__newobj__, (type(self),), {**vars(self), "_source": None}  # type: ignore[attr-defined]

    def __str__(self) -> str:
        where = f"{self.trail}, " if self.trail else ""
        size = f"axis {self.axis} has size {self.shape[self.axis]}" if self.shape else "no axis"
        before = ""
        if self.before:
            before = f" The layer before it, {'.'.join(self.before)!r} {self.returned}."
        return (
            f"{where}{self.layer}, got an input of shape {self.shape}: {size}, but its "
            f"{self.setting} is {self.wanted}.{before} {self._fix()}"
        )

    def _fix(self) -> str:
        if not self.before:
            if len(self.shape) > 1 and self.shape[0] == self.wanted:
                return f"Pass `x.T`: axis 0 has size {self.wanted}, and samples go along axis 0."
            if len(self.shape) == 1 and self.wanted == 1:
                return "Pass `x.reshape(-1, 1)`: one row a sample."
        other = "what comes before it" if self.before else "the input"
        if not self.shape:
            return f"Give {other} an axis of size {self.wanted}."
        return (
            f"Make its {self.setting} {self.shape[self.axis]}, or make {other} {self.wanted} wide."
        )


def rise(
    error: Exception, outer: Module, name: str | None = None, before: Before | None = None
) -> None:
    """Tell `error` that it leaves `outer`, and the `name` there of what it left last.

    `before` tells of the layer whose result that was given, where `outer` knows it.
    """
    if isinstance(error, LayerError):
        error.rise(outer, name, before)
        return
    trail = vars(error).setdefault("_trail", Trail())
    trail.rise(outer, name)
    trail.annotate(error)


def _name(outer: Module, inner: Module | None) -> str:
    names = (name for name, module in outer.named_modules() if module is inner)
    return next(names, f"<{type(inner).__name__}>")


def _short(layer: object) -> str:
    text = repr(layer)
    return text if "\n" not in text else type(layer).__name__


def _source(given: Any) -> tuple[Parameter, tuple[int, ...]] | None:
    """Follow what made `given` back to the nearest parameter; return it and the shape there."""
    node = given
    for _ in range(_NEAR):
        tensors = [a for a in getattr(node, "_parents", None) or () if a is not None]
        for a in tensors:
            if isinstance(a, Parameter):
                return a, node._array.shape
        if not tensors:
            break
        node = tensors[0]
    return None
