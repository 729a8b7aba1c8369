"""One evaluation of a function to differentiate, and what of its derivative is handed out.

Evaluations nest where a derivative is itself differentiated. Each has its own copies of the
arguments, so that what is constant to an inner one (the outer one's arguments) is not mistaken
for what it differentiates by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import grad_mode
from tinygrad_fc.autograd import tree
from tinygrad_fc.autograd.products import fresh
from tinygrad_fc.errors import ShapeError
from tinygrad_fc.graph import Node, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Level:
    """One evaluation of a function, at fresh copies of the arguments to differentiate by."""

    def __init__(
        self,
        name: str,
        func: Callable[..., Any],
        args: Sequence[Any],
        argnums: Any,
        has_aux: bool,
        **named: Any,
    ) -> None:
        self.name = name
        self.recording = grad_mode.is_grad_enabled()
        places = _places(name, argnums, len(args))
        chosen = [args[k] for k in places]
        leaves, self.spec = tree.flatten(chosen[0] if isinstance(argnums, int) else tuple(chosen))
        _floats(f"{name}: an argument to differentiate by", leaves)
        # Around it no_grad() decides whether the derivative is recorded, not whether there is one.
        with grad_mode.enable_grad():
            self.inputs = [fresh(t, create=self.recording) for t in leaves]
            copies = self.like_inputs(self.inputs)
            given = list(args)
            for k, copy in zip(
                places, (copies,) if isinstance(argnums, int) else copies, strict=True
            ):
                given[k] = copy
            value = func(*given, **named)
        self.aux = None
        if has_aux:
            if not (isinstance(value, tuple) and len(value) == 2):
                raise TypeError(
                    f"{name}: with has_aux the function returns a pair, (output, aux), got "
                    f"{type(value).__name__}"
                )
            value, self.aux = value
        self.outputs, self.out_spec = tree.flatten(value)
        _floats(f"{name}: what the function returns", self.outputs)

    def like_inputs(self, leaves: Sequence[Any]) -> Any:
        """Return `leaves` nested as the arguments are."""
        return tree.unflatten(self.spec, leaves)

    def like_outputs(self, leaves: Sequence[Any]) -> Any:
        """Return `leaves` nested as the value of the function is."""
        return tree.unflatten(self.out_spec, leaves)

    def outside(self, tensors: Sequence[Any]) -> bool:
        """Tell whether `tensors` depend on something that requires grad, other than our copies."""
        own = {id(t) for t in self.inputs}
        return self.recording and any(id(t) not in own for t in _sources(tensors))

    def out(self, tensors: Sequence[Any], like: Sequence[Any] | None = None) -> list[Any]:
        """Return `tensors`, zeros for None, cut off unless they depend on something outside."""
        found = [
            t if t is not None else wrap(np.zeros_like(z._array))
            for t, z in zip(tensors, like or tensors, strict=True)
        ]
        return found if self.outside(found) else [wrap(t._array) for t in found]

    def handed_through(self) -> Any:
        """Return what the function returned beside its value."""
        leaves, spec = tree.flatten(self.aux)
        tensors = [t for t in leaves if isinstance(t, Node)]
        if self.outside(tensors):
            return self.aux
        return tree.unflatten(spec, (wrap(t._array) if isinstance(t, Node) else t for t in leaves))


def _sources(tensors: Sequence[Any]) -> Iterator[Any]:
    """Yield what `tensors` depend on, that requires grad and was made by no recorded call."""
    seen: set[int] = set()
    reached = [t for t in tensors if t._requires_grad]
    while reached:
        node = reached.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node._parents is None:
            yield node
        else:
            reached += [a for a in node._parents if a is not None]


def _places(name: str, argnums: Any, count: int) -> list[int]:
    """Return `argnums` as a list, counted from the front."""
    places = [argnums] if isinstance(argnums, int) else argnums
    if not (isinstance(places, list | tuple) and all(isinstance(k, int) for k in places)):
        raise TypeError(f"{name}: argnums must be a number or a tuple of numbers, got {argnums!r}")
    if not places or not all(-count <= k < count for k in places):
        raise ValueError(
            f"{name}: argnums = {argnums!r} must name some of the {count} arguments given by "
            "position"
        )
    found = [k % count for k in places]
    if len(set(found)) < len(found):
        raise ValueError(f"{name}: argnums = {argnums!r} names an argument twice")
    return found


def _floats(what: str, leaves: Sequence[Any]) -> None:
    """Raise where `leaves` are no tensors of floats."""
    if not leaves:
        raise TypeError(
            f"{what} must be a tensor, or tensors nested in tuples, lists and dicts, got none"
        )
    for t in leaves:
        if not (isinstance(t, Node) and t._array.dtype.kind == "f"):
            kind = f"a tensor of {t._array.dtype}" if isinstance(t, Node) else type(t).__name__
            raise TypeError(f"{what} must be a tensor of floats (or several, nested), got {kind}")


def sized(what: str, found: Sequence[Any], like: Sequence[Any]) -> None:
    """Raise where `found` are not tensors of the shapes of `like`."""
    _floats(what, found)
    shapes, wanted = ([t._array.shape for t in ts] for ts in (found, like))
    if shapes != wanted:
        raise ShapeError(f"{what} must have the shapes {wanted}, and have {shapes}")
